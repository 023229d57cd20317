"""Sending a run to MLflow: everything, once, into one MLflow run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tracking_helpers import draw, followed, history, report, until

from ganflow.errors import GanflowError
from ganflow.lock import locked
from ganflow.runs import record
from ganflow.runs.folders import RunFolder
from ganflow.runs.journal import rewind
from ganflow.tracking import store
from ganflow.tracking.follower import unsent
from ganflow.tracking.outbox import State
from ganflow.tracking.sync import SyncResult, sync

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # sqlalchemy's, about MLflow
Make = Callable[..., RunFolder]


def all_runs(uri: str) -> list[Any]:
    return list(store.client(uri).search_runs(["1"]))


def the_run(uri: str) -> Any:
    (run,) = all_runs(uri)
    return run


def test_a_record_is_read_once_for_all_that_is_sent_of_it(make_run: Make, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading and checking it forty times was a third of the time that a trial's sending took."""
    folder = make_run(points=3, pictures=(0, 2), status="finished")
    reads: list[Path] = []
    read = record._load
    monkeypatch.setattr(record, "_load", lambda path: reads.append(path) or read(path))
    assert sync(folder).error == ""
    assert 1 <= reads.count(folder.path) <= 20
    folder.update(status="running")  # what changes is read again
    reads.clear()
    folder.update(status="stopped")
    assert sync(folder).error == ""
    assert the_run(database).data.tags["ganflow.status"] == "stopped"


def test_everything_is_there(make_run: Make, database: str) -> None:
    folder = make_run(points=3, pictures=(0, 2), status="finished")
    Image.new("RGB", (8, 8)).save(folder.plots / "losses.png")
    result = sync(folder)
    assert result == SyncResult(points=3, images=2, uri=database)

    run, client = the_run(database), store.client(database)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == f"ring {folder.id}"
    assert run.info.start_time == 1767323045000  # 2026-01-02T03:04:05 UTC
    assert run.info.end_time == int(json.loads(folder.journal.read_text().splitlines()[-1])["time"] * 1000)
    assert client.get_experiment(run.info.experiment_id).name == "ganflow"
    assert history(database, run.info.run_id) == [(1, 1.0), (2, 2.0), (3, 3.0)]
    assert run.data.params == {
        "name": "ring",
        "data.use": "digits",
        "data.size": "16",
        "modifiers.0.use": "weight_clip",
        "modifiers.0.c": "0.01",
        "train.rounds": "100",
        "train.betas": "[0.5, 0.9]",
    }
    tags = run.data.tags
    assert tags["mlflow.source.git.commit"] == "c0ffee" * 6
    assert tags["ganflow.run_id"] == folder.id
    assert tags["ganflow.seed"] == "7"
    assert tags["ganflow.versions.torch"] == "2.13.0"
    assert tags["ganflow.plugins.wgan"] == "ganflow 0.1.0"

    (given,) = run.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("digits", "0123456789abcdef")
    assert json.loads(given.dataset.source) == {"uri": "scikit-learn"}
    assert json.loads(given.dataset.profile) == {"examples": 1500}
    features = json.loads(json.loads(given.dataset.schema)["mlflow_tensorspec"]["features"])
    assert features[0]["name"] == "real"
    assert features[0]["tensor-spec"]["shape"] == [-1, 1, 16, 16]

    assert [a.path for a in client.list_artifacts(run.info.run_id, "plots")] == ["plots/losses.png"]
    assert "recipe.yaml" in [a.path for a in client.list_artifacts(run.info.run_id)]
    artifacts = Path(run.info.artifact_uri.removeprefix("file://"))
    assert artifacts.is_relative_to(folder.path.parent.parent / "mlartifacts")
    pictures = sorted((artifacts / "images").glob("samples+step+*.png"))
    assert [p.name.split("+")[2] for p in pictures] == ["0", "2"]
    assert [Image.open(p).getpixel((0, 0)) for p in pictures] == [(0, 0, 0), (2, 0, 0)]


def test_alarms_are_tags_that_grow_while_the_run_lasts(make_run: Make, database: str) -> None:
    folder = make_run(points=1, status="running")
    sync(folder)
    assert not any("alarm" in name for name in the_run(database).data.tags)
    text = "collapse: generated examples differ by 0.002 of what real ones do; what helps: …"
    folder.update(alarms=[{"sign": "collapse", "round": 40, "value": 0.002, "text": text}])
    report(folder, 2, 1)
    sync(folder)
    tags = the_run(database).data.tags
    assert (tags["ganflow.alarms"], tags["ganflow.alarm.collapse"]) == ("collapse", f"round 40: {text}")
    vanished = {"sign": "gradient vanished (critic)", "round": 60, "value": 1e-12, "text": "gradient vanished (critic): …"}
    folder.update(alarms=[*folder.read().alarms, vanished], status="finished")
    sync(folder)
    assert the_run(database).data.tags["ganflow.alarms"] == "collapse, gradient vanished (critic)"


def test_nothing_is_sent_twice(make_run: Make, database: str) -> None:
    folder = make_run(points=3, pictures=(0,), status="finished")
    before = folder.tracking
    sync(folder)
    assert sync(folder) == SyncResult(uri=database)
    before.unlink()
    assert sync(folder) == SyncResult(uri=database)
    # killed after the server had the points, before tracking.json said so
    state = State.read(folder)
    State(uri=state.uri, run_id=state.run_id, steps={"critic/loss": 1}).write(folder)
    report(folder, 4, 5)
    draw(folder, 5)
    assert sync(folder) == SyncResult(points=2, images=1, uri=database)
    assert [round for round, _ in history(database, the_run(database).info.run_id)] == [1, 2, 3, 4, 5]


def test_many_points_go_in_batches_and_a_half_sent_one_is_completed(
    make_run: Make, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    sizes: list[int] = []
    send = MlflowClient.log_batch

    def log_batch(self: Any, run_id: str, metrics: Any = (), **others: Any) -> Any:
        if metrics:
            sizes.append(len(metrics))
            if len(sizes) == 2:
                raise ConnectionError("Connection refused")
        return send(self, run_id, metrics=metrics, **others)

    monkeypatch.setattr(MlflowClient, "log_batch", log_batch)
    folder = make_run(points=2500)
    first = sync(folder)
    assert (first.points, first.error) == (1000, "connection refused")
    assert State.read(folder).error == "connection refused"
    assert str(unsent(folder)).startswith("1500 points not sent")
    assert sync(folder) == SyncResult(points=1500, uri=database)
    assert sizes == [1000, 1000, 1000, 500]
    assert [round for round, _ in history(database, the_run(database).info.run_id)] == list(range(1, 2501))


def test_a_resumed_run_is_the_same_mlflow_run(make_run: Make, database: str) -> None:
    folder = make_run(points=5, status="interrupted")
    sync(folder)
    assert the_run(database).info.status == "KILLED"

    rewind(folder.journal, 3)  # the last checkpoint was of round 3
    folder.update(status="running")
    folder.recipe.write_text(folder.recipe.read_text().replace("rounds: 100", "rounds: 200"))
    with followed(folder) as results:
        until(lambda: the_run(database).info.status == "RUNNING")
        report(folder, 4, 8)
        until(lambda: State.read(folder).steps.get("critic/loss") == 8)
        folder.update(status="finished")
    assert results == [SyncResult(points=3, uri=database)]
    run = the_run(database)
    assert run.info.status == "FINISHED"
    assert [round for round, _ in history(database, run.info.run_id)] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert run.data.params["train.rounds"] == "100"  # MLflow does not let a parameter change
    assert run.data.tags["ganflow.resumed_with.train.rounds"] == "200"


@pytest.mark.parametrize(("status", "theirs"), [("failed", "FAILED"), ("finished", "FINISHED"), ("running", "KILLED")])
def test_how_it_ended(make_run: Make, database: str, status: str, theirs: str) -> None:
    """A run that says it is running, and that nobody trains, was killed."""
    sync(make_run(points=1, status=status))
    assert the_run(database).info.status == theirs


def test_a_journal_that_is_rewound_while_it_is_followed(make_run: Make, database: str) -> None:
    folder = make_run(points=5)
    with followed(folder):
        until(lambda: State.read(folder).steps.get("critic/loss") == 5)
        rewind(folder.journal, 2)
        report(folder, 3, 7)
        until(lambda: State.read(folder).steps.get("critic/loss") == 7)
        folder.update(status="finished")
    assert [round for round, _ in history(database, the_run(database).info.run_id)] == [1, 2, 3, 4, 5, 6, 7]


def test_a_torn_line_and_a_torn_picture_wait(make_run: Make, database: str) -> None:
    folder = make_run(points=2, pictures=(0, 1))
    with folder.journal.open("a") as file:
        file.write('{"round": 3, "time": 17')
    whole = (folder.samples / "round-00000001.png").read_bytes()
    (folder.samples / "round-00000001.png").write_bytes(whole[:40])
    assert sync(folder) == SyncResult(points=2, images=1, uri=database)
    (folder.samples / "round-00000001.png").write_bytes(whole)
    assert sync(folder) == SyncResult(images=1, uri=database)


def test_another_sender_is_waited_for_and_said(make_run: Make, database: str) -> None:
    folder = make_run(points=1)
    with locked(folder.path / ".tracking.lock", timeout=0):
        assert sync(folder).error == "another process is sending this run"


def test_a_deleted_experiment_is_said(make_run: Make, database: str) -> None:
    folder = make_run(points=1)
    client = store.client(database)
    client.delete_experiment(client.create_experiment("ganflow"))
    command = f"MLFLOW_TRACKING_URI={database} mlflow experiments restore --experiment-id 1"
    assert sync(folder).error == f"MLflow's experiment 'ganflow' was deleted; bring it back with: {command}"


def test_a_deleted_run_is_made_again(make_run: Make, database: str) -> None:
    folder = make_run(points=2)
    sync(folder)
    store.client(database).delete_run(the_run(database).info.run_id)
    assert sync(folder) == SyncResult(points=2, uri=database)


def test_to_another_store(make_run: Make, database: str, template: Path, tmp_path: Path) -> None:
    import shutil

    folder = make_run(points=2, status="finished")
    Image.new("RGB", (8, 8)).save(folder.plots / "losses.png")
    sync(folder)
    shutil.copyfile(template, tmp_path / "other.db")
    other = f"sqlite:///{tmp_path}/other.db"
    assert sync(folder, uri=other) == SyncResult(points=2, uri=other)
    assert store.client(other).list_artifacts(the_run(other).info.run_id, "plots")
    assert sync(folder, uri=database) == SyncResult(uri=database)  # asked, not remembered


def test_a_store_that_cannot_be_made(make_run: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    where = f"sqlite:///{tmp_path}/file/mlflow.db"
    with pytest.raises(GanflowError, match=f"cannot make MLflow's store {tmp_path}/file/mlflow.db: .*/file is no folder"):
        sync(make_run(points=1), uri=where)


def test_without_mlflow(make_run: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    assert "MLflow is not installed: pip install mlflow" in sync(make_run(points=1)).error


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("HTTPConnectionPool(…): (Caused by NewConnectionError('[Errno 111] Connection refused'))", "connection refused"),
        ("Failed to resolve 'nowhere' ([Errno -2] Name or service not known)", "no machine of that name"),
        ("Read timed out. (read timeout=10)", "no answer in time"),
        ("(sqlite3.OperationalError) database is locked", "the database is busy"),
        ("INVALID_PARAMETER_VALUE: what it is\nand more", "INVALID_PARAMETER_VALUE: what it is"),
        ("", "RuntimeError"),
    ],
)
def test_reasons_are_short(text: str, words: str) -> None:
    assert store.reason(RuntimeError(text)) == words


def test_the_command(make_run: Make, database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from ganflow.cli import main

    folder = make_run(points=1, pictures=(0,), status="finished")
    where = ["--runs", str(tmp_path / "runs")]
    assert main(["sync", "latest", *where]) == 0
    assert capsys.readouterr().out == f"ring/{folder.id}: 1 point, 1 picture sent to {database}\n"
    assert main(["sync", "--all", *where]) == 0
    assert capsys.readouterr().out == f"ring/{folder.id}: nothing to send; everything is in {database}\n"
    assert main(["sync", *where]) == 2
    assert "which run?" in capsys.readouterr().err
    assert main(["sync", folder.id, "--uri", "http://127.0.0.1:9", *where]) == 1
    assert "connection refused" in capsys.readouterr().out


@pytest.mark.slow
def test_four_processes_at_once_on_a_fresh_store(make_run: Make, tmp_path: Path) -> None:
    folders = [make_run(points=20) for _ in range(4)]
    command = [sys.executable, "-m", "ganflow", "sync"]
    senders = [subprocess.Popen([*command, str(f.path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for f in folders]
    outputs = [sender.communicate(timeout=400)[0].decode() for sender in senders]
    assert [sender.returncode for sender in senders] == [0, 0, 0, 0], outputs
    uri = f"sqlite:///{tmp_path}/runs/mlflow.db"
    assert {run.data.tags["ganflow.run_id"] for run in all_runs(uri)} == {folder.id for folder in folders}
    for run in all_runs(uri):
        assert [round for round, _ in history(uri, run.info.run_id)] == list(range(1, 21))


def test_damaged_journals_are_named(make_run: Make, database: str) -> None:
    folder = make_run(points=1)
    folder.journal.write_text("nonsense\n" + folder.journal.read_text())
    assert "metrics.jsonl:1 is damaged: no report, from column 1 on ('nonsense')" in sync(folder).error
    with pytest.raises(GanflowError):
        rewind(folder.journal, 1)
