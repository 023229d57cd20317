"""Runs side by side, by what can be compared. `ganflow.compare` reads them."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganflow.api.arguments import Name, name_of, root_of
from ganflow.api.compared import ComparedRun, read_named, sections_of
from ganflow.api.trained import frame
from ganflow.errors import GanflowError, first_line
from ganflow.evaluation.compare import Comparison, Measured, NotCompared, Row, aligned, difference
from ganflow.runs.folders import default_root

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

LONGEST = 12  # digits of a fingerprint that are shown


def compare(*names: Name, runs: str | Path | None = None) -> ComparedRuns:
    """Compare runs of the same data, as `ganflow compare` does.

    Args:
        names: of two runs or more: paths, ids or their beginnings, recipes' names, "latest", "SWEEP/3" for a sweep's trial 3;
            that of `run_seeds` stands for all its trainings, with their means. Or runs and sweeps that were opened.
        runs: as of `load`.

    Raises:
        GanflowError: there is no such run, two are the same one, their data differ, or no score was measured alike.
    """
    root = root_of(runs)
    if len(names) == 1 and isinstance(names[0], (list, tuple)):
        names = tuple(names[0])
    if len(names) < 2:
        raise GanflowError('compare two runs or more: ganflow.compare("latest", "wgan") (`ganflow runs` lists them)')
    read = [read_named(name_of(name), root) for name in names]
    if len({(run.folder.path, run.named) for run in read}) < len(read):
        meant = ", ".join(run.id for run in read)
        raise GanflowError(f"two of these names mean the same run ({meant}); name different ones")
    _check_data(read)
    found = aligned([run.measured for run in read])
    left_out, advice = _not_compared(found, read, root)
    if found.apart and not found.compared:
        lines = [*left_out, *advice]
        raise GanflowError("; ".join(lines)) if len(lines) == 2 else GanflowError("no score can be compared:", *lines)
    return ComparedRuns(tuple(read), found, tuple(left_out), tuple(advice), root)


@dataclass(frozen=True)
class ComparedRuns:
    """Runs side by side.

    Attributes:
        runs: in the order in which they were named.
        comparison: their scores, and those that cannot be compared.
        not_compared: a line for each score that is left out, with all differences of the protocols.
        advice: commands that evaluate these runs alike.
        root: the folder that the runs are kept in.
    """

    runs: tuple[ComparedRun, ...]
    comparison: Comparison
    not_compared: tuple[str, ...]
    advice: tuple[str, ...]
    root: Path

    def __repr__(self) -> str:
        return f"<ganflow comparison of {' and '.join(run.title for run in self.runs)}>"

    def terms(self) -> pd.DataFrame:
        """The last report's terms and estimates: a row for each, a column for each run's id, NaN where a run has none."""
        names = dict.fromkeys(name for run in self.runs for name in run.terms)
        return frame([{run.id: run.terms.get(name, math.nan) for run in self.runs} for name in names], list(names), "term")

    def scores(self) -> pd.DataFrame:
        """The scores: a row for each; a column for each run's id; `difference` of two runs, second less first, or of the best
        and the worst of more; its standard `error`; and `within_noise`: that is at most two of these, None where it cannot be
        known."""
        rows = []
        for row in self.comparison.rows.values():
            numbers: dict[str, Any] = {r.id: m.score.value if m else math.nan for r, m in zip(self.runs, row, strict=True)}
            found = difference(row)
            numbers["difference"] = found.value if found else math.nan
            numbers["error"] = math.nan if found is None or found.error is None else found.error
            rows.append({**numbers, "within_noise": found.within_noise if found else None})
        return frame(rows, list(self.comparison.rows), "score")

    def show(self) -> Image:
        """The runs' newest sample pictures side by side, with scores below their names.

        Raises:
            GanflowError: a run has none, or they cannot be read.
        """
        return _picture(self.runs, self.comparison.rows)

    def facts(self) -> dict[str, Any]:
        """All of it as plain data, as `ganflow compare --json` prints it."""
        return _facts(self)

    def without_scores(self) -> str:
        """A sentence on runs that have no score in common with the others, with the command that changes that; or nothing."""
        apart = {i for pair in self.comparison.apart for i in (pair.first, pair.second)}
        alone = [i for i in range(len(self.runs)) if i not in self.comparison.compared | apart]
        return _without_scores(alone, self.runs, self.root) if alone else ""


def _check_data(runs: Sequence[ComparedRun]) -> None:
    """Refuse runs of different data.

    Raises:
        GanflowError: there are some.
    """
    known = [(run, run.record.data) for run in runs if run.record.data]
    for run, data in known[1:]:
        first, other = known[0]
        if data["fingerprint"] != other["fingerprint"]:
            pairs = ((first, other), (run, data))
            texts = (f"{d['name']} ({d['fingerprint'][:LONGEST]}) in run {r.id}" for r, d in pairs)
            raise GanflowError(f"the runs had different data, so neither terms nor scores say which is better: "
                               f"{', '.join(texts)}: {_data_differences(first, run)}; compare runs of the same data")  # fmt: skip


def _data_differences(first: ComparedRun, second: ComparedRun) -> str:
    """The differences between the data of two runs, as far as their recipes have them, in words."""
    from ganflow.recipe import differences
    from ganflow.runs.kept import recipe_of_run

    try:
        a, b = ({"data": recipe_of_run(run.example).resolved()["data"]} for run in (first, second))
    except GanflowError as error:
        return f"by which keys cannot be read ({first_line(error)})"
    if a["data"]["use"] != b["data"]["use"]:  # of which every key is another's
        a, b = ({"data": {"use": each["data"]["use"]}} for each in (a, b))
    words = (line.partition(": ") for line in differences(a, b))
    texts = [f"{key} {values.replace(' → ', ' against ')}" for key, _, values in words]
    return ", ".join(texts) or "the keys of data are equal in both recipes, so the files, or what was drawn, differ"


def _not_compared(found: Comparison, runs: Sequence[ComparedRun], root: Path) -> tuple[list[str], list[str]]:
    """A line for every score that is left out, with all differences; and one for each command that evaluates them alike."""
    lines: list[str] = []
    advice: list[str] = []
    alike: dict[Any, tuple[dict[int, None], dict[str, None]]] = {}
    for pair in found.apart:
        of = "" if len(runs) == 2 else f" ({runs[pair.first].title} against {runs[pair.second].title})"
        lines.append(f"{pair}{of}")
        seeds = pair.one.protocol.get("seeds")
        which, metrics = alike.setdefault(seeds, ({}, {}))
        which.update(dict.fromkeys((pair.first, pair.second)))
        metrics.update(dict.fromkeys(sections_of(runs[pair.first].example, pair.one)))
    for seeds, (which, metrics) in alike.items():
        command = _evaluation([runs[i] for i in sorted(which)], list(metrics), seeds, root)
        advice.append(f"evaluate {'both' if len(which) == 2 else 'them'} alike: {command}")
    return lines, advice


def _without_scores(alone: Sequence[int], runs: Sequence[ComparedRun], root: Path) -> str:
    """A sentence on runs that have no score in common with the others, with the command that changes that."""
    every = len(alone) == len(runs)
    whose = "the runs have" if every else f"{' and '.join(runs[i].title for i in alone)} {'have' if len(alone) > 1 else 'has'}"
    shown = "; their terms are compared" if every else " with the others"
    some = next(((run, m) for run in runs for m in run.measured), None)
    metrics = sections_of(some[0].example, some[1]) if some else ["sliced_wasserstein"]
    seeds = some[1].protocol.get("seeds") if some else None
    return f"{whose} no score in common{shown}; evaluate them alike: {_evaluation(runs, metrics, seeds, root)}"


def _evaluation(runs: Sequence[ComparedRun], metrics: Sequence[str], seeds: Any, root: Path) -> str:
    """The command that evaluates runs by these metrics."""
    names = [run.reference(root) for run in runs]
    words = [word for metric in metrics for word in ("--metric", metric)]
    words += ["--seeds", str(seeds)] if isinstance(seeds, int) else []
    words += ["--runs", str(root)] if root != default_root() and any(run.id in names for run in runs) else []
    return f"ganflow evaluate {' '.join(names)} {shlex.join(words)}".rstrip()


def _facts(compared: ComparedRuns) -> dict[str, Any]:
    runs, found = compared.runs, compared.comparison

    def fact(m: Measured | None) -> dict[str, Any] | None:
        if m is None:
            return None
        score = m.score
        return {"value": score.value, "error": score.error, "floor": score.floor, "floor_error": score.floor_error,
                "round": m.round}  # fmt: skip

    def between(row: Row) -> dict[str, Any] | None:
        if (d := difference(row)) is None:
            return None
        ids = {"of": runs[d.of].id, "less": runs[d.less].id}
        return {**ids, "value": d.value, "error": d.error, "within_noise": d.within_noise}

    def apart(pair: NotCompared) -> dict[str, Any]:
        ids = [runs[i].id for i in (pair.first, pair.second)]
        both = [{"score": m.score.name, "value": m.score.value, "protocol": dict(m.protocol)} for m in (pair.one, pair.other)]
        return {"score": pair.one.score.name, "runs": ids, "differences": pair.differences, "scores": both}

    return {
        "runs": [{"name": r.name, "id": r.id, "folder": str(r.folder.path), "round": r.round, "seeds": r.seeds or None}
                 for r in runs],
        "terms": {name: [run.terms.get(name) for run in runs] for name in dict.fromkeys(n for run in runs for n in run.terms)},
        "scores": {
            name: {
                "protocol": dict(next(m for m in row if m).protocol),
                "runs": [fact(m) for m in row],
                "difference": between(row),
            }
            for name, row in found.rows.items()
        },
        "not_compared": [apart(pair) for pair in found.apart],
        "advice": [line.partition(": ")[2] for line in compared.advice],
    }


def _picture(runs: Sequence[ComparedRun], scores: Mapping[str, Row]) -> Image:
    from ganflow.sweeps.report import newest_samples, sheet

    found = []
    for i, run in enumerate(runs):
        path = newest_samples(run.example)
        if path is None:
            raise GanflowError(f"run {run.title} has no picture of samples")
        some = [f"{m.score.name} {run.shown(m)}" for row in scores.values() if (m := row[i])]
        found.append((path, run.title, ", ".join(some)))
    drawn = sheet(found)
    if drawn is None:
        raise GanflowError("none of the runs' sample pictures can be read")
    return drawn
