"""A disk that is full, and one that cannot be written: real ones."""

import errno
import os
import subprocess

import pytest
from runner_helpers import assert_same_state, files, finished, last, numbers, only_run

from ganflow.runs.loading import load_game


@pytest.fixture
def disk(work):
    """A disk of so many KiB where runs are kept, in memory."""
    place = work / "runs"
    place.mkdir()

    def mount(options):
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
        return place

    yield mount
    # Lazily: checkpoints that were read are mapped from their files, which a test that failed keeps in use.
    if os.path.ismount(place):
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def remount(disk, options):
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)


@pytest.mark.slow
def test_a_disk_that_fills_up_and_is_given_room(work, ganflow, disk):
    place = disk("size=400k")
    code, out, err = finished(work, "run", "tiny.yaml", "-q", "train.rounds=12", "train.keep=100")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "No space left on device" in err
    run = only_run(place)
    assert f"{run.checkpoints}" in err
    assert 1 <= last(run).round < 12
    load_game(run)
    assert not list(run.checkpoints.glob(".*"))
    assert not [path for path in place.rglob(".*") if not path.name.endswith(".lock")]  # nothing half-written is left

    remount(place, "size=50m")
    code, out, err = finished(work, "run", "--resume", "latest", "-q")
    assert code == 0, err
    assert ganflow("run", "tiny.yaml", "-q", "train.rounds=12", "train.keep=100", "--runs", "alone")[0] == 0
    alone = only_run(work / "alone")
    assert_same_state(run, alone)
    assert numbers(run) == numbers(alone)
    assert run.read().status == "finished"


@pytest.mark.parametrize("kib", [4, 16, 32, 64, 96, *(pytest.param(k, marks=pytest.mark.slow) for k in range(100, 420, 40))])
def test_wherever_a_disk_is_full_it_is_said(work, ganflow, disk, kib):
    """The recipe, a picture, the journal, run.json, a plot, a checkpoint: something is the first that does not fit."""
    place = disk(f"size={kib}k")
    code, out, err = ganflow("run", "tiny.yaml", "-q", "train.rounds=4", "train.sample_every=1", "train.keep=100")
    if code == 0:
        assert kib > 300
        return
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "No space left on device" in err
    for run in place.glob("*/*/run.json"):
        assert run.read_text().endswith("}\n")  # whole
    remount(place, "size=50m")
    if list(place.glob("*/*/run.json")):
        code, _, err = ganflow("run", "--resume", "latest", "-q")
        assert code == 0, err
    else:
        assert ganflow("run", "tiny.yaml", "-q")[0] == 0
    assert last(only_run(place)).round >= 4
    assert not [p for p in place.rglob(".*") if not p.name.endswith(".lock")]  # nothing half-written is left


def test_a_disk_that_cannot_be_written(work, ganflow, disk):
    place = disk("size=50m")
    remount(place, "ro")
    code, out, err = ganflow("run", "tiny.yaml")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"cannot make the run's folder {place}/tiny/" in err
    assert "Read-only file system; choose another with --runs" in err
    assert not list(place.iterdir())


def test_a_run_that_cannot_be_written_any_more(work, ganflow, disk):
    place = disk("size=50m")
    assert ganflow("run", "tiny.yaml", "-q")[0] == 0
    remount(place, "ro")
    before = files(place)
    code, out, err = ganflow("run", "--resume", "latest", "train.rounds=8")
    assert (code, out) == (2, "")
    assert "Read-only file system" in err
    assert str(only_run(place).path) in err
    assert files(place) == before


def test_a_quota_that_is_used_up(work, ganflow, monkeypatch):
    assert ganflow("run", "tiny.yaml", "-q")[0] == 0
    run = only_run(work / "runs")
    before = files(run.path)

    def sync(path):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))  # as from write(2): without the file's name

    monkeypatch.setattr("ganflow.files._sync", sync)
    code, out, err = ganflow("run", "--resume", "latest", "train.rounds=8", "-q")
    assert (code, out, err) == (2, "", f"ganflow: run {run.id}: cannot write {run.path / 'run.json'}: Disk quota exceeded\n")
    monkeypatch.undo()
    monkeypatch.chdir(work)
    assert {k: v for k, v in files(run.path).items() if k.name != "error.txt"} == before
