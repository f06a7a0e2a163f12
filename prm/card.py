"""What a PRM's folder tells people: README.md, a model card as the hub shows it; and the way to the hub."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from prm import __version__
from prm import config as configs
from prm import models
from prm.errors import PrmError

if TYPE_CHECKING:
    from prm.model import Config
    from prm.settings import Config as TrainConfig

TASKS = "process-reward-model, reward-model, reasoning"


LABELS = (
    "Labels are soft and may come from signals that no person checked: what they are worth is for an evaluation to say."
)
GIVEN = "Labels were given from outside, by people or by other tools: what they are worth is for an evaluation to say."


def write_card(config: Config, training: TrainConfig, history: dict, folder: Path, labels: str = LABELS) -> None:
    """README.md of a trained PRM. history: as history.json has it; labels: what is said of them."""
    (folder / "README.md").write_text(card(config, training, history, labels))


def backbone_name(config: Config) -> str:
    """What others are told of the backbone: a hub id or a packaged policy's name, of a folder its last name alone."""
    local = models.is_local(config.backbone) and config.backbone not in models.PACKAGED
    return Path(models.resolve(config.backbone)).resolve().name if local else config.backbone


def base_model(config: Config) -> str:
    """The card's line of metadata for a backbone that others can find."""
    return "" if models.is_local(config.backbone) else f"base_model: {config.backbone}\n"


def card(config: Config, training: TrainConfig, history: dict, labels: str = LABELS) -> str:
    """The model card: what the PRM was trained on, how, with what losses, and how to use it."""
    hub = backbone_name(config)
    library = "library_name: peft\n" if config.lora else ""
    return f"""---
{base_model(config)}{library}tags: [{TASKS}]
---

# A process reward model on {hub}

It reads a problem and the steps of a solution, and gives each step a belief in [0, 1] that it is right.

```python
from prm.model import PRM

prm = PRM.load("this folder")
prm.score("2 + 3 * 4 = ?", ["3 * 4 = 12\\n", "2 + 12 = 15\\n"])
```

## Trained on

{_table(history["counts"])}

{labels}

## Losses

{_losses(history)}

## Settings

```json
{json.dumps({"prm": configs.plain(replace(config, backbone=hub)), "train": configs.plain(training)}, indent=1)}
```

Made with prm {__version__}.
"""


def _table(counts: dict[str, int]) -> str:
    rows = (f"| {name.replace('_', ' ')} | {n:,} |" for name, n in counts.items())
    return "\n".join(["| what | how many |", "|---|---|", *rows])


def _losses(history: dict) -> str:
    steps, evaluations = history["steps"], history.get("evaluations", [])
    lines = [f"Training: {_number(entry['loss'])} at step {entry['step']}." for entry in (steps[:1] + steps[1:][-1:])]
    for entry in evaluations:
        if entry["step"] == history["best"]:
            auroc = f", AUROC {_number(entry['eval_auroc'])}" if "eval_auroc" in entry else ""
            lines.append(
                f"Held-out problems: {_number(entry['eval_loss'])}{auroc} at step {entry['step']}, the one kept."
            )
    return "\n".join(lines)


def _number(value) -> str:
    return f"{float(value):.4f}"


def push(folder: Path, config: Config, repo_id: str, private: bool | None, token: str | None, message: str) -> str:
    """Uploads a PRM's folder to the hub, making the repository where there is none; its address.

    PrmError where others could not load it, or the hub refuses.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    if config.lora and models.is_local(config.backbone) and config.backbone not in models.PACKAGED:
        raise PrmError(
            f"push_to_hub: the adapter's backbone {config.backbone!r} is a folder of this machine; train on the hub's id, "
            "or push an export (`prm export`)"
        )
    api = HfApi(token=token)
    try:
        api.create_repo(repo_id, private=private, exist_ok=True)
        return str(api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=message))
    except HfHubHTTPError as error:
        raise PrmError(f"push_to_hub: {repo_id}: {str(error).strip().splitlines()[0]}") from error
