"""A small language model of mathematical prose: what it reads, what it must not read, and that the reader reads it."""

import gzip
import json
from dataclasses import replace

import numpy as np
import pytest

from eval import prose, text_lm
from prm.dynamics import reader
from prm.errors import PrmError

SMALL = text_lm.Config(
    minutes=0.02, vocabulary=300, hidden=32, layers=1, intermediate=32, length=32, rows=2, bfloat16=False
)
ASKED = "How many vertical asymptotes does the graph of $y = 2/x$ have on the whole line?"
LONG = "Tom walks from his house to the old mill and back again each day. How far does he walk in {} days?"


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def data(tmp_path):
    """The files of both sources and of what is asked, in their own formats."""
    kinds = [
        {
            "question": f"Ann has {n} pens and buys {n + 1}. How many?",
            "answer": f"{n}+{n + 1}=<<{n}+{n + 1}=0>>0.\n#### 0",
        }
        for n in range(60)
    ]
    kinds.append({"question": LONG.format(3), "answer": "2*3=6\n#### 6"})
    write(tmp_path / "gsm8k/train.jsonl.gz", kinds)
    exercises = [{"problem": f"Solve\n$x={n}$.", "solution": f"We see:\n\n\\[x={n}.\\]\nDone."} for n in range(40)]
    exercises.append({"problem": ASKED.replace(" ", "\n"), "solution": "One."})
    write(tmp_path / "math/math_test_5000.jsonl.gz", exercises)
    write(tmp_path / "math/math500.jsonl.gz", [{"problem": ASKED}])
    write(tmp_path / "processbench/gsm8k.jsonl.gz", [{"problem": LONG.format(8), "steps": ["?"], "label": -1}])
    write(tmp_path / "parc/gsm8k_positives.jsonl.gz", [{"question": "For one day: Solve $x=7$. Then rest."}])
    return tmp_path


def test_a_solution_is_prose_in_one_line():
    assert prose.solution("She sold 48/2 = <<48/2=24>>24.\nThen none.\n#### 24") == (
        "She sold 48/2 = 24. Then none. The answer is 24."
    )
    assert prose.solution("See:\n[asy]\ndraw((0,0));\n[/asy]\n\nSo  $x$.") == "See: So  $x$."


def test_problems_that_are_asked_are_not_read(data):
    found = prose.documents(data)
    texts = [prose.words(text) for made in found.values() for text in made]
    for asked in (ASKED, LONG.format(3), "Solve $x=7$."):  # the same but for spaces; but for a number; inside another
        assert not any(text.startswith(prose.words(asked)) for text in texts)
    assert {name: len(made) for name, made in found.items()} == {"gsm8k": 60, "math": 39}
    assert all("\n" not in text.split("?\n")[1] for text in found["gsm8k"])


def test_the_tokenizer_gives_a_text_back():
    tokenizer = prose.new_tokenizer(["So 12 + 3 = 15.", "\\frac{1}{2}"], 300)
    for text in ("  So 12 +\n\n 3\\frac{12}{5}, é 猫 .", "It's \\\\ \\(x\\)", " "):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_a_trained_folder_is_read(data, tmp_path):
    out = tmp_path / "lm"
    card = text_lm.train(data, out, SMALL)
    assert card == json.loads((out / "lm.json").read_text())
    assert card["sources"]["math"] == {"texts": 39, "licence": "MIT (hendrycks/math)"}
    assert card["tokens_seen"] == card["steps"] * 64 and 0 < card["held_out_loss"] < np.log(300)
    assert not list(out.glob("checkpoint*"))
    (traces,) = reader.Reader.open(reader.Config(model=str(out))).read([("Solve $x=3$.\n", "We see: x=3. Done.")])
    assert traces.spans[-1][1] == len("We see: x=3. Done.")
    assert np.isfinite(traces.surprise_T).all() and np.isfinite(traces.entropy_T).all()
    with pytest.raises(PrmError, match="other settings"):
        text_lm.train(data, out, replace(SMALL, seed=1))


def test_a_killed_training_goes_on(data, tmp_path, monkeypatch):
    out, config = tmp_path / "lm", replace(SMALL, save=0.002)

    def killed(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr(text_lm._Run, "_finish", killed)
        text_lm.train(data, out, config)
    (checkpoint,) = out.glob("checkpoint-*")
    (out / "checkpoint.part").mkdir()  # what a kill amid saving leaves
    assert reader.Reader.open(reader.Config(model=str(checkpoint))).head is not None
    assert text_lm.train(data, out, config)["steps"] > int(checkpoint.name.split("-")[1]) > 0
    assert not list(out.glob("checkpoint*"))


def test_batches_go_on_where_they_stopped():
    texts = [list(range(10 * k, 10 * k + 7)) for k in range(9)]
    config = replace(SMALL, length=8, rows=2)
    whole = [b.tolist() for b, _ in zip(text_lm.batches(texts, config, 0), range(9))]
    assert [b.tolist() for b, _ in zip(text_lm.batches(texts, config, 5), range(4))] == whole[5:]
    assert whole[0] != whole[3]  # three batches a pass, each packed anew
