"""Search: a policy's steps, chosen by a PRM while they are drawn. One file each, with

search(problems: Sequence[Problem], engine, prm, config) -> list[Found]     one a problem, in their order

engine: anything with `sample(problems, sampling, prefixes)` (prm/engines). prm: anything with a `scorer`, of which
`open` and `extend` are asked (prm/scorer.py): a step costs its own tokens, not those before it. A method is written
for one problem (see `_rounds.Method`); all problems advance together, one call of the engine and one of the PRM a
round.

Every method has the same tokens: `budget` of them are drawn for a problem and none more, wherever they end up;
what is cut off or thrown away counts. The value of a solution, begun or finished, is its steps' scores reduced to
one number (prm/rerank.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from prm import answers
from prm.engines import Sampling
from prm.rerank import REDUCE

CHOOSE = ("vote", "best")


@dataclass(frozen=True, slots=True)
class Path:
    """A solution as far as it is drawn. steps: joined they are its text. scores: the PRM's, one a step. partial: what
    the PRM keeps of the scored steps; None before the first, and of finished solutions.

    ahead: text that was drawn behind the last step, not yet a whole step; ended: the policy ended the solution
    behind it.
    tokens, ahead_tokens: how many the steps and `ahead` took (where one draw reached over the end of a step, by
    share of characters).
    """

    steps: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    ahead: str = ""
    ended: bool = False
    tokens: int = 0
    ahead_tokens: int = 0
    partial: Any = field(default=None, compare=False, repr=False)

    @property
    def text(self) -> str:
        return "".join(self.steps)

    @property
    def finished(self) -> bool:
        return self.ended and not self.ahead

    def fresh(self) -> Path:
        """The same steps without what was drawn behind them: another draw from here."""
        return Path(self.steps, self.scores, tokens=self.tokens, partial=self.partial)

    def times(self, n: int) -> list[Path]:
        """n ways on from here; what was drawn already is one of them: a draw from the policy like the others,
        which no score has seen.
        """
        return [self, *[self.fresh()] * (n - 1)]


@dataclass(frozen=True, slots=True)
class Found:
    """A problem's outcome. score: of the solution (best), or the sum of its answer's (vote). tokens: all that were
    drawn.

    answer, solution, score: None where there is none, see reason. finished: the solutions chosen among.
    """

    problem_id: str
    answer: str | None
    solution: str | None
    score: float | None
    tokens: int
    reason: str = ""
    finished: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Common:
    """What every method is told. budget: tokens drawn for one problem; max_tokens: of one solution. temperature,
    top_p, seed: as in Sampling.

    reduce: step scores -> the value of a solution. segmenter, answers: how steps are cut and answers read, as in a
    recipe; `prm search` takes these three from the PRM where its training told.
    """

    budget: int = 4096
    max_tokens: int = 1024
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    reduce: str = "product"
    segmenter: dict[str, Any] = field(default_factory=lambda: {"name": "delimiter"})
    answers: answers.Config = field(default_factory=answers.Config)

    def __post_init__(self):
        Sampling(1, self.temperature, self.top_p, self.max_tokens, self.seed)
        if self.budget < 1:
            raise ValueError(
                f"budget: {self.budget} is not positive; give the tokens a problem, 4 to 64 solutions' worth"
            )
        if self.reduce not in REDUCE:
            raise ValueError(f"reduce: '{self.reduce}' is not known; take one of {', '.join(REDUCE)}")

    @property
    def step_limit(self) -> int:
        """Tokens drawn at once where one step is wanted."""
        return self.max_tokens


@dataclass(frozen=True)
class Stepwise(Common):
    """What every method that goes step by step is told.

    step_tokens: drawn at once; a step that is longer takes several draws, what reaches beyond its end is kept for
    the next step.
    stop: texts that end a step, such as a line break: nothing is drawn beyond them. For engines with a tokenizer
    of their own.
    reserve: tokens left at which, with nothing finished yet, the longest begun solution is finished first.
    choose: "vote", the answer whose finished solutions' values add up to most, or "best", the solution with the
    highest value.
    """

    step_tokens: int = 64
    stop: tuple[str, ...] = ()
    reserve: int = 256
    choose: str = "vote"

    def __post_init__(self):
        super().__post_init__()
        Sampling(stop=self.stop)
        if self.step_tokens < 1:
            raise ValueError(f"step_tokens: {self.step_tokens} is not positive; a step's usual length is good")
        if self.reserve < 0:
            raise ValueError(f"reserve: {self.reserve} is negative; 0 keeps nothing back")
        if self.choose not in CHOOSE:
            raise ValueError(f"choose: '{self.choose}' is not known; take one of {', '.join(CHOOSE)}")

    @property
    def step_limit(self) -> int:
        return min(self.step_tokens, self.max_tokens)
