"""An engine without a model: short sums, some wrong, the same for the same seed. `delay` makes it slow."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from prm.records import Sample


@dataclass(frozen=True)
class Config:
    delay: float = 0.0  # seconds a problem
    log: str = ""  # a file that gets a line for each problem drawn
    path: str = ""  # a file that it might read


def open_engine(config: Config):
    return _Fake(config)


class _Fake:
    def __init__(self, config: Config):
        self.config = config

    def sample(self, problems, sampling, prefixes=None):
        return [sample for problem in problems for sample in self._draw(problem, sampling)]

    def _draw(self, problem, sampling):
        time.sleep(self.config.delay)
        if self.config.log:
            with open(self.config.log, "a") as log:
                log.write(problem.id + "\n")
        for i in range(sampling.samples):
            rng = random.Random(f"{sampling.seed}/{problem.id}/{i}")
            if rng.random() < 0.1:
                yield Sample(problem.id, i, "", finish="", reason="empty")
            else:
                value = len(problem.text) % 7 + rng.choice([0, 0, 0, 1])
                yield Sample(
                    problem.id,
                    i,
                    f"First, 1 + {value - 1} = {value}.\nThe answer is {value}\n",
                    (1, 2),
                    (-0.5, -rng.random()),
                )

    def close(self):
        pass
