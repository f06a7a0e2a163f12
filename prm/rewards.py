"""A PRM as the reward function of TRL (GRPO), verl and OpenRLHF: solutions in, one number each, None for what cannot be scored.

    os.environ["PRM_MODEL"] = "my-prm"                                 # a PRM's folder, an export, or a run with PRM_ARM
    GRPOTrainer(reward_funcs=reward_func, ...)                         # TRL: from prm.rewards import reward_func
    reward.custom_reward_function.path=.../prm/rewards.py  .name=compute_score          # verl
    --remote_rm_url .../prm/serve/openrlhf.py                          # OpenRLHF, see there

or without the environment: `make("my-prm", reduce="min").reward_func`.

PRM_REDUCE: min, product, mean, geometric_mean, last (default: as its training said). PRM_PROMPT: the form of the policy's
prompts with {problem} in it, where \\n and \\t stand for a line break and a tab (default: the prompt is the problem).
PRM_UNSCORED: the reward of what cannot be scored; verl and OpenRLHF take no None and need it, TRL gets None without it.
PRM_DEVICE: "auto".

The PRM's own special tokens are taken off the end of a response. Where the policy is of another family, have its engine leave
its end marks out (skip_special_tokens): to the PRM "<|im_end|>" is text, and it would judge it as part of the last step.

All may be called from many threads: the PRM is loaded once, and calls that arrive together are one batch.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from prm.errors import PrmError
from prm.joining import separator
from prm.serve.judge import PROMPT, Judge, check_unscored
from prm.serve.worker import Worker

_LOADING = threading.Lock()


class Rewards:
    """The three reward functions of one PRM, for any number of threads."""

    def __init__(self, judge: Judge, unscored: float | None = None):
        """unscored: the reward of what cannot be scored."""
        judge.check_rewarding()
        check_unscored(unscored, "unscored")
        self.judge, self.unscored, self.worker = judge, unscored, Worker(judge)
        weakref.finalize(self, self.worker.close)

    def rewards(self, problems: Sequence[str], texts: Sequence[str]) -> list[float | None]:
        """One a solution, in [0, 1]: its steps' scores, reduced."""
        answers = [self.judge.answer(problem, text) for problem, text in zip(problems, texts, strict=True)]
        rewards = [self.judge.reward(scored) for scored in self.worker.submit(answers).result()]
        return [self.unscored if value is None else value for value in rewards]

    def reward_func(self, prompts: Sequence[Any], completions: Sequence[Any], **columns) -> list[float | None]:
        """TRL's. A chat's problem is its last user message, its solution what the assistant says in words; a text's problem is
        what PRM_PROMPT says. None where either has no text."""
        problems = [self._problem(prompt) for prompt in prompts]
        return self.rewards(problems, [_text(one, "assistant") for one in completions])

    def compute_score(
        self,
        data_source: str,
        solution_str: str,
        ground_truth: Any,
        extra_info: Mapping[str, Any] | None = None,
        **more,
    ) -> float:
        """verl's. The problem must be in extra_info["question"] (or "problem"); the ground truth is not looked at."""
        _demand(self.unscored)
        info = extra_info or {}
        problem = info.get("question", info.get("problem"))
        if not isinstance(problem, str):
            raise PrmError("extra_info: has no text under 'question' or 'problem'; verl passes the prompt nowhere else")
        return self.rewards([problem], [solution_str])[0]

    def openrlhf(self, queries: Sequence[str], prompts: Sequence[str], labels: Sequence[Any]) -> dict[str, Any]:
        """OpenRLHF's local reward function: {"rewards", "scores", "extra_logs"}; queries are prompt + response."""
        _demand(self.unscored)
        for query, prompt in zip(queries, prompts, strict=True):
            if not query.startswith(prompt):
                raise PrmError("queries: each must begin with its prompt")
        texts = [query[len(prompt) :] for query, prompt in zip(queries, prompts)]
        rewards = self.rewards([self.judge.problem_of(prompt) for prompt in prompts], texts)
        return {"rewards": rewards, "scores": rewards, "extra_logs": {}}

    def _problem(self, prompt: Any) -> str:
        if isinstance(prompt, str):
            return self.judge.problem_of(prompt)
        users = [message for message in prompt if message["role"] == "user"]
        if not users:
            raise PrmError("prompts: a conversation has no user message, where the problem is looked for")
        text = _text(users[-1:], "user")
        return self.judge.problem_of(text) if text else ""


def make(
    model: str | os.PathLike,
    arm: str | None = None,
    reduce: str | None = None,
    prompt: str = PROMPT,
    unscored: float | None = None,
    device: str = "auto",
) -> Rewards:
    """Loads the PRM; PrmError for what its use lacks (how a text is cut, how scores make one)."""
    from prm import apply

    check_unscored(unscored, "unscored")
    judge = Judge.load(apply.model_folder(model, arm), reduce, prompt, device, rewarding=True)
    return Rewards(judge, unscored)


def reward_func(prompts: Sequence[Any], completions: Sequence[Any], **columns) -> list[float | None]:
    """TRL's reward function, of the PRM that the environment names."""
    return of_environment().reward_func(prompts, completions, **columns)


def compute_score(data_source, solution_str, ground_truth, extra_info=None, **more) -> float:
    """verl's reward function, of the PRM that the environment names."""
    return of_environment(filled=True).compute_score(data_source, solution_str, ground_truth, extra_info, **more)


def of_environment(filled: bool = False) -> Rewards:
    """The PRM of PRM_MODEL and its settings, loaded once a process. filled: PrmError without PRM_UNSCORED."""
    with _LOADING:  # `cache` alone would let every thread load its own
        if filled:
            _demand(os.environ.get("PRM_UNSCORED") or None)
        return _loaded()


@cache
def _loaded() -> Rewards:
    env = os.environ
    if not env.get("PRM_MODEL"):
        raise PrmError("PRM_MODEL: is not set; name a PRM's folder in the environment, or use prm.rewards.make")
    unscored = env.get("PRM_UNSCORED")
    try:
        unscored = float(unscored) if unscored else None
    except ValueError:
        raise PrmError(f"PRM_UNSCORED: '{unscored}' is no number") from None
    check_unscored(unscored, "PRM_UNSCORED")
    prompt, device = separator(env.get("PRM_PROMPT", PROMPT)), env.get("PRM_DEVICE", "auto")
    return make(env["PRM_MODEL"], env.get("PRM_ARM"), env.get("PRM_REDUCE"), prompt, unscored, device)


def _demand(unscored: Any) -> None:
    if unscored is None:
        raise PrmError(
            "PRM_UNSCORED: is not set, and verl and OpenRLHF stop at a reward of None; give the reward of what cannot be "
            "scored, such as 0 (or unscored= of prm.rewards.make)"
        )


def _text(given: Any, role: str) -> str:
    """A text itself, or of messages what `role` says in words: "" for tool calls, images and no messages at all."""
    if isinstance(given, str):
        return given
    said = [message.get("content") for message in given or () if message.get("role", role) == role]
    return "\n".join(filter(None, (one if isinstance(one, str) else _joined(one) for one in said)))


def _joined(parts: Sequence[Mapping[str, Any]] | None) -> str:
    """The text of a message's parts, [{"type": "text", "text": ...}, ...]."""
    return "".join(part.get("text") or "" for part in parts or () if part.get("type") == "text")
