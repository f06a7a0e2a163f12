"""The PRM as a reward function: one number a solution for TRL, verl and OpenRLHF, None for what cannot be scored."""

import importlib.util
import json

import pytest
import tiny
import torch

from prm import rewards
from prm.errors import PrmError
from prm.model import PRM
from prm.serve import openrlhf

PROBLEM = "what is one ?"
GOOD, SHORT, LONG = "so one then two .\nit makes right .", "wrong .", "what " * 90


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rewards")
    torch.manual_seed(1)
    prm = PRM.create(tiny.config(tiny.backbone(folder / "llama", pad=False)), "cpu")
    torch.nn.init.normal_(prm.network.head.weight, std=0.3)
    prm.save(folder / "prm")
    usage = {"reduce": "min", "segmenter": {"name": "delimiter", "by": "lines"}}
    (folder / "prm" / "usage.json").write_text(json.dumps(usage))
    return folder / "prm"


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
    rewards.of_environment.cache_clear()


def test_trl(expected):
    """Called as GRPOTrainer calls it: by keywords, with columns of the data set and callbacks beside."""
    called = {"completion_ids": [[1]] * 4, "answer": ["x"] * 4, "trainer_state": None, "log_metric": print}
    given = rewards.reward_func(prompts=[PROBLEM] * 3 + [LONG], completions=[GOOD, SHORT, " ", GOOD], **called)
    assert given == [*expected, None, None]
    chat = [[{"role": "system", "content": "Think."}, {"role": "user", "content": PROBLEM}]] * 2
    said = [[{"role": "assistant", "content": text}] for text in (GOOD, SHORT)]
    assert rewards.reward_func(prompts=chat, completions=said) == expected


def test_verl_loads_the_file_by_its_path(expected):
    spec = importlib.util.spec_from_file_location("custom_module", rewards.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.compute_score("gsm8k", GOOD, "12", {"question": PROBLEM, "index": 3}) == expected[0]
    assert module.compute_score("gsm8k", "", "12", {"question": PROBLEM}) is None
    with pytest.raises(PrmError, match="extra_info: has no text under 'question'"):
        module.compute_score("gsm8k", GOOD, "12", {"index": 3})


def test_openrlhf_with_its_own_prompts_end_marks_and_a_reward_for_what_has_none(expected, monkeypatch):
    monkeypatch.setenv("PRM_PROMPT", "User: {problem} Assistant:")
    monkeypatch.setenv("PRM_UNSCORED", "-1")
    prompt = f"User: {PROBLEM} Assistant:"
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
    monkeypatch.delenv("PRM_MODEL")
    with pytest.raises(PrmError, match="PRM_MODEL: is not set"):
        rewards.reward_func([PROBLEM], [GOOD])
    PRM.load(folder, "cpu").save(tmp_path)
    with pytest.raises(PrmError, match="does not say how step scores make one"):
        rewards.make(tmp_path)
    with pytest.raises(PrmError, match="does not say how a text is cut"):
        rewards.make(tmp_path, reduce="min")
