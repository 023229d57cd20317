"""The outbox: the part of a run's or a sweep's folder that MLflow has not got yet, read from the folder alone."""

from __future__ import annotations

import json
import math
import os
import posixpath
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints
from urllib.parse import quote, unquote

from ganflow.addresses import SQLITE, without_secrets
from ganflow.contract.game import ERROR, FLOOR, FLOOR_ERROR
from ganflow.errors import GanflowError
from ganflow.files import write_text
from ganflow.runs import evaluations
from ganflow.runs.evaluations import Evaluation
from ganflow.runs.finding import all_runs, all_sweeps
from ganflow.runs.folders import RunFolder, is_running, is_sweep
from ganflow.runs.journal import Entry, backwards
from ganflow.runs.record import FILE, HERE, RunRecord, expanded, mistyped, portable

ENDS = {
    "finished": "FINISHED",
    "stopped": "FINISHED",  # by a sweep's scheduler, or to be gone on with
    "interrupted": "KILLED",
    "killed": "KILLED",
    "failed": "FAILED",
    "diverged": "FAILED",
}
"""MLflow's word for each end of a run."""
MISSING = "MLflow is not installed: pip install mlflow, or train without it (track.mlflow=false)"
STORE = "mlflow.db"
EVALUATED = "eval/"
"""Beginning of the names that `ganflow evaluate`'s scores have in MLflow."""
SETTLED = ("finished", "stopped")
"""Statuses of a trial after which it is not gone on with."""
CONFIG = "config/"
"""Beginning of the names that the searched values of a trial have in MLflow, where they change while it lasts."""
TRIAL = "trial/"
"""Beginning of the names that a trial's scores over its seeds have in MLflow."""
SYSTEM = "system.jsonl"
"""The journal of the machine's use, one line per sample."""
_TRIAL = re.compile(r"-t(\d+)")
_SAMPLES = re.compile(r"round-(\d+)\.png")
_PLAIN = "".join(c for c in map(chr, range(128)) if c not in "%?")


# A run, or a sweep with its trials.


class Snapshot(RunFolder):
    """A folder at one moment: its record, and that of the sweep that it is in, are read and checked once. Sending asks for them
    forty times."""

    def read(self) -> RunRecord:
        return self._record

    @cached_property
    def _record(self) -> RunRecord:
        return RunFolder.read(self)

    @cached_property
    def sweep(self) -> RunFolder | None:
        above = Snapshot(self.path.parent)
        return above if is_sweep(above) else None


def sweep_of(run: RunFolder) -> RunFolder | None:
    """The sweep that this run is a trial of."""
    if isinstance(run, Snapshot):
        return run.sweep
    above = RunFolder(run.path.parent)
    return above if is_sweep(above) else None


def trials(sweep: RunFolder) -> list[Path]:
    """The folders of its trials that were begun, in order."""
    with os.scandir(sweep.path) as entries:
        found = [Path(e.path) for e in entries if e.is_dir() and not e.name.startswith(".")]
    return sorted(path for path in found if (path / FILE).exists())


def number(trial: RunFolder) -> int | None:
    """The number of a trial, with which its id ends."""
    found = _TRIAL.fullmatch(trial.id[trial.id.rfind("-") :])
    return int(found[1]) if found else None


def identity(folder: RunFolder) -> str:
    """The key by which a folder's MLflow run is found again: a run's id, or the one that a sweep's run.json has."""
    return folder.read().id if is_sweep(folder) else folder.id


def title(folder: RunFolder) -> str:
    """The name for messages: "wgan/20260102-030405-0000", or the sweep's name."""
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


def current_status(folder: RunFolder, patience: float = 0) -> str:
    """The status of a run or a sweep: its end, or "running". One that still calls itself running while nobody trains it was
    killed; one whose training process is about to end has `patience` seconds to say how, or was killed."""
    deadline = time.monotonic() + patience
    while (status := folder.read().status) == "running":
        if not is_running(folder):
            return "killed"
        if time.monotonic() > deadline:
            return "killed" if patience else status
        time.sleep(0.1)
    return status


def settings(folder: RunFolder) -> dict[str, Any]:
    """The "tracking" entry of run.json, defaults included. Its `files` are sent besides recipe and plots: paths in the folder."""
    defaults = {"experiment": "ganflow", "run_name": None, "uri": None, "images": True, "log_model": True, "files": ()}
    defaults |= {"register": None, "system_metrics": False}
    return defaults | {key: value for key, value in folder.read().tracking.items() if value not in (None, "")}


# What was sent, and what there is.


@dataclass
class State:
    """tracking.json: what MLflow has of a run, as far as the sender knows. Losing it loses nothing: on first contact the
    server is asked.

    Attributes:
        steps: the last round sent of each metric. A round is sent once: what a run that was rewound reports at rounds that
            it had reported before is not. So MLflow shows the values first reported, which after a resume are the same
            anyway. A trial that became another's copy (population based training) shows its past up to its last
            round before it, and the copy's values after that.
        images: the rounds whose samples were sent; likewise.
        files: the plots and other files sent, with the time each was last changed.
        evaluated: the time of the last of `ganflow evaluate`'s scores that were sent, in milliseconds since 1970.
        model, model_id: the round of the generator that was logged as a model, and MLflow's id of that.
        registered: the name, alias and id of the model that is in the registry.
        status: how the run ended, once MLflow has it.
        seen: the folder's `seen` when MLflow had everything to the run's end.
        error: why the last attempt failed.
    """

    uri: str = ""
    experiment_id: str = ""
    run_id: str = ""
    steps: dict[str, int] = field(default_factory=dict)
    images: list[int] = field(default_factory=list)
    files: dict[str, float] = field(default_factory=dict)
    evaluated: int = 0
    model: int | None = None
    model_id: str = ""
    registered: str = ""
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

    def note_metrics(self, latest: Iterable[Any], history: Callable[[str], Iterable[Any]]) -> None:
        """Note what the store has of which metrics.

        Args:
            latest: of each the one of the last round (with `key` and `step`).
            history: all of one by its name (with `timestamp`): evaluations of earlier rounds may have come later.
        """
        self.steps = {metric.key: metric.step for metric in latest}
        scored = [name for name in self.steps if name.startswith(EVALUATED)]
        self.evaluated = max((metric.timestamp for name in scored for metric in history(name)), default=0)

    def write(self, folder: RunFolder) -> None:
        """Keep it, with paths below the runs folder as such: the folder can be moved."""
        runs = root(folder)
        values = portable(asdict(self), runs)
        if self.uri == default_uri(runs):
            values["uri"] = f"{HERE}/{STORE}"
        write_text(folder.tracking, json.dumps(values, indent=2) + "\n")


def seen(folder: RunFolder) -> list[int]:
    """Numbers that change when there is something new to send in a folder; six files are asked for, none is opened."""
    found: list[int] = []
    for name in ("run.json", "recipe.yaml", "metrics.jsonl", "samples", "plots", evaluations.FILE):
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


def configured(folder: RunFolder) -> Iterator[Entry]:
    """The searched numbers of a trial, at the rounds from which it has them: "config/optimizer.lr". They become others where it
    becomes a copy; a copy that goes on from no later a round than the one before stands a round after that, for a metric's last
    point is the one with the highest step."""
    last = -1
    for values in folder.read().values:
        last = max(values["round"], last + 1)
        numbers = {key: v for key, v in values["config"].items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
        yield Entry(last, values["time"], {f"{CONFIG}{dotted(key)}": float(value) for key, value in numbers.items()})


def began(folder: RunFolder) -> int | None:
    """Milliseconds since 1970 at which a run began; None where its record does not say."""
    created = folder.read().created
    return int(datetime.fromisoformat(created).timestamp() * 1000) if created else None


def ended(folder: RunFolder) -> int | None:
    """Milliseconds since 1970 of a run's last report, and not before it began: a clock may have been set back since; None where
    there is no report."""
    last = next(backwards(folder.journal), None)
    return max(int(last.time * 1000), began(folder) or 0) if last else None


def over_seeds(folder: RunFolder) -> Iterator[Entry]:
    """The scores of the trial that a run is one seed of: "trial/frechet", "trial/frechet_sd", "trial/n"."""
    record = folder.read()
    if record.over_seeds:
        scores = {f"{TRIAL}{name}": value for name, value in record.over_seeds["scores"].items()}
        yield Entry(record.round, record.over_seeds["time"], scores)


def settled(folder: RunFolder, status: str) -> bool:
    """Return false while a trial's searched values may still become others (population based training). They may where it was
    interrupted, or failed and is tried again."""
    return status in SETTLED or not folder.read().values


def decides(key: str, name: str) -> bool:
    """Return true if a parameter may have its value from this key of the recipe: "optimizer.generator.lr" from optimizer.lr, and
    "loss.use" from loss."""
    left = iter(name.split("."))
    return all(step in left for step in dotted(key).split("."))


def noted(folder: RunFolder) -> Iterator[Entry]:
    """The numbers that a run's record has for MLflow, as entries of its journal."""
    yield from configured(folder)
    yield from over_seeds(folder)


def dotted(key: str) -> str:
    """A key of the recipe as parameters are called: "modifiers.0.c" for modifiers[0].c."""
    return re.sub(r"\[(\d+)\]", r".\1", key)


def evaluated(folder: RunFolder) -> tuple[list[Evaluation], GanflowError | None]:
    """The evaluations of a run, or none and why they cannot be read."""
    try:
        return evaluations.read(folder), None
    except GanflowError as error:
        return [], error


def scores(found: Iterable[Evaluation], since: int) -> Iterator[Point]:
    """Scores of evaluations after `since`, in milliseconds since 1970, with errors and floors."""
    for each in found:
        values = {"": each["value"], ERROR: each.get("error"), FLOOR: each.get("floor"), FLOOR_ERROR: each.get("floor_error")}
        for ending, value in values.items():
            if value is not None and (time := round(each["time"] * 1000)) > since and math.isfinite(float(value)):
                yield Point(metric_name(f"{EVALUATED}{each['score']}{ending}"), float(value), time, each["round"])


def metric_name(key: str) -> str:
    """The nearest name that MLflow allows: letters, digits, "_-. :/", and no empty or dotted path segments."""
    allowed = re.sub(r"[^A-Za-z0-9_\-. :/]", "_", key)[:250]
    return posixpath.normpath(allowed).lstrip("./") or "_"


def samples(folder: RunFolder) -> list[tuple[int, Path]]:
    """The pictures of a run with their rounds, in order."""
    found = ((_SAMPLES.fullmatch(path.name), path) for path in folder.samples.glob("*.png"))
    return sorted((int(match[1]), path) for match, path in found if match)


# Addresses of stores.


def default_uri(runs: Path) -> str:
    """The store of a runs folder when no other is named."""
    return sqlite_uri(runs.absolute() / STORE)


def sqlite_uri(file: Path) -> str:
    """The address of a SQLite file. In one, `?` begins the options and `%` a code; MLflow makes an empty folder of the name as it
    is written here, so nothing else is quoted."""
    return SQLITE + quote(file.as_posix(), safe=_PLAIN, errors="surrogateescape")


def sqlite_file(uri: str) -> Path:
    """The file of a SQLite address."""
    return Path(unquote(uri.removeprefix(SQLITE).partition("?")[0], errors="surrogateescape"))


def artifacts(runs: Path) -> Path:
    """The folder in which a database store keeps pictures, plots and models."""
    return runs.absolute() / "mlartifacts"
