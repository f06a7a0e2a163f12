"""A whole run whose arm estimates its keys' reliabilities."""

from prm import evidence, pipeline, plugins, recipe, store


def test_labels_by_estimated_reliabilities_in_a_run(small, monkeypatch):
    monkeypatch.setattr(plugins.load("signals", "fake"), "KEY", "reask")
    monkeypatch.setattr(evidence, "Z", 0.0)  # ten problems are too few for a 95 % interval to leave any label weight
    signals = {"majority": {}, "fake": {}}
    arm = {"signals": dict.fromkeys(signals, 1.0), "labels": {"reliability": "estimated", "clip": 7}}
    made = recipe.build({**small, "signals": signals, "arms": {"ours": arm}}, "small.yaml")
    pipeline.run(made)
    run = store.Run(made.folder)
    train, test = (run.folder(f"labels.ours.{split}").manifest() for split in ("train", "test"))
    told = train["witnesses"]
    assert set(told["keys"]) == {"reask", "vote"} and (told["reliability"] == "estimated") == (not told["why"])
    assert told["fit"] == test["witnesses"]["fit"], "test is labelled as train taught"
    assert run.folder("signal.fake.train").path.name in test["parents"], "so what train said is in its hash"
