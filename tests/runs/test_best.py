"""The best checkpoint, by a metric whose scores are known."""

import signal

import pytest
import torch
from runner_helpers import last, only_run

from ganflow.runs.checkpoints import read
from ganflow.runs.loading import load_game

METRIC = '''
from ganflow import Metric, hookimpl, key, settings

GANFLOW_CONTRACT = 2


class Scripted(Metric):
    def __init__(self, goal, scores):
        self.goal, self.scores = goal, scores

    def evaluate(self, game):
        return {"score": self.scores[int(game.round) - 1]}


@settings
class Says:
    """Scores by round."""

    goal: str = key("min")
    scores: list[float] = key([])

    @hookimpl
    def metric(self):
        return Scripted(self.goal, self.scores)


@hookimpl
def register(offer):
    offer("metric", "says", Says)
'''
RECIPE = """
name: best
data: {use: gaussians, layout: ring, samples: 200}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 4, depth: 1}
critic: {use: mlp, width: 4, depth: 1}
loss: wasserstein
optimizer: {use: rmsprop, lr: 5.0e-3}
train: {rounds: 4, n_critic: 1, batch_size: 8, compile: never, threads: 1, evaluate_every: 1, checkpoint_every: 100,
        sample_every: 100}
track: {mlflow: false}
"""


@pytest.fixture
def scored(work, ganflow, plugin):
    """scored(goal, scores): a run with these scores, round by round."""
    plugin("says", METRIC)
    (work / "best.yaml").write_text(RECIPE)

    def run(goal, scores, *changes):
        metric = f"+metrics={{use: says, goal: {goal}, scores: {scores}}}"
        code, _, err = ganflow("run", "best.yaml", metric, *changes, "-q")
        assert code == 0, err
        return only_run(work / "runs")

    return run


@pytest.mark.parametrize(
    ("goal", "scores", "round"),
    [
        ("min", [3, 1, 1, 2], 2),  # of equal ones the first
        ("max", [1, 3, 3, 2], 2),
        ("min", [1, 2, 3, 4], 1),
        ("max", [1, 2, 3, 4], 4),
        ("min", [-1, -3, -2, 0], 2),
    ],
)
def test_the_best(scored, goal, scores, round):
    run = scored(goal, scores)
    best = read(run.checkpoints / "best.safetensors")
    assert best.round == round
    assert best.plain["best"] == {"metric": "score", "score": scores[round - 1], "round": round}
    assert run.read().raw["best"] == best.plain["best"]
    assert last(run).plain["best"] == best.plain["best"]


def test_a_run_that_goes_on_knows_its_best(scored, ganflow):
    run = scored("min", [2, 1, 3, 3, 1, 0], "train.rounds=3")
    assert ganflow("run", "--resume", run.id, "train.rounds=5", "-q")[0] == 0
    assert read(run.checkpoints / "best.safetensors").round == 2
    assert ganflow("run", "--resume", run.id, "train.rounds=6", "-q")[0] == 0
    assert read(run.checkpoints / "best.safetensors").round == 6


def test_what_is_loaded(scored):
    run = scored("min", [2, 1, 3, 3])
    paths = {"last": last(run).path, "best": run.checkpoints / "best.safetensors"}
    weights = {}
    for which in ("last", "best", str(paths["best"])):
        weights[which] = {f"game.generator.{name}": t for name, t in load_game(run, which).generator.state_dict().items()}
        kept = read(paths.get(which, paths["best"])).tensors
        assert all(torch.equal(t, kept[name]) for name, t in weights[which].items())
    assert any(not torch.equal(t, weights["best"][name]) for name, t in weights["last"].items())


def test_signals_are_heard_as_before_a_run(scored):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    scored("min", [1, 1], "train.rounds=2")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


SEVERAL = '''
import math

from ganflow import Metric, hookimpl, key, settings

GANFLOW_CONTRACT = 2
FIRST, SECOND = [1.0, 4.0, 3.0, 2.0], [5.0, 7.0, 6.0, 7.0]


class Both(Metric):
    names = ("first", "second")

    def __init__(self, digest):
        self.protocol = {"samples": 4, "split": ("a", "b"), "digest": digest}

    def evaluate(self, game):
        i = int(game.round) - 1
        return {"first": FIRST[i], "first_error": 0.25, "first_floor": 0.5, "second": SECOND[i], "second_error": 0.5}


@settings
class Several:
    """Two scores."""

    @hookimpl
    def metric(self):
        from pathlib import Path

        return Both(Path("digest").read_text() if Path("digest").exists() else "x")


@hookimpl
def register(offer):
    offer("metric", "several", Several)
'''


@pytest.fixture
def several(work, ganflow, plugin):
    """several(*changes): a run with two scores by round, each with an error; its folder and what it printed on stderr."""
    plugin("several", SEVERAL)
    (work / "best.yaml").write_text(RECIPE)

    def run(*changes):
        code, _, err = ganflow("run", "best.yaml", "+metrics=several", *changes)
        assert code == 0, err
        return only_run(work / "runs"), err

    return run


@pytest.mark.parametrize(
    ("changes", "best"),
    [
        ((), {"metric": "first", "score": 1.0, "round": 1, "error": 0.25}),
        (("train.best=several",), {"metric": "first", "score": 1.0, "round": 1, "error": 0.25}),
        (("train.best_mode=min",), {"metric": "first", "score": 1.0, "round": 1, "error": 0.25}),
        (("train.best=second", "train.best_mode=max"), {"metric": "second", "score": 7.0, "round": 2, "error": 0.5}),
    ],
)
def test_the_best_by_any_score(several, changes, best):
    run, _ = several(*changes)
    kept = read(run.checkpoints / "best.safetensors")
    assert kept.round == best["round"]
    assert kept.plain["best"] == best
    assert run.read().best == best


def test_a_best_within_noise_of_the_last(several, ganflow):
    """7 ± 0.5 in round 2 and in round 4: no difference. 1 ± 0.25 and 2 ± 0.25 differ by more than 2 · √(0.25² + 0.25²) = 0.71."""
    run, err = several("train.best=second", "train.best_mode=max")
    line = "second 7 ± 0.5 in round 2 (within noise of the last, 7 ± 0.5)"
    assert f"\nbest: {line}\n" in err
    shown = ganflow("runs", "show", run.id)[1]
    assert f"  best        {line}\n" in shown
    assert "  metrics     first 2 ± 0.25 (floor 0.5)  second 7 ± 0.5\n" in shown


def test_a_best_that_is_not_within_noise(several, ganflow):
    run, err = several()
    assert "\nbest: first 1 ± 0.25 in round 1\n" in err
    assert "  best        first 1 ± 0.25 in round 1\n" in ganflow("runs", "show", run.id)[1]


@pytest.mark.parametrize("changes", [(), ("train.best=several",), ("train.best=first",), ("--seeds", "2")])
def test_the_worst_is_not_kept_as_the_best(several, ganflow, work, changes):
    """A metric knows the goal of its first score."""
    several("train.rounds=1")
    code, out, err = ganflow("run", "best.yaml", "+metrics=several", "train.best_mode=max", *changes)
    why = "max would keep the worst checkpoint, for a smaller first is better; leave train.best_mode out"
    assert (code, out, err) == (2, "", f"ganflow: train.best_mode: {why}\n")


def test_a_run_of_an_earlier_version_goes_on_with_another_goal(several, ganflow):
    run, _ = several("train.rounds=2")
    kept = run.recipe.read_text()
    assert "best_mode: null" in kept
    run.recipe.write_text(kept.replace("best_mode: null", "best_mode: max"))
    assert ganflow("run", "--resume", run.id, "train.rounds=3", "-q")[0] == 0


def test_no_best_by_what_is_not_scored(several, ganflow):
    several()
    for name, text in (("third", "there is no score 'third'"), ("second", "nothing says whether a smaller 'second' is better")):
        code, out, err = ganflow("run", "best.yaml", "+metrics=several", f"train.best={name}")
        assert (code, out) == (2, "")
        assert err.startswith(f"ganflow: train.best: {text}")


def test_the_protocols_are_recorded_when_the_run_begins_to_evaluate(several):
    run, _ = several()
    protocol = {"samples": 4, "split": ["a", "b"], "digest": "x"}
    assert run.read().protocols == {"first": protocol, "second": protocol}


def test_a_run_that_goes_on_with_another_protocol_forgets_its_best(several, ganflow, work):
    run, _ = several("train.rounds=3")
    (work / "digest").write_text("y")
    code, _, err = ganflow("run", "--resume", run.id, "train.rounds=4")
    assert code == 0
    assert "first is computed by another protocol than before: digest x against y\n" in err
    assert run.read().best == {"metric": "first", "score": 2.0, "round": 4, "error": 0.25}
    assert run.read().protocols["first"]["digest"] == "y"


def test_a_protocol_that_is_no_plain_data_is_the_plugins_fault(several, ganflow, work, plugin):
    plugin("odd", SEVERAL.replace('"samples": 4', '"samples": {1}').replace('"several"', '"odd"'))
    code, _, err = ganflow("run", "best.yaml", "+metrics=odd", "-q")
    assert code == 2
    assert "the protocol of gf_odd.Both is not plain data, which JSON could hold" in err
