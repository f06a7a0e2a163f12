"""Steps that come as bare texts, and what stood between them: put back, and taken off again."""

from __future__ import annotations

from collections.abc import Sequence


def joined(steps: Sequence[str], separator: str) -> list[str]:
    """The steps with the separator behind each but the last; as they are where a cut between any two shows white space."""
    shown = any(left[-1:].isspace() or right[:1].isspace() for left, right in zip(steps, steps[1:]))
    return list(steps) if shown else [step + separator for step in steps[:-1]] + list(steps[-1:])


def parted(steps: Sequence[str], separator: str) -> list[str]:
    """The steps without the separator, where `joined` would put it back; else as they are."""
    bare = [step.removesuffix(separator) for step in steps[:-1]] + list(steps[-1:])
    return bare if all(bare) and joined(bare, separator) == list(steps) else list(steps)
