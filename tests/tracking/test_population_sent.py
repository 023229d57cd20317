"""Population based training in MLflow: the values that a trial has, when it has them, and whose copy it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from test_sweep_tracking import ByHand, everyone
from tracking_helpers import followed, history, report, until

from ganflow.runs.folders import RunFolder
from ganflow.runs.journal import rewind
from ganflow.tracking import contents, outbox, store
from ganflow.tracking.follower import unsent
from ganflow.tracking.outbox import State
from ganflow.tracking.store import Connection
from ganflow.tracking.sync import Sender, SyncResult, sync

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # sqlalchemy's, about MLflow
RECIPE = """\
name: ring
loss: {use: hinge}
optimizer: {generator: {use: adam, lr: %s}, critic: {use: adam, lr: %s}}
modifiers: [{use: weight_clip, c: %s}]
train: {rounds: 100, seed: 3}
"""
SEARCHED = ["optimizer.lr", "modifiers[0].c", "train.deterministic"]
NAMES = ["optimizer.generator.lr", "optimizer.critic.lr", "modifiers.0.c"]


class Population(ByHand):
    """Trials whose values become others."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.values: dict[str, list[dict[str, Any]]] = {}

    def begin(self, number: int, lr: float, points: int = 0, status: str = "running") -> RunFolder:
        trial = self.trial(number, points)
        trial.update(searched=SEARCHED, status=status)
        return self.has(trial, 0, lr)

    def has(self, trial: RunFolder, round: int, lr: float, copied: int | None = None, **more: Any) -> RunFolder:
        """Note the values of a trial from a round on, as its worker does, and as the sweep does with its recipe."""
        c = more.get("c", 0.1)
        config = {"optimizer.lr": lr, "modifiers[0].c": c, "train.deterministic": True}
        came = {} if copied is None else {"trial": copied}
        known = self.values.setdefault(trial.id, [])
        known.append({"round": round, "time": 1000.0 + len(known), "config": config, **came})
        trial.update(values=known)
        trial.recipe.write_text(RECIPE % (lr, lr, c))
        return trial


@pytest.fixture
def sweep(tmp_path: Path, database: str) -> Population:
    return Population(tmp_path / "runs" / "rings-1")


def searched(run: Any) -> dict[str, str]:
    return {name: value for name, value in run.data.params.items() if name in NAMES}


def last_recipe(database: str, run: Any, to: Path) -> str:
    to.mkdir(exist_ok=True)
    return Path(store.client(database).download_artifacts(run.info.run_id, "recipe.yaml", str(to))).read_text()


def test_values_over_rounds_are_metrics_and_the_last_ones_parameters(sweep: Population, database: str, tmp_path: Path) -> None:
    trial = sweep.begin(0, 0.125, points=10)
    with followed(sweep.folder):
        until(lambda: State.read(trial).steps.get("critic/loss") == 10)
        run = everyone(database)[trial.id]
        assert searched(run) == {}
        assert (run.data.params["train.seed"], run.data.params["loss.use"]) == ("3", "hinge")  # which stay as they are
        assert run.data.params["optimizer.generator.use"] == "adam"
        assert "ganflow.copies" not in run.data.tags
        rewind(trial.journal, 6)
        sweep.has(trial, 6, 0.25, copied=3, c=0.5)
        report(trial, 7, 12)
        until(lambda: State.read(trial).steps.get("config/optimizer.lr") == 6)
        sweep.has(trial, 12, 0.5, copied=1, c=0.5)
        report(trial, 13, 14)
        until(lambda: State.read(trial).steps.get("critic/loss") == 14)
        assert searched(everyone(database)[trial.id]) == {}
        trial.update(status="finished")
        sweep.folder.update(status="finished")
    run = everyone(database)[trial.id]
    assert searched(run) == {"optimizer.generator.lr": "0.5", "optimizer.critic.lr": "0.5", "modifiers.0.c": "0.5"}
    assert history(database, run.info.run_id, "config/optimizer.lr") == [(0, 0.125), (6, 0.25), (12, 0.5)]
    assert history(database, run.info.run_id, "config/modifiers.0.c") == [(0, 0.1), (6, 0.5), (12, 0.5)]
    assert "config/train.deterministic" not in run.data.metrics  # which is no number
    assert run.data.metrics["config/optimizer.lr"] == 0.5  # the last
    assert (run.data.tags["ganflow.copies"], run.data.tags["ganflow.copied"]) == ("2", "trial 1 at round 12, trial 3 at round 6")
    assert not [name for name in run.data.tags if name.startswith("ganflow.resumed_with")]
    assert last_recipe(database, run, tmp_path / "got") == RECIPE % (0.5, 0.5, 0.5)


def test_nothing_of_it_is_sent_twice(sweep: Population, database: str) -> None:
    trial = sweep.begin(0, 0.125, points=10, status="interrupted")
    sweep.has(trial, 6, 0.25, copied=3)
    left = unsent(trial)
    assert left is not None
    assert left.points == 10 + 4
    assert sync(sweep.folder) == SyncResult(points=14, uri=database)
    assert unsent(trial) is None
    trial.tracking.unlink()
    sweep.folder.tracking.unlink()
    assert sync(sweep.folder) == SyncResult(uri=database)
    sweep.has(trial, 8, 0.5, copied=3)
    trial.update(status="finished")
    for points in (2, 0):
        assert sync(sweep.folder) == SyncResult(points=points, uri=database)
    run = everyone(database)[trial.id]
    assert history(database, run.info.run_id, "config/optimizer.lr") == [(0, 0.125), (6, 0.25), (8, 0.5)]
    assert searched(run)["optimizer.generator.lr"] == "0.5"


@pytest.mark.parametrize("status", ["running", "interrupted", "killed", "failed"])
def test_what_may_be_gone_on_with_has_no_parameter_that_may_become_another(
    sweep: Population, database: str, status: str
) -> None:
    """A trial that failed is tried again where the machine was to blame, and may then become a copy."""
    trial = sweep.begin(0, 0.125, points=2, status="running" if status == "killed" else status)
    sender = Sender(trial, Connection(database))
    sender.attempt(status)
    assert searched(everyone(database)[trial.id]) == {}
    sweep.has(trial, 2, 0.25, copied=1)
    sender.attempt("running")
    assert searched(everyone(database)[trial.id]) == {}
    sender.attempt("finished")
    run = everyone(database)[trial.id]
    assert searched(run)["optimizer.generator.lr"] == searched(run)["optimizer.critic.lr"] == "0.25"


def test_a_sender_that_fails_at_the_end_sends_the_parameters_again(
    sweep: Population, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = sweep.begin(0, 0.125, points=2)
    sender = Sender(trial, Connection(database))
    sender.attempt("running")
    sweep.has(trial, 2, 0.25, copied=1)
    trial.update(status="finished")
    send = MlflowClient.log_batch

    def lost(client: MlflowClient, run_id: str, **batch: Any) -> None:
        if batch.get("params"):
            raise ConnectionError("Connection refused")
        send(client, run_id, **batch)

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "log_batch", lost)
        assert sender.attempt("finished")
    assert State.read(trial).status == ""
    assert not Sender(trial, Connection(database)).attempt("finished")  # another process
    assert searched(everyone(database)[trial.id])["optimizer.generator.lr"] == "0.25"


def test_the_last_values_are_the_last_point_also_of_a_copy_that_goes_back(sweep: Population, database: str) -> None:
    """Its source is behind: MLflow's last value of a metric is the one of the highest step."""
    trial = sweep.begin(0, 0.125, points=10, status="finished")
    for round, lr in ((6, 0.25), (6, 0.5), (4, 0.75), (20, 1.0), (8, 0.375)):
        sweep.has(trial, round, lr, copied=1)
    sync(sweep.folder)
    run = everyone(database)[trial.id]
    points = [(0, 0.125), (6, 0.25), (7, 0.5), (8, 0.75), (20, 1.0), (21, 0.375)]
    assert history(database, run.info.run_id, "config/optimizer.lr") == points
    assert run.data.metrics["config/optimizer.lr"] == 0.375
    assert run.data.tags["ganflow.copied"].startswith("trial 1 at round 8, trial 1 at round 20, ")


@pytest.mark.parametrize(
    ("key", "held"),
    [
        ("optimizer.lr", ["optimizer.generator.lr", "optimizer.critic.lr"]),
        ("optimizer.critic.lr", ["optimizer.critic.lr"]),
        ("optimizer.critic", ["optimizer.critic.use", "optimizer.critic.lr"]),
        ("loss", ["loss.use"]),
        ("modifiers[0].c", ["modifiers.0.c"]),
        ("modifiers[1].c", []),
        ("train.seed", ["train.seed"]),
    ],
)
def test_which_parameters_a_key_decides(sweep: Population, key: str, held: list[str]) -> None:
    trial = sweep.begin(0, 0.125)
    trial.update(searched=[key])
    every, settled = contents.parameters(trial), contents.parameters(trial, settled=False)
    tried = [name for name in every if name not in settled and not name.startswith("searched/")]
    assert tried == held


def test_a_trial_of_another_sweep_has_its_parameters_at_once(sweep: ByHand, database: str) -> None:
    trial = sweep.trial(0, points=1)
    trial.update(searched=["optimizer.lr"])
    assert [*outbox.configured(trial)] == []
    Sender(trial, Connection(database)).attempt("running")
    run = everyone(database)[trial.id]
    assert run.data.params["optimizer.lr"] == "0.1"
    assert not [name for name in run.data.metrics if name.startswith("config/")]
