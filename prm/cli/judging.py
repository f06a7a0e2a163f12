"""Arguments of the verbs that use a PRM."""

from __future__ import annotations

from prm import joining, verbs
from prm.cli.arguments import add_verb, overrides, prm_folder, arm, out


def score(made) -> None:
    verb = add_verb(
        made,
        "score",
        verbs.score,
        "score the steps of solutions with a trained PRM",
        "prm score runs/demo solutions.jsonl --arm prm -o scores.jsonl\n"
        "prm score my-prm processbench.jsonl --separator '\\n\\n' -o scores.jsonl",
    )
    verb.add_argument("model", metavar="MODEL", help="a PRM's folder, an export, or a run's folder")
    verb.add_argument(
        "solutions",
        metavar="SOLUTIONS",
        help='JSONL(.gz), read as a stream: {"problem" or "question", "steps": [..]} or {"problem", "text"}; '
        "steps keep their line breaks, joined they are the solution",
    )
    arm(verb)
    verb.add_argument(
        "--separator",
        type=joining.separator,
        metavar="TEXT",
        help="what stood between the steps of rows that show no line break there, '\\n\\n' for ProcessBench (default: what stood "
        "there in the PRM's training, nothing for one of our own runs)",
    )
    out(
        verb,
        '{"id", "scores"}, a row each, in order: the belief in [0, 1] that each step is right; "steps" too where the row brought '
        'a text; "cut" where steps are too long for max_tokens: which, from 0, are scored by their last tokens alone; "reason", with the '
        "scores [], where it cannot be scored. id: the row's id or problem_id, else its line",
    )


def rerank(made) -> None:
    verb = add_verb(
        made,
        "rerank",
        verbs.rerank,
        "choose the best of each problem's samples, with a trained PRM or by checks of the texts alone",
        "prm rerank pool.jsonl --method checked-vote -o chosen.jsonl\n"
        "prm rerank pool.jsonl --prm runs/demo --arm prm -o chosen.jsonl\n"
        "prm rerank pool.jsonl --prm my-prm --method weighted-vote --reduce min -o chosen.jsonl\n"
        "prm rerank pool.jsonl --method reasked-vote --recipe recipes/reasked.yaml model=FOLDER_OR_HUB_ID -o answers.jsonl",
    )
    verb.add_argument(
        "pool", metavar="POOL", help='JSONL(.gz): {"problem" or "question", "samples": [{"text"} or {"steps"}]}'
    )
    overrides(verb, "with --recipe: values of it, such as model=... or sampling.temperature=0.7")
    prm_folder(verb, required=False)
    verb.add_argument(
        "--method",
        choices=["best-of-n", "weighted-vote", "checked-vote", "reasked-vote"],
        default="best-of-n",
        help="the sample with the best score, or the answer whose samples' scores add up to most (default best-of-n); "
        "checked-vote needs no PRM: the vote, in which false equations and answers of a form not asked for count little; "
        "reasked-vote asks each problem again in other words, as often as it has samples, and votes over those, weighted by "
        "the PRM if one is given: needs --recipe",
    )
    verb.add_argument(
        "--recipe", help="reasked-vote: whose engine is asked, and how problems are put; recipes/reasked.yaml"
    )
    verb.add_argument(
        "--reduce",
        help="step scores -> one score: min, product, mean, geometric_mean, last (default: the one its recipe names)",
    )
    out(
        verb,
        '{"problem_id", "choice", "text", "score", "reason", "values", "reasons"}: choice counts from 0, null with a reason '
        "where nothing could be chosen; values and reasons are the samples'; of reasked-vote "
        '{"problem_id", "answer", "score", "reason", "answers", "scores"}',
    )


def search(made) -> None:
    verb = add_verb(
        made,
        "search",
        verbs.search,
        "solve problems by search: a model's steps, chosen by a trained PRM while they are drawn, at a fixed number of tokens",
        "prm search problems.jsonl --prm runs/demo --arm prm --recipe recipes/search.yaml -o found.jsonl\n"
        "prm search problems.jsonl --prm runs/demo --arm prm --recipe recipes/search.yaml method=tree search.budget=392 -o found.jsonl",
    )
    verb.add_argument("problems", metavar="PROBLEMS", help='JSONL(.gz): {"problem" or "question", "problem_id"?}')
    prm_folder(verb)
    verb.add_argument("--recipe", required=True, help="engine, method and its settings: recipes/search.yaml")
    overrides(verb, "values of the recipe: method=dvts search.budget=2048 methods.beam.width=8 engine.model=...")
    out(
        verb,
        '{"problem_id", "answer", "solution", "score", "tokens", "reason"}: tokens, all that were drawn for the problem; answer null with a '
        "reason where none was found",
    )


def export(made) -> None:
    verb = add_verb(
        made,
        "export",
        verbs.export,
        "write a PRM as one checkpoint that transformers, vLLM, TRL, OpenRLHF and verl load",
        "prm export runs/demo my-prm --arm prm\nprm export my-trained my-prm --dtype bfloat16",
    )
    verb.add_argument("model", metavar="MODEL", help="a PRM's folder, or a run's")
    verb.add_argument("out", metavar="DIR", help="folder to write: weights with LoRA merged, tokenizer, README.md")
    arm(verb)
    verb.add_argument("--dtype", help="of the weights written: float32 or bfloat16 (default: the backbone's)")


def serve(made) -> None:
    verb = add_verb(
        made,
        "serve",
        verbs.serve,
        "answer scoring requests over HTTP: vLLM's /pooling and /classify, OpenRLHF's remote reward, a plain /score",
        "prm serve runs/demo --arm prm --port 8000\n"
        'curl localhost:8000/score -d \'{"rows": [{"problem": "...", "steps": ["...\\n", "..."]}]}\'\n'
        "prm serve my-prm --port 8000 --reduce min --prompt 'User: {problem}\\nAssistant:'",
    )
    verb.add_argument("model", metavar="MODEL", help="a PRM's folder, an export, or a run's folder")
    arm(verb)
    verb.add_argument("--port", type=int, required=True, help="0 takes any that is free and says which")
    verb.add_argument("--host", default="127.0.0.1", help="0.0.0.0 answers other machines too (default 127.0.0.1)")
    verb.add_argument(
        "--name", help="what requests call the model (default: ARM, or the folder's name); its path does too"
    )
    verb.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, ... (default auto: CUDA where there is one)")
    verb.add_argument("--reduce", help="/get_reward: step scores -> one: min, product, mean, geometric_mean, last")
    verb.add_argument(
        "--prompt",
        type=joining.separator,
        default="{problem}",
        help="/get_reward: the form of the policy's prompts, with {problem} where the problem stands, \\n and \\t for "
        "line breaks and tabs (default: it is all)",
    )
    verb.add_argument(
        "--unscored", type=float, metavar="REWARD", help="/get_reward: for what cannot be scored (default: null)"
    )
