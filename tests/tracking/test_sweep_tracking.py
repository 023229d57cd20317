"""A sweep in MLflow: a parent run with its trials' runs as children, sent by one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tracking_helpers import draw, followed, history, report, until

from ganflow.runs import folders as folders_module
from ganflow.runs.folders import RunFolder
from ganflow.runs.journal import Journal, Reader, rewind
from ganflow.tracking import store
from ganflow.tracking.contents import Artifacts
from ganflow.tracking.follower import Follower, Server, unsent
from ganflow.tracking.outbox import State
from ganflow.tracking.store import Connection
from ganflow.tracking.sync import Sweep, SyncResult, sync

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # sqlalchemy's, about MLflow
ID = "20260102-030405-0000"
PATIENCE = 60


class ByHand:
    """A sweep's folder as the driver leaves it."""

    def __init__(self, path: Path, uri: str | None = None) -> None:
        self.folder, self.uri = RunFolder(path), uri
        self.folder.plots.mkdir(parents=True)
        self.folder.recipe.write_text("name: ring\ntune: {search: random, space: {optimizer.lr: {loguniform: [0.1, 1]}}}\n")
        self.folder.update(kind="sweep", id=ID, status="running", created="2026-01-02T03:04:05+00:00", tracking=self.tracking())

    def tracking(self, **others: Any) -> dict[str, Any]:
        own = {"mlflow": True, "uri": self.uri, "experiment": "rings", "images": True, "log_model": False}
        return {**own, "files": ["best.yaml", "trials.csv"], **others}

    def trial(self, number: int, points: int = 0, status: str = "running", lr: float = 0.1) -> RunFolder:
        folder = folders_module.make(RunFolder(self.folder.path / f"{ID}-t{number:04d}"))
        self.recipe(folder, lr)
        folder.update(id=folder.id, sweep=ID, status=status, round=points, tracking=self.tracking(parent=ID, files=[]))
        report(folder, 1, points)
        return folder

    def recipe(self, trial: RunFolder, lr: float) -> None:
        trial.recipe.write_text(f"name: ring\noptimizer: {{lr: {lr}}}\n")

    def best(self, trial: int, score: float, over: int) -> None:
        journal = Journal(self.folder.journal)
        journal.append(over, {"best": score})
        journal.close()
        self.folder.update(best={"trial": trial, "score": score, "config": {"optimizer.lr": 0.3}})


@pytest.fixture
def sweep(tmp_path: Path, database: str) -> ByHand:
    return ByHand(tmp_path / "runs" / "rings-1")


def sent(folder: RunFolder) -> int:
    return State.read(folder).steps.get("critic/loss", 0)


def everyone(uri: str) -> dict[str, Any]:
    """Every MLflow run, by ours; none there twice."""
    client = store.client(uri)
    found = list(client.search_runs([e.experiment_id for e in client.search_experiments()], max_results=1000))
    by_id = {run.data.tags["ganflow.run_id"]: run for run in found}
    assert len(by_id) == len(found)
    return by_id


def steps(uri: str, run: Any, metric: str = "critic/loss") -> list[int]:
    return [step for step, _ in history(uri, run.info.run_id, metric)]


def test_a_parent_and_its_children(sweep: ByHand, database: str) -> None:
    ends = {0: "finished", 1: "stopped", 2: "failed", 3: "running"}
    trials = {number: sweep.trial(number, points=3, status=status) for number, status in ends.items()}
    draw(trials[1], 2)
    sweep.best(1, 0.5, 1)
    sweep.best(0, 0.25, 4)
    (sweep.folder.path / "best.yaml").write_text("name: best\n")
    Image.new("RGB", (8, 8)).save(sweep.folder.plots / "history.png")
    sweep.folder.update(status="finished")
    assert sync(sweep.folder) == SyncResult(points=14, images=1, uri=database)

    found, client = everyone(database), store.client(database)
    parent = found.pop(ID)
    assert client.get_experiment(parent.info.experiment_id).name == "rings"
    assert (parent.info.run_name, parent.info.status) == ("rings-1", "FINISHED")
    assert not [name for name in parent.data.params if name.startswith(("tune", "track"))]
    assert history(database, parent.info.run_id, "best") == [(1, 0.5), (4, 0.25)]
    tags = parent.data.tags
    assert (tags["ganflow.best.trial"], tags["ganflow.best.score"]) == ("0", "0.25")
    assert json.loads(tags["ganflow.best.config"]) == {"optimizer.lr": 0.3}
    assert {a.path for a in client.list_artifacts(parent.info.run_id)} == {"best.yaml", "plots", "recipe.yaml"}
    assert [a.path for a in client.list_artifacts(parent.info.run_id, "plots")] == ["plots/history.png"]

    assert {run.data.tags["mlflow.parentRunId"] for run in found.values()} == {parent.info.run_id}
    by_number = {int(run.data.tags["ganflow.trial"]): run for run in found.values()}
    theirs = {n: (run.info.status, run.data.tags["ganflow.status"]) for n, run in by_number.items()}
    assert theirs == {
        0: ("FINISHED", "finished"), 1: ("FINISHED", "stopped"), 2: ("FAILED", "failed"), 3: ("KILLED", "killed"),
    }  # fmt: skip
    for number, run in by_number.items():
        assert run.info.run_name == f"rings-1 trial {number}"
        assert run.data.tags["ganflow.sweep"] == "rings-1"
        assert run.data.params["optimizer.lr"] == "0.1"
        assert steps(database, run) == [1, 2, 3]
    assert unsent(sweep.folder) is None


def test_nothing_is_sent_twice_and_what_was_deleted_is_sent_again(sweep: ByHand, database: str) -> None:
    trials = [sweep.trial(number, points=2, status="finished") for number in range(3)]
    sweep.folder.update(status="finished")
    sync(sweep.folder)
    assert sync(sweep.folder) == SyncResult(uri=database)
    trials[0].tracking.unlink()
    sweep.folder.tracking.unlink()
    assert unsent(sweep.folder) is not None
    assert sync(sweep.folder) == SyncResult(uri=database)
    store.client(database).delete_run(State.read(trials[1]).run_id)
    assert sync(sweep.folder) == SyncResult(points=2, uri=database)
    assert [steps(database, run) for key, run in everyone(database).items() if key != ID] == [[1, 2]] * 3


def test_the_runs_of_a_new_sweeps_trials_are_not_looked_for(
    sweep: ByHand, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    find = Connection._find

    def noted(self: Connection, folder: RunFolder, tag: str, value: str) -> Any:
        looked.append(value)
        return find(self, folder, tag, value)

    monkeypatch.setattr(Connection, "_find", noted)
    trials = [sweep.trial(number, points=2, status="finished") for number in range(3)]
    sync(sweep.folder)
    assert trials[0].id not in looked
    first = {id: run.info.run_id for id, run in everyone(database).items()}
    assert first.keys() == {ID, *(trial.id for trial in trials)}
    for trial in trials:  # what was noted is lost: the store has some, and is asked for each
        trial.tracking.unlink()
    new = sweep.trial(3, points=2, status="finished")
    looked.clear()
    sync(sweep.folder)
    assert {trial.id for trial in trials} <= {*looked}
    second = {id: run.info.run_id for id, run in everyone(database).items()}
    assert second == {**first, new.id: second[new.id]}


@pytest.mark.slow
def test_a_sweep_is_followed(sweep: ByHand, database: str) -> None:
    """By the process that the driver starts. Trials begin, end, are paused and go on."""
    first = sweep.trial(0, points=2)
    follower = Follower(sweep.folder)
    with folders_module.locked(sweep.folder):
        follower.start()
        until(lambda: sent(first) == 2)
        second = sweep.trial(1, points=3, status="stopped")
        until(lambda: State.read(second).status == "stopped")
        second.update(status="running")  # on another machine maybe: nobody here holds its lock
        report(second, 4, 5)
        until(lambda: sent(second) == 5)
        assert everyone(database)[second.id].info.status == "RUNNING"
        sweep.best(1, 0.5, 1)
        until(lambda: everyone(database)[ID].data.tags.get("ganflow.best.trial") == "1")
        assert State.read(sweep.folder).steps == {"best": 1}
        first.update(status="diverged")
        second.update(status="finished")
        sweep.folder.update(status="finished")
        (sweep.folder.path / "trials.csv").write_text("trial,score\n")
        assert follower.finish(PATIENCE) is None
    found = everyone(database)
    assert {key: run.info.status for key, run in found.items()} == {
        ID: "FINISHED", first.id: "FAILED", second.id: "FINISHED",
    }  # fmt: skip
    assert steps(database, found[second.id]) == [1, 2, 3, 4, 5]
    assert "trials.csv" in [a.path for a in store.client(database).list_artifacts(found[ID].info.run_id)]
    assert "rings-1: 8 points sent to sqlite:" in (sweep.folder.path / "tracking.log").read_text()


def test_a_trial_that_becomes_anothers_copy(sweep: ByHand, database: str) -> None:
    """Its journal is rewound, and its learning rate is another one. MLflow keeps what was reported first."""
    trial = sweep.trial(0, points=10)
    with followed(sweep.folder):
        until(lambda: sent(trial) == 10)
        sweep.recipe(trial, 0.2)
        rewind(trial.journal, 6)
        journal = Journal(trial.journal)
        for round in range(8, 13):
            journal.append(round, {"critic/loss": -float(round)})
        journal.close()
        until(lambda: sent(trial) == 12)
        until(lambda: "ganflow.resumed_with.optimizer.lr" in everyone(database)[trial.id].data.tags)
        sweep.recipe(trial, 0.1)
        until(lambda: everyone(database)[trial.id].data.tags["ganflow.resumed_with.optimizer.lr"] == "0.1")
        trial.update(status="finished")
        sweep.folder.update(status="finished")
    run = everyone(database)[trial.id]
    assert history(database, run.info.run_id) == [*((n, float(n)) for n in range(1, 11)), (11, -11.0), (12, -12.0)]
    assert run.data.params["optimizer.lr"] == "0.1"
    assert run.info.status == "FINISHED"


def test_a_journal_that_is_rewound_to_the_same_length(tmp_path: Path) -> None:
    """Neither its size nor, where the file system gives it out again, its inode tells."""
    path = tmp_path / "metrics.jsonl"
    line = '{{"round": {}, "time": {}, "values": {{"a": 1}}}}\n'
    path.write_text(line.format(1, 100) + line.format(2, 100))
    reader = Reader(path)
    assert [e.round for e in reader.new()] == [1, 2]
    assert reader.new() == []
    with path.open("r+") as file:
        file.write(line.format(1, 100) + line.format(2, 200) + line.format(3, 300)[:9])
    assert [(e.round, e.time) for e in reader.new()] == [(1, 100), (2, 200)]
    path.unlink()
    assert reader.new() == []


def test_single_trials_belong_to_the_same_parent(sweep: ByHand, database: str) -> None:
    trials = [sweep.trial(number, points=1, status="finished") for number in range(2)]
    assert sync(trials[0]).points == sync(trials[1]).points == 1
    sweep.folder.update(status="finished")
    assert sync(sweep.folder).error == ""
    found = everyone(database)
    assert {found[t.id].data.tags["mlflow.parentRunId"] for t in trials} == {found[ID].info.run_id}
    with followed(sweep.folder):
        until(lambda: sync(trials[0]).error == "another process is sending this run")


def test_what_does_not_change_is_passed_over(sweep: ByHand, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    asked: list[str] = []
    for name in ("search_runs", "log_batch", "log_artifact", "get_run", "set_tag", "set_terminated"):
        real = getattr(MlflowClient, name)
        monkeypatch.setattr(MlflowClient, name, lambda *a, _n=name, _r=real, **k: (asked.append(_n), _r(*a, **k))[1])
    trials = [sweep.trial(number, points=2, status="finished") for number in range(3)] + [sweep.trial(3, points=2)]
    once = Sweep(sweep.folder, Connection(database), ask=False)
    once.attempt("running")
    assert once.result == SyncResult(points=8, uri=database)
    asked.clear()
    once.attempt("running")
    assert asked == []
    report(trials[3], 3, 4)
    once.attempt("running")
    assert asked == ["log_batch"]
    asked.clear()
    again = Sweep(sweep.folder, Connection(database), ask=False)  # another follower, of the resumed sweep
    again.attempt("running")
    assert asked.count("search_runs") == 2  # the parent and the trial that goes on


def test_one_damaged_trial_does_not_keep_the_others(sweep: ByHand, database: str) -> None:
    bad, torn, good = (sweep.trial(number, points=2, status="finished") for number in range(3))
    bad.journal.write_text("nonsense\n")
    (torn.path / "run.json").write_text("{")
    sweep.folder.update(status="finished")
    result = sync(sweep.folder)
    assert result.points == 2
    assert f"rings-1/{bad.id}: {bad.journal}:1 is damaged" in result.error
    assert "(and 1 more)" in result.error
    assert everyone(database)[good.id].info.status == everyone(database)[ID].info.status == "FINISHED"


def test_a_trial_that_is_deleted_while_the_sweep_is_followed(sweep: ByHand, database: str) -> None:
    trials = [sweep.trial(number, points=2) for number in range(2)]
    with followed(sweep.folder) as results:
        until(lambda: sent(trials[1]) == 2)
        trials[0].path.rename(sweep.folder.path.parent.parent / "gone")  # at once: a sender may be writing into it
        report(trials[1], 3, 4)
        until(lambda: sent(trials[1]) == 4)
        trials[1].update(status="finished")
        sweep.folder.update(status="finished")
    assert [r.error for r in results] == [""]


@pytest.mark.parametrize("lost", [".png", ".webp"])
def test_a_picture_that_was_cut_off_takes_its_own_place(
    sweep: ByHand, database: str, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    send = Artifacts.put

    def cut_off(self: Artifacts, path: Path, folder: str | None = None) -> None:
        if path.suffix == lost and "+step+5+" in path.name:
            raise ConnectionError("Remote end closed connection")
        send(self, path, folder)

    trial = sweep.trial(0, status="finished")
    for round in (4, 5):
        draw(trial, round)
    sweep.folder.update(status="finished")
    with monkeypatch.context() as patched:
        patched.setattr(Artifacts, "put", cut_off)
        assert sync(sweep.folder).error.endswith("connection lost")
    assert sync(sweep.folder) == SyncResult(images=1, uri=database)
    artifacts = Path(everyone(database)[trial.id].info.artifact_uri.removeprefix("file://"))
    assert sorted(path.suffix for path in (artifacts / "images").iterdir()) == [".png", ".png", ".webp", ".webp"]


def test_the_command(sweep: ByHand, database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from ganflow.cli import main

    sweep.trial(0, points=2, status="finished")
    sweep.folder.update(status="finished")
    where = ["--runs", str(tmp_path / "runs")]
    assert main(["sync", "rings-1", *where]) == 0
    assert capsys.readouterr().out == f"rings-1: 2 points sent to {database}\n"
    for meant in ("--all", str(sweep.folder.path)):
        assert main(["sync", meant, *where]) == 0
        assert capsys.readouterr().out == f"rings-1: nothing to send; everything is in {database}\n"


def test_what_is_left_of_a_sweep_is_said(tmp_path: Path, port: int) -> None:
    by_hand = ByHand(tmp_path / "runs" / "rings-1", uri=f"http://127.0.0.1:{port}")
    for number in range(2):
        by_hand.trial(number, points=5, status="finished")
    follower = Follower(by_hand.folder)
    with folders_module.locked(by_hand.folder):
        follower.start()
        by_hand.folder.update(status="finished")
        left = follower.finish(PATIENCE)
    assert str(left).startswith(
        f"10 points not sent to http://127.0.0.1:{port}: connection refused; "
        f"send later with: ganflow sync {by_hand.folder.path}; elsewhere, "
    )


@pytest.mark.rare
@pytest.mark.parametrize("apart", [False, True])
def test_four_trials_at_once_on_a_fresh_store(tmp_path: Path, apart: bool) -> None:
    """Four processes, each for a trial of one sweep, or each for a whole sweep."""
    sweeps = [ByHand(tmp_path / "runs" / f"rings-{n}") for n in range(4 if apart else 1)]
    for n, by_hand in enumerate(sweeps):
        by_hand.folder.update(id=f"{ID}{n}")
    folders = [s.folder for s in sweeps] if apart else [sweeps[0].trial(n, points=20, status="finished") for n in range(4)]
    if apart:
        for by_hand in sweeps:
            trial = by_hand.trial(0, points=20, status="finished")
            trial.path.rename(trial.path.with_name(f"{by_hand.folder.path.name}-t0000"))
    command = [sys.executable, "-m", "ganflow", "sync"]
    senders = [subprocess.Popen([*command, str(f.path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for f in folders]
    outputs = [sender.communicate(timeout=400)[0].decode() for sender in senders]
    assert [sender.returncode for sender in senders] == [0, 0, 0, 0], outputs
    uri = f"sqlite:///{tmp_path}/runs/mlflow.db"
    found = everyone(uri)
    children = [run for run in found.values() if "ganflow.trial" in run.data.tags]
    assert (len(found), len(children)) == (8, 4) if apart else (5, 4)
    assert [steps(uri, run) for run in children] == [list(range(1, 21))] * 4


@pytest.mark.rare
def test_a_server_that_stops_in_the_middle_of_a_sweep(database: str, port: int, tmp_path: Path) -> None:
    by_hand = ByHand(tmp_path / "runs" / "rings-1", uri=f"http://127.0.0.1:{port}")
    trials = [by_hand.trial(number, points=50) for number in range(4)]
    follower, server = Follower(by_hand.folder), Server(database, tmp_path / "runs", port=port)
    with folders_module.locked(by_hand.folder):
        with server:
            server.wait_until_ready()
            follower.start()
            until(lambda: sent(trials[0]) == 50)  # maybe in the middle of the others
            server.kill()
        trials.append(by_hand.trial(4, points=10, status="failed"))
        for trial in trials[:4]:
            report(trial, 51, 300)
            draw(trial, 300)
            trial.update(status="finished")
        by_hand.best(2, 0.1, 5)
        until(lambda: "connection refused" in (by_hand.folder.path / "tracking.log").read_text())
        with Server(database, tmp_path / "runs", port=port) as again:
            again.wait_until_ready()
            until(lambda: sent(trials[4]) == 10)
            by_hand.folder.update(status="finished")
            assert follower.finish(PATIENCE) is None
    found = everyone(database)
    assert len(found) == 6
    assert [steps(database, found[t.id]) for t in trials] == [list(range(1, 301))] * 4 + [list(range(1, 11))]
    assert [found[t.id].info.status for t in trials] == ["FINISHED"] * 4 + ["FAILED"]
    assert found[ID].data.tags["ganflow.best.trial"] == "2"
    pictures = list((tmp_path / "runs" / "mlartifacts").rglob("samples+step+*.png"))
    assert len(pictures) == 4


@pytest.mark.slow
def test_a_follower_that_is_killed_again_and_again(sweep: ByHand, database: str) -> None:
    trials = [sweep.trial(number) for number in range(4)]
    for attempt in range(4):
        follower = Follower(sweep.folder)
        with folders_module.locked(sweep.folder):
            follower.start()
            assert follower._process is not None
            for part in range(20):
                for trial in trials:
                    first = attempt * 100 + part * 5 + 1
                    report(trial, first, first + 4)
                time.sleep(0.1 + 0.05 * attempt)
            if attempt < 3:
                follower._process.kill()
                follower.finish(PATIENCE)
                continue
            for trial in trials:
                trial.update(status="finished")
            sweep.folder.update(status="finished")
            assert follower.finish(PATIENCE) is None
    found = everyone(database)
    assert len(found) == 5
    assert [steps(database, found[t.id]) for t in trials] == [list(range(1, 401))] * 4


@pytest.mark.rare
@pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc")
def test_a_hundred_trials_cost_next_to_nothing(sweep: ByHand, database: str) -> None:
    """What is over costs a look at some files' times: no requests, no open files."""
    for number in range(100):
        sweep.trial(number, points=20, status="finished")
    running = [sweep.trial(number, points=20) for number in (100, 101)]
    look = Sweep(sweep.folder, Connection(database), ask=False)
    look.attempt("running")
    assert look.result == SyncResult(points=102 * 20, uri=database)
    before, open_files = time.process_time(), len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        look.attempt("running")
    print(f"idle look: {(time.process_time() - before) / 20 * 1000:.2f} ms")
    before = time.process_time()
    for n in range(20):
        for trial in running:
            report(trial, 21 + n, 21 + n)
        look.attempt("running")
    print(f"look with 2 points: {(time.process_time() - before) / 20 * 1000:.2f} ms; {open_files} files open")
    assert len(os.listdir("/proc/self/fd")) <= open_files + 5


def test_the_runners_own_trials(tmp_path: Path, database: str) -> None:
    """Begun, stopped and gone on with; what the sweep wants of their tracking stays."""
    from ganflow.recipe import read_recipe
    from ganflow.runs.start import open_trial

    by_hand = ByHand(tmp_path / "runs" / "rings-1")
    source = tmp_path / "tiny.yaml"
    source.write_text(
        "name: tiny\ndata: {use: gaussians}\nprior: {use: normal, dim: 2}\ngenerator: {use: mlp}\n"
        "critic: {use: mlp}\nloss: {use: wasserstein}\noptimizer: {use: rmsprop}\n"
        "train: {rounds: 4, batch_size: 8, report_every: 1, compile: never}\n"
    )
    folder = RunFolder(by_hand.folder.path / f"{ID}-t0000")
    about = {"sweep": ID, "tracking": {"parent": ID, "experiment": "rings", "log_model": False}}
    session = open_trial(read_recipe(source, ["optimizer.lr=0.01"]), folder, about)
    for step in session:
        if step.round == 2:
            session.stop()
    assert sync(by_hand.folder).error == ""
    first = everyone(database)[folder.id]
    assert (first.info.status, first.data.tags["ganflow.status"]) == ("FINISHED", "stopped")
    open_trial(read_recipe(source, ["optimizer.lr=0.01"]), folder, about).finish()
    assert folder.read().tracking["log_model"] is False
    assert folder.read().tracking["parent"] == ID
    by_hand.folder.update(status="finished")
    assert sync(by_hand.folder).error == ""
    found = everyone(database)
    run = found[folder.id]
    assert run.info.run_id == first.info.run_id
    assert run.data.tags["ganflow.status"] == "finished"
    assert run.data.tags["mlflow.parentRunId"] == found[ID].info.run_id
    assert run.data.params["optimizer.generator.lr"] == "0.01"
    rounds = {step for name in run.data.metrics for step in steps(database, run, name)}
    assert rounds == {1, 2, 3, 4}
    assert all(len(set(s)) == len(s) for s in (steps(database, run, name) for name in run.data.metrics))
