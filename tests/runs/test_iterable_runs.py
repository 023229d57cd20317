"""Runs on an iterable of somebody else's package: they train, go on bit for bit, and nobody asks for its length."""

import json

import pytest
from runner_helpers import Process, assert_same_state, finished, last, numbers, only_run

from ganflow.recipe import read_recipe
from ganflow.runs.start import resume, start

PACKAGE = '''
"""A simulation: points that a chain walks through."""
import torch

from ganflow import Field, IterableData, hookimpl, key, settings


class Walk(IterableData):
    name, held_out, fields = "walk", {}, {"real": Field((2,))}

    def __init__(self, length, seed):
        self.length, self.step, self.at = length, 0, torch.zeros(2)
        self.rng = torch.Generator().manual_seed(seed)

    def fingerprint(self):
        return f"walk {self.length}"

    def __iter__(self):
        while self.step < self.length:
            self.at = 0.9 * self.at + torch.randn(2, generator=self.rng)
            self.step += 1
            yield {"real": self.at}
        self.step = 0

    def state_dict(self):
        return {"chain": (self.step, self.at), "rng": self.rng.get_state()}

    def load_state_dict(self, state):
        self.step, self.at = state["chain"]
        self.rng.set_state(state["rng"])


@settings
class WalkSettings:
    """Points of a chain."""

    length: int = key(50, "points of an epoch")
    seed: int = key(0, "of the steps")

    @hookimpl
    def data(self):
        return Walk(self.length, self.seed)


GANFLOW_CONTRACT = 2


@hookimpl
def register(offer):
    offer("data", "walk", WalkSettings)
'''
RECIPE = """
name: walking
data: walk
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 8}
critic: {use: mlp, width: 8}
loss: wasserstein
optimizer: {use: rmsprop, lr: 1.0e-3}
modifiers: [{use: weight_clip, c: 0.05}]
train: {rounds: 12, n_critic: 2, batch_size: 8, precision: fp64, threads: 1, compile: never, report_every: 1,
        checkpoint_every: 1, sample_every: 6}
track: {mlflow: false}
"""


@pytest.fixture
def walking(work, plugin):
    site = plugin("walk", PACKAGE)
    (work / "walking.yaml").write_text(RECIPE)
    return work, site


def test_a_run_that_goes_on_draws_what_it_would_have_drawn(walking):
    work, _ = walking
    whole = start(read_recipe(work / "walking.yaml"), work / "whole", quiet=True)
    half = start(read_recipe(work / "walking.yaml", ["train.rounds=5"]), work / "half", quiet=True)
    resume(half.folder, quiet=True, overrides=["train.rounds=12"])
    assert_same_state(whole.folder, half.folder)
    assert numbers(whole.folder) == numbers(half.folder)
    assert json.loads((whole.folder.path / "run.json").read_text())["data"]["size"] is None
    assert len(list(whole.folder.samples.glob("*.png"))) == 3  # rounds 0, 6 and 12: points without real ones beside them


def test_changed_data_are_noticed_without_a_number(walking, ganflow):
    work, _ = walking
    outcome = start(read_recipe(work / "walking.yaml", ["train.rounds=3"]), work / "runs", quiet=True)
    about = outcome.folder.path / "run.json"
    about.write_text(about.read_text().replace("walk 50", "walk 51"))
    code, _, err = ganflow("run", "--resume", outcome.folder.id, "train.rounds=4")
    assert code == 0
    assert "the data walk changed since the run began: what is in them\n" in err


def test_an_empty_iterable_is_one_sentence(walking, ganflow):
    code, _, err = ganflow("run", "walking.yaml", "data.length=0", "-q")
    assert code == 2
    assert "data walk gives no examples" in err


@pytest.mark.slow
def test_a_kill_and_two_workers_change_nothing(walking):
    work, site = walking
    command = ("run", work / "walking.yaml", "train.rounds=90", "-q")
    with Process(work, *command, path=[site]) as process:
        process.until(lambda: process.reached(20))
        assert process.kill()
    assert finished(work, "run", "--resume", "latest", "-q", path=[site])[0] == 0
    for name, more in (("alone", ()), ("two", ("--workers", 2))):
        (work / name).mkdir()
        assert finished(work / name, *command, *more, path=[site])[0] == 0
    killed, alone, two = (only_run(folder / "runs") for folder in (work, work / "alone", work / "two"))
    assert_same_state(killed, alone)
    for name, t in last(alone).tensors.items():
        if name.startswith("game."):
            assert (t - last(two).tensors[name]).abs().max() < 1e-9, name
