"""Re-derivation: what a step computes is asked for again, without its expression, its value or the vote."""

import re
import zlib
from fractions import Fraction
from types import SimpleNamespace

import pytest

from prm.engines import Sampling
from prm.records import Answer, Group, Problem, Sample
from prm.segmenters import delimiter
from prm.signals import _prompts, _quantities, rederive

PROBLEM = "Tom has 3 bags of 4 apples each and eats 2 of them. How many apples are left?"
WRONG = "Tom has 3 + 4 = 7 apples in his bags.\nAfter lunch he has 7 - 2 = 5 apples left.\nThe answer is 5"
RIGHT = "Tom has 3 * 4 = 12 apples in his bags.\nAfter lunch he has 12 - 2 = 10 apples left.\nThe answer is 10"


def group(*texts, problem=PROBLEM):
    samples = tuple(Sample("p", i, text) for i, text in enumerate(texts))
    steps = tuple(delimiter.cut_sample(s, delimiter.Config(by="lines")) for s in samples)
    answers = tuple(Answer("p", i, t.split()[-1], 0) for i, t in enumerate(texts))
    return Group(Problem("p", problem), samples, steps, answers)


class Solver:
    """Answers by the gap's sentence: what is in the bags, and what is left of the apples that it was given."""

    def __init__(self, answer=None):
        self.prompts, self.answer = {}, answer or self.solve

    def sample(self, problems, sampling):
        assert not self.prompts.keys() & {p.id for p in problems}
        self.prompts |= {p.id: p.text for p in problems}
        return [Sample(p.id, i, *self.answer(p.text, p.id, i)) for p in problems for i in range(sampling.samples)]

    def solve(self, prompt, name, index):
        target = re.search(r"marked \[\?\]:\n(.*)", prompt)[1]
        given = re.findall(r"- .*?(\d+) apples in", prompt)
        number = 12 if "bags" in target else int(given[0]) - 2
        return (f"Let us see: 3 of 4. So it is {number}.\nAnswer: {number}",)


def context(engine):
    return SimpleNamespace(recipe=SimpleNamespace(sampling=Sampling()), engine=lambda: engine)


def test_a_wrong_setup_is_found_though_all_samples_share_it_and_what_follows_from_it_is_right_given_it():
    scores = rederive.label([group(WRONG, WRONG, WRONG)], rederive.Config(), context(Solver()))
    assert all(s.values[0] < 0.05 and s.values[1] > 0.9 and s.values[2] > 0.9 for s in scores)
    assert all(weight > 0.8 for s in scores for weight in s.weights)
    assert scores[0].provenance[0] == "7: premises 0/2, method 0/2, equation 0/2"


def test_a_right_solution_is_confirmed_and_stops_early():
    engine = Solver()
    (scores,) = rederive.label([group(RIGHT)], rederive.Config(), context(engine))
    assert min(scores.values) > 0.9 and len(engine.prompts) == 2 * 3


def test_equal_questions_are_asked_once():
    engine, again = Solver(), RIGHT.replace("Tom has 3", "So Tom has 3")
    one, two = rederive.label([group(RIGHT, again)], rederive.Config(), context(engine))
    assert one.values == two.values and len(engine.prompts) == 6


def test_no_prompt_shows_the_expression_or_the_number_in_doubt():
    engine = Solver()
    rederive.label([group(WRONG)], rederive.Config(), context(engine))
    first = [text for text in engine.prompts.values() if "[?] apples in his bags" in text]
    assert len(first) == 3 and not any(re.search(r"\b7\b|3 \+ 4", text) for text in first)


def test_routes_that_disagree_and_answers_that_cannot_be_read_abstain():
    def scattered(prompt, name, index):
        return (f"Answer: {zlib.crc32(name.encode())}{index}",)

    def cut_off(prompt, name, index):
        return "Let me think", (), (), "length", "cut_off"

    for answer, why in ((scattered, "disagree"), (cut_off, "too few"), (lambda *_: ("I cannot say.",), "too few")):
        (scores,) = rederive.label([group(RIGHT)], rederive.Config(), context(Solver(answer)))
        assert scores.values == (None,) * 3 and all(why in said for said in scores.provenance)


def test_what_cannot_be_asked_is_left_unlabelled_without_asking():
    engine = Solver()
    text = "Let us begin.\n3 * 4 = 12\nTom has 12 - 2 = 11 apples left."
    (scores,) = rederive.label([group(text)], rederive.Config(answer=False), context(engine))
    assert scores.values == (None, None, None) and not engine.prompts
    assert scores.provenance == ("", "12: not asked, no words for it", "11: not asked, arithmetic is false")


@pytest.mark.parametrize(
    ("step", "target", "value"),
    [
        ("Janet sells 16 - 3 - 4 = <<16-3-4=9>>9 duck eggs a day.", "Janet sells [?] duck eggs a day", "9"),
        (
            "White fiber, half of it: \\[ \\frac{2}{2} = 1 \\text{ bolt of white fiber} \\]",
            "[?] bolt of white fiber",
            "1",
        ),
        ("To find the cost of all pens, we compute 3 \\times \\$4 = \\$12.", "the cost of all pens: [?]", "12"),
        ("5 * 6 = 30\nSo Ann has 30 pens in her boxes.", "Ann has [?] pens in her boxes", "30"),
        ("Subtract 2 from 12: 12 - 2 = 10", "", "10"),
        ("Her way is 40 miles each day.", "Her way is [?] miles each day", "40"),
        ("After spending 25 on food, she has 50 - 25 = 25 silver coins.", "she has [?] silver coins", "25"),
    ],
)
def test_targets_say_what_is_asked_and_not_how_it_comes_about(step, target, value):
    (quantity,) = _quantities.read("", [step])[0]
    assert (quantity.target, quantity.value) == (target, value)


def test_equations_with_letters_are_no_quantities():
    assert _quantities.read("", ["\\[ 8r + 10 = 42 \\]\n\\[ 8r = 32 \\]\n\\[ 42 = 8r \\]"]) == [[]]


def test_what_says_again_what_was_said_is_no_quantity():
    assert _quantities.read("Tom has 12 apples.", ["Tom's apples = 12\nSo Tom has 12 apples."]) == [[]]


def test_operands_stand_in_no_order_only_where_no_arithmetic_can_be_read():
    quantity = _quantities.Quantity("Tom has [?] red apples", "7", ("3", "4"), None, (), ())
    question = rederive._Question(PROBLEM, quantity, set(), {})
    assert "4, 3" in rederive._prompt("n0", question, "operands") or "3, 4" in rederive._prompt(
        "n0", question, "operands"
    )
    question.quantity = _quantities.Quantity("Tom has [?] red apples", "7", ("3", "4"), True, (), ())
    assert rederive._prompt("n0", question, "operands") == ""


def test_braces_of_tex_survive_in_prompts():
    text = _prompts.rederive("premises", "What is \\frac{a}{b} and {target}?", (), "It is [?]", ())
    assert "\\frac{a}{b} and {target}?" in text and "Take these results" not in text


def test_pooled_belief_sums_to_one_over_ten_and_rounding_is_no_error():
    belief = rederive.pool([[Fraction(10)], [Fraction(10)], [Fraction(9)]], Fraction(9))
    assert len(belief) == 10 and sum(belief) == pytest.approx(1) and belief[1] > 0.7 > belief[0]
    odds = 9 * 10 / 3  # by hand: p = (8 + 2) / (10 + 3); ten has two routes, nine one, eight numbers none
    assert belief[1] == pytest.approx(odds**2 / (odds**2 + odds + 8))
    assert rederive._same(Fraction("33.33"), Fraction(100, 3)) and not rederive._same(Fraction("0.5"), Fraction("0.45"))
    assert not rederive._same(Fraction(33), Fraction("33.3"))


def test_through_a_real_engine_nonsense_abstains(tmp_path):
    import tiny_model

    from prm.engines import transformers

    engine = transformers.open_engine(
        transformers.Config(model=tiny_model.make(tmp_path / "m", max_position_embeddings=2048), chat=True)
    )
    (scores,) = rederive.label([group(RIGHT)], rederive.Config(samples=1, max_tokens=16), context(engine))
    assert scores.values == (None,) * 3 and all("too few answers" in s or "disagree" in s for s in scores.provenance)


def test_one_refuted_number_makes_a_step_wrong_and_an_open_one_keeps_it_from_being_right():
    assert rederive._worst([(None, 0.0), (0.1, 0.9)]) == (0.1, 0.9)
    assert rederive._worst([(None, 0.0), (0.9, 0.9)]) == (None, 0.0)
    assert rederive._worst([(0.9, 0.8), (0.95, 0.9)]) == (0.9, 0.8) and rederive._worst([]) == (None, 0.0)


def test_an_answer_that_is_no_number_asks_nothing():
    (steps,) = _quantities.read(PROBLEM, ["So the answer is 1/0"], "1/0")
    assert not any("problem's question" in quantity.target for quantity in steps)
