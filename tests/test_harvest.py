"""Harvest: any corpus is read as a stream, every row is there once however often the run is killed, and the folder is a data set."""

from __future__ import annotations

import errno
import gzip
import itertools
import json
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prm import corpus, store
from prm.dynamics import reader as readers
from prm.dynamics.traces import Traces
from prm.errors import PrmError
from prm.roles.cluster import Clusters
from prm.roles.detector import Head
from prm.roles.harvest import Config, Segment, harvest
from prm.roles.model import Role, Roles

TEXTS = ["We add.\n1 2 3\n", "4 5\nSo it is\n6", "It is so", "7"]


class FakeReader:
    """Tokens are words, and the state of a word is whether it is a number. `read_texts` are all that it was asked to read."""

    def __init__(self, delay=0.0):
        self.read_texts, self.delay = [], delay

    def read(self, texts, hidden, traces):
        time.sleep(self.delay * len(texts))
        self.read_texts += [text for _, text in texts]
        return [self._traces(prompt, text) for prompt, text in texts]

    def _traces(self, prompt, text):
        if prompt == "too much\n":
            return Traces(reason="prompt_too_long")
        ends = list(itertools.accumulate(len(word) + 1 for word in text.replace("\n", " ").split(" ")))
        spans = tuple((a, min(b, len(text))) for a, b in zip([0, *ends], ends) if a < len(text))
        states = [[1.0, 0.0] if text[a:b].strip().isdigit() else [0.0, 1.0] for a, b in spans]
        return Traces(spans, hidden_LTD=np.array([states], np.float32))


def fake_roles(folder: Path, names=("numbers", "words")) -> Path:
    clusters = Clusters(np.zeros(2), np.ones(2), np.eye(2), np.eye(2), np.full(2, 0.5), 0.01)
    roles = tuple(Role(name, 3, (f"a | {name}",)) for name in names)
    segmenter = {"name": "delimiter", "by": "lines"}
    head = Head(**{field.name: np.zeros(2) for field in fields(Head)})  # harvest never asks it
    Roles(readers.Config(), segmenter, "f", roles, clusters, head, 0.0, {}).save(folder)
    return folder


def install(reader: FakeReader, setattr=setattr) -> FakeReader:
    setattr(Roles, "open_reader", lambda self, context=None: reader)
    return reader


@pytest.fixture
def reader(monkeypatch):
    return install(FakeReader(), monkeypatch.setattr)


@pytest.fixture
def roles(tmp_path):
    return fake_roles(tmp_path / "roles")


def jsonl(path: Path, rows, opener=open) -> str:
    with opener(path, "wt") as out:
        out.writelines(row + "\n" if isinstance(row, str) else json.dumps(row) + "\n" for row in rows)
    return str(path)


def texts(path: Path, count: int) -> str:
    return jsonl(path, [{"id": f"d{i}", "text": TEXTS[i % len(TEXTS)]} for i in range(count)])


def config(path, shard=3, **columns) -> Config:
    return Config(corpus.Config(str(path), **columns), shard)


# --- reading a corpus


def test_every_row_is_a_document_or_a_reason(tmp_path):
    rows = [{"text": "a", "q": "Q"}, {"q": "Q"}, {"text": None}, {"text": 3}, {"text": " \n"}, {"text": "x" * 11}]
    path = jsonl(tmp_path / "c.jsonl", [*rows, "{no json", "[1]", {"text": "b", "q": 5}, {"text": "c", "q": ""}])
    found = list(corpus.read(corpus.Config(path, prompt="q", max_chars=10)))
    assert [d.id for d in found] == [str(i) for i in range(1, 11)]
    reasons = "no_text no_text not_text empty too_long bad_row bad_row no_prompt".split()
    assert [d.reason for d in found] == ["", *reasons, ""]
    assert (found[0].prompt, found[0].text, found[-1].prompt) == ("Q\n", "a", "\n")


def test_ids_come_from_their_column(tmp_path):
    path = jsonl(tmp_path / "c.jsonl", [{"n": 7, "text": "a"}, {"n": "x", "text": "a"}, {"n": None, "text": "a"}])
    found = list(corpus.read(corpus.Config(path, id="n")))
    assert [(d.id, d.reason) for d in found] == [("7", ""), ("x", ""), ("3", "no_id")]


def test_all_kinds_of_file_give_the_same_documents(tmp_path):
    rows = [{"text": t, "n": i} for i, t in enumerate(TEXTS)]
    table = pa.Table.from_pylist(rows)
    (tmp_path / "folder").mkdir()
    for i in range(2):
        pq.write_table(table.slice(2 * i, 2), tmp_path / "folder" / f"part-{i}.parquet")
    pq.write_table(table, tmp_path / "c.parquet")
    places = [
        jsonl(tmp_path / "c.jsonl", rows),
        jsonl(tmp_path / "c.jsonl.gz", rows, gzip.open),
        tmp_path / "c.parquet",
        tmp_path / "folder",
    ]
    for place in places:
        found = list(corpus.read(corpus.Config(str(place), id="n")))
        assert [(d.id, d.text) for d in found] == [(str(i), t) for i, t in enumerate(TEXTS)], place


def test_a_parquet_row_that_is_no_text_is_one_bad_row(tmp_path):
    column = pa.array([b"a", b"\xff\xfe", b"c"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": column}), tmp_path / "c.parquet")
    found = corpus.read(corpus.Config(str(tmp_path / "c.parquet")))
    assert [(d.text, d.reason) for d in found] == [("a", ""), ("", "bad_row"), ("c", "")]


def test_a_hub_id_is_streamed(monkeypatch):
    asked = []

    def load_dataset(*arguments, **named):
        asked.append((arguments, named))
        return ({"text": f"text {i}"} for i in itertools.count())  # never ends: what holds it whole never returns

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    found = corpus.read(corpus.Config("owner/name", subset="s", split="test", revision="abc", limit=500))
    assert len(list(found)) == 500
    assert asked == [(("owner/name", "s"), {"split": "test", "revision": "abc", "streaming": True})]


def test_a_hub_that_fails_is_one_line(monkeypatch):
    def load_dataset(*_, **__):
        yield {"text": "a"}
        raise ConnectionError("the line\nwas cut")

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    with pytest.raises(PrmError, match="owner/name: the data set cannot be read .ConnectionError: the line.; check"):
        list(corpus.read(corpus.Config("owner/name")))


BAD = {
    "none.jsonl": "none.jsonl: no such file",
    "none.parquet": "none.parquet: no such file",
    "./none": "./none: no such file or folder",
    "none/such/name": "no such file or folder",
    "empty.jsonl": "empty.jsonl: the file is empty",
    "empty.parquet": "empty.parquet: the corpus has no rows",
    "garbage.jsonl": "garbage.jsonl row 1: not JSON",
    "garbage.parquet": "garbage.parquet: not a Parquet file",
    "bytes.jsonl": "bytes.jsonl: not UTF-8",
    "other.jsonl": "other.jsonl: no column 'text'; name one of those there are: question, n",
    "other.parquet": "other.parquet: no column 'text'; name one of those there are: question, n",
    "numbers.jsonl": r"numbers.jsonl: 'text' holds no text in the first 2 rows \(NoneType, int\); name another column",
}


@pytest.mark.parametrize("path", BAD)
def test_what_cannot_be_a_corpus_is_one_line(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    rows = [{"question": "a", "n": 1}]
    jsonl(Path("empty.jsonl"), []), jsonl(Path("other.jsonl"), rows), jsonl(Path("garbage.jsonl"), ["garbage"] * 3)
    jsonl(Path("numbers.jsonl"), [{"text": 1}, {"text": None}])
    Path("garbage.parquet").write_text("garbage" * 9), Path("bytes.jsonl").write_bytes(b"\xff\x00")
    pq.write_table(pa.Table.from_pylist(rows), "other.parquet")
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), "empty.parquet")
    with pytest.raises(PrmError, match=BAD[path]) as raised:
        corpus.read(corpus.Config(path))
    assert "\n" not in str(raised.value)


def test_settings_that_cannot_be():
    for settings in ({"limit": 0}, {"max_chars": -1}, {"template": "{problem}\n"}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            corpus.Config("x", **settings)


# --- harvesting it


def test_a_harvest_holds_every_segment_once(tmp_path, roles, reader):
    rows = [*({"text": text} for text in TEXTS), {"text": None}, {"text": "8", "q": "too much"}]
    path = jsonl(tmp_path / "c.jsonl", [{"q": "", **row} for row in rows])
    made = list(harvest(roles, tmp_path / "out", config(path, prompt="q")).rows())
    hash = made[0].centre.removesuffix("-1")
    assert made[0] == Segment("1", 0, 0, 8, "We add.\n", 1, "words", pytest.approx(1.0), f"{hash}-1", 2)
    assert made[1] == Segment("1", 1, 8, 14, "1 2 3\n", 0, "numbers", pytest.approx(1.0), f"{hash}-0", 3)
    for number, text in enumerate(TEXTS, 1):
        mine = [s for s in made if s.document == str(number)]
        assert "".join(s.text for s in mine) == text and [s.segment for s in mine] == list(range(len(mine)))
        assert all(text[s.start : s.end] == s.text for s in mine)
    assert made[-2:] == [
        Segment("5", None, 0, 0, "", None, "", None, "", 0, "no_text"),
        Segment("6", None, 0, 0, "", None, "", None, "", 0, "prompt_too_long"),
    ]


def test_the_folder_is_a_data_set_with_a_card(tmp_path, roles, reader, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    path = jsonl(tmp_path / "c.jsonl", [{"text": "2 3"}, {"text": " "}, {"text": "one\n4 5"}])
    harvest(roles, tmp_path / "out", config(path, shard=1))
    found = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert found["text"][:] == ["2 3", "", "one\n", "4 5"] and found["role"][:] == [0, None, 1, 0]
    card = (tmp_path / "out" / "README.md").read_text()
    assert "# Roles in c.jsonl\n\n3 segments of 3 documents of `c.jsonl`" in card and str(tmp_path) not in card
    assert "made by a machine and nobody has verified them" in card and "so is its licence" in card
    assert "| 0 | numbers | 2 | 0.667 | 4 | 1.000 | a \\| numbers | 4 5<br>2 3 |" in card
    assert "| empty | 1 |" in card and "| model | `world`, weights f |" in card and '"by": "lines"' in card


def test_a_harvest_is_a_corpus_too(tmp_path, roles, reader):
    harvest(roles, tmp_path / "out", config(texts(tmp_path / "c.jsonl", 5)))
    found = corpus.read(corpus.Config(str(tmp_path / "out"), id="document"))
    assert [d.text for d in found][:3] == ["We add.\n", "1 2 3\n", "4 5\n"]


def test_what_is_finished_is_not_read_again(tmp_path, roles, reader, monkeypatch):
    path, out = texts(tmp_path / "c.jsonl", 8), tmp_path / "out"
    write, written = store.write_file, []

    def full(path, content):
        written.append(path.name)
        if path.name == "shard-00002.parquet":
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(store, "write_file", full)
        with pytest.raises(PrmError, match="the disk is full; 2 shards of harvest .* are kept"):
            harvest(roles, out, config(path))
    assert not (out / "manifest.json").exists() and len(reader.read_texts) == 8
    reader.read_texts.clear()
    made = harvest(roles, out, config(path))
    assert len(reader.read_texts) == 2 and made.manifest()["documents"] == 8
    reader.read_texts.clear()
    assert list(harvest(roles, out, config(path)).rows()) == list(made.rows()) and not reader.read_texts


def test_a_folder_is_for_one_harvest(tmp_path, roles, reader):
    path, out = texts(tmp_path / "c.jsonl", 5), tmp_path / "out"
    harvest(roles, out, config(path))
    before = {p.name: p.read_bytes() for p in out.glob("*")}
    with pytest.raises(PrmError, match="out: a harvest of other settings .corpus.limit None, now 4.; give those again"):
        harvest(roles, out, config(path, limit=4))
    with pytest.raises(PrmError, match="other settings .shard 3, now 2"):
        harvest(roles, out, config(path, shard=2))
    with pytest.raises(PrmError, match="other settings .roles "):
        harvest(fake_roles(tmp_path / "others", ("a", "b")), out, config(path))
    with open(path, "a") as more:
        more.write('{"text": "more"}\n')
    with pytest.raises(PrmError, match="other settings .corpus.path 'content "):
        harvest(roles, out, config(path))
    assert {p.name: p.read_bytes() for p in out.glob("*")} == before


def test_a_stream_that_changed_is_told(tmp_path, roles, reader, monkeypatch):
    rows = [{"text": text} for text in TEXTS]
    monkeypatch.setattr("datasets.load_dataset", lambda *_, **__: rows)
    made = harvest(roles, tmp_path / "out", config("owner/name"))
    made.shard(1).unlink()
    rows[1] = {"text": "another"}
    with pytest.raises(PrmError, match="out: the corpus is not the one this harvest began with; .* name a revision"):
        harvest(roles, tmp_path / "out", config("owner/name"))


def test_folders_that_cannot_be_used(tmp_path, roles, reader):
    path = texts(tmp_path / "c.jsonl", 2)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(PrmError, match="mine: holds other things .thesis.tex.; give a new or empty folder"):
        harvest(roles, tmp_path / "mine", config(path))
    with pytest.raises(PrmError, match="c.jsonl is a file, not a folder"):
        harvest(roles, tmp_path / "c.jsonl" / "out", config(path))
    with pytest.raises(PrmError, match="roles.json: No such file"):
        harvest(tmp_path / "none", tmp_path / "out", config(path))
    with store.lock(tmp_path / "out"), pytest.raises(PrmError, match="is already running this"):
        harvest(roles, tmp_path / "out", config(path))
    assert not reader.read_texts


RUN = """
import sys
sys.path.insert(0, sys.argv[1])
import test_harvest as t
t.install(t.FakeReader(delay=0.01))
t.harvest(sys.argv[2], sys.argv[3], t.config(sys.argv[4], id="id"))
"""


def test_killed_harvests_end_in_the_same_rows(tmp_path, roles, reader):
    path = texts(tmp_path / "c.jsonl", 40)
    calm = harvest(roles, tmp_path / "calm", config(path, id="id"))
    command = [sys.executable, "-c", RUN, str(Path(__file__).parent), str(roles), str(tmp_path / "killed"), path]
    for count in (1, 6, 13):
        process = subprocess.Popen(command)
        while process.poll() is None and len(list((tmp_path / "killed").glob("shard-*"))) < count:
            time.sleep(0.002)
        process.kill()
        assert process.wait() == -signal.SIGKILL, "it was still at work"
    assert subprocess.run(command).returncode == 0
    killed = type(calm)(tmp_path / "killed", "harvest")
    assert list(killed.rows()) == list(calm.rows()) and not list(killed.path.glob(".*.tmp"))
    assert (killed.path / "README.md").read_text() == (calm.path / "README.md").read_text()
    assert killed.manifest() | {"seconds": 0} == calm.manifest() | {"seconds": 0}
