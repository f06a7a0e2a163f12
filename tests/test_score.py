"""Scores of samples as rows: aligned, in order, abstaining where the PRM cannot read."""

import tiny

from prm.model import PRM
from prm.records import Problem, Sample, Steps
from prm.score import KEY, score_samples


def test_one_row_a_sample_in_order(tmp_path):
    prm = PRM.create(tiny.config(tiny.backbone(tmp_path)), "cpu")
    prm.network.head.weight.data.zero_()
    good = Problem("a", "what is one ?")
    rows = [
        (good, Sample("a", 0, "so one .\nit makes right .\n"), Steps("a", 0, (9, 26))),
        (good, Sample("a", 1, "", reason="empty"), Steps("a", 1, ())),
        (Problem("b", "what " * 80), Sample("b", 0, "one .\ntwo .\n"), Steps("b", 0, (6, 12))),
        (good, Sample("a", 2, "so one .\n" * 60), Steps("a", 2, tuple(range(9, 541, 9)))),
    ]
    scores = score_samples(prm, rows, "ours")
    assert [(s.problem_id, s.index, len(s.values)) for s in scores] == [
        ("a", 0, 2),
        ("a", 1, 0),
        ("b", 0, 2),
        ("a", 2, 60),
    ]
    assert {(s.source, s.key) for s in scores} == {("ours", KEY)}
    assert scores[0].values == (0.5, 0.5) and scores[0].weights == (1.0, 1.0)
    assert scores[2].values == (None, None) and scores[2].provenance == ("problem_too_long",) * 2
    assert scores[3].values == (0.5,) * 60
