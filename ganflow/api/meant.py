"""Runs that a name means: one, which may stand for a sweep, or the trainings that differ in their seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ganflow.errors import GanflowError
from ganflow.printing import say

if TYPE_CHECKING:
    from ganflow.runs.folders import RunFolder
    from ganflow.sweeps.records import SweepFolder

PLAYED = ("finished", "stopped")
"""States of a training with one of several seeds that has a last checkpoint: "stopped" by an alarm, by a scheduler or by hand."""


@dataclass(frozen=True)
class Meant:
    """A run that is meant by a name.

    Attributes:
        name: the run's, or that of several trainings together: a sweep's, or "SWEEP/3" of its trial 3.
        seed: with which it was trained, where it is one of several.
    """

    folder: RunFolder
    name: str
    seed: int | None = None


def found_run(name: str, root: Path) -> RunFolder:
    """As `find_run`; where a sweep is named, a line on stderr says which of its trials is meant."""
    from ganflow.runs.finding import best_trial, find_any
    from ganflow.runs.folders import check, is_sweep

    found = find_any(name, root)
    if not is_sweep(found):
        return found
    run, record = best_trial(found), found.read()
    check(run)
    found_best = record.best or {"trial": 0, "score": math.nan}
    trial, score = found_best["trial"], found_best["score"]
    named, seeds = found.reference(), record.seeds
    some, one, more = "a sweep", f"trial {trial}", ""
    if trial < len(seeds):
        some, one = f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}", f"seed {seeds[trial]}"
        more = f", ganflow evaluate {named}"
    best = f"the best by {record.metric} ({score:.4g}); all of them: ganflow sweeps show {named}{more}"
    say(f"{found.path.name} is {some}, for which {one} stands, {best}", err=True)
    return run


def all_meant(name: str, root: Path) -> list[Meant]:
    """The run that a name means; of `ganflow run --seeds`, and of a sweep's trial with several seeds, all that are trained or
    were stopped. Lines on stderr name those that were stopped, and those that are left out.

    Raises:
        GanflowError: there is no such run, or none of the seeds is trained.
    """
    from ganflow.runs.finding import find_any, find_trial
    from ganflow.runs.folders import is_sweep
    from ganflow.sweeps.records import SweepFolder

    if named := find_trial(name, root):
        return _of_trial(SweepFolder(named[0].path), named[1])
    found = find_any(name, root)
    record = found.read() if is_sweep(found) else None
    if record and record.seeds:
        sweep = SweepFolder(found.path)
        return _trained(sweep, dict(enumerate(record.seeds)), sweep.sweep, f"ganflow run --resume {sweep.reference()}")
    run = found_run(name, root)
    if record and record.trial_seeds and record.best:
        return _of_trial(SweepFolder(found.path), record.best["trial"])
    return [Meant(run, run.name)]


def _of_trial(sweep: SweepFolder, number: int) -> list[Meant]:
    """The runs of a sweep's trial; those by themselves where it was confirmed."""
    from ganflow.runs.folders import check, runs_of
    from ganflow.sweeps.repeats import Repeats

    repeats = Repeats.of(sweep.read())
    trials = [trial.number for trial in repeats.trials(sweep.trials().values())]
    if number not in trials:
        there = f"has the trials 0 to {max(trials)}" if trials else "has no trials yet"
        see = f"(ganflow sweeps show {sweep.reference()})"
        raise GanflowError(f"there is no trial {number} of {sweep.sweep}, which {there} {see}")
    runs = runs_of(sweep, number)
    if repeats.seeds:
        seeds = {run: repeats.seeds[run % repeats.size] for run in runs}
        return _trained(sweep, seeds, f"{sweep.sweep}/{number}", f"ganflow tune --resume {sweep.reference()}")
    run = sweep.trial(runs[0])
    if not run.is_run():
        raise GanflowError(f"trial {number} of {sweep.sweep} was not begun yet (ganflow sweeps show {sweep.reference()})")
    check(run)
    return [Meant(run, run.name)]


def _trained(sweep: SweepFolder, seeds: Mapping[int, int], name: str, again: str) -> list[Meant]:
    """Those of several trainings that are trained, or were stopped.

    Args:
        seeds: of the runs by their numbers.
        again: command that goes on with what is not trained.
    """
    from ganflow.runs.folders import check

    trials = sweep.trials()
    states = {n: trials[n].state if n in trials else "waiting" for n in seeds}
    left_out = ", ".join(f"seed {seeds[n]} ({state})" for n, state in states.items() if state not in PLAYED)
    trained = [Meant(sweep.trial(n), name, seeds[n]) for n, state in states.items() if state in PLAYED]
    if not trained:
        over = all(n in trials and trials[n].over for n in seeds)  # nothing would be trained
        how = f"{'see: ganflow sweeps show ' + sweep.reference() if over else 'go on with: ' + again}"
        raise GanflowError(f"no seed of {name} is trained{'' if over else ' yet'}: {left_out}; {how}")
    if left_out:
        say(f"not trained, and left out of {name}: {left_out}", err=True)
    for n in (n for n, state in states.items() if state == "stopped"):
        how = "by an alarm " if name == sweep.sweep else ""
        what = f"seed {seeds[n]} of {name} was stopped {how}in round {trials[n].round}"
        say(f"{what}; what it has until then is taken", err=True)
    for each in trained:
        check(each.folder)
    return trained
