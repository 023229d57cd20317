"""Run folders: their files, and how a run is found by path, id, name or `latest`."""

from __future__ import annotations

import glob
import os
import re
import shlex
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganflow import lock
from ganflow.advised import command, option, see, unnamed
from ganflow.errors import GanflowError
from ganflow.files import check_readable, check_utf8, foreign
from ganflow.runs import record as records
from ganflow.runs import trials
from ganflow.runs.ids import stamp
from ganflow.runs.record import FILE, DamagedRecord, RunRecord

_ID = re.compile(r"\w[\w.-]*")  # of a sweep
_TRIAL = re.compile(r"-t[0-9]{4,}$")  # the end of a trial's id, which begins with its sweep's
ENCODER_FILE = "encoder.safetensors"
"""In a run's folder: what its text encoder has learnt, where its data have one."""
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
        return self.path.parent.name

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


def create(root: Path, name: str) -> RunFolder:
    """A fresh folder for a run of this name. Ids sort by time.

    Raises:
        GanflowError: the folder cannot be written.
    """
    while True:
        with suppress(FileExistsError):  # another process's, of the same tenth of a millisecond
            return make(RunFolder((root / name / new_id(root)).absolute()))


def new_id(root: Path) -> str:
    """An id for a run or a sweep that begins now, later than all in the runs folder."""
    check_readable(root)
    paths = list(root.glob("*/*"))
    ids, begun = [path.name for path in paths], {path.parent for path in paths if _TRIAL.search(path.name)}
    for about in (path for path in paths if path.name == FILE and path.parent not in begun):  # a sweep without a trial
        with suppress(GanflowError):
            ids.append(RunFolder(about.parent).read().id)
    return stamp(ids)


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


def all_runs(root: Path) -> Iterator[RunFolder]:
    """Every run under `root`, oldest first."""
    check_readable(root)
    found = (RunFolder(about.parent.absolute()) for about in root.glob(f"*/*/{FILE}"))
    yield from sorted(found, key=lambda run: run.id)


def is_sweep(folder: RunFolder) -> bool:
    """Tell whether it is `runs/<sweep>/`, a folder with a run.json in which every trial is a run. Where that is damaged, the
    trials' records decide."""
    if not folder.is_run():
        return False
    try:
        return folder.read().kind == "sweep"
    except GanflowError:
        return (folder.path / trials.FILE).exists()


def all_sweeps(root: Path) -> list[RunFolder]:
    """Every sweep under `root`, by name; those with a damaged run.json, too."""
    check_readable(root)
    return [sweep for found in sorted(root.glob(f"*/{FILE}")) if is_sweep(sweep := RunFolder(found.parent.absolute()))]


def find_sweep(name: str, root: Path) -> RunFolder | None:
    """The sweep that a path, or its name, means.

    Raises:
        GanflowError: something in its folder leads out of it.
    """
    check_readable(root, Path(name), root / name)
    meant = (RunFolder(path.absolute()) for path in (Path(name), root / name))
    found = next(filter(is_sweep, meant), None)
    if found:
        check(found)
    return found


def latest_sweep(root: Path, *, searched: bool = False) -> RunFolder | None:
    """The sweep that was begun last, of those whose run.json can be read.

    Args:
        searched: of `ganflow tune` alone, and not of `ganflow run --seeds`.
    """
    found: dict[str, RunFolder] = {}
    for sweep in all_sweeps(root):
        with suppress(GanflowError):
            record = sweep.read()
            found |= {record.id: sweep} if not (searched and record.seeds) else {}
    return found[max(found)] if found else None


def find_trial(name: str, root: Path) -> tuple[RunFolder, int] | None:
    """The sweep, and the number of its trial, that "SWEEP/NUMBER" means; None where it means something else."""
    above, _, number = name.rpartition("/")
    sweep = find_sweep(above, root) if above and number.isascii() and number.isdigit() and len(number) < 10 else None
    return (sweep, int(number)) if sweep else None


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


def best_trial(sweep: RunFolder) -> RunFolder:
    """The run of a sweep's best trial so far.

    Raises:
        GanflowError: no trial is finished yet, or there is no best one, for it is judged by several metrics.
    """
    about, name = sweep.read(), sweep.reference()
    shown = see(f"ganflow sweeps show {name}")
    if about.front:
        some = ", ".join(f"{name}/{each['trial']}" for each in about.front[:5]) + (", …" if len(about.front) > 5 else "")
        why = f"is judged by {', '.join(about.objectives)}, and has a Pareto front instead of a best trial"
        raise GanflowError(f"the sweep {sweep.path.name} {why}; name one of its trials: {some}" + shown)
    best = about.best
    if not best or "trial" not in best:
        raise GanflowError(f"no trial of the sweep {sweep.path.name} is finished yet" + shown)
    return trial(sweep, best.get("run", best["trial"]))


def find_run(run: str, root: Path) -> RunFolder:
    """The run that `run` means: a path, an id or its beginning, a name (its newest run), or "latest". A sweep's path, name or
    id means its best trial's run, and "SWEEP/3" its trial 3: of several seeds the first, of a packed one that was confirmed the
    training by itself.

    Raises:
        GanflowError: no run, or more than one, is meant, or something in its folder leads out of it.
    """
    found = find_any(run, root)
    if is_sweep(found):
        found = best_trial(found)
        check(found)
    return found


def find_any(run: str, root: Path) -> RunFolder:
    """As `find_run`, but the sweep itself where one is meant."""
    found = find_unchecked(run, root)
    check(found)
    return found


def find_unchecked(run: str, root: Path) -> RunFolder:
    """As `find_any`, also where something in the folder of what is found leads out of it. The sweep of a trial is checked."""
    if not run.strip():
        raise GanflowError(unnamed("run"))
    check_readable(root, Path(run), root / run)
    paths = (RunFolder(path.absolute()) for path in (Path(run), root / run))
    if (sweep := next(filter(is_sweep, paths), None)) is not None:
        return sweep
    if meant := find_trial(run, root):
        above, number = meant
        first = next((trial(above, run) for run in runs_of(above, number)), None)
        if first is None or not first.is_run():
            why = f"no trial {number} of {above.path.name} was begun"
            raise GanflowError(why + see(f"ganflow sweeps show {above.reference()}"))
        return first
    if (folder := RunFolder(Path(run).absolute())).is_run():
        return folder
    runs = list(all_runs(root))
    if not runs:
        raise GanflowError(f"no runs in {root}/ yet; start one with: " + command("ganflow run wgan"))
    if run == "latest":
        return _sweep_of(runs[-1:]) or runs[-1]
    named = [r for r in runs if r.name == run]
    if named:
        return named[-1]
    started = [r for r in runs if r.id.startswith(run)]
    if (of := _sweep_of(started)) and of.read().id.startswith(run):
        return of
    if len(started) > 1:
        some = ", ".join(r.id for r in started[:5]) + (", …" if len(started) > 5 else "")
        raise GanflowError(f"'{run}' is the beginning of {len(started)} runs: {some}; write more of it")
    if not started:
        ways = "give a path, an id or its beginning, a name, or 'latest'"
        raise GanflowError(f"no run '{run}' in {root}/: {ways}" + see("ganflow runs", " lists them"))
    return started[0]


def _sweep_of(runs: list[RunFolder]) -> RunFolder | None:
    """The sweep that all of these are trials of."""
    above = {run.path.parent for run in runs}
    sweep = RunFolder(above.pop()) if len(above) == 1 else None
    return sweep if sweep and is_sweep(sweep) else None
