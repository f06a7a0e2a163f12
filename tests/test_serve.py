"""`prm serve`, by example: every protocol's answer on a real server, requests batched together, and what is refused."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx
import pytest
import tiny
import torch

from prm import cli
from prm.apply import read_usage
from prm.errors import PrmError
from prm.model import PRM
from prm.serve import app
from prm.serve.judge import Judge, Solution
from prm.serve.text import Reader, inputs, scores
from prm.serve.worker import Worker

PROBLEM = "what is one ?"
STEPS = ["so one then two .\n", "it makes right .\n", "wrong ."]
USAGE = {"reduce": "min", "segmenter": {"name": "delimiter", "by": "lines"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serve")
    torch.manual_seed(1)
    prm = PRM.create(tiny.config(tiny.backbone(folder / "llama", pad=False)), "cpu")
    torch.nn.init.normal_(prm.network.head.weight, std=0.3)
    prm.save(folder / "prm")
    (folder / "prm" / "usage.json").write_text(json.dumps(USAGE))
    return folder / "prm"


@pytest.fixture(scope="module")
def judge(folder):
    return Judge.load(folder, device="cpu")


@pytest.fixture(scope="module")
def expected(judge):
    return judge.prm.score(PROBLEM, STEPS)


def asked(judge, *requests, **options):
    """Sends requests (method, path, body) at the same time; their responses."""
    made = app.make_app(judge, "my-prm", **options)

    async def run():
        transport = httpx.ASGITransport(made)
        async with httpx.AsyncClient(transport=transport, base_url="http://prm") as client:
            sent = (client.request(method, path, **_content(body)) for method, path, body in requests)
            return await asyncio.gather(*sent)

    try:
        return asyncio.run(run())
    finally:
        made.state.server.worker.close()


def _content(body):
    return {"content": body} if isinstance(body, (bytes, type(None))) else {"json": body}


def post(judge, path, body, **options):
    [response] = asked(judge, ("POST", path, body), **options)
    return response.json()


def test_pooling_answers_as_vllm_does(judge, folder, expected):
    encoded = Reader.open(folder).encode([(PROBLEM, STEPS)])
    body = {"model": "my-prm", "input": inputs(encoded), "task": "token_classify", "use_activation": True}
    answer = post(judge, "/pooling", body)
    assert answer["object"] == "list" and answer["model"] == "my-prm" and answer["usage"]["prompt_tokens"] == 18
    [row] = answer["data"]
    assert (row["index"], row["object"], len(row["data"])) == (0, "pooling", 18) and len(row["data"][0]) == 1
    assert scores(encoded, [row["data"]]) == [pytest.approx(expected, abs=1e-5)]
    logits = post(judge, "/pooling", {**body, "use_activation": False})["data"][0]["data"]
    assert torch.tensor(logits).sigmoid().tolist() == [pytest.approx(one, abs=1e-5) for one in row["data"]]
    text = post(judge, "/pooling", {"input": PROBLEM + "\n" + "".join(STEPS)})["data"][0]["data"]
    assert text == [pytest.approx(one, abs=1e-5) for one in row["data"]], "a text is tokenised"


def test_classify_reads_the_last_token_as_verl_does(judge, expected):
    answer = post(judge, "/classify", {"input": [PROBLEM + "\n" + "".join(STEPS), "what"]})
    assert answer["data"][0]["probs"] == [pytest.approx(expected[-1], abs=1e-5)] and len(answer["data"]) == 2
    body = {"model": "my-prm", "input": PROBLEM + "\n" + "".join(STEPS), "use_activation": False}
    read = post(judge, "/classify", body)["data"][-1]["probs"][-1]
    assert torch.tensor(read).sigmoid().item() == pytest.approx(expected[-1], abs=1e-5)


def test_openrlhfs_remote_reward(judge, expected):
    text = "".join(STEPS)
    body = {
        "query": [f"User: {PROBLEM} Go" + text + "[SEP]", "User: what Go", f"User: {'what ' * 90}Go" + text],
        "prompts": [f"User: {PROBLEM} Go", "User: what Go", f"User: {'what ' * 90}Go"],
        "labels": [None, "4", ""],
    }
    formed = Judge(judge.prm, judge.usage, prompt="User: {problem} Go")
    body["prompts"][2] = body["prompts"][2].replace(" Go", "  Go")
    body["query"][2] = body["prompts"][2] + text
    answer = post(formed, "/get_reward", {k: [v[0], v[2]] for k, v in body.items()})
    assert answer["rewards"] == [pytest.approx(min(expected), abs=1e-5), None] == answer["scores"]
    assert answer["reasons"] == ["", "problem_too_long"] and answer["extra_logs"]["unscored"] == [0.0, 1.0]
    answer = post(formed, "/get_reward", {k: v[1:] for k, v in body.items()}, unscored=-1.0)
    assert answer["rewards"] == [-1.0, -1.0] and answer["reasons"] == ["no_steps", "problem_too_long"]


def test_plain_scores_with_reasons(judge, expected):
    rows = [
        {"problem": PROBLEM, "steps": STEPS},
        {"problem": PROBLEM, "text": "".join(STEPS)},
        {"problem": PROBLEM, "steps": []},
        {"problem": "what " * 99, "steps": ["one"]},
    ]
    answer = post(judge, "/score", {"rows": rows})
    assert answer["scores"] == [pytest.approx(expected, abs=1e-5)] * 2 + [[], []]
    assert answer["reasons"] == ["", "", "no_steps", "problem_too_long"]


def test_health_and_models(judge):
    health, models = asked(judge, ("GET", "/health", None), ("GET", "/v1/models", None))
    assert health.status_code == 200
    assert [(m["id"], m["max_model_len"]) for m in models.json()["data"]] == [("my-prm", 64)]


@pytest.mark.parametrize(
    "path, body, status, said",
    [
        ("/score", b"{", 400, "not JSON"),
        ("/score", [], 400, "must be a JSON object with rows"),
        ("/score", {}, 400, "rows: is missing"),
        ("/score", {"rows": [{"problem": 1}]}, 400, "rows 0: 'problem'"),
        ("/score", {"rows": [{"problem": "a", "steps": "b"}]}, 400, "rows 0: 'steps' must be a list"),
        ("/score", {"rows": [{"problem": "a", "steps": []}] * 5000}, 413, "5000 inputs"),
        ("/score", b" " * (app.BODY + 1), 413, "longer than"),
        ("/pooling", {"input": []}, 400, "input: must be"),
        ("/pooling", {"input": [["a"]]}, 400, "input 0: must be"),
        ("/pooling", {"input": [[1, 999]]}, 400, "input 0: token id 999 is outside the vocabulary"),
        ("/pooling", {"input": [1] * 65}, 400, "input 0: 65 tokens, but the PRM reads 64"),
        ("/pooling", {"input": "one " * 65}, 400, "input 0: is longer than the 64"),
        ("/pooling", {"input": ["one", ""]}, 400, "input 1: has no token"),
        ("/pooling", {"input": "one", "task": "embed"}, 400, "task: 'embed'"),
        ("/pooling", {"input": "one", "truncate_prompt_tokens": 3}, 400, "truncate_prompt_tokens: is not known"),
        ("/pooling", {"input": "one", "use_activation": "yes"}, 400, "use_activation: must be of the type bool"),
        ("/classify", {"input": "one", "model": "gpt"}, 404, "'gpt' is not served here; this is 'my-prm'"),
        ("/get_reward", {"query": ["a"]}, 400, "prompts: is missing"),
        ("/get_reward", {"query": ["a"], "prompts": ["b"]}, 400, "query 0: must be a text that begins"),
    ],
)
def test_what_is_refused(judge, path, body, status, said):
    [response] = asked(judge, ("POST", path, body))
    message = response.json()["error"]["message"]
    assert response.status_code == status and said in message and "\n" not in message


def test_requests_that_arrive_together_are_one_batch(judge, expected):
    """While a batch is computed the next one gathers: never as many batches as requests."""
    sent = [("POST", "/score", {"rows": [{"problem": PROBLEM, "steps": STEPS[: 1 + i % 3]}]}) for i in range(24)]
    made = app.make_app(judge, "my-prm")
    worker = made.state.server.worker

    async def run():
        return await asyncio.gather(*(worker.score([Solution(PROBLEM, tuple(STEPS[: 1 + i % 3]))]) for i in range(24)))

    found = asyncio.run(run())
    worker.close()
    assert [one.scores for [one] in found] == [pytest.approx(expected[: 1 + i % 3], abs=1e-5) for i in range(24)]
    assert worker.batches < 12
    assert [r.status_code for r in asked(judge, *sent)] == [200] * 24


def test_an_error_is_told_and_the_worker_goes_on(judge, monkeypatch):
    worker = Worker(judge)
    job = [Solution(PROBLEM, tuple(STEPS))]
    with monkeypatch.context() as broken:
        broken.setattr(judge, "judge", lambda items: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            asyncio.run(worker.score(job))
    assert len(asyncio.run(worker.score(job))[0].scores) == 3
    worker.close()


def test_a_prm_that_does_not_say_how_to_use_it(judge, folder):
    bare = Judge(judge.prm, read_usage(folder.parent))
    [response] = asked(bare, ("POST", "/get_reward", {"query": ["ab"], "prompts": ["a"]}))
    assert "--reduce" in response.json()["error"]["message"]
    [response] = asked(bare, ("POST", "/score", {"rows": [{"problem": "a", "text": "b"}]}))
    assert "rows 0: this PRM does not say how a text is cut" in response.json()["error"]["message"]
    with pytest.raises(PrmError, match="prompt: .* once"):
        Judge(judge.prm, judge.usage, prompt="no place")


@contextmanager
def taken():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        yield one.getsockname()[1]


def test_a_port_in_use_is_one_line(folder, capsys):
    with taken() as port:
        assert cli.main(["serve", str(folder), "--port", str(port)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"prm: error: --port: 127.0.0.1:{port} cannot be had") and error.count("\n") == 1


def test_the_command_serves_and_ends_cleanly(folder, expected):
    with taken() as port:
        pass
    command = [sys.executable, "-m", "prm", "serve", str(folder), "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})
    try:
        client = httpx.Client(transport=httpx.HTTPTransport(retries=0), base_url=f"http://127.0.0.1:{port}", timeout=60)
        for _ in range(600):
            try:
                client.get("/health")
                break
            except httpx.ConnectError:
                assert server.poll() is None, server.stderr.read()
                time.sleep(0.1)
        answer = client.post("/score", json={"rows": [{"problem": PROBLEM, "steps": STEPS}]}).json()
        assert answer["scores"] == [pytest.approx(expected, abs=1e-5)]
        client.close()
    finally:
        server.send_signal(signal.SIGTERM)
        out, error = server.communicate(timeout=30)
    assert "Traceback" not in error and server.returncode in (0, -signal.SIGTERM)
