"""The calculator on the ways people write arithmetic: what it must find, and what it must leave alone."""

import time

import pytest

from prm.records import Answer, Group, Problem, Sample
from prm.segmenters import delimiter
from prm.signals import calculator
from prm.signals.calculator import equations


def verdicts(text):
    return [holds for _, holds in equations(text)]


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
        "2. 21 + 12 = 33 kittens",  # the number of a list
        "That means $x=\\frac{24}{6}=4$ and $z=2*6=12$.",
        "The total of these 3 countries is -48+21+-3=-30 degrees",
        "10 feet * 12 = 120 inches",
    ],
)
def test_true_equations_hold_as_people_write_them(text):
    assert verdicts(text) and all(verdicts(text))


@pytest.mark.parametrize(
    "text",
    [
        "x + 3 * 4 = 13",
        "2x = 5 and 3 + 12x = 20",
        "f(3) + 2 = 10, C(5,2) + 3 = 13, f''(-4) = 48 - 16 > 0",
        "1 hour + 20 minutes = 80 minutes",
        "10 am - 5 pm = 19 hours",
        "5 - 8 = 3",
        "(20/50) * 100 = 40%",
        "1 1/2 * 4 = 6",
        "1/3 of 12 + 4 = 8",
        "5 * 10^3 = 5000, 2^3 + 1 = 9, \\sqrt{16} + 3 = 7",
        "10 + ... + 5 = 100",
        "24 \\div 5 = 4 \\text{ remainder } 4",
        "so either r^2 = 0 or r - 3 = 0",
        "where p = \\frac{5}{6} and k = 2",
        "101_2 + 11_2 = 1000_2 and 17 + 5 \\equiv 1 = 1",
        "If it were 5, 3 * 5 = 16 would be false",
        "3,5 * 2 = 7",
        "4! = 24 and 4!/2 = 12",
        "```python\nx = 3 * 4 == 13\n```",
    ],
)
def test_in_doubt_nothing_is_called_false(text):
    assert False not in verdicts(text)


def test_a_running_total_is_read_as_one():
    assert verdicts("3*4 = 12 + 5 = 17") == [True]


def test_a_step_is_judged_once_and_a_carried_error_is_not_charged():
    text = "3 * 4 = 13.\nSo 13 - 2 = 11.\nAs said, 3 * 4 = 13.\nDone"
    sample = Sample("p", 0, text)
    steps = delimiter.cut(sample, delimiter.Config(by="lines"))
    group = Group(Problem("p", "?"), (sample,), (steps,), (Answer("p", 0, "11", 0),))
    (row,) = calculator.label([group], calculator.Config())
    assert row.values == (0.05, 0.6, None, None) and row.weights == (1.0, 0.25, 0.0, 0.0)


@pytest.mark.parametrize(
    "text", [" = 3" * 5000, "9 " + "a" * 20000, "(" * 20000 + "=", "\n" * 20000, "9 aa bb " * 5000]
)
def test_hostile_texts_take_no_long_time(text):
    start = time.process_time()
    list(equations(text))
    assert time.process_time() - start < 5
