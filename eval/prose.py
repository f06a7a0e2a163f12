"""Mathematical prose for a language model, and a tokenizer of it: GSM8K's and MATH's own solutions, each one line behind its problem.

No solution holds a line break, so that text whose step breaks are hidden is in distribution. A problem that the evaluations ask (MATH-500,
ProcessBench, PARC) is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from prm.jsonl import read_rows, text_of

ASKED = ("math/math500.jsonl.gz", "processbench/*.jsonl.gz", "parc/*.jsonl.gz")  # files of problems to leave out
SOURCES = {"gsm8k": "gsm8k/train.jsonl.gz", "math": "math/math_test_5000.jsonl.gz"}
LICENCES = {"gsm8k": "MIT (openai/grade-school-math)", "math": "MIT (hendrycks/math)"}
RUN = 13  # words in a row that make two problems one, as for GPT-3 (Brown et al. 2020, arXiv 2005.14165, appendix C)
# A word or a command of LaTeX, a digit, other signs: each with its leading space.
_PIECE = r" ?\\?\p{L}+| ?\p{N}| ?(?:[^\s\p{L}\p{N}\\]|\\(?!\p{L}))+|\s+(?!\S)|\s+"


def words(text: str) -> str:
    """The text's words alone, in lower case: what two writings of one problem share."""
    return " ".join(re.findall(r"\w+", text)).lower()


class Asked:
    """The problems of the files ASKED. `has`: whether a problem's words stand in one of them, or RUN of its words in a row do."""

    def __init__(self, data: Path):
        paths = [path for pattern in ASKED for path in sorted(data.glob(pattern)) or [data / pattern]]
        texts = [
            text_of(row, ("problem", "question"), f"{path} row {n}") for path in paths for n, row in read_rows(path)
        ]
        self.all = "\n".join(f" {words(text)} " for text in texts)
        self.runs = {run for text in texts for run in _runs(text)}

    def has(self, problem: str) -> bool:
        return f" {words(problem)} " in self.all or not self.runs.isdisjoint(_runs(problem))


def _runs(text: str) -> list[str]:
    found = words(text).split()
    return [" ".join(found[i : i + RUN]) for i in range(len(found) - RUN + 1)]


def solution(text: str) -> str:
    """A reference solution as prose in one line: no calculator marks, no drawings, no breaks; "#### 42" becomes "The answer is 42."."""
    text = re.sub(r"<<[^<>]*>>", "", text)
    text = re.sub(r"\[asy\].*?\[/asy\]", " ", text, flags=re.DOTALL)
    text = re.sub(r"#### *(.+)\s*$", r"The answer is \1.", text)
    return re.sub(r"\s*[\r\n]\s*", " ", text).strip()


def documents(data: Path) -> dict[str, list[str]]:
    """Each source's texts, "problem\\nsolution", without the problems that are asked. PrmError names a file or row at fault."""
    asked, made = Asked(data), {}
    for name, file in SOURCES.items():
        made[name] = []
        for number, row in read_rows(data / file):
            where = f"{data / file} row {number}"
            problem = text_of(row, ("problem", "question"), where)
            if not asked.has(problem):
                made[name].append(f"{problem}\n{solution(text_of(row, ('solution', 'answer'), where))}")
    return made


def new_tokenizer(texts: Iterable[str], size: int):
    """Byte-level BPE: any text is cut, and decoding gives it back to the character."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(_PIECE), behavior="isolated")
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Sequence([split, bytes_]), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    specials = ["<pad>", "<eos>"]
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(vocab_size=size, special_tokens=specials, initial_alphabet=alphabet, show_progress=False),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", clean_up_tokenization_spaces=False
    )
