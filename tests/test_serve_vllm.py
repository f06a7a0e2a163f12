"""An export in real vLLM servers, as the documented commands start them: their scores are the PRM's."""

import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager

import httpx
import pytest
import tiny
import tiny_model
import torch

from prm.export import export
from prm.model import PRM
from prm.serve import app
from prm.serve.judge import Judge
from prm.serve.text import Reader, inputs, scores

pytestmark = pytest.mark.vllm

POOLERS = {  # a vLLM server has one task
    "token_classify": ["--pooler-config", '{"task": "token_classify", "tok_pooling_type": "ALL"}'],
    "classify": [],
}
PROBLEM = "Ann has 12 apples and buys 35 more. How many now?"
PAIRS = [
    (PROBLEM, ["12 + 35 = 47\n", "So Ann has 47 apples.\n\n", "The answer is: 47."]),
    (PROBLEM, ["12 + 35 = 46\n", "The answer is: 46."]),
    (PROBLEM, [f"{i} + 35 = 47\n" for i in range(14)]),  # several windows
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vllm")
    backbone = tiny_model.make(folder / "qwen2")
    torch.manual_seed(1)
    prm = PRM.create(tiny.config(backbone, max_tokens=128), "cpu")
    for parameter in prm.network.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.05)
    prm.save(folder / "prm")
    return export(folder / "prm", folder / "my-prm")


@contextmanager
def started(folder, options):
    """A vLLM server's process and address."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder)]
    command += ["--served-model-name", "my-prm", "--runner", "pooling", "--max-model-len", "128", "--port", str(port)]
    log = open(folder.parent / f"{port}.log", "w+")
    env = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1"}
    command += ["--dtype", "float32", "--enforce-eager", *options]
    server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=env)
    try:
        yield server, f"http://127.0.0.1:{port}", log
    finally:
        server.terminate()  # it ends its own processes
        server.wait(60)


def ready(server, url, log):
    for _ in range(600):
        try:
            return httpx.get(url + "/health").raise_for_status()
        except httpx.HTTPError:
            if server.poll() is not None:
                break
            time.sleep(1)
    log.seek(0)
    raise AssertionError(log.read()[-4000:])


@pytest.fixture(scope="module")
def urls(exported):
    """task -> address; both start at once."""
    pytest.importorskip("vllm")
    with ExitStack() as stack:
        made = {task: stack.enter_context(started(exported, options)) for task, options in POOLERS.items()}
        for one in made.values():
            ready(*one)
        yield {task: url for task, (_, url, _) in made.items()}


def both(urls, judge, task, path, body):
    """The same request to vLLM and to `prm serve`."""
    import asyncio

    made = app.make_app(judge, "my-prm")

    async def ours():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(made), base_url="http://prm") as client:
            return (await client.post(path, json=body)).json()

    try:
        return httpx.post(urls[task] + path, json=body, timeout=120).raise_for_status().json(), asyncio.run(ours())
    finally:
        made.state.worker.close()


def test_token_classify_is_prm_score_and_prm_serve(urls, exported):
    encoded = Reader.open(exported).encode(PAIRS)
    assert len(encoded[2].windows) > 1
    prm = Judge.load(exported, device="cpu")
    expected = prm.prm.score_batch(PAIRS)
    body = {"model": "my-prm", "input": inputs(encoded), "task": "token_classify", "use_activation": True}
    for answer in both(urls, prm, "token_classify", "/pooling", body):
        given = scores(encoded, [row["data"] for row in answer["data"]])
        assert given == [pytest.approx(one, abs=1e-3) for one in expected]
    body = {"model": "my-prm", "input": PROBLEM, "task": "token_classify", "use_activation": False}
    theirs, ours = both(urls, prm, "token_classify", "/pooling", body)
    assert ours["data"][0]["data"] == [pytest.approx(one, abs=1e-3) for one in theirs["data"][0]["data"]]
    assert set(ours) == set(theirs) and set(ours["data"][0]) == set(theirs["data"][0])


def test_classify_is_the_last_steps_score(urls, exported):
    encoded = Reader.open(exported).encode(PAIRS[:2])
    judge = Judge.load(exported, device="cpu")
    expected = [one[-1] for one in judge.prm.score_batch(PAIRS[:2])]
    body = {"model": "my-prm", "input": inputs(encoded)}
    theirs, ours = both(urls, judge, "classify", "/classify", body)
    for answer in theirs, ours:
        assert [row["probs"][0] for row in answer["data"]] == pytest.approx(expected, abs=1e-3)
    assert set(ours) == set(theirs) and ours["data"][0].keys() == theirs["data"][0].keys()
    assert ours["data"][0]["label"] == theirs["data"][0]["label"]
    body = {"model": "my-prm", "input": PROBLEM, "use_activation": False}  # as verl asks
    theirs, ours = both(urls, judge, "classify", "/classify", body)
    assert ours["data"][-1]["probs"][-1] == pytest.approx(theirs["data"][-1]["probs"][-1], abs=1e-3)
