"""Ray's trial that is a pack of the sweep's, without Ray's machinery around it."""

import shutil
from dataclasses import replace

import pytest
import torch
from ray import tune

from ganflow.runs import folders
from ganflow.runs.checkpoints import newest
from ganflow.sweeps.records import SweepFolder
from ganflow.tune.control import ask
from ganflow.tune.trial import Trial
from ganflow.tune.trials import TrialSpec, as_config

RECIPE = """\
name: packed
data: {use: gaussians, layout: ring, samples: 500}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 8, depth: 1}
critic: {use: mlp, width: 8, depth: 1}
loss: wasserstein
optimizer: {use: rmsprop, lr: 5.0e-4}
metrics:
  - {use: sliced_wasserstein, samples: 64}
train: {rounds: 100, batch_size: 16, compile: never, threads: 1, report_every: 10, checkpoint_every: 20, evaluate_every: 20,
        sample_every: 100}
track: {mlflow: false}
"""


@pytest.fixture
def sweep(tmp_path):
    folder = SweepFolder(tmp_path / "runs" / "s")
    folder.path.mkdir(parents=True)
    folder.recipe.write_text(RECIPE)
    folder.update(kind="sweep", id="20260101-000000-0000", status="running")
    return folder


@pytest.fixture
def pack(sweep, monkeypatch):
    """pack(changes of each trial, …) → a trainable that is closed in the end."""
    monkeypatch.setenv("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    opened = []

    def make(*trials, **order):
        about = {"sweep": sweep.id, "tracking": {}}
        common = {"recipe": str(sweep.recipe), "about": about, "metric": "sliced_w1_64", "mode": "min", "stop": {}}
        orders = [
            TrialSpec(number=i, changes=[*own], folder=str(sweep.trial(i).path), **{**common, "about": {**about, "trial": i}})
            for i, own in enumerate(trials)
        ]
        opened.append(Trial(config=as_config([replace(o, **{"pack": 3, **order}) for o in orders])))
        assert isinstance(opened[-1], tune.Trainable)
        return opened[-1]

    yield make
    for made in opened:
        made.cleanup()


def played(trainable):
    """What is told of each trial in the end, and all notes."""
    found, notes = {}, set()
    for _ in range(100):
        told = trainable.step()
        found |= {one["trial"]: {**found.get(one["trial"], {}), **one} for one in told["trials"]}
        notes.add(told["note"])
        if told["done"]:
            return found, notes - {""}
    raise AssertionError(found)


RATES = [f"optimizer.lr={n}e-4" for n in (5, 6, 7)]


def test_all_are_told_to_their_end(sweep, pack):
    found, notes = played(pack(*([rate] for rate in RATES)))
    assert [(found[i]["state"], found[i]["round"]) for i in range(3)] == [("finished", 100)] * 3
    assert all(found[i]["score"] > 0 for i in range(3))
    assert not notes


def test_a_trial_that_reaches_a_stop_value_is_finished(sweep, pack):
    trials = [RATES[0]], [RATES[1], "train.seed=5"], [RATES[2]]
    limit = {"round": 60.0}
    found, _ = played(pack(*trials, stop=limit))
    assert [(found[i]["state"], found[i]["round"]) for i in range(3)] == [("finished", 60)] * 3
    assert [sweep.trial(i).read().status for i in range(3)] == ["finished"] * 3


@pytest.mark.parametrize("third", [RATES[2], "critic.width=9"], ids=["packed", "one by one"])
def test_one_that_is_stopped_by_hand_leaves_the_others_to_the_bit(sweep, pack, third, monkeypatch):
    monkeypatch.setattr("ganflow.tune.trial.STEP", 0.0)
    monkeypatch.setattr("ganflow.tune.trial.EVERY", 0.0)
    trials = [RATES[0]], [RATES[1]], [third]
    played(pack(*trials))
    alone = {i: newest(sweep.trial(i).checkpoints)[0] for i in range(3)}
    for i in range(3):
        shutil.rmtree(sweep.trial(i).path)
    trainable = pack(*trials)
    for _ in range(3):
        trainable.step()
    ask(sweep, stop=1)
    found, _ = played(trainable)
    assert [found[i]["state"] for i in range(3) if i != 1] == ["finished"] * 2
    assert (found[1]["state"], found[1]["error"]) == ("stopped", "by hand")
    run = sweep.trial(1).read()
    assert (run.status, run.error) == ("stopped", "by hand")
    assert 0 < run.round == found[1]["round"] == newest(sweep.trial(1).checkpoints)[0].round < 100
    for i in (0, 2):
        kept = newest(sweep.trial(i).checkpoints)[0]
        assert kept.round == 100
        assert all(torch.equal(tensor, alone[i].tensors[name]) for name, tensor in kept.tensors.items())


def test_one_that_diverges_does_not_end_the_others(sweep, pack):
    diverging = [["optimizer.lr=1e30"], [RATES[1]]]
    found, _ = played(pack(*diverging))
    assert found[0]["state"] == "diverged"
    assert "became" in found[0]["error"]
    assert (found[1]["state"], found[1]["round"]) == ("finished", 100)


def test_what_cannot_be_packed_is_said_and_played_one_by_one(sweep, pack):
    found, notes = played(pack([RATES[0]], [RATES[1], "critic.width=9"], stop={"round": 40.0}))
    assert [(found[i]["state"], found[i]["round"]) for i in range(2)] == [("finished", 40)] * 2
    (note,) = notes
    assert note.startswith("trials 0 to 1 run one after the other")
    assert "critic.width" in note


def test_trials_that_are_over_are_left_alone_when_a_pack_is_begun_again(sweep, pack):
    sweep.record(1, config={}, state="diverged")
    found, _ = played(pack(*([rate] for rate in RATES)))
    assert sorted(found) == [0, 2]
    assert not sweep.trial(1).is_run()


@pytest.mark.parametrize("second", [RATES[1], "critic.width=9"], ids=["packed", "one by one"])
def test_an_interruption_keeps_what_was_played(sweep, pack, second, monkeypatch):
    monkeypatch.setattr("ganflow.tune.trial.STEP", 0.0)
    trainable = pack([RATES[0]], [second])
    trainable.step()
    sweep.update(status="interrupted")
    trainable.cleanup()
    begun = [run for run in map(sweep.trial, range(2)) if run.is_run()]
    assert {run.read().status for run in begun} == {"interrupted"}
    assert not any(folders.is_running(run) for run in begun)
    assert sweep.trial(0).read().round == 10
    found, _ = played(pack([RATES[0]], [second]))
    assert [found[i]["state"] for i in range(2)] == ["finished"] * 2
