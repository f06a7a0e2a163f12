"""The scorer: what solutions share is read once, what is kept is not read again, and the scores are those of plain rows."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import tiny
import torch

from prm import branches, inference, sharing
from prm.collate import pad
from prm.encode import encode_many
from prm.errors import PrmError
from prm.model import PRM

WORDS = "one two three four five six so then it makes wrong right".split()
CAUSAL, OTHERS = ("llama", "gpt2"), ("bert", "roberta")


def made(folder, kind="llama", **changes):
    torch.manual_seed(1)
    prm = PRM.create(tiny.config(tiny.backbone(folder / kind, kind, pad=False), **changes), "cpu")
    for parameter in prm.network.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.1)
    return prm


def solutions(n, seed=0, longest=14):
    """Of three problems, some with beginnings or all in common, some longer than a window, the same tokens cut in other steps."""
    rng = random.Random(seed)
    step = lambda: " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 5))) + rng.choice((" .\n", "\n\n", " "))
    pairs = []
    for _ in range(n):
        steps = [step() for _ in range(rng.randint(1, longest))]
        if pairs and rng.random() < 0.6:
            problem, other = rng.choice(pairs)
            steps = other[: rng.randint(1, len(other))] + steps[: rng.randint(0, longest)]
            if rng.random() < 0.4 and len(steps) > 1:
                steps = ["".join(steps[:2]), *steps[2:]]
        else:
            problem = rng.choice(("what is one ?", "what is one then two ?", "is five six ?"))
        pairs.append((problem, steps))
    return pairs


def plainly(prm, pairs):
    """Row by row, by transformers' own attention."""
    prm.network.eval()
    found = []
    for one in encode_many(pairs, prm.tokenizer, prm.config):
        with torch.inference_mode():
            found.append([v for w in one.windows for v in torch.sigmoid(prm.network(**pad([w], 0))).tolist()])
    return found


def same(found, expected):
    assert [len(one) for one in found] == [len(one) for one in expected]
    assert found == [pytest.approx(one, abs=1e-5) for one in expected]


@pytest.mark.parametrize("kind", CAUSAL + OTHERS)
@pytest.mark.parametrize("budget", [40, 10_000])
def test_scores_are_those_of_plain_rows(tmp_path, kind, budget, monkeypatch):
    monkeypatch.setitem(inference.BUDGET, "cpu", budget)
    prm, pairs = made(tmp_path, kind), solutions(24)
    assert prm.scorer.shares == (kind in CAUSAL)
    assert any(len(one.windows) > 1 for one in encode_many(pairs, prm.tokenizer, prm.config))
    same(prm.score_batch(pairs), plainly(prm, pairs))


@pytest.mark.parametrize("kind", CAUSAL)
@pytest.mark.parametrize("seed", range(2))
def test_step_by_step_is_the_whole_however_it_is_split(tmp_path, kind, seed, monkeypatch):
    """Solutions grow by random numbers of steps, in turns of random membership, many from one Partial."""
    monkeypatch.setitem(inference.BUDGET, "cpu", (50, 10_000)[seed % 2])
    prm, pairs, rng = made(tmp_path, kind), solutions(10, seed), random.Random(seed)
    roots = {problem: prm.scorer.open(problem) for problem, _ in pairs}
    partials, done, scores = [roots[problem] for problem, _ in pairs], [0] * len(pairs), [[] for _ in pairs]
    while any(at < len(steps) for at, (_, steps) in zip(done, pairs)):
        turn = [i for i, (_, steps) in enumerate(pairs) if done[i] < len(steps) and rng.random() < 0.7]
        given = [pairs[i][1][done[i] : done[i] + rng.randint(1, 4)] for i in turn]
        grown = prm.scorer.extend([(partials[i], steps) for i, steps in zip(turn, given)])
        for i, steps, (partial, values) in zip(turn, given, grown):
            assert len(values) == len(steps)
            partials[i], done[i], scores[i] = partial, done[i] + len(steps), scores[i] + values
    same(scores, plainly(prm, pairs))


def test_an_encoder_reads_the_whole_again(tmp_path):
    """It sees a step with those behind it: an added step scores as the last of the solution so far."""
    prm, problem, steps = made(tmp_path, "bert"), "what is one ?", ["one two .\n"] * 20
    partial, scores = prm.scorer.open(problem), []
    for start in range(0, 20, 5):
        ((partial, values),) = prm.scorer.extend([(partial, steps[start : start + 5])])
        scores.append(values)
    assert partial.kept == ()
    same(scores, [plainly(prm, [(problem, steps[: start + 5])])[0][start:] for start in range(0, 20, 5)])


def test_only_new_tokens_are_computed(tmp_path, monkeypatch):
    prm, computed = made(tmp_path), []
    plan = branches.plan
    monkeypatch.setattr(sharing, "plan", lambda rows: computed.append(plan(rows)) or computed[-1])
    count = lambda: _count(computed)
    prm.scorer
    computed.clear()
    root = prm.scorer.open("what is one ?")
    assert count() == 5, "the problem and a line break"
    a, b = (partial for partial, _ in prm.scorer.extend([(root, ["one two .\n"]), (root, ["one two four .\n"])]))
    assert count() == 4 + 3, "one two . \\n, and four . \\n"
    prm.scorer.extend([(a, ["six .\n"]), (a, ["five .\n"]), (b, ["six .\n"])])
    assert count() == 9
    prm.score_batch([("what is one ?", ["one two .\n", word]) for word in ("six .\n", "five .\n")] * 3)
    assert count() == 5 + 4 + 3 + 3


def _count(plans):
    total = sum(len(one.ids) for one in plans)
    plans.clear()
    return total


def test_a_partial_keeps_its_own_tokens_and_its_parents(tmp_path):
    prm = made(tmp_path)
    root = prm.scorer.open("what is one ?")
    ((one, _),) = prm.scorer.extend([(root, ["one two .\n"])])
    ((two, _),) = prm.scorer.extend([(one, ["six .\n"])])
    assert [len(piece) for piece in two.kept] == [5, 4, 3]
    assert two.kept[0] is root.kept[0] and two.kept[1] is one.kept[1]
    assert {piece.shape[1] for piece in two.kept} == {2 * 2 * 1 * 16}, "layers, keys and values, heads, width"
    assert all(piece.untyped_storage().nbytes() == piece.nbytes for piece in two.kept), "and nothing beside them"


def test_a_network_that_sees_fewer_tokens_than_a_window_holds_is_read_row_by_row(tmp_path):
    prm = made(tmp_path)
    config = prm.network.base().config
    assert sharing.exact(prm.network, 64)
    for name, value in (("sliding_window", 32), ("rope_parameters", {"rope_type": "dynamic", "rope_theta": 1e4})):
        known = getattr(config, name, None)
        setattr(config, name, value)
        assert not sharing.exact(prm.network, 64)
        setattr(config, name, known)
    config.sliding_window = 64
    assert sharing.exact(prm.network, 64)


def test_a_row_that_shares_kept_states_with_a_row_without_any():
    """The second begins with new tokens of the first and goes on with states of its own."""
    first, second = [1, 2, 3, 3], [1, 2, 3, 4, 5]
    rows = [branches.Row(first, (3,)), branches.Row(second, (4,), (torch.zeros(4, 1),), 4)]
    (whole, masked), _ = branches.groups(branches.plan(rows))
    assert whole.seen is None and masked.seen is not None and whole.q.min() >= 0 and masked.q.min() >= 0


def test_keys_and_values_of_different_width(tmp_path):
    import transformers

    torch.manual_seed(0)
    words = tiny.tokenizer(pad=True)
    shape = {"kv_lora_rank": 8, "q_lora_rank": 8, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 12}
    config = transformers.DeepseekV3Config(
        vocab_size=len(words), num_key_value_heads=2, max_position_embeddings=128, n_routed_experts=4, n_group=1,
        topk_group=1, num_experts_per_tok=2, first_k_dense_replace=2, moe_intermediate_size=16, **shape, **tiny.SHAPE,
    )  # fmt: skip
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path / "deepseek")
    words.save_pretrained(tmp_path / "deepseek")
    prm, pairs = PRM.create(tiny.config(str(tmp_path / "deepseek"), lora=None), "cpu"), solutions(6)
    assert prm.scorer.shares
    same(prm.score_batch(pairs), plainly(prm, pairs))


def test_a_problem_without_a_token_is_opened(tmp_path):
    prm = made(tmp_path, template="{problem}")
    ((_, scores),) = prm.scorer.extend([(prm.scorer.open(""), ["one .\n", "two .\n"])])
    assert scores == pytest.approx(prm.score("", ["one .\n", "two .\n"]), abs=1e-5)


def test_what_cannot_be_scored_is_told(tmp_path):
    prm = made(tmp_path)
    root = prm.scorer.open("what is one ?")
    for steps, said in ([], "empty"), (["one .\n", ""], "a step is empty"), ("one .\n", "a list of texts"):
        with pytest.raises(PrmError, match=said):
            prm.scorer.extend([(root, steps)])
    with pytest.raises(PrmError, match="shorten it"):
        prm.scorer.open("what " * 100)
    long = prm.scorer.open("what " * 50)
    with pytest.raises(PrmError, match="solution 1 of 1: the problem leaves less"):
        prm.scorer.extend([(long, ["one .\n"] * 10)])


def test_training_goes_on_after_scoring(tmp_path):
    prm = made(tmp_path)
    prm.network.train()
    prm.score("what is one ?", ["one .\n"])
    assert prm.network.training and prm.network.base().config._attn_implementation == "sdpa"


def test_threads_that_score_with_one_prm_take_turns(tmp_path, monkeypatch):
    prm, pairs = made(tmp_path), solutions(6)
    expected, own, inside, most = prm.score_batch(pairs), sharing.attending, [0], [0]

    @contextmanager
    def slowly(network):
        with own(network):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.02)  # others come in meanwhile, where they can
            yield
            inside[0] -= 1

    monkeypatch.setattr(sharing, "attending", slowly)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(prm.score_batch, [pairs] * 8))
    assert most == [1]
    assert prm.network.base().config._attn_implementation == "sdpa"
    for one in found:
        same(one, expected)
