"""A run as one HTML file, report.html in its folder: samples, curves, scores and recipe. It needs no network and no other file; a
page that is open follows the run while it lasts."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from ganflow.errors import GanflowError, escaped
from ganflow.evaluation.scores import Score, described_best, grouped
from ganflow.files import open_file, read_bytes, replacing
from ganflow.printing import finite
from ganflow.runs.folders import RunFolder, status
from ganflow.runs.journal import Entry, sound
from ganflow.runs.record import RunRecord

FILE = "report.html"
PICTURES, LARGEST = 24, 4 * 2**20  # pictures in a report, evenly spread over the run; bytes of one
POINTS = 600  # of a curve
RECIPE = 2**18  # bytes of its text that are shown
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL


def write_report(folder: RunFolder, path: Path | None = None) -> Path:
    """Write a run's report.

    Args:
        path: of the file; by default report.html in the run's folder.

    Raises:
        GanflowError: no line of the journal is sound, or the file cannot be written.
    """
    path = path or folder.path / FILE
    page = Path(__file__).with_name("report.html").read_text(encoding="utf-8")
    # what is in a script ends at "</script", and "<!--" has a meaning there
    data = json.dumps(_legible(finite(report_data(folder))), ensure_ascii=False).replace("<", "\\u003c")
    try:
        with replacing(path, durable=False) as scratch, os.fdopen(open_file(scratch, _NEW), "w", encoding="utf-8") as file:
            file.write(page.replace(">{}<", f">{data}<", 1))
    except OSError as error:
        raise GanflowError(f"cannot write {path}: {error.strerror}") from error
    return path


def _legible(value: Any) -> Any:
    """Plain data whose texts a browser shows as they are: characters that turn the direction of writing are written out."""
    if isinstance(value, dict):
        return {_legible(key): _legible(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_legible(each) for each in value]
    return escaped(value, keep="\n\t") if isinstance(value, str) else value


def report_data(folder: RunFolder) -> dict[str, Any]:
    """All that a report shows, as plain data."""
    record, found = folder.read(), sound(folder.journal)
    now, last = status(folder, record), found[-1].round if found else 0
    round, scored = max(record.round, last), [entry for entry in found if _is_evaluation(entry)]
    return {
        "id": folder.id,
        "name": folder.name,
        "status": now,
        "state": _state(now, round, record, found),
        "round": round,
        "rounds": record.rounds,
        "last": last,
        "alarms": [f"round {alarm['round']}: {alarm['text']}" for alarm in record.alarms],
        "panels": _panels(found),
        "scores": _scores(record, scored),
        "pictures": _pictures(folder),
        "facts": list(_facts(record).items()),
        "recipe": _recipe(folder),
    }


def _is_evaluation(entry: Entry) -> bool:
    return not any(name.startswith(("critic/", "generator/")) for name in entry.values)


def _state(now: str, round: int, record: RunRecord, found: Sequence[Entry]) -> str:
    text = f"{now}, round {round} of {record.rounds or '?'}"
    if len(found) > 1 and now == "running":
        paces = _paces([entry for entry in found if not _is_evaluation(entry)])
        if paces and record.rounds > round:
            left = (record.rounds - round) * median(paces)
            text += f", about {left / 60:.0f} min left" if left >= 90 else f", about {left:.0f} s left"
    return text + (f": {record.error}" if record.error else "")


def _paces(found: Sequence[Entry]) -> list[float]:
    """Seconds per round from each report to the next, without those before which the clock was set back. Their median passes
    over one that was set forward, and over a night between a run's end and its going on."""
    steps = [(after.time - before.time, after.round - before.round) for before, after in pairwise(found)]
    return [seconds / rounds for seconds, rounds in steps if seconds > 0 and rounds > 0]


def _panels(found: Sequence[Entry]) -> list[dict[str, Any]]:
    """The curves, in panels as plots/losses.png has them, thinned to what a screen can show."""
    try:
        from ganflow.pictures.curves import panels_of
    except ModuleNotFoundError:  # no pictures in this installation
        return []
    shown = []
    for title, curves in panels_of(found):
        thinned = []
        for name, (rounds, values) in curves.items():
            step = max(1, len(rounds) // POINTS)
            kept = sorted({*range(0, len(rounds), step), len(rounds) - 1})
            thinned.append({"name": name, "x": [rounds[i] for i in kept], "y": [float(f"{values[i]:.5g}") for i in kept]})
        shown.append({"title": title, "curves": thinned})
    return shown


def _scores(record: RunRecord, scored: Sequence[Entry]) -> list[tuple[str, str]]:
    """The last scores with their errors and floors, and the best."""
    rows = [(score.name, str(score).removeprefix(score.name).strip()) for score in grouped(scored[-1].values)] if scored else []
    best: Mapping[str, Any] = record.best or {}
    if best and (name := best.get("metric")):
        text = described_best(Score(name, best["score"], best.get("error")), best.get("round"), None)
        rows.append(("best", text))
    return rows


def _pictures(folder: RunFolder) -> list[dict[str, Any]]:
    """Pictures of samples, evenly spread over the run, the first and the last among them."""
    files = folder.pictures()
    most = max(1, PICTURES - 1)
    chosen = files if len(files) <= PICTURES else [files[i * (len(files) - 1) // most] for i in range(PICTURES)]
    found = []
    for file in chosen:
        with suppress(OSError, ValueError):  # a link, a pipe: somebody else's folder
            data = read_bytes(file, LARGEST + 1)
            if len(data) <= LARGEST:
                source = f"data:image/png;base64,{base64.b64encode(data).decode()}"
                found.append({"round": int(file.stem.removeprefix("round-")), "src": source})
    return found


def _facts(record: RunRecord) -> dict[str, str]:
    data = record.data
    facts = {
        "began": record.created,
        "data": f"{data['name']}: {data['size']} examples" if data else "",
        "seed": str(record.seed),
        "device": record.device,
        "versions": ", ".join(f"{name} {version}" for name, version in record.versions.items()),
        "plugins": ", ".join(f"{name} {plugin['version']}" for name, plugin in record.plugins.items()),
    }
    return {name: text for name, text in facts.items() if text}


def _recipe(folder: RunFolder) -> str:
    with suppress(OSError):
        return read_bytes(folder.recipe, RECIPE).decode("utf-8", "replace")
    return ""
