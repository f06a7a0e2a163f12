"""A report on a run made by hand: the numbers of summary.json, the verdict both ways, a page that holds together."""

import json
from html.parser import HTMLParser

import numpy as np
import pytest
from made_run import write

from eval import gate, html, label_quality, report, summary
from prm.errors import PrmError
from prm.records import StepScores

CONTRACT = (
    "problems",
    "samples",
    "seconds",
    "mean",
    "logprob",
    "majority",
    "oracle",
    "orm_vote",
    "prm_bon",
    "prm_vote",
    "gold_prm_bon",
    "gold_prm_vote",
    "label_auroc",
    "prm_step_auroc",
)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A run whose PRM sees nearly everything, whose outcome model sees nothing, and whose gold arm sees all."""
    folder = write(tmp_path_factory.mktemp("report") / "made", {"prm": 0.55, "orm": 1.0, "gold": 0.0})
    return folder, report.write(folder)


def test_summary_holds_what_was_promised(good):
    folder, found = good
    assert json.loads((folder / "summary.json").read_text()) == found
    assert all(key in found for key in CONTRACT)
    assert (found["problems"], found["samples"], found["seeds"]) == (60, 8, [0])
    assert found["seconds"] == pytest.approx(1.5 * len(found["stages"]))
    assert 0 < found["mean"] < found["majority"] < found["prm_vote"] <= found["gold_prm_vote"] <= found["oracle"] <= 1
    assert found["gold_prm_bon"] == found["oracle"] and found["prm_step_auroc"]["systematic"] < 1
    assert found["logprob"] is None  # nobody kept these samples' log-probabilities
    assert found["prm_step_auroc"]["all"] > 0.95 and set(found["label_auroc"]) == {"all", "random", "systematic"}
    assert found["label_auroc"]["random"] > found["label_auroc"]["systematic"]
    assert found["rejected"]["samples.test: empty"] == 1


def test_the_claim_needs_both_intervals(good):
    rng = np.random.default_rng(0)
    majority = [(rng.random(300) < 0.7).astype(float) for _ in range(5)]
    better = [np.maximum(world, rng.random(300) < 0.3) for world in majority]
    assert gate.judge(better, majority, majority).text == "improves"
    assert gate.judge(better, majority, better).text == "no evidence of gain over voting"
    assert gate.judge(majority, majority, majority, majority).because.count("cannot tell good labels") == 1
    assert "no outcome model" in gate.judge(better, majority, None).because


def test_one_seed_is_no_evidence_however_far_ahead(good):
    assert good[1]["prm_vote"] > good[1]["majority"] and not good[1]["improves"]
    assert good[1]["verdict"] == "no evidence of gain over voting" and "needs the same on 5" in good[1]["because"]


def test_one_world_that_differs_widens_the_interval():
    even = [np.r_[np.ones(60), np.zeros(40)]] * 5
    base = [np.zeros(100)] * 5
    uneven = [np.r_[np.ones(share), np.zeros(100 - share)] for share in (100, 90, 60, 40, 10)]
    narrow, wide = gate.difference(even, base), gate.difference(uneven, base)
    assert narrow[0] == pytest.approx(wide[0]) and wide[2] - wide[1] > 3 * (narrow[2] - narrow[1])


def test_a_blind_prm_claims_nothing(tmp_path):
    found = report.write(write(tmp_path / "made", {"prm": 1.0, "orm": 1.0}))
    assert found["verdict"] == "no evidence of gain over voting"
    assert found["gold_prm_vote"] is None  # the run has no scores of the arm `gold`
    assert next(line for line in report.text(found).splitlines() if line.startswith("trained on gold")).endswith("n/a")


def test_a_run_without_our_arm_claims_nothing(tmp_path):
    found = report.write(write(tmp_path / "made", {"orm": 1.0}))
    assert found["verdict"] == "no evidence of gain over voting" and "no PRM" in found["because"]


def test_the_table_for_a_terminal(good):
    text = report.text(good[1])
    assert "majority of 8" in text and "ours, weighted vote" in text and "no evidence of gain over voting" in text


class Page(HTMLParser):
    """Collects what a page opens and closes, and what it would fetch."""

    def __init__(self):
        super().__init__()
        self.open, self.fetched, self.tags = [], [], set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.fetched += [value for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_fetches_nothing(good):
    page = Page()
    text = (good[0] / "report.html").read_text()
    page.feed(text)
    assert page.open == [] and page.fetched == [] and "script" not in page.tags
    assert {"svg", "table", "h1", "details"} <= page.tags
    assert "the PRM saves it" in text and "prefers-color-scheme" in text


def test_the_page_escapes_what_models_wrote(good):
    nasty = "<script>alert(1)</script>"
    example = {
        "title": nasty,
        "text": nasty,
        "gold": nasty,
        "solutions": [{"title": nasty, "answer": nasty, "right": False, "steps": [(nasty, None, nasty)]}],
    }
    page = html.page({**good[1], "name": nasty, "rejected": {nasty: 1}}, [example])
    assert "<script" not in page and "&lt;script&gt;" in page


def test_an_incomplete_run_is_refused(tmp_path):
    folder = write(tmp_path / "made", {"prm": 0.3, "orm": 1.0})
    (folder / "scores.prm.test" / "manifest.json").unlink()
    with pytest.raises(PrmError, match="scores.prm.test is not complete"):
        report.write(folder)


def test_published_scores_stand_beside_ours(tmp_path, good):
    folder, found = good
    ids = [f"world-2-{i}" for i in range(60)]
    rows = [{"problem_id": id, "candidate_index": k, "step_scores": [0.5]} for id in ids[:20] for k in range(8)]
    (tmp_path / "some_prm_gsm8k.jsonl").write_text("\n".join(map(json.dumps, rows)))
    table = summary.summarise(folder, [tmp_path])[0]["rows"]
    other = next(row for row in table if row["key"] == "published_some_prm_vote")
    assert other["n"] == 20 and other["difference"] == [0.0, 0.0, 0.0]  # equal scores: the vote is majority's


def test_quality_on_three_steps_by_hand():
    truth = {("p", 0): ["right", "slip", "carried"], ("p", 1): ["right", "misconception", "carried"], ("q", 0): []}
    rows = [
        StepScores("p", 0, "s", "vote", (0.9, 0.1, 0.95), (1, 1, 1)),
        StepScores("p", 1, "s", "vote", (0.8, None, 0.0), (1, 0, 1)),
        StepScores("q", 0, "s", "vote", (), ()),
    ]
    found = label_quality.quality(rows, truth)
    assert (found["steps"], found["coverage"]) == (6, 5 / 6)
    assert found["auroc"]["all"]["overall"] == 4 / 6  # .95 on a carried step beats both right ones
    assert found["auroc"]["all"]["first_error"] == 1.0 and found["auroc"]["random"]["within"] == 1.0
    assert (found["first_error"]["n_error"], found["first_error"]["acc_error"]) == (
        2,
        0.5,
    )  # the abstention hides the second
    assert np.isnan(found["auroc"]["systematic"]["overall"])  # its only step abstained
    with pytest.raises(PrmError, match="2 steps, the truth 3"):
        label_quality.quality([StepScores("p", 0, "s", "vote", (0.9, 0.1), (1, 1))], truth)
