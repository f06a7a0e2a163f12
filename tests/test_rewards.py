"""The PRM as a reward function: one number a solution for TRL, verl and OpenRLHF, None for what cannot be scored."""

import gc
import importlib.util
from concurrent.futures import ThreadPoolExecutor

import pytest
from serving import PROBLEM, saved

from prm import rewards
from prm.errors import PrmError
from prm.model import PRM
from prm.serve import openrlhf
from prm.serve.judge import Judge

GOOD, SHORT, LONG = "so one then two .\nit makes right .", "wrong .", "what " * 90


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("rewards"))


@pytest.fixture(scope="module")
def expected(folder):
    """The rewards of GOOD and SHORT."""
    steps = [["so one then two .\n", "it makes right ."], ["wrong ."]]
    return [
        pytest.approx(min(one), abs=1e-5) for one in PRM.load(folder, "cpu").score_batch([(PROBLEM, s) for s in steps])
    ]


@pytest.fixture(autouse=True)
def environment(monkeypatch, folder):
    monkeypatch.setenv("PRM_MODEL", str(folder))
    rewards._loaded.cache_clear()


def test_trl(expected):
    """Called as GRPOTrainer calls it: by keywords, with columns of the data set and callbacks beside."""
    called = {"completion_ids": [[1]] * 4, "answer": ["x"] * 4, "trainer_state": None, "log_metric": print}
    given = rewards.reward_func(prompts=[PROBLEM] * 3 + [LONG], completions=[GOOD, SHORT, " ", GOOD], **called)
    assert given == [*expected, None, None]
    chat = [[{"role": "system", "content": "Think."}, {"role": "user", "content": PROBLEM}]] * 2
    said = [[{"role": "assistant", "content": text}] for text in (GOOD, SHORT)]
    assert rewards.reward_func(prompts=chat, completions=said) == expected


def test_trl_with_tools_parts_and_nothing_said(expected):
    """Only what the assistant says in words is judged; a row without words is None beside rows that have some."""
    asked = [{"type": "image"}, {"type": "text", "text": PROBLEM + "\n"}]
    one, two = GOOD.split("\n")
    call = {"role": "assistant", "content": None, "tool_calls": [{"name": "add"}]}
    said = [
        [
            {"role": "assistant", "content": one},
            call,
            {"role": "tool", "content": "7"},
            {"role": "assistant", "content": two},
        ],
        [{"role": "assistant", "content": [{"type": "text", "text": "wro"}, {"type": "text", "text": "ng ."}]}],
        [call],
        [],
        [{"role": "assistant", "content": GOOD}],
    ]
    chat = [[{"role": "user", "content": asked}]] * 4 + [[{"role": "user", "content": asked[:1]}]]
    assert rewards.reward_func(prompts=chat, completions=said) == [*expected, None, None, None]
    with pytest.raises(PrmError, match="no user message"):
        rewards.reward_func(prompts=[[{"role": "system", "content": "Think."}]], completions=said[:1])


def test_the_white_space_around_a_problem_is_the_prompts(expected):
    assert rewards.reward_func([PROBLEM + "\n", f"\n{PROBLEM} "], [GOOD, SHORT]) == expected


def test_many_threads_from_cold_load_one_prm(expected, monkeypatch):
    """As verl calls it, a sample a thread: one load, and samples that come together are judged together."""
    monkeypatch.setenv("PRM_UNSCORED", "0")
    loaded, load, judged, judge = [], PRM.load, [], Judge.judge
    monkeypatch.setattr(PRM, "load", lambda *given: (loaded.append(given), load(*given))[1])
    monkeypatch.setattr(Judge, "judge", lambda self, items: (judged.append(len(items)), judge(self, items))[1])
    texts = [GOOD, SHORT, ""] * 40
    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(lambda text: rewards.compute_score("gsm8k", text, "", {"question": PROBLEM}), texts))
    assert found == [*expected, 0.0] * 40
    assert len(loaded) == 1 and sum(judged) == 120 > len(judged)


def test_a_factory_that_is_dropped_ends_its_thread(folder):
    made = rewards.make(folder, device="cpu")
    thread = made.worker._thread
    del made
    gc.collect()
    thread.join(20)
    assert not thread.is_alive()


def test_verl_loads_the_file_by_its_path(expected, monkeypatch):
    monkeypatch.setenv("PRM_UNSCORED", "0.25")
    spec = importlib.util.spec_from_file_location("custom_module", rewards.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.compute_score("gsm8k", GOOD, "12", {"question": PROBLEM, "index": 3}) == expected[0]
    assert module.compute_score("gsm8k", "", "12", {"question": PROBLEM}) == 0.25
    with pytest.raises(PrmError, match="extra_info: has no text under 'question'"):
        module.compute_score("gsm8k", GOOD, "12", {"index": 3})


def test_openrlhf_with_its_own_prompts_end_marks_and_a_reward_for_what_has_none(expected, monkeypatch):
    monkeypatch.setenv("PRM_PROMPT", r"User:\t{problem}\nAssistant:")
    monkeypatch.setenv("PRM_UNSCORED", "-1")
    prompt = f"User:\t{PROBLEM}\nAssistant:"
    queries = [prompt + GOOD + "[SEP]", prompt + SHORT + "\n[SEP][SEP]", prompt + "[SEP]"]
    given = openrlhf.reward_func(queries, [prompt] * 3, ["", "", ""])
    assert given["rewards"] == given["scores"] == [*expected, -1.0]
    with pytest.raises(PrmError, match="is not of the form"):
        openrlhf.reward_func(["Human: a b"], ["Human: a"], [""])


def test_a_factory_for_several(folder):
    steps = PRM.load(folder, "cpu").score(PROBLEM, ["so one then two .\n", "it makes right ."])
    last = rewards.make(folder, reduce="last", device="cpu").reward_func
    assert last([PROBLEM], [GOOD]) == [pytest.approx(steps[-1], abs=1e-5)]
    with pytest.raises(PrmError, match="--reduce: 'best' is not known"):
        rewards.make(folder, reduce="best")


def test_what_is_missing_is_said(monkeypatch, folder, tmp_path):
    monkeypatch.setenv("PRM_UNSCORED", "zero")
    with pytest.raises(PrmError, match="PRM_UNSCORED: 'zero' is no number"):
        rewards.reward_func([PROBLEM], [GOOD])
    monkeypatch.setenv("PRM_UNSCORED", "inf")
    with pytest.raises(PrmError, match="PRM_UNSCORED: inf is not finite"):
        rewards.reward_func([PROBLEM], [GOOD])
    monkeypatch.delenv("PRM_UNSCORED")
    for ask in (
        lambda: rewards.compute_score("", GOOD, "", {"question": PROBLEM}),
        lambda: openrlhf.reward_func([], [], []),
    ):
        with pytest.raises(PrmError, match="PRM_UNSCORED: is not set, and verl and OpenRLHF stop"):
            ask()
    monkeypatch.delenv("PRM_MODEL")
    with pytest.raises(PrmError, match="PRM_MODEL: is not set"):
        rewards.reward_func([PROBLEM], [GOOD])
    PRM.load(folder, "cpu").save(tmp_path)
    monkeypatch.setattr(PRM, "load", lambda *_: 1 / 0)  # all of this is said before the model is read
    with pytest.raises(PrmError, match="does not say how step scores make one"):
        rewards.make(tmp_path)
    with pytest.raises(PrmError, match="does not say how a text is cut"):
        rewards.make(tmp_path, reduce="min")
