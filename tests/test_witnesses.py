"""Who said what: from stages on disk to the table, and the warnings."""

import numpy as np
import pytest
from test_evidence import CALCULATION, POLICY, REASK, VOTE, world

from eval import who
from prm import store, witnesses
from prm.labels import Config, combine
from prm.records import StepScores


def folders(path, keys, table, names=None):
    """Signal stages that say what the table's columns say, 10 steps a sample, one signal a key."""
    made = {}
    for column, key in enumerate(keys):
        name = (names or keys)[column]
        folder = store.Folder(path / name, f"signal.{name}.train")
        folder.open()
        folder.write(0, list(rows(table.said[:, column], name, key)), {"seconds": 0.0, "tokens": 0})
        folder.finish({})
        made[name] = folder
    return made


def rows(column, name, key):
    for at in range(0, len(column), 10):
        s = column[at : at + 10]
        values = tuple(None if np.isnan(x) else float(1 / (1 + np.exp(-x))) for x in s)
        yield StepScores(f"p{at // 10}", 0, name, key, values, tuple(float(v is not None) for v in values))


def labelled(path, signals, config):
    """(fit, report) of the label set made from the signals."""
    trust = dict.fromkeys(signals, 1.0)
    fit, why = witnesses.fitted(signals, trust, config) if config.reliability == "estimated" else (None, "")
    made = store.Folder(path / "labels", "labels.ours.train")
    made.open()
    said = zip(*(folder.rows() for folder in signals.values()))
    made.write(
        0, [combine(dict(zip(signals, row)), trust, config, "ours", fit) for row in said], {"seconds": 0.0, "tokens": 0}
    )
    made.finish({})
    return fit, witnesses.report(signals, made, trust, config, fit, why)


ESTIMATED = Config(reliability="estimated", clip=5.0)


def test_from_signals_on_disk_to_the_report(tmp_path):
    table, truth = world(n=8000, vote=VOTE, policy=POLICY, reask=REASK)
    fit, report = labelled(tmp_path, folders(tmp_path, table.keys, table), ESTIMATED)
    vote, reask = report["keys"]["vote"], report["keys"]["reask"]
    assert report["reliability"] == "estimated" and report["steps"] == 8000 and fit.problems == 800
    assert vote["coverage"] == pytest.approx(0.9, abs=0.02) and vote["signals"] == ["vote"]
    low, high = vote["miss"][1:]
    missed = (table.said[:, 0] >= 0)[(truth > 0) & ~np.isnan(table.said[:, 0])].mean()
    assert low - 0.1 < missed < high + 0.1, "what the vote misses, told without gold"
    assert reask["miss"][2] < vote["miss"][1] and reask["overruled"] < vote["overruled"]
    assert report["rests_on"].keys() == {"1", "2", "3"} and max(report["rests_on"], key=report["rests_on"].get) == "3"
    assert any("reask" in text and "word" in text for text in witnesses.warnings(report))
    assert 0.05 < report["alone"] < 0.12 and any("reask is silent" in text for text in witnesses.warnings(report))
    lines = "\n".join(witnesses.lines(report))
    assert "policy+reask" in lines and "miss together" in lines
    page = who.section({"ours": report})
    assert page.count("<table>") == 2 and "reask" in page


def test_copies_under_another_key_are_noticed(tmp_path):
    table, _ = world(n=8000, vote=VOTE, reask=REASK, calculation=CALCULATION)
    said = np.column_stack([table.said, table.said[:, 0]])  # the vote again, under a key of its own
    keys = (*table.keys, "oracle")
    _, report = labelled(tmp_path, folders(tmp_path, keys, type(table)(keys, said, table.groups)), ESTIMATED)
    told = [text for text in witnesses.warnings(report) if "not independent" in text]
    assert any("oracle" in text and "vote" in text for text in told)
    assert report["pairs"]["oracle+vote"]["linked"] == max(pair["linked"] for pair in report["pairs"].values())


def test_one_key_and_votes_alone_are_told(tmp_path):
    table, _ = world(n=1000, reask=REASK)
    fit, report = labelled(tmp_path / "1", folders(tmp_path / "1", table.keys, table), ESTIMATED)
    assert fit is None and report["reliability"] == "trust" and "one key" in report["why"]
    assert any("one key alone" in text for text in witnesses.warnings(report))
    table, _ = world(n=1000, vote=VOTE, policy=POLICY)
    _, report = labelled(tmp_path / "2", folders(tmp_path / "2", table.keys, table), Config())
    assert any("blind" in text for text in witnesses.warnings(report)) and report["keys"]["vote"]["miss"] is None
