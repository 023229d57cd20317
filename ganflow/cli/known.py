"""What the folders tell of sweeps and of runs, for the commands that list either. Not a command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganflow.runs.folders import RunFolder
    from ganflow.runs.journal import Entry
    from ganflow.tune.records import SweepFolder

TAIL = 65_536  # bytes of a journal that are read: hundreds of reports


def known_sweeps(root: Path) -> list[dict[str, Any]]:
    """What is known of every sweep, oldest first."""
    from ganflow.tune.records import SweepFolder

    found = {path.parent.absolute() for name in ("run.json", "trials.jsonl") for path in root.glob(f"*/{name}")}
    known = [sweep for path in found if (sweep := known_sweep(SweepFolder(path)))["kind"] == "sweep"]
    return sorted(known, key=lambda sweep: (sweep["id"], sweep["name"]))


def known_sweep(folder: SweepFolder) -> dict[str, Any]:
    """What the folder tells of the sweep."""
    from ganflow.errors import GanflowError
    from ganflow.runs.folders import check, status
    from ganflow.tune.records import best_of, counts

    facts: dict[str, Any] = {"kind": "sweep", "name": folder.sweep, "id": "", "status": "damaged", "folder": str(folder.path)}
    facts |= {"trials": None, "over": 0, "created": None, "best": {}, "error": None}
    try:
        check(folder)
        record, trials = folder.read(), folder.trials().values()
    except GanflowError as error:
        return facts | {"error": str(error)}
    best = best_of(trials, record.mode)
    scored: dict[str, Any] = {"trial": best.number, "score": best.score, "config": best.config} if best else {}
    if not best and record.best and "trial" in record.best:
        scored = {**record.best}
    return facts | {
        "kind": record.kind,
        "id": record.id,
        "status": status(folder, record),
        "recipe": record.recipe or None,
        "metric": record.metric,
        "mode": record.mode,
        "trials": record.trials,
        "over": sum(t.over for t in trials),
        "rounds": record.rounds or None,
        "states": {state: count for state, count in counts(trials, record.trials).items() if count},
        "created": record.created or None,
        "best": {"metric": record.metric, **scored} if scored else {},
        "error": record.error or None,
    }


def say_damaged(listed: list[dict[str, Any]]) -> None:
    """Print what is wrong with the damaged ones of a list, and what helps."""
    from ganflow.printing import say

    for each in listed:
        if each["status"] == "damaged":
            say(f"ganflow: {each['error']}", err=True)


def last_entries(folder: RunFolder) -> tuple[Entry | None, Entry | None]:
    """The last report of terms and the last evaluation, read from the journal's end."""
    from ganflow.errors import GanflowError
    from ganflow.runs.journal import read

    try:
        with folder.journal.open("rb") as file:
            start = max(0, file.seek(0, 2) - TAIL)
            file.seek(start)
            if start:
                start += len(file.readline())
        entries = read(folder.journal, start)[0]
    except (OSError, GanflowError):
        return None, None
    reports = [e for e in entries if is_report(e)]
    evaluations = [e for e in entries if not is_report(e)]
    return reports[-1] if reports else None, evaluations[-1] if evaluations else None


def is_report(entry: Entry) -> bool:
    """Whether an entry is of terms. The others are of metrics."""
    return any(name.startswith(("critic/", "generator/")) for name in entry.values)


def of_trials(sweep: dict[str, Any]) -> str:
    """How many trials of a sweep are over, "12/16"."""
    return f"{sweep['over']}/{sweep['trials'] or '?'}"


def age(created: str | None) -> str:
    """How long ago: "40 s", "5 min", "3 h", "12 d"."""
    from datetime import UTC, datetime

    try:
        began = datetime.fromisoformat(created or "")
    except ValueError:
        return ""
    seconds = (datetime.now(UTC) - began.astimezone(UTC)).total_seconds()
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
