"""The loss: soft labels and weights exact, and the same gradient however a batch is split, padded or packed."""

import dataclasses
import json
import math
from contextlib import nullcontext

import pytest
import tiny
import torch

from prm import sharing
from prm import train as training
from prm.collate import pack, pad
from prm.errors import PrmError
from prm.loss import Agreement, Dynamic, loss_sum, weight_sum
from prm.model import PRM
from prm.progress import progress
from prm.trainer import make_trainer, packs


@pytest.fixture(scope="module")
def prm(tmp_path_factory):
    """A PRM whose trainable weights are all random, so that every one of them has a gradient."""
    torch.manual_seed(1)
    made = PRM.create(tiny.config(tiny.backbone(tmp_path_factory.mktemp("llama"))), "cpu")
    for parameter in made.network.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.2)
    return made


def gradients(prm, items, tmp_path, **settings):
    """The gradients with which the optimizer makes its first step, by name."""
    from transformers import TrainerCallback

    class Grab(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
            found.update({name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad})
            control.should_training_stop = True

    found = {}
    before = {name: p.detach().clone() for name, p in prm.network.named_parameters()}
    trainer = make_trainer(prm, items, training.Config(**settings), tmp_path, 0, progress)
    trainer.args.max_grad_norm = 0  # clipping would hide a wrong scale
    trainer.add_callback(Grab())
    trainer.train()
    prm.network.load_state_dict(before)
    return found


def expected(prm, items):
    """The definition: all windows one by one, sum of w * BCE over sum of w."""
    prm.network.zero_grad()
    total, weight = 0.0, 0.0
    for item in items:
        logits = prm.network(**pad([item.window], 0))
        p, y, w = torch.sigmoid(logits), torch.tensor(list(item.values)), torch.tensor(list(item.weights))
        total = total - (w * (y * p.log() + (1 - y) * (1 - p).log())).sum()
        weight += float(w.sum())
    (total / weight).backward()
    return {name: p.grad.clone() for name, p in prm.network.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("accumulate", [1, 2, 4])
def test_the_gradient_is_the_same_for_every_split(prm, tmp_path, accumulate, packed):
    items, _ = training.encode_rows(tiny.rows(4, seed=3), prm.tokenizer, prm.config)
    assert len({len(item.values) for item in items}) > 1, "solutions of unequal length"
    want = expected(prm, items)
    got = gradients(prm, items, tmp_path, batch=4, accumulate=accumulate, packed=packed)
    assert want.keys() == got.keys()
    for name in want:
        torch.testing.assert_close(got[name], want[name], rtol=1e-4, atol=1e-5, msg=lambda m: f"{name}: {m}")


def test_dynamic_weights_do_not_depend_on_the_split_either(prm, tmp_path):
    items, _ = training.encode_rows(tiny.rows(4, seed=3), prm.tokenizer, prm.config)
    dynamic = Dynamic(warmup=0.0, floor=0.1, cap=0.5)
    whole = gradients(prm, items, tmp_path / "1", batch=4, accumulate=1, dynamic=dynamic)
    split = gradients(prm, items, tmp_path / "4", batch=4, accumulate=4, dynamic=dynamic)
    plain = gradients(prm, items, tmp_path / "0", batch=4, accumulate=1)
    for name in whole:
        torch.testing.assert_close(whole[name], split[name], rtol=1e-4, atol=1e-5)
    assert any(not torch.allclose(whole[name], plain[name], rtol=1e-2) for name in whole), "and they do something"


def test_soft_labels_are_kept_and_weight_zero_is_silence():
    logits = torch.tensor([0.3, -2.0, 5.0], requires_grad=True)
    loss_sum("bce", logits, torch.tensor([0.9, 0.4, 0.0]), torch.tensor([1.0, 0.5, 0.0]), None).backward()
    sigmoid = [1 / (1 + math.exp(-x)) for x in (0.3, -2.0)]
    assert logits.grad.tolist() == pytest.approx([sigmoid[0] - 0.9, 0.5 * (sigmoid[1] - 0.4), 0.0], abs=1e-6)


def sprm(logits, values, weights):
    """The rule sprm's loss on one device."""
    return Agreement(Dynamic(rule="sprm")).sprm(logits, values, weights, lambda counts: counts)


def test_sprm_as_published_by_hand():
    """Three right labels, two kept; three wrong, one kept; one abstention. n_right = 3, n_wrong = 2."""
    logits = torch.tensor([2.0, 1.0, -2.0, -1.0, 0.5, 3.0, -4.0], requires_grad=True)
    values, weights = (
        torch.tensor([1.0, 0.8, 0.9, 0.2, 0.0, 0.1, 1.0]),
        torch.tensor([1.0, 0.3, 1.0, 1.0, 1.0, 1.0, 0.0]),
    )
    bce = [math.log1p(math.exp(-x)) for x in (2.0, 1.0, 1.0)]
    w = [1.5 * 2 / 5, 1.5 * 2 / 5, 3 / 5]
    loss = sprm(logits, values, weights)
    assert float(loss.detach()) == pytest.approx(sum(x * y for x, y in zip(w, bce)) / (sum(w) + 1e-5), rel=1e-6)
    loss.backward()
    assert [bool(g) for g in logits.grad] == [True, True, False, True, False, False, False], "the rest is dropped"


def test_sprm_with_nothing_kept_learns_nothing():
    logits = torch.tensor([-2.0, 2.0, 0.0], requires_grad=True)
    loss = sprm(logits, torch.tensor([1.0, 0.0, 1.0]), torch.ones(3))
    loss.backward()
    assert float(loss.detach()) == 0 and not logits.grad.any()


def test_sprm_in_training_is_the_whole_batch_only_without_accumulation(prm, tmp_path):
    items, _ = training.encode_rows(tiny.rows(4, seed=3), prm.tokenizer, prm.config)
    batch = pad([item.window for item in items], 0)
    values, weights = (torch.tensor([x for i in items for x in getattr(i, what)]) for what in ("values", "weights"))
    prm.network.zero_grad()
    sprm(prm.network(**batch), values, weights).backward()
    want = {name: p.grad.clone() for name, p in prm.network.named_parameters() if p.requires_grad}
    assert any(g.any() for g in want.values())
    settings = {"batch": 4, "dynamic": Dynamic(rule="sprm")}
    whole = gradients(prm, items, tmp_path / "1", accumulate=1, **settings)
    split = gradients(prm, items, tmp_path / "4", accumulate=4, **settings)
    for name, gradient in want.items():
        torch.testing.assert_close(whole[name], gradient, rtol=1e-4, atol=1e-5)
    assert any(not torch.allclose(whole[name], split[name], rtol=1e-2) for name in want)


def test_the_cap_keeps_a_class_alive_and_the_log_says_what_was_lost():
    """Every wrong step is contradicted: without a cap that class would be gone."""
    agreement = Agreement(Dynamic(warmup=0.0, floor=0.0, cap=0.25))
    logits, values = torch.full((4,), 30.0), torch.tensor([1.0, 1.0, 0.0, 0.0])
    for _ in range(50):
        factors = agreement.factors(logits, values, torch.ones(4), progress=0.5)
        agreement.end_step(epoch=0)
    assert factors.tolist() == pytest.approx([1, 1, 0.75, 0.75])
    assert agreement.log() == pytest.approx({"down_wrong": 0.25, "down_right": 0.0})


def test_doubt_grows_with_how_sure_the_prediction_and_the_label_are():
    agreement = Agreement(Dynamic(warmup=0.0, floor=0.0, cap=1.0))
    logits, values = torch.tensor([-0.1, -1.0, -5.0, -5.0, 5.0]), torch.tensor([1.0, 1.0, 1.0, 0.6, 1.0])
    factors = agreement.factors(logits, values, torch.ones(5), progress=0.0).tolist()
    assert 1 > factors[0] > factors[1] > factors[2] and factors[3] > factors[2] and factors[4] == 1


def test_warmup_leaves_all_weights_and_an_even_label_is_never_contradicted():
    agreement = Agreement(Dynamic(warmup=0.2, floor=0.0, cap=1.0))
    logits, values = torch.tensor([-30.0, -1.0]), torch.tensor([1.0, 0.5])
    assert agreement.factors(logits, values, torch.ones(2), progress=0.1).tolist() == [1, 1]
    assert agreement.factors(logits, values, torch.ones(2), progress=0.3).tolist() == pytest.approx([0, 1])


def test_every_epoch_tells_what_each_class_lost():
    agreement = Agreement(Dynamic(rule="sprm"))
    logits, values = torch.tensor([2.0, -2.0, 2.0, -2.0, 9.0]), torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0])
    for epoch in (0, 0, 1):
        agreement.sprm(logits, values, torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0]), lambda counts: counts)
        agreement.end_step(epoch)
    again = Agreement(Dynamic(rule="sprm"))
    again.load(json.loads(json.dumps(agreement.state())))
    first, second = again.told()
    assert first["wrong"] == {"steps": 4, "contradicted": 2, "weight": 4, "lost": 2} == first["right"]
    assert second["right"]["steps"] == 2


def test_settings_that_would_be_ignored_are_refused():
    with pytest.raises(ValueError, match="floor: a setting of the rule soft"):
        Dynamic(rule="sprm", floor=0.3)
    with pytest.raises(ValueError, match="wrong_weight: the rule sprm"):
        training.Config(dynamic=Dynamic(rule="sprm"), wrong_weight=5)
    with pytest.raises(ValueError, match="rule"):
        Dynamic(rule="hard")


def made(folder, kind):
    """A PRM in evaluation mode (no dropout) whose trainable weights are all random, and its windows: many begin alike."""
    torch.manual_seed(1)
    prm = PRM.create(tiny.config(tiny.backbone(folder / kind, kind)), "cpu")
    for parameter in prm.network.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.2)
    prm.network.eval()
    return prm, [item.window for item in training.encode_rows(tiny.rows(30), prm.tokenizer, prm.config)[0]]


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("checkpointed", [False, True])
def test_packed_rows_give_the_padded_logits_and_gradients(tmp_path, kind, checkpointed):
    prm, windows = made(tmp_path, kind)
    found = []
    for shared in (False, True):
        prm.network.zero_grad()
        if shared and checkpointed:
            prm.network.gradient_checkpointing_enable()
        with sharing.attending(prm.network) if shared else nullcontext():
            loss = prm.network(**(pack(windows) if shared else pad(windows, 0))).pow(2).mean()
            loss.backward()
        found.append((loss, {name: p.grad.clone() for name, p in prm.network.named_parameters() if p.requires_grad}))
    (padded, want), (shared, got) = found
    torch.testing.assert_close(shared, padded, rtol=1e-5, atol=1e-5)
    for name in want:
        torch.testing.assert_close(got[name], want[name], rtol=1e-5, atol=1e-5, msg=lambda m: f"{name}: {m}")


def test_what_begins_alike_is_computed_once(tmp_path):
    _, windows = made(tmp_path, "llama")
    beginnings = {tuple(w.ids[:end]) for w in windows for end in range(1, len(w.ids) + 1)}
    assert pack(windows)["input_ids"].shape == (1, len(beginnings))
    assert len(beginnings) < sum(len(w.ids) for w in windows) * 2 / 3


@pytest.mark.parametrize("kind, exact", [("llama", True), ("gpt2", True), ("bert", False), ("roberta", False)])
def test_windows_are_packed_where_that_is_exact(tmp_path, kind, exact):
    prm = made(tmp_path, kind)[0]
    assert packs(prm, training.Config()) == exact and not packs(prm, training.Config(packed=False))
    if not exact:
        with pytest.raises(PrmError, match="train.packed.*set it to false"):
            packs(prm, training.Config(packed=True))
    else:
        prm.network.base().config.sliding_window = 8
        with pytest.raises(PrmError, match="train.packed.*see fewer than prm.max_tokens"):
            packs(prm, training.Config(packed=True))


@pytest.mark.parametrize("loss", ["bce", "mse", "huber", "rank_solution"])
def test_other_ways_to_lay_out_a_batch_give_the_same_gradient(prm, tmp_path, loss):
    items = training.encode_rows(tiny.rows(12, seed=3), prm.tokenizer, prm.config)[0][:8]
    ways = ({"packed": False}, {"packed": True}, {"accumulate": 4}, {"siblings": 4})
    want, *others = [gradients(prm, items, tmp_path, batch=8, loss=loss, **way) for way in ways]
    assert any(gradient.any() for gradient in want.values())
    for got in others:
        for name in want:
            torch.testing.assert_close(got[name], want[name], rtol=1e-4, atol=1e-5)


def test_regression_by_hand():
    logits, values, weights = torch.tensor([0.0, 0.0]), torch.tensor([0.4, 1.0]), torch.tensor([1.0, 2.0])
    assert float(loss_sum("mse", logits, values, weights, None)) == pytest.approx(0.1**2 + 2 * 0.5**2)
    linear = 2 * 0.25 * (0.5 - 0.25 / 2)  # beyond .25 it grows by the error, not by its square
    assert float(loss_sum("huber", logits, values, weights, None)) == pytest.approx(0.1**2 + 2 * linear)


def test_ranking_by_hand():
    """Of three steps of one group and one of another, two pairs have different labels; the fourth step has none to compare with."""
    logits = torch.tensor([1.0, -1.0, 2.0, 0.0])
    values, weights = torch.tensor([1.0, 0.0, 0.0, 1.0]), torch.tensor([1.0, 1.0, 0.5, 1.0])
    groups = torch.tensor([0, 0, 0, 1])
    softplus = lambda x: math.log1p(math.exp(x))
    want = softplus(-1 - 1) + 0.5 * softplus(2 - 1)
    assert float(loss_sum("rank_problem", logits, values, weights, groups)) == pytest.approx(want, rel=1e-6)
    assert float(weight_sum("rank_problem", values, weights, groups)) == pytest.approx(1.5)


@pytest.mark.parametrize("loss", ["mse", "huber", "rank_solution", "rank_problem"])
def test_every_loss_learns(tmp_path, loss):
    config = tiny.config(tiny.backbone(tmp_path / "llama"))
    rows = [(dataclasses.replace(row[0], id=f"p{i // 4}"), *row[1:]) for i, row in enumerate(tiny.rows(200))]
    settings = training.Config(batch=16, epochs=3, lr=1e-2, loss=loss, siblings=4 if loss == "rank_problem" else 1)
    training.train(rows, config, settings, tmp_path / "prm")
    right, wrong = PRM.load(tmp_path / "prm", "cpu").score(
        "what is two ?", ["so one then it makes right .\n", "so one then it makes wrong .\n"]
    )
    assert right > wrong + 0.3
