"""The attractor segmenter, by example: places from scores, heads that are learned, and cuts that are steps of the text."""

import itertools
import json
import math
import random
from dataclasses import replace

import numpy as np
import pytest
import tiny

from prm import models, plugins
from prm.dynamics import reader
from prm.dynamics.reader import Reader
from prm.dynamics.traces import Traces
from prm.errors import PrmError
from prm.records import Problem, Sample
from prm.segmenters import _fit, _learned, _places, attractor, delimiter
from prm.segmenters.attractor import Config, ends
from prm.signals import Context
from prm.world import pretrain

NAN, INF = math.nan, math.inf
UNBROKEN = "world-unbroken"


# places


def test_peaks_are_the_highest_first_and_keep_their_distance():
    score = np.array([NAN, 5, 1, 9, 8, 1, 7, 1, 6, 9])
    assert _places.peaks(score, 0, 1) == list(range(1, 10))
    assert _places.peaks(score, 6.5, 1) == [3, 4, 6, 9]
    assert _places.peaks(score, 6.5, 2) == [3, 6]  # 4 is next to 3, and 9 leaves the last segment one token
    assert _places.peaks(score, 0, 3) == [3, 6]
    assert _places.peaks(score, 0, 4) == [4] and _places.peaks(score, 0, 5) == [5]  # the only place 5 from both ends
    assert _places.peaks(score, 0, 6) == _places.peaks(score, INF, 1) == _places.peaks(np.array([NAN]), 0, 1) == []


def test_peaks_of_equal_scores_are_the_earlier_ones_and_nan_is_none():
    assert _places.peaks(np.array([NAN, 1, 1, 1, 1, 1, 1]), 1, 2) == [2, 4]
    assert _places.peaks(np.array([NAN, 2, NAN, 2, -INF]), -INF, 1) == [1, 3, 4]


@pytest.mark.parametrize("seed", range(5))
def test_stable_runs_are_those_of_a_plain_loop(seed):
    rng = np.random.default_rng(seed)
    low, high = rng.normal(size=(2, 30)).cumsum(1), rng.normal(size=(1, 30)).cumsum(1)
    low[0, 0] = low[1, :2] = high[0, 0] = NAN
    places, run = set(), []
    limits = [sorted(t[~np.isnan(t)]) for t in (*low, *high)]
    at_most = [np.quantile(values, 0.6) for values in limits[:2]]
    at_least = np.quantile(limits[2], 0.4)
    for t in [*range(30), None]:
        if t is not None and all(trace[t] <= q for trace, q in zip(low, at_most)) and high[0, t] >= at_least:
            run.append(t)
        else:
            if len(run) >= 2:
                places |= {run[0], run[-1] + 1}
            run = []
    assert _places.stable_runs(low, high, 0.6, 2) == sorted(places - {0, 30})


def test_a_trace_that_is_nowhere_defined_makes_nothing_stable():
    assert _places.stable_runs([np.full(4, NAN)], [np.ones(4)], 0.5, 1) == []
    assert _places.stable_runs([np.ones(4)], [np.ones(4)], 0.5, 1) == []  # all of it: nothing begins or ends inside


def partitions(tokens, least, places=()):
    begin = places[-1] if places else 0
    if tokens - begin >= least:
        yield places
    for place in range(begin + least, tokens - least + 1):
        yield from partitions(tokens, least, (*places, place))


@pytest.mark.parametrize("seed, least", [*itertools.product(range(6), (1, 2, 3, 4))])
def test_change_points_are_the_best_of_all_partitions(seed, least):
    rng = np.random.default_rng(seed)
    signals = rng.normal(size=(int(rng.integers(2, 12)), 2))
    signals[0, 0] = NAN
    x = np.nan_to_num((signals - np.nanmean(signals, 0)) / (np.where((s := np.nanstd(signals, 0)) > 0, s, 1)))

    def cost(places):
        parts = np.split(x, places)
        return sum(((part - part.mean(0)) ** 2).sum() for part in parts) + 0.3 * 2 * len(parts)

    best = min(partitions(len(x), least), key=cost, default=())
    assert _places.change_points(signals, 0.3, least) == list(best)


def test_change_points_find_what_was_planted():
    rng = np.random.default_rng(0)
    level = np.repeat([0, 3, -2, 4], [12, 7, 20, 9])[:, None]
    assert _places.change_points(level + rng.normal(size=(48, 3)) * 0.5, 2.0, 3) == [12, 19, 39]
    assert _places.change_points(rng.normal(size=(40, 3)) * 0.1, 4.0, 3) == []
    long = np.repeat([0, 1], [_places.LONGEST + 50, 300])[:, None].astype(float)
    assert _places.LONGEST + 50 in _places.change_points(long, 2.0, 3)
    assert _places.change_points(long, 2.0, 200) == [
        _places.LONGEST + 50
    ]  # segments longer than LONGEST: min_tokens asks for it


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("tokens", [0, 1, 2, 5])
def test_change_points_of_signals_that_tell_nothing(tokens):
    assert _places.change_points(np.full((tokens, 2), NAN), 2.0, 1) == []
    assert _places.change_points(np.ones((tokens, 2)), 2.0, 1) == []


def test_two_kinds_are_told_apart_by_the_greatest_variance_between_them():
    rng = np.random.default_rng(0)
    few, many = rng.normal(5, 0.5, 20), rng.normal(0, 0.5, 300)
    at = _places.two_kinds(np.concatenate([few, many, [NAN]]))
    assert many.max() < at < few.min()

    def between(values, at):
        low, high = values[values < at], values[values >= at]
        return len(low) * len(high) * (high.mean() - low.mean()) ** 2

    values = rng.normal(size=50)
    at = _places.two_kinds(values)
    assert between(values, at) == pytest.approx(max(between(values, v) for v in values if v > values.min()))
    assert _places.two_kinds(np.array([1.0])) == _places.two_kinds(np.array([2.0, 2.0, NAN])) == INF


# what is learned


def made_up(tokens, layers=2, width=5, seed=0, **more) -> Traces:
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(layers, tokens, width)).astype(np.float32)
    spans = tuple((2 * t, 2 * t + 1) for t in range(tokens))
    return Traces(spans, entropy_T=rng.random(tokens), surprise_T=rng.random(tokens), hidden_LTD=hidden, **more)


def test_expected_entropy_is_ridge_regression_and_reads_the_state_before_the_place():
    read = [made_up(30, seed=1), made_up(50, seed=2)]
    learned = _learned.fit_expected(read, (0, 1), "m")
    per_layer = []
    for layer in range(2):
        x = np.concatenate([np.c_[t.hidden_LTD[layer].astype(float), np.ones(len(t.spans))] for t in read])
        y = np.concatenate([t.entropy_T for t in read])
        guard = np.sqrt(_learned.RIDGE) * np.eye(6)
        w = np.linalg.lstsq(np.r_[x, guard], np.r_[y, np.zeros(6)], rcond=None)[0]
        told = [np.c_[t.hidden_LTD[layer].astype(float), np.ones(len(t.spans))] @ w for t in read]
        places = np.concatenate([one[:-1] for one in told])  # what place b reads is told at b - 1
        per_layer.append((told[0] - places.mean()) / places.std())
    score = learned.score(read[0])
    np.testing.assert_allclose(score[1:], np.mean(per_layer, 0)[:-1], atol=1e-4)
    assert np.isnan(score[0]) and learned.tokens == 80


def test_shown_finds_a_planted_token():
    def planted(seed):
        traces, rng = made_up(60, seed=seed), random.Random(seed)
        places = sorted(rng.sample(range(1, 60), 6))
        traces.hidden_LTD[:, places, 0] += 6  # the state at a step's first token
        return traces, places

    read, places = zip(*(planted(seed) for seed in range(20)))
    learned = _learned.fit_shown(read, places, (0, 1), "m")
    fresh, where = planted(99)
    score = learned.score(fresh)
    assert set(np.argsort(-np.nan_to_num(score, nan=-INF))[:6]) == set(where)
    assert _places.peaks(score, _fit.with_threshold(learned, read, 0, 1).threshold, 1) == where
    with pytest.raises(PrmError, match="no text shows a delimiter to learn from"):
        _learned.fit_shown(read, [[]] * 20, (0, 1), "m")


def test_a_threshold_of_a_rate_cuts_that_often():
    read = [made_up(200, seed=seed) for seed in range(5)]
    learned = _fit.with_threshold(_learned.Learned("entropy", INF, "m", (-1,), 1000), read, 0.1, 1)
    cuts = sum(len(_places.peaks(learned.score(t), learned.threshold, 1)) for t in read)
    assert cuts == pytest.approx(100, abs=2)
    np.testing.assert_array_equal(learned.score(read[0])[1:], read[0].entropy_T[:-1])
    np.testing.assert_array_equal(replace(learned, target="surprise").score(read[0])[1:], read[0].surprise_T[1:])
    with pytest.raises(PrmError, match="no text is long enough to be cut"):
        _fit.with_threshold(learned, [made_up(5)], 0, 3)


def test_what_is_learned_is_saved_and_loaded_and_takes_the_place_of_an_earlier_one(tmp_path):
    read = [made_up(30)]
    for learned in (
        _learned.fit_expected(read, (0, 3), "m"),
        _learned.Learned("entropy", 0.25, "m", (-1,), 30),
        replace(_learned.fit_shown(read, [[4, 9]], (0, 1), "m"), threshold=1.5),
    ):
        learned.save(tmp_path / "a" / "segmenter")
        back = _learned.Learned.load(tmp_path / "a" / "segmenter")
        for name in ("target", "threshold", "model", "layers", "tokens"):
            assert getattr(back, name) == getattr(learned, name)
        np.testing.assert_array_equal(back.score(read[0]), learned.score(read[0]))
        assert [p.name for p in (tmp_path / "a").iterdir()] == ["segmenter"]
    _learned.Learned("entropy", 0.25, "m", (-1,), 30).save(tmp_path / "a" / "segmenter")
    assert [p.name for p in (tmp_path / "a" / "segmenter").iterdir()] == ["attractor.json"]


# steps


@pytest.fixture(scope="module")
def context():
    return Context()


def solutions(count, seed=0, **more):
    """(Problem, Sample) as the policy without line breaks was taught them."""
    rng = random.Random(seed)
    config = pretrain.Config(out="", **{"separators": (" ", ". ", ", "), "shortest": 2, **more})
    told = [pretrain.example(rng, config) for _ in range(count)]
    return [(Problem(f"p{i}", problem), Sample(f"p{i}", 0, text)) for i, (problem, text) in enumerate(told)]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory, context):
    """Form -> config of a segmenter that was fitted on the small world."""
    made, folder = {}, tmp_path_factory.mktemp("fitted")
    for form in attractor.FITTED:
        rows = solutions(60, separators=("\n",)) if form == "shown" else solutions(60)
        config = Config(model=UNBROKEN, layers=(1,), form=form, shown=delimiter.Config(by="lines"))
        attractor.fit(rows, config, context, folder / form)
        made[form] = attractor.with_path(config, folder / form)
    return made | {form: Config(model=UNBROKEN, form=form, quantile=0.7) for form in ("quantiles", "change")}


def cut(rows, config, context) -> list[list[str]]:
    made = attractor.cut(rows, config, context)
    assert [(s.problem_id, s.index) for s in made] == [(s.problem_id, s.index) for _, s in rows]
    return [steps.cut(sample.text) for steps, (_, sample) in zip(made, rows)]


@pytest.mark.parametrize("form", attractor.FORMS)
def test_each_form_cuts_a_text_alone_as_among_others(form, fitted, context):
    rows = solutions(8, seed=1)
    together = cut(rows, fitted[form], context)
    assert together == [cut([row], fitted[form], context)[0] for row in rows]
    assert ["".join(steps) for steps in together] == [sample.text for _, sample in rows]
    assert max(map(len, together)) > 1
    if form in ("expected", "shown"):
        begins = [step.split()[0] for steps in together for step in steps[1:]]
        assert sum(word in ("So", "Now", "Next", "The", "Then") for word in begins) > 0.7 * len(begins), begins


ODD = [
    "a",
    ".",
    " lead",
    "tail \n",
    "one two",
    "....",
    "((((",
    "3.14 3.14 1,000,5",
    "é🙂 ñandú",
    "a\n\n\nb\t\tc",
    "\u200b x",
]


@pytest.mark.parametrize("form", ["quantiles", "change", "surprise"])
@pytest.mark.parametrize("edges", attractor.EDGES)
def test_any_text_is_cut_into_steps_that_are_not_blank_and_join_to_it(form, edges, fitted, context):
    rng = random.Random(0)
    texts = ODD + ["".join(rng.choice("ab 3.,\n()=+é") for _ in range(rng.randint(1, 80))) for _ in range(30)]
    rows = [(Problem(str(i), "What?"), Sample(str(i), 0, text)) for i, text in enumerate(texts)]
    config = replace(fitted[form], edges=edges, min_tokens=1)
    for steps, text in zip(cut(rows, config, context), texts):
        assert "".join(steps) == text and all(step.strip() for step in steps) or not text.strip() and not steps


def test_rows_without_text_have_no_steps_and_the_others_keep_their_places(fitted, context):
    (problem, whole), *_ = rows = solutions(3, seed=2)
    bad = [(problem, Sample("x", 0, "3 + 4 = 7", reason="cut_off")), (problem, Sample("y", 1, " \n"))]
    mixed = [bad[0], rows[0], bad[1], *rows[1:]]
    made = cut(mixed, fitted["expected"], context)
    assert made[0] == made[2] == [] and [made[1], *made[3:]] == cut(rows, fitted["expected"], context)
    assert cut(bad, fitted["expected"], context) == [[], []] and cut([], fitted["expected"], context) == []


def test_a_problem_that_leaves_no_room_means_delimiters_alone_or_one_step(fitted, context):
    row = [(Problem("p", "How many coins? " * 300), Sample("p", 0, "3 + 4 = 7\n7 + 1 = 8\nThe answer is 8"))]
    config = fitted["expected"]
    assert cut(row, config, context) == [[row[0][1].text]]
    for join in attractor.JOIN:
        by_lines = cut(row, replace(config, delimiters=delimiter.Config(by="lines"), join=join), context)
        assert by_lines == [["3 + 4 = 7\n", "7 + 1 = 8\n", "The answer is 8"]]


def words(text: str) -> Traces:
    """A token a piece between "|"; no trace of which anything is asked."""
    ends_T = list(itertools.accumulate(map(len, text.split("|"))))
    return Traces(tuple(zip([0, *ends_T], ends_T)))


def cuts_at(marked: str, tokens: list[int], monkeypatch, **config) -> str:
    """The text cut before these tokens; "|" stands between tokens in `marked`, and between steps in what comes back."""
    monkeypatch.setattr(attractor, "token_places", lambda traces, config, learned: tokens)
    sample = Sample("p", 0, marked.replace("|", ""))
    made = ends(sample, words(marked), Config(form="change", **config), None)
    return "|".join(sample.text[a:b] for a, b in zip((0, *made), made))


@pytest.mark.parametrize(
    "marked, at, token, word",
    [
        ("one| two| three", 2, "one two |three", "one two |three"),  # white space ends the step before
        ("one tw|o three", 1, "one tw|o three", "one |two three"),
        ("is 7|. So| it", 1, "is 7|. So it", "is 7. |So it"),
        ("is (7|).| So", 1, "is (7|). So", "is (7). |So"),
        ("so |(7| + 1)", 1, "so |(7 + 1)", "so |(7 + 1)"),  # what opens begins a step
        ("pays 3|.14| now", 1, "pays 3|.14 now", "pays |3.14 now"),
        ("pays 1,|000| now", 1, "pays 1,|000 now", "pays |1,000 now"),
        ("is 3.| 14 is", 1, "is 3. |14 is", "is 3. |14 is"),
        ("x=2,|y=3", 1, "x=2,|y=3", "x=2,|y=3"),
        ("one| .", 1, "one |.", "one ."),  # nothing would be left
        ("on|e", 1, "on|e", "one"),
        (" |one", 1, " one", " one"),
    ],
)
def test_edges(marked, at, token, word, monkeypatch):
    assert cuts_at(marked, [at], monkeypatch, edges="token") == token
    assert cuts_at(marked, [at], monkeypatch, edges="word") == word


def test_hybrids(monkeypatch):
    marked, lines = "a |b |c\n|d |e |f |g\n|h |i", delimiter.Config(by="lines")
    shown = {"delimiters": lines, "near": 1}
    assert cuts_at(marked, [2, 5], monkeypatch) == "a b |c\nd e |f g\nh i"
    assert cuts_at(marked, [2, 5], monkeypatch, **shown) == "a b |c\n|d e |f g\n|h i"
    assert cuts_at(marked, [2, 5], monkeypatch, join="agree", **shown) == "a b c\n|d e f g\nh i"
    assert cuts_at(marked, [], monkeypatch, join="agree", **shown) == "a b c\nd e f g\nh i"
    assert cuts_at(marked, [3, 7], monkeypatch, **shown) == "a b c\n|d e f g\n|h i"  # found twice, cut once


# what cannot be


def test_a_fitted_segmenter_that_does_not_fit_is_told_before_a_model_is_loaded(fitted, tmp_path, monkeypatch):
    monkeypatch.setattr(Reader, "open", lambda config: pytest.fail("a model was loaded"))
    good = fitted["expected"]
    attractor.check(good)

    def damaged(name, **changes):
        _learned.Learned.load(good.path).save(tmp_path / name)
        file = tmp_path / name / "attractor.json"
        card = {k: v for k, v in {**json.loads(file.read_text()), **changes}.items() if v is not None}
        file.write_text(json.dumps(card))
        return str(tmp_path / name)

    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "attractor.json").write_text("no JSON")
    (tmp_path / "list").mkdir()
    (tmp_path / "list" / "attractor.json").write_text("[1]")
    lost = damaged("lost")
    (tmp_path / "lost" / "attractor.safetensors").unlink()
    wrong = [
        ({"path": "none"}, "none/attractor.json: no fitted segmenter .*`prm segmenter`"),
        ({"path": str(tmp_path / "text")}, "no fitted segmenter"),
        ({"path": str(tmp_path / "list")}, "made by another version of prm; fit it again"),
        ({"path": damaged("old", version=0)}, "made by another version of prm; fit it again"),
        ({"path": damaged("less", tokens=None)}, "damaged .*; fit it again"),
        ({"path": lost}, "damaged .*; fit it again"),
        ({"form": "shown"}, r"was fitted with form expected, layers \[1\]; say so"),
        ({"layers": (2,)}, r"was fitted with form expected, layers \[1\]; say so"),
        ({"model": "world"}, "was fitted on other weights than world holds now; fit it again"),
    ]
    for changes, said in wrong:
        for refuse in (attractor.check, lambda config: attractor.cut(solutions(1), config, Context())):
            with pytest.raises(PrmError, match="^segmenter.path: .*" + said) as told:
                refuse(replace(good, **changes))
            assert "\n" not in str(told.value)
    with pytest.raises(PrmError, match="segmenter.path: missing; form expected is fitted first: `prm run` does so"):
        attractor.cut(solutions(1), replace(good, path=""), Context())


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny.backbone(tmp_path_factory.mktemp("bert"), "bert", positions=64)


def test_an_encoder_has_the_forms_that_need_no_output_projection(encoder, tmp_path, context):
    rng, names = random.Random(0), "one two three four five six".split()
    rows = []
    for i in range(12):
        lines = [" ".join(["so", *rng.choices(names, k=rng.randint(3, 6)), "right ."]) for _ in range(3)]
        rows.append((Problem(str(i), "what is one ?"), Sample(str(i), 0, "\n".join(lines))))
    config = Config(model=encoder, layers=(1, 2), shown=delimiter.Config(by="lines"))
    for form in ("quantiles", "change", "shown"):
        chosen = replace(config, form=form)
        if form in attractor.FITTED:
            attractor.fit(rows, chosen, context, tmp_path / form)
            chosen = attractor.with_path(chosen, tmp_path / form)
        made = cut(rows, chosen, context)
        assert ["".join(steps) for steps in made] == [s.text for _, s in rows] and max(map(len, made)) > 1
        if form == "shown":  # its random states still tell the word that begins a line
            assert np.mean([steps == s.text.splitlines(True) for steps, (_, s) in zip(made, rows)]) > 0.8
    for form in ("entropy", "surprise", "expected"):
        with pytest.raises(PrmError, match=f"segmenter.form: {form} needs a language model.* is an encoder; take"):
            attractor.fit(rows, replace(config, form=form), context, tmp_path / form)
        assert not (tmp_path / form).exists()


def test_texts_that_nothing_can_be_learned_from_are_told(context, tmp_path):
    config = Config(model=UNBROKEN, form="expected")
    full = Problem("p", "How many coins? " * 300)
    for rows in ([], [(full, Sample("p", 0, "3 + 4 = 7"))], [(Problem("p", "?"), Sample("p", 0, "7"))]):
        with pytest.raises(PrmError, match="none of the texts can be read by the model"):
            attractor.fit(rows, config, context, tmp_path / "x")
    with pytest.raises(PrmError, match="no text is long enough to be cut"):
        attractor.fit(solutions(2), replace(config, min_tokens=200), context, tmp_path / "x")
    with pytest.raises(PrmError, match="no text shows a delimiter"):
        attractor.fit(solutions(2), replace(config, form="shown"), context, tmp_path / "x")


def test_what_was_fitted_reads_the_models_own_entropies(context):
    """The head tells the entropy after a token better than its mean does, on texts that it was not fitted on."""
    config = Config(model=UNBROKEN, layers=(1,))
    opened = context.cached(("reader", config.reader), lambda: Reader.open(config.reader))
    read = _fit.read(solutions(60), config, opened)
    assert read.model == models.weights_fingerprint(models.resolve(UNBROKEN))
    learned = _fit.of_read(read, config)
    fresh = attractor.read_rows(solutions(20, seed=5), config, opened)
    score = np.concatenate([learned.score(t)[1:] for t in fresh])
    entropy = np.concatenate([t.entropy_T[:-1] for t in fresh])
    assert np.corrcoef(score, entropy)[0, 1] > 0.3


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"form": "peaks"}, "segmenter.form: 'peaks' is none of quantiles, change"),
        ({"edges": "line"}, "segmenter.edges: 'line' is none of token, word"),
        ({"join": "both"}, "segmenter.join: 'both' is none of union, agree"),
        ({"rate": 0.9}, r"segmenter.rate: 0.9 is outside \[0, 0.5\]"),
        ({"quantile": 1.5}, "segmenter.quantile: 1.5 is outside"),
        ({"min_tokens": 0}, "segmenter.min_tokens: must be at least 1"),
        ({"template": "x"}, "segmenter.template: must hold {problem}"),
        ({"path": "x", "form": "change"}, "segmenter.path: form change learns nothing; leave it out"),
        ({"layers": []}, "segmenter.layers: empty"),
        ({"delimiters": {"by": "dots"}}, "segmenter.delimiters.by: 'dots' is none of"),
        ({"from": "expected"}, "segmenter.from: unknown key; .*did you mean 'form'"),
    ],
)
def test_settings_that_make_no_sense_are_told(settings, said):
    with pytest.raises(PrmError, match=said):
        plugins.build("segmenters", {"name": "attractor", **settings}, "name", None, "segmenter")


@pytest.mark.parametrize(
    "text, at, cut",
    [("三个苹果他又买", 4, 4), ("三个苹果。他又买", 4, 5), ("abcdef", 4, 0), ("خمسة تفاحات", 7, 5), ("อันตอบห้า", 3, 3)],
)
def test_scripts_without_spaces_are_cut_where_tokens_are(text, at, cut):
    assert attractor._character(text, at, "word") == cut


def test_a_layer_or_head_that_the_model_lacks_is_told_before_anything_is_drawn(tmp_path):
    with pytest.raises(PrmError, match="layers: 99, but the model has the hidden states 0 to 3"):
        attractor.check(attractor.Config(layers=(99,)))
    encoder = tiny.backbone(tmp_path / "encoder", "bert")
    with pytest.raises(PrmError, match="form: expected needs a language model's output projection"):
        attractor.check(attractor.Config(model=encoder))
    attractor.check(attractor.Config(model=encoder, form="change"))


def test_readers_of_one_model_load_it_once(monkeypatch):
    loads, load = [], reader._load
    monkeypatch.setattr(reader, "_load", lambda *given: loads.append(given) or load(*given))
    context = Context()
    one, other = (reader.Reader.open(reader.Config(layers=(k,)), context) for k in (1, 2))
    assert len(loads) == 1 and one.model is other.model and one.layers != other.layers
