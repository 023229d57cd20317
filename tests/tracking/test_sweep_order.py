"""Who comes first: one process sets a SQLite file up at a time, and a sweep's run ends after its trials' runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ganflow.errors import GanflowError
from ganflow.lock import locked
from ganflow.runs import folders
from ganflow.runs.folders import RunFolder
from ganflow.tracking import store
from ganflow.tracking.outbox import sqlite_file
from ganflow.tracking.store import Connection
from ganflow.tracking.sync import Sender, Sweep

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # sqlalchemy's, about MLflow
ID = "20260102-030405-0000"


def test_a_sqlite_file_is_set_up_by_one_process_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def client(uri: str) -> None:
        made.append(uri)
        sqlite_file(uri).touch()

    monkeypatch.setattr("mlflow.MlflowClient", client)
    uri = f"sqlite:///{tmp_path}/runs/mlflow.db"
    thread = threading.Thread(target=store.client, args=(uri,))
    (tmp_path / "runs").mkdir()
    with locked(tmp_path / "runs" / ".mlflow.db.lock", timeout=1):  # another process does
        thread.start()
        thread.join(0.4)
        assert made == []
    thread.join(10)
    assert made[-1] == f"{uri}?timeout=60"
    assert [sqlite_file(each).name for each in made] == ["mlflow.db"] * 2
    assert sqlite_file(made[0]) != sqlite_file(uri)  # made elsewhere first


def test_the_lock_is_held_until_the_file_is_set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[bool] = []

    def client(uri: str) -> None:
        try:
            with locked(tmp_path / ".mlflow.db.lock", timeout=0):
                held.append(False)
        except store.Held:
            held.append(True)
        if uri.startswith("sqlite"):
            sqlite_file(uri).touch()

    monkeypatch.setattr("mlflow.MlflowClient", client)
    store.client(f"sqlite:///{tmp_path}/mlflow.db")
    assert held == [True, True]
    store.client("http://127.0.0.1:9")  # a server sets itself up
    assert held == [True, True, False]


def test_one_that_is_stuck_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def never(path: Path, timeout: float) -> Iterator[None]:
        assert timeout == 120
        raise store.Held(str(path))
        yield

    monkeypatch.setattr(store, "locked", never)
    with pytest.raises(GanflowError, match=r"mlflow\.db is being set up by another process for two minutes already"):
        store.client(f"sqlite:///{tmp_path}/mlflow.db")


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """(who, status) of every attempt to send; nothing is sent."""
    attempts: list[tuple[str, str]] = []

    def attempt(self: Sender, status: str) -> bool:
        attempts.append((self.folder.path.name, status))
        return False

    monkeypatch.setattr(Sender, "attempt", attempt)
    return attempts


def sweep(root: Path, *statuses: str) -> RunFolder:
    folder = RunFolder(root / "runs" / "rings-1")
    folder.path.mkdir(parents=True)
    folder.update(kind="sweep", id=ID, status="running")
    for number, status in enumerate(statuses):
        folders.make(RunFolder(folder.path / f"{ID}-t{number:04d}")).update(status=status, sweep=ID)
    return folder


@pytest.mark.parametrize("end", ["finished", "interrupted", "failed", "killed"])
def test_a_sweeps_run_is_first_while_it_goes_on_and_last_when_it_ends(
    end: str, tmp_path: Path, asked: list[tuple[str, str]]
) -> None:
    sending = Sweep(sweep(tmp_path, "finished", "running", "stopped"), Connection("sqlite:///x"), ask=False)
    assert not sending.attempt("running")
    trials = [(f"{ID}-t0000", "finished"), (f"{ID}-t0001", "running"), (f"{ID}-t0002", "stopped")]
    assert asked == [("rings-1", "running"), *trials]
    asked.clear()
    assert not sending.attempt(end)
    assert asked == [(f"{ID}-t0000", "finished"), (f"{ID}-t0001", "killed"), (f"{ID}-t0002", "stopped"), ("rings-1", end)]


def test_a_trial_that_is_trained_is_not_killed(tmp_path: Path, asked: list[tuple[str, str]]) -> None:
    folder = sweep(tmp_path, "running")
    with folders.locked(RunFolder(folder.path / f"{ID}-t0000")):
        Sweep(folder, Connection("sqlite:///x"), ask=False).attempt("finished")
    assert asked[0] == (f"{ID}-t0000", "running")
