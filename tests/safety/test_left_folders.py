"""Temporary folders of processes that ended, however they ended."""

import contextlib
import os
import subprocess
import sys
import tempfile

import pytest
from safety_helpers import RECIPE, environment, ganflow

from ganflow import scratch
from ganflow.lock import locked
from ganflow.scratch import LOCK, scratch_folder

KILLED = """
import os, signal
from ganflow.scratch import scratch_folder
with scratch_folder("store-") as folder:
    (folder / "inner").mkdir()
    os.kill(os.getpid(), signal.SIGKILL)
"""
KILLED_RUN = """
import os, signal, sys
from ganflow.cli.main import main
from ganflow.engine import trainer
trainer.Trainer.advance = lambda *args, **options: os.kill(os.getpid(), signal.SIGKILL)
main(sys.argv[1:])
"""
"""A run that is killed in its first round."""


@pytest.fixture
def base(tmp_path, monkeypatch):
    """The folder of temporary files, which no process of before has looked at."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    monkeypatch.setenv("TMPDIR", str(place))
    yield place
    scratch._clean.cache_clear()


@pytest.fixture
def older(base):
    """Make folders in it as old as what is left of yesterday."""

    def age():
        for path in base.glob(f"*/{LOCK}"):
            os.utime(path, (0, 0))
        scratch._clean.cache_clear()

    return age


def test_one_is_gone_with_its_context(base):
    with contextlib.suppress(KeyboardInterrupt), scratch_folder("home-") as folder:
        assert folder.name.startswith("ganflow-home-")
        assert [path.name for path in folder.iterdir()] == [LOCK]
        raise KeyboardInterrupt
    assert not list(base.iterdir())


def test_those_of_killed_processes_are_removed(base, older):
    subprocess.run([sys.executable, "-c", KILLED], env=environment(), check=False)
    (left,) = base.iterdir()
    scratch._clean.cache_clear()
    with scratch_folder():
        assert left.exists()  # it might be about to be locked
    older()
    with scratch_folder() as mine:
        assert list(base.iterdir()) == [mine]


def test_nothing_else_is_removed(base, older, tmp_path):
    """A folder in use, folders of the user's, links."""
    mine, run, empty, victim = (base / f"ganflow-{name}" for name in ("held", "run", "empty", "../victim"))
    victim = tmp_path / "victim"
    for folder in (mine, run, empty, victim):
        folder.mkdir()
    for lock in (mine / LOCK, run / ".lock", victim / LOCK):
        lock.touch()
    (base / "ganflow-link").symlink_to(victim)
    (base / "ganflow-inner").mkdir()
    (base / "ganflow-inner" / LOCK).symlink_to(victim / LOCK)
    (base / "ganflow-file").touch()
    with locked(mine / LOCK):
        older()
        with scratch_folder() as new:
            assert {path.name for path in base.iterdir()} == {
                *(f"ganflow-{name}" for name in ("held", "run", "empty", "link", "inner", "file")), new.name
            }  # fmt: skip
    assert (victim / LOCK).exists()


@pytest.mark.slow
@pytest.mark.parametrize("options", [["--workers", "2", "track.mlflow=false"], ["train.seed=3"]])
def test_a_run_that_was_killed(base, older, tmp_path, options):
    """With workers, and with MLflow: the next run removes what it left, and leaves nothing itself."""
    (tmp_path / "small.yaml").write_text(RECIPE)
    command = [sys.executable, "-P", "-c", KILLED_RUN, "run", "small.yaml", "-q", *options]
    assert subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, timeout=300).returncode == -9
    older()
    done = ganflow(tmp_path, "run", "small.yaml", "-q", *options)
    assert done.returncode == 0, done.stderr
    assert not [path.name for path in base.iterdir() if path.name.startswith("ganflow-")]
