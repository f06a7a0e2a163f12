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
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import prm as package
from prm import apply, models
from prm import config as configs
from prm.errors import PrmError
from prm.exportcard import text as card_text
from prm.model import DTYPES, PRM, read_config

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

HEAD = "score.weight"


def export(folder: str | os.PathLike, out: str | os.PathLike, dtype: str | None = None) -> Path:
    """Writes the PRM in `folder` as one checkpoint to `out`, whole or not at all, over an earlier export if there is one.

    dtype: of the weights written, "float32" or "bfloat16"; None: that of the PRM's backbone. An adapter is merged in float32
    and rounded once; in bfloat16 scores move by about a hundredth. Raises PrmError for what cannot be exported (`check`).
    """
    folder, out = Path(folder), Path(out)
    check(folder, out, dtype)
    prm = PRM.load(folder, "cpu")
    _pad_token(prm)
    model = _classifier(prm, dtype or prm.config.dtype)
    fresh = out.with_name(f"{out.name}.tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    _save(model, fresh)
    prm.tokenizer.save_pretrained(str(fresh))
    _describe(fresh, folder, prm, model, out.name)
    if out.exists():
        shutil.rmtree(out)
    fresh.rename(out)
    return out


def check(folder: Path, out: Path, dtype: str | None) -> None:
    """PrmError for a PRM that cannot be exported and for an `out` that must not be written over; reads no weights."""
    if dtype is not None and dtype not in DTYPES:
        raise PrmError(f"--dtype: '{dtype}' is not known; give one of {', '.join(DTYPES)}")
    config, _ = read_config(folder)
    if config.head != "linear":
        raise PrmError(f"{folder}: its head ({config.head}) is no single vector; serve it as it is: prm serve {folder}")
    if config.quantize:
        raise PrmError(
            f"{folder}: trained over {config.quantize} weights; set quantize to null in its prm.json to merge the adapter "
            "into the full ones (scores move a little)"
        )
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not _is_export(out))):
        raise PrmError(f"{out}: holds something that is no export; give another folder, or empty this one")
    if out.resolve() == folder.resolve():
        raise PrmError(f"{out}: is the PRM itself; give another folder")
    path = folder if config.lora is None else models.resolve(config.backbone)
    _classes(_backbone_config(folder, path), folder)


def _is_export(folder: Path) -> bool:
    return (folder / "prm.json").is_file() and (folder / "config.json").is_file()


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


def _save(model: PreTrainedModel, folder: Path) -> None:
    """Without a bar for what takes a second."""
    from transformers.utils import logging

    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model.save_pretrained(folder)
    finally:
        if bars:
            logging.enable_progress_bar()


def _describe(fresh: Path, folder: Path, prm: PRM, model: PreTrainedModel, name: str) -> None:
    """prm.json and usage.json (with what a fitted segmenter needs), so that all our verbs work on the export; README.md."""
    config = {**configs.plain(prm.config), "lora": None, "dtype": str(model.dtype).removeprefix("torch.")}
    card = {
        "version": package.__version__,
        "config": config,
        "backbone": {"name": prm.config.backbone, "fingerprint": prm.fingerprint},
    }
    (fresh / "prm.json").write_text(json.dumps(card, indent=2) + "\n")
    if (folder / "usage.json").is_file():
        shutil.copy(folder / "usage.json", fresh / "usage.json")
        fitted = (json.loads((folder / "usage.json").read_text()).get("segmenter") or {}).get("path")
        if fitted:
            shutil.copytree(folder / fitted, fresh / fitted)
    usage = apply.read_usage(fresh)
    (fresh / "README.md").write_text(card_text(name, prm.config, type(model).__name__, usage))
