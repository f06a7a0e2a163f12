"""From character offsets to token positions, exact under any tokenizer.

The rule: a step is complete once the tokens hold all its characters up to trailing white space, and further tokens
that lie wholly inside the step belong to it too. So a ".\n\n" that straddles a cut after "." completes the earlier
step, "\n\n" on its own belongs to the step it ends, and a token " The" that merely carries the last space of a step
along belongs to the next. Byte-level tokens that hold parts of one character all count as that character.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_BROKEN = "\ufffd"  # what a decoder prints for the bytes of an unfinished character


def token_ends(text: str, char_ends: Sequence[int], token_ids: Sequence[int], tokenizer: Any) -> tuple[int, ...]:
    """For each exclusive character offset, the exclusive token position at which that much of `text` is complete.

    text: what `token_ids` spell; special tokens may stand anywhere among the ids, and the ids may go on behind the text
    (engines cut a stop text off and keep its tokens). char_ends: ascending. Result: a position per offset,
    non-decreasing, at most len(token_ids). Raises ValueError when the ids do not spell the text. Linear in the number of
    tokens.
    """
    if any(a > b for a, b in zip(char_ends, char_ends[1:])) or (char_ends and not 0 <= char_ends[-1] <= len(text)):
        raise ValueError("char_ends: offsets must ascend and lie inside the text")
    special = set(tokenizer.all_special_ids)
    kept = [i for i, token in enumerate(token_ids) if token not in special]
    offsets = char_spans(text, [token_ids[i] for i in kept], tokenizer)
    positions, at, previous = [], 0, 0
    for end in char_ends:
        visible = previous + len(text[previous:end].rstrip())
        while at < len(offsets) and (offsets[at][0] < visible or offsets[at][1] <= end):
            at += 1
        positions.append(kept[at - 1] + 1 if at else 0)
        previous = end
    return tuple(positions)


def char_spans(text: str, ids: list[int], tokenizer: Any) -> list[tuple[int, int]]:
    """(first character, exclusive last character) of each token: from the tokenizer's own offsets if it would cut the
    text into these very tokens, else (a policy may spell a text in an unusual way) by decoding token after token."""
    if tokenizer.is_fast:
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        if list(encoded["input_ids"]) == ids:
            return encoded["offset_mapping"]
    return _decoded_spans(text, ids, tokenizer)


def _decoded_spans(text: str, ids: list[int], tokenizer: Any) -> list[tuple[int, int]]:
    """Decodes a sliding window of a few tokens, so that spaces and joined bytes come out as in the whole text."""
    spans: list[tuple[int, int]] = []
    prefix = read = at = 0  # ids[prefix:read] are context, already spelled; `at` characters are spelled
    for i in range(len(ids)):
        known = _decode(tokenizer, ids[prefix:read])
        grown = _decode(tokenizer, ids[prefix : i + 1])
        if (
            i + 1 < len(ids)
            and grown.endswith(_BROKEN)
            and not text.startswith(_BROKEN, at + len(grown) - len(known) - 1)
        ):
            continue  # an unfinished character: these tokens wait for the one that finishes it
        new = grown[len(known) :]
        if at + len(new) > len(text) and new.startswith(text[at:]):
            new = text[at:]  # this token holds the end of the text and more; those behind it spell what was cut off
            if not new:
                break
        if text[at : at + len(new)] != new:
            raise ValueError(f"token_ids do not spell the text: {new!r} where it has {text[at : at + len(new)]!r}")
        spans.extend([(at, at + len(new))] * (i + 1 - read))
        at, prefix, read = at + len(new), read, i + 1
    if at != len(text):
        raise ValueError(f"token_ids do not spell the text: they end before {text[at : at + 20]!r}")
    return spans


def _decode(tokenizer: Any, ids: list[int]) -> str:
    return tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
