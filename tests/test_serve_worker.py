"""Requests that arrive together: batched, each with its own faults, dropped with who sent them, and bounded."""

import asyncio
import json
import os
import threading
from contextlib import contextmanager

import httpx
import pytest
from serving import PROBLEM, STEPS, asked, saved, until

from prm.errors import PrmError
from prm.serve import app
from prm.serve.judge import Judge, Solution
from prm.serve.worker import Unavailable, Worker


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("serve"))


@pytest.fixture(scope="module")
def judge(folder):
    return Judge.load(folder, device="cpu")


@pytest.fixture(scope="module")
def expected(judge):
    return judge.prm.score(PROBLEM, STEPS)


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


@pytest.mark.filterwarnings(
    "ignore:This process:DeprecationWarning"
)  # of forking a process that has threads: the point
def test_a_forked_process_is_told_instead_of_waiting_for_ever(judge):
    worker = Worker(judge)
    worker.submit([Solution(PROBLEM, tuple(STEPS))]).result()
    child = os.fork()
    if not child:
        try:
            worker.submit([Solution(PROBLEM, tuple(STEPS))])
        except PrmError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    worker.close()
