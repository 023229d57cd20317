"""Folders of runs and sweeps: their files, their locks, and what may be in them. `ganflow.runs.finding` finds them."""

from __future__ import annotations

import glob
import os
import re
import shlex
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganflow import lock
from ganflow.advised import option
from ganflow.errors import GanflowError
from ganflow.files import check_utf8, foreign
from ganflow.runs import record as records
from ganflow.runs import trials
from ganflow.runs.record import FILE, DamagedRecord, RunRecord

_ID = re.compile(r"\w[\w.-]*")  # of a sweep
_NAME = re.compile(r"\w[\w. -]{0,99}")
ENCODER_FILE = "encoder.safetensors"
"""In a run's folder: what its text encoder has learnt, where its data have one."""
EXAMPLES = "examples.safetensors"
"""In the folder of a model that was exported: inputs of its signatures, and what they make."""
_LOCK = ".lock"
_READ = ("checkpoints", "samples", "plots", "pareto", "requests")
"""The folders in a run's, or a sweep's, folder that are read; what trackers write in others is nobody's here."""
_FILES = ("recipe.yaml", "metrics.jsonl", "tracking.json", "tracking.log", "evaluations.json", "trials.jsonl", "earlier.jsonl",
          "optuna.journal", "optuna.journal.lock")  # fmt: skip


def default_root() -> Path:
    """The folder of runs where none is named, for commands and in Python: as GANFLOW_RUNS says at this moment, else `runs`."""
    return Path(os.environ.get("GANFLOW_RUNS") or "runs")


@dataclass(frozen=True)
class RunFolder:
    """`runs/<name>/<id>/`."""

    path: Path

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def name(self) -> str:
        """The recipe's: that of the folder in which runs of it lie; of an exported run the one that its record has."""
        if not self.exported:
            return self.path.parent.name
        try:
            name = str(self.read().name)
        except DamagedRecord:
            return self.path.name
        return name if _NAME.fullmatch(name) else self.path.name  # files are called by it, and it may be a stranger's

    @property
    def weights(self) -> Path:
        """The generator's averaged weights, named as in the network: all that an exported run has of checkpoints."""
        return self.path / "model.safetensors"

    @property
    def exported(self) -> bool:
        """True of a generator's weights alone, as `ganflow export` writes them."""
        return self.weights.exists() and not self.checkpoints.exists()

    @property
    def recipe(self) -> Path:
        """The resolved recipe, defaults included."""
        return self.path / "recipe.yaml"

    @property
    def journal(self) -> Path:
        """One line per report: {"round": 50, "time": seconds since 1970, "values": {"critic/wasserstein": −0.3, …}}."""
        return self.path / "metrics.jsonl"

    @property
    def samples(self) -> Path:
        """Pictures of the same latent points over training: round-00000500.png, …"""
        return self.path / "samples"

    def pictures(self) -> list[Path]:
        """The pictures in it, the last one last."""
        return sorted(self.samples.glob("round-*.png"))

    @property
    def plots(self) -> Path:
        return self.path / "plots"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def tracking(self) -> Path:
        """A record of everything sent to MLflow so far."""
        return self.path / "tracking.json"

    def reference(self, root: Path | None = None) -> str:
        """The run, or sweep, as one would type it for a command here: its id, or a sweep's name, where that is found in the runs
        folder `root`, else its path. It is quoted for a shell.

        Args:
            root: the runs folder that the command looks in; the default one, if not given.
        """
        root = (root or default_root()).absolute()
        found = self.path.parent == root  # a sweep
        if self.path.parent.parent == root:
            found = len(list(root.glob(f"*/{glob.escape(self.id)}*/{FILE}"))) == 1
        return shlex.quote(self.path.name if found else str(here(self.path)))

    def is_run(self) -> bool:
        """Tell whether there is a run in it."""
        return os.path.exists(self.path / FILE)  # False for what can be no path, too

    def read(self) -> RunRecord:
        """Read run.json; raises DamagedRecord (a GanflowError) where that is not possible."""
        return records.read(self.path)

    def update(self, **values: Any) -> None:
        """Change values in run.json; see `ganflow.runs.record.update`."""
        records.update(self.path, values)


def here(path: Path) -> Path:
    """A path as one would type it where the program runs."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def moved(path: str, runs: Path) -> Path:
    """The present form of a path that was recorded before its runs folder was moved: the same names below the folder of now.
    A path that exists, and one of which nothing is found, is left as it is."""
    recorded = Path(path)
    if recorded.exists():
        return recorded
    ends = (runs.joinpath(*recorded.parts[i:]) for i in range(1, len(recorded.parts) - 1))
    return next((end for end in ends if end.exists()), recorded)


def make(folder: RunFolder) -> RunFolder:
    """Make the folder and those in it. Nothing is left of it where that fails.

    Raises:
        FileExistsError: it is there already.
        GanflowError: it cannot be written.
    """
    check_utf8(folder.path)
    made = False
    try:
        folder.path.parent.mkdir(parents=True, exist_ok=True)
        folder.path.mkdir()
        made = True
        make_inner(folder)
    except OSError as error:
        if made:
            shutil.rmtree(folder.path, ignore_errors=True)
        elif isinstance(error, FileExistsError) and folder.path.exists():  # or there is a file in the place of a folder above
            raise
        why = f"{error.strerror}; choose another with " + option("--runs")
        raise GanflowError(f"cannot make the run's folder {folder.path}: " + why) from None
    return folder


def make_inner(folder: RunFolder) -> None:
    """Make the folders in a run's folder that are not there (any more)."""
    for path in (folder.samples, folder.plots, folder.checkpoints):
        path.mkdir(exist_ok=True)


def check(folder: RunFolder) -> None:
    """Check that nothing in a run's, or a sweep's, folder leads out of it: it may come from a stranger. The folder itself, and
    those above it, may be links; a sweep's trials are checked when they are opened, and a tracker's folder is not looked into: it
    may hold links, as W&B's does, and nothing in it is read.

    Raises:
        GanflowError: something does, or would be waited for; or no file in it can be opened.
    """
    check_utf8(folder.path)
    try:
        found = foreign(folder.path, lambda name: name.partition(os.sep)[0] not in _READ)
    except OSError as error:
        raise GanflowError(f"cannot read {error.filename or folder.path}: {error.strerror}") from None
    for name in _FILES:
        if (folder.path / name).is_dir():
            raise GanflowError(f"run {folder.path.name}: {folder.path / name} is a folder, not a file; remove it")
    if found:
        why = "and nothing in a run's folder may lead out of it"
        raise GanflowError(f"run {folder.path.name}: {found}, {why}; take it out of {folder.path}, or put a copy in its place")


class Running(GanflowError):
    """Another process trains the run, or runs the sweep."""

    def __init__(self, folder: RunFolder) -> None:
        record = folder.read()
        who = f"pid {record.pid} on {record.host or 'this machine'}"
        if record.kind == "sweep":
            super().__init__(f"another process runs the sweep {folder.path.name} already ({who})")
        else:
            super().__init__(f"run {folder.id} is being trained by another process ({who})")


@contextmanager
def locked(folder: RunFolder, *, checked: bool = True) -> Iterator[None]:
    """Hold the run's lock.

    Args:
        checked: only where nothing in its folder leads out of it.

    Raises:
        Running: (a GanflowError) another process trains it.
        GanflowError: something in its folder leads out of it.
    """
    if checked:
        check(folder)
    with ExitStack() as held:
        try:
            held.enter_context(lock.locked(folder.path / _LOCK))
        except lock.Held:
            raise Running(folder) from None
        yield


def is_running(folder: RunFolder) -> bool:
    """Tell whether a process trains this run, or runs this sweep, at this moment."""
    return lock.is_locked(folder.path / _LOCK)


def status(folder: RunFolder, record: RunRecord) -> str:
    """The recorded status; "killed" where that is "running" and the run is not. The lock of another machine may not be seen here:
    its run is believed."""
    if record.status != "running" or record.host not in ("", socket.gethostname()) or is_running(folder):
        return record.status
    return "killed"


def is_sweep(folder: RunFolder) -> bool:
    """Tell whether it is `runs/<sweep>/`, a folder with a run.json in which every trial is a run. Where that is damaged, the
    trials' records decide."""
    if not folder.is_run():
        return False
    try:
        return folder.read().kind == "sweep"
    except GanflowError:
        return (folder.path / trials.FILE).exists()


def trial(sweep: RunFolder, number: int) -> RunFolder:
    """The run of a trial; its id is the sweep's with the trial's number."""
    id = sweep.read().id
    if not _ID.fullmatch(id):
        raise DamagedRecord(sweep.path / FILE, f"is damaged ({id!r} is not the id of a sweep)")
    return RunFolder(sweep.path / f"{id}-t{number:04d}")


def runs_of(sweep: RunFolder, number: int) -> range:
    """Numbers of the runs that a sweep's trial is, for every command: those by themselves once it was confirmed.

    Raises:
        GanflowError: the records of the trials are damaged.
    """
    return trials.runs_of(sweep.path, number, max(1, len(sweep.read().trial_seeds)))
