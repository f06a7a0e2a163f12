"""What every method of search keeps, a new file included: its form, the budget to the token, the same again,
reasons.
"""

import dataclasses

import pytest
from searching import LENGTH, PROBLEMS, SETTINGS, WAYS, Engine, Prm
from test_engine_openai import reply, serve

from prm import config, plugins
from prm.engines import openai
from prm.errors import PrmError
from prm.records import Problem
from prm.search import Common, Found, Stepwise

MODULES = {name: plugins.load("search", name) for name in plugins.names("search")}
STEPWISE = [name for name, module in MODULES.items() if issubclass(module.Config, Stepwise)]


def search(name, engine=None, prm=None, problems=PROBLEMS, **settings):
    made = plugins.build("search", {"method": name, **SETTINGS, **settings}, "method", None, "search")
    return MODULES[name].search(problems, engine or Engine(0.4), prm or Prm(), made.config)


def test_the_folder_holds_the_methods():
    assert {"best_of_n", "weighted_vote", "beam", "dvts", "tree"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_its_file_keeps_the_form(name):
    module = MODULES[name]
    assert module.__doc__ and callable(module.search)
    assert issubclass(module.Config, Common) and module.Config.__dataclass_params__.frozen
    made = module.Config()
    assert config.build(module.Config, config.plain(made), "search") == made


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("budget", [1, 7, LENGTH, 100, 333])
def test_no_token_beyond_the_budget_is_drawn_and_all_that_are_count(name, budget):
    engine = Engine(0.4)
    for one in search(name, engine, budget=budget):
        assert isinstance(one, Found) and one.tokens == engine.drawn[one.problem_id] == budget
        assert one.answer in ("1", "2") or (one.answer is None and one.solution is None and one.reason)


@pytest.mark.parametrize("name", STEPWISE)
@pytest.mark.parametrize("settings", [{"stop": ["\n"]}, {"step_tokens": 5}, {"step_tokens": 40}])
def test_a_budget_of_two_solutions_finishes_one(name, settings):
    for one in search(name, budget=2 * LENGTH, reserve=LENGTH, **settings):
        assert one.answer in ("1", "2") and one.score > 0


@pytest.mark.parametrize("name", MODULES)
def test_problems_do_not_mix_and_the_same_seed_finds_the_same(name):
    together = search(name, budget=200)
    assert together == search(name, budget=200)
    assert together == [one for problem in PROBLEMS for one in search(name, budget=200, problems=[problem])]
    assert [one.problem_id for one in together] == [problem.id for problem in PROBLEMS] and search(
        name, problems=[]
    ) == []
    assert together != search(name, budget=200, seed=1)


@pytest.mark.parametrize("name", MODULES)
def test_a_round_is_one_call_for_all_problems(name):
    counts = []
    for problems in (PROBLEMS[:1], PROBLEMS):
        engine, prm = Engine(1.0), Prm()
        search(name, engine, prm, problems, budget=4 * LENGTH, **({"stop": ["\n"]} if name in STEPWISE else {}))
        counts.append((len(engine.calls), len(prm.calls)))
    assert counts[1][0] < 3 * counts[0][0] and counts[1][1] < 2 * counts[0][1]


@pytest.mark.parametrize("name", MODULES)
def test_what_cannot_be_searched_has_a_reason_and_the_others_do_not_notice(name):
    others = search(name, budget=200)
    refused = search(name, Engine(0.4, refuse=["p1"]), budget=200)
    assert refused[1].reason == "prompt_too_long" and refused[1].tokens == 0 and refused[1].answer is None
    unscored = search(name, prm=Prm(refuse="way, 1"), budget=200)
    assert "too long" in unscored[1].reason and unscored[1].tokens < 200
    for found in (refused, unscored):
        assert found[:1] + found[2:] == others[:1] + others[2:]


@pytest.mark.parametrize("name", MODULES)
def test_a_solution_without_an_answer_is_told(name):
    (one,) = search(name, problems=PROBLEMS[:1], budget=200, engine=Silent(1.0))
    assert one.answer is None and one.solution and one.reason


class Silent(Engine):
    def _draw(self, problem, prefix, index, sampling):
        row = super()._draw(problem, prefix, index, sampling)
        return dataclasses.replace(row, text="".join(c if not c.isdigit() else "?" for c in row.text))


@pytest.mark.parametrize("name", MODULES)
def test_an_engine_that_does_not_count_is_refused(name):
    class Mute(Engine):
        def _draw(self, *given):
            return dataclasses.replace(super()._draw(*given), token_ids=(), logprobs=())

    with pytest.raises(PrmError, match="how many tokens"):
        search(name, Mute())


@pytest.mark.parametrize("step_tokens", [1, LENGTH // 2, LENGTH - 1, LENGTH])
@pytest.mark.parametrize("usage", [True, False])
@pytest.mark.parametrize("name", STEPWISE)
def test_a_server_that_shows_visible_tokens_alone_is_searched_where_a_draw_is_the_end_alone(name, usage, step_tokens):
    whole, drawn = WAYS["a"][0], []
    assert (LENGTH - 1) % (LENGTH // 2) == 0 and LENGTH - 1 == len(whole)

    def answer(body, _):
        rest = whole[len(body["prompt"].removeprefix("Q")) :]
        text = rest[: body["max_tokens"]]
        ended = len(rest) < body["max_tokens"]
        drawn.append(len(text) + ended)
        told = {"finish": "stop" if ended else "length", "logprobs": {"token_logprobs": [-0.1] * len(text)}}
        status, said = reply(text, **told)
        return status, said | ({"usage": {"completion_tokens": drawn[-1]}} if usage else {})

    settings = {"budget": 4 * LENGTH, "step_tokens": step_tokens, "reserve": LENGTH}
    with serve(answer) as (url, _):
        engine = openai.open_engine(openai.Config(base_url=url, template="Q{problem}", server="openai"))
        try:
            (one,) = search(name, engine, problems=[Problem("p", "")], **settings)
        finally:
            engine.close()
    assert one.answer == "1" and one.tokens <= sum(drawn) <= (one.tokens if usage else 2 * one.tokens)


@pytest.mark.parametrize("name", STEPWISE)
def test_stop_needs_an_engine_that_tells_it_from_the_end(name):
    engine = Engine()
    del engine.tokenizer
    with pytest.raises(PrmError, match="search.stop"):
        search(name, engine, stop=["\n"])


@pytest.mark.parametrize(
    "name, bad",
    [
        ("best_of_n", {"budget": 0}),
        ("best_of_n", {"beams": 2}),
        ("weighted_vote", {"reduce": "sum"}),
        ("beam", {"beams": 0}),
        ("beam", {"choose": "most"}),
        ("dvts", {"subtrees": 0}),
        ("tree", {"fewest": 9}),
        ("tree", {"stop": [""]}),
        ("tree", {"explore": -1.0}),
    ],
)
def test_bad_settings_are_told(name, bad):
    with pytest.raises(PrmError, match=next(iter(bad))):
        search(name, **bad)


def test_solutions_longer_than_allowed_are_cut_off_and_cost_what_they_cost():
    engine, short = Engine(), {"max_tokens": 10, "step_tokens": 10, "reserve": 0, "beams": 1, "width": 1}
    (one,) = search("beam", engine, problems=[Problem("p", "Which way?")], budget=100, **short)
    assert one.answer is None and one.reason == "cut_off" and one.tokens == engine.drawn["p"] == 100
