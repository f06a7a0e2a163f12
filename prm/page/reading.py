"""Which model reads a run's samples again, what stands before them, and the reading itself: one teacher-forced pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prm.dynamics import reader
from prm.dynamics.traces import Traces
from prm.engines import _common
from prm.errors import PrmError
from prm.records import Problem, Sample

if TYPE_CHECKING:
    import numpy as np

    from prm.roles.model import Roles
    from prm.store import Run

READABLE = ("transformers", "vllm")  # engines whose `model` is one that transformers can open
PLAIN = _common.PROBLEM + "\n"  # before samples whose engine has no template: nobody knows their prompt


@dataclass(frozen=True)
class Plan:
    """All that is known before a model is loaded. template, chat: as in the engine's config. notes: what a reader of the numbers must know."""

    config: reader.Config
    template: str
    roles: Roles | None = None
    notes: tuple[str, ...] = ()
    chat: bool = False


@dataclass(frozen=True, eq=False)
class Reading:
    """One a sample, in the samples' order. role_spans, role_states (T, D): tokens and states where roles are asked for; the roles' model may
    cut the text otherwise than the traces' does. layer, window: of the traces, as in `reader.Config`, the layer counted from 0."""

    traces: list[Traces]
    layer: int
    window: int
    role_spans: list[tuple[tuple[int, int], ...]]
    role_states: list[np.ndarray | None]


def plan(run: Run, model: str | None, roles: str | None) -> Plan:
    """model: None for the one that the run's engine sampled from. roles: the folder of saved roles. Loads no model; PrmError where there is none to load."""
    engine = run.recipe["engine"]
    if model is None and engine["name"] not in READABLE:
        raise PrmError(
            f"{run.path}: its engine ({engine['name']}) holds no model that could read its samples; give one with --model FOLDER_OR_HUB_ID"
        )
    config = reader.Config(model=model or engine["model"])
    reader.check(config)
    chat = bool(engine.get("chat"))
    return Plan(config, engine.get("template", PLAIN), _roles(roles), _notes(engine, config.model), chat)


def read(plan: Plan, problem: Problem, samples: Sequence[Sample]) -> Reading:
    """Opens the model (two, where the roles are another one's) and reads every sample behind its prompt."""
    shared = plan.roles is not None and plan.roles.reader.model == plan.config.model
    opened = plan.roles.open_reader() if shared else reader.Reader.open(plan.config)
    traces = opened.read(_behind_prompt(opened, plan, problem, samples), hidden=shared)
    told = traces
    if plan.roles is not None and not shared:
        other = plan.roles.open_reader()
        told = other.read(_behind_prompt(other, plan, problem, samples), hidden=True, traces=False)
    states = [None if t.hidden_LTD is None else t.hidden_LTD[-1] for t in told]
    return Reading(traces, opened.layers[-1], opened.config.window, [t.spans for t in told], states)


def _behind_prompt(opened: reader.Reader, plan: Plan, problem: Problem, samples: Sequence[Sample]) -> list[tuple]:
    (ids,) = _common.encode(opened.tokenizer, [problem], plan.template, plan.chat)
    return [(ids, sample.text) for sample in samples]


def _roles(folder: str | None) -> Roles | None:
    if folder is None:
        return None
    from prm.roles.model import Roles

    return Roles.load(folder)


def _notes(engine: dict, model: str) -> tuple[str, ...]:
    notes = []
    if "template" not in engine:
        notes.append(
            "The prompt that the samples were drawn with is not known; they are read behind the problem's text."
        )
    if engine.get("model") != model:
        notes.append("The samples are another model's, read by this one.")
    return tuple(notes)
