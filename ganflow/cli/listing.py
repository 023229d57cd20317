"""Facts and tables for the commands that list runs and sweeps."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganflow.cli.helping import wrapped
from ganflow.errors import GanflowError
from ganflow.printing import no_room, say, say_json
from ganflow.runs.folders import check, status

if TYPE_CHECKING:
    from ganflow.evaluation.evaluate import Spread
    from ganflow.sweeps.records import SweepFolder


def all_sweeps_facts(root: Path) -> list[dict[str, Any]]:
    """Facts about every sweep, oldest first."""
    from ganflow.sweeps.records import SweepFolder

    found = {path.parent.absolute() for name in ("run.json", "trials.jsonl") for path in root.glob(f"*/{name}")}
    facts = [sweep for path in found if (sweep := sweep_facts(SweepFolder(path)))["kind"] == "sweep"]
    return sorted(facts, key=lambda sweep: (sweep["id"], sweep["name"]))


def sweep_facts(folder: SweepFolder) -> dict[str, Any]:
    """Facts about a sweep, from its folder alone."""
    from ganflow.sweeps.ranking import best_facts, front_of
    from ganflow.sweeps.repeats import Repeats, at_rest
    from ganflow.sweeps.table import counts, over

    facts: dict[str, Any] = {"kind": "sweep", "name": folder.sweep, "id": "", "status": "damaged", "folder": str(folder.path)}
    facts |= {"trials": None, "over": 0, "created": None, "best": {}, "front": [], "alarms": [], "error": None}
    try:
        check(folder)
        record, alarms = folder.read(), folder.alarms()
        trials, now = Repeats.of(record).trials(folder.trials().values()), status(folder, record)
    except GanflowError as error:
        return facts | {"error": error.in_shell}
    trials = trials if now == "running" else at_rest(trials)
    front = front_of(trials, record.objectives)
    scored = {} if record.objectives else best_facts(trials, record.mode)
    if not scored and record.best and "trial" in record.best:
        scored = {**record.best}
    return facts | {
        "kind": record.kind,
        "id": record.id,
        "status": now,
        "recipe": record.recipe or None,
        "metric": record.metric,
        "mode": record.mode,
        "objectives": record.objectives,
        "trials": record.trials,
        "over": over(trials),
        "rounds": record.rounds or None,
        "states": {state: count for state, count in counts(trials, record.trials).items() if count},
        "created": record.created or None,
        "best": {"metric": record.metric, **scored} if scored else {},
        "front": [{"trial": t.number, "scores": t.scores, "config": t.config} for t in front],
        "alarms": alarms,
        "ended": record.ended,
        "error": record.error or None,
    }


def say_list(
    listed: list[dict[str, Any]], table: Callable[[list[dict[str, Any]]], Iterable[str]], none: str, as_json: bool
) -> None:
    """Print a table, and what is wrong with the damaged ones, or JSON."""
    if as_json:
        say_json(listed)
        return
    say(*(table(listed) if listed else [none]))
    for each in listed:
        if each["status"] == "damaged":
            say(f"ganflow: {each['error']}", err=True)


def columns(rows: Sequence[dict[str, str]], dispensable: Sequence[str] = ()) -> Iterator[str]:
    """Lines of a table, without columns that are empty. Lines are never cut or folded, so that they can be searched.

    Args:
        rows: name of the column → cell.
        dispensable: columns that are left out, in this order, until the lines fit a terminal; a last line names them.
    """
    rows = [{name: name for name in rows[0]}, *rows]
    sizes = {name: max(len(row[name]) for row in rows) for name in rows[0] if any(row[name] for row in rows[1:])}
    room, absent = shutil.get_terminal_size().columns, list[str]()
    for name in dispensable if sys.stdout.isatty() else ():
        if name in sizes and sum(sizes.values()) + 2 * len(sizes) - 2 > room:
            sizes.pop(name)
            absent.append(name)
    for row in rows:
        yield "  ".join(f"{row[name]:{size}}" for name, size in sizes.items()).rstrip()
    if absent:
        yield from wrapped(no_room(absent), room)


def spread_cells(found: Sequence[Spread]) -> list[dict[str, str]]:
    """A table's rows for scores over several trainings."""
    deviations = {s.name: "" if s.deviation is None else f"{s.deviation:.2g}" for s in found}
    return [{"score": s.name, "mean": f"{s.mean:.4g}", "sd": deviations[s.name], "n": str(s.n)} for s in found]


def alarm_lines(alarms: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each alarm of several seeds."""
    return [f"alarm: seed {alarm['seed']}, round {alarm['round']}: {alarm['text']}" for alarm in alarms]


def row(name: str, text: object) -> str:
    """A line of a description."""
    return f"  {name:12}{text}"


def say_rows(lines: Iterable[str]) -> None:
    """Print a description: on a terminal, lines that it has no room for are broken between words."""
    room = shutil.get_terminal_size().columns - 1
    for line in lines:
        if sys.stdout.isatty() and len(line) > room:
            say(*textwrap.wrap(line, room, subsequent_indent=" " * 14, break_long_words=False, break_on_hyphens=False))
        else:
            say(line)


def trials_over(sweep: dict[str, Any]) -> str:
    """The number of a sweep's trials that are over, "12/16"."""
    return f"{sweep['over']}/{sweep['trials'] or '?'}"


def age(created: str | None) -> str:
    """The time since then: "40 s", "5 min", "3 h", "12 d"."""
    try:
        began = datetime.fromisoformat(created or "")
    except ValueError:
        return ""
    seconds = (datetime.now(UTC) - began.astimezone(UTC)).total_seconds()
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
