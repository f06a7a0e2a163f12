"""A few held-out problems to look at: where the PRM saved a wrong majority, where it spoilt a right one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from eval.choices import Judged, Scores
from prm.records import Group
from prm.rerank import majority, solution_score, weighted_vote


def pick(
    groups: Sequence[Group], judged: Sequence[Judged], gold, scores: Scores, reduce: str, each: int = 1
) -> list[dict]:
    """What `html.page` shows: `each` problems of every sort, the shortest texts first, so that the page stays readable.

    gold: problem id -> Reference. Each problem comes with two samples: the vote's and the PRM's choice, or where they
    agree the PRM's best and worst.
    """
    seen = []
    for group, problem in zip(groups, judged):
        if problem.problem_id in scores and any(p >= 0 for p in problem.clusters):
            rows = scores[problem.problem_id]
            place = majority(problem.clusters).index
            chosen = weighted_vote(rows, problem.clusters, reduce).index
            if chosen is not None:
                seen.append((group, problem, place, problem.indices.index(chosen)))
    seen.sort(key=lambda found: (sum(len(s.text) for s in found[0].samples), found[1].problem_id))
    sorts: list[tuple[str, Callable[[Judged, int, int], bool]]] = [
        ("The vote is wrong, the PRM saves it", lambda p, vote, ours: not p.right[vote] and p.right[ours]),
        ("The vote is right, the PRM spoils it", lambda p, vote, ours: p.right[vote] and not p.right[ours]),
        (
            "A right answer is there, neither finds it",
            lambda p, vote, ours: any(p.right) and not p.right[vote] and not p.right[ours],
        ),
        (
            "Both are right; the PRM's best and worst sample",
            lambda p, vote, ours: p.right[vote] and p.right[ours] and not all(p.right),
        ),
    ]
    return [
        _show(title, *found, gold, scores, reduce)
        for title, wanted in sorts
        for found in list(_matching(seen, wanted))[:each]
    ]


def _matching(seen, wanted) -> Iterator[tuple]:
    return (found for found in seen if wanted(found[1], found[2], found[3]))


def _show(title: str, group: Group, problem: Judged, vote: int, ours: int, gold, scores: Scores, reduce: str) -> dict:
    reference = gold[problem.problem_id]
    rows = {row.index: row for row in scores[problem.problem_id]}
    score = lambda place: solution_score(rows[problem.indices[place]].values, reduce)
    scored = [place for place in range(len(problem.indices)) if score(place) is not None]
    best = lambda places, other: max(places, key=score, default=other)
    if problem.clusters[vote] != problem.clusters[ours]:
        same = [place for place in scored if problem.clusters[place] == problem.clusters[vote]]
        shown = [
            (_count("majority", problem, vote), best(same, vote)),
            (_count("PRM-weighted vote", problem, ours), ours),
        ]
    elif not problem.right[ours]:
        missed = best([place for place in scored if problem.right[place]], problem.right.index(True))
        shown = [(_count("both choose", problem, ours), ours), (_count("missed", problem, missed), missed)]
    else:
        shown = [("worst score", min(scored, key=score)), ("best score", best(scored, ours))]
    return {
        "title": title,
        "text": group.problem.text,
        "gold": reference.answer,
        "solutions": [_solution(name, group, place, problem, rows, reference) for name, place in shown],
    }


def _count(who: str, problem: Judged, place: int) -> str:
    return f"{who}: {problem.clusters.count(problem.clusters[place])} of {len(problem.clusters)} samples"


def _solution(title: str, group: Group, place: int, problem: Judged, rows, reference) -> dict:
    texts = group.steps[place].cut(group.samples[place].text)
    kinds = reference.kinds(texts) or [None] * len(texts)
    return {
        "title": title,
        "answer": group.answers[place].text or "nothing readable",
        "right": problem.right[place],
        "steps": list(zip(texts, rows[problem.indices[place]].values, kinds)),
    }
