"""A saved PRM's folder: what holds none, what is damaged, and the way to and from the hub."""

import json

import pytest
from test_model import PROBLEM, STEPS, made

from prm.errors import PrmError
from prm.model import PRM


def test_an_adapter_on_other_weights_is_refused(tmp_path):
    prm = made(tmp_path)
    prm.save(tmp_path / "saved")
    prm.network.backbone.get_base_model().save_pretrained(tmp_path / "llama")  # LoRA's names: other bytes
    with pytest.raises(PrmError, match="other weights"):
        PRM.load(tmp_path / "saved", "cpu")


def test_folders_that_hold_no_prm(tmp_path):
    with pytest.raises(PrmError, match="no saved PRM"):
        PRM.load(tmp_path / "nowhere")
    (tmp_path / "prm.json").write_text("{")
    with pytest.raises(PrmError, match="not JSON"):
        PRM.load(tmp_path)
    for damaged in ("{}", "[]", '{"config": {}, "backbone": {}}'):
        (tmp_path / "prm.json").write_text(damaged)
        with pytest.raises(PrmError, match="prm.json: does not say what the PRM is .* train again"):
            PRM.load(tmp_path)
    made(tmp_path).save(tmp_path / "saved")
    (tmp_path / "saved" / "adapter_model.safetensors").rename(tmp_path / "kept")
    with pytest.raises(PrmError, match="saved: no adapter_model.safetensors, .* copy the whole folder"):
        PRM.load(tmp_path / "saved")
    (tmp_path / "kept").rename(tmp_path / "saved" / "adapter_model.safetensors")
    card = json.loads((tmp_path / "saved" / "prm.json").read_text())
    (tmp_path / "saved" / "prm.json").write_text(json.dumps({**card, "config": {**card["config"], "lore": 1}}))
    with pytest.raises(PrmError, match="did you mean 'lora'"):
        PRM.load(tmp_path / "saved")


def test_a_hub_id_is_fetched_where_no_folder_has_that_name(tmp_path, monkeypatch):
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def fetched(name):
        if name != "me/prm":
            raise LocalEntryNotFoundError("no such repository")
        return str(tmp_path / "saved")

    prm = made(tmp_path)
    prm.save(tmp_path / "saved")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetched)
    assert PRM.load("me/prm", "cpu").score(PROBLEM, STEPS) == pytest.approx(prm.score(PROBLEM, STEPS), abs=1e-6)
    with pytest.raises(PrmError, match="me/pmr: no such folder, and no PRM of the hub .*no such repository"):
        PRM.load("me/pmr")
    with pytest.raises(PrmError, match="no saved PRM here .* folder that training wrote, or the hub id"):
        PRM.load("./pmr")


def test_push_to_hub_uploads_the_whole_folder(tmp_path, monkeypatch):
    import huggingface_hub

    seen = []

    class Hub:
        def __init__(self, token):
            seen.append(token)

        def create_repo(self, repo_id, private, exist_ok):
            seen.append((repo_id, private, exist_ok))

        def upload_folder(self, repo_id, folder_path, commit_message):
            seen.append((repo_id, {path.name for path in folder_path.iterdir()}, commit_message))
            return f"https://hub/{repo_id}"

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    prm = made(tmp_path, lora=None)
    prm.save(tmp_path / "saved")
    (tmp_path / "saved" / "README.md").write_text("card")
    loaded = PRM.load(tmp_path / "saved", "cpu")
    assert loaded.push_to_hub("me/prm", private=True, token="t") == "https://hub/me/prm"
    assert seen[:2] == ["t", ("me/prm", True, True)]
    assert seen[2][1] > {"prm.json", "head.safetensors", "README.md", "backbone"}
    assert prm.push_to_hub("me/prm") and "prm.json" in seen[-1][1], "one that was never saved, too"
    with pytest.raises(PrmError, match="is a folder of this machine"):
        made(tmp_path / "2").push_to_hub("me/prm")
