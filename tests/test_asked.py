"""The form of answer that a question asks for."""

import pytest

from prm.records import Answer, Group, Problem, Sample, Steps
from prm.signals import asked
from prm.signals._asked import misfit


@pytest.mark.parametrize(
    "question, fits, not_so",
    [
        ("What is the radius? Express your answer as a common fraction.", r"\frac{14}{3}", r"14(\sqrt{2} - 1)"),
        ("Give it as a common fraction.", "0.5", "7"),
        ("What is the probability that it rains?", r"\frac{1}{4}", r"\frac{k}{4}"),
        ("Find the probability that both are red.", "1", r"\frac{3}{2}"),
        ("How many ways are there to seat them?", "12", r"\frac{5}{2}"),
        ("How many hours does it take at 1.5 km an hour?", "2.5", r"\frac{1}{"),
        ("Express your answer in interval notation.", r"(2, \infty)", "2"),
        ("What is the area? Express your answer in terms of $\\pi$.", r"36\pi", "36"),
        ("Give your answer in base $5$.", "1340", "1357"),
        ("Compute the ordered pair $(a,b)$.", "(1, 2)", "3"),
        ("Give your answer in base $5$.", "12²", "7"),
        ("How many hours does it take 3 men?", "2", "2.5"),
        ("What is the area of the square?", r"\sqrt{3}", "-4"),
        ("Factor $x^2 - 1$.", "(x-1)(x+1)", "(x-k)(x+k)"),
        ("Name any number.", "-7", "{7"),
    ],
)
def test_forms(question, fits, not_so):
    assert misfit(question, fits) == "" and misfit(question, not_so)


def test_the_last_step_is_accused_and_nothing_else():
    texts = ("a b", "c d", "")
    samples = tuple(Sample("p", i, text) for i, text in enumerate(texts))
    steps = (Steps("p", 0, (1, 3)), Steps("p", 1, (1, 3)), Steps("p", 2, ()))
    answers = (Answer("p", 0, "12", 0), Answer("p", 1, "-2", 1), Answer("p", 2, "", -1))
    group = Group(Problem("p", "How many ways?"), samples, steps, answers)
    assert [row.values for row in asked.label([group], asked.Config())] == [(None, None), (None, 0.02), ()]
