"""Other first names for a word problem's people, each everywhere and for the same pronouns.

Only names of a closed list, which has no names that are also words, months or places and none that all genders bear. A
text is left alone where a name may mean more than a label: it is part of a full name (world knowledge hangs on those),
has a short form or an initial of its own in the text, or the text asks about letters, names or alphabets.
"""

from __future__ import annotations

import random
import re

_HE = re.findall(
    r"\w+",
    """
    Adam Alan Albert Andrew Anthony Arthur Ben Benjamin Brian Carlos Charles Daniel David Dennis Edward Eric Ethan Felix
    Fred George Gerald Greg Harold Harry Henry Hugo Jacob James Jason Jeff Jeremy Jerry Jim John Johnny Jose Joseph
    Joshua Kevin Larry Leo Liam Louis Luke Marcus Martin Matthew Michael Mike Nathan Nicholas Noah Oliver Oscar Patrick
    Paul Peter Philip Raymond Richard Robert Roger Ronald Ryan Samuel Scott Simon Stephen Steve Steven Ted Thomas Tim
    Timothy Toby Tom Tony Victor Vincent Walter William Zachary
    """,
)
_SHE = re.findall(
    r"\w+",
    """
    Abigail Alice Amanda Amelia Amy Andrea Angela Ann Anna Anne Barbara Betty Brenda Carla Carol Caroline Catherine
    Clara Claire Cynthia Deborah Diana Donna Dorothy Elena Elizabeth Ella Ellen Emily Emma Fiona Gina Hannah Helen Irene
    Isabella Jane Janet Janice Jennifer Jenny Jessica Joanna Julia Julie Karen Kate Katherine Kathy Katie Laura Lauren
    Linda Lisa Lucy Margaret Maria Marie Martha Mary Megan Melissa Mia Michelle Monica Nancy Naomi Natalie Nina Nora
    Olivia Pamela Patricia Rachel Rebecca Rita Ruth Samantha Sandra Sarah Sharon Sophia Sophie Stephanie Susan Tanya
    Teresa Tina Valerie Vanessa Wendy Yvonne Zoe
    """,
)
_POOL = {name: pool for pool in (_HE, _SHE) for name in pool}
_SPELLING = re.compile(r"\b(?:letter|spell|name|call|initial|alphabet|palindrome)", re.IGNORECASE)
_OPENERS = re.findall(
    r"\w+",
    """
    If When While After Before At On In To From For So Since As Then Because Together And But Does Did Do How Each Every
    Is Was Has Can Will Would Could Should With By Suppose Given That Once Until Although Though Later Yesterday Today
    """,
)
_TITLES = ("Mr.", "Mrs.", "Ms.", "Dr.", "St.")
_CAPITAL = re.compile(r"(?<![\w'’])[A-Z]\w*")


def rename(text: str, rng: random.Random) -> str:
    """The text with other names; as it was where renaming does not apply."""
    words = set(_CAPITAL.findall(text))
    names = sorted(words & _POOL.keys())
    if not names or _SPELLING.search(text) or any(_means_more(name, words, text) for name in names):
        return text
    used = {word.lower()[:3] for word in words}
    swaps: dict[str, str] = {}
    for name in names:
        # "James'" needs a name in s, so names that end in s are given up but never given.
        free = [n for n in _POOL[name] if n.lower()[:3] not in used and not n.endswith("s")]
        if not free:
            return text
        swaps[name] = rng.choice(free)
        used.add(swaps[name].lower()[:3])
    return re.sub(rf"(?<![\w'’])(?:{'|'.join(names)})\b", lambda m: swaps[m.group()], text)


def _means_more(name: str, words: set[str], text: str) -> bool:
    """Whether other words of the text may hang on this one: "Sam" on Samantha, T on Tom, a full name, "James'"."""
    near = any(word != name and word.lower()[:3] == name.lower()[:3] for word in words)
    before = {word for word in re.findall(rf"(\w+\.?)\s+{name}\b", text) if word[0].isupper()}
    full = any(word in _TITLES or not word.endswith(".") for word in before - set(_OPENERS))
    full |= bool(re.search(rf"\b{name}\s+[A-Z]", text))
    return near or full or name[0] in words - {"A", "I"} or bool(re.search(rf"\b{name}['’](?!s\b)", text))
