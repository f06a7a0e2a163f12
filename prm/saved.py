"""A saved PRM's folder (prm/model.py says what lies there): found, checked, written and read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import prm as package
from prm import config as configs
from prm import models
from prm.errors import PrmError

if TYPE_CHECKING:
    import torch

    from prm.model import Config
    from prm.network import Network

ADAPTER, HEAD = "adapter_model.safetensors", "head.safetensors"


def local(name: str | os.PathLike) -> Path:
    """The folder itself, or of a hub id the folder that it was fetched to."""
    name = os.path.expanduser(name)
    if Path(name).is_dir() or models.is_local(name):
        return Path(name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        why = str(error).strip().splitlines()[0]
        raise PrmError(f"{name}: no such folder, and no PRM of the hub that can be fetched ({why})") from error


def card(folder: Path) -> dict[str, Any]:
    """prm.json."""
    try:
        found = json.loads((folder / "prm.json").read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise PrmError(
            f"{folder}: no saved PRM here (no prm.json); give the folder that training wrote, or the hub id of a PRM"
        ) from None
    except ValueError as error:
        raise PrmError(f"{folder}/prm.json: not JSON ({error}); the folder is damaged, train again") from None
    backbone = found.get("backbone") if isinstance(found, dict) else None
    if not isinstance(backbone, dict) or "fingerprint" not in backbone or "config" not in found:
        raise PrmError(
            f"{folder}/prm.json: does not say what the PRM is (config, backbone.fingerprint); the folder is damaged, train again"
        )
    return found


def check(folder: Path, config: Config) -> None:
    """PrmError where the adapter is missing; loads nothing."""
    if config.lora and not (folder / ADAPTER).is_file():
        raise PrmError(f"{folder}: no {ADAPTER}, which prm.json tells of; copy the whole folder, or train again")


def backbone_path(folder: Path, config: Config) -> str | Path:
    if config.lora is None:
        return folder / "backbone" if (folder / "backbone").is_dir() else folder  # an export is one model
    models.check(config.backbone)
    return models.resolve(config.backbone)


def write_card(config: Config, fingerprint: str, folder: Path, **more: Any) -> None:
    """prm.json; more: what else it is to say."""
    told = {
        "version": package.__version__,
        "config": configs.plain(config),
        "backbone": {"name": config.backbone, "fingerprint": fingerprint},
        **more,
    }
    (folder / "prm.json").write_text(json.dumps(told, indent=2) + "\n")


def write_weights(network: Network, lora: bool, folder: Path) -> None:
    """The head, and the adapter or the backbone trained whole; makes the folder."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    backbone = network.backbone
    if lora:
        adapter = get_peft_model_state_dict(backbone).items()
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in adapter}, folder / ADAPTER)
        backbone.peft_config["default"].save_pretrained(str(folder))
    else:
        save_quietly(backbone, folder / "backbone")
    save_file(network.head_state(), folder / HEAD)


def save_quietly(model: Any, folder: Path) -> None:
    """save_pretrained without a bar for what takes a second."""
    from transformers.utils import logging

    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model.save_pretrained(folder)
    finally:
        if bars:
            logging.enable_progress_bar()


def head_state(folder: Path) -> dict[str, torch.Tensor]:
    """The head's tensors, "score. ...", from a file of their own or, of an export, from the model's shards."""
    from safetensors import safe_open

    state = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as tensors:
            state |= {name: tensors.get_tensor(name) for name in tensors.keys() if name.startswith("score.")}
    if not state:
        raise PrmError(f"{folder}: no safetensors file holds the head (score.weight); the folder is damaged")
    return state


def load_adapter(network: Network, folder: Path) -> None:
    from peft import get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors.torch import load_file

    state = load_file(folder / ADAPTER)
    if set(state) != set(get_peft_model_state_dict(network.backbone)):
        raise PrmError(f"{folder}/{ADAPTER}: not the adapter that prm.json describes; train again")
    set_peft_model_state_dict(network.backbone, state)
