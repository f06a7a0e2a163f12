"""An export, by example: one checkpoint whose scores are the PRM's wherever it is loaded, and what cannot be exported."""

import json

import pytest
import tiny
import tiny_model
import torch

from prm import apply
from prm.errors import PrmError
from prm.export import export
from prm.exportcard import text as card_text
from prm.model import PRM
from prm.serve.text import Reader, inputs, scores

PAIRS = [
    ("what is one ?", ["so one then two .\n", "it makes right .\n", "wrong .\n"]),
    ("what is two ?", ["so two .\n"]),
    ("what is one ?", [f"so {'then ' * (i % 4)}six .\n" for i in range(30)]),  # several windows
    ("what " * 90, ["so two .\n", "it makes .\n"]),  # none
]


def trained(folder, kind="llama", backbone=None, **changes):
    """A saved PRM whose trainable weights are random."""
    torch.manual_seed(1)
    prm = PRM.create(tiny.config(backbone or tiny.backbone(folder / kind, kind, pad=False), **changes), "cpu")
    for parameter in prm.network.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.1)
    prm.save(folder / "prm")
    return folder / "prm"


def token_scores(folder, encoded):
    """As any user of transformers would get them: no missing keys, a sigmoid at each token."""
    from transformers import AutoModelForTokenClassification

    model, info = AutoModelForTokenClassification.from_pretrained(folder, output_loading_info=True)
    assert not any(info.values()), info
    with torch.inference_mode():
        logits = [model(torch.tensor([ids])).logits[0] for ids in inputs(encoded)]
    return scores(encoded, [one.double().sigmoid().tolist() for one in logits])


@pytest.mark.parametrize("kind, lora", [("llama", True), ("llama", False), ("qwen2", True)])
def test_the_same_scores_from_the_prm_the_export_and_both_classes_of_transformers(tmp_path, kind, lora):
    from transformers import AutoModelForSequenceClassification

    backbone = tiny_model.make(tmp_path / "qwen2") if kind == "qwen2" else None
    folder = trained(tmp_path, backbone=backbone, max_tokens=96, **({} if lora else {"lora": None}))
    out = export(folder, tmp_path / "out")
    encoded = Reader.open(out).encode(PAIRS)
    assert encoded == Reader.open(folder).encode(PAIRS)
    expected = PRM.load(folder, "cpu").score_encoded(encoded)
    assert [len(e.windows) > 1 for e in encoded] == [False, False, True, False] and encoded[3].reason
    for given in PRM.load(out, "cpu").score_encoded(encoded), token_scores(out, encoded):
        assert given == [pytest.approx(one, abs=1e-5) for one in expected]

    last, info = AutoModelForSequenceClassification.from_pretrained(out, output_loading_info=True)
    assert not any(info.values())
    ids, reads = list(encoded[0].windows[0].ids), encoded[0].windows[0].reads
    rows = [ids[: reads[2] + 1], ids[: reads[0] + 1]]
    rows = [row + [last.config.pad_token_id] * (len(ids) - len(row)) for row in rows]
    logits = last(torch.tensor(rows)).logits
    assert logits[:, 0].sigmoid().tolist() == pytest.approx([expected[0][2], expected[0][0]], abs=1e-5)


def test_trl_reads_the_last_steps_score_when_given_the_exports_name(tmp_path):
    """As GRPOTrainer loads a reward model by name, and reads prompt + completion without a trailing line break."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = trained(tmp_path)
    out = str(export(folder, tmp_path / "out"))
    model = AutoModelForSequenceClassification.from_pretrained(out, num_labels=1)
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert tokenizer.pad_token_id == model.config.pad_token_id
    texts = ["what is one ?\nso one then two .\nit makes right .", "what is one ?\nwrong ."]
    read = tokenizer(text=texts, return_tensors="pt", padding=True, padding_side="right", add_special_tokens=False)
    with torch.inference_mode():
        given = model.eval()(**read).logits[:, 0].sigmoid().tolist()
    steps = [["so one then two .\n", "it makes right ."], ["wrong ."]]
    expected = PRM.load(folder, "cpu").score_batch([("what is one ?", one) for one in steps])
    assert given == pytest.approx([one[-1] for one in expected], abs=1e-5)


def test_files_of_an_export(tmp_path):
    folder = trained(tmp_path)
    usage = {"reduce": "min", "segmenter": {"name": "attractor", "path": "fitted", "layers": [1]}}
    (folder / "usage.json").write_text(json.dumps(usage))
    (folder / "fitted").mkdir()
    (folder / "fitted" / "card.json").write_text("{}")
    out = export(folder, tmp_path / "out")
    assert (out / "segmenter" / "card.json").is_file() and apply.model_folder(out, None) == out
    config, card = json.loads((out / "config.json").read_text()), (out / "README.md").read_text()
    assert config["architectures"] == ["LlamaForSequenceClassification"]
    assert config["num_labels"] == 1 if "num_labels" in config else list(config["id2label"]) == ["0"]
    assert config["token_classification_bias"] is False and config["pad_token_id"] is not None
    assert all(word in card for word in ("vllm serve out", "AutoModelForTokenClassification", "min of its steps"))
    assert export(folder, out) == out, "an earlier export is replaced"


def test_a_bfloat16_backbone_is_merged_in_float32_and_rounded_once(tmp_path):
    """Against the sum itself, W + alpha / r * B A: a merge in bfloat16 rounds the update before it is added."""
    from safetensors.torch import load_file

    folder = trained(tmp_path, dtype="bfloat16")
    base, lora = load_file(tmp_path / "llama" / "model.safetensors"), load_file(folder / "adapter_model.safetensors")
    name = "layers.0.self_attn.q_proj"
    (a,), (b,) = ([t for key, t in lora.items() if key.endswith(f"{name}.lora_{side}.weight")] for side in "AB")
    (weight,) = (t for key, t in base.items() if key.endswith(f"{name}.weight"))
    merged = weight.bfloat16().float() + 8 / 4 * b.float() @ a.float()
    in_bfloat16 = weight.bfloat16() + 2 * b.bfloat16() @ a.bfloat16()
    assert (in_bfloat16 != merged.bfloat16()).float().mean() > 0.1, "a merge in bfloat16 would be seen"
    for dtype in ("float32", "bfloat16", None):
        out = export(folder, tmp_path / "out", dtype)
        assert json.loads((out / "config.json").read_text())["dtype"] == (dtype or "bfloat16")
        found = load_file(out / "model.safetensors")[f"model.{name}.weight"]
        if dtype == "float32":
            torch.testing.assert_close(found, merged, rtol=1e-6, atol=1e-6)
        else:
            assert (found != merged.bfloat16()).float().mean() < 0.01, "but for ties in the last bit of the sum"


def test_the_card_tells_of_what_the_tokenizer_puts_before_a_text(tmp_path):
    from tokenizers import processors
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    backbone = tiny.backbone(tmp_path / "llama")
    tokenizer = tiny.tokenizer()
    tokenizer.bos_token = "[CLS]"
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A", special_tokens=[("[CLS]", 2)]
    )
    tokenizer.save_pretrained(backbone)
    folder = trained(tmp_path, backbone=backbone)
    out = export(folder, tmp_path / "out")
    assert "begins with `[CLS]`" in (out / "README.md").read_text()
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(out), AutoTokenizer.from_pretrained(out)

    def by_name(text: str) -> float:
        read = tokenizer(text=[text], return_tensors="pt", add_special_tokens=False)
        with torch.inference_mode():
            return model.eval()(**read).logits[0, 0].sigmoid().item()

    ((expected,),) = PRM.load(folder, "cpu").score_batch([("what is one ?", ["wrong ."])])
    assert by_name("[CLS]what is one ?\nwrong .") == pytest.approx(expected, abs=1e-5)
    assert by_name("what is one ?\nwrong .") != pytest.approx(expected, abs=1e-4)
    plain = export(trained(tmp_path / "plain"), tmp_path / "out2")
    assert "begins with" not in (plain / "README.md").read_text()


def test_an_export_says_nothing_of_this_machine(tmp_path, capfd):
    folder = trained(tmp_path)
    usage = {"reduce": "min", "segmenter": {"name": "attractor", "path": "fitted"}}
    (folder / "usage.json").write_text(json.dumps(usage))
    (folder / "fitted").mkdir()
    capfd.readouterr()
    out = export(folder, tmp_path / "out")
    assert "Writing" not in capfd.readouterr().err
    for file in out.rglob("*"):
        assert file.is_dir() or str(tmp_path).encode() not in file.read_bytes(), file
    assert "from `llama`" in (out / "README.md").read_text() and "base_model" not in (out / "README.md").read_text()
    config = tiny.config("owner/name")
    told = card_text("out", config, "X", apply.read_usage(out), "")
    assert told.startswith("---\nbase_model: owner/name\nlibrary_name: transformers\n")


def test_only_what_an_export_wrote_is_replaced(tmp_path, monkeypatch):
    folder = trained(tmp_path)
    (tmp_path / "out.tmp").mkdir()
    (tmp_path / "out.tmp" / "thesis.tex").write_text("")
    (tmp_path / "link").symlink_to("out")
    assert export(folder, tmp_path / "link") == tmp_path / "out"
    assert export(folder, tmp_path / "link") == tmp_path / "out" and (tmp_path / "link").is_symlink()
    assert (tmp_path / "out.tmp" / "thesis.tex").exists() and not list(tmp_path.glob(".*"))
    (tmp_path / "out" / "notes").mkdir()
    (tmp_path / "out" / "notes" / "mine.md").write_text("")
    monkeypatch.setattr(PRM, "load", lambda *_: pytest.fail("a model was loaded"))
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    for out, said in (
        (tmp_path / "out", "holds what no export wrote .notes/mine.md"),
        (".", "is where you are"),
        ("..", "is, holds or lies in .*prm, which the export is made from"),
        (folder / "deep" / "out", "is, holds or lies in .*prm,"),
        (tmp_path / "llama" / "out", "is, holds or lies in .*llama,"),
        (folder / "prm.json" / "..", "is, holds or lies in"),
        (tmp_path / "file", "is a file"),
    ):
        (tmp_path / "file").write_text("")
        with pytest.raises(PrmError, match=said):
            export(folder, out)
    assert (folder / "prm.json").is_file() and (tmp_path / "out" / "notes" / "mine.md").exists()
    (folder / "usage.json").write_text(json.dumps({"segmenter": {"name": "attractor", "path": "../secret"}}))
    with pytest.raises(PrmError, match="segmenter.path: '../secret' leads outside"):
        export(folder, tmp_path / "out2")


def test_nothing_is_left_when_it_stops_halfway(tmp_path, monkeypatch):
    folder = trained(tmp_path)
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr("prm.export._describe", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export(folder, tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == before


def test_what_cannot_be_exported_says_why_before_weights_are_read(tmp_path):
    for kind in ("gpt2", "bert", "roberta"):
        folder = trained(tmp_path / kind, kind)
        with pytest.raises(PrmError, match=f"differ in .*'{kind}' cannot be exported.* prm serve"):
            export(folder, tmp_path / "out")
    folder = trained(tmp_path / "mlp", head="sprm_mlp")
    with pytest.raises(PrmError, match="head .sprm_mlp. is no single vector"):
        export(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(PrmError, match="no saved PRM"):
        export(tmp_path, tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    folder = trained(tmp_path)
    for out, said in (tmp_path / "mine", "no export"), (folder, "is, holds or lies in"):
        with pytest.raises(PrmError, match=said):
            export(folder, out)
    with pytest.raises(PrmError, match="--dtype: 'int8'"):
        export(folder, tmp_path / "out", "int8")
