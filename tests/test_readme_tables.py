"""README tables come from runs' files; a stale one fails the check, ours included."""

import json
from pathlib import Path

import pytest

from eval import readme
from eval.siblings import FIELD
from prm.errors import PrmError

SUMMARY = {
    "name": "demo",
    "problems": 1000,
    "samples": 16,
    "seeds": [0],
    "verdict": "no evidence of gain over voting",
    "because": "By a lot.",
    "rows": [
        {"name": "majority of 16", "role": "base", "accuracy": 0.741, "difference": None},
        {"name": "ours, weighted vote", "role": "ours", "accuracy": 0.835, "difference": [0.094, 0.071, 0.117]},
        {"name": "trained on gold", "role": "gold", "accuracy": None, "difference": None},
    ],
}
TEXT = "# A title\n<!-- table:demo -->\nold\n<!-- /table -->\nafter\n"


@pytest.fixture
def places(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "summary.json").write_text(json.dumps(SUMMARY))
    (tmp_path / "README.md").write_text(TEXT)
    return tmp_path, ["--readme", str(tmp_path / "README.md"), "--results", str(tmp_path / "results")]


def test_a_table_is_written_and_then_fresh(places):
    folder, options = places
    readme.main([str(folder / "run"), *options])
    text = (folder / "README.md").read_text()
    assert "| **ours, weighted vote** | 0.835 | +9.4 [+7.1, +11.7] |" in text and "| trained on gold | n/a |  |" in text
    assert text.startswith("# A title\n") and text.endswith("<!-- /table -->\nafter\n") and "\nold\n" not in text
    readme.main(["--check", *options])


def test_a_stale_table_fails(places):
    folder, options = places
    readme.main([str(folder / "run"), *options])
    (folder / "README.md").write_text((folder / "README.md").read_text().replace("0.835", "0.935"))
    with pytest.raises(PrmError, match="stale"):
        readme.main(["--check", *options])


def test_a_table_without_a_result_says_how_to_get_one(places):
    with pytest.raises(PrmError, match="python -m eval.readme runs/demo"):
        readme.main(["--check", *places[1]])


def test_siblings_are_one_table_of_several_files(places):
    folder, options = places
    (folder / "README.md").write_text(TEXT.replace("demo", "siblings"))
    with pytest.raises(PrmError, match="eval.siblings --out"):
        readme.main(options)
    row = {"n_error": 3, "n_correct": 4, "acc_error": 0.5, "acc_correct": 1.0, "f1": 0.667, "interval": [0.1, None]}
    for name in ("b", "a"):
        (folder / "results").mkdir(exist_ok=True)
        others = {"numbers": {**row, "f1": None}, **{title: {**row, "f1": 0.2} for title in FIELD}}
        kept = {"pool": f"{name}_n32", "labelled": name, "rows": {**others, "labels": row}}
        (folder / "results" / f"siblings-{name}.json").write_text(json.dumps(kept))
    readme.main(options)
    text = (folder / "README.md").read_text()
    assert "| b | b_n32 | 3 / 4 | n/a | 0.200 | 0.200 | 0.200 | 0.667 [0.100, n/a] |" in text and text.index(
        "| a |"
    ) < text.index("| b |")


def test_our_own_readme_is_fresh():
    root = Path(__file__).parent.parent
    if not (root / "README.md").exists():
        pytest.skip("no README.md yet")
    readme.main(["--check", "--readme", str(root / "README.md"), "--results", str(root / "recipes" / "results")])
