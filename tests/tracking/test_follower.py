"""The process beside the training: whatever happens to either, or to the server."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tracking_helpers import draw, history, report, until

from ganflow import child
from ganflow.errors import GanflowError
from ganflow.runs import folders
from ganflow.runs.folders import RunFolder
from ganflow.tracking import store
from ganflow.tracking.follower import Follower, Server
from ganflow.tracking.outbox import State

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # sqlalchemy's, about MLflow
Make = Callable[..., RunFolder]
PATIENCE = 60


def sent(folder: RunFolder) -> int:
    return State.read(folder).steps.get("critic/loss", 0)


class Started:
    """A process that was only asked for."""

    def __init__(self, arguments: list[str], env: dict[str, str], **options: Any) -> None:
        self.arguments, self.env, self.options = arguments, env, options
        self.stdin, self.returncode = io.BytesIO(), None

    def wait(self, timeout: float) -> int:
        raise subprocess.TimeoutExpired("ganflow", timeout)


def test_how_the_process_is_started_and_told_of_the_end(make_run: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "start", Started)
    monkeypatch.chdir(tmp_path)
    folder = make_run(points=2)
    for address, typed in ((None, []), ("sqlite:///my.db", ["--uri", f"sqlite:///{tmp_path}/my.db"])):
        for end in (Follower.stop, lambda follower: follower.finish(0.5)):
            follower = Follower(folder, address)
            follower.start()
            process: Any = follower._process
            assert process.arguments == ["-m", "ganflow", "sync", "--follow", "--attached", str(folder.path), *typed]
            assert process.env["CUDA_VISIBLE_DEVICES"] == ""
            assert process.options["start_new_session"]
            assert not process.stdin.closed
            left = end(follower)
            assert process.stdin.closed  # by that it knows
            assert process.returncode == 0  # nobody waits for it any more, and Python does not warn of it
    assert str(left).startswith(f"2 points not sent to sqlite:///{tmp_path}/runs/mlflow.db: still being sent after 0.5 s; ")


def test_a_run_is_followed_to_its_end(make_run: Make, database: str) -> None:
    folder = make_run(points=3)
    follower = Follower(folder)
    with folders.locked(folder):
        start = time.process_time()
        follower.start()
        assert sent(folder) == 0  # the training does not wait for it
        assert time.process_time() - start < 0.5
        assert follower._process is not None
        pid = follower._process.pid
        until(lambda: sent(folder) == 3)
        assert os.getsid(pid) == pid  # Ctrl-C in the terminal does not reach it
        assert os.getpriority(os.PRIO_PROCESS, pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)
        report(folder, 4, 6)
        draw(folder, 6)
        folder.update(status="finished")
        assert follower.finish(PATIENCE) is None
    assert follower.finish(1) is None  # again: nothing to wait for
    state = State.read(folder)
    run = store.client(database).get_run(state.run_id)
    assert run.info.status == "FINISHED"
    assert [round for round, _ in history(database, state.run_id)] == [1, 2, 3, 4, 5, 6]
    assert state.images == [6]
    assert "sent to sqlite:" in (folder.path / "tracking.log").read_text()


def test_a_server_that_is_away_is_said_with_what_is_missing(make_run: Make, port: int) -> None:
    folder = make_run(points=120, pictures=(0,), uri=f"http://127.0.0.1:{port}")
    follower = Follower(folder)
    with folders.locked(folder):
        follower.start()
        folder.update(status="finished")
        left = follower.finish(PATIENCE)
    assert str(left).startswith(
        f"120 points and 1 picture not sent to http://127.0.0.1:{port}: connection refused; "
        f"send later with: ganflow sync {folder.path}; elsewhere, where that is gone: ganflow sync {folder.path} --uri sqlite:"
    )


def test_no_time_to_wait(make_run: Make, database: str) -> None:
    folder = make_run(points=2)
    follower = Follower(folder)
    with folders.locked(folder):
        follower.start()
        folder.update(status="finished")
        left = follower.finish(0)
        assert left is not None
        assert left.why == "still being sent after 0 s"
    until(lambda: State.read(folder).status == "finished")  # by itself
    assert sent(folder) == 2


def test_a_run_that_fails(make_run: Make, database: str) -> None:
    """The runner lets go first and says how the run ended a moment later."""
    folder = make_run(points=2)
    follower = Follower(folder)
    with folders.locked(folder):
        follower.start()
        follower.stop()
        time.sleep(0.3)
        folder.update(status="failed")
    until(lambda: State.read(folder).status == "failed")
    assert store.client(database).get_run(State.read(folder).run_id).info.status == "FAILED"


PARENT = """\
import os, sys
from pathlib import Path
from ganflow.runs import folders
from ganflow.runs.folders import RunFolder
from ganflow.tracking.follower import Follower
folder = RunFolder(Path(sys.argv[1]))
follower = Follower(folder)
follower.start()
print(follower._process.pid, flush=True)
if os.fork() == 0:  # a worker that outlives its parent and holds the pipe open
    import time
    time.sleep(60)
with folders.locked(folder):
    sys.stdin.read()
"""


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc")
@pytest.mark.slow
def test_it_ends_with_its_parent(make_run: Make, database: str) -> None:
    folder = make_run(points=2)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(folder.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    until(lambda: sent(folder) == 2)
    report(folder, 3, 4)
    parent.kill()  # the worker lives on
    try:
        until(lambda: State.read(folder).status == "killed", 30)
        until(lambda: not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split(")")[1][:3])
    finally:
        os.killpg(parent.pid, signal.SIGKILL)
        parent.communicate()
    state = State.read(folder)
    assert [round for round, _ in history(database, state.run_id)] == [1, 2, 3, 4]
    assert store.client(database).get_run(state.run_id).info.status == "KILLED"


def test_it_can_be_killed_itself(make_run: Make, database: str) -> None:
    folder = make_run(points=2)
    follower = Follower(folder)
    with folders.locked(folder):
        follower.start()
        assert follower._process is not None
        follower._process.kill()
        folder.update(status="finished")
        left = follower.finish(PATIENCE)
    assert left is not None
    assert left.points == 2
    assert "the tracking process ended early (code -9; see " in left.why


def test_it_says_why_it_ended_early(make_run: Make, tmp_path: Path) -> None:
    folder = make_run(points=2)
    (folder.path / "tracking.log").write_text("of an earlier process\n")
    (folder.samples / "outside.png").symlink_to(tmp_path / "elsewhere")
    follower = Follower(folder)
    follower.start()
    left = follower.finish(PATIENCE)
    assert left is not None
    reason = f"run {folder.id}: samples/outside.png is a link to {tmp_path}/elsewhere, and nothing in a run's folder may lead"
    assert left.why.startswith(f"the tracking process ended early: {reason} out of it; ")
    assert left.why.endswith("tracking.log)")


def test_without_mlflow(make_run: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(GanflowError, match="MLflow is not installed: pip install mlflow, or train without it"):
        Follower(make_run()).start()


@pytest.mark.rare
def test_a_server_that_is_killed_and_comes_back(make_run: Make, database: str, port: int, tmp_path: Path) -> None:
    """All points are there afterwards, none twice; the run had an appointment with none of it."""
    folder = make_run(points=50, pictures=(0,), uri=f"http://127.0.0.1:{port}")
    follower, server = Follower(folder), Server(database, tmp_path / "runs", port=port)
    with folders.locked(folder):
        with server:
            server.wait_until_ready()
            follower.start()
            until(lambda: sent(folder) == 50 and State.read(folder).images == [0])
            server.kill()
        report(folder, 51, 400)
        draw(folder, 400)
        until(lambda: State.read(folder).error == "connection refused")
        with Server(database, tmp_path / "runs", port=port) as again:
            again.wait_until_ready()
            until(lambda: sent(folder) == 400)
            report(folder, 401, 500)
            folder.update(status="finished")
            assert follower.finish(PATIENCE) is None
    state = State.read(folder)
    assert [round for round, _ in history(database, state.run_id)] == list(range(1, 501))
    run = store.client(database).get_run(state.run_id)
    assert run.info.status == "FINISHED"
    pictures = (tmp_path / "runs" / "mlartifacts").rglob("samples+step+*.png")
    assert sorted(int(p.name.split("+")[2]) for p in pictures) == [0, 400]
