"""Tiny backbones and labelled rows for tests of encoding, training and scoring: made on the spot, no network."""

import random

from prm.model import Config, LoraConfig
from prm.records import Problem, Sample, Steps, StepScores

WORDS = "what is one two three four five six so then it makes wrong right . ? \n".split(" ")
SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


def tokenizer(encoder: bool = False, pad: bool = True):
    """One token a word. An encoder's frames texts in [CLS] and [SEP] and drops line breaks, as BERT's does."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", *WORDS]
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    if encoder:
        made.pre_tokenizer = pre_tokenizers.Whitespace()
        made.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
        names = {"cls_token": "[CLS]", "sep_token": "[SEP]"}
    else:
        made.pre_tokenizer = pre_tokenizers.Split(Regex(r"\n|\w+|[^\w\s]"), "removed", invert=True)
        names = {"eos_token": "[SEP]"}
    return PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token="[UNK]", **({"pad_token": "[PAD]"} if pad else {}), **names
    )


def backbone(folder, kind: str = "llama", pad: bool = True, positions: int = 128) -> str:
    """A model folder of random weights: "llama" and "gpt2" are causal, "bert" and "roberta" encoders."""
    import torch
    import transformers

    encoder = kind in ("bert", "roberta")
    words = tokenizer(encoder, pad)
    shape = {**SHAPE, "vocab_size": len(words), "max_position_embeddings": positions}
    if kind == "llama":
        config = transformers.LlamaConfig(num_key_value_heads=1, initializer_range=0.2, **shape)
    elif kind == "gpt2":
        config = transformers.GPT2Config(
            n_embd=32,
            n_layer=2,
            n_head=2,
            vocab_size=len(words),
            n_positions=positions,
            initializer_range=0.2,
            bos_token_id=None,
            eos_token_id=None,
        )
    elif kind == "bert":
        config = transformers.BertConfig(initializer_range=0.2, **shape)
    else:
        config = transformers.RobertaConfig(
            initializer_range=0.2, **{**shape, "max_position_embeddings": positions + 2}
        )
    torch.manual_seed(0)
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return str(folder)


def config(backbone: str, **changes) -> Config:
    return Config(**{"backbone": backbone, "max_tokens": 64, "lora": LoraConfig(r=4, alpha=8), **changes})


def rows(n: int, seed: int = 0):
    """Labelled solutions of 1 to 4 steps: a step that says "right" is labelled 0.9, one that says "wrong" 0.1; some abstain."""
    rng = random.Random(seed)
    made = []
    for i in range(n):
        words = [rng.choice(("right", "wrong")) for _ in range(rng.randint(1, 4))]
        steps = [f"so {rng.choice('one two three four'.split())} then it makes {word} .\n" for word in words]
        values = [None if rng.random() < 0.1 else 0.9 if word == "right" else 0.1 for word in words]
        weights = tuple(0.0 if value is None else rng.choice((0.5, 1.0)) for value in values)
        text = "".join(steps)
        ends = tuple(sum(map(len, steps[: k + 1])) for k in range(len(steps)))
        made.append(
            (
                Problem(f"p{i}", f"what is {rng.choice('one two three'.split())} ?"),
                Sample(f"p{i}", 0, text),
                Steps(f"p{i}", 0, ends),
                StepScores(f"p{i}", 0, "labels", "vote", tuple(values), weights),
            )
        )
    return made
