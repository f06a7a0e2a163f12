"""Asking whole problems again in other words: the small world's rewrites ask for the same answer, and votes over them are votes on the original."""

import json

import pytest
import tiny_model

from prm import answers, cli, pipeline, plugins, reasking, recipe, store
from prm.records import Answer, Sample, StepScores
from prm.transforms import AnswerMap, asked_again, world
from prm.world import problems, story

CONFIG = world.Config()


def test_a_rewrite_has_the_original_s_answer_behind_its_map():
    for problem in problems.generate(200, seed=4):
        answer = story.read_problem(problem.text).answer
        for one in world.repose(problem, 8, 0, CONFIG):
            asked = story.read_problem(one.problem.text)
            assert one.map.apply(str(asked.answer)) == str(answer)
            assert len(asked.operations) == len(story.read_problem(problem.text).operations)


def test_rewrites_meet_other_facts():
    (problem,) = problems.generate(1, seed=4)
    original = set(story.read_problem(problem.text).facts())
    met = [story.read_problem(one.problem.text).facts() for one in world.repose(problem, 64, 0, CONFIG)]
    shared = sum(fact in original for facts in met for fact in facts) / sum(map(len, met))
    assert 0.15 < shared < 0.40  # one route in four, more where an operation has but two


def test_the_list_for_more_begins_with_the_list_for_fewer():
    (problem,) = problems.generate(1, seed=4)
    assert world.repose(problem, 16, 0, CONFIG)[:4] == world.repose(problem, 4, 0, CONFIG)
    assert world.repose(problem, 4, 1, CONFIG) != world.repose(problem, 4, 0, CONFIG)


def test_answers_are_clustered_after_their_maps():
    samples = [Sample(f"p/{k}", 0, f"The answer is {digit}") for k, digit in enumerate((3, 7, 3, 9))]
    maps = [AnswerMap(), AnswerMap("negate_mod10"), AnswerMap("negate_mod10"), AnswerMap()]
    config = answers.Config(style="last_number")
    with answers.open_pool(config) as pool:
        rows = answers.read_reposed(samples, ["p"] * 4, maps, config, pool)
    assert [row.text for row in rows] == ["3", "3", "7", "9"]
    assert [row.cluster for row in rows] == [0, 0, 1, 2]


def test_a_run_re_poses_its_test_split(small, tmp_path):
    small = {**small, "problems": {**small["problems"], "test": {"source": "world", "n": 6, "seed": 1}}}
    built = recipe.build({**small, "repose": {"transform": "world", "arms": ["ours"]}}, "small.yaml")
    pipeline.run(built)
    run = store.Run(built.folder)
    asked, drawn = list(run.rows("problems.reposed")), list(run.rows("samples.reposed"))
    n = built.sampling.samples
    assert [p.meta["of"] for p in asked] == [p.id for p in run.rows("problems.test") for _ in range(n)]
    assert [s.problem_id for s in drawn] == [p.id for p in asked]
    assert len(list(run.rows("scores.ours.reposed"))) == len(list(run.rows("answers.reposed"))) == len(asked)


def test_voting_over_re_asked_problems_from_the_command_line(tmp_path, capsys):
    made = problems.generate(6, seed=5)
    pool, out = tmp_path / "pool.jsonl", tmp_path / "answers.jsonl"
    rows = [{"problem_id": p.id, "problem": p.text, "samples": [{"text": "?"}] * 8} for p in made]
    bad = {"problem_id": "bad", "problem": "?", "samples": []}
    pool.write_text("".join(json.dumps(row) + "\n" for row in (bad, *rows)))
    command = ["rerank", str(pool), "--method", "reasked-vote", "--recipe", "recipes/demo.yaml", "-o", str(out)]
    assert cli.main(command) == 0
    refused, *found = [json.loads(line) for line in out.read_text().splitlines()]
    assert refused["problem_id"] == "bad" and refused["answer"] is None and "bad_row: 'samples'" in refused["reason"]
    right = [row["answer"] == str(story.read_problem(p.text).answer) for row, p in zip(found, made, strict=True)]
    assert [len(row["answers"]) for row in found] == [8] * 6 and sum(right) >= 5
    assert found[0]["scores"] is None and 0 < found[0]["score"] <= 1
    assert cli.main([*command[:4], "-o", str(out)]) == 2
    assert "needs one with an engine and `repose`" in capsys.readouterr().err


def test_a_recipe_of_how_to_ask_alone_asks_as_the_whole_one_does(tmp_path):
    whole = reasking.load("recipes/demo.yaml")
    parts = {"engine": {"template": "{problem}\n", "name": "transformers"}, "answers": {"style": "last_number"}}
    (tmp_path / "asking.yaml").write_text(json.dumps({**parts, "repose": {"transform": "world"}}))  # JSON is YAML
    alone = reasking.load(str(tmp_path / "asking.yaml"), ["engine.model=world"])
    assert (alone.engine, alone.answers, alone.repose.transform) == (
        whole.engine,
        whole.answers,
        whole.repose.transform,
    )


def test_any_model_is_asked_by_the_recipe_that_ships(tmp_path, capsys):
    model = tiny_model.make(tmp_path / "model", max_position_embeddings=512)
    pool, out = tmp_path / "pool.jsonl", tmp_path / "answers.jsonl"
    text = "Tom had $12. Then he paid $5 for a book. How many dollars does he have left?"
    pool.write_text(json.dumps({"problem": text, "samples": ["?"] * 3}))
    command = ["rerank", str(pool), "--method", "reasked-vote", "--recipe", "recipes/reasked.yaml", "-o", str(out)]
    assert cli.main(command) == 2 and "add model=... to the command" in capsys.readouterr().err
    assert cli.main([*command, f"model={model}", "sampling.max_tokens=16"]) == 0
    (row,) = map(json.loads, out.read_text().splitlines())
    assert len(row["answers"]) == 3 and row["score"] is None or row["answer"]


def test_values_of_a_recipe_that_nobody_would_read_are_refused(tmp_path, capsys):
    command = ["rerank", "pool.jsonl", "-o", str(tmp_path / "o"), "--method"]
    assert cli.main([*command, "checked-vote", "model=x"]) == 2
    assert "'model=x': values of a recipe go with --method reasked-vote" in capsys.readouterr().err
    assert cli.main([*command, "reasked-vote", "--recipe", "recipes/demo.yaml", "train.epochs=2"]) == 2
    assert "does not read `train`" in capsys.readouterr().err
    assert cli.main([*command, "reasked-vote", "--recipe", "recipes/pool.yaml", "pool=x.jsonl"]) == 2
    assert "add repose.transform=text to the command" in capsys.readouterr().err


@pytest.mark.parametrize("reduce, told", [("average", "'average' is not known"), ("min", "goes with --prm")])
def test_a_reduction_that_would_be_ignored_is_refused(tmp_path, capsys, reduce, told):
    command = ["rerank", "pool.jsonl", "--method", "reasked-vote", "--recipe", "recipes/demo.yaml"]
    assert cli.main([*command, "--reduce", reduce, "-o", str(tmp_path / "o")]) == 2
    assert told in capsys.readouterr().err


def test_a_prm_weighs_the_re_asked_votes():
    made = problems.generate(2, seed=5)
    asked = [one for p in made for one in asked_again(p, 3, 0, plugins.build("transforms", "world", "name", None, ""))]
    read = [Answer(one.problem.id, 0, digit, k) for k, (one, digit) in enumerate(zip(asked[:3], "334"))]
    read = [Answer(a.problem_id, 0, a.text, int(a.text == "4")) for a in read]
    scores = [StepScores(one.problem.id, 0, "prm", "prm", (v,), (1.0,)) for one, v in zip(asked, (0.2, 0.3, 0.9))]
    row = reasking._voted(made[0], read, scores, "min")
    assert row["answer"] == "4" and row["score"] == 0.9 and row["scores"] == [0.2, 0.3, 0.9]
    assert reasking._voted(made[0], read, [None] * 3, None)["answer"] == "3"
