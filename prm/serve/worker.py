"""One thread in front of the PRM: what arrives while it computes goes into its next batch together."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future

from prm.errors import PrmError
from prm.serve.judge import Item, Judge, Scored

ITEMS = 256  # of one batch at most, unless one request alone has more; the PRM makes its own batches of tokens

Job = tuple[list[Item], Future]


class Unavailable(Exception):
    """Nothing more is taken: too much waits, or the worker is closed."""


class Worker:
    """Asks the judge in its own thread, for callers in any number of threads."""

    def __init__(self, judge: Judge, most: int | None = None):
        """most: items that may be unanswered at once, unless one request alone has more; None: any number."""
        self.judge, self.most = judge, most
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._open, self._lock = 0, threading.Lock()
        self._closed, self._process = threading.Event(), os.getpid()
        self._thread = threading.Thread(target=self._run, name="prm-worker", daemon=True)
        self._thread.start()

    def submit(self, items: Sequence[Item]) -> Future[list[Scored]]:
        """The items' scores, whoever else's stand in the same batch; one that is cancelled while it waits costs nothing.

        Raises Unavailable; PrmError in a forked process, which has no such thread (and could not run torch's). The future has the
        judge's exception where it fails on these items, and only then.
        """
        if os.getpid() != self._process:
            raise PrmError(
                "the PRM was loaded by the process that this one was forked from; start processes by 'spawn' or 'forkserver', "
                "or load the PRM in them alone"
            )
        items, future = list(items), Future()
        with self._lock:
            if self.most is not None and self._open and self._open + len(items) > self.most:
                raise Unavailable(f"{self._open} inputs wait already; send this again later")
            self._open += len(items)
        future.add_done_callback(lambda _: self._answered(len(items)))
        self._jobs.put((items, future))
        if self._closed.is_set():  # the thread may have looked for the last time before this came
            future.cancel()
            raise Unavailable("the worker is closed")
        return future

    def close(self) -> None:
        """Lets the batch in progress end, refuses the rest, and waits for both."""
        self._closed.set()
        self._jobs.put(None)
        if threading.current_thread() is not self._thread:  # which may be the one that collects our owner as garbage
            self._thread.join()

    def _answered(self, count: int) -> None:
        with self._lock:
            self._open -= count

    def _run(self) -> None:
        while not self._closed.is_set():
            live = [job for job in self._taken() if job[1].set_running_or_notify_cancel()]
            if live:
                self._answer(live)
        while not self._jobs.empty():
            if (job := self._jobs.get()) and job[1].set_running_or_notify_cancel():
                job[1].set_exception(Unavailable("the worker is closed"))

    def _taken(self) -> list[Job]:
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

    def _answer(self, jobs: list[Job]) -> None:
        """All in one batch; where that fails in halves, until the job at fault is alone with its exception."""
        try:
            scored = iter(self.judge.judge([item for items, _ in jobs for item in items]))
            made = [[next(scored) for _ in items] for items, _ in jobs]
        except Exception as error:
            if len(jobs) == 1:
                jobs[0][1].set_exception(error)
                return
            for half in (jobs[: len(jobs) // 2], jobs[len(jobs) // 2 :]):
                self._answer(half)
            return
        for (_, future), mine in zip(jobs, made):
            future.set_result(mine)
