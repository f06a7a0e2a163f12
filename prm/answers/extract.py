"""Where in a text its final answer stands. Rules of our own, in order of how explicit the text is; blind to any
reference."""

from __future__ import annotations

import re

from prm.answers.canonical import canonical

NUMBER = r"-?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|-?\.\d+"
_NUMBER = re.compile(rf"(?<![\w.]){NUMBER}")
_HASHES = re.compile(r"####[ \t]*([^\n]+)\s*\Z")  # elsewhere it is a heading
_STATED = re.compile(r"answer(?: is|:|\*\*:|:\*\*)+[ \t]*:?\s*(.*)", re.IGNORECASE)
_BOLD = re.compile(r"\*\*([^*\n]{1,120})\*\*")
_FORMULA = re.compile(r"\\\((.{1,400}?)\\\)|(?<!\\)\$([^$\n]{1,400})(?<!\\)\$|\\\[(.{1,800}?)\\\]", re.DOTALL)
_RESULT = re.compile(rf"(?:[=≈≤≥]|\\(?:[gl]eq?|approx)(?![a-z]))\s*(?:\\?\$|\\\()?\s*({NUMBER})")
_HEADING = re.compile(r"^#+[ \t]*(?:final[ \t]+)?answer[ \t]*:?[ \t]*\n+[ \t]*([^\n]+)", re.IGNORECASE | re.MULTILINE)
_ENDING = re.compile(
    rf"(?:\bis|\bare|\bget|\bequals|=)(?: equal to| approximately)?:?\s*"
    rf"(?:\\?\$|\\\()?\s*({NUMBER})(?:\\?%|\\\)|\$)?\s*\.?$"
)
_MINUS = re.compile(r"(?<![^\s(:=*])-(\\?\$)(?=[\d.])")  # -$15: the sign belongs to the number
_SO = r"(?:so|thus|hence|therefore|in total|in conclusion),? "
_COUNTED = re.compile(
    rf"{_SO}there (?:are|is|were|was|will be) (?:exactly |only |a total of )?({NUMBER})(?![\w%])", re.IGNORECASE
)
_SUBJECT = re.compile(rf"{_SO}(?:{_FORMULA.pattern}) (?:is|are) (?:the|an?)\b", re.IGNORECASE | re.DOTALL)
_ORDINAL = re.compile(r"(?:st|nd|rd|th)\b")
_VARIABLE = re.compile(r"[a-zA-Z](?:_\{?\w\}?)?(?:\([a-zA-Z]\))?")
_NEEDS_MORE = "is|are|of|the|a|an|to|and|or|for|by|with|that|if|in|at|from|where|when|since|we|get"
_DANGLING = re.compile(rf"(?:[-+*/=<>,(\[{{\\:]|\b(?:{_NEEDS_MORE}))\Z", re.IGNORECASE)
_TRIES = 20  # boxes that never close, before one gives up
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)")


def extract(text: str, style: str) -> str:
    """The text of the final answer, or "" when none is found. Linear in the length of the text."""
    if style == "last_number":
        return _last_number(text)
    if style == "last_line":
        return _last_line(text)
    if inside := boxed(text):
        return inside
    text = _MINUS.sub(r"\1-", text)
    return _stated(text) or ("" if _is_cut_off(text) else _concluded(text))


def boxed(text: str) -> str:
    r"""What the last \boxed{...} or \fbox{...} that closes holds, braces balanced; "" if there is none."""
    end = len(text)
    for _ in range(_TRIES):
        start = max(text.rfind(r"\boxed", 0, end), text.rfind(r"\fbox", 0, end))
        if start < 0:
            break
        command, _, rest = text[start : start + 4000].partition("{")
        inner = _balanced(rest) if command.strip() in (r"\boxed", r"\fbox") else ""
        if inner.strip():
            return inner.strip()
        end = start
    return ""


def _balanced(text: str) -> str:
    depth = 1
    for brace in re.finditer(r"[{}]", text):
        depth += 1 if brace.group() == "{" else -1
        if depth == 0:
            return text[: brace.start()]
    return ""


def _last_number(text: str) -> str:
    return next((m.group() for m in reversed(list(_NUMBER.finditer(text)))), "")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return ""
    stated = _STATED.search(lines[-1])
    return stated.group(1) if stated else lines[-1]


def _stated(text: str) -> str:
    """After "####" or the last "answer is": its formula, else its number, else a short phrase."""
    if hashes := _HASHES.search(text, max(text.rfind("####"), 0)):
        return hashes.group(1).strip()
    if (headed := _HEADING.findall(text)) and (bare := _bare(headed[-1].strip("* $"))):
        return bare
    stated = list(_STATED.finditer(text))
    if not stated:
        return ""
    start = stated[-1].start(1)
    if formula := _FORMULA.match(text, start):  # it may span lines
        return _right_side(next(g for g in formula.groups() if g)).strip()
    if "\n" in text[stated[-1].start() : start]:  # a new paragraph begins: what follows is not the answer
        return ""
    tail = stated[-1].group(1).split(". ")[0].strip(" *")
    return _formula_or_number(tail, "") or (tail if len(tail.split()) <= 4 else "")


def _is_cut_off(text: str) -> bool:
    """Whether the text breaks off: inside a formula or code, or after an operator or a word that needs another. What it
    says last is not its answer."""
    end = text.rstrip()
    brackets = re.findall(r"(?<!\\)\\[()\[\]]", end)
    return (
        bool(brackets and brackets[-1] in ("\\(", "\\["))
        or end.count("```") % 2 == 1
        or bool(_DANGLING.search(end[-20:]))
    )


def _concluded(text: str) -> str:
    """No explicit mark: what the last paragraph states, bold first; failing that, the last result or number of the
    whole text."""
    paragraphs = [p for p in re.split(r"\n\s*\n", text) if p.strip()]
    if not paragraphs:
        return ""
    last = _last_sentence(paragraphs[-1])
    bold = [b.strip(" :.") for b in _BOLD.findall(last) if not b.strip().endswith(":")]
    numeric = [b for b in bold if re.search(r"\d", b)]
    if numeric or (bold and not re.search(r"\d", last)):
        return _formula_or_number((numeric or bold)[-1], "") or (numeric or bold)[-1]
    if bare := _bare(paragraphs[-1].strip().splitlines()[-1].strip(" *#")):
        return bare
    if counted := _COUNTED.match(last.lstrip("*# ")):
        return counted.group(1)
    subject = _SUBJECT.match(last.lstrip("*# "))
    if subject and not _is_prose(subject):
        return _right_side(next(g for g in subject.groups() if g)).strip()
    if ending := _ENDING.search(last):
        return ending.group(1)
    results = _RESULT.findall(text)
    return _formula_or_number(last, results[-1] if results else "") or _last_number(text)


def _bare(line: str) -> str:
    """A last line without words is nothing but the answer, or an equation that ends in it."""
    line = re.sub(r"^(?:A|Answer):\s*", "", line)
    line = re.split(r"(?<![<>!\\])=", line)[-1].strip(" .")
    letters = re.sub(r"\\[a-zA-Z]+", "", line)
    wordless = re.search(r"\w", letters) and not re.search(r"[A-Za-z]{2,}|\\[()\[\]]|\$", letters)
    return line if wordless and len(line) <= 80 else ""


def _last_sentence(paragraph: str) -> str:
    """The last sentence with a digit or formula in it; of several lines the last such line."""
    body = paragraph.strip()
    said = max((m.start() for m in re.finditer(r"\d|\\\(|\$", body)), default=-1)
    body = body[max((m.end() for m in _SENTENCE_END.finditer(body) if m.end() <= said), default=0) :]
    lines = [line for line in body.splitlines() if re.search(r"\d", line)]
    return lines[-1] if lines and "\\[" not in body and "$$" not in body else body


def _formula_or_number(text: str, result: str) -> str:
    """The number equal to `result`, the last computed one, if `text` repeats it; else the last formula or number."""
    spans = [
        (m.start(), m.end(), _right_side(next(g for g in m.groups() if g)))
        for m in _FORMULA.finditer(text)
        if not _is_prose(m)
    ]
    inside = lambda at: any(start <= at < end for start, end, _ in spans)
    numbers = [m for m in _NUMBER.finditer(text) if not inside(m.start())]
    cardinal = [m for m in numbers if not _ORDINAL.match(text, m.end())]  # the 8th grade has 10
    found = [(m.start(), m.group()) for m in cardinal or numbers]
    found = sorted(found + [(start, formula) for start, _, formula in spans if re.search(r"[\w\\]", formula)])
    plain = [item for _, item in found]
    plain = [item for item in plain if not _VARIABLE.fullmatch(item.strip())] or plain
    computed = [item for item in plain if result and canonical(item) == canonical(result)]
    return (computed or plain or [""])[-1].strip()


def _is_prose(formula: re.Match) -> bool:
    """Two prices in one sentence: "$6 by buying 18 for $"."""
    return formula.group(2) is not None and len(re.findall(r"(?<![\\a-zA-Z{])[A-Za-z]{2,}", formula.group(2))) > 1


def _right_side(formula: str) -> str:
    return re.split(r"(?<![<>!\\])=", formula)[-1]
