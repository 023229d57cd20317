"""Runs one after another, each from the weights of the one before.

What is to follow stands in every run's run.json: "then", the recipes that are still to come, and "next", the folder of the run
that was begun from it. So any stage can be interrupted, and `--resume` finds its way.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from ganflow import runs
from ganflow.checkpoint import newest
from ganflow.errors import GanflowError
from ganflow.recipe import Recipe
from ganflow.recipe.source import recipe_of
from ganflow.recipe.stages import Stages
from ganflow.runner.run import Outcome
from ganflow.runner.session import resume, start
from ganflow.runs import RunFolder


def start_stages(
    stages: Stages, root: Path = runs.DEFAULT_ROOT, *, quiet: bool = False, workers: int = 1
) -> Iterator[Outcome]:
    """Run all stages, each in a new folder; yields how each of them ended. One that is interrupted is the last.

    Raises:
        GanflowError: as `start`.
    """
    first, *rest = stages.recipes
    outcome = start(first, root, quiet=quiet, workers=workers, then=[recipe.resolved() for recipe in rest])
    yield outcome
    yield from _follow(outcome, root, quiet, workers)


def resume_stages(
    folder: RunFolder,
    recipe: Recipe | None = None,
    root: Path = runs.DEFAULT_ROOT,
    *,
    quiet: bool = False,
    overrides: Sequence[str] = (),
    workers: int | None = None,
) -> Iterator[Outcome]:
    """Go on with a run, and then with what is to follow it, if anything; arguments as those of `resume`.

    Raises:
        GanflowError: as `resume`.
    """
    before = folder.read()
    over = before.then and before.status == "finished" and recipe is None and not overrides
    if over and not newest(folder.checkpoints)[1]:  # if its last checkpoint is damaged, its last rounds are played again
        outcome = Outcome(folder, "finished", before.round)
    else:
        outcome = resume(folder, recipe, quiet=quiet, overrides=overrides, workers=workers)
        yield outcome
    yield from _follow(outcome, root, quiet, workers)


def _follow(outcome: Outcome, root: Path, quiet: bool, workers: int | None) -> Iterator[Outcome]:
    while outcome.status == "finished" and (record := outcome.folder.read()).then:
        then, begun = record.then, record.next
        around = outcome.folder.path.parent.parent
        following = RunFolder(runs.moved(begun, around)) if begun else None
        if following and not following.path.resolve().is_relative_to(around.resolve()):
            raise GanflowError(
                f"run.json of run {outcome.folder.id} says that it goes on in {following.path}, which is not in the runs folder "
                f"{around}; to go on there: ganflow run --resume {shlex.quote(str(following.path))}"
            )
        if following and following.is_run():
            outcome = resume(following, quiet=quiet, workers=workers)
        else:
            if newest(outcome.folder.checkpoints)[1]:
                run = outcome.folder.id
                raise GanflowError(f"the newest checkpoint of run {run}, which the next starts from, is damaged; play its last "
                                   f"rounds again: ganflow run --resume {run}")  # fmt: skip
            recipe = recipe_of(then[0])
            here = outcome.folder.path.parent.parent == root.absolute()
            # an id is right in a folder that is moved, too
            recipe.train.start_from = outcome.folder.id if here else str(outcome.folder.path)
            outcome = start(recipe, root, quiet=quiet, workers=workers or 1, then=then[1:], after=outcome.folder)
        yield outcome
