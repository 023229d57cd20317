"""The runs and sweeps that there are, and which one is meant by a path, an id, a name or `latest`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

from ganflow.advised import Advised, command, option, see
from ganflow.errors import GanflowError
from ganflow.files import check_readable
from ganflow.runs.folders import EXAMPLES, RunFolder, check, here, is_sweep, runs_of, trial
from ganflow.runs.ids import stamp
from ganflow.runs.record import FILE

WAYS = {"run": "give a path, an id or its beginning, a name, or 'latest'", "sweep": "give a path, a name, or 'latest'"}
_TRIAL = re.compile(r"-t[0-9]{4,}$")  # the end of a trial's id, which begins with its sweep's


def all_runs(root: Path) -> Iterator[RunFolder]:
    """Every run under `root`, oldest first.

    Raises:
        GanflowError: it is a file, or cannot be read.
    """
    check_readable(root)
    if root.is_file():
        raise GanflowError(f"{root} is a file; runs are kept in a folder, which is named with " + option("--runs"))
    found = (RunFolder(about.parent.absolute()) for about in root.glob(f"*/*/{FILE}"))
    yield from sorted(found, key=lambda run: run.id)


def all_sweeps(root: Path) -> list[RunFolder]:
    """Every sweep under `root`, by name; those with a damaged run.json, too."""
    check_readable(root)
    return [sweep for found in sorted(root.glob(f"*/{FILE}")) if is_sweep(sweep := RunFolder(found.parent.absolute()))]


def latest_sweep(root: Path, *, searched: bool = False) -> RunFolder | None:
    """The sweep that was begun last, of those whose run.json can be read.

    Args:
        searched: of `ganflow tune` alone, and not of `ganflow run --seeds`.
    """
    found: dict[str, RunFolder] = {}
    for sweep in all_sweeps(root):
        with suppress(GanflowError):
            record = sweep.read()
            found |= {record.id: sweep} if not (searched and record.seeds) else {}
    return found[max(found)] if found else None


def new_id(root: Path) -> str:
    """An id for a run or a sweep that begins now, later than all in the runs folder."""
    check_readable(root)
    paths = list(root.glob("*/*"))
    ids, begun = [path.name for path in paths], {path.parent for path in paths if _TRIAL.search(path.name)}
    for about in (path for path in paths if path.name == FILE and path.parent not in begun):  # a sweep without a trial
        with suppress(GanflowError):
            ids.append(RunFolder(about.parent).read().id)
    return stamp(ids)


def find_run(run: str, root: Path) -> RunFolder:
    """The run that `run` means: a path, an id or its beginning, a name (its newest run), or "latest". A sweep's path, name or
    id means its best trial's run, and "SWEEP/3" its trial 3: of several seeds the first, of a packed one that was confirmed the
    training by itself.

    Raises:
        GanflowError: no run, or more than one, is meant, or something in its folder leads out of it.
    """
    found = find_any(run, root)
    if is_sweep(found):
        found = best_trial(found)
        check(found)
    return found


def find_any(run: str, root: Path) -> RunFolder:
    """As `find_run`, but the sweep itself where one is meant."""
    found = find_unchecked(run, root)
    check(found)
    return found


def find_unchecked(run: str, root: Path) -> RunFolder:
    """As `find_any`, also where something in the folder of what is found leads out of it. The sweep of a trial is checked."""
    if not run.strip():
        raise unnamed("run")
    check_readable(root, Path(run), root / run)
    paths = (RunFolder(path.absolute()) for path in (Path(run), root / run))
    if (sweep := next(filter(is_sweep, paths), None)) is not None:
        return sweep
    if meant := find_trial(run, root):
        above, number = meant
        first = next((trial(above, run) for run in runs_of(above, number)), None)
        if first is None or not first.is_run():
            why = f"no trial {number} of {above.path.name} was begun"
            raise GanflowError(why + see(f"ganflow sweeps show {above.reference()}"))
        return first
    if (folder := RunFolder(Path(run).absolute())).is_run():
        return folder
    if os.path.isfile(folder.path / EXAMPLES):  # False for what can be no path, too
        how = f"{here(folder.path)}/README.md says how it is loaded"
        raise GanflowError(f"{run} is a model that was exported for other programs, and no run; {how}")
    runs = list(all_runs(root))
    if not runs:
        raise GanflowError(f"no runs in {root}/ yet; start one with: " + command("ganflow run wgan"))
    if run == "latest":
        return _sweep_of(runs[-1:]) or runs[-1]
    named = [r for r in runs if r.name == run]
    if named:
        return named[-1]
    started = [r for r in runs if r.id.startswith(run)]
    if (of := _sweep_of(started)) and of.read().id.startswith(run):
        return of
    if len(started) > 1:
        some = ", ".join(r.id for r in started[:5]) + (", …" if len(started) > 5 else "")
        raise GanflowError(f"'{run}' is the beginning of {len(started)} runs: {some}; write more of it")
    if not started:
        raise GanflowError(f"no run '{run}' in {root}/: {WAYS['run']}" + see("ganflow runs", " lists them"))
    return started[0]


def unnamed(what: Literal["run", "sweep"]) -> GanflowError:
    """The error of a name that is empty, which asks for one."""
    call = f'ganflow.{"load" if what == "run" else "load_sweep"}("latest")'
    return GanflowError(f"which {what}? {WAYS[what]}, e.g. " + Advised(call, f"ganflow {what}s show latest"))


def find_sweep(name: str, root: Path) -> RunFolder | None:
    """The sweep that a path, or its name, means.

    Raises:
        GanflowError: something in its folder leads out of it.
    """
    check_readable(root, Path(name), root / name)
    meant = (RunFolder(path.absolute()) for path in (Path(name), root / name))
    found = next(filter(is_sweep, meant), None)
    if found:
        check(found)
    return found


def find_trial(name: str, root: Path) -> tuple[RunFolder, int] | None:
    """The sweep, and the number of its trial, that "SWEEP/NUMBER" means; None where it means something else."""
    above, _, number = name.rpartition("/")
    sweep = find_sweep(above, root) if above and number.isascii() and number.isdigit() and len(number) < 10 else None
    return (sweep, int(number)) if sweep else None


def best_trial(sweep: RunFolder) -> RunFolder:
    """The run of a sweep's best trial so far.

    Raises:
        GanflowError: no trial is finished yet, or there is no best one, for it is judged by several metrics.
    """
    about, name = sweep.read(), sweep.reference()
    shown = see(f"ganflow sweeps show {name}")
    if about.front:
        some = ", ".join(f"{name}/{each['trial']}" for each in about.front[:5]) + (", …" if len(about.front) > 5 else "")
        why = f"is judged by {', '.join(about.objectives)}, and has a Pareto front instead of a best trial"
        raise GanflowError(f"the sweep {sweep.path.name} {why}; name one of its trials: {some}" + shown)
    best = about.best
    if not best or "trial" not in best:
        raise GanflowError(f"no trial of the sweep {sweep.path.name} is finished yet" + shown)
    return trial(sweep, best.get("run", best["trial"]))


def _sweep_of(runs: list[RunFolder]) -> RunFolder | None:
    """The sweep that all of these are trials of."""
    above = {run.path.parent for run in runs}
    sweep = RunFolder(above.pop()) if len(above) == 1 else None
    return sweep if sweep and is_sweep(sweep) else None
