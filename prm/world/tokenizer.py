"""One token a word, its leading space included, so that decoding gives the text back to the character."""

from __future__ import annotations

import re

from prm.world.story import PEOPLE, PHRASES, THINGS

_WORDS = "has How many ? The answer is So Then Now Next That makes so and then . , + - * ="
_PIECE = r" ?[A-Za-z]+| ?\d| ?[^\sA-Za-z\d]|\n"


def vocabulary() -> list[str]:
    """Special tokens, then every piece with and without its leading space, in a fixed order."""
    words = [*_WORDS.split(), *PEOPLE, *sorted(set(PEOPLE.values())), *THINGS, *(str(d) for d in range(10))]
    for phrases in PHRASES.values():
        words += [w for phrase in phrases for w in phrase.replace("{}", "").split()]
    pieces = ["\n"]
    for word in dict.fromkeys(words):
        if word not in {".", ",", "?"}:
            pieces.append(f" {word}")
        if not word.islower() and not word.isdigit() and word not in "+-*=":
            pieces.append(word)
    return ["<pad>", "<eos>", "<unk>", *pieces]


def build():
    """A fast tokenizer of transformers over `vocabulary()`."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate(vocabulary())}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_PIECE), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
    )


def pieces(text: str) -> list[str]:
    return re.findall(_PIECE, text)
