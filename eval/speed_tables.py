"""README's tables of speed and of search, from what `eval.bench` and `eval.search` wrote with --out."""

from __future__ import annotations

from collections.abc import Mapping

from eval.html import difference

BENCH = (  # part, key, what it says, the goal
    ("train", "vs_trl_tokens_per_s", "training, tokens a second: times TRL 1.13's PRMTrainer", "at least 2"),
    ("train", "alone_vs_trl_tokens_per_s", "... without siblings side by side: the same optimizer steps as TRL's", ""),
    ("train", "vs_trl_grouped_tokens_per_s", "... times TRL's told to make batches of like lengths", ""),
    ("train", "vs_trl_same_kernels_tokens_per_s", "... times TRL's given our linear layers", ""),
    ("train", "vs_trl_peak_memory", "training, peak memory of the process: of TRL's", "below 1"),
    ("train", "loss_error", "training, loss: difference from float64, window by window", "below 1e-5"),
    ("score", "vs_one_at_a_time", "scoring: times one solution at a time", "at least 3"),
    ("score", "vs_sorted_padded", "scoring: times padded batches of like lengths", "at least 1.3"),
    ("score", "vs_sorted_padded_same_kernels", "... the same with our linear layers in both", ""),
    ("score", "max_error", "scoring: largest difference from these", ""),
    ("score", "vs_rescoring", "scoring step by step: times scoring the whole again at each step", ""),
    ("score", "step_growth", "... time of the last third of the steps over the first's", "near 1"),
    ("score", "rows_memory_growth", "`prm score`: memory for ten times the rows, minus 1", "near 0"),
    ("dynamics", "time_ratio", "dynamics: time over a forward pass with logits", "at most 1.3"),
    ("dynamics", "memory_ratio", "dynamics: memory over that of logits", "at most 0.25"),
    ("dynamics", "max_error", "dynamics: difference from float64, nats", "at most 1e-4"),
)
METHODS = {
    "one_sample": "one sample",
    "majority": "majority",
    "best_of_n": "best-of-N",
    "beam_best": "step beams, best",
    "dvts_best": "diverse beams (DVTS), best",
    "tree_best": "tree search, best",
    "weighted_vote": "weighted vote",
    "beam": "step beams, vote",
    "dvts": "diverse beams (DVTS), vote",
    "tree": "tree search, vote",
    "any_right": "any right",
}


def bench(found: Mapping) -> str:
    """One line a ratio; a part that was not run has none."""
    lines = ["| | measured | goal |", "|---|---:|---:|"]
    for part, key, what, goal in BENCH:
        value = found.get(part, {}).get(key)
        if value is not None:
            lines.append(f"| {what} | {_short(value)} | {goal} |")
    train, score = found.get("train", {}), found.get("score", {})
    told = []
    if "n" in train:
        size = f"{train['model']['parameters'] / 1e6:.1f} million parameters"
        told.append(f"Training: {train['n']} solutions ({train['rows']}), {train['tokens']:,} tokens, {size}.")
    if "n" in score:
        part = f"{score['tokens_computed']:.0%} of them computed"
        told.append(
            f"Scoring: {score['n']} solutions ({score['rows']}), {score['tokens']:,} tokens, {part}, {score['shape']}."
        )
    return "\n".join([*lines, "", *told])


def _short(value: float) -> str:
    return f"{value:.1e}" if abs(value) < 1e-3 else f"{value:.2f}"


def search(found: Mapping) -> str:
    """One line a method, two columns a budget: accuracy, and the difference from the independent samples chosen alike."""
    budgets = found["budgets"]
    heads = [cell for k in budgets for cell in (f"{k} samples' tokens", "over samples, points [95 %]")]
    lines = [f"| | {' | '.join(heads)} |", "|---|" + "---:|" * len(heads)]
    for name, what in METHODS.items():
        cells = [cell for rows in budgets.values() for cell in _cells(name, rows[name])]
        lines.append(f"| {what} | {' | '.join(cells)} |")
    runs = "" if found["runs"] == 1 else f" of {found['runs']} runs"
    told = f"{found['n']:,} held-out problems{runs}, the PRM of `{found['arm']}`. *best* is compared with best-of-N, *vote* with the weighted vote."
    return "\n".join([*lines, "", f"{told} {found['verdict']}"])


def _cells(name: str, row: Mapping) -> list[str]:
    base = (
        "over_best_of_n" if name.endswith("_best") else "over_weighted_vote" if name in ("beam", "dvts", "tree") else ""
    )
    return [f"{row['accuracy']:.3f}", difference(row[base]) if base else ""]


WRITERS = {"bench": bench, "search": search}
