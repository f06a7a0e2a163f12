"""A PRM as the reward function of TRL (GRPO), verl and OpenRLHF: solutions in, one number each, None for what cannot be scored.

    os.environ["PRM_MODEL"] = "my-prm"                                 # a PRM's folder, an export, or a run with PRM_ARM
    GRPOTrainer(reward_funcs=prm.rewards.reward_func, ...)             # TRL
    reward.custom_reward_function.path=.../prm/rewards.py  .name=compute_score          # verl
    --remote_rm_url .../prm/serve/openrlhf.py                          # OpenRLHF, see there

or without the environment: `make("my-prm", reduce="min").reward_func`.

PRM_REDUCE: min, product, mean, geometric_mean, last (default: as its training said). PRM_PROMPT: the form of the policy's
prompts with {problem} in it (default: the prompt is the problem). PRM_UNSCORED: the reward of what cannot be scored, for
trainers that take no None (verl, OpenRLHF); without it, None. PRM_DEVICE: "auto".
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from prm.errors import PrmError
from prm.serve.judge import PROMPT, Answer, Judge


class Rewards:
    """The three reward functions of one PRM. Not for several threads at once."""

    def __init__(self, judge: Judge, unscored: float | None = None):
        judge.reward_known()
        judge.check(Answer("", ""))
        self.judge, self.unscored = judge, unscored

    def rewards(self, problems: Sequence[str], texts: Sequence[str]) -> list[float | None]:
        """One a solution, in [0, 1]: its steps' scores, reduced."""
        answers = [Answer(problem, self.judge.answer_of(text)) for problem, text in zip(problems, texts, strict=True)]
        rewards = [self.judge.reward(scored) for scored in self.judge.judge(answers)]
        return [self.unscored if value is None else value for value in rewards]

    def reward_func(self, prompts: Sequence[Any], completions: Sequence[Any], **columns) -> list[float | None]:
        """TRL's. A chat's problem is its last user message; a text's what PRM_PROMPT says."""
        problems = [self._problem(prompt) for prompt in prompts]
        return self.rewards(problems, [_content(one, "completions") for one in completions])

    def compute_score(
        self,
        data_source: str,
        solution_str: str,
        ground_truth: Any,
        extra_info: Mapping[str, Any] | None = None,
        **more,
    ) -> float | None:
        """verl's. The problem must be in extra_info["question"] (or "problem"); the ground truth is not looked at."""
        info = extra_info or {}
        problem = info.get("question", info.get("problem"))
        if not isinstance(problem, str):
            raise PrmError("extra_info: has no text under 'question' or 'problem'; verl passes the prompt nowhere else")
        return self.rewards([problem], [solution_str])[0]

    def openrlhf(self, queries: Sequence[str], prompts: Sequence[str], labels: Sequence[Any]) -> dict[str, Any]:
        """OpenRLHF's local reward function: {"rewards", "scores", "extra_logs"}; queries are prompt + response."""
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
        return self.judge.problem_of(_content(users[-1:], "prompts"))


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

    return Rewards(Judge.load(apply.model_folder(model, arm), reduce, prompt, device), unscored)


def reward_func(prompts: Sequence[Any], completions: Sequence[Any], **columns) -> list[float | None]:
    """TRL's reward function, of the PRM that the environment names."""
    return of_environment().reward_func(prompts, completions, **columns)


def compute_score(data_source, solution_str, ground_truth, extra_info=None, **more) -> float | None:
    """verl's reward function, of the PRM that the environment names."""
    return of_environment().compute_score(data_source, solution_str, ground_truth, extra_info, **more)


@cache
def of_environment() -> Rewards:
    """The PRM of PRM_MODEL and its settings, loaded once a process."""
    env = os.environ
    if not env.get("PRM_MODEL"):
        raise PrmError("PRM_MODEL: is not set; name a PRM's folder in the environment, or use prm.rewards.make")
    unscored = env.get("PRM_UNSCORED")
    try:
        unscored = float(unscored) if unscored else None
    except ValueError:
        raise PrmError(f"PRM_UNSCORED: '{unscored}' is no number") from None
    prompt, device = env.get("PRM_PROMPT", PROMPT), env.get("PRM_DEVICE", "auto")
    return make(env["PRM_MODEL"], env.get("PRM_ARM"), env.get("PRM_REDUCE"), prompt, unscored, device)


def _content(given: Any, name: str) -> str:
    """A completion's text: itself, or its messages' contents."""
    if isinstance(given, str):
        return given
    texts = [message.get("content") for message in given]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise PrmError(f"{name}: a message's content must be a text")
    return "".join(texts)
