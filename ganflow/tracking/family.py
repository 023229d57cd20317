"""Sweeps and their trials among the folders that are sent. A sweep is known by its run.json; what makes one lies in a
layer above."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from ganflow.record import FILE
from ganflow.runs import RunFolder, all_runs, all_sweeps, is_sweep

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
