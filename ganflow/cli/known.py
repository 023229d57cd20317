"""What the folders tell of sweeps and of runs, for the commands that list either. Not a command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganflow.runs import RunFolder
    from ganflow.tracking import Entry
    from ganflow.tune.folder import SweepFolder

TAIL = 65_536  # bytes of a journal that are read: hundreds of reports


def known_sweeps(root: Path) -> list[dict[str, Any]]:
    """What is known of every sweep, oldest first."""
    from ganflow.runs import RunFolder, is_sweep
    from ganflow.tune.folder import SweepFolder

    found = {about.parent.absolute() for about in root.glob("*/run.json") if is_sweep(RunFolder(about.parent))}
    found |= {records.parent.absolute() for records in root.glob("*/trials.jsonl")}  # though run.json be damaged
    return sorted((known_sweep(SweepFolder(path)) for path in found), key=lambda sweep: str(sweep["id"]))


def known_sweep(folder: SweepFolder) -> dict[str, Any]:
    """What the folder tells of the sweep."""
    from ganflow.errors import GanflowError
    from ganflow.runs import check
    from ganflow.tune.table import best_of, counts

    facts: dict[str, Any] = {"kind": "sweep", "name": folder.sweep, "id": "", "status": "unreadable", "folder": str(folder.path)}
    facts |= {"trials": None, "over": 0, "created": None, "best": {}}
    try:
        check(folder)
        about, trials = folder.about(), folder.trials().values()
    except (OSError, ValueError, GanflowError):
        return facts
    metric, mode = str(about.get("metric")), str(about.get("mode"))
    best = best_of(trials, mode)
    told = {"trial": best.number, "score": best.score, "config": best.config} if best else about.get("best") or {}
    return facts | {
        "id": about.get("id"),
        "status": status(about),
        "recipe": about.get("recipe"),
        "metric": metric,
        "mode": mode,
        "trials": about.get("trials"),
        "over": sum(t.over for t in trials),
        "rounds": about.get("rounds"),
        "states": {state: count for state, count in counts(trials, about.get("trials")).items() if count},
        "created": about.get("created"),
        "best": {"metric": metric, **told} if told else {},
    }


def status(about: dict[str, Any]) -> str:
    """As the run noted it; "killed" where it says "running" but its process, on this machine, is gone."""
    import socket

    from ganflow.runs import alive

    noted, pid = str(about.get("status", "unknown")), about.get("pid")
    if noted != "running" or about.get("host") != socket.gethostname() or not isinstance(pid, int) or pid <= 0:
        return noted
    return noted if alive(pid) else "killed"


def last_entries(folder: RunFolder) -> tuple[Entry | None, Entry | None]:
    """The last report of terms and the last evaluation, read from the journal's end."""
    from ganflow.errors import GanflowError
    from ganflow.tracking.journal import read

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
