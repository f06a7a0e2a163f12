"""Roles: clusters of segments, the live detector, and what is saved of them."""

import json
import random
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import tiny_model
import torch
from sklearn.metrics import adjusted_rand_score

from prm.dynamics import reader as readers
from prm.errors import PrmError
from prm.records import Problem, Sample
from prm.roles import cluster, detector, naming
from prm.roles.fit import Config, fit
from prm.roles.live import watch
from prm.roles.model import Roles
from prm.roles.segments import owners
from prm.signals import Context
from prm.world.pretrain import Config as World
from prm.world.pretrain import example


def planted(count=400, kinds=5, width=48, seed=0):
    centres, rng = np.random.default_rng(0).normal(size=(kinds, width)) * 2, np.random.default_rng(seed + 1)
    truth = rng.integers(kinds, size=count)
    return (centres[truth] + rng.normal(size=(count, width))).astype(np.float32), truth


def solutions(count, seed=0):
    rng = random.Random(seed)
    return [(f"{problem}\n", text) for problem, text in (example(rng, World(out="")) for _ in range(count))]


@pytest.fixture(scope="module")
def roles():
    return fit(solutions(60), Config(readers.Config(layers=(1,)), cluster=cluster.Config(roles=4)))


def test_planted_clusters_are_found_and_counted():
    centres, truth = planted()
    found = cluster.cluster(centres, cluster.Config(most=8, runs=3))
    assert [row["roles"] for row in found.table if row["chosen"]] == [5]
    assert found.table[4]["strength"] < 0.8 < found.table[4]["stability"]  # one cluster split: only the strength tells
    assert adjusted_rand_score(truth, found.label_N) > 0.99 and found.stability > 0.99
    fresh, kinds = planted(seed=1)
    role, confidence = found.clusters.assign(fresh)
    assert adjusted_rand_score(kinds, role) > 0.99 and ((0 <= confidence) & (confidence <= 1)).all()


def test_density_leaves_noise_out_and_assign_trusts_it_less():
    centres, truth = planted()
    far = np.random.default_rng(1).normal(size=(20, 48)).astype(np.float32) * 12
    found = cluster.cluster(np.concatenate([centres, far]), cluster.Config(method="hdbscan", dimensions=8, runs=2))
    assert adjusted_rand_score(truth, found.label_N[:400]) > 0.9 and (found.label_N[400:] == -1).mean() > 0.9
    _, confidence = found.clusters.assign(np.concatenate([centres, far]))
    assert confidence[400:].max() < 0.7 < np.median(confidence[:400])


def test_noise_alone_has_no_strong_partition():
    table = cluster.cluster(np.random.default_rng(0).normal(size=(300, 16)), cluster.Config(most=6, runs=3)).table
    assert all(row["strength"] < 0.8 for row in table)


def test_too_few_segments_are_told():
    with pytest.raises(PrmError, match="3 segments are too few"):
        cluster.cluster(np.eye(3), cluster.Config())


def test_a_token_belongs_to_the_step_of_its_last_visible_character():
    text = "So 1.\n\nThen 2"
    spans = [(0, 2), (2, 4), (4, 7), (7, 11), (11, 13)]  # the third is ".\n\n"
    assert owners(text, [7, 13], spans).tolist() == [0, 0, 0, 1, 1]
    assert owners(text, [5, 13], spans).tolist() == [0, 0, 0, 1, 1]  # a cut inside it


def test_names_are_the_words_that_set_a_role_apart():
    texts = ["The answer is 3", "So 1 + 2 = 3", "So 4 + 2 = 6", "The answer is 8"]
    role = np.array([1, 0, 0, 1])
    assert naming.names(texts, role, 2) == ["+ = So", "The answer is"]
    distances = np.array([[9, 2], [1, 9], [2, 9], [9, 1]])
    assert naming.typical(texts, role, distances) == [("So 1 + 2 = 3",), ("The answer is 8",)]  # numbers alone differ


def test_saved_roles_come_back_and_know_their_model(roles, tmp_path):
    roles.save(tmp_path / "roles")
    again = Roles.load(tmp_path / "roles")
    assert again.names == roles.names and again.reader == roles.reader and again.report == roles.report
    one, other = roles.read(solutions(3, 1))[0], again.read(solutions(3, 1))[0]
    assert (one.role_N == other.role_N).all() and (one.mode_confidence_T == other.mode_confidence_T).all()

    tiny_model.make(tmp_path / "other")
    with pytest.raises(PrmError, match="not those the roles were fitted on"):
        replace(again, reader=replace(again.reader, model=str(tmp_path / "other"))).open_reader()
    card = json.loads((tmp_path / "roles/roles.json").read_text())
    (tmp_path / "roles/roles.json").write_text(json.dumps(card | {"version": 99}))
    with pytest.raises(PrmError, match="version 99"):
        Roles.load(tmp_path / "roles")
    with pytest.raises(PrmError, match="give a folder"):
        Roles.load(tmp_path)


def test_a_row_that_cannot_be_read_is_counted(roles):
    rows = solutions(3, 1)
    assert [r.reason for r in roles.read([rows[0], ("x", ""), ("x", "\n")])] == ["", "no_tokens", "no_steps"]
    fitted = fit([*solutions(20), ("x", "")], Config(cluster=cluster.Config(roles=2)))
    assert fitted.report["rows"] == {"read": 20, "no_tokens": 1}
    with pytest.raises(PrmError, match="nothing to fit on"):
        fit([("x", "")], Config())
    with pytest.raises(ValueError, match="one layer"):
        Config(readers.Config(layers=(0, 1)))


def test_a_stream_equals_the_batch(roles):
    reader = roles.open_reader()
    streams = [torch.from_numpy(t.hidden_LTD[0]) for t in reader.read(solutions(4, 2), hidden=True, traces=False)]
    streams.append(streams[0][:0])
    together = roles.detector().detect(streams)
    for stream, (role, confidence) in zip(streams, together):
        assert (roles.detect(stream.numpy())[0] == role).all()
        one = roles.detector()
        modes = [one.push(state) for state in stream]
        assert [m.role for m in modes] == role.tolist()
        assert np.allclose([m.confidence for m in modes], confidence, atol=1e-5)
        assert [m.switched for m in modes] == (np.diff(role, prepend=-1) != 0).tolist()


def test_hysteresis_waits_for_a_lead_and_a_start_forgets():
    head = detector.Head(np.eye(2), np.zeros(2), np.zeros((2, 2)), np.array([-50.0]))  # never a start: a plain mean
    states = torch.tensor([[1.0, 0.0]] * 2 + [[0.0, 1.0]] * 4)
    lead = [1, 1, 1 / 3, 0, -1 / 5, -1 / 3]  # of role 0 in the mean
    for margin in (0.0, 0.25, 1.0):
        role, _ = detector.Detector(head, margin).detect([states])[0]
        assert role.tolist() == np.maximum.accumulate([x < -margin for x in lead]).astype(int).tolist()
    forgetting = replace(head, start_bias_1=np.array([50.0]))
    assert detector.Detector(forgetting, 0.5).detect([states])[0][0].tolist() == [0, 0, 1, 1, 1, 1]


def test_live_modes_equal_the_teacher_forced_ones_on_every_layer(roles):
    reader = roles.open_reader()
    reader.tokenizer.padding_side = "left"
    prompts = [prompt for prompt, _ in solutions(6, 3)]  # of different lengths
    given = reader.tokenizer(prompts, return_tensors="pt", padding=True, return_token_type_ids=False)
    for layer in (0, 1, -1):
        there = replace(roles, reader=readers.Config(layers=(layer,)))
        with watch(reader.model, there) as live:
            assert live.now is None and live.modes()[0].shape == (0, 0)
            for _ in range(2):  # a new generation starts anew
                made = reader.model.generate(**given, max_new_tokens=60, do_sample=False)
        role_RT, confidence_RT, switched_RT = live.modes()
        texts = [reader.tokenizer.decode(ids, skip_special_tokens=True) for ids in made[:, given.input_ids.shape[1] :]]
        for row, read in enumerate(there.read(list(zip(prompts, texts)))):
            count = min(len(read.mode_T), role_RT.shape[1])  # the last one drawn was never read
            assert count > 5 and (role_RT[row, :count] == read.mode_T[:count]).all()
            assert np.allclose(confidence_RT[row, :count], read.mode_confidence_T[:count], atol=1e-4)
            assert (switched_RT[row, :count] == (np.diff(read.mode_T[:count], prepend=-1) != 0)).all()
    assert not reader.model._forward_pre_hooks and not reader.model.base_model._forward_hooks


def test_live_refuses_another_model_and_rows_that_leave(roles, tmp_path):
    from transformers import AutoModelForCausalLM

    other = AutoModelForCausalLM.from_pretrained(tiny_model.make(tmp_path))
    with pytest.raises(PrmError, match="not those the roles were fitted on"):
        with watch(other, roles):
            pass
    model = roles.open_reader().model
    with watch(model, roles), pytest.raises(PrmError, match="rows left the batch"):
        cache = model(input_ids=torch.tensor([[5, 6], [7, 8]])).past_key_values
        cache = model(input_ids=torch.tensor([[5], [6]]), past_key_values=cache).past_key_values
        cache.batch_select_indices(torch.tensor([0]))
        model(input_ids=torch.tensor([[5]]), past_key_values=cache)


def test_live_tells_where_a_generation_without_a_cache_has_no_modes(roles):
    from transformers import AutoModelForCausalLM

    from prm import models

    model = AutoModelForCausalLM.from_pretrained(models.resolve("world")).eval()
    ids, options = torch.tensor([[5, 6, 7]]), {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False}
    with watch(model, roles) as live:
        model.generate(ids, use_cache=False, **options)
        with pytest.raises(PrmError, match="use_cache=True"):
            live.modes()
        model.generate(ids, **options)
        assert live.modes()[0].shape == (1, 3)


def test_roles_bring_their_fitted_segmenter_along(tmp_path, monkeypatch):
    from prm.roles import card
    from prm.segmenters import attractor

    rows = solutions(40)
    fitted = {"name": "attractor", "form": "entropy", "layers": [1]}
    with pytest.raises(PrmError, match="segmenter.path: missing"):
        fit(rows, Config(readers.Config(layers=(1,)), fitted))
    texts = [(Problem(p, p.rstrip("\n")), Sample(p, 0, text)) for p, text in rows]
    attractor.fit(texts, attractor.Config(form="entropy"), Context(), tmp_path / "fitted")
    monkeypatch.chdir(tmp_path)
    config = Config(readers.Config(layers=(1,)), {**fitted, "path": "fitted"}, cluster.Config(roles=2))
    made = fit(rows, config)
    made.save("roles")
    shutil.rmtree("fitted")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = Roles.load("../roles")
    assert [r.segments for r in again.read(rows[:5])][0] and again.segmenter["path"] == "../roles/segmenter"
    again.save("../roles")  # onto itself
    assert Roles.load("../roles").segmenter_plugin().config.form == "entropy" and card._public("../roles") == "roles"


def test_the_evaluation_prints_its_figures(capsys, tmp_path):
    from eval import roles as evaluation

    small = ["--texts", "60", "--seeds", "1", "--most", "3", "--repeats", "1"]
    evaluation.main([*small, "--save", str(tmp_path), "--out", str(tmp_path / "figures.json")])
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(last)[: len(evaluation.LAST_LINE)] == list(evaluation.LAST_LINE)
    assert abs(last["ari_shuffled"]) < 0.05 < last["ari"] and last["detector_agreement"] >= 0.9
    assert last["detector_shuffled"] < last["detector_chance"] + 0.2
    assert Roles.load(tmp_path).names == tuple(last["names"]) and re.match(r"\w", last["names"][0])


def test_truths_of_a_step():
    from eval.roles import form, operation

    steps = ["So 3 + 5 = 8", "Mia finds 5 more and loses 2, so 3 + 5 = 8 and 8 - 2 = 6", "The answer is 6"]
    assert [operation(s) for s in steps] == ["+", "several", "answer"]
    assert [form(s) for s in steps] == ["brief", "told", "answer"]
