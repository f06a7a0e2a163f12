"""A policy and a PRM for tests of search: a planted tree of steps, one token a character.

    first step   a (9 of 10 draws) or b;  then a line that goes on;  then "The answer is 1" behind a, 2 behind b
    the PRM      a looks better at first (.9 against .8); what follows it is bad (.2), what follows b good (.9)

So greedy choice and most votes say 1, and who looks past the first step says 2.
"""

import random

from prm.errors import PrmError
from prm.records import Problem, Sample

END = "\0"  # the token that ends a solution
PROBLEMS = [Problem(f"p{i}", f"Which way, {i}?") for i in range(5)]
SETTINGS = {"max_tokens": 60, "segmenter": {"name": "delimiter", "by": "lines"}, "answers": {"style": "last_number"}}
WAYS = {
    "a": ["a way\na more\nThe answer is 1", "a way\na else\nThe answer is 1"],
    "b": ["b way\nb more\nThe answer is 2"],
}
LENGTH = len("a way\na more\nThe answer is 1") + 1


class Tokenizer:
    def decode(self, ids, skip_special_tokens=True):
        return "".join(map(chr, ids)).replace(END, "" if skip_special_tokens else END)


class Engine:
    """calls: of each, (problem ids, prefixes, max_tokens); drawn: tokens a problem."""

    def __init__(self, good=0.1, refuse=()):
        self.tokenizer, self.good, self.refuse = Tokenizer(), good, refuse
        self.calls, self.drawn = [], {}

    def sample(self, problems, sampling, prefixes=None):
        prefixes = prefixes or [""] * len(problems)
        self.calls.append(([p.id for p in problems], prefixes, sampling.max_tokens))
        return [
            self._draw(p, prefix, i, sampling) for p, prefix in zip(problems, prefixes) for i in range(sampling.samples)
        ]

    def _draw(self, problem, prefix, index, sampling):
        if problem.id.split("/")[0] in self.refuse:
            return Sample(problem.id, index, "", finish="", reason="prompt_too_long")
        rng = random.Random(f"{sampling.seed}/{problem.id}/{index}")
        way = prefix[0] if prefix else "b" if rng.random() < self.good else "a"
        ways = [way for way in WAYS[way] if way.startswith(prefix)]
        whole = ways[int(rng.random() * len(ways))]
        ids, text = [], ""
        for piece in (whole + END)[len(prefix) :][: sampling.max_tokens]:
            ids.append(ord(piece))
            text += piece if piece != END else ""
            if any(s in text for s in sampling.stop):
                text = text[: min(text.find(s) for s in sampling.stop if s in text)]
                finish = "stop"
                break
            finish = "stop" if piece == END else "length"
        owner = problem.id.split("/")[0]
        self.drawn[owner] = self.drawn.get(owner, 0) + len(ids)
        reason = "empty" if not text.strip() else "cut_off" if finish == "length" else ""
        return Sample(problem.id, index, text, tuple(ids), (-1.0,) * len(ids), finish, reason)

    def close(self):
        pass


class Prm:
    """Its own scorer; a Partial is (problem, steps). calls: how many solutions each was given. refuse: a text in problems
    that it refuses."""

    def __init__(self, refuse=None):
        self.calls, self.refuse, self.scorer = [], refuse, self

    def open(self, problem):
        if self.refuse and self.refuse in problem:
            raise PrmError("too long")
        return problem, ()

    def extend(self, pairs):
        self.calls.append(len(pairs))
        made = []
        for (problem, known), steps in pairs:
            whole = (*known, *steps)
            assert steps, "nothing to score"
            made.append(((problem, whole), [self._score(whole[: k + 1]) for k in range(len(known), len(whole))]))
        return made

    @staticmethod
    def _score(steps):
        bad = steps[0].startswith("a")
        return (0.9 if bad else 0.8) if len(steps) == 1 else 0.2 if bad else 0.9
