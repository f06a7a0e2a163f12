"""The PRM, by example: scores, batches, saving, loading, and what it refuses."""

import random
import shutil

import pytest
import tiny
import torch

from prm import inference
from prm.errors import PrmError
from prm.model import PRM, Config, LoraConfig, check

PROBLEM = "what is one ?"
STEPS = ["so one then two .\n", "it makes right .\n", "wrong .\n"]


def made(folder, kind="llama", **changes):
    """A PRM that says something: its trainable weights are random."""
    torch.manual_seed(1)
    prm = PRM.create(tiny.config(tiny.backbone(folder / kind, kind, pad=False), **changes), "cpu")
    for parameter in prm.network.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.1)
    return prm


def test_an_untrained_prm_is_sure_of_nothing(tmp_path):
    prm = PRM.create(tiny.config(tiny.backbone(tmp_path)), "cpu")
    assert all(0.02 < score < 0.98 for score in prm.score(PROBLEM, STEPS))


@pytest.mark.parametrize("kind", ["llama", "bert"])
def test_scores_do_not_depend_on_the_batch(tmp_path, kind, monkeypatch):
    prm = made(tmp_path, kind)
    rng = random.Random(0)
    pairs = [(PROBLEM, [rng.choice(STEPS) for _ in range(rng.randint(1, 20))]) for _ in range(30)]
    assert max(len(e.windows) for e in map(lambda p: inference_windows(prm, p), pairs)) > 1, "some need several windows"
    alone = [prm.score(*pair) for pair in pairs]
    assert [len(scores) for scores in alone] == [len(steps) for _, steps in pairs]
    for budget in (1, 200, 100_000):
        monkeypatch.setitem(inference.BUDGET, "cpu", budget)
        for scores, expected in zip(prm.score_batch(pairs), alone):
            assert scores == pytest.approx(expected, abs=1e-5)
    assert prm.score_batch(pairs[::-1])[::-1] == [pytest.approx(scores, abs=1e-5) for scores in alone]
    assert prm.score_batch(pairs) == prm.score_batch(pairs), "and are the same each time"


def inference_windows(prm, pair):
    from prm.encode import encode

    return encode(*pair, prm.tokenizer, prm.config)


def test_a_causal_prm_judges_a_step_by_what_came_before(tmp_path):
    prm = made(tmp_path)
    assert prm.score(PROBLEM, STEPS)[:2] == pytest.approx(prm.score(PROBLEM, STEPS[:2]), abs=1e-6)
    assert prm.score(PROBLEM, STEPS)[2] != pytest.approx(prm.score(PROBLEM, STEPS[2:])[0], abs=1e-4)


@pytest.mark.parametrize("kind, lora", [("llama", True), ("bert", True), ("gpt2", True), ("llama", False)])
def test_what_is_saved_loads_to_the_same_scores(tmp_path, kind, lora):
    prm = made(tmp_path, kind, **({} if lora else {"lora": None}))
    prm.save(tmp_path / "saved")
    loaded = PRM.load(tmp_path / "saved", "cpu")
    assert loaded.score(PROBLEM, STEPS) == pytest.approx(prm.score(PROBLEM, STEPS), abs=1e-6)
    assert loaded.config == prm.config
    files = {path.name for path in (tmp_path / "saved").rglob("*") if path.is_file()}
    assert files > {"prm.json", "head.safetensors", "tokenizer.json"}
    assert not any(name.endswith((".bin", ".pt", ".pth", ".pkl")) for name in files)


def test_a_prm_trained_whole_needs_its_backbone_no_more(tmp_path, capfd):
    prm = made(tmp_path, lora=None)
    capfd.readouterr()
    prm.save(tmp_path / "saved")
    assert capfd.readouterr().err == "", "no bar for what takes a second"
    shutil.rmtree(tmp_path / "llama")
    assert PRM.load(tmp_path / "saved", "cpu").score(PROBLEM, STEPS) == pytest.approx(prm.score(PROBLEM, STEPS))


def test_the_head_has_the_name_that_others_load(tmp_path):
    from safetensors.torch import load_file

    made(tmp_path).save(tmp_path / "saved")
    head = load_file(tmp_path / "saved" / "head.safetensors")
    assert {name: tuple(tensor.shape) for name, tensor in head.items()} == {"score.weight": (1, 32)}


def test_empty_input_is_an_error_not_a_score(tmp_path):
    prm = made(tmp_path)
    for steps, said in ([], "empty"), (["one .\n", ""], "a step is empty"), ("one .\n", "a list of texts"):
        with pytest.raises(PrmError, match=said):
            prm.score(PROBLEM, steps)
    with pytest.raises(PrmError, match="solution 2 of 2: the problem leaves less"):
        prm.score_batch([(PROBLEM, STEPS), ("what " * 100, STEPS)])
    assert prm.score_batch([]) == []


def test_a_tokenizer_of_another_model_is_refused(tmp_path):
    folder = tiny.backbone(tmp_path)
    special = tiny.tokenizer()
    special.add_special_tokens({"additional_special_tokens": ["<never in a text>"]})
    special.save_pretrained(folder)
    PRM.create(tiny.config(folder), "cpu")
    larger = tiny.tokenizer()
    larger.add_tokens(["seven"])
    larger.save_pretrained(folder)
    size = len(larger) - 1
    with pytest.raises(PrmError, match=f"tokens up to id {size}, its embeddings end at {size - 1}; .*resize_token"):
        PRM.create(tiny.config(folder), "cpu")


def test_pickled_weights_are_refused(tmp_path):
    folder = tmp_path / "llama"
    tiny.backbone(folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    for refuse in (check, PRM.create):
        with pytest.raises(PrmError, match="safetensors"):
            refuse(tiny.config(str(folder)))


@pytest.mark.parametrize("kind", ["bert", "roberta", "gpt2"])
def test_more_tokens_than_positions_are_refused(tmp_path, kind):
    folder = tiny.backbone(tmp_path, kind, positions=48)
    PRM.create(tiny.config(folder, max_tokens=48), "cpu").score(PROBLEM, ["one two .\n"] * 99)
    with pytest.raises(PrmError, match="has 48 positions"):
        PRM.create(tiny.config(folder, max_tokens=49), "cpu")
    with pytest.raises(PrmError, match="positions"):
        check(tiny.config(folder, max_tokens=51))


def test_lora_targets(tmp_path):
    folder = tiny.backbone(tmp_path)
    prm = PRM.create(tiny.config(folder, lora=LoraConfig(r=2, targets=("q_proj",))), "cpu")
    trained = {name for name, p in prm.network.named_parameters() if p.requires_grad}
    assert len(trained) == 5 and all("q_proj" in name or name == "head.weight" for name in trained)
    with pytest.raises(PrmError, match="prm.lora.targets"):
        PRM.create(tiny.config(folder, lora=LoraConfig(targets=("nothing",))), "cpu")


def test_a_bfloat16_backbone_has_a_float32_head(tmp_path):
    prm = made(tmp_path, dtype="bfloat16")
    assert prm.network.head.weight.dtype == torch.float32
    assert prm.score(PROBLEM, STEPS) == pytest.approx(made(tmp_path).score(PROBLEM, STEPS), abs=0.05)


def test_bad_values_name_the_key_and_the_remedy():
    for values, said in (
        ({"max_tokens": 4}, "max_tokens: 4 leaves no room"),
        ({"dtype": "int8"}, "dtype: unknown 'int8'; choose one of float32, bfloat16"),
    ):
        with pytest.raises(ValueError, match=said):
            Config(**values)
    with pytest.raises(ValueError, match="r: 0 is not positive"):
        LoraConfig(r=0)


def test_sprms_head_reads_the_second_last_states_and_hardly_moves_the_backbone(tmp_path):
    from prm.collate import pad

    prm = made(tmp_path, head="sprm_mlp")
    network, (window,) = prm.network.eval(), inference_windows(prm, (PROBLEM, STEPS)).windows
    batch = pad([window], 0)
    hidden = network.backbone(batch["input_ids"], output_hidden_states=True).hidden_states[-2][0, batch["at"]]
    first, _, _, last = network.head
    expected = last(torch.relu(first(hidden.detach()))).squeeze(-1)
    assert network(**batch).tolist() == pytest.approx(expected.tolist(), abs=1e-5)
    wanted = torch.autograd.grad(last(torch.relu(first(hidden))).sum(), _layer(network, 0))[0] * 1e-4
    network(**batch).sum().backward()
    torch.testing.assert_close(_layer(network, 0).grad, wanted, rtol=1e-3, atol=1e-9)
    assert _layer(network, 1).grad is None, "the last layer is not used"
    prm.save(tmp_path / "saved")
    assert PRM.load(tmp_path / "saved", "cpu").score(PROBLEM, STEPS) == pytest.approx(
        prm.score(PROBLEM, STEPS), abs=1e-5
    )


def _layer(network, number):
    return next(p for name, p in network.named_parameters() if f"layers.{number}." in name and p.requires_grad)


def test_four_bits_need_a_gpu_and_bitsandbytes_and_say_so(tmp_path, monkeypatch):
    config = tiny.config(tiny.backbone(tmp_path), quantize="nf4")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for refuse in (check, PRM.create):
        with pytest.raises(PrmError, match="prm.quantize: nf4 needs bitsandbytes"):
            refuse(config)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(PrmError, match="prm.quantize: nf4 needs a CUDA GPU"):
        check(config)
    for values, said in (({"quantize": "int3"}, "unknown 'int3'"), ({"quantize": "nf4", "lora": None}, "give lora")):
        with pytest.raises(ValueError, match=said):
            Config(**values)
    with pytest.raises(ValueError, match="head: unknown 'mlp'; choose one of linear, sprm_mlp"):
        Config(head="mlp")


def test_four_bit_options_reach_transformers_and_peft(tmp_path, monkeypatch):
    """On a machine with bitsandbytes and a GPU, as far as that can be seen on one without."""
    import peft
    import transformers

    from prm import network

    asked, ready = {}, []
    real = transformers.AutoModel.from_pretrained
    monkeypatch.setattr(
        transformers.AutoModel, "from_pretrained", lambda name, **options: (asked.update(options), real(name))[1]
    )
    monkeypatch.setattr(peft, "prepare_model_for_kbit_training", lambda model, **_: (ready.append(model), model)[1])
    network.open_backbone(tiny.backbone(tmp_path), "bfloat16", "sdpa", "nf4", "cuda:0")
    bits = asked["quantization_config"]
    assert bits.load_in_4bit and bits.bnb_4bit_quant_type == "nf4" and bits.bnb_4bit_compute_dtype == torch.bfloat16
    assert asked["device_map"] == {"": "cuda:0"} and len(ready) == 1
