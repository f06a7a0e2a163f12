"""Facts of a word problem that stand alone, in another order.

What may move is a run of adjacent sentences that each say what lasts ("has", "costs", "is"): one clause, none of the
words that hang on a place in the text (pronouns, order, time, "the rest", "each"), no ellipsis ("5 more than Ann") and
no "the ..." that the text before the run has not introduced. Nothing moves where a later sentence points back ("it",
"the second"), nor in a text with abbreviations, where sentences cannot be told. Events never move: their order counts.
"""

from __future__ import annotations

import random
import re

_SENTENCE = re.compile(r"(?:[^.!?]|\.(?=\d))+[.!?]+[\"”’)]*\s*|[^.!?]+\Z")
_ABBREVIATION = re.compile(
    r"\b(?:Mr|Mrs|Ms|Dr|St|Jr|Sr|vs|etc|no|oz|lbs?|ft|hr|min|a\.m|p\.m|e\.g|i\.e|[A-Z])\.", re.IGNORECASE
)
_LASTS = re.compile(
    r"\b(?:has|have|is|are|costs?|weighs?|contains?|holds?|owns?|measures?|needs?|requires?|earns?|charges?)\b"
)
_POINTS_BACK = (
    r"he|she|it|they|him|them|his|her|hers|its|their|theirs|this|that|these|those|ones?|others?|another|both|former|"
    r"latter|same|such|there|respectively|first|second|third|fourth|fifth|last|next|previous|previously|above|below|"
    r"then"
)
_REFERS = re.compile(rf"\b(?:{_POINTS_BACK})\b", re.IGNORECASE)
_HANGS = re.compile(
    r"\b(?:we|us|our|here|each|which|who|whose|where|after\w*|before|later|now|finally|when|while|until|again|already|"
    r"still|once|since|left|remain\w*|rest|also|too|instead|however|so|therefore|thus|but|if|otherwise|except|"
    r"today|yesterday|tomorrow|ago|been|\w{3,}(?:ed|ing)|given|eaten|sold|bought|taken|made)\b|"
    r"(?:,|\b(?:and|or)\b)(?!\d|\s+(?:\d|\$|an?\b))|[;:]|\\|(?<![$\d.,])\d[\d.,]*\s*\Z|"
    r"\d%?\s+(?:more|less|fewer)\s+than|\bas (?:many|much) as\b|\bmore\b(?!.*\bthan\b)",
    re.IGNORECASE,
)


def reorder(text: str, rng: random.Random) -> str:
    """The text with the facts of its longest movable run in another order; as it was where nothing may move."""
    sentences = [] if _ABBREVIATION.search(text) else _SENTENCE.findall(text)
    if "".join(sentences) != text:
        return text
    start, end = max(_runs(sentences), key=lambda run: run[1] - run[0], default=(0, 0))
    if end - start < 2 or any(_REFERS.search(s) for s in sentences[end:]):
        return text
    gaps = [s[len(s.rstrip()) :] for s in sentences]
    run = [s.rstrip() for s in sentences[start:end]]
    moved = rng.choice([order for order in (rng.sample(run, len(run)) for _ in range(8)) if order != run] or [run])
    return "".join(s.rstrip() + g for s, g in zip([*sentences[:start], *moved, *sentences[end:]], gaps))


def _runs(sentences: list[str]) -> list[tuple[int, int]]:
    """(start, end) of the movable runs; a run starts behind the first sentence, which sets the scene."""
    runs, start = [], 1
    for at in range(1, len(sentences) + 1):
        if at == len(sentences) or not _stands_alone(sentences[at], "".join(sentences[:start])):
            runs.append((start, at))
            start = at + 1
    return runs


def _stands_alone(sentence: str, before: str) -> bool:
    if sentence.rstrip()[-1:] != "." or not _LASTS.search(sentence):
        return False
    things = re.findall(r"\bthe\s+(\w+)", sentence, re.IGNORECASE)
    introduced = all(re.search(rf"\b{thing}", before, re.IGNORECASE) for thing in things)
    return introduced and not _REFERS.search(sentence) and not _HANGS.search(sentence)
