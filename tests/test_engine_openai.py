"""The HTTP engine against a small server that says what a test wants: retries, refusals, replies that are no
replies."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from tiny_model import make

from prm.engines import Sampling, openai
from prm.errors import PrmError
from prm.records import Problem

PROBLEMS = [Problem("a", "1 + 1?"), Problem("b", "2 + 2?")]


def reply(text="It is 2", finish="stop", **more):
    return 200, {"choices": [{"text": text, "finish_reason": finish, **more}]}


@contextmanager
def serve(answer, models=("tiny",)):
    """A server on loopback. answer(body, nth request) -> (status, JSON or raw text); yields (base_url, the bodies
    asked)."""
    asked, lock = [], threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send(200, {"data": [{"id": name} for name in models]})

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with lock:
                asked.append({**body, "path": self.path, "key": self.headers.get("authorization")})
                count = len(asked)
            self.send(*answer(body, count))

        def send(self, status, content):
            content = (content if isinstance(content, str) else json.dumps(content)).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", asked
    finally:
        server.shutdown()
        server.server_close()


def sample(url, problems=PROBLEMS, sampling=Sampling(samples=2, max_tokens=8), prefixes=None, **config):
    engine = openai.open_engine(openai.Config(base_url=url, **{"backoff": 0.001, "retries": 2, **config}))
    try:
        return engine.sample(problems, sampling, prefixes)
    finally:
        engine.close()


def test_completions_keep_ids_logprobs_and_finish():
    known = {"token_ids": [4, 5], "logprobs": {"token_logprobs": [-0.5, -1.5]}}
    ends = {"Q: 1 + 1?": "stop", "Q: 2 + 2?": "length"}
    with serve(lambda body, n: reply(finish=ends[body["prompt"]], **known)) as (url, asked):
        rows = sample(url, template="Q: {problem}")
    assert [(r.problem_id, r.index) for r in rows] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert [r.reason for r in rows] == ["", "", "cut_off", "cut_off"]
    assert rows[0].token_ids == (4, 5) and rows[0].logprobs == (-0.5, -1.5)
    assert {body["prompt"] for body in asked} == {"Q: 1 + 1?", "Q: 2 + 2?"}
    assert len({body["seed"] for body in asked}) == 4 and all(body["return_token_ids"] for body in asked)


def test_seeds_do_not_depend_on_what_else_is_asked():
    with serve(lambda body, n: reply(text=str(body["seed"]))) as (url, _):
        both, second = sample(url), sample(url, problems=PROBLEMS[1:])
    assert both[2:] == second


def test_chat_with_the_standards_keys_only(monkeypatch):
    monkeypatch.setenv("SOME_KEY", "secret")
    said = {"message": {"content": "It is 2"}, "finish_reason": "stop", "logprobs": {"content": [{"logprob": -0.25}]}}
    with serve(lambda body, n: (200, {"choices": [said]})) as (url, asked):
        sampling = Sampling(samples=1, stop=("\n",))
        row = sample(url, sampling=sampling, chat=True, server="openai", api_key_env="SOME_KEY")[0]
    assert (row.text, row.logprobs, row.token_ids) == ("It is 2", (-0.25,), ())
    assert asked[0]["path"] == "/v1/chat/completions" and asked[0]["key"] == "Bearer secret"
    assert asked[0]["messages"][0]["content"] in ("1 + 1?", "2 + 2?")
    assert asked[0]["stop"] == ["\n"] and "top_k" not in asked[0]


def test_a_prefix_begins_the_completion():
    with serve(lambda body, n: reply(text=" 2")) as (url, asked):
        rows = sample(url, sampling=Sampling(samples=1), prefixes=[" It is", ""])
    assert [r.text for r in rows] == [" 2", " 2"]
    assert {body["prompt"] for body in asked} == {"1 + 1? It is", "2 + 2?"}


def test_a_prefix_is_the_assistants_message_for_vllm_alone():
    said = {"message": {"content": " 2"}, "finish_reason": "stop"}
    with serve(lambda body, n: (200, {"choices": [said]})) as (url, asked):
        rows = sample(url, sampling=Sampling(samples=1), chat=True, prefixes=["It is", ""])
        with pytest.raises(PrmError, match="engine.chat: .* set engine.chat: false, or engine.server: vllm"):
            sample(url, chat=True, server="openai", prefixes=["It is", ""])
    bodies = {body["messages"][0]["content"]: body for body in asked}
    assert [r.text for r in rows] == [" 2", " 2"] and len(asked) == 2
    assert bodies["1 + 1?"]["messages"][1] == {"role": "assistant", "content": "It is"}
    assert bodies["1 + 1?"]["continue_final_message"] and bodies["1 + 1?"]["add_generation_prompt"] is False
    assert len(bodies["2 + 2?"]["messages"]) == 1 and "continue_final_message" not in bodies["2 + 2?"]


def test_passing_trouble_is_asked_again():
    trouble = {1: (503, "busy"), 2: (200, "<html>"), 3: reply()}
    with serve(lambda body, n: trouble[n]) as (url, asked):
        row = sample(url, PROBLEMS[:1], Sampling(samples=1))[0]
    assert row.text == "It is 2" and row.reason == "" and len(asked) == 3


@pytest.mark.parametrize(
    "answer, reason, times",
    [
        ((500, "no memory"), "error: HTTP 500 no memory, 3 times", 3),
        ((200, {"choices": []}), "error: malformed reply (IndexError: list index out of range), 3 times", 3),
        (reply(text=None), "error: malformed reply (ValueError: finish_reason 'stop', text NoneType), 3 times", 3),
        (
            reply(finish="content_filter"),
            "error: malformed reply (ValueError: finish_reason 'content_filter', text str), 3 times",
            3,
        ),
        (reply(token_ids=[1], logprobs={"token_logprobs": []}), "", 1),
        (
            reply(token_ids=[1], logprobs={"token_logprobs": [-1, -2]}),
            "error: malformed reply (ValueError: 1 token ids but 2 log-probabilities), 3 times",
            3,
        ),
        ((400, {"error": "bad\nvalue"}), 'error: HTTP 400 {"error": "bad\\nvalue"}', 1),
        ((400, {"error": "This model's maximum context length is 8 tokens"}), "prompt_too_long", 1),
        (reply(text=" "), "empty", 1),
    ],
)
def test_what_stays_wrong_is_a_row_with_a_reason(answer, reason, times):
    """One problem's requests fail; the other's samples are kept."""
    with serve(lambda body, n: answer if body["prompt"] == "1 + 1?" else reply()) as (url, asked):
        bad, good = sample(url, sampling=Sampling(samples=1))
    assert bad.reason == reason and good.reason == ""
    assert sum(body["prompt"] == "1 + 1?" for body in asked) == times


def test_what_a_user_can_mend_ends_the_run(monkeypatch):
    with serve(lambda body, n: (401, "the key sk-123 is wrong")) as (url, _):
        with pytest.raises(PrmError, match="refuses all requests .HTTP 401.; check engine.api_key_env") as error:
            sample(url)
        assert "sk-123" not in str(error.value)
        with pytest.raises(PrmError, match="engine.model: 'other' is not what .* serves .tiny."):
            sample(url, model="other")
    with pytest.raises(PrmError, match="engine.base_url: no server at"):
        sample(url)
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(PrmError, match="the environment has no NO_SUCH_KEY"):
        openai.check(openai.Config(api_key_env="NO_SUCH_KEY"))


def test_a_server_that_dies_ends_the_run():
    with serve(lambda body, n: reply()) as (url, _):
        engine = openai.open_engine(openai.Config(base_url=url, backoff=0.001, retries=1))
    with pytest.raises(PrmError, match="no server at .* any more .*run the same command again"):
        engine.sample(PROBLEMS, Sampling(samples=2))
    engine.close()


def test_a_slow_reply_is_a_row():
    gate = threading.Event()
    with serve(lambda body, n: (gate.wait(60), reply())[1]) as (url, _):
        row = sample(url, PROBLEMS[:1], Sampling(samples=1), timeout=2.0, retries=0)[0]
        gate.set()
    assert row.reason.startswith("error: ReadTimeout")


# A real server, on loopback.


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """base_url of a vLLM that serves a tiny model."""
    pytest.importorskip("vllm")
    log = tmp_path_factory.mktemp("log") / "server.txt"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model",
        make(tmp_path_factory.mktemp("model")),
        "--served-model-name",
        "tiny",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--dtype",
        "float32",
        "--enforce-eager",
        "--max-num-seqs",
        "16",
    ]
    with open(log, "w") as out:
        server = subprocess.Popen(
            command, stdout=out, stderr=out, start_new_session=True, env={"VLLM_CPU_KVCACHE_SPACE": "1", **os.environ}
        )
    try:
        _wait(server, port, log, seconds=600)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        os.killpg(server.pid, signal.SIGKILL)  # the session is the server's own: its workers end with it
        server.wait()


def _wait(server, port, log, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    raise AssertionError(f"the server did not start: {log.read_text()[-4000:]}")


def test_a_real_vllm_server(served):
    problems = [
        Problem("short", "Ann has"),
        Problem("long", "So Ann has 12 apples. " * 20),
        Problem("next", "12 + 35 = 47\nSo"),
    ]
    sampling = Sampling(samples=4, max_tokens=24, seed=3)
    rows = sample(served, problems, sampling)
    assert [(r.problem_id, r.index) for r in rows] == [(p.id, i) for p in problems for i in range(4)]
    assert {r.reason for r in rows[4:8]} == {"prompt_too_long"}
    for row in rows[:4] + rows[8:]:
        assert len(row.token_ids) == len(row.logprobs) > 0 and max(row.logprobs) <= 0
        assert row.finish == ("stop" if row.token_ids[-1] in (0, 1, 2) else "length")
    assert [r.token_ids for r in sample(served, problems, sampling)] == [r.token_ids for r in rows]
    assert [r.token_ids for r in sample(served, problems[2:], sampling)] == [r.token_ids for r in rows[8:]]


def test_a_real_vllm_server_goes_on_with_a_text(served):
    greedy = Sampling(samples=1, max_tokens=12, temperature=0)
    problem = [Problem("a", "Ann has 12 apples")]
    ids = {s: sample(served, problem, greedy, [s])[0].token_ids for s in ("", " and buys", " How many")}
    joined = sample(served, [Problem("a", "Ann has 12 apples and buys")], greedy)[0].token_ids
    assert ids[" and buys"] == joined and len(set(ids.values())) == 3
    chats = [sample(served, problem, greedy, [s], chat=True)[0] for s in ("Ann has", "Ann has 12")]
    assert all(r.token_ids and not r.text.startswith("Ann") for r in chats) and chats[0] != chats[1]


def test_a_real_vllm_servers_chat_and_stop(served):
    rows = sample(served, sampling=Sampling(samples=4, max_tokens=24, stop=("a",)), chat=True)
    assert all("a" not in r.text and len(r.token_ids) == len(r.logprobs) > 0 for r in rows)
    assert all(r.token_ids == () and len(r.logprobs) > 0 for r in sample(served, chat=True, server="openai"))
