"""Math-Verify in processes of our own, each comparison under a hard time limit; a process that overruns is killed and
replaced.

Plain `subprocess` and not multiprocessing: no thread of ours, no fork of a process that holds an accelerator, no
re-import of the caller's main module.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from prm.errors import PrmError

_CHILD = Path(__file__).with_name("verify_child.py")
_START_LIMIT = 120.0  # seconds for a child to import Math-Verify, on a busy machine
_STRIKES = 2  # a form in this many overrun comparisons is compared as text only from then on


class Comparer:
    """Compares pairs of formulas. `timeouts` counts the comparisons that were cut off."""

    def __init__(self, workers: int, timeout: float):
        self.timeout, self.timeouts = timeout, 0
        self._limit, self._idle, self._strikes = workers, [], Counter()

    def __enter__(self) -> Comparer:
        return self

    def __exit__(self, *_) -> None:
        for child in self._idle:
            child.end()
        self._idle = []

    def equal(self, pairs: Sequence[tuple[str, str]]) -> list[bool]:
        """For each pair, whether Math-Verify proves it equal; False also where the time ran out (counted)."""
        verdicts = [False] * len(pairs)
        waiting, busy = list(range(len(pairs)))[::-1], {}
        with selectors.DefaultSelector() as ready:
            try:
                while waiting or busy:
                    while waiting and len(busy) < self._limit:
                        self._start(waiting.pop(), pairs, busy, ready)
                    self._collect(verdicts, pairs, busy, ready)
            finally:
                for child in busy:  # only after an exception: their answers are no longer wanted
                    child.end()
        return verdicts

    def _start(self, index: int, pairs: Sequence, busy: dict, ready: selectors.BaseSelector) -> None:
        if any(self._strikes[form] >= _STRIKES for form in pairs[index]):
            return
        child = self._idle.pop() if self._idle else _Child()
        if child.warm:  # else it is asked once it says that it is ready: never two lines at once behind select's back
            child.ask(*pairs[index])
        ready.register(child.stdout, selectors.EVENT_READ, child)
        busy[child] = (index, time.monotonic() + self.timeout + (0 if child.warm else _START_LIMIT))

    def _collect(self, verdicts: list[bool], pairs: Sequence, busy: dict, ready: selectors.BaseSelector) -> None:
        if not busy:
            return
        soonest = min(deadline for _, deadline in busy.values())
        for key, _ in ready.select(max(0.0, soonest - time.monotonic())):
            child, line = key.data, key.data.answer()
            if line == "ready":  # it has imported Math-Verify: the clock of its first comparison starts now
                child.ask(*pairs[busy[child][0]])
                busy[child] = (busy[child][0], time.monotonic() + self.timeout)
                continue
            index, _ = busy.pop(child)
            ready.unregister(child.stdout)
            verdicts[index] = line == "1"
            if line in ("0", "1"):
                self._idle.append(child)
            else:  # it died (out of memory): the same as running out of time
                self._overrun(child, pairs[index])
        now = time.monotonic()
        for child in [c for c, (_, deadline) in busy.items() if deadline < now]:
            ready.unregister(child.stdout)
            self._overrun(child, pairs[busy.pop(child)[0]])

    def _overrun(self, child: _Child, pair: tuple[str, str]) -> None:
        if not child.warm:
            child.end()
            raise PrmError(
                "answers: the process that compares formulas does not start; try `python -c 'import math_verify'`"
            )
        child.end()
        self.timeouts += 1
        self._strikes.update(pair)


class _Child:
    """One process that runs verify_child.py."""

    def __init__(self):
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, str(_CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            bufsize=1,
            env=environment,
        )
        self.stdout, self.warm = self.process.stdout, False

    def ask(self, a: str, b: str) -> None:
        self.process.stdin.write(f"{a}\t{b}\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        """ "ready" once, then "1" or "0" per pair asked, "" when the process is gone."""
        line = self.stdout.readline().strip()
        self.warm = self.warm or line == "ready"
        return line

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
