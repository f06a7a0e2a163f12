"""Asking whole problems again in other words: the small world's rewrites ask for the same answer, and votes over them are votes on the original."""

from prm import answers, pipeline, recipe, store
from prm.records import Sample
from prm.transforms import AnswerMap, world
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
