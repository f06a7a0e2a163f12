"""`prm segmenter`: every example of its help runs, what is wrong is one line before a model is loaded, and a recipe takes the folder."""

import json
import random
import re
import shlex
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_cli_roles import examples, fails, run

from prm import cli, models, recipe
from prm.dynamics import reader as readers
from prm.segmenters import _recipe, attractor
from prm.segmenters._learned import Learned
from prm.world import pretrain

ROOT = Path(__file__).parent.parent
LAST = re.compile(r"in a recipe: segmenter: (\{.*\})\n$")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the files that the examples name."""
    folder, rng = tmp_path_factory.mktemp("segmenter"), random.Random(0)
    (folder / "recipes").symlink_to(ROOT / "recipes")
    (folder / "model").symlink_to(models.resolve("world-unbroken"))
    told = [pretrain.example(rng, pretrain.Config(out="", shortest=2)) for _ in range(40)]
    rows = [{"problem": problem, "text": text} for problem, text in told]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"problem": "?"}]))
    pq.write_table(pa.Table.from_pylist(rows), folder / "corpus.parquet")
    (folder / "inline.jsonl").write_text(
        "".join(json.dumps(row | {"text": row["text"].replace("\n", ", ")}) + "\n" for row in rows)
    )
    return folder


@pytest.fixture
def here(place, monkeypatch):
    monkeypatch.chdir(place)
    return place


@pytest.mark.parametrize("number", range(len(examples("segmenter"))))
def test_examples(here, number, capsys):
    words = shlex.split(examples("segmenter")[number].replace("FOLDER_OR_HUB_ID", "./model"))
    if words[1] == "run":  # that a recipe takes the folder
        if not (here / "runs/segmenter").exists():
            run("segmenter", "corpus.jsonl", "-o", "runs/segmenter")
        run(*words[1:], "--check")
        assert "steps.train " in capsys.readouterr().out
        return
    out = words[words.index("runs/segmenter")] = f"runs/segmenter{number or ''}"
    run(*words[1:])
    shown, learned = capsys.readouterr().out, Learned.load(here / out)
    form, model = ("expected", "shown", "expected")[number], ("world", "world", "./model")[number]
    assert learned.target == form and learned.layers == (1,)
    told = shown.splitlines()
    assert told[0] == f"form {form}, layers 1 of {model}; {learned.tokens:,} tokens of 40 texts"
    assert told[1].startswith(f"threshold {learned.threshold:.4g}; 0.") and " cuts a token; " in told[1]
    assert len(told) == 6 and all(line.startswith("  ") for line in told[2:5])
    if form == "shown":  # its lines are joined before it reads them, and it tells where they were
        assert told[2].count(" | ") >= 2 and " | The answer is" in told[2]
    assert LAST.search(shown) and f'path: "{out}"' in told[5]


def test_prm_run_takes_the_folder_as_the_recipe_is_told_to_name_it(here, tmp_path, capsys):
    """Fitted with prompts on texts of its own model, of which the run then cuts samples."""
    words = ["corpus.prompt=problem", "segmenter.model=world-unbroken", "segmenter.min_tokens=4"]
    run("segmenter", "inline.jsonl", "-o", "runs/inline", *words)
    shown = capsys.readouterr().out
    assert shown.count(" | ") > 3 and '"world-unbroken"' in shown
    segmenter = LAST.search(shown)[1]
    small = {
        "problems": {"test": {"source": "world", "n": 4, "seed": 2}},
        "engine": {"name": "transformers", "model": "world-unbroken", "template": "{problem}\n"},
        "sampling": {"samples": 2, "max_tokens": 64},
        "answers": {"style": "last_number"},
    }
    (tmp_path / "r.yaml").write_text(json.dumps({"name": "r", "out": str(tmp_path / "run"), **small}))
    run("run", str(tmp_path / "r.yaml"), f"segmenter={segmenter}")
    loaded = recipe.load(tmp_path / "r.yaml", [f"segmenter={segmenter}"])
    assert loaded.segmenter.config.min_tokens == 4 and loaded.segmenter.config.path == "runs/inline"
    from prm.store import Run

    made = Run(tmp_path / "run")
    assert "segmenter" not in made.stages() and max(len(s.ends) for s in made.rows("steps.test")) > 1


def test_the_same_again_and_an_earlier_one_is_replaced(here):
    for _ in range(2):
        run("segmenter", "corpus.jsonl", "-o", "runs/again", "segmenter.form=shown", "segmenter.shown.by=lines")
    run("segmenter", "corpus.jsonl", "-o", "runs/other", "segmenter.form=shown", "segmenter.shown.by=lines")
    for name in ("attractor.json", "attractor.safetensors"):
        assert (here / "runs/again" / name).read_bytes() == (here / "runs/other" / name).read_bytes()
    run("segmenter", "corpus.jsonl", "-o", "runs/again", "segmenter.form=entropy")
    assert [p.name for p in (here / "runs/again").iterdir()] == ["attractor.json"]
    assert not [p.name for p in (here / "runs").iterdir() if p.name.startswith(".")]


def test_the_prompt_is_read_as_the_corpus_tells(here, monkeypatch):
    asked = []
    read = readers.Reader.read
    monkeypatch.setattr(
        readers.Reader,
        "read",
        lambda self, texts, **more: (
            asked.extend((self.tokenizer.decode(p), t) for p, t in texts) or read(self, texts, **more)
        ),
    )
    words = ["segmenter", "corpus.jsonl", "-o", "runs/prompt", "corpus.limit=5"]
    run(*words, "corpus.prompt=problem", "corpus.template=So {prompt} So")
    run(*words)
    first = json.loads((here / "corpus.jsonl").read_text().splitlines()[0])
    assert [p for p, _ in asked[::5]] == [f"So {first['problem']} So", ""] and asked[0][1] == first["text"]


BAD = [
    ("none.jsonl -o x", "none.jsonl: no such file; check the path"),
    ("corpus.jsonl -o x corpus.text=txt", "no column 'txt'; name one of those there are: problem, text"),
    ("corpus.jsonl -o x corpus.path=y", "corpus: .* the command names the corpus"),
    ("corpus.jsonl -o x corpus=3", "corpus: .* the command names the corpus"),
    ("corpus.jsonl -o x form=shown", "segmenter.yaml: form: unknown key; known keys: corpus, segmenter"),
    ("corpus.jsonl -o x segmenter.fom=shown", "segmenter.fom: unknown key; .* did you mean 'form'"),
    ("corpus.jsonl -o x segmenter.form=shwn", "segmenter.form: 'shwn' is none of"),
    ("corpus.jsonl -o x segmenter.form=quantiles", "form: quantiles learns nothing; take one of entropy, surprise"),
    ("corpus.jsonl -o x segmenter.form=change", "segmenter.form: change learns nothing; take one of entropy"),
    ("corpus.jsonl -o x segmenter=delimiter", "segmenter.*must be a mapping"),
    ("corpus.jsonl -o x segmenter={name: delimiter}", "segmenter.name: delimiter learns nothing from texts"),
    ("corpus.jsonl -o x segmenter={name: x}", "no segmenter named 'x'; known: attractor, delimiter"),
    ("corpus.jsonl -o x segmenter.path=y", "segmenter.path: the command names the folder that is made; leave it out"),
    ("corpus.jsonl -o x segmenter.template=a{problem}", "segmenter.template: .* corpus.template"),
    ("corpus.jsonl -o x segmenter.model=./none", "model none: no such folder"),
    ("corpus.jsonl -o x --recipe none.yaml", "none.yaml: no such recipe"),
    ("corpus.jsonl -o corpus.jsonl/x", "corpus.jsonl is a file, not a folder"),
    ("corpus.jsonl -o model", "model: holds other things"),
]


@pytest.mark.parametrize("command, message", BAD)
def test_what_is_wrong_is_told_before_a_model_is_loaded(here, capsys, monkeypatch, command, message):
    monkeypatch.setattr(readers.Reader, "open", lambda config: pytest.fail("a model was loaded"))
    words = re.split(r" (?![^{]*\})", command)  # a mapping may hold a blank
    assert re.search(message, fails(capsys, "segmenter", *words))
    assert not (here / "x").exists()


def test_what_only_the_texts_tell_is_one_line_too_and_leaves_nothing_behind(here, capsys):
    (here / "short.jsonl").write_text('{"text": "7"}\n')
    for words, said in [
        (["short.jsonl"], "segmenter: none of the texts can be read by the model"),
        (["inline.jsonl", "segmenter.form=shown"], "segmenter.form: shown, but no text shows a delimiter"),
        (["corpus.jsonl", "segmenter.layers=[9]"], "layers: 9, but the model has"),
    ]:
        assert cli.main(["segmenter", "-o", "x", *words]) == 2
        told = capsys.readouterr()
        assert not told.out and told.err.splitlines()[-1].startswith(f"prm: error: {said}")
    assert not list(here.glob("*x")) and not list(here.glob(".x*"))


def test_the_recipe_that_ships_is_the_default_and_its_segmenter_learns(here):
    made = _recipe.load(None, "corpus.jsonl")
    assert made == _recipe.load(ROOT / "recipes" / "segmenter.yaml", "corpus.jsonl")
    assert attractor.needs_fit(made.config()) and made.config().template == "{problem}"
    assert "segmenter" in cli.EXAMPLES
