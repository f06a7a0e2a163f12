"""README's tables on boundaries, on PRMs by their steps, and on roles, from the files that the evaluations wrote with --out."""

from __future__ import annotations

from collections.abc import Mapping

from eval.html import difference

SEGMENTERS = {
    "delimiter": "delimiter (there is none)",
    "random": "random, as many as true steps",
    "grid": "grid, tuned",
    "sentence": "ends of sentences",
    "surprise": "surprise peaks",
    "entropy": "entropy peaks",
    "quantiles": "attractors as published (quantiles)",
    "quantiles_encoder": "attractors as published, encoder (curl, RPI)",
    "change": "change points of all traces",
    "change_encoder": "change points, encoder",
    "expected_untuned": "**expected entropy, nothing tuned**",
    "expected": "**expected entropy**",
    "shown_elsewhere": "what other texts show",
    "shown_elsewhere_encoder": "what other texts show, encoder",
    "shown": "what the tuning half shows",
    "shown_encoder": "what the tuning half shows, encoder",
}


def boundaries(found: Mapping) -> str:
    """One line a segmenter, the small world and real text side by side."""
    parts = [found[key] for key in ("small_world", "real_text") if key in found]
    names = [name for name in SEGMENTERS if any(name in part for part in parts)]
    heads = ["small world: F1 [95 %]", "within 1", "within 3", "real text: F1 [95 %]", "within 1", "within 3"]
    heads = heads[: 3 * len(parts)]
    lines = [f"| cut at | {' | '.join(heads)} |", "|---|" + "---:|" * len(heads)]
    for name in names:
        cells = [cell for part in parts for cell in _scores(part.get(name))]
        lines.append(f"| {SEGMENTERS[name]} | {' | '.join(cells)} |")
    counts = [
        f"{part['n']:,} texts with {part['boundaries']:,} step starts, tuned on {part['tuned_on']:,} others"
        for part in parts
    ]
    told = "; ".join(f"{what}: {count}" for what, count in zip(("small world", "real text"), counts))
    return "\n".join(
        [*lines, "", f"{told[0].upper()}{told[1:]}. F1 of all texts together, in tokens; intervals over texts."]
    )


def _scores(row: Mapping | None) -> list[str]:
    if row is None:
        return [""] * 3
    low_high = f" [{row['interval'][0]:.3f}, {row['interval'][1]:.3f}]" if "interval" in row else ""
    return [f"{row['f1']:.3f}{low_high}", f"{row['f1_within1']:.3f}", f"{row['f1_within3']:.3f}"]


POLICIES = {"world": "shows its line ends", "world-unbroken": "shows none"}
STEPS = {"world-unbroken": {"delimiter": "delimiter: the whole solution is one step"}}


def segments(found: Mapping) -> str:
    """One line a policy and segmenter."""
    heads = "| text | steps cut by | steps a solution | vote of 16 | minus majority | minus delimiter's | best of 16 | first errors: F1 | wrong located | right passed |"
    lines = [heads, "|---|---|" + "---:|" * 8]
    for policy, rows in found.items():
        for name, row in rows.items():
            shown = STEPS.get(policy, {}).get(name, name)
            cells = [f"{row['steps_a_solution']:.1f}", f"{row['vote']:.3f}", difference(row["minus_majority"])]
            cells += ["" if name == "delimiter" else difference(row["minus_delimiter"]), f"{row['best_of_n']:.3f}"]
            cells += [f"{row[key]:.3f}" for key in ("f1", "acc_error", "acc_correct")]
            lines.append(f"| {POLICIES[policy]} | {shown} | {' | '.join(cells)} |")
    row = next(iter(next(iter(found.values())).values()))
    return "\n".join(
        [
            *lines,
            "",
            f"{row['problems']:,} held-out problems, 16 samples each, one world and one training seed; intervals over problems.",
        ]
    )


def roles(found: Mapping) -> str:
    """The small world, means over seeds, and real text where it was measured."""
    rows = {
        "roles chosen by the criterion": ("roles", "{:.1f}"),
        "ARI with the operations": ("ari", "{:.3f}"),
        "... shuffled": ("ari_shuffled", "{:.3f}"),
        "NMI with the operations": ("nmi", "{:.3f}"),
        "ARI with the form of the sentence": ("form_ari", "{:.3f}"),
        "stability over halves (ARI)": ("stability", "{:.3f}"),
        "detector agrees, at a segment's end": ("detector_agreement", "{:.3f}"),
        "... taught shuffled roles": ("detector_shuffled", "{:.3f}"),
        "... chance (the largest role)": ("detector_chance", "{:.3f}"),
        "detector agrees, at every token": ("detector_tokens", "{:.3f}"),
    }
    parts = [found, *([found["real"]] if "real" in found else [])]
    heads = ["small world", "real text (MiniLM)"][: len(parts)]
    lines = [f"| | {' | '.join(heads)} |", "|---|" + "---:|" * len(parts)]
    for name, (key, form) in rows.items():
        lines.append(
            f"| {name} | {' | '.join('' if part.get(key) is None else form.format(part[key]) for part in parts)} |"
        )
    cost = 100 * found["generation_overhead"]
    return "\n".join(
        [
            *lines,
            "",
            f"Time added to generation (60 million parameters, 8 rows): {cost:+.1f} %. Means of {len(found['seeds'])} draws of solutions.",
        ]
    )


WRITERS = {"boundaries": boundaries, "segments": segments, "roles": roles}
