"""Starting and resuming runs, in stages where the recipe has them."""

from __future__ import annotations

import shlex
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ganflow.engine.distributed import Group
from ganflow.errors import GanflowError, NewestDamaged
from ganflow.recipe import Recipe, differences, kept_recipe, read_recipe
from ganflow.recipe.source import recipe_of
from ganflow.recipe.stages import Stages
from ganflow.runs import checkpoints, folders
from ganflow.runs.checkpoints import Checkpoint, Damaged, newest
from ganflow.runs.folders import RunFolder
from ganflow.runs.loading import find_checkpoint, take_over
from ganflow.runs.loop import Step
from ganflow.runs.new import alone, clear_unfinished, fill_folder
from ganflow.runs.progress import Progress
from ganflow.runs.run import Outcome, Run, RunOptions, built
from ganflow.runs.workers import hired
from ganflow.tracking.destination import check_recipe

MAY_CHANGE = ("train.rounds", "train.report_every", "train.sample_every", "train.evaluate_every", "train.checkpoint_every",
              "train.keep", "track.", "trackers")  # fmt: skip
"""What of a recipe may change when its run goes on: how long, how often, and where it is remembered."""


class Session:
    """A run that is played step by step: iterate over it to the end, which `outcome` then tells of.

    Attributes:
        folder: the run's.
        outcome: how the run ended; None until then.

    Raises:
        GanflowError: (while iterating) as `start`.
    """

    def __init__(self, run: Run, steps: Generator[Step, None, Outcome], folder: RunFolder, held: ExitStack) -> None:
        self.folder = folder
        self.outcome: Outcome | None = None
        self._run, self._steps, self._held = run, steps, held

    def __iter__(self) -> Iterator[Step]:
        with self._held:
            self.outcome = yield from self._steps

    def stop(self, status: str = "stopped") -> None:
        """End the run before its last round: what is left of the iteration keeps a checkpoint, and the run's status is then
        this one; "interrupted" where it is to go on."""
        self._run.stop(status)

    def finish(self) -> Outcome:
        """Play to the end."""
        for _ in self:
            pass
        assert self.outcome is not None
        return self.outcome


def start(
    recipe: Recipe,
    root: Path = folders.DEFAULT_ROOT,
    *,
    quiet: bool = False,
    workers: int = 1,
    then: Sequence[Mapping[str, Any]] = (),
    after: RunFolder | None = None,
) -> Outcome:
    """Train a recipe in a new folder under `root`.

    Args:
        workers: processes that train together, each on its share of every batch; this one is the first.
        then: recipes that are to follow (see ganflow.runner.stages), for run.json.
        after: the run that this one follows.

    Raises:
        GanflowError: the recipe's parts do not fit, a term is not finite, a plugin fails, the disk is full. What was
            trained until the last checkpoint is kept.
        Lost: (a GanflowError) a worker died; the run can go on.
    """
    check_recipe(recipe, root)
    with ExitStack() as held:
        run = built(recipe, RunOptions(quiet), None, held.enter_context(hired(recipe, workers)))
        start_from = inherited(run, root)
        folder = folders.create(root, recipe.name)
        fill_folder(folder, recipe, {**run.values, "start_from": start_from, **({"then": list(then)} if then else {})}, held)
        if after:
            after.update(next=str(folder.path))
        return Session(run, run.steps(folder, None, []), folder, held.pop_all()).finish()


def inherited(run: Run, root: Path) -> dict[str, Any] | None:
    """Give the players of a run that begins the weights of the run that `train.start_from` names; where they came from.

    Raises:
        GanflowError: it names none, and the generator needs one; or the networks differ.
    """
    source = run.recipe.train.start_from
    if source:
        return take_over(run.game, _source(source, root), source)
    if hasattr(run.game.generator, "earlier"):
        name = run.recipe.generator.component.name
        raise GanflowError(f"generator '{name}' stands on an earlier run's generator, and the recipe names no such run: "
                           "give train.start_from=RUN, or run a recipe with both stages")  # fmt: skip
    return None


def _source(source: str, root: Path) -> Checkpoint:
    """The checkpoint that `train.start_from` means: a run's last, or a file.

    Raises:
        GanflowError: there is none, or it is damaged.
    """
    file = Path(source)
    if file.suffix == ".safetensors" and file.is_file():
        return find_checkpoint(RunFolder(file.absolute().parent.parent), str(file.absolute()))
    try:
        return find_checkpoint(folders.find_run(source, root))
    except NewestDamaged as error:
        this = shlex.quote(f"train.start_from={folders.here(error.instead)}")
        raise GanflowError(f"train.start_from: {error}; to start from that: {this}") from None


def open_trial(
    recipe: Recipe,
    folder: RunFolder,
    about: Mapping[str, Any],
    *,
    copied_at: int | None = None,
    group: Group | None = None,
) -> Session:
    """The run of a sweep's trial, in a folder of the sweep's choice: begun, or gone on with where it has a checkpoint.
    Shows nothing, listens to no signals and leaves the sending to MLflow to the sweep.

    Args:
        about: what run.json says besides, of the sweep. Its "tracking" is merged into the run's.
        copied_at: checkpoints up to this round are of a recipe with other numbers, most likely another run's: the optimizers'
            are this recipe's.
        group: the workers that train it together, by `Group.host`; the others are at `ganflow.runner.workers.serve`.

    Raises:
        GanflowError: as `start` and `resume`.
    """
    with ExitStack() as held:
        if group:
            held.callback(group.close)
        run, found, damaged, begun = prepare_trial(recipe, folder, about, held, group, copied_at=copied_at)
        return Session(run, run.steps(folder, found, damaged, changed=begun), folder, held.pop_all())


def prepare_trial(
    recipe: Recipe,
    folder: RunFolder,
    about: Mapping[str, Any],
    held: ExitStack,
    group: Group | None = None,
    *,
    packed: bool = False,
    copied_at: int | None = None,
) -> tuple[Run, Checkpoint | None, list[Damaged], bool]:
    """Build a trial's run, make its folder if there is none, and hold its lock: the run, the checkpoint to go on from,
    damaged ones, and whether it was begun before. Arguments as those of `open_trial`."""
    begun = folder.is_run()
    if begun:
        held.enter_context(alone(folder))
    before = folder.read() if begun else None
    found, damaged = checkpoints.newest(folder.checkpoints) if begun else (None, [])
    copied = found is not None and copied_at is not None and found.round <= copied_at
    options = RunOptions(quiet=True, trial=True, packed=packed, copied=copied, tracking=about.get("tracking", {}))
    run = built(recipe, options, before, group)
    if not found:
        inherited(run, folder.path.parent.parent)
    if not begun:
        clear_unfinished(folder)
        folders.make(folder)
        fill_folder(folder, recipe, {**run.values, **about, "tracking": run.values["tracking"]}, held)
    return run, found, damaged, begun


def resume(
    folder: RunFolder,
    recipe: Recipe | None = None,
    *,
    quiet: bool = False,
    overrides: Sequence[str] = (),
    workers: int | None = None,
) -> Outcome:
    """Go on with a run where its last checkpoint was taken. A run that has finished is left as it is.

    Args:
        recipe: what the run is thought to be; None for what it is.
        overrides: changes to it, of what may change.
        workers: processes that train together; None for as many as it had, which gives the same bits.

    Raises:
        GanflowError: the recipe differs (every difference is listed), another process trains this run, all checkpoints
            are damaged, or as `start`.
    """
    kept = kept_recipe(folder.recipe)
    wanted = recipe or read_recipe(folder.recipe, overrides)
    different = differences(kept, wanted)
    refused = "".join(f"\n  {line}" for line in different if not line.startswith(MAY_CHANGE))
    if refused:
        raise GanflowError(f"run {folder.id} was started with another recipe; start a new run, or undo:{refused}")
    check_recipe(wanted, folder.path.parent.parent)
    with ExitStack() as held:
        held.enter_context(alone(folder))
        before = folder.read()
        found, damaged = checkpoints.newest(folder.checkpoints)
        if found is None and damaged:
            raise GanflowError(f"run {folder.id} cannot go on, its checkpoints are damaged: {'; '.join(map(str, damaged))}")
        if found and found.round > wanted.train.rounds:
            raise GanflowError(f"train.rounds: {wanted.train.rounds} is too few, {found.round} are played already")
        if found and found.round == wanted.train.rounds and before.status == "finished":
            hint = f"to train on: ganflow run --resume {folder.id} train.rounds={2 * found.round}"
            Progress(found.round, found.round, quiet=quiet).note(f"run {folder.id} has finished already; {hint}")
            return Outcome(folder, "finished", found.round)
        n = before.workers if workers is None else workers
        group = held.enter_context(hired(wanted, n, before.threads if n == before.workers else 0))
        run = built(wanted, RunOptions(quiet), before, group)
        start_from = before.start_from
        if start_from and not found:
            root = folder.path.parent.parent
            earlier, of = RunFolder(folders.moved(start_from["run"], root)), folders.moved(start_from["checkpoint"], root)
            take_over(run.game, find_checkpoint(earlier, str(of)), earlier.id)
        steps = run.steps(folder, found, damaged, changed=bool(different))
        return Session(run, steps, folder, held.pop_all()).finish()


def start_stages(
    stages: Stages, root: Path = folders.DEFAULT_ROOT, *, quiet: bool = False, workers: int = 1
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
    root: Path = folders.DEFAULT_ROOT,
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
        following = RunFolder(folders.moved(begun, around)) if begun else None
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
