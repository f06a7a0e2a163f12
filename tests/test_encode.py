"""Encoding, by example: where scores are read, windows, special tokens, and what is rejected."""

import pytest
import tiny

from prm.encode import encode, encode_many
from prm.errors import PrmError
from prm.model import Config

PROBLEM = "what is one ?"
STEPS = ["so one then two .\n", "it makes right .\n", "wrong .\n"]


def words(tokenizer, ids):
    return tokenizer.convert_ids_to_tokens(list(ids))


def test_a_score_is_read_at_each_steps_last_token_before_the_line_break():
    tokenizer = tiny.tokenizer()
    [window] = encode(PROBLEM, STEPS, tokenizer, Config()).windows
    shown = words(tokenizer, window.ids)
    assert shown == "what is one ? \n so one then two . \n it makes right . \n wrong . \n".split(" ")
    assert window.steps == (0, 1, 2)
    assert window.reads == (9, 14, 17) and {shown[i] for i in window.reads} == {"."}


def test_an_encoder_sees_its_own_frame_and_where_steps_end():
    tokenizer = tiny.tokenizer(encoder=True)
    [window] = encode(PROBLEM, STEPS, tokenizer, Config()).windows
    shown = words(tokenizer, window.ids)
    assert shown == "[CLS] what is one ? [SEP] so one then two . [SEP] it makes right . [SEP] wrong . [SEP]".split()
    assert [shown[i] for i in window.reads] == ["[SEP]"] * 3 and window.reads == (11, 16, 19)


def test_text_never_becomes_a_special_token():
    tokenizer = tiny.tokenizer(encoder=True)
    [window] = encode("what [SEP] is", ["one [CLS] two [SEP]\n"], tokenizer, Config()).windows
    assert words(tokenizer, window.ids).count("[SEP]") == 2 and words(tokenizer, window.ids).count("[CLS]") == 1


def test_tokens_do_not_depend_on_neighbours():
    tokenizer = tiny.tokenizer()
    together = encode_many([(PROBLEM, STEPS), (PROBLEM, STEPS[:1]), (STEPS[1], STEPS)], tokenizer, Config())
    assert together == [
        encode(p, s, tokenizer, Config()) for p, s in [(PROBLEM, STEPS), (PROBLEM, STEPS[:1]), (STEPS[1], STEPS)]
    ]
    assert together[0].windows[0].ids[:11] == together[1].windows[0].ids


@pytest.mark.parametrize("encoder", [False, True])
@pytest.mark.parametrize("max_tokens", [14, 16, 20, 31, 50])
def test_a_long_solution_is_read_in_windows_that_score_each_step_once(encoder, max_tokens):
    tokenizer = tiny.tokenizer(encoder)
    steps = [
        f"so {'then ' * (i % 4)}{number} .\n" for i, number in enumerate("one two three four five six".split() * 4)
    ]
    whole = encode(PROBLEM, steps, tokenizer, Config(max_tokens=1024)).windows[0]
    encoded = encode(PROBLEM, steps, tokenizer, Config(max_tokens=max_tokens))
    assert [step for window in encoded.windows for step in window.steps] == list(range(len(steps)))
    assert len(encoded.windows) > 1 and encoded.cut == () and encoded.reason == ""
    prefix = 6 if encoder else 5  # [CLS] what is one ? [SEP]; what is one ? \n
    after_read = 1 if encoder else 2  # the line break lies behind the read
    for window in encoded.windows:
        assert len(window.ids) <= max_tokens and window.ids[:prefix] == whole.ids[:prefix]
        body = window.ids[prefix:].tolist()
        end = whole.reads[window.steps[-1]] + after_read
        assert body == whole.ids[end - len(body) : end].tolist()  # the text right before, in whole steps
        start = end - len(body)
        assert start == prefix or start - after_read in whole.reads
    context = [window.reads[0] - prefix + 1 for window in encoded.windows[1:]]  # with the first scored step
    assert max_tokens < 31 or min(context) > 7, "left context is shown: a step has 7 tokens at most"


def test_a_step_that_does_not_fit_keeps_its_tail():
    tokenizer = tiny.tokenizer()
    encoded = encode(PROBLEM, ["one .\n", "two " * 5000 + "right .\n", "six .\n"], tokenizer, Config(max_tokens=16))
    assert encoded.cut == (1,) and [w.steps for w in encoded.windows] == [(0,), (1,), (2,)]
    assert words(tokenizer, encoded.windows[1].ids) == [
        *"what is one ? \n".split(" "),
        *["two"] * 8,
        "right",
        ".",
        "\n",
    ]


def test_what_cannot_be_encoded_says_why():
    tokenizer = tiny.tokenizer()
    assert encode(PROBLEM, [], tokenizer, Config()).reason == "no_steps"
    assert encode(PROBLEM, ["one .\n", ""], tokenizer, Config()).reason == "empty_step"
    assert encode("what " * 9, ["one .\n"] * 9, tokenizer, Config(max_tokens=16)).reason == "problem_too_long"
    assert encode("what " * 9, ["one .\n"], tokenizer, Config(max_tokens=16)).reason == ""  # all of it fits


def test_templates():
    tokenizer = tiny.tokenizer()
    [window] = encode("one", ["two"], tokenizer, Config(template="what is {problem} ? so \n")).windows
    assert words(tokenizer, window.ids) == "what is one ? so \n two".split(" ")
    with pytest.raises(PrmError, match="no chat template"):
        encode("one", ["two"], tokenizer, Config(template="chat"))
    tokenizer.chat_template = "[CLS] what {{ messages[0]['content'] }} [SEP]"
    [window] = encode("is [SEP]", ["two"], tokenizer, Config(template="chat")).windows
    assert words(tokenizer, window.ids).count("[SEP]") == 1, "the template's own marks count, the problem's do not"
    with pytest.raises(ValueError, match="template"):
        Config(template="no place for it")
