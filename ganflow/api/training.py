"""Training from Python: `ganflow.run`, and `ganflow.resume` for a run that is to go on."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganflow.api.arguments import Name, check_callback, check_recipe, name_of, root_of, whole
from ganflow.api.changes import Changes, as_typed
from ganflow.api.trained import TrainedRun, which_run
from ganflow.printing import say

if TYPE_CHECKING:
    from ganflow.contract.loss import Report
    from ganflow.recipe import Recipe
    from ganflow.recipe.stages import Stages
    from ganflow.runs.run import Outcome

def run(
    recipe: str | Path | Mapping[str, Any],
    changes: Changes = (),
    *,
    runs: str | Path | None = None,
    workers: int = 1,
    quiet: bool = False,
    on_report: Callable[[Report], object] | None = None,
) -> TrainedRun:
    """Train a recipe, as `ganflow run` does: in a new folder, with checkpoints, pictures and MLflow.

    Args:
        recipe: the name of one that comes with ganflow ("wgan"), a file, or its sections as a mapping.
        changes: to the recipe: {"train.rounds": 200}. None gives a key its default again, or removes a section.
        runs: the folder that runs are kept in; by default as GANFLOW_RUNS says, else `runs`.
        workers: processes that train together, each on its share of every batch.
        quiet: show no progress.
        on_report: called with each report (`ganflow.Report`: round, terms, estimates); if it returns False, the run is stopped
            after this round, with a checkpoint.

    Returns:
        The run, or the last of them where the recipe has stages. Its `status` is "finished"; "interrupted" after Ctrl-C, with
        a checkpoint; "stopped" by an alarm.

    Raises:
        GanflowError: the recipe has mistakes, its parts do not fit, a term is not finite, a plugin fails, the disk is full. What
            was trained until the last checkpoint is kept.
    """
    check_callback("on_report", on_report)
    workers = whole("workers", workers)
    found = read(recipe, changes)
    for note in [] if quiet else found.notes:
        say(note, err=True)
    *_, last = stages(found, root_of(runs), workers=workers, quiet=quiet, on_report=on_report)
    return last


def resume(
    name: Name,
    changes: Changes = (),
    *,
    runs: str | Path | None = None,
    workers: int | None = None,
    quiet: bool = False,
    on_report: Callable[[Report], object] | None = None,
) -> TrainedRun:
    """Go on with a run from its last checkpoint, to the same bits as if it had not been interrupted.

    Args:
        name: a path, an id or its beginning, a recipe's name, "latest", or a run that was opened.
        changes: of what may change, e.g. {"train.rounds": 4000}.
        workers: as many as the run had by default.
        runs, quiet, on_report: as of `run`.

    Raises:
        GanflowError: there is no such run, something is changed that may not change, another process trains it, or as `run`.
    """
    check_callback("on_report", on_report)
    workers = None if workers is None else whole("workers", workers)
    *_, last = resumed(name, as_typed(changes), root_of(runs), workers=workers, quiet=quiet, on_report=on_report)
    if not quiet and last.outcome and last.outcome.advice:
        say(last.outcome.advice, err=True)
    return last


def read(recipe: str | Path | Mapping[str, Any], changes: Changes = ()) -> Recipe | Stages:
    """Read, change and check a recipe, or all stages of one; raises GanflowError."""
    from ganflow.recipe import read_recipe
    from ganflow.recipe.stages import read_stages

    check_recipe(recipe)
    overrides = as_typed(changes)
    return read_stages(recipe, overrides) or read_recipe(recipe, overrides)


def stages(
    recipe: Recipe | Stages,
    runs: Path,
    *,
    workers: int = 1,
    quiet: bool = False,
    on_report: Callable[[Report], object] | None = None,
) -> Iterator[TrainedRun]:
    """Train a recipe, or its stages one after the other: yields each when it has ended. Arguments as of `run`."""
    from ganflow.recipe.stages import Stages
    from ganflow.runs.start import start, start_stages
    from ganflow.tracking.follower import follower_of

    if isinstance(recipe, Stages):
        outcomes = start_stages(recipe, runs, quiet=quiet, workers=workers, send=follower_of, on_report=on_report)
        yield from _ended(outcomes)
    else:
        with undisturbed():
            outcome = start(recipe, runs, quiet=quiet, workers=workers, send=follower_of, on_report=on_report)
        yield TrainedRun(outcome.folder, outcome=outcome)


def resumed(
    name: Name,
    overrides: Sequence[str],
    runs: Path,
    *,
    recipe: Recipe | None = None,
    workers: int | None = None,
    quiet: bool = False,
    on_report: Callable[[Report], object] | None = None,
) -> Iterator[TrainedRun]:
    """Go on with a run, and then with the stages that follow it: yields each when it has ended.

    Args:
        recipe: the recipe that the run is thought to have; None for the one it has.
        name, overrides, runs, workers, quiet, on_report: as of `resume`.
    """
    from ganflow.runs.start import resume_stages
    from ganflow.tracking.follower import follower_of

    folder = which_run(name_of(name), runs)
    yield from _ended(resume_stages(
        folder, recipe, runs, quiet=quiet, overrides=overrides, workers=workers, send=follower_of, on_report=on_report
    ))  # fmt: skip


def _ended(outcomes: Iterator[Outcome]) -> Iterator[TrainedRun]:
    while True:
        with undisturbed():
            outcome = next(outcomes, None)
        if outcome is None:
            return
        yield TrainedRun(outcome.folder, outcome=outcome)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Leave Python's, numpy's and torch's random numbers, torch's threads and its choice of algorithms as they were: a run sets
    all of them for the whole process."""
    import numpy as np
    import torch

    python, numbers, torchs = random.getstate(), np.random.get_state(), torch.get_rng_state()
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numbers)
        torch.set_rng_state(torchs)
        torch.set_num_threads(threads)
        if deterministic != torch.are_deterministic_algorithms_enabled():
            torch.use_deterministic_algorithms(deterministic)
