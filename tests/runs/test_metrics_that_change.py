"""Runs that go on with other metrics."""

import pytest
import torch
from runner_helpers import last, numbers, only_run

from ganflow.runs.checkpoints import read

PLUGIN = """
from ganflow import Metric, hookimpl, settings

GANFLOW_CONTRACT = 2


class Fixed(Metric):
    goal = "min"

    def __init__(self, name, value):
        self.name, self.names, self.value = name, (name,), value

    def evaluate(self, game):
        return {self.name: self.value}


@settings
class Small:
    \"\"\"Always 1.\"\"\"

    @hookimpl
    def metric(self):
        return Fixed("small", 1.0)


@settings
class Large:
    \"\"\"Always 5.\"\"\"

    @hookimpl
    def metric(self):
        return Fixed("large", 5.0)


@hookimpl
def register(offer):
    offer("metric", "small", Small)
    offer("metric", "large", Large)
"""
SWD = "{use: sliced_wasserstein, samples: 64}"
ALONE = ("--runs", "alone", "~metrics", "train.on_alarm=never", "-q")


@pytest.fixture(autouse=True)
def _undrawn(undrawn):
    pass


def scores(run, name):
    return [round for round, values in numbers(run) if name in values]


def test_a_metric_comes_and_goes_and_training_is_what_it_is_without(work, ganflow):
    """Scored from the round on at which it came; weights, optimizers and random numbers to the bit."""
    changes = ("train.rounds=4", "train.schedule_rounds=9", "train.evaluate_every=2", "train.on_alarm=never")
    assert ganflow("run", "tiny.yaml", "~metrics", *changes, "-q")[0] == 0
    run = only_run(work / "runs")
    code, _, err = ganflow("run", "--resume", "latest", f"+metrics={SWD}", "train.rounds=7")
    assert code == 0, err
    assert "changed after round 4: metrics[0].use: (none) → " in err
    (name,) = run.read().protocols
    assert (scores(run, name), run.read().best["metric"]) == ([6, 7], name)
    assert ganflow("run", "--resume", "latest", "~metrics", "train.rounds=9", "-q")[0] == 0
    assert scores(run, name) == [6, 7]
    assert [each["round"] for each in run.read().amended] == [4, 7]
    assert ganflow("run", "tiny.yaml", *changes[1:3], "train.rounds=9", *ALONE)[0] == 0
    alone = only_run(work / "alone")
    ours, theirs = last(run), last(alone)
    assert [name for name, t in ours.tensors.items() if not torch.equal(t, theirs.tensors[name])] == []
    assert ours.plain["random"] == theirs.plain["random"]


def test_what_was_best_by_one_metric_is_not_compared_with_another(work, ganflow, plugin):
    plugin("acme", PLUGIN)
    assert ganflow("run", "tiny.yaml", "metrics=[small]", "-q")[0] == 0
    run = only_run(work / "runs")
    assert run.read().best["metric"] == "small"
    assert ganflow("run", "--resume", "latest", "metrics=[large, small]", "train.rounds=8", "-q")[0] == 0
    assert run.read().best == {"metric": "large", "score": 5.0, "round": 8}
    assert read(run.checkpoints / "best.safetensors").round == 8


def test_a_metric_of_a_run_that_has_finished(work, ganflow, plugin):
    plugin("acme", PLUGIN)
    assert ganflow("run", "tiny.yaml", "metrics=[small]", "-q")[0] == 0
    said = ganflow("run", "--resume", "latest", "+metrics=large")[2].rstrip()
    advice = said.rpartition("; for scores of what is trained: ganflow ")[2]
    assert "--metric large" in advice
    code, out, err = ganflow(*advice.split())
    assert code == 0, err
    assert "large" in out


def test_the_metric_of_the_best_checkpoint_stays(work, ganflow, plugin):
    plugin("acme", PLUGIN)
    assert ganflow("run", "tiny.yaml", "metrics=[small]", "train.best=small", "-q")[0] == 0
    run = only_run(work / "runs")
    before = run.read()
    code, _, err = ganflow("run", "--resume", "latest", "metrics=[large]", "train.rounds=8")
    assert (code, run.read()) == (2, before)
    assert "train.best: there is no score 'small'" in err
