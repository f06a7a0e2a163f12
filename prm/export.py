"""A trained PRM as one checkpoint that others load: transformers, vLLM, TRL, OpenRLHF, verl.

    export("runs/demo/prm.prm-1a2b/model", "my-prm")        # `prm export runs/demo my-prm --arm prm`

LoRA is merged into the backbone, the head lies beside it as "score.weight" (1, hidden) without a bias, so the same files are
a <Base>ForSequenceClassification, which scores the last token of a text, and a <Base>ForTokenClassification, which scores
every token; the scores of steps stand at the read positions (`prm.serve.text`). Only architectures whose two classes in
transformers take just these weights can be exported that way: llama, qwen, mistral, gemma and their kin. `check` asks the
classes themselves, before any weight is loaded.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from prm import apply, card, models, saved
from prm.encode import specials
from prm.errors import PrmError
from prm.exportcard import text as card_text
from prm.model import DTYPES, PRM, read_config

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

HEAD = "score.weight"
FILES = "exported"  # in prm.json: all files of the export


def export(folder: str | os.PathLike, out: str | os.PathLike, dtype: str | None = None) -> Path:
    """Writes the PRM in `folder` as one checkpoint to `out`, whole or not at all; over an earlier export to which nothing was added.

    dtype: of the weights written, "float32" or "bfloat16"; None: that of the PRM's backbone. An adapter is merged in float32
    and rounded once; in bfloat16 scores move by about a hundredth. Raises PrmError for what cannot be exported (`check`).
    """
    folder, out = Path(folder), Path(out).resolve()
    check(folder, out, dtype)
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as place:
        fresh = Path(place, "fresh")
        prm = PRM.load(folder, "cpu")
        _pad_token(prm)
        model = _classifier(prm, dtype or prm.config.dtype)
        saved.save_quietly(model, fresh)
        prm.tokenizer.save_pretrained(str(fresh))
        _describe(fresh, folder, prm, model, out.name)
        _put(fresh, out, Path(place, "old"))
    return out


def _put(fresh: Path, out: Path, old: Path) -> None:
    if not out.exists():
        fresh.rename(out)
        return
    out.rename(old)
    try:
        fresh.rename(out)
    except OSError:
        old.rename(out)
        raise


def check(folder: Path, out: Path, dtype: str | None) -> None:
    """PrmError for a PRM that cannot be exported and for an `out` that must not be written over; reads no weights."""
    if dtype is not None and dtype not in DTYPES:
        raise PrmError(f"--dtype: '{dtype}' is not known; give one of {', '.join(DTYPES)}")
    config, _ = read_config(folder)
    apply.read_usage(folder)
    if config.head != "linear":
        raise PrmError(f"{folder}: its head ({config.head}) is no single vector; serve it as it is: prm serve {folder}")
    if config.quantize:
        raise PrmError(
            f"{folder}: trained over {config.quantize} weights; set quantize to null in its prm.json to merge the adapter "
            "into the full ones (scores move a little)"
        )
    read = [folder] + [Path(models.resolve(config.backbone))] * (
        config.lora is not None and models.is_local(config.backbone)
    )
    _check_out(out.resolve(), [path.resolve() for path in read])
    path = folder if config.lora is None else models.resolve(config.backbone)
    _classes(_backbone_config(folder, path), folder)


def _check_out(out: Path, read: Sequence[Path]) -> None:
    """PrmError for an `out` that holds what is read here or lies in it, that we are in, or that an export would not be alone in."""
    inside = next((path for path in read if out.is_relative_to(path) or path.is_relative_to(out)), None)
    if inside is not None:
        raise PrmError(f"{out}: is, holds or lies in {inside}, which the export is made from; give another folder")
    if Path.cwd().is_relative_to(out):
        raise PrmError(f"{out}: is where you are, and would be replaced; give the name of a folder in it")
    if not out.exists():
        return
    if not out.is_dir():
        raise PrmError(f"{out}: is a file; name a folder")
    added = sorted(_files(out) - _written(out))
    if added:
        raise PrmError(
            f"{out}: holds what no export wrote ({', '.join(added[:3])}); give another folder, or empty this one"
        )


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()}


def _written(folder: Path) -> set[str]:
    """The files that an earlier export wrote here, as its prm.json says."""
    try:
        return set(saved.card(folder).get(FILES, ()))
    except PrmError:
        return set()


def _backbone_config(folder: Path, path: str | Path) -> PretrainedConfig:
    from transformers import AutoConfig

    path = Path(path) / "backbone" if (Path(path) / "backbone").is_dir() else path
    try:
        return AutoConfig.from_pretrained(str(path))
    except (OSError, ValueError) as error:
        raise PrmError(f"{folder}: cannot read its backbone's config: {str(error).strip().splitlines()[0]}") from error


def _classes(config: PretrainedConfig, folder: Path) -> type[PreTrainedModel]:
    """The sequence classifier of this architecture, once it is sure that the token classifier has the same weights."""
    from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING as sequence
    from transformers import MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING as token

    kind = config.model_type
    remedy = f"'{kind}' cannot be exported as one checkpoint for all; serve it as it is: prm serve {folder}"
    if type(config) not in sequence or type(config) not in token:
        raise PrmError(f"{folder}: transformers has no sequence or no token classifier of this kind: {remedy}")
    config = _with_head(config)
    names = [_names(mapping[type(config)], config) for mapping in (sequence, token)]
    other = sorted((names[0] ^ names[1]) | ({HEAD} - names[0]))
    if other:
        raise PrmError(f"{folder}: its classifiers in transformers differ in {', '.join(other[:3])}: {remedy}")
    return sequence[type(config)]


def _names(kind: type[PreTrainedModel], config: PretrainedConfig) -> set[str]:
    import torch

    with torch.device("meta"):
        return set(kind(config).state_dict())


def _with_head(config: PretrainedConfig) -> PretrainedConfig:
    """A copy for a model with our head: one logit, no bias, no dropout before it, a sigmoid behind it in vLLM."""
    config = type(config).from_dict(config.to_dict())
    config.num_labels = 1
    config.id2label, config.label2id = {0: "right"}, {"right": 0}
    config.token_classification_bias = False
    config.classifier_dropout = 0.0
    config.problem_type = "multi_label_classification"
    return config


def _classifier(prm: PRM, dtype: str) -> PreTrainedModel:
    """The sequence classification model that holds the PRM's own tensors."""
    import torch
    from torch import nn

    backbone = _merged(prm, dtype)
    config = _with_head(backbone.config)
    config.pad_token_id = prm.tokenizer.pad_token_id
    config.dtype = getattr(torch, dtype)
    with torch.device("meta"):
        model = _classes(config, Path("the PRM"))(config)
    setattr(model, model.base_model_prefix, backbone)
    model.score = nn.Linear(backbone.config.get_text_config().hidden_size, 1, bias=False, device="meta")
    model.score.weight = nn.Parameter(prm.network.head.weight.detach().clone(), requires_grad=False)
    return model.to(getattr(torch, dtype)).eval()


def _merged(prm: PRM, dtype: str) -> PreTrainedModel:
    """The backbone with its adapter in the weights, as PRM.load merges one in float32."""
    import torch

    backbone = prm.network.backbone
    if prm.config.lora is None:
        return backbone
    if not any(getattr(module, "merged", False) for module in backbone.modules()):
        backbone.to(torch.float32).merge_adapter()
    return backbone.unload().to(getattr(torch, dtype))


def _pad_token(prm: PRM) -> None:
    """Batches of classifiers need a padding token that the backbone has an embedding for (a tokenizer's own may lie outside).
    One that is missing becomes the end of text, which sequence classifiers of transformers then skip too."""
    tokenizer, size = prm.tokenizer, prm.network.base().get_input_embeddings().num_embeddings
    names = (tokenizer.pad_token, tokenizer.eos_token, tokenizer.unk_token)
    token = next((name for name in names if name and tokenizer.convert_tokens_to_ids(name) < size), None)
    if token is None:
        raise PrmError(
            "the tokenizer has no padding, end or unknown token to pad with; give it a pad_token and save it"
        )
    tokenizer.pad_token = token
    tokenizer.padding_side = "right"


def _describe(fresh: Path, folder: Path, prm: PRM, model: PreTrainedModel, name: str) -> None:
    """usage.json (with what a fitted segmenter needs) and prm.json, so that all our verbs work on the export; README.md."""
    if (folder / "usage.json").is_file():
        told = json.loads((folder / "usage.json").read_text())
        apply.write_usage(fresh, {**told, "segmenter": apply.read_usage(folder).segmenter})
    usage = apply.read_usage(fresh)
    backbone, dtype = card.backbone_name(prm.config), str(model.dtype).removeprefix("torch.")
    opening = "" if prm.config.template == "chat" else prm.tokenizer.decode(specials(prm.tokenizer)[0])
    (fresh / "README.md").write_text(card_text(name, prm.config, type(model).__name__, usage, opening))
    config = replace(prm.config, lora=None, dtype=dtype, backbone=backbone)
    saved.write_card(config, prm.fingerprint, fresh, **{FILES: sorted({"prm.json", *_files(fresh)})})
