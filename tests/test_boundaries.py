"""eval.boundaries: how cuts are matched, whose texts they are, who competes, and what is printed."""

import gzip
import json
import random

import numpy as np
import pytest
import tiny

from eval.boundaries import __main__ as boundaries
from eval.boundaries import contenders, matching, texts
from prm.config import build
from prm.dynamics.reader import Config, Reader
from prm.records import Sample
from prm.segmenters import delimiter
from prm.segmenters._fit import hidden_breaks
from prm.world import pretrain

WORLD = build(pretrain.Config, {"out": "", "separators": (" ", ". ", ", "), "shortest": 2}, "small world")


# matching


def most_pairs(found, true, within) -> int:
    """The best of all ways to pair."""
    if not found:
        return 0
    paired = [
        most_pairs(found[1:], [u for u in true if u != t], within) + 1 for t in true if abs(t - found[0]) <= within
    ]
    return max(paired, default=0) if len(paired) == len(true) else max([most_pairs(found[1:], true, within), *paired])


@pytest.mark.parametrize("within", [0, 1, 3, 5])
def test_hits_are_the_most_pairs_there_can_be(within):
    rng = random.Random(within)
    for _ in range(300):
        found, true = (sorted(rng.sample(range(1, 16), rng.randint(0, 5))) for _ in range(2))
        assert matching.hits(found, true, within) == most_pairs(found, true, within), (found, true)


def test_f1_by_hand():
    found, true = [[3, 8, 20], [5], []], [[3, 9, 15, 17], [], [4]]
    # exact: 1 hit of 4 found and 5 true; within 1 the 8 too; within 3 the 20 is 17
    assert matching.counts(found, true, 3).tolist() == [[3, 3, 4], [0, 1, 0], [0, 0, 1]]
    got = matching.scores(found, true)
    assert got == pytest.approx(
        {"f1": 2 / 9, "f1_within1": 4 / 9, "f1_within3": 6 / 9, "precision": 1 / 4, "recall": 1 / 5}
    )
    assert matching.scores([[]], [[4]])["f1"] == 0 and np.isnan(matching.scores([[]], [[]])["f1"])
    assert matching.scores([[1, 2]], [[1, 2]]) == dict.fromkeys(got, 1.0)


def test_intervals_hold_the_value_and_tell_a_difference():
    rng = random.Random(0)
    true = [sorted(rng.sample(range(1, 60), 5)) for _ in range(80)]
    good = [sorted({*one[: rng.randint(3, 5)], rng.randint(60, 99)}) for one in true]
    poor = [sorted({*one[:1], *rng.sample(range(60, 99), 4)}) for one in true]
    tables = [matching.counts(found, true, 0) for found in (good, poor)]
    low, high = matching.interval(tables[0])
    assert low < matching.f1(tables[0]) <= high < 1 and matching.interval(tables[0], tables[0]) == (0, 0)
    low, high = matching.interval(*tables)
    assert 0 < low < matching.f1(tables[0]) - matching.f1(tables[1]) < high


# texts


def test_hidden_breaks_hold_every_step_and_no_break():
    steps = ["  First,\n add.", "", " \n", "Then  \t stop.\n", "7"]
    text, starts = hidden_breaks(steps)
    assert text == "First, add. Then stop. 7" and [text[s:] for s in starts] == ["Then stop. 7", "7"]
    assert hidden_breaks(["", "one"]) == ("one", []) and hidden_breaks([]) == ("", [])


def test_the_worlds_starts_begin_steps_and_no_line_break_is_left():
    hidden = texts.world(150, WORLD)
    assert hidden == texts.world(200, WORLD)[:150]  # more of them are the same ones first
    seen = set()
    for one in hidden:
        assert "\n" not in one.text and one.part == texts.part_of(one.problem)
        parts = [one.text[a:b] for a, b in zip((0, *one.starts), (*one.starts, None))]
        joints = {part[len(part.rstrip(" .,")) :] for part in parts[:-1]}
        assert len(joints) == 1 and joints < {" ", ". ", ", "} or joints == {". ", " "}, parts
        seen |= joints
        assert parts[-1].startswith("The answer is") and all(part[0].isupper() for part in parts)
    assert seen == {" ", ". ", ", "}
    assert 0.35 < np.mean([one.part == "test" for one in hidden]) < 0.65


def test_a_problem_is_in_one_half():
    hidden = texts.world(300, WORLD)
    halves = [{one.problem for one in hidden if one.part == part} for part in ("tune", "test")]
    assert not halves[0] & halves[1] and all(len(half) > 50 for half in halves)
    problem, sample = hidden[0].row
    assert problem.text == hidden[0].problem and sample.text == hidden[0].text


def rows(path, made):
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt") as out:
        out.writelines(json.dumps(row) + "\n" for row in made)


def steps(rng, k=None):
    words = "one two three four five six it makes right wrong".split()
    return [f"So {' '.join(rng.choices(words, k=rng.randint(3, 7)))}." for _ in range(k or rng.randint(2, 4))]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The sources in their own formats, in the tiny models' words."""
    folder, rng = tmp_path_factory.mktemp("data"), random.Random(0)

    def ask():
        return f"what is {' '.join(rng.choices(tiny.WORDS[2:8], k=6))} ?"

    parc = [{"question": ask(), "steps": [f"Step {i}: {s}" for i, s in enumerate(steps(rng), 1)]} for _ in range(30)]
    rows(folder / "parc/math_negatives.jsonl.gz", parc[:15])
    rows(folder / "parc/math_positives.jsonl.gz", parc[15:])
    for name in ("gsm8k", "math"):
        rows(folder / f"processbench/{name}.jsonl.gz", [{"problem": ask(), "steps": steps(rng)} for _ in range(15)])
    math = [{"problem": ask(), "solution": "\n\n".join(steps(rng))} for _ in range(20)]
    math[0]["solution"] = "See:\n\n[asy]\ndraw\n[/asy]\n\nSo it is."
    rows(folder / "math/math500.jsonl.gz", [*math, {"problem": "one?", "solution": "So it is one step."}])
    gsm8k = [{"question": ask(), "answer": "\n".join([*steps(rng), "It is <<3+4=7>>7", "#### 7"])} for _ in range(20)]
    rows(folder / "gsm8k/train.jsonl.gz", [*gsm8k, {"question": parc[0]["question"], "answer": "known\n#### 1"}])
    return folder


def test_real_solutions_are_those_of_the_files_without_their_breaks(data):
    hidden = texts.real(data, 12)
    assert {s: sum(one.source == s for one in hidden) for s in ("PARC", "ProcessBench", "MATH")} == {
        "PARC": 12,
        "ProcessBench": 12,
        "MATH": 12,
    }
    assert len({one.problem for one in hidden}) == 36 and not any("[asy]" in one.text for one in hidden)
    for one in hidden:
        assert "\n" not in one.text and "Step 1" not in one.text
        parts = [one.text[a:b] for a, b in zip((0, *one.starts), (*one.starts, None))]
        assert len(parts) > 1 and all(part.startswith("So ") and part.rstrip().endswith(".") for part in parts)
    assert len(texts.real(data, 1000)) == 30 + 30 + 19


def test_solutions_from_elsewhere_show_their_breaks_and_leave_the_measured_problems_out(data):
    hidden = texts.real(data, 1000)
    elsewhere = texts.shown_elsewhere(data, 1000, hidden)
    assert len(elsewhere) == 20 and not {p.text for p, _ in elsewhere} & {one.problem for one in hidden}
    assert all(s.text.endswith("\nIt is 7\nThe answer is 7") for _, s in elsewhere)
    assert len(texts.shown_elsewhere(data, 5, hidden)) == 5


# contenders


@pytest.fixture(scope="module")
def views():
    hidden = texts.world(60, WORLD)
    read = boundaries._read(Reader.open(Config(model=boundaries.UNBROKEN, layers=(1,))), hidden)
    return boundaries._views(hidden, read, read)


def test_true_places_are_the_tokens_in_which_steps_begin(views):
    for view in views:
        for place, start in zip(view.true, view.hidden.starts, strict=True):
            a, b = view.traces.spans[place]
            assert a <= start < b and view.place(start) == place
        assert view.places([0, *view.hidden.starts]) == view.true  # what begins the text is no cut


def test_the_random_control_cuts_as_often_as_each_text_has_steps_to_begin(views):
    drawn = contenders.at_random(views)
    assert len(drawn) == contenders.SEEDS and drawn[0] != drawn[1] and drawn == contenders.at_random(views)
    for found in drawn:
        assert [len(one) for one in found] == [len(v.true) for v in views]
        assert all(one == sorted(set(one)) and 0 < one[0] and one[-1] < len(v.begins) for one, v in zip(found, views))


def test_controls_need_no_model_and_do_what_they_say(views):
    made = {rival.name: list(rival.settings(views)) for rival in contenders.controls()}
    assert set(made) == {"delimiter", "sentence", "grid"}
    cutters = {words: cut for words, cut in made["grid"]}
    view = views[0]
    assert cutters["every 5 from 2"](view) == list(range(2, len(view.begins), 5))
    ((_, sentences),) = made["sentence"]
    stops = next(v for v in views if ". " in v.hidden.text)
    assert (
        [stops.hidden.text[: stops.begins[p]].rstrip()[-1] for p in sentences(stops)]
        == ["."] * len(sentences(stops))
        != []
    )
    assert not any(cut(v) for _, cut in made["delimiter"] for v in views)
    # on texts that show their lines the delimiter finds all of them
    shown = texts.world(20, build(pretrain.Config, {"out": "", "shortest": 2}, "lines"))
    lines = delimiter.Config(by="lines")
    assert all(delimiter.cut_sample(Sample("p", 0, one.text), lines).ends[:-1] == one.starts for one in shown)


def test_a_setting_is_chosen_on_one_half_and_the_first_of_equals(views):
    best = [v.true for v in views]
    place = {id(v): t for v, t in zip(views, best)}
    asked = []

    def settings(tuning):
        asked.append(tuning)
        yield "none", lambda v: []
        yield "all right", lambda v: place[id(v)]
        yield "all right too", lambda v: place[id(v)]

    made = boundaries.measure(views, [(contenders.Contender("x", settings), views)], "")
    assert all(v.hidden.part == "tune" for v in asked[0]) and made["tuned_on"] == len(asked[0])
    assert made["x"]["setting"] == "all right" and made["x"]["f1"] == 1 and made["n"] + made["tuned_on"] == len(views)
    assert made["boundaries"] == sum(len(v.true) for v in views if v.hidden.part == "test")


def test_heads_of_the_tuning_half_alone(views, monkeypatch):
    """What a form learns, it learns of the texts that it is given."""
    fitted = []
    learn = contenders._fit.learn
    monkeypatch.setattr(contenders._fit, "learn", lambda read, *more: fitted.extend(read) or learn(read, *more))
    rivals = contenders.forms((1,), ("expected", "shown", "entropy"))
    boundaries.measure(views, [(rival, views) for rival in rivals], "")
    tune = {v.traces.spans for v in views if v.hidden.part == "tune"}
    assert fitted and all(t.spans in tune for t in fitted)


# the whole


def contract(part: dict) -> None:
    names = {k for k, v in part.items() if isinstance(v, dict)}
    assert {"delimiter", "grid", "random", "sentence"} < names and part["n"] > 0 < part["tuned_on"]
    for name in names:
        assert {"f1", "f1_within1", "f1_within3"} <= part[name].keys(), name
        values = [part[name][key] for key in ("f1", "f1_within1", "f1_within3")]
        assert values == sorted(values) and 0 <= values[0] <= values[-1] <= 1


def test_the_command_keeps_its_contract(capsys, tmp_path):
    boundaries.main(["--n", "60", "--data", "", "--out", str(tmp_path / "out.json")])
    out = capsys.readouterr().out
    found = json.loads(out.splitlines()[-1])
    assert found.keys() == {"n", "small_world"} and found["n"] == found["small_world"]["n"]
    contract(found["small_world"])
    forms = {*boundaries.WORLD_FORMS, "delimiter", "grid", "random"}
    assert forms <= found["small_world"].keys() and json.loads((tmp_path / "out.json").read_text()) == found
    assert found["small_world"]["delimiter"]["f1"] == 0 < found["small_world"]["random"]["f1"]
    assert found["small_world"]["shown"]["f1"] > 2 * found["small_world"]["random"]["f1"]
    assert "minus_grid" in found["small_world"]["expected"] and "small world\nsegmenter" in out


def test_real_text_by_an_encoder_and_a_language_model(data, tmp_path, monkeypatch):
    import torch
    import transformers

    encoder = tiny.backbone(tmp_path / "bert", "bert")
    lm = tiny.backbone(tmp_path / "llama", "llama")
    torch.manual_seed(0)
    made = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.from_pretrained(lm))
    made.save_pretrained(lm)
    monkeypatch.setattr(boundaries, "ENCODER_LAYERS", (1, 2))
    found = boundaries.real_text(data, encoder, lm, 12)
    contract(found)
    assert {
        "shown_encoder",
        "change_encoder",
        "shown_elsewhere_encoder",
        "entropy",
        "expected",
        "shown_elsewhere",
    } < set(found)
    assert found["n"] + found["tuned_on"] == 36 and found["sentence"]["f1"] == 1  # every step ends with a full stop


def test_a_text_that_the_language_model_cannot_read_is_left_out_for_all(data, tmp_path, monkeypatch):
    import transformers

    encoder, lm = tiny.backbone(tmp_path / "bert", "bert"), tiny.backbone(tmp_path / "llama", "llama", positions=64)
    transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.from_pretrained(lm)).save_pretrained(lm)
    monkeypatch.setattr(boundaries, "ENCODER_LAYERS", (1, 2))
    monkeypatch.setattr(boundaries, "WORLD_FORMS", ("entropy", "expected"))
    hidden = texts.real(data, 8)
    long = [texts.Hidden("one " * 80, "So one. So two.", (8,), part, "MATH") for part in ("tune", "test")]
    monkeypatch.setattr(texts, "real", lambda *_: [*hidden, *long])
    found = boundaries.real_text(data, encoder, lm, 8)
    assert found["n"] + found["tuned_on"] == len(hidden) and found["expected"]["f1"] >= 0


def test_what_is_missing_is_told(capsys, monkeypatch, tmp_path):
    from prm.errors import PrmError

    monkeypatch.setattr(boundaries, "small_world", lambda n: pytest.fail("it began"))
    with pytest.raises(PrmError, match="--lm: .* holds no model; python -m eval.text_lm -o"):
        boundaries.main(["--lm", str(tmp_path)])
