"""vLLM in process, for real. It runs in a process of its own, since vLLM changes the one that it runs in (threads,
memory binding, logging); this file is that process's script too, behind the guard that spawning needs."""

import dataclasses
import json
import os
import subprocess
import sys

import pytest
from tiny_model import make

from prm.engines import Sampling, transformers, vllm
from prm.records import Problem, Sample

PROBLEMS = [
    Problem("short", "Ann has"),
    Problem("long", "So Ann has 12 apples. " * 20),
    Problem("none", ""),
    Problem("next", "12 + 35 = 47\nSo"),
]
SAMPLING = Sampling(samples=6, max_tokens=24, seed=3)
CALLS = {  # in this order, by one engine
    "all": (PROBLEMS, SAMPLING),
    "resumed": (PROBLEMS[3:], SAMPLING),
    "again": (PROBLEMS, SAMPLING),
    "cool": (PROBLEMS[:1], Sampling(samples=4, max_tokens=24, temperature=0.6, top_p=0.8)),
    "stopped": (PROBLEMS[:1], Sampling(samples=6, max_tokens=24, seed=3, stop=("app", "4"))),
    "greedy": (PROBLEMS[:1], Sampling(samples=1, max_tokens=8, temperature=0)),
    "begun": (PROBLEMS[:1], Sampling(samples=1, max_tokens=8, temperature=0), [" 12 apples"]),
}


def main(folder: str, out: str) -> None:
    engine = vllm.open_engine(vllm.Config(model=folder, dtype="float32", enforce_eager=True, max_num_seqs=16))
    rows = {name: [dataclasses.asdict(row) for row in engine.sample(*call)] for name, call in CALLS.items()}
    engine.close()
    with open(out, "w") as file:
        json.dump(rows, file)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def rows(folder, tmp_path_factory):
    """name of the call -> its samples."""
    pytest.importorskip("vllm")
    out = tmp_path_factory.mktemp("rows") / "rows.json"
    done = subprocess.run(
        [sys.executable, __file__, folder, str(out)],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    lists = {"token_ids": tuple, "logprobs": tuple}
    return {
        name: [Sample(**{k: lists.get(k, lambda v: v)(v) for k, v in row.items()}) for row in rows]
        for name, rows in json.loads(out.read_text()).items()
    }


@pytest.fixture(scope="module")
def reference(folder):
    return transformers.open_engine(transformers.Config(model=folder, device="cpu"))


def test_rows_in_order_with_ids_logprobs_and_reasons(rows, reference):
    assert [(r.problem_id, r.index) for r in rows["all"]] == [(p.id, i) for p in PROBLEMS for i in range(6)]
    assert {r.reason for r in rows["all"][6:12]} == {"prompt_too_long"}
    assert {r.reason for r in rows["all"][12:18]} == {"empty_prompt"}
    for row in rows["all"][:6] + rows["all"][18:]:
        assert len(row.token_ids) == len(row.logprobs) > 0
        assert row.finish == ("stop" if row.token_ids[-1] in reference.eos else "length")
        shown = row.token_ids[:-1] if row.finish == "stop" else row.token_ids
        assert row.text == reference.tokenizer.decode(shown, skip_special_tokens=True)
        assert row.reason == ("empty" if not row.text.strip() else "cut_off" if row.finish == "length" else "")


def test_the_same_again_and_when_resumed(rows):
    assert rows["again"] == rows["all"]
    assert [r.token_ids for r in rows["resumed"]] == [r.token_ids for r in rows["all"][18:]]
    assert len({r.token_ids for r in rows["all"][:6]}) > 1


def test_logprobs_are_the_models_own_whatever_the_temperature(rows, reference):
    import torch

    prompt = reference.tokenizer("Ann has")["input_ids"]
    for row in rows["all"][:6] + rows["cool"]:
        with torch.inference_mode():
            logprob = reference.model(torch.tensor([prompt + list(row.token_ids)])).logits.log_softmax(-1)[0]
        want = [logprob[len(prompt) - 1 + i, token].item() for i, token in enumerate(row.token_ids)]
        assert row.logprobs == pytest.approx(want, abs=1e-3)


def test_stop_texts_and_greedy_are_as_in_the_transformers_engine(rows, reference):
    for free, stopped in zip(rows["all"][:6], rows["stopped"]):
        cut = min((free.text.find(s) for s in ("app", "4") if s in free.text), default=len(free.text))
        assert stopped.text == free.text[:cut] and stopped.token_ids == free.token_ids[: len(stopped.token_ids)]
    ours, theirs = rows["greedy"][0], reference.sample(*CALLS["greedy"])[0]
    assert (ours.text, ours.token_ids, ours.finish) == (theirs.text, theirs.token_ids, theirs.finish)


def test_a_prefix_is_continued_as_in_the_transformers_engine(rows, reference):
    ours, theirs = rows["begun"][0], reference.sample(*CALLS["begun"])[0]
    assert (ours.text, ours.token_ids, ours.finish) == (theirs.text, theirs.token_ids, theirs.finish)
    assert ours.token_ids != rows["greedy"][0].token_ids


if __name__ == "__main__":
    main(*sys.argv[1:])
