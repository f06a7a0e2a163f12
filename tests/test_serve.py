"""`prm serve`, by example: every protocol's answer on a real server, requests batched together, and what is refused."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
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
from prm.serve.worker import Unavailable, Worker

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
        transport = httpx.ASGITransport(made, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://prm") as client:
            sent = (client.request(method, path, **_content(body)) for method, path, body in requests)
            return await asyncio.gather(*sent)

    try:
        return asyncio.run(run())
    finally:
        made.state.worker.close()


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
        ("/score", {"rows": [{"problem": "a", "steps": []}] * 5000}, 413, "rows: 5000 of them"),
        ("/score", b" " * (app.BODY + 1), 413, "longer than"),
        ("/pooling", {"input": []}, 400, "input: must be"),
        ("/pooling", {"input": [["a"]]}, 400, "input 0: must be"),
        ("/pooling", {"input": [[1, 999]]}, 400, "input 0: token id 999 is outside the vocabulary"),
        ("/pooling", {"input": [1] * 65}, 400, "input 0: 65 tokens, but the PRM reads 64"),
        ("/pooling", {"input": "one " * 65}, 400, "input 0: is longer than the 64"),
        ("/pooling", {"input": ["one", ""]}, 400, "input 1: has no token"),
        ("/pooling", {"input": "one", "task": "embed"}, 400, "task: 'embed'"),
        ("/pooling", {"input": "one", "truncate_prompt_tokens": 3}, 400, "truncate_prompt_tokens: 3 is not served"),
        ("/pooling", {"input": "one", "activation": False}, 400, "activation: false is not served; ask with use_activ"),
        ("/score", {"rows": [{"problem": "a", "steps": []}], "model": "my-prm", "x": 1}, 400, "x: is not known here"),
        (
            "/score",
            b'{"rows": [{"problem": "a", "steps": ["\\ud83d"]}]}',
            400,
            "rows 0: holds half a character (a lone \\ud83d)",
        ),
        ("/score", b'{"model": "\\uD83D", "rows": [{"problem": "a", "steps": []}]}', 400, "model: holds half"),
        ("/score", b'{"rows": [{"problem": "a", "steps": ["\xed\xa0\xbd"]}]}', 400, "not JSON ('utf-8' codec"),
        ("/pooling", {"input": "one " * (4 << 20) + "one"}, 413, "input: 16777219 characters"),
        ("/pooling", {"input": "one", "use_activation": "yes"}, 400, "use_activation: must be of the type bool"),
        ("/classify", {"input": "one", "model": "gpt"}, 404, "'gpt' is not served here; this is 'my-prm'"),
        ("/get_reward", {"query": ["a"]}, 400, "prompts: is missing"),
        ("/get_reward", {"query": ["a"], "prompts": ["b"]}, 400, "query 0: must be a text that begins"),
        ("/nowhere", {}, 404, "Not Found"),
        ("/health", {}, 405, "Method Not Allowed"),
    ],
)
def test_what_is_refused(judge, path, body, status, said):
    [response] = asked(judge, ("POST", path, body))
    message = response.json()["error"]["message"]
    assert response.status_code == status == response.json()["error"]["code"]
    assert said in message and "\n" not in message


def test_what_changes_no_answer_is_let_pass_as_vllm_does(judge):
    plain = post(judge, "/classify", {"input": "one two"})["data"]
    known = {
        "model": "/where/my-prm",
        "use_activation": None,
        "activation": None,
        "encoding_format": "float",
        "priority": 0,
    }
    body = {"input": "one two", "cache_salt": "x", "dimensions": 3, "add_special_tokens": None, "new": [1], **known}
    assert post(judge, "/classify", body, names=["/where/my-prm"])["data"][0]["probs"] == plain[0]["probs"]


@contextmanager
def counted(judge, monkeypatch):
    """The batches that the judge is given, and an event that it waits for in each."""
    batches, go, judged = [], threading.Event(), judge.judge

    def one(items):
        batches.append(items)
        assert go.wait(20)
        return judged(items)

    with monkeypatch.context() as patched:
        patched.setattr(judge, "judge", one)
        yield batches, go
        go.set()


def until(condition):
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("in vain")


def test_requests_that_arrive_together_are_one_batch(judge, expected, monkeypatch):
    """While a batch is computed the next one gathers."""
    worker = Worker(judge)
    with counted(judge, monkeypatch) as (batches, go):
        first = worker.submit([Solution("one", ("two",))])
        until(lambda: batches)
        futures = [worker.submit([Solution(PROBLEM, tuple(STEPS[: 1 + i % 3]))]) for i in range(24)]
        go.set()
        found = [future.result(20) for future in futures]
    assert [len(batch) for batch in batches] == [1, 24] and first.done()
    assert [one.scores for [one] in found] == [pytest.approx(expected[: 1 + i % 3], abs=1e-5) for i in range(24)]
    worker.close()
    with pytest.raises(Unavailable, match="closed"):
        worker.submit([])
    sent = [("POST", "/score", {"rows": [{"problem": PROBLEM, "steps": STEPS}]})] * 24
    assert [r.status_code for r in asked(judge, *sent)] == [200] * 24


def test_the_request_at_fault_alone_fails(judge, expected, monkeypatch):
    """A bug of ours is told to who ran into it, in the form of every error; the others of its batch are answered."""
    good, judged = {"problem": PROBLEM, "steps": STEPS}, judge.judge

    def broken(items):
        if any(item.problem == "wrong" for item in items):
            raise ZeroDivisionError("inside")
        return judged(items)

    monkeypatch.setattr(judge, "judge", broken)
    rows = [[good], [good, {**good, "problem": "wrong"}], [good]] * 3
    responses = asked(judge, *(("POST", "/score", {"rows": one}) for one in rows))
    assert [response.status_code for response in responses] == [200, 500, 200] * 3
    assert responses[2].json()["scores"] == [pytest.approx(expected, abs=1e-5)]
    assert (
        responses[1].json()["error"]["code"] == 500 and "ZeroDivisionError" in responses[1].json()["error"]["message"]
    )


def test_an_input_that_has_no_score_is_refused_before_anything_is_computed(judge, monkeypatch):
    monkeypatch.setattr(judge.prm, "score_encoded", lambda encoded: 1 / 0)
    [response] = asked(judge, ("POST", "/pooling", {"input": ["one", "one " * 65]}))
    assert response.status_code == 400 and "input 1: is longer" in response.json()["error"]["message"]


def test_who_hangs_up_is_not_computed_and_too_much_waiting_is_refused(judge, monkeypatch):
    monkeypatch.setattr(app, "WAITING", 2)
    made = app.make_app(judge, "my-prm")
    row = {"rows": [{"problem": PROBLEM, "steps": STEPS}]}

    async def run(batches, go):
        transport = httpx.ASGITransport(made)
        async with httpx.AsyncClient(transport=transport, base_url="http://prm") as client:
            first = asyncio.ensure_future(client.post("/score", json=row))
            await asyncio.to_thread(until, lambda: batches)
            sent = iter([{"type": "http.request", "body": json.dumps(row).encode()}, {"type": "http.disconnect"}])
            scope = {"type": "http", "method": "POST", "path": "/score", "headers": [], "query_string": b""}
            answer = []
            gone = made(
                scope, lambda: asyncio.sleep(0.1, next(sent)), lambda message: asyncio.sleep(0, answer.append(message))
            )
            gone = asyncio.ensure_future(gone)
            await asyncio.sleep(0.15)
            refused = await client.post("/score", json=row)
            await gone
            last = asyncio.ensure_future(client.post("/score", json=row))
            await asyncio.sleep(0.1)
            go.set()
            return refused, await first, await last

    with counted(judge, monkeypatch) as (batches, go):
        refused, *answered = asyncio.run(run(batches, go))
    made.state.worker.close()
    assert refused.status_code == 503 == refused.json()["error"]["code"] and int(refused.headers["retry-after"]) > 0
    assert [one.status_code for one in answered] == [200, 200] and [len(batch) for batch in batches] == [1, 1]


def test_a_prm_that_does_not_say_how_to_use_it(judge, folder):
    bare = Judge(judge.prm, read_usage(folder.parent))
    [response] = asked(bare, ("POST", "/get_reward", {"query": ["ab"], "prompts": ["a"]}))
    assert "--reduce" in response.json()["error"]["message"]
    [response] = asked(bare, ("POST", "/score", {"rows": [{"problem": "a", "text": "b"}]}))
    assert "rows 0: this PRM does not say how a text is cut" in response.json()["error"]["message"]
    with pytest.raises(PrmError, match="prompt: .* once"):
        Judge(judge.prm, judge.usage, prompt="no place")


@pytest.mark.parametrize(
    "options, said",
    [
        (["--reduce", "best"], "--reduce: 'best' is not known"),
        (["--prompt", "no place"], "prompt: 'no place' must hold"),
        (["--unscored", "nan"], "--unscored: nan is not finite"),
        (["--host", "999.1.2.3"], "--host: '999.1.2.3' is no address"),
        (["--host", "192.0.2.1"], "--host: '192.0.2.1' is no address of this machine"),
        (["--port", "70000"], "--port: 127.0.0.1:70000 cannot be had"),
    ],
)
def test_what_the_command_refuses_before_a_model_is_loaded(folder, options, said, capsys, monkeypatch):
    monkeypatch.setattr(PRM, "load", lambda *_: 1 / 0)
    assert cli.main(["serve", str(folder), "--port", "0", *options]) == 2
    assert said in capsys.readouterr().err


def test_the_command_passes_on_what_it_was_given(folder, monkeypatch, capsys):
    """Line breaks as a shell writes them, names, and at the start a word on what cannot be answered."""
    import uvicorn

    loaded = []
    monkeypatch.delenv("PRM_QUIET", raising=False)
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: loaded.append(self.config.app))
    monkeypatch.setattr(app, "make_app", lambda judge, *names: loaded.append((judge, names)))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    command = [
        "serve",
        str(folder),
        "--host",
        "::1",
        "--port",
        "0",
        "--device",
        "cpu",
        "--prompt",
        "A:\\t{problem}\\nB:",
    ]
    assert cli.main(command) == 0
    (judge, names), _ = loaded
    assert judge.prompt == "A:\t{problem}\nB:" and names == ("prm", None, (str(folder), str(folder.resolve())))
    error = capsys.readouterr().err
    assert "serving prm on http://[::1]:" in error and "/get_reward will" not in error
    monkeypatch.setattr("prm.apply.read_usage", lambda _: read_usage(folder.parent))
    assert cli.main([*command, "--name", "ours"]) == 0
    assert loaded[-2][1][0] == "ours" and "/get_reward will be refused: this PRM does not" in capsys.readouterr().err


def test_a_problem_is_the_one_of_training_without_the_prompts_white_space(judge, expected):
    text = "".join(STEPS)
    for prompt in (PROBLEM, PROBLEM + "\n", f" {PROBLEM}\n\n"):
        answer = post(judge, "/get_reward", {"query": [prompt + text], "prompts": [prompt]})
        assert answer["rewards"] == [pytest.approx(min(expected), abs=1e-5)]


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


def test_a_port_is_had_at_once():
    """Another process may bind it until we listen, not only until requests are read."""
    with app.listen("127.0.0.1", 0) as found, pytest.raises(PrmError, match="--port: .* cannot be had"):
        app.listen("127.0.0.1", found.getsockname()[1])


def test_the_command_answers_what_is_in_flight_and_ends_cleanly(folder, expected):
    with taken() as port:
        pass
    sent = json.dumps({"rows": [{"problem": PROBLEM, "steps": STEPS}]}).encode()

    def stopped_halfway():
        yield sent[:10]
        client.get("/health")  # the server has seen the first half when it answers this
        server.send_signal(signal.SIGTERM)
        time.sleep(0.5)  # it has turned to ending
        yield sent[10:]

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
        response = client.post("/score", content=stopped_halfway())
        assert response.json()["scores"] == [pytest.approx(expected, abs=1e-5)]
        client.close()
    finally:
        server.terminate()
        out, error = server.communicate(timeout=60)
    assert "Traceback" not in error and server.returncode == 0
