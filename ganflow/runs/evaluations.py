"""Evaluations of a run's checkpoints: evaluations.json in its folder, which is read and written here and nowhere else."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

from ganflow.errors import GanflowError
from ganflow.evaluation.scores import ABOUT_FLOOR, Score
from ganflow.files import read_bytes, write_text
from ganflow.lock import Held, locked
from ganflow.runs.folders import RunFolder
from ganflow.runs.record import mistyped

FILE = "evaluations.json"
SCHEMA = "1.0"
LATEST = 1e11
"""Seconds since 1970, in the year 5138: a later time is no time."""
NOT_FINITE = ("nan", "inf", "-inf")
"""Texts of what JSON has no numbers for."""
LARGEST = sys.float_info.max
_LOCK = ".evaluations.json.lock"


class Evaluation(TypedDict):
    """A score of a checkpoint.

    `metric` is its section of a recipe, `seeds` the number of sampling seeds, `checkpoint` the file's name, `round` and `digest`
    that checkpoint's, `time` seconds since 1970. NaN and the infinities are texts, as in the journal.
    """

    score: str
    value: float | str
    error: NotRequired[float | str | None]
    floor: NotRequired[float | str | None]
    floor_error: NotRequired[float | str | None]
    goal: NotRequired[Literal["min", "max"]]
    seeds: int
    protocol: dict[str, Any]
    metric: dict[str, Any]
    checkpoint: str
    round: int
    digest: str
    time: float


def read(folder: RunFolder) -> list[Evaluation]:
    """The evaluations of a run, the latest last; none where there is no file.

    Raises:
        GanflowError: the file is damaged.
    """
    path = folder.path / FILE
    try:
        raw = json.loads(read_bytes(path), parse_constant=_no_number)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise GanflowError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise _damaged(path, str(error)[:200]) from None
    if not isinstance(raw, dict):
        raise _damaged(path, "it is not a mapping")
    version = raw.get("schema")
    if isinstance(version, str) and version.partition(".")[0] > "1":
        raise GanflowError(f"{path} is of schema {version[:10]}, of a newer ganflow (this one reads 1); update ganflow")
    found: Any = raw.get("evaluations")
    if problem := mistyped("evaluations", found, list[Evaluation]):
        raise _damaged(path, problem)
    kept: list[Evaluation] = found
    if wrong := [(e["score"], problem) for e in kept if (problem := _wrong(e))]:
        raise _damaged(path, f"'{wrong[0][0][:40]}' has {wrong[0][1]}")
    return kept


def add(folder: RunFolder, new: Sequence[Evaluation]) -> list[Evaluation]:
    """Add evaluations by one atomic write; returns them with their time. One that scores the same checkpoint by the same protocol
    replaces the earlier one.

    Raises:
        GanflowError: the file is damaged, or cannot be written.
    """
    path = folder.path / FILE
    try:
        with locked(folder.path / _LOCK, timeout=60):
            before, coming = read(folder), [_key(e) for e in new]
            same = {_key(e): e for e in before}
            latest = max((e["time"] for e in before), default=0.0)
            now = max(time.time(), latest + 0.001)  # a clock may be set back: MLflow gets what is later than what it has
            timed: list[Evaluation] = []
            for i, e in enumerate(new):
                old = same.get(_key(e))  # asked again, and answered alike: nothing new to send
                timed.append(old if old and {**e, "time": old["time"]} == old else {**e, "time": now + i / 1000})
            kept = [*(e for e in before if _key(e) not in coming), *timed]
            write_text(path, json.dumps({"schema": SCHEMA, "evaluations": kept}, indent=2) + "\n")
            return timed
    except Held:
        raise GanflowError(f"another process is writing {path} for a minute already; is one stuck?") from None
    except OSError as error:
        raise GanflowError(f"cannot write {path}: {error.strerror}") from error


def _key(of: Evaluation) -> tuple[str, str, str]:
    protocol = {key: value for key, value in of["protocol"].items() if key not in ABOUT_FLOOR}
    return of["score"], of["digest"], json.dumps(protocol, sort_keys=True)


def _wrong(of: Evaluation) -> str | None:
    """Say which number of an evaluation is none; None where all are."""
    for name in ("value", "error", "floor", "floor_error"):
        value: Any = of.get(name)
        if value is None or value in NOT_FINITE:
            continue
        if isinstance(value, str) or not abs(value) <= LARGEST:
            return f"a value that is no number ({name})"
    if any(isinstance(error, (int, float)) and error < 0 for error in (of.get("error"), of.get("floor_error"))):
        return "a standard error below 0"
    if of["seeds"] < 1:
        return "no seeds"
    return None if 0 <= of["time"] < LATEST else "a value that is no number (time)"


def score_of(row: Mapping[str, Any]) -> Score:
    """The score of a row that is kept; what is not finite is a text there."""
    known = ({} if row.get(key) is None else {key: float(row[key])} for key in ("value", "error", "floor", "floor_error"))
    return Score(row["score"], **{key: number for each in known for key, number in each.items()})


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number; in JSON it is the text {text.lower().replace('infinity', 'inf')!r}")


def _damaged(path: Path, how: str) -> GanflowError:
    return GanflowError(f"{path} is damaged ({how}); remove it, and evaluate the run again: ganflow evaluate "
                        f"{RunFolder(path.parent).reference()}")  # fmt: skip
