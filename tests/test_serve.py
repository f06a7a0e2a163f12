"""`prm serve`, by example: every protocol's answer, and what is refused."""

import pytest
import torch
from serving import PROBLEM, STEPS, asked, post, saved

from prm.apply import read_usage
from prm.errors import PrmError
from prm.serve import app
from prm.serve.judge import Judge
from prm.serve.text import Reader, inputs, scores


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("serve"))


@pytest.fixture(scope="module")
def judge(folder):
    return Judge.load(folder, device="cpu")


@pytest.fixture(scope="module")
def expected(judge):
    return judge.prm.score(PROBLEM, STEPS)


def test_pooling_answers_as_vllm_does(judge, folder, expected):
    encoded = Reader.open(folder).encode([(PROBLEM, STEPS)])
    body = {"model": "my-prm", "input": inputs(encoded), "task": "token_classify", "use_activation": True}
    answer = post(judge, "/pooling", body)
    assert answer["object"] == "list" and answer["model"] == "my-prm" and answer["usage"]["prompt_tokens"] == 18
    [row] = answer["data"]
    assert (row["index"], row["object"], len(row["data"])) == (0, "pooling", 18) and len(row["data"][0]) == 1
    assert scores(encoded, [row["data"]]) == [pytest.approx(expected, abs=1e-5)]
    logits = post(judge, "/pooling", {**body, "use_activation": False})["data"][0]["data"]
    assert torch.tensor(logits).sigmoid().tolist() == [pytest.approx(one, abs=1e-5) for one in row["data"]]
    text = post(judge, "/pooling", {"input": PROBLEM + "\n" + "".join(STEPS)})["data"][0]["data"]
    assert text == [pytest.approx(one, abs=1e-5) for one in row["data"]], "a text is tokenised"


def test_classify_reads_the_last_token_as_verl_does(judge, expected):
    answer = post(judge, "/classify", {"input": [PROBLEM + "\n" + "".join(STEPS), "what"]})
    assert answer["data"][0]["probs"] == [pytest.approx(expected[-1], abs=1e-5)] and len(answer["data"]) == 2
    body = {"model": "my-prm", "input": PROBLEM + "\n" + "".join(STEPS), "use_activation": False}
    read = post(judge, "/classify", body)["data"][-1]["probs"][-1]
    assert torch.tensor(read).sigmoid().item() == pytest.approx(expected[-1], abs=1e-5)


def test_openrlhfs_remote_reward(judge, expected):
    text = "".join(STEPS)
    body = {
        "query": [f"User: {PROBLEM} Go" + text + "[SEP]", "User: what Go", f"User: {'what ' * 90}Go" + text],
        "prompts": [f"User: {PROBLEM} Go", "User: what Go", f"User: {'what ' * 90}Go"],
        "labels": [None, "4", ""],
    }
    formed = Judge(judge.prm, judge.usage, prompt="User: {problem} Go")
    body["prompts"][2] = body["prompts"][2].replace(" Go", "  Go")
    body["query"][2] = body["prompts"][2] + text
    answer = post(formed, "/get_reward", {k: [v[0], v[2]] for k, v in body.items()})
    assert answer["rewards"] == [pytest.approx(min(expected), abs=1e-5), None] == answer["scores"]
    assert answer["reasons"] == ["", "problem_too_long"] and answer["extra_logs"]["unscored"] == [0.0, 1.0]
    answer = post(formed, "/get_reward", {k: v[1:] for k, v in body.items()}, unscored=-1.0)
    assert answer["rewards"] == [-1.0, -1.0] and answer["reasons"] == ["no_steps", "problem_too_long"]


def test_plain_scores_with_reasons(judge, expected):
    rows = [
        {"problem": PROBLEM, "steps": STEPS},
        {"problem": PROBLEM, "text": "".join(STEPS)},
        {"problem": PROBLEM, "steps": []},
        {"problem": "what " * 99, "steps": ["one"]},
        {"problem": PROBLEM, "steps": ["one .\n", "two " * 99]},
    ]
    answer = post(judge, "/score", {"rows": rows})
    assert answer["scores"][:-1] == [pytest.approx(expected, abs=1e-5)] * 2 + [[], []]
    assert answer["reasons"] == ["", "", "no_steps", "problem_too_long", ""]
    assert len(answer["scores"][-1]) == 2 and answer["cut"] == [[], [], [], [], [1]]


def test_health_and_models(judge):
    health, models = asked(judge, ("GET", "/health", None), ("GET", "/v1/models", None))
    assert health.status_code == 200
    assert [(m["id"], m["max_model_len"]) for m in models.json()["data"]] == [("my-prm", 64)]


@pytest.mark.parametrize(
    "path, body, status, said",
    [
        ("/score", b"{", 400, "not JSON"),
        ("/score", [], 400, "must be a JSON object with rows"),
        ("/score", {}, 400, "rows: is missing"),
        ("/score", {"rows": [{"problem": 1}]}, 400, "rows 0: 'problem'"),
        ("/score", {"rows": [{"problem": " ", "steps": ["b"]}]}, 400, "rows 0: 'problem' is empty"),
        ("/score", {"rows": [{"problem": "a", "steps": "b"}]}, 400, "rows 0: 'steps' must be a list"),
        ("/score", {"rows": [{"problem": "a", "steps": []}] * 5000}, 413, "rows: 5000 of them"),
        ("/score", b" " * (app.BODY + 1), 413, "longer than"),
        ("/pooling", {"input": []}, 400, "input: must be"),
        ("/pooling", {"input": [["a"]]}, 400, "input 0: must be"),
        ("/pooling", {"input": [[1, 999]]}, 400, "input 0: token id 999 is outside the vocabulary"),
        ("/pooling", {"input": [1] * 65}, 400, "input 0: 65 tokens, but the PRM reads 64"),
        ("/pooling", {"input": "one " * 65}, 400, "input 0: is longer than the 64"),
        ("/pooling", {"input": ["one", ""]}, 400, "input 1: has no token"),
        ("/pooling", {"input": "one", "task": "embed"}, 400, "task: 'embed'"),
        ("/pooling", {"input": "one", "truncate_prompt_tokens": 3}, 400, "truncate_prompt_tokens: 3 is not served"),
        ("/pooling", {"input": "one", "activation": False}, 400, "activation: false is not served; ask with use_activ"),
        ("/score", {"rows": [{"problem": "a", "steps": []}], "model": "my-prm", "x": 1}, 400, "x: is not known here"),
        (
            "/score",
            b'{"rows": [{"problem": "a", "steps": ["\\ud83d"]}]}',
            400,
            "rows 0: holds half a character (a lone \\ud83d)",
        ),
        ("/score", b'{"model": "\\uD83D", "rows": [{"problem": "a", "steps": []}]}', 400, "model: holds half"),
        ("/score", b'{"rows": [{"problem": "a", "steps": ["\xed\xa0\xbd"]}]}', 400, "not JSON ('utf-8' codec"),
        ("/pooling", {"input": "one " * (4 << 20) + "one"}, 413, "input: 16777219 characters"),
        ("/pooling", {"input": "one", "use_activation": "yes"}, 400, "use_activation: must be of the type bool"),
        ("/classify", {"input": "one", "model": "gpt"}, 404, "'gpt' is not served here; this is 'my-prm'"),
        ("/get_reward", {"query": ["a"]}, 400, "prompts: is missing"),
        ("/get_reward", {"query": ["a"], "prompts": ["b"]}, 400, "query 0: must be a text that begins"),
        ("/nowhere", {}, 404, "Not Found"),
        ("/health", {}, 405, "Method Not Allowed"),
    ],
)
def test_what_is_refused(judge, path, body, status, said):
    [response] = asked(judge, ("POST", path, body))
    message = response.json()["error"]["message"]
    assert response.status_code == status == response.json()["error"]["code"]
    assert said in message and "\n" not in message


def test_what_changes_no_answer_is_let_pass_as_vllm_does(judge):
    plain = post(judge, "/classify", {"input": "one two"})["data"]
    known = {
        "model": "/where/my-prm",
        "use_activation": None,
        "activation": None,
        "encoding_format": "float",
        "priority": 0,
    }
    body = {"input": "one two", "cache_salt": "x", "dimensions": 3, "add_special_tokens": None, "new": [1], **known}
    assert post(judge, "/classify", body, names=["/where/my-prm"])["data"][0]["probs"] == plain[0]["probs"]


def test_a_problem_is_the_one_of_training_without_the_prompts_white_space(judge, expected):
    text = "".join(STEPS)
    for prompt in (PROBLEM, PROBLEM + "\n", f" {PROBLEM}\n\n"):
        answer = post(judge, "/get_reward", {"query": [prompt + text], "prompts": [prompt]})
        assert answer["rewards"] == [pytest.approx(min(expected), abs=1e-5)]


def test_a_prm_that_does_not_say_how_to_use_it(judge, folder):
    bare = Judge(judge.prm, read_usage(folder.parent))
    [response] = asked(bare, ("POST", "/get_reward", {"query": ["ab"], "prompts": ["a"]}))
    assert "--reduce" in response.json()["error"]["message"]
    [response] = asked(bare, ("POST", "/score", {"rows": [{"problem": "a", "text": "b"}]}))
    assert "rows 0: this PRM does not say how a text is cut" in response.json()["error"]["message"]
    with pytest.raises(PrmError, match="prompt: .* once"):
        Judge(judge.prm, judge.usage, prompt="no place")
