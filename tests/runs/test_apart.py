"""Metrics, trackers and events that draw random numbers: training does not see it."""

import random

import pytest
import torch
from runner_helpers import last

from ganflow.api.scoring import prepare, scored
from ganflow.recipe import read_recipe
from ganflow.runs.journal import entries
from ganflow.runs.start import resume, start

DRAWS = '''
    import random

    import numpy as np
    import torch

    from ganflow import Metric, Tracker, hookimpl, settings

    GANFLOW_CONTRACT = 2


    def draw(count=3):
        """From every generator that there is."""
        return float(torch.rand(count).sum()) + random.random() + float(np.random.rand(count).sum())


    class Noisy(Metric):
        def __init__(self):
            self.built = draw()

        def check(self, game):
            draw()

        def evaluate(self, game):
            return {"noisy": self.built + draw()}


    class Listens(Tracker):
        def __init__(self):
            draw()

        def begin(self, run):
            draw()

        def values(self, round, time, values):
            draw()

        def picture(self, round, path):
            draw()


    @settings
    class NoisyMetric:
        """A number by chance."""

        @hookimpl
        def metric(self):
            return Noisy()


    @settings
    class NoisyTracker:
        """Draws whenever it is called."""

        @hookimpl
        def tracker(self):
            return Listens()


    class Settles(torch.nn.Module):
        def settle(self, game, draw_batches):
            draw()


    @settings
    class NoisyEvents:
        """Draws at events outside of a step."""

        @hookimpl
        def game_built(self, game):
            game.extras["settles"] = Settles()

        @hookimpl
        def run_started(self, game):
            draw()

        @hookimpl
        def round_reported(self, game, report):
            report.log("drawn", draw())

        @hookimpl
        def evaluated(self, game):
            draw()

        @hookimpl
        def checkpointed(self, game):
            draw()


    @hookimpl
    def register(offer):
        offer("metric", "noisy", NoisyMetric)
        offer("tracker", "noisy", NoisyTracker)
        offer("modifier", "noisy", NoisyEvents)
'''
WITH = {
    "metric": "+metrics=acme/noisy",
    "tracker": "+trackers=acme/noisy",
    "modifier": "+modifiers=acme/noisy",
}


@pytest.fixture
def trained(plugin, work):
    """Trains the small recipe with changes, in a runs folder of its own, whole or stopped and resumed in between."""
    plugin("acme", DRAWS)

    def train(name, *changes, until=None, on_report=None):
        recipe = read_recipe("tiny.yaml", ["train.sample_every=2", "train.evaluate_every=2", *changes])
        if not until:
            return start(recipe, work / name, quiet=True, on_report=on_report).folder
        recipe.train.rounds = until
        run = start(recipe, work / name, quiet=True).folder
        return resume(run, quiet=True, overrides=["train.rounds=6"]).folder

    return train


def assert_same_training(run, other):
    """Weights, averages, optimizers and the random numbers to come, to the bit."""
    ours, theirs = last(run), last(other)
    assert ours.round == theirs.round == 6
    assert ours.tensors.keys() == theirs.tensors.keys()
    assert [name for name, t in ours.tensors.items() if not torch.equal(t, theirs.tensors[name])] == []
    assert ours.plain["random"] == theirs.plain["random"]


@pytest.mark.parametrize("drawing", WITH)
def test_training_is_what_it_is_without(trained, drawing):
    assert_same_training(trained("with", WITH[drawing]), trained("without"))


def test_a_callback_may_draw(trained):
    """What Python code draws at each report."""
    heard = []
    with_callback = trained("with", on_report=lambda report: heard.append(torch.rand(3) + random.random()))
    assert heard
    assert_same_training(with_callback, trained("without"))


def test_a_metric_has_the_same_numbers_whenever_it_scores(trained):
    """In each evaluation of a run, in one that goes on, and when the run is evaluated afterwards."""
    run = trained("with", WITH["metric"], until=3)
    scores = [entry.values["noisy"] for entry in entries(run.journal) if "noisy" in entry.values]
    assert len(scores) == 4
    assert len(set(scores)) == 1
    (found,) = scored(prepare(run, "last", ["acme/noisy"], 1))
    assert found["value"] == scores[0]
