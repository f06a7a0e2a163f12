"""Delimiters: cuts join back to the text, no step is blank, blocks stay whole."""

import random
import time

import pytest

from prm.records import Sample
from prm.segmenters.delimiter import BY, Config, blocks, cut_sample

PIECES = [
    "a",
    "7",
    ".",
    " ",
    "\n",
    "\n\n",
    "\t",
    "\n \n",
    "1. ",
    "2) ",
    "Step 3: ",
    "**4.** ",
    "```",
    "```py\n",
    "\\[",
    "\\]",
    "$$",
    "$",
    "é",
    "數",
    "\r\n",
    "\\begin{align}",
    "\\end{align}",
    "- ",
    "## 5. ",
    "\u2028",
    "\x0c",
]


def steps_of(text, **config):
    return cut_sample(Sample("p", 0, text), Config(**config)).cut(text)


def test_lines():
    assert steps_of("a\nb\n\n c\n", by="lines") == ["a\n", "b\n\n ", "c\n"]


def test_blank_lines_keep_lines_together_and_leading_space_joins_the_first():
    assert steps_of("\n\n a\nb\n  \n\nc", by="blank_lines") == ["\n\n a\nb\n  \n\n", "c"]


def test_auto_starts_steps_at_numbered_items_and_after_blank_lines():
    text = "We plan.\n\n1. First: 2 + 3 = 5\n   so 5.\n2. **Second** 6\nStep 3: done\n\nSo **6**."
    assert [s.strip()[:8] for s in steps_of(text)] == ["We plan.", "1. First", "2. **Sec", "Step 3: ", "So **6**"]


def test_a_decimal_at_the_start_of_a_line_is_no_item():
    assert len(steps_of("total:\n3.5 apples\n2.25 pears")) == 1


def test_blocks_are_never_cut():
    text = "So\n\n\\[\na = 1\n\n1. b\n\\]\n\n```\nx = 1\n\ny = 2\n```\n\n$$\n\nz\n\n$$\nend"
    steps = steps_of(text)
    assert "".join(steps) == text
    assert [s.split("\n")[0] for s in steps] == ["So", "\\[", "```", "$$"]


def test_an_unclosed_block_hides_no_cut():
    assert len(steps_of("a \\[ b\n\nc\n\nd")) == 3


def test_min_chars_and_max_steps():
    assert steps_of("a\nbbbb\nc\ndddd\ne", by="lines", min_chars=3) == ["a\nbbbb\n", "c\ndddd\ne"]
    assert steps_of("a\nb\nc", by="lines", max_steps=2) == ["a\n", "b\nc"]


@pytest.mark.parametrize("by", BY)
def test_any_text_joins_back_and_no_step_is_blank(by):
    rng = random.Random(0)
    for _ in range(1500):
        text = "".join(rng.choices(PIECES, k=rng.randint(1, 30)))
        steps = steps_of(text, by=by, min_chars=rng.choice([1, 1, 4]), max_steps=rng.choice([0, 0, 3]))
        assert "".join(steps) == (text if text.strip() else "")
        assert all(step.strip() for step in steps)
        inside = {at for start, end in blocks(text) for at in range(start + 1, end)}
        ends = [sum(map(len, steps[: i + 1])) for i in range(len(steps) - 1)]
        assert not inside & set(ends)


def test_samples_without_text_have_no_steps():
    assert cut_sample(Sample("p", 0, " \n\n "), Config()).ends == ()
    assert cut_sample(Sample("p", 0, "text", reason="cut_off"), Config()).ends == ()


def test_long_texts_take_linear_time():
    for text in (
        "word " * 5000,
        "\n" * 100_000 + "a",
        "\\[" * 30_000,
        "```\n" * 20_001,
        "1. x\n" * 20_000,
        "\n \n" * 30_000 + "b",
    ):
        started = time.process_time()
        assert "".join(steps_of(text)) == text
        assert time.process_time() - started < 10


@pytest.mark.parametrize("bad", [{"by": "words"}, {"min_chars": 0}, {"max_steps": -1}])
def test_bad_settings_are_named(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Config(**bad)
