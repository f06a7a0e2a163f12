"""The calculator on the ways people write arithmetic: what it must find, what holds, and what it must leave alone."""

import time

import pytest

from prm.labelling import CHECKS
from prm.records import Answer, Group, Problem, Sample
from prm.rerank import undecided
from prm.segmenters import delimiter
from prm.signals import calculator
from prm.signals._closed import equations


def verdicts(text):
    return [equation.holds for equation in equations(text)]


def group(text):
    sample = Sample("p", 0, text)
    steps = delimiter.cut_sample(sample, delimiter.Config(by="lines"))
    return Group(Problem("p", "How many?"), (sample,), (steps,), (Answer("p", 0, "11", 0),))


@pytest.mark.parametrize(
    "text",
    [
        "3 \\times \\$4 = \\$13",
        "Adding up: 2 + 48 + 3150 + 1300 = 3500 pounds.",
        "\\( 36 - 6 = 31 \\).",
        "$$7 * 8 = 54$$",
        "9 \\text{ cookies} + 5 \\text{ cookies} = 15 \\text{ cookies}",
        "150,000 - 130,000 = 30,000",
        "He pays 3 x $5 = $16 in all",
        "- 5*2 = 11",
        "\\frac{1}{2} \\cdot 10 = 6",
        "(5 + 3) * 2 = 15",
        "x = 12 - 3 = 8",
        "3 bags * 4 apples per bag = 13 apples",
        r"\[ 19 + 8 + 16 + 8 = 41 \] years",
        "So the sum is 3 + 4 = 8 apples.",
        r"\(1056 + 10 + 132 = \$1208\)",
        r"\(\left(\frac{1 + i\sqrt{3}}{2}\right)^9 = \omega^9 = 1\)",
        r"\begin{align*} x &= 2^3 + 1 \\ &= 7 \end{align*}",
        "7 * 29 + 53 = 246, which is not a square",
    ],
)
def test_false_equations_are_found(text):
    assert verdicts(text) == [False]


@pytest.mark.parametrize(
    "text",
    [
        "1000/3 = 333.3",  # rounded
        "7/2 = 3",  # cut off
        "0.33 * 12 = 4",  # a rounded input
        "20/50 = 40%",
        "(20/50) * 100 = 40",
        "12*15% = 1.8",
        "20% of 50 = 10",
        "2. 21 + 12 = 33 kittens",  # the number of a list
        "That means $x=\\frac{24}{6}=4$ and $z=2*6=12$.",
        "10 feet * 12 = 120 inches",
        r"\[ \text{Etching} = 0.20 \times 20 = 4 \text{ dollars} \]",
        "Cost: $5 \\times $3 = $15.",
        r"\cos 60^\circ = \frac{1}{2}",
        r"\(\left(\frac{1 + i\sqrt{3}}{2}\right)^9 = \omega^9 = -1\)",
    ],
)
def test_true_equations_hold_as_people_write_them(text):
    assert verdicts(text) and all(verdicts(text))


@pytest.mark.parametrize(
    "text",
    [
        "x + 3 * 4 = 13",
        "x - 5 + 3 = 10",
        "2x = 5 and 3 + 12x = 20",
        "2 \\text{ (Monday)} + 0.5x \\text{ (Tuesday)} + 2 \\text{ (Friday)} = 7",
        "f(3) + 2 = 10, C(5,2) + 3 = 13, f''(-4) = 48 - 16 > 0",
        "1 hour + 20 minutes = 80 minutes",
        "1/2 hour = 30 minutes",
        "5 feet + 3 inches = 63 inches",
        "10 am - 5 pm = 19 hours",
        "5 - 8 = 3",
        "(20/50) * 100 = 40%",
        "1 1/2 * 4 = 6",
        r"2\frac{1}{2} = 2.5",
        "1/3 of 12 + 4 = 8",
        "The total of these 3 countries is -48+21+-3=-30 degrees",
        "5 * 10^3 = 5000, 2^3 + 1 = 9, \\sqrt{16} + 3 = 7",
        "10 + ... + 5 = 100",
        "24 \\div 5 = 4 \\text{ remainder } 4",
        "17 * 3 = 51 = 1 mod 5",
        "so either r^2 = 0 or r - 3 = 0",
        "where p = \\frac{5}{6} and k = 2",
        "101_2 + 11_2 = 1000_2 and 17 + 5 \\equiv 1 = 1",
        "If it were 5, 3 * 5 = 16 would be false",
        "With 4 we get 4 + 4 = 9, which is not true",
        "3,5 * 2 = 7",
        "4! = 24 and 4!/2 = 12",
        "```python\nx = 3 * 4 == 13\ny = 2 + 2 = 5\n```",
    ],
)
def test_in_doubt_nothing_is_called_false(text):
    assert False not in verdicts(text)


def test_a_running_total_is_read_as_one():
    assert verdicts("3*4 = 12 + 5 = 17") == [True]


def test_a_step_is_judged_once_and_a_carried_error_is_not_charged():
    text = "3 * 4 = 13.\nSo 13 - 2 = 11.\nAs said, 3 * 4 = 13.\nDone"
    (row,) = calculator.label([group(text)], calculator.Config())
    assert row.values == (0.05, 0.6, None, None) and row.weights == (1.0, 0.25, 0.0, 0.0)
    (row,) = calculator.label([group(text)], calculator.Config(faint=0.0))
    assert row.values == (0.05, None, None, None)


def test_in_a_vote_true_equations_earn_nothing_and_silence_costs_nothing():
    texts = ("3 * 4 = 12", "Twelve", "3 * 4 = 13")
    rows = CHECKS.label([group(text) for text in texts])
    assert [undecided(row).values for row in rows] == [(1.0,), (1.0,), (pytest.approx(0.1),)]


def test_a_belief_that_accuses_nobody_is_refused():
    with pytest.raises(ValueError, match="false: need"):
        calculator.Config(false=0.6)


@pytest.mark.parametrize(
    "text",
    [
        *(
            " = 3" * 5000,
            "9 " + "a" * 20000,
            "(" * 20000 + "=",
            "\n" * 20000,
            "9 aa bb " * 5000,
            "3 ab " * 3000 + "= 5",
        ),
        *("= " + "3587419354838" * 500 + " = 5", "2 + " * 3000 + "2 = 5", "(" * 9000 + "=3"),
        *("not " * 5000 + "2 + 2 = 5", "1. " * 5000 + "2 + 2 = 5"),
    ],
)
def test_hostile_texts_take_no_long_time(text):
    start = time.process_time()
    equations(text)
    assert time.process_time() - start < 5
