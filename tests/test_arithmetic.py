"""Equations between closed expressions: what is read, what is accused, what is let pass."""

import time

import pytest

from prm.records import Answer, Group, Problem, Sample, Steps
from prm.signals import arithmetic
from prm.signals._closed import equations


def verdicts(text: str) -> list[bool]:
    return [equation.holds for equation in equations(text)]


@pytest.mark.parametrize(
    "text",
    [
        r"Total: \[ 19 + 8 + 16 + 8 = 51 \]",
        r"\[ \text{Etching} = 0.20 \times 20 = 4 \text{ dollars} \]",
        r"Cost: $5 \times $3 = $15.",
        "20% of 50 = 10",
        "So 7/3 = 2.33 hours.",
        r"\cos 60^\circ = \frac{1}{2}",
        r"\(\left(\frac{1 + i\sqrt{3}}{2}\right)^9 = \omega^9 = -1\)",
    ],
)
def test_what_holds(text):
    assert verdicts(text) == [True]


@pytest.mark.parametrize(
    "text",
    [
        r"\[ 19 + 8 + 16 + 8 = 41 \] years",
        "So the sum is 3 + 4 = 8 apples.",
        r"\(1056 + 10 + 132 = \$1208\)",
        r"\(\left(\frac{1 + i\sqrt{3}}{2}\right)^9 = \omega^9 = 1\)",
        r"\begin{align*} x &= 2^3 + 1 \\ &= 7 \end{align*}",
    ],
)
def test_what_does_not_hold(text):
    assert verdicts(text) == [False]


@pytest.mark.parametrize(
    "text",
    [
        "x + 5 = 10",
        r"x - 5 + 3 = 10",
        "f(2) = 7",
        "1/2 hour = 30 minutes",
        "5 feet + 3 inches = 63 inches",
        r"2\frac{1}{2} = 2.5",
        "17 * 3 = 51 = 1 mod 5",
        "3! = 6",
        "7 / 2 = 3 remainder 1",
    ],
)
def test_what_is_let_pass(text):
    assert False not in verdicts(text)


def test_long_nonsense_takes_no_time():
    start = time.process_time()
    for text in (
        "= " + "3587419354838" * 500 + " = 5",
        "2 + " * 3000 + "2 = 5",
        "3 ab " * 3000 + "= 5",
        "(" * 9000 + "=3",
    ):
        equations(text)
    assert time.process_time() - start < 5


def test_only_the_step_that_states_it_is_accused():
    texts = ("2 + 2 = 4\n\n", "4 + 3 = 8\n\n", "The answer is 8.")
    ends = (len(texts[0]), len(texts[0]) + len(texts[1]), sum(map(len, texts)))
    sample = Sample("p", 0, "".join(texts))
    group = Group(Problem("p", "?"), (sample,), (Steps("p", 0, ends),), (Answer("p", 0, "8", 0),))
    [row] = arithmetic.label([group], arithmetic.Config())
    assert row.values == (None, 0.05, None) and row.weights == (0.0, 1.0, 0.0)
    with pytest.raises(ValueError, match="accuses nobody"):
        arithmetic.Config(wrong=0.6)
