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
