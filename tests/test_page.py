"""The page of one problem: its data, what cannot break out of it, and the page itself clicked and read in headless Chromium."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from types import SimpleNamespace

import made_run
import numpy as np
import pytest

from prm import cli, show, store
from prm.dynamics import reader
from prm.dynamics.traces import Traces
from prm.errors import PrmError
from prm.page import data, html, reading
from prm.records import Answer, Group, Problem, Sample, Steps, StepScores
from prm.roles import model

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = "--no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update --disable-sync"
HOSTILE = (
    "</script><script>document.title='broken'</script><!-- <img src=x onerror=\"document.title='broken'\"> & \u2028 😀"
)


class Roles:
    """Two roles, told apart by the sign of a state's first number."""

    reader = reader.Config()
    roles = (SimpleNamespace(name="adds <b>", typical=("1 + 1 = 2",)), SimpleNamespace(name="ends", typical=()))

    def open_reader(self, context=None):
        return reader.Reader.open(self.reader)

    def detect(self, states):
        return (states[:, 0] > 0).astype(int), np.full(len(states), 0.5)

    def assign(self, centres):
        return (centres[:, 0] > 0).astype(int), np.full(len(centres), 0.75)


def test_the_fake_roles_are_like_saved_ones():
    fields = {field.name for field in dataclasses.fields(model.Roles)} | set(dir(model.Roles))
    assert {name for name in vars(Roles) if not name.startswith("_")} <= fields
    assert {"name", "typical"} <= {field.name for field in dataclasses.fields(model.Role)}


def group(*texts: str) -> Group:
    samples = [Sample("p", i, text, reason="" if text else "empty") for i, text in enumerate(texts)]
    ends = [tuple(m.end() for m in re.finditer(r".*\n|.+\Z", text)) for text in texts]
    steps = [Steps("p", i, e) for i, e in enumerate(ends)]
    answers = [Answer("p", i, str(i) if t else "", i if t else -1, "" if t else "empty") for i, t in enumerate(texts)]
    return Group(Problem("p", HOSTILE), tuple(samples), tuple(steps), tuple(answers))


def gathered(monkeypatch, made: Group, traces: list[Traces], scores: dict | None = None, roles=None) -> dict:
    run = SimpleNamespace(path="runs/x", recipe={"arms": {"prm": {"reduce": "product"}}})
    states = [None if t.hidden_LTD is None else t.hidden_LTD[-1] for t in traces]
    read = reading.Reading(traces, 3, 8, [t.spans for t in traces], states)
    monkeypatch.setattr(reading, "read", lambda *_: read)
    return data.gather(run, made, scores or {}, reading.Plan(reader.Config(), "{problem}", roles))


def words(text: str, hidden: bool = False) -> Traces:
    """A token a word, the space before it included; numbers that tell the tokens apart, none for the first."""
    spans = tuple(m.span() for m in re.finditer(r"\s*\S+", text))
    count = np.arange(len(spans), dtype=np.float32)
    missing = np.where(count == 0, np.nan, count)
    states = np.stack([count - 1.5, count], -1)[None] if hidden else None
    return Traces(spans, missing, count / 7, -missing, *([missing[None]] * 4), hidden_LTD=states)


def test_what_is_not_defined_is_null_and_ranges_span_all_samples(monkeypatch):
    made = group("a b\nc d", "e f", "")
    page = gathered(monkeypatch, made, [words("a b\nc d"), words("e f"), Traces(reason="no_tokens")])
    assert page["samples"][0]["values"]["kl"] == [None, 1, 2, 3]
    assert [s["steps"] for s in page["samples"]] == [[0, 0, 1, 1], [0, 0], []]
    assert [page["traces"][0][end] for end in ("low", "high", "least", "most")] == [1, 2.85, 1, 2.97]
    assert page["samples"][2]["values"] == {} and page["samples"][2]["unread"] == "no_tokens"
    json.dumps(page, allow_nan=False)


def test_a_steps_mean_leaves_out_what_is_not_defined(monkeypatch):
    page = gathered(monkeypatch, group("a b\nc d", ""), [words("a b\nc d"), Traces(reason="no_tokens")])
    means = data.step_means(page)
    assert [step["KL flow"] for step in means[0]] == [1, 2.5] and means[1] == []
    assert data.step_means(page | {"samples": [page["samples"][0] | {"values": {}}]})[0][0]["RPI"] is None


def test_a_model_without_head_has_no_flow(monkeypatch):
    traces = Traces(((0, 1),), curl_norm_LT=np.array([[np.nan]]))
    page = gathered(monkeypatch, group("a"), [traces])
    assert all(t["low"] is None and t["most"] is None for t in page["traces"])
    assert page["samples"][0]["values"] == {"curl_norm": [None]}


def test_scores_are_kept_by_source_and_reduced_as_the_recipe_says(monkeypatch):
    row = StepScores("p", 0, "prm", "prm", (0.5, None, 0.5), (1.0, 0.0, 1.0))
    page = gathered(monkeypatch, group("a\nb\nc"), [words("a\nb\nc")], {"scores.prm": {0: row}, "labels.prm": {0: row}})
    assert page["samples"][0]["scores"]["labels.prm"] == [0.5, None, 0.5]
    assert page["samples"][0]["whole"] == {"scores.prm": 0.25}


def test_a_steps_role_is_its_centres(monkeypatch):
    page = gathered(monkeypatch, group("a b\nc d\n \n"), [words("a b\nc d\n \n", hidden=True)], roles=Roles())
    assert page["samples"][0]["roles"] == [{"role": 0, "confidence": 0.75}, {"role": 1, "confidence": 0.75}, None]
    assert [mode["role"] for mode in page["samples"][0]["modes"]] == [0, 0, 1, 1]
    assert page["roles"][0] == {"name": "adds <b>", "typical": ["1 + 1 = 2"]}


def test_hostile_text_stays_in_its_place(monkeypatch):
    made = html.page(gathered(monkeypatch, group(HOSTILE), [words(HOSTILE)]) | {"id": HOSTILE})
    inside = re.findall(r"<script[^>]*>(.*?)</script>", made, re.DOTALL)
    assert len(inside) == 2 and json.loads(inside[0])["samples"][0]["text"] == HOSTILE
    assert "<img" not in made and "http" not in re.sub(r"http://www.w3.org/2000/svg|http-equiv", "", made)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> store.Run:
    return store.Run(made_run.write(tmp_path_factory.mktemp("made") / "run", {"prm": 0.3, "gold": 0.0}))


def fails(capsys, *arguments: str) -> str:
    assert cli.main(["show", *arguments]) == 2
    return capsys.readouterr().err


def test_errors_come_before_a_model_is_loaded(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(reader.Reader, "open", lambda config: pytest.fail("a model was opened"))
    problem, folder = next(run.rows("problems.test")).id, str(run.path)
    page = (folder, "--problem", problem, "--html")
    assert "give --problem" in fails(capsys, folder, "--html", "x.html")
    assert "goes with --html" in fails(capsys, folder, "--problem", problem, "--model", "world")
    assert "goes with --html" in fails(capsys, folder, "--problem", problem, "--roles", str(tmp_path))
    assert "leave it out" in fails(capsys, *page, "x.html", "--traces")
    assert "is a folder" in fails(capsys, *page, str(tmp_path))
    assert "no such folder" in fails(capsys, *page, str(tmp_path / "x.html"), "--model", str(tmp_path / "none"))
    assert "roles.json" in fails(capsys, *page, str(tmp_path / "x.html"), "--roles", str(tmp_path))
    assert "no problem 'p99'" in fails(capsys, folder, "--problem", "p99", "--html", str(tmp_path / "x.html"))
    replayed = SimpleNamespace(path=run.path, recipe={**run.recipe, "engine": {"name": "replay", "path": "x"}})
    with pytest.raises(PrmError, match="--model FOLDER_OR_HUB_ID"):
        reading.plan(replayed, None, None)
    assert len(reading.plan(replayed, "world", None).notes) == 2


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install -e .[test]")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=QUIET.split())
        yield opened
        opened.close()


def opened(browser, path, errors: list, **view):
    page = browser.new_page(offline=True, **view)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: errors.append(request.url) if request.url.startswith("http") else None)
    page.goto(path.as_uri())
    return page


def shown(value: float | None) -> str:
    """A trace's value as the page writes it."""
    if value is None:
        return "–"
    size = abs(value)
    if size and size < 0.0005:
        return ">−0.001" if value < 0 else "<0.001"
    return f"{value:.{0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3}f}".replace("-", "−")


def panel(page) -> dict[str, str]:
    return {e.get_attribute("data-value"): e.inner_text().split(" ")[0] for e in page.query_selector_all("#panel dd")}


def read(sample: dict, token: int) -> dict[str, str]:
    return {name: shown(sample["values"][name][token]) for name in data.TRACES}


def test_clicked_and_read_in_a_browser(run, browser, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_roles", lambda folder: Roles())
    problem, out, errors = next(run.rows("problems.test")).id, tmp_path / "new" / "page.html", []
    assert "8 samples" in next(show.page(run, problem, str(out), None, "roles"))
    told = json.loads(re.search(r'id="data">(.*?)</script>', out.read_text(), re.DOTALL)[1])
    page = opened(browser, out, errors, color_scheme="light")
    first, third = told["samples"][0], told["samples"][2]

    assert page.locator(".token").count() == len(first["spans"])
    assert page.inner_text("#panel .word") == first["text"][slice(*first["spans"][0])]
    assert panel(page) == read(first, 0) and panel(page)["curl_norm"] != "0.000"
    assert page.locator(".step").count() == page.locator(".step .chip").count() == len(first["ends"])

    page.click("button[data-trace=rpi]")
    assert page.get_attribute("button[data-trace=rpi]", "aria-pressed") == "true"
    rpi = next(t for t in told["traces"] if t["name"] == "rpi")
    assert shown(rpi["low"]) in page.inner_text("#legend") and shown(rpi["high"]) in page.inner_text("#legend")
    heats = page.eval_on_selector_all(".token", "all => all.map(e => Number(e.style.getPropertyValue('--heat')))")
    wanted = [(v - rpi["low"]) / (rpi["high"] - rpi["low"]) for v in first["values"]["rpi"]]
    assert heats == pytest.approx(np.clip(wanted, 0, 1), abs=1e-3)

    page.click(".token >> nth=5")
    assert panel(page) == read(first, 5) and "token 6 of" in page.inner_text("#panel .place")
    step = first["steps"][5]
    assert page.inner_text(
        "#panel .score[data-source='scores.prm'] .num"
    ) == f"{first['scores']['scores.prm'][step]:.2f}".lstrip("0")
    mode = first["modes"][5]
    assert page.inner_text("#panel .mode") == f"{told['roles'][mode['role']]['name']} detected live, .50"
    assert page.inner_text("#panel .role .chip") == told["roles"][first["roles"][step]["role"]]["name"]
    page.keyboard.press("ArrowRight")
    assert panel(page) == read(first, 6)
    page.keyboard.press("ArrowDown")
    assert page.inner_text("#panel h3") == f"step {first['steps'][6] + 2} of {len(first['ends'])}"

    width = page.locator("#chart").bounding_box()["width"]
    page.click("#chart", position={"x": width - 8, "y": 60})  # the last token's place
    assert panel(page) == read(first, len(first["spans"]) - 1)
    assert page.get_attribute(".token[aria-pressed=true]", "data-token") == str(len(first["spans"]) - 1)
    page.focus("#chart")
    page.keyboard.press("Home")
    assert page.get_attribute("#chart", "aria-valuenow") == "1" and panel(page) == read(first, 0)

    page.click("label[for=sample-1]")  # the run's one empty sample
    assert "no tokens" in page.inner_text("#panel") and page.locator(".token").count() == 0
    page.click("label[for=sample-2]")
    assert f"answer {third['answer']}" in page.inner_text("#title")
    assert page.locator(".token").count() == len(third["spans"]) and panel(page) == read(third, 0)

    assert page.is_visible(".step .side >> nth=0")
    page.click("#running")
    assert not page.is_visible(".step .side >> nth=0") and page.is_visible(".step .chip >> nth=0")

    bright = page.evaluate(LUMINANCE)
    page.click("#theme")
    assert page.evaluate(LUMINANCE) < 0.1 < bright
    assert not errors and page.title() == f"{problem}: traces"


LUMINANCE = "parseInt(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]) / 255"
CONTRAST = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const light = (colour) => {
    canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (ink, paper) => { const [a, b] = [light(ink), light(paper)].sort((x, y) => y - x); return (a + 0.05) / (b + 0.05); };
  return [...document.querySelectorAll(".token")].map((e) => ratio(getComputedStyle(e).color, getComputedStyle(e).backgroundColor));
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_heat_can_be_read_and_a_phone_does_not_scroll_sideways(browser, tmp_path, monkeypatch, scheme):
    text = "\n".join("one two three four five six" for _ in range(20))
    path, errors = tmp_path / "page.html", []
    path.write_text(html.page(gathered(monkeypatch, group(*[text] * 16), [words(text)] * 16)))
    page = opened(browser, path, errors, color_scheme=scheme, viewport={"width": 400, "height": 800})
    page.click("button[data-trace=entropy]")
    ratios = page.evaluate(CONTRAST)
    assert len(ratios) == 120 and min(ratios) > 4.5 and max(ratios) / min(ratios) > 1.5
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    assert not errors


def test_hostile_text_is_only_shown(browser, tmp_path, monkeypatch):
    made = gathered(monkeypatch, group(HOSTILE, ""), [words(HOSTILE), Traces(reason="no_tokens")])
    path, errors = tmp_path / "page.html", []
    path.write_text(html.page(made), encoding="utf-8")
    page = opened(browser, path, errors)
    assert page.title() == "p: traces" and page.inner_text("#problem") == HOSTILE
    assert page.text_content("#text .words") == HOSTILE
    assert panel(page)["kl"] == "–"  # not 0: nothing is known of the first
    page.keyboard.press("Tab")
    page.click("label[for=sample-1]")
    assert "empty" in page.inner_text("#title") and "no tokens" in page.inner_text("#panel")
    assert not errors
