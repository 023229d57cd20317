"""The outbox: what of a run's or a sweep's folder MLflow has not got yet, read from the folder alone."""

from __future__ import annotations

import json
import math
import os
import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, get_type_hints
from urllib.parse import quote, unquote

from ganflow.addresses import SQLITE, absolute, without_secrets
from ganflow.files import write_text
from ganflow.runs.folders import RunFolder, all_runs, all_sweeps, is_sweep
from ganflow.runs.journal import Entry, entries
from ganflow.runs.record import FILE, HERE, expanded, mistyped, portable
from ganflow.tracking.credentials import ENVIRONMENT, known

_TRIAL = re.compile(r"-t(\d+)")


def sweep_of(run: RunFolder) -> RunFolder | None:
    """The sweep that this run is a trial of."""
    above = RunFolder(run.path.parent)
    return above if is_sweep(above) else None


def trials(sweep: RunFolder) -> list[Path]:
    """The folders of its trials that were begun, in order."""
    with os.scandir(sweep.path) as entries:
        found = [Path(e.path) for e in entries if e.is_dir() and not e.name.startswith(".")]
    return sorted(path for path in found if (path / FILE).exists())


def number(trial: RunFolder) -> int | None:
    """Of a trial: its id ends with it."""
    found = _TRIAL.fullmatch(trial.id[trial.id.rfind("-") :])
    return int(found[1]) if found else None


def identity(folder: RunFolder) -> str:
    """By what a folder's MLflow run is found again: a run's id, or the one that a sweep's run.json has."""
    return folder.read().id if is_sweep(folder) else folder.id


def title(folder: RunFolder) -> str:
    """What a person calls it: "wgan/20260102-030405-0000", or the sweep's name."""
    return folder.path.name if is_sweep(folder) else f"{folder.name}/{folder.id}"


def root(folder: RunFolder) -> Path:
    """The runs folder that it is in."""
    return folder.path.parent if is_sweep(folder) else folder.path.parent.parent


def everything(runs: Path) -> Iterator[RunFolder]:
    """Every run and every sweep of a runs folder; trials are in their sweeps."""
    sweeps = all_sweeps(runs)
    inside = {sweep.path for sweep in sweeps}
    yield from sweeps
    yield from (run for run in all_runs(runs) if run.path.parent not in inside)


ENDS = {
    "finished": "FINISHED",
    "stopped": "FINISHED",  # by a sweep's scheduler, or to be gone on with
    "interrupted": "KILLED",
    "killed": "KILLED",
    "failed": "FAILED",
    "diverged": "FAILED",
}
"""MLflow's word for how a run ended."""
MISSING = "MLflow is not installed: pip install mlflow, or train without it (track.mlflow=false)"
STORE = "mlflow.db"
_SAMPLES = re.compile(r"round-(\d+)\.png")


@dataclass(frozen=True)
class Settings:
    """The "tracking" entry of run.json. `files` are to be sent as artifacts besides recipe and plots: paths in the folder."""

    experiment: str
    run_name: str | None = None
    uri: str | None = None
    images: bool = True
    log_model: bool = True
    files: tuple[str, ...] = ()

    @classmethod
    def of(cls, folder: RunFolder) -> Settings:
        told = folder.read().tracking
        return cls(
            experiment=told.get("experiment") or "ganflow",
            run_name=told.get("run_name"),
            uri=told.get("uri"),
            images=told.get("images") is not False,
            log_model=told.get("log_model") is not False,
            files=tuple(told.get("files") or ()),
        )


@dataclass
class State:
    """tracking.json: what MLflow has of a run, as far as the sender knows. Losing it loses nothing: on first contact the
    server is asked.

    Attributes:
        steps: the last round sent of each metric. A round is sent once: what a run that was rewound reports at rounds that
            it had reported before is not. So MLflow shows the values first reported, which after a resume are the same
            anyway. A trial that became another's copy (population based training) shows its own past up to its last
            round before it, and the copy's values after that.
        images: the rounds whose samples were sent; likewise.
        files: the plots and other files sent, with the time each was last changed.
        model: the round of the generator that was logged as a model.
        status: how the run ended, once MLflow was told.
        seen: the folder's `seen` when MLflow had everything to the run's end.
        error: why the last attempt failed.
    """

    uri: str = ""
    experiment_id: str = ""
    run_id: str = ""
    steps: dict[str, int] = field(default_factory=dict)
    images: list[int] = field(default_factory=list)
    files: dict[str, float] = field(default_factory=dict)
    model: int | None = None
    status: str = ""
    seen: list[int] = field(default_factory=list)
    error: str = ""

    @classmethod
    def read(cls, folder: RunFolder) -> State:
        runs = root(folder)
        try:
            values = without_secrets(expanded(json.loads(folder.tracking.read_text()), runs))
            state, hints = cls(**values), get_type_hints(cls)
            if any(mistyped(name, value, hints[name]) for name, value in values.items()):
                return cls()
        except (OSError, ValueError, TypeError):  # none yet, or another version's
            return cls()
        return replace(state, uri=default_uri(runs)) if state.uri == f"{runs}/{STORE}" else state

    def write(self, folder: RunFolder) -> None:
        """Keep it, with paths below the runs folder as such: the folder can be moved."""
        runs = root(folder)
        own = self.uri == default_uri(runs)
        values = portable(asdict(self), runs) | ({"uri": f"{HERE}/{STORE}"} if own else {})
        write_text(folder.tracking, json.dumps(values, indent=2) + "\n")


def seen(folder: RunFolder) -> list[int]:
    """Numbers that change when there is something new to send in a folder. Takes a look at five files and opens none."""
    found: list[int] = []
    for name in ("run.json", "recipe.yaml", "metrics.jsonl", "samples", "plots"):
        try:
            file = os.stat(f"{folder.path}/{name}")
            found += (file.st_mtime_ns, file.st_size, file.st_ino)
        except FileNotFoundError:
            found += (0, 0, 0)
    return found


class Point(NamedTuple):
    name: str
    value: float
    time: int  # milliseconds since 1970
    round: int


def points(reported: Iterable[Entry], steps: dict[str, int]) -> Iterator[Point]:
    """The points that come after `steps`, each once. What is not finite is left out: MLflow's databases would keep an
    infinity as 1.8e308, and its charts would show nothing else."""
    last = dict(steps)
    for entry in reported:
        for key, value in entry.values.items():
            name = metric_name(key)
            if entry.round > last.get(name, -1):
                last[name] = entry.round
                if math.isfinite(value):
                    yield Point(name, value, int(entry.time * 1000), entry.round)


def metric_name(key: str) -> str:
    """The nearest name that MLflow allows: letters, digits, "_-. :/", and no empty or dotted path segments."""
    allowed = re.sub(r"[^A-Za-z0-9_\-. :/]", "_", key)[:250]
    return posixpath.normpath(allowed).lstrip("./") or "_"


def samples(folder: RunFolder) -> list[tuple[int, Path]]:
    """The pictures of a run with their rounds, in order."""
    found = ((_SAMPLES.fullmatch(path.name), path) for path in folder.samples.glob("*.png"))
    return sorted((int(match[1]), path) for match, path in found if match)


@dataclass(frozen=True)
class Unsent:
    """What MLflow has not got, and why. As text: "120 points not sent to http://…: connection refused; send them …"."""

    points: int
    images: int
    uri: str
    why: str
    run: str  # its id, or the sweep's name

    def __str__(self) -> str:
        counts = [f"{n} {word}{'' if n == 1 else 's'}" for n, word in ((self.points, "point"), (self.images, "picture")) if n]
        return f"{' and '.join(counts) or 'the end of the run'} not sent to {self.uri}: {self.why}; {self.remedy}"

    @property
    def remedy(self) -> str:
        return f"send later with: ganflow sync {self.run}"


def unsent(folder: RunFolder) -> Unsent | None:
    """What is still to be sent of a run that is over, or of a sweep and all its trials; None when MLflow has everything."""
    if not is_sweep(folder):
        return _unsent(folder)
    parts = [_unsent(folder), *(_unsent(RunFolder(path)) for path in trials(folder))]
    left = [part for part in parts if part]
    if not left:
        return None
    why = next((part.why for part in left if part.why), "")
    return Unsent(sum(p.points for p in left), sum(p.images for p in left), left[0].uri, why, title(folder))


def _unsent(folder: RunFolder) -> Unsent | None:
    state = State.read(folder)
    if state.seen == seen(folder) and not state.error:
        return None
    settings, status = Settings.of(folder), folder.read().status
    left = sum(1 for _ in points(entries(folder.journal), state.steps))
    pictures = len({round for round, _ in samples(folder)} - set(state.images)) if settings.images else 0
    ended = state.status == status or (state.status == "killed" and status == "running")
    if not left and not pictures and ended and not state.error:
        return None
    return Unsent(left, pictures, state.uri or store_uri(folder), state.error, folder.id)


def store_uri(folder: RunFolder, uri: str | None = None) -> str:
    """Where a run's points go: what is asked for, what its recipe says, MLFLOW_TRACKING_URI, where they went before, or
    a SQLite file beside the runs. A SQLite file's path is made absolute."""
    runs = root(folder)
    named = uri or Settings.of(folder).uri or os.environ.get(ENVIRONMENT)
    return absolute(named or _still(State.read(folder).uri, runs) or default_uri(runs))


def _still(before: str, runs: Path) -> str:
    """Where points went before. The runs folder's own store is still that, where the folder was moved, or copied."""
    file = sqlite_file(before) if before.startswith(SQLITE) and "?" not in before else None
    away = file is not None and file.name == STORE and not inside(file, runs) and not known(before)
    return default_uri(runs) if away else before


def inside(file: Path, runs: Path) -> bool:
    """Whether a file lies below the runs folder, links followed."""
    return Path(os.path.realpath(file)).is_relative_to(os.path.realpath(runs))


def default_uri(runs: Path) -> str:
    """The store of a runs folder when no other is named."""
    return sqlite_uri(runs.absolute() / STORE)


def sqlite_uri(file: Path) -> str:
    """The address of a SQLite file. In one, `?` begins the options and `%` a code; MLflow makes an empty folder of the name as it
    is written here, so nothing else is quoted."""
    return f"sqlite:///{quote(file.as_posix(), safe=_PLAIN)}"


def sqlite_file(uri: str) -> Path:
    """The other way."""
    return Path(unquote(uri.removeprefix("sqlite:///").partition("?")[0]))


_PLAIN = "".join(c for c in map(chr, range(128)) if c not in "%?")


def artifacts(runs: Path) -> Path:
    """Where a database store keeps pictures, plots and models."""
    return runs.absolute() / "mlartifacts"
