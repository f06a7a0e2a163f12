"""Where a model's files are, and whether they can be used, told before anything is loaded.

A model is "world" or "world-unbroken" (the small policies that ship with the package), a folder, or a hub id. A folder holds config.json,
the tokenizer's files and *.safetensors: pickled weights run code when they are read, so they are refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path

from prm.errors import PrmError

WORLD = "world"
PACKAGED = {WORLD: "policy", "world-unbroken": "policy_unbroken"}  # the second writes no line breaks between steps
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_INDEX = "model.safetensors.index.json"


def resolve(model: str) -> str:
    """What from_pretrained takes: a packaged policy's folder for its name, an existing folder as it is, else the hub
    id."""
    if model in PACKAGED:
        return str(Path(__file__).parent / "world" / PACKAGED[model])
    return os.path.expanduser(model) if _is_path(model) else model


def check(model: str) -> None:
    """Raises PrmError for a folder that is missing or lacks config, tokenizer or safetensors weights. Asks no network:
    a hub id is only checked for its form."""
    if model not in PACKAGED and not _is_path(model):
        if not _HUB_ID.fullmatch(model):
            raise PrmError(f"model '{model}': neither a folder nor a hub id; give 'world', a folder, or 'owner/name'")
        return
    folder = Path(resolve(model))
    if not folder.is_dir():
        raise PrmError(f"model {folder}: no such folder; check the path (a hub id looks like 'owner/name')")
    _check_config(folder)
    _check_weights(folder)
    if (folder / "tokenizer.json").is_file():
        _mapping(folder / "tokenizer.json")
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        raise PrmError(
            f"model {folder}: no tokenizer ({', '.join(_TOKENIZERS)}); save it there with "
            f"tokenizer.save_pretrained('{folder}')"
        )


def is_local(model: str) -> bool:
    """Whether the model is a packaged policy or a folder, and not the hub's."""
    return model in PACKAGED or _is_path(model)


def facts(model: str) -> dict:
    """What a folder's config.json says; {} for a hub id, which tells when it is loaded. `check` first."""
    file = Path(resolve(model)) / "config.json"
    return _mapping(file) if file.is_file() else {}


def _is_path(model: str) -> bool:
    """A hub id is name or owner/name. The rest is a path, as is owner/name where a folder `owner` lies here: a path
    mistyped in its last part is told at once, not after the hub was asked."""
    path = Path(model).expanduser()
    if model == "":  # to Path it would be the folder we are in
        return False
    if path.is_dir() or model.startswith((".", "/", "~")) or model.count("/") > 1 or model.endswith("/"):
        return True
    return "/" in model and path.parent.is_dir()


def _check_config(folder: Path) -> None:
    path = folder / "config.json"
    if not path.is_file():
        adapter = (folder / "adapter_config.json").is_file()
        raise PrmError(
            f"model {folder}: no config.json; "
            + (
                "this is a LoRA adapter: merge it into its base model first (peft: merge_and_unload)"
                if adapter
                else "give the folder that save_pretrained wrote"
            )
        )
    _mapping(path)


def _check_weights(folder: Path) -> None:
    if (folder / _INDEX).is_file():
        shards = _mapping(folder / _INDEX).get("weight_map", {}).values()
        missing = sorted(name for name in set(shards) if not (folder / name).is_file())
        if missing:
            raise PrmError(f"model {folder}: {missing[0]} is named in {_INDEX} but missing; fetch the weights again")
    files = sorted(folder.glob("*.safetensors"))
    for file in files:
        _check_header(file)
    if files:
        return
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if not pickles:
        raise PrmError(f"model {folder}: no *.safetensors; save the weights there with save_pretrained")
    raise PrmError(
        f"model {folder}: only pickled weights ({pickles[0]}), which run code when read; where you trust "
        f'them, convert: python -c "from transformers import AutoModelForCausalLM as M; '
        f"M.from_pretrained('{folder}', use_safetensors=False).save_pretrained('{folder}')\""
    )


def _check_header(file: Path) -> None:
    """A safetensors file starts with its header's length (8 bytes, little endian) and that header, a JSON object."""
    with file.open("rb") as stream:
        start = stream.read(9)
    length = int.from_bytes(start[:8], "little")
    if start[8:] != b"{" or 8 + length > file.stat().st_size:
        raise PrmError(
            f"{file}: not whole safetensors weights, perhaps a pointer that Git LFS left; fetch the weights again"
        )


def _mapping(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # bad JSON or bad UTF-8
        raise PrmError(f"{path}: not JSON ({error}); save or fetch the model again") from None
    if not isinstance(content, dict):
        raise PrmError(f"{path}: must be a JSON object, not {type(content).__name__}; save the model again")
    return content


def weights_fingerprint(path: str | Path, hub_config=None) -> str:
    """What tells weights from other weights: the commit of a hub model, else a hash of the folder's safetensors.

    Big files are hashed by size and 256 blocks of 64 KiB spread over them, so a 7B backbone takes milliseconds.
    """
    if not Path(path).is_dir():
        return str(getattr(hub_config, "_commit_hash", None))
    digest = hashlib.sha256()
    for file in sorted(Path(path).glob("*.safetensors")):
        size = file.stat().st_size
        digest.update(f"{file.name} {size}\n".encode())
        with file.open("rb") as stream:
            for i in range(256):
                stream.seek(i * size // 256)
                digest.update(stream.read(65536))
    return digest.hexdigest()[:16]
