"""Steps that come as bare texts, and what stood between them: put back, and taken off again.

People's data was split at a separator, so one stood at every boundary; where a step ends in a line break, or the next begins
with one, it is still there. Blanks show none: they are what a split leaves behind ("First, 3 * 4 = 12. "). Each boundary is decided
for itself. Steps that are the text itself, as our segmenters cut them (mid-line too), take no separator: "".
"""

from __future__ import annotations

from collections.abc import Sequence


def joined(steps: Sequence[str], separator: str) -> list[str]:
    """The steps with the separator behind each but the last where neither a line break nor the separator itself shows."""
    pairs = zip(steps, steps[1:])
    return [a if _shown(a, b, separator) else a + separator for a, b in pairs] + list(steps[-1:])


def parted(steps: Sequence[str], separator: str) -> list[str]:
    """The steps without the separators that `joined` would put back; what it cannot put back stays."""
    return [_bare(a, b, separator) for a, b in zip(steps, steps[1:])] + list(steps[-1:])


def glued(steps: Sequence[str]) -> bool:
    """Whether no boundary shows white space at all: no text of ours, and nothing was said of what stood there."""
    return len(steps) > 1 and not any(a[-1:].isspace() or b[:1].isspace() for a, b in zip(steps, steps[1:]))


def separator(text: str) -> str:
    r"""A separator as a shell or a plain YAML value passes it on: \n is a line break, \t a tab."""
    return text.replace("\\n", "\n").replace("\\t", "\t")


def _shown(left: str, right: str, separator: str) -> bool:
    space = left[len(left.rstrip()) :] + right[: len(right) - len(right.lstrip())]
    return "\n" in space or left.endswith(separator) or right.startswith(separator)


def _bare(left: str, right: str, separator: str) -> str:
    bare = left.removesuffix(separator)
    return bare if bare.strip() and not _shown(bare, right, separator) else left
