"""What the page shows of one problem, as JSON: nothing is NaN there, what is not defined is null.

    {"run", "id", "text", "model", "layer", "window", "template", "notes": [..],
     "traces": [{"name", "label", "unit", "about", "low", "high", "least", "most"}],
     "sources": [{"name": "scores.prm", "kind": "scores", "label": "prm", "reduce": "product" or null}],
     "roles": [{"name", "typical": [spans]}] or null,
     "samples": [{"index", "answer", "cluster", "why", "text", "ends", "spans", "steps": the step of each token (null where there are none),
                  "values": {trace: [one a token]}, "scores": {source: [one a step]}, "whole": {source: one number},
                  "roles": [{"role", "confidence"} or null, one a step], "modes": [the same, one a token, as the live detector says; or none]}]}

low, high: the 5th and 95th percentile over the tokens of all samples, between which colours run; least, most: the 1st and 99th, the chart's range. Offsets count
characters (code points). whole: an arm's step scores reduced as its recipe says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from prm.page import reading
from prm.records import Answer, Group, Sample, Steps, StepScores
from prm.rerank import solution_score
from prm.roles.segments import owners

if TYPE_CHECKING:
    import numpy as np

    from prm.dynamics.traces import Traces
    from prm.store import Run

TRACES = {  # name: label, unit, meaning
    "kl": ("KL flow", "nats", "how far reading this token moved the prediction of the next one: KL(pₜ ‖ pₜ₋₁)"),
    "curl_norm": ("curl", "", "how sharply the hidden states bend here: |hₜ − 2hₜ₋₁ + hₜ₋₂| / |hₜ − hₜ₋₁|"),
    "rpi": (
        "RPI",
        "",
        "likeness to the recent past: cosine of hₜ with the mean of the states before it; near 1 is settled",
    ),
    "entropy": ("entropy", "nats", "how open the next token is: entropy of pₜ"),
    "surprise": ("surprise", "nats", "how unexpected this token was: −log pₜ₋₁(token)"),
}

TYPICAL = 4  # spans shown of a role


def gather(
    run: Run, group: Group, scores: Mapping[str, Mapping[int, StepScores]], plan: reading.Plan
) -> dict[str, Any]:
    """scores: stage without its split ("scores.prm") -> sample index -> scores. Reads the samples with the plan's model."""
    read = reading.read(plan, group.problem, group.samples)
    arms = run.recipe.get("arms", {})
    sources = [_source(name, arms) for name in scores]
    rows = zip(group.samples, group.steps, group.answers, read.traces, read.role_spans, read.role_states)
    return {
        "run": str(run.path),
        "id": group.problem.id,
        "text": group.problem.text,
        "model": plan.config.model,
        "layer": read.layer,
        "window": read.window,
        "template": plan.template,
        "notes": list(plan.notes),
        "traces": [_trace(name, read.traces) for name in TRACES],
        "sources": sources,
        "roles": [{"name": r.name, "typical": list(r.typical[:TYPICAL])} for r in plan.roles.roles]
        if plan.roles
        else None,
        "samples": [
            _sample(sample, steps, answer, traces, _said(scores, sample.index), sources)
            | {
                "roles": _roles(plan.roles, sample.text, steps.ends, spans, states),
                "modes": _modes(plan.roles, traces.spans, spans, states),
            }
            for sample, steps, answer, traces, spans, states in rows
        ],
    }


def step_means(page: Mapping[str, Any]) -> dict[int, list[dict[str, float | None]]]:
    """Sample index -> for each step, trace (by its label) -> its mean over the step's tokens that have it; None where none has."""
    found = {}
    for sample in page["samples"]:
        read = {t["label"]: sample["values"].get(t["name"], [None] * len(sample["steps"])) for t in page["traces"]}
        found[sample["index"]] = [
            {label: _mean(v for v, k in zip(values, sample["steps"]) if k == step) for label, values in read.items()}
            for step in range(len(sample["ends"]))
        ]
    return found


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _source(name: str, arms: Mapping[str, Any]) -> dict[str, Any]:
    kind, label = name.split(".", 1)
    reduce = arms.get(label, {}).get("reduce") if kind == "scores" else None
    return {"name": name, "kind": kind, "label": label, "reduce": reduce}


def _trace(name: str, read: Sequence[Traces]) -> dict[str, Any]:
    import numpy as np

    label, unit, about = TRACES[name]
    found = [values for traces in read if (values := traces.named(name)) is not None]
    values = np.concatenate(found) if found else np.zeros(0)
    values = values[~np.isnan(values)]
    ends = np.quantile(values, [0.05, 0.95, 0.01, 0.99]) if len(values) else [None] * 4
    return {"name": name, "label": label, "unit": unit, "about": about} | dict(
        zip(("low", "high", "least", "most"), map(_number, ends))
    )


def _said(scores: Mapping[str, Mapping[int, StepScores]], index: int) -> dict[str, list[float | None]]:
    return {name: list(map(_number, by_index[index].values)) for name, by_index in scores.items() if index in by_index}


def _sample(
    sample: Sample,
    steps: Steps,
    answer: Answer,
    traces: Traces,
    said: dict[str, list[float | None]],
    sources: Sequence[dict],
) -> dict[str, Any]:
    values = {name: traces.named(name) for name in TRACES}
    return {
        "index": sample.index,
        "answer": answer.text,
        "cluster": answer.cluster,
        "why": sample.reason or answer.reason,
        "text": sample.text,
        "ends": list(steps.ends),
        "spans": [list(span) for span in traces.spans],
        "steps": _steps(sample.text, steps.ends, traces.spans),
        "values": {name: list(map(_number, found)) for name, found in values.items() if found is not None},
        "unread": traces.reason,
        "scores": said,
        "whole": {
            s["name"]: _number(solution_score(said[s["name"]], s["reduce"]))
            for s in sources
            if s["reduce"] and s["name"] in said
        },
    }


def _steps(text: str, ends: Sequence[int], spans: Sequence[tuple[int, int]]) -> list[int | None]:
    return owners(text, ends, spans).tolist() if ends and spans else [None] * len(spans)


def _roles(roles, text: str, ends: Sequence[int], spans, states: np.ndarray | None) -> list[dict | None]:
    """The role of each step: of its centre, the mean state of its tokens. None for a step without tokens."""
    import numpy as np

    found: list[dict | None] = [None] * len(ends)
    if roles is None or states is None or not ends:
        return found
    step_T = owners(text, ends, spans)
    held = np.unique(step_T)
    role, sure = roles.assign(np.stack([states[step_T == i].mean(0) for i in held]).astype(np.float32))
    for i, r, c in zip(held, role, sure):
        found[i] = {"role": int(r), "confidence": _number(c)}
    return found


def _modes(roles, shown, spans, states: np.ndarray | None) -> list[dict]:
    """What the roles' detector says at each token, knowing nothing behind it; empty where the roles' model has other tokens than the traces'."""
    if roles is None or states is None or tuple(shown) != tuple(spans):
        return []
    return [{"role": int(r), "confidence": _number(c)} for r, c in zip(*roles.detect(states))]


def _number(value: float | None) -> float | None:
    """To five significant digits; None for NaN."""
    return None if value is None or value != value else float(f"{value:.5g}")
