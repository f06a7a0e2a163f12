"""An export, by example: one checkpoint whose scores are the PRM's wherever it is loaded, and what cannot be exported."""

import json

import pytest
import tiny
import tiny_model
import torch

from prm import apply
from prm.errors import PrmError
from prm.export import export
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
    assert (out / "fitted" / "card.json").is_file() and apply.model_folder(out, None) == out
    config, card = json.loads((out / "config.json").read_text()), (out / "README.md").read_text()
    assert config["architectures"] == ["LlamaForSequenceClassification"]
    assert config["num_labels"] == 1 if "num_labels" in config else list(config["id2label"]) == ["0"]
    assert config["token_classification_bias"] is False and config["pad_token_id"] is not None
    assert all(word in card for word in ("vllm serve out", "AutoModelForTokenClassification", "min of its steps"))
    assert export(folder, out) == out, "an earlier export is replaced"


def test_a_bfloat16_backbone_is_merged_in_float32(tmp_path):
    folder = trained(tmp_path, dtype="bfloat16")
    encoded = Reader.open(folder).encode(PAIRS[:3])
    expected = PRM.load(folder, "cpu").score_encoded(encoded)
    for dtype in ("float32", "bfloat16", None):
        out = export(folder, tmp_path / "out", dtype)
        assert json.loads((out / "config.json").read_text())["dtype"] == (dtype or "bfloat16")
        given = PRM.load(out, "cpu").score_encoded(encoded)
        assert given == [pytest.approx(one, abs=5e-2) for one in expected]


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
    for out, said in (tmp_path / "mine", "no export"), (folder, "is the PRM itself|no export"):
        with pytest.raises(PrmError, match=said):
            export(folder, out)
    with pytest.raises(PrmError, match="--dtype: 'int8'"):
        export(folder, tmp_path / "out", "int8")
