"""A model folder made on the spot: a Qwen2 of random weights that transformers and vLLM both take, and a small
tokenizer."""

import os

# vLLM's kernels want heads of 32 or more dimensions.
SHAPE = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "intermediate_size": 160,
    "max_position_embeddings": 128,
}
TEXT = "Ann has 12 apples and buys 35 more. How many now?\n12 + 35 = 47\nSo Ann has 47 apples.\n\nThe answer is: 47.\n"


def make(folder, **shape) -> str:
    """Writes the model; its tokenizer has no pad token, and its generation config ends a text at any of a few tokens,
    as chat models do."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        [TEXT] * 4,
        trainers.BpeTrainer(vocab_size=120, special_tokens=["<|end|>"], min_frequency=1, show_progress=False),
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")
    fast.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}So"
    config = Qwen2Config(
        vocab_size=len(fast),
        tie_word_embeddings=True,
        eos_token_id=fast.eos_token_id,
        bos_token_id=None,
        initializer_range=0.3,
        **{**SHAPE, **shape},
    )
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(config)
    model.generation_config.eos_token_id = [fast.eos_token_id, 1, 2]
    os.makedirs(folder, exist_ok=True)
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return str(folder)
