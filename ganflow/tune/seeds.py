"""Trainings of one recipe that differ in `train.seed` alone, one after the other: a sweep without Ray and without a searcher."""

from __future__ import annotations

import itertools
import math
import os
import re
import socket
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ganflow.advised import option
from ganflow.errors import GanflowError, escaped
from ganflow.evaluation.evaluate import Spread, spreads
from ganflow.evaluation.scores import rule
from ganflow.files import check_readable, write_text
from ganflow.machine import broken
from ganflow.printing import say
from ganflow.recipe import Recipe
from ganflow.recipe.sections import MOST_SEEDS
from ganflow.runs import finding, folders
from ganflow.runs.journal import Journal
from ganflow.sweeps.ranking import best_of, ranking, score_of
from ganflow.sweeps.records import SweepFolder
from ganflow.sweeps.repeats import scores_of
from ganflow.tracking.destination import check_recipe
from ganflow.tune.driver import Outcome
from ganflow.tune.objectives import Reports


def parse_seeds(text: str, first: int) -> list[int]:
    """The seeds that `--seeds` means: "5", so many from `first` on, or "1,2,3", these.

    Raises:
        GanflowError: it means none, or one of them twice, or is neither.
    """
    words = [word.strip() for word in text.split(",")]
    if not all(re.fullmatch(r"\d{1,19}", word, re.ASCII) for word in words):
        raise GanflowError(f"--seeds: '{text[:50]}' is neither a number of seeds (5) nor seeds (1,2,3)")
    numbers = list(map(int, words))
    if len(words) == 1:
        if not 1 <= numbers[0] <= MOST_SEEDS:
            raise GanflowError(f"--seeds: {numbers[0]} seeds cannot be trained; give 1 to {MOST_SEEDS}, or seeds (1,2,3)")
        return list(range(first, first + numbers[0]))
    return check_seeds(numbers, "--seeds")


def check_seeds(numbers: Sequence[int], called: str = "seeds") -> list[int]:
    """Seeds, each of which is one and there once.

    Args:
        called: what messages call them.

    Raises:
        GanflowError: one is not.
    """
    if repeated := [n for n in numbers if numbers.count(n) > 1]:
        raise GanflowError(f"{called}: {repeated[0]} is named twice, and the same seed trains the same run; name each once")
    if max(numbers) >= 2**63:
        raise GanflowError(f"{called}: {max(numbers)} is no seed; they are below 2^63")
    return list(numbers)


def begin(recipe: Recipe, seeds: Sequence[int], root: Path) -> SweepFolder:
    """Make the folder of new trainings, whose parts are built first, to see that they fit.

    Raises:
        GanflowError: they do not, or the folder cannot be made.
    """
    from ganflow.runs.new import origin, tracking

    recipe = replace(recipe, tune=None)
    check_recipe(recipe, root)
    reports, asked = Reports(recipe), recipe.train
    metrics, names = [metric for metric, _ in reports.metrics], [dict.fromkeys(names, 0.0) for _, names in reports.metrics]
    objective = rule(asked.best, asked.best_mode, recipe.metrics, metrics, names)
    if objective:
        objective.check()
    check_readable(root)
    numbered = (f"{recipe.name}-seeds-{number}" for number in itertools.count(1))
    to = tracking(recipe)
    folder = SweepFolder((root / next(n for n in numbered if not (root / n).exists())).absolute())
    try:
        folder.path.mkdir(parents=True)
        folder.plots.mkdir()
        write_text(folder.recipe, f"# ganflow run {escaped(str(folder.recipe))}\n" + recipe.to_yaml())
        folder.update(
            kind="sweep",
            id=finding.new_id(root),
            name=folder.sweep,
            recipe=recipe.name,
            status="waiting",
            **origin(recipe),
            metric=objective.score.name if objective else "",
            mode=objective.goal if objective else "",
            trials=len(seeds),
            over=0,
            rounds=recipe.train.rounds,
            seed=recipe.train.seed,
            seeds=list(seeds),
            tracking={**to, "run_name": to["run_name"] or folder.sweep, "images": False, "log_model": False},
        )
    except OSError as error:
        other = "choose another with " + option("--runs")
        raise GanflowError(f"cannot make the folder {folder.path}: {error.strerror}; " + other) from None
    return folder


def find(name: str, root: Path) -> SweepFolder | None:
    """The trainings that a name, a path or "latest" means; None where it means something else.

    Raises:
        GanflowError: something in their folder leads out of it.
    """
    found = finding.find_sweep(name, root)
    if found is None and name == "latest" and (runs := list(finding.all_runs(root))):
        found = finding.find_sweep(str(runs[-1].path.parent), root)
    return SweepFolder(found.path) if found and found.read().seeds else None


def go(folder: SweepFolder, recipe: Recipe, *, quiet: bool = False) -> Outcome:
    """Train with every seed that is not over yet. One that fails is noted, and the others go on.

    Raises:
        GanflowError: another process trains them, or a disk or a mount failed; they can go on.
    """
    from ganflow.tracking.follower import follower_of

    make_follower = follower_of(recipe, folder.path.parent)
    with ExitStack() as stack:
        stack.enter_context(folders.locked(folder))
        record = folder.read()
        folder.update(status="running", pid=os.getpid(), host=socket.gethostname())
        over = {number for number, trial in folder.mended().items() if trial.over}
        follower = make_follower(folder) if make_follower else None
        if follower:
            note = follower.start(None if quiet else partial(say, err=True))
            stack.callback(follower.stop)
            if note and not quiet:
                say(note, err=True)
        status, signal = "interrupted", 0
        try:
            for number, seed in enumerate(record.seeds):
                if number not in over and not signal:
                    signal = _train(folder, recipe, number, seed, quiet)
            status = "interrupted" if signal else "finished"
        except Exception as error:
            if not isinstance(error, GanflowError) and not broken(error):
                status = "failed"
            raise
        finally:
            with suppress(OSError, GanflowError):  # a full disk must not hide what was raised
                folder.update(status=status)
        if follower and (unsent := follower.finish(recipe.track.wait)):
            say(str(unsent), err=True)
        failed = sum(trial.state in ("failed", "diverged", "stopped") for trial in folder.trials().values())
        return Outcome(folder, status, signal, failed)


def _train(folder: SweepFolder, recipe: Recipe, number: int, seed: int, quiet: bool) -> int:
    """Train with one seed, or go on with it; returns the number of the signal that interrupted it, else 0."""
    from ganflow.engine.trainer import Diverged
    from ganflow.runs.run import RunOptions
    from ganflow.runs.start import open_trial

    run, sweep = folder.trial(number), folder.read()
    about: dict[str, Any] = {"sweep": folder.id, "trial": number, "tracking": {"parent": folder.id}}
    recipe = replace(recipe, tune=None, train=replace(recipe.train, seed=seed))
    folder.record(number, config={"train.seed": seed}, state="running", error="")
    if not quiet:
        say(f"seed {seed} ({number + 1} of {len(sweep.seeds)})", err=True)
    signal = 0
    try:
        outcome = open_trial(recipe, run, about, options=RunOptions(quiet, tracking=about["tracking"])).finish()
    except GanflowError as error:
        if broken(error):
            raise
        diverged = isinstance(error, Diverged) or isinstance(error.__cause__, Diverged)
        folder.record(number, state="diverged" if diverged else "failed", error=error.in_shell)
        say(f"seed {seed}: {error.in_shell}", err=True)
    else:
        if outcome.status == "interrupted":
            folder.record(number, state="waiting", round=outcome.round)
            return outcome.signal
        signal = outcome.signal  # it may have come in the last round
        stopped = {"error": outcome.alarm} if outcome.status == "stopped" else {}
        last = scores_of(run).get(sweep.metric, math.nan)
        score = last if math.isfinite(last) else None
        folder.record(number, state="stopped" if stopped else "finished", round=outcome.round, score=score, **stopped)
        if stopped:
            say(f"seed {seed}: stopped in round {outcome.round}: {outcome.alarm}", err=True)
    _note(folder, sweep.mode)
    return signal


def _note(folder: SweepFolder, mode: str) -> None:
    """Note in record and journal what is known now that a seed is over."""
    trials = folder.trials()
    over = sum(trial.over for trial in trials.values())
    furthest = ranking([t for t in trials.values() if score_of(t) is not None], mode)[:1]  # where all were stopped
    best = best_of(trials.values(), mode) or next(iter(furthest), None)
    known = {"best": {"trial": best.number, "score": best.score, "config": best.config}} if best else {}
    folder.update(over=over, **known)
    found = summary(folder)
    values = {f"{s.name}_mean": s.mean for s in found}
    values |= {f"{s.name}_sd": s.deviation for s in found if s.deviation is not None}
    if values:
        journal = Journal(folder.journal)
        journal.append(over, values)
        journal.close()


def summary(folder: SweepFolder) -> list[Spread]:
    """Mean and standard deviation of every score over the seeds that are finished."""
    trials = folder.trials().values()
    return spreads([scores_of(folder.trial(trial.number)) for trial in trials if trial.state == "finished"])
