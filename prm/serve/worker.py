"""One thread in front of the PRM: what arrives while it computes goes into its next batch together."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future

from prm.serve.judge import Item, Judge, Scored

ITEMS = 256  # of one batch at most, unless one request alone has more; the PRM makes its own batches of tokens


class Worker:
    """Asks the judge in its own thread. `close` lets the batch in progress end and refuses the rest."""

    def __init__(self, judge: Judge):
        self.judge = judge
        self.batches = 0
        self._jobs: queue.SimpleQueue = queue.SimpleQueue()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prm-worker", daemon=True)
        self._thread.start()

    async def score(self, items: Sequence[Item]) -> list[Scored]:
        """The items' scores, whoever else's stand in the same batch."""
        future: Future = Future()
        self._jobs.put((list(items), future))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        self._closed.set()
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.is_set():
            jobs = self._taken()
            live = [(items, future) for items, future in jobs if future.set_running_or_notify_cancel()]
            if live:
                self._answer(live)
        while not self._jobs.empty():
            if job := self._jobs.get():
                job[1].cancel()

    def _taken(self) -> list[tuple[list[Item], Future]]:
        """Waits for a job, then takes what else has arrived."""
        job, jobs, count = self._jobs.get(), [], 0
        while job is not None:
            jobs.append(job)
            count += len(job[0])
            try:
                job = self._jobs.get_nowait() if count < ITEMS else None
            except queue.Empty:
                break
        return jobs

    def _answer(self, jobs: list[tuple[list[Item], Future]]) -> None:
        self.batches += 1
        try:
            scored = iter(self.judge.judge([item for items, _ in jobs for item in items]))
            made = [[next(scored) for _ in items] for items, _ in jobs]
        except Exception as error:  # told to everyone who waits; the server goes on
            for _, future in jobs:
                future.set_exception(error)
            return
        for (_, future), mine in zip(jobs, made):
            future.set_result(mine)
