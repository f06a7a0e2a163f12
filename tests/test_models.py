"""A model is checked by its files alone: what is missing, and what would run code, is told before anything loads."""

import json
from pathlib import Path

import pytest

from prm import models
from prm.errors import PrmError


def folder(path, *files):
    path.mkdir()
    for name in files:
        (path / name).write_bytes((2).to_bytes(8, "little") * name.endswith(".safetensors") + b"{}")  # an empty header
    return str(path)


def test_resolve(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    assert models.resolve("mine") == "mine"
    assert models.resolve("Qwen/Qwen2.5-0.5B") == "Qwen/Qwen2.5-0.5B"
    assert Path(models.resolve("world")).parts[-3:] == ("prm", "world", "policy")


def test_the_world_policy_is_whole():
    if not Path(models.resolve("world")).is_dir():
        pytest.skip("the small policy is not made yet: recipes/ has the command")
    models.check("world")


def test_good_models_pass(tmp_path):
    models.check("Qwen/Qwen2.5-0.5B")
    models.check("gpt2")
    models.check(folder(tmp_path / "plain", "config.json", "tokenizer.json", "model.safetensors"))
    models.check(folder(tmp_path / "both", "config.json", "tokenizer.json", "model.safetensors", "pytorch_model.bin"))


@pytest.mark.parametrize(
    "files, message",
    [
        ([], "no config.json; give the folder that save_pretrained wrote"),
        (["adapter_config.json"], "no config.json; this is a LoRA adapter: merge it"),
        (["config.json", "tokenizer.json"], r"no \*.safetensors"),
        (
            ["config.json", "tokenizer.json", "pytorch_model.bin"],
            r"only pickled weights \(pytorch_model.bin\).*convert: python -c",
        ),
        (["config.json", "tokenizer.json", "weights.pt"], r"only pickled weights \(weights.pt\)"),
        (["config.json", "model.safetensors"], "no tokenizer .*tokenizer.save_pretrained"),
    ],
)
def test_what_a_folder_lacks(tmp_path, files, message):
    with pytest.raises(PrmError, match=message):
        models.check(folder(tmp_path / "model", *files))


def test_a_shard_that_is_missing(tmp_path):
    path = folder(tmp_path / "model", "config.json", "tokenizer.json", "a.safetensors")
    index = {"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}
    (tmp_path / "model" / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(PrmError, match="b.safetensors is named in .*but missing"):
        models.check(path)


def test_broken_config(tmp_path):
    path = folder(tmp_path / "model", "tokenizer.json", "model.safetensors")
    (tmp_path / "model" / "config.json").write_text("{")
    with pytest.raises(PrmError, match="config.json: not JSON"):
        models.check(path)


@pytest.mark.parametrize("model", ["./nowhere", "/no/where/at/all", "~/nowhere-at-all", "runs/policy/nowhere"])
def test_a_missing_folder_is_no_hub_id(model):
    with pytest.raises(PrmError, match="no such folder"):
        models.check(model)


def test_a_folder_mistyped_in_its_last_part(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "models")
    with pytest.raises(PrmError, match="models/polciy: no such folder"):
        models.check("models/polciy")


def test_neither_folder_nor_hub_id():
    with pytest.raises(PrmError, match="neither a folder nor a hub id"):
        models.check("my model")
    with pytest.raises(PrmError, match="neither a folder nor a hub id"):
        models.check("")


def test_the_advice_on_pickled_weights_works(tmp_path):
    import re

    import torch
    from safetensors.torch import load_file
    from tiny_model import make

    path = Path(make(tmp_path / "model"))
    before = load_file(path / "model.safetensors")
    torch.save(before, path / "pytorch_model.bin")
    (path / "model.safetensors").unlink()
    with pytest.raises(PrmError) as refusal:
        models.check(str(path))
    code = re.search('python -c "(.*)"', str(refusal.value)).group(1)
    exec(code, {})
    models.check(str(path))
    assert torch.equal(load_file(path / "model.safetensors")["model.norm.weight"], before["model.norm.weight"])


def test_weights_that_are_not_whole_are_told_before_anything_loads(tmp_path):
    path = folder(tmp_path / "model", "config.json", "tokenizer.json", "model.safetensors")
    for content in (b"version https://git-lfs.github.com/spec/v1\n", b"", (99).to_bytes(8, "little") + b"{}"):
        (tmp_path / "model" / "model.safetensors").write_bytes(content)
        with pytest.raises(PrmError, match="model.safetensors: not whole .* fetch the weights again"):
            models.check(path)
