"""Runs of a sweep's trials, by its records: those that a trial began with, or those that train it again by themselves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ganflow.errors import GanflowError
from ganflow.runs.record import mistyped

OVER = ("finished", "stopped", "diverged", "failed")
"""States in which a trial is over. "stopped": early, by the scheduler, by an alarm, by hand or with the sweep's budget; "failed":
died more often than it may be retried."""
FILE = "trials.jsonl"
MOST = 10**9
"""The largest number of a trial: folders are called by it."""
_DECIDING: Mapping[str, Any] = {"confirms": int | None, "state": str}


def runs_of(sweep: Path, trial: int, size: int) -> range:
    """Numbers of the runs that a trial is, whoever asks: those by themselves once it was confirmed, else those of the search;
    none where the number is that of such a training by itself, which is no trial.

    Args:
        size: runs of a trial.

    Raises:
        GanflowError: the records are damaged.
    """
    again, over = dict[int, int](), dict[int, bool]()
    for number, values in lines(sweep / FILE, _DECIDING):
        if values.get("confirms") is not None:
            again[number] = values["confirms"]
        if "state" in values:
            over[number] = values["state"] in OVER
    if trial * size in again:
        return range(0)
    found = confirmed(((number, of, over.get(number, False)) for number, of in again.items()), size)
    return found.get(trial, range(trial * size, (trial + 1) * size))


def confirmed(runs: Iterable[tuple[int, int, bool]], size: int) -> dict[int, range]:
    """The trials that were trained again by themselves, with the runs that did so: all of a trial's seeds, and all are over.

    Args:
        runs: of each that trains again its number, the trial's, and whether it is over.
        size: runs of a trial.
    """
    again: dict[int, list[int]] = {}
    for number, trial, over in runs:
        if over:
            again.setdefault(trial, []).append(number)
    return {trial: range(min(numbers), min(numbers) + size) for trial, numbers in again.items() if len(numbers) == size}


def lines(path: Path, known: Mapping[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Every whole line of trials' records: a run's number, and what became known of it. None where there is no file.

    Args:
        known: values that are wanted, with their types.

    Raises:
        GanflowError: a line is not a record, or the file cannot be read.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise GanflowError(f"cannot read {path}: {error.strerror}") from None
    for row, line in enumerate(raw[: raw.rfind(b"\n") + 1].splitlines(), 1):
        try:
            found = json.loads(line)
            number, values = found.pop("trial"), {name: value for name, value in found.items() if name in known}
            wrong = next(filter(None, (mistyped(name, value, known[name]) for name, value in values.items())), None)
            if wrong or type(number) is not int or abs(number) > MOST:
                raise ValueError
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
            raise GanflowError(f"{path}:{row} is damaged: not a trial's record; delete that line and resume") from None
        yield number, values
