"""Files that replace others, and power cuts: each is on the disk before it is renamed, and its folder afterwards."""

import errno
import json
import os
import threading
import time
from pathlib import Path

import pytest
import torch
from runner_helpers import files

from ganflow.recipe import read_recipe
from ganflow.runs import checkpoints
from ganflow.runs.checkpoints import Writer
from ganflow.runs.folders import RunFolder
from ganflow.runs.journal import Journal, rewind
from ganflow.runs.start import open_trial
from ganflow.tune.trial import copy_run


class Disk:
    """Calls of every thread: ("fsync", inode), ("replace", inode, new path)."""

    def __init__(self, monkeypatch):
        self.calls = {}
        fsync, replace = os.fsync, os.replace

        def synced(file):
            self.note("fsync", os.fstat(file).st_ino)
            fsync(file)

        def replaced(old, new, **named):
            self.note("replace", os.stat(old).st_ino, Path(new))
            replace(old, new, **named)

        monkeypatch.setattr(os, "fsync", synced)
        monkeypatch.setattr(os, "replace", replaced)
        monkeypatch.setattr(os, "rename", replaced)

    def note(self, *call):
        self.calls.setdefault(threading.get_ident(), []).append(call)

    def safely_replaced(self):
        """Names of the files that replaced others; each after fsync of itself, and followed by fsync of its folder."""
        names = set()
        for calls in self.calls.values():
            for i, (call, inode, *path) in enumerate(calls):
                # pictures and reports can be made again, and what is damaged is not read
                if call == "replace" and path[0].suffix not in (".png", ".html", ".damaged"):
                    synced = [n for c, n, *_ in calls[:i] if c == "fsync"]
                    after = [n for c, n, *_ in calls[i:] if c == "fsync"]
                    assert synced[-1:] == [inode], f"{path[0]} is replaced by what is not on the disk"
                    assert after[:1] == [os.stat(path[0].parent).st_ino], f"{path[0]} is replaced, its folder not on the disk"
                    names.add(path[0].name)
        return names


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


def test_a_run_and_its_going_on(work, ganflow, disk):
    always = {"recipe.yaml", "run.json", "metrics.jsonl"}
    assert ganflow("run", "tiny.yaml", "train.rounds=2", "~metrics", "-q")[0] == 0
    assert disk.safely_replaced() == always | {"round-00000001.safetensors", "round-00000002.safetensors"}
    disk.calls.clear()
    assert ganflow("run", "--resume", "latest", "train.rounds=3", "-q")[0] == 0
    assert disk.safely_replaced() == always | {"round-00000003.safetensors"}


def test_a_run_is_finished_when_its_last_checkpoint_is_there(work, monkeypatch):
    """However long that takes. A trial: others draw their curves meanwhile."""
    save, replace, ends = checkpoints.save_file, os.replace, []

    def slowly(*arguments):
        time.sleep(0.3)
        save(*arguments)

    def replaced(old, new):
        if Path(new).name == "run.json" and json.loads(Path(old).read_text())["status"] == "finished":
            ends.append([path.name for path in (Path(new).parent / "checkpoints").iterdir()])
        replace(old, new)

    monkeypatch.setattr(checkpoints, "save_file", slowly)
    monkeypatch.setattr(os, "replace", replaced)
    recipe = read_recipe(work / "tiny.yaml", ["train.rounds=1", "~metrics"])
    assert open_trial(recipe, RunFolder(work / "runs" / "sweep" / "t1"), {}).finish().status == "finished"
    assert ends == [["round-00000001.safetensors"]]


@pytest.mark.parametrize("links", [True, False])
def test_the_best_checkpoint(tmp_path, disk, monkeypatch, links):
    def link(*_):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    if not links:
        monkeypatch.setattr(os, "link", link)
    writer = Writer(tmp_path, 3)
    writer.write({"weight": torch.ones(3)}, {"round": 1}, best=True)
    writer.wait()
    assert disk.safely_replaced() == {"best.safetensors", "round-00000001.safetensors"}


def test_a_rewound_journal(tmp_path, disk):
    journal = Journal(tmp_path / "metrics.jsonl")
    for round in (1, 2, 3):
        journal.append(round, {"a": 1.0})
    rewind(tmp_path / "metrics.jsonl", 2)
    journal.close()
    assert disk.safely_replaced() == {"metrics.jsonl"}


def test_a_trials_copy_of_another(tmp_path, disk):
    source, target = RunFolder(tmp_path / "source"), RunFolder(tmp_path / "target")
    for folder in (source, target):
        folder.checkpoints.mkdir(parents=True)
    writer = Writer(source.checkpoints, 3)
    writer.write({"weight": torch.ones(3)}, {"round": 1}, best=True)
    writer.wait()
    disk.calls.clear()
    assert copy_run(source, target, at=1, before=9) == 1
    assert disk.safely_replaced() == {"best.safetensors", "round-00000001.safetensors"}


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_run_json_that_cannot_be_written_is_the_old_one(tmp_path, monkeypatch, step):
    """Whole, and with nothing beside it."""
    folder = RunFolder(tmp_path)
    folder.update(status="running", round=1)
    before = files(tmp_path)

    def fail(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="No space left on device"):
        folder.update(status="finished", round=2)
    assert files(tmp_path) == before
    monkeypatch.undo()
    folder.update(status="finished")
    record = folder.read()
    assert (record.status, record.round) == ("finished", 1)


def test_run_json_is_whole_whenever_it_is_read(tmp_path):
    """By another thread, while it grows and shrinks."""
    folder = RunFolder(tmp_path)
    folder.update(text="")
    over = threading.Event()
    seen = set()

    def read():
        while not over.is_set():
            seen.add(len(json.loads((tmp_path / "run.json").read_text())["text"]))

    thread = threading.Thread(target=read)
    thread.start()
    try:
        for n in range(40):
            folder.update(text="x" * (100_000 * (n % 2)))
    finally:
        over.set()
        thread.join()
    assert seen <= {0, 100_000}
    assert seen
