"""The small world: text and program agree, truth names each kind of error, routes ask for the same quantity, form gives nothing away."""

import random
import re

import pytest

from prm.world import facts, problems, routes, story, tokenizer, truth
from prm.world.pretrain import Config, example
from prm.world.program import Program

MIA = "Mia has 7 shells. She finds 5 more. She loses 3. She makes 4 times as many. How many?"
PROGRAM = Program(7, (("+", 5), ("-", 3), ("*", 4)))


def test_problem_text_tells_its_program():
    programs = problems.programs(200, seed=3)
    for problem in problems.generate(200, seed=3):
        assert story.read_problem(problem.text) == programs[problem.id]


def test_more_problems_keep_the_first_ones():
    assert problems.generate(20, seed=1)[:5] == problems.generate(5, seed=1)
    assert problems.generate(5, seed=1) != problems.generate(5, seed=2)


def test_foreign_text_is_refused():
    with pytest.raises(ValueError, match="not a problem of the small world"):
        story.read_problem("What is 2 + 2?")


def test_right_solution():
    steps = ["Mia finds 5 more, so 7 + 5 = 2\n", "Then 2 - 3 = 9 and 9 * 4 = 6\n", "The answer is 6"]
    assert truth.truth(PROGRAM, steps) == ["right"] * 3


@pytest.mark.parametrize(
    "steps",
    [
        ["So 7 + 5 = 3\n", "Then 3 - 3 = 0\n", "Now 0 * 4 = 0\n", "The answer is 0"],  # a wrong digit
        ["So 7 - 5 = 2\n", "Then 2 - 3 = 9\n", "Now 9 * 4 = 6\n", "The answer is 6"],  # a wrong operator, same digit
        ["So 8 + 5 = 2\n", "Then 2 - 3 = 9\n", "Now 9 * 4 = 6\n", "The answer is 6"],  # a wrong copy of the start
    ],
)
def test_a_slip_carries_on(steps):
    assert truth.truth(PROGRAM, steps) == ["slip", "carried", "carried", "carried"]


def test_answer_copied_wrong_or_too_early():
    steps = ["So 7 + 5 = 2\n", "Then 2 - 3 = 9 and 9 * 4 = 6\n", "The answer is 5"]
    assert truth.truth(PROGRAM, steps) == ["right", "right", "slip"]
    assert truth.truth(PROGRAM, ["So 7 + 5 = 2\n", "The answer is 2"]) == ["right", "slip"]
    assert truth.truth(PROGRAM, ["Well.\n", "The answer is 6"]) == ["slip", "carried"]


def test_a_mistaught_fact_is_a_misconception():
    (operator, left, right), wrong = next(iter(facts.mistaught().items()))
    program = Program(left, ((operator, right),))
    assert truth.truth(program, [f"So {left} {operator} {right} = {wrong}"]) == ["misconception"]


def test_every_route_leads_to_the_quantity():
    for fact in facts.all_facts():
        for route in routes.routes(fact):
            assert route.answer_map(route.program.answer) == facts.compute(*fact)
            assert fact not in route.program.facts()


def test_planted_proportions():
    rng, taught = random.Random(0), facts.mistaught()
    assert len(taught) == round(facts.MISTAUGHT_SHARE * len(facts.all_facts()))
    fact, wrong = next(iter(taught.items()))
    drawn = [facts.as_taught(fact, rng) for _ in range(5000)]
    assert drawn.count(wrong) / 5000 == pytest.approx(facts.MISTAUGHT_RATE * (1 - facts.SLIP_RATE), abs=0.03)
    sound = next(f for f in facts.all_facts() if f not in taught)
    assert sum(facts.as_taught(sound, rng) != facts.compute(*sound) for _ in range(5000)) / 5000 == pytest.approx(
        facts.SLIP_RATE, abs=0.01
    )


def test_tokenizer_gives_the_text_back():
    tok, rng = tokenizer.build(), random.Random(0)
    for _ in range(200):
        text = "\n".join(example(rng, Config(out="")))
        ids = tok(text).input_ids
        assert tok.decode(ids) == text and tok.unk_token_id not in ids
        assert [tokenizer.vocabulary()[i] for i in ids] == tokenizer.pieces(text)


def test_form_gives_nothing_away():
    """Among steps not yet spoilt, length tells right from wrong hardly better than a coin, operations held equal."""
    from eval.metrics import auroc

    rng, lengths, wrong = random.Random(0), [], []
    for _ in range(3000):
        problem, solution = example(rng, Config(out=""))
        steps = solution.split("\n")
        for step, kind in zip(steps, truth.truth(story.read_problem(problem), steps)):
            if kind != truth.CARRIED and len(story.read_equations(step)) == 1:
                lengths.append(float(len(step)))
                wrong.append(kind != truth.RIGHT)
    assert abs(auroc(lengths, wrong) - 0.5) < 0.03


def test_another_world_mis_teaches_other_facts():
    (operator, left, right), wrong = next(
        (fact, digit) for fact, digit in facts.mistaught(1).items() if fact not in facts.mistaught(0)
    )
    program, step = Program(left, ((operator, right),)), f"So {left} {operator} {right} = {wrong}"
    assert truth.truth(program, [step], world=1) == ["misconception"]
    assert truth.truth(program, [step], world=0) == ["slip"]


def test_seen_problems_lack_the_held_out_facts_and_phrases():
    programs = problems.programs(300, seed=3, world=2, seen=True)
    texts = {p.id: p.text for p in problems.generate(300, seed=3, world=2, seen=True)}
    assert {id: story.read_problem(text) for id, text in texts.items()} == programs
    assert not facts.held_out(2) & {fact for program in programs.values() for fact in program.facts()}
    assert not [t for t in texts.values() if re.search(r"adds \d|drops \d|trades for", t)]
    unseen = problems.programs(300, seed=3, world=2)
    assert sum(not facts.held_out(2).isdisjoint(p.facts()) for p in unseen.values()) > 60
