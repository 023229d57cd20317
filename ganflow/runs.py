"""A run's folder: what is where in it, and how a run is found by path, id, name or `latest`."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ganflow.addresses import without_secrets
from ganflow.errors import GanflowError
from ganflow.inside import foreign, open_file, read_bytes, write_new

DEFAULT_ROOT = Path("runs")
_ABOUT = "run.json"
_ID, _TRIAL = re.compile(r"\w[\w.-]*"), re.compile(r"[^/]*-t\d+")  # of a sweep, of the folder of a trial
ENCODER_FILE = "encoder.safetensors"
"""In a run's folder: what its text encoder has learnt, where its data have one."""
HERE = "<runs>"
"""In run.json and tracking.json: the runs folder, wherever it is now."""
_VERBATIM = ("data", "then")  # of run.json: what the user wrote


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

    @property
    def plots(self) -> Path:
        return self.path / "plots"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def tracking(self) -> Path:
        """What was sent to MLflow so far."""
        return self.path / "tracking.json"

    def is_run(self) -> bool:
        """Whether there is a run in it."""
        return (self.path / _ABOUT).exists()

    def about(self) -> dict[str, Any]:
        """status, round, rounds, created, seed, versions of ganflow, torch and the plugins, git commit, … Passwords in addresses,
        which earlier versions kept, are hidden."""
        about = without_secrets(json.loads(read_bytes(self.path / _ABOUT)))
        if not isinstance(about, dict):
            raise ValueError("it is not a mapping")
        return {**about, **expanded(_changing(about), runs_of(self.path, about))}

    def note(self, **values: Any) -> None:
        """Merge values into run.json, atomically. Paths below the runs folder are kept as such, so that it can be moved."""
        about = {**(self.about() if (self.path / _ABOUT).exists() else {}), **values}
        write_json(self.path / _ABOUT, {**about, **portable(_changing(about), runs_of(self.path, about))})


def runs_of(folder: Path, about: dict[str, Any]) -> Path:
    """The runs folder that a run's, or a sweep's, folder is in."""
    return folder.parent if about.get("kind") == "sweep" else folder.parent.parent


def _changing(about: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in about.items() if key not in _VERBATIM}


def portable(value: Any, runs: Path) -> Any:
    """Plain data in which every path below the runs folder begins with HERE."""
    if len(runs.parts) < 2:  # the root of all
        return value
    below = re.compile(rf"(?<![\w.-]){re.escape(str(runs))}(?=$|[{re.escape(os.sep)}\s;,:)'\"])")
    return _each_text(value, lambda text: below.sub(lambda _: HERE, text))


def expanded(value: Any, runs: Path) -> Any:
    """The data of which `portable` made this, the runs folder being where it is now."""
    return _each_text(value, lambda text: text.replace(HERE, str(runs)))


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _each_text(item, change) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_each_text(item, change) for item in value]
    return value


def here(path: Path) -> Path:
    """A path as one would type it where the program runs."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def moved(path: str, runs: Path) -> Path:
    """Where a path of a runs folder is, which was noted before the folder was moved: the same names below the folder of now.
    A path that is there, and one of which nothing is found, is left as it is."""
    noted = Path(path)
    if noted.exists():
        return noted
    ends = (runs.joinpath(*noted.parts[i:]) for i in range(1, len(noted.parts) - 1))
    return next((end for end in ends if end.exists()), noted)


def write_json(path: Path, value: Any) -> None:
    """`write_text` of JSON."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Replace a file atomically: a reader sees the old or the new one, whole. On failure the old one is left alone."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write_new(scratch, text)
        replace_file(scratch, path)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        error.filename = str(path)  # a failed write, unlike a failed open, does not say where
        raise


def replace_file(scratch: Path, path: Path) -> None:
    """Rename a file onto another one of its folder so that a power cut leaves the old or the new one, whole."""
    _sync(scratch)
    os.replace(scratch, path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def append_line(file: int, line: bytes) -> None:
    """Write a line at the end of an open file, whole or not at all; raises OSError where there is no room for it."""
    written = os.write(file, line)
    if written < len(line):  # a full disk: take the part back, so that the next line starts on its own
        os.ftruncate(file, os.fstat(file).st_size - written)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def create(root: Path, name: str) -> RunFolder:
    """A fresh folder for a run of this name. Ids sort by the time at which they were given.

    Raises:
        GanflowError: the folder cannot be written.
    """
    while True:
        folder = RunFolder((root / name / stamp()).absolute())
        try:
            return make(folder)
        except FileExistsError:  # given to another process in the same tenth of a millisecond
            continue


def stamp() -> str:
    """The present, for an id: "20261125-093015-0421", the last part in tenths of a millisecond."""
    return datetime.now().strftime("%Y%m%d-%H%M%S-%f")[:-2]


def make(folder: RunFolder) -> RunFolder:
    """Make the folder and those in it. Nothing is left of it where that fails.

    Raises:
        FileExistsError: it is there already.
        GanflowError: it cannot be written.
    """
    try:
        folder.path.parent.mkdir(parents=True, exist_ok=True)
        folder.path.mkdir()
    except FileExistsError:
        raise
    except OSError as error:
        raise _cannot_make(folder, error) from None
    try:
        make_inner(folder)
    except OSError as error:
        shutil.rmtree(folder.path, ignore_errors=True)
        raise _cannot_make(folder, error) from None
    return folder


def make_inner(folder: RunFolder) -> None:
    """Make the folders in a run's folder that are not there (any more)."""
    for path in (folder.samples, folder.plots, folder.checkpoints):
        path.mkdir(exist_ok=True)


def _cannot_make(folder: RunFolder, error: OSError) -> GanflowError:
    return GanflowError(f"cannot make the run's folder {folder.path}: {error.strerror}; choose another with --runs")


def check(folder: RunFolder) -> None:
    """See that nothing in a run's, or a sweep's, folder leads out of it: it may come from a stranger. The folder itself, and
    those above it, may be links; a sweep's trials are checked when they are opened.

    Raises:
        GanflowError: something does, or would be waited for.
    """
    sweep = is_sweep(folder)
    try:
        found = foreign(folder.path, lambda name: sweep and _TRIAL.fullmatch(name) is not None)
    except OSError as error:
        raise GanflowError(f"cannot read {error.filename or folder.path}: {error.strerror}") from None
    if found:
        why = "and nothing in a run's folder may lead out of it"
        raise GanflowError(f"run {folder.path.name}: {found}, {why}; take it out of {folder.path}, or put a copy in its place")


@contextmanager
def locked(folder: RunFolder) -> Iterator[None]:
    """Alone in this run. The lock goes with the process, however that ends.

    Raises:
        GanflowError: another process trains this run, or something in its folder leads out of it.
    """
    check(folder)
    with _lock(folder) as alone:
        if not alone:
            raise GanflowError(f"run {folder.id} is being trained by another process (pid {folder.about().get('pid')})")
        yield


def is_locked(folder: RunFolder) -> bool:
    """Whether a process trains this run at this moment."""
    try:
        with _lock(folder) as alone:
            return not alone
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link, which nobody locks
            return False
        raise


@contextmanager
def _lock(folder: RunFolder) -> Iterator[bool]:
    """Take the lock if it is free; whether it was."""
    import fcntl

    file = open_file(folder.path / ".lock", os.O_RDWR | os.O_CREAT)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(file)


def alive(pid: int) -> bool:
    """Whether a process of this machine is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is there, and somebody else's
        pass
    return True


def all_runs(root: Path) -> Iterator[RunFolder]:
    """Every run under `root`, oldest first."""
    found = (RunFolder(about.parent.absolute()) for about in root.glob(f"*/*/{_ABOUT}"))
    yield from sorted(found, key=lambda run: run.id)


def is_sweep(folder: RunFolder) -> bool:
    """Whether it is `runs/<sweep>/`, a folder with a run.json of its own in which every trial is a run."""
    try:
        return folder.about().get("kind") == "sweep"
    except (OSError, ValueError, AttributeError):
        return False


def all_sweeps(root: Path) -> Iterator[RunFolder]:
    """Every sweep under `root`, oldest first."""
    found = [RunFolder(about.parent.absolute()) for about in root.glob(f"*/{_ABOUT}")]
    yield from sorted(filter(is_sweep, found), key=lambda sweep: str(sweep.about().get("id")))


def find_sweep(name: str, root: Path) -> RunFolder | None:
    """The sweep that a path, or its name, means.

    Raises:
        GanflowError: something in its folder leads out of it.
    """
    meant = (RunFolder(path.absolute()) for path in (Path(name), root / name))
    found = next(filter(is_sweep, meant), None)
    if found:
        check(found)
    return found


def trial(sweep: RunFolder, number: int) -> RunFolder:
    """The run of a trial. Its id is the sweep's own with the trial's number, so that it is the same whenever it is asked."""
    id = str(sweep.about()["id"])
    if not _ID.fullmatch(id):
        raise GanflowError(f"{sweep.path / _ABOUT} is damaged: {id!r} is not the id of a sweep")
    return RunFolder(sweep.path / f"{id}-t{number:04d}")


def best_trial(sweep: RunFolder) -> RunFolder:
    """The run of a sweep's best trial so far.

    Raises:
        GanflowError: no trial has a score yet.
    """
    best = sweep.about().get("best")
    if not best:
        raise GanflowError(f"no trial of the sweep {sweep.path.name} has a score yet (ganflow sweeps show {sweep.path.name})")
    return trial(sweep, best["trial"])


def find_run(run: str, root: Path) -> RunFolder:
    """The run that `run` means: a path, an id or its beginning, a name (its newest run), or "latest". A sweep's path, name or
    id means its best trial's run.

    Raises:
        GanflowError: no run, or more than one, is meant, or something in its folder leads out of it.
    """
    found = _find(run, root)
    check(found)
    return found


def _find(run: str, root: Path) -> RunFolder:
    sweep = find_sweep(run, root)
    if sweep is not None:
        return best_trial(sweep)
    if (Path(run) / _ABOUT).exists():
        return RunFolder(Path(run).absolute())
    runs = list(all_runs(root))
    if not runs:
        raise GanflowError(f"no runs in {root}/ yet; start one with: ganflow run wgan")
    if run == "latest":
        return best_trial(above) if (above := _sweep_of(runs[-1:])) else runs[-1]
    named = [r for r in runs if r.name == run]
    if named:
        return named[-1]
    started = [r for r in runs if r.id.startswith(run)]
    if (above := _sweep_of(started)) and str(above.about()["id"]).startswith(run):
        return best_trial(above)
    if len(started) > 1:
        some = ", ".join(r.id for r in started[:5]) + (", …" if len(started) > 5 else "")
        raise GanflowError(f"'{run}' is the beginning of {len(started)} runs: {some}; write more of it")
    if not started:
        ways = "give a path, an id or its beginning, a name, or 'latest'"
        raise GanflowError(f"no run '{run}' in {root}/: {ways} (ganflow runs lists them)")
    return started[0]


def _sweep_of(runs: list[RunFolder]) -> RunFolder | None:
    """The sweep that all of these are trials of."""
    above = {run.path.parent for run in runs}
    sweep = RunFolder(above.pop()) if len(above) == 1 else None
    return sweep if sweep and is_sweep(sweep) else None
