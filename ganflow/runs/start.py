"""Starting and resuming runs, in stages where the recipe has them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from ganflow.advised import command
from ganflow.contract.loss import Report
from ganflow.engine.distributed import Group
from ganflow.errors import GanflowError
from ganflow.evaluation.survey import examined
from ganflow.printing import print_lines
from ganflow.recipe import Recipe, read_recipe
from ganflow.recipe.source import recipe_of
from ganflow.recipe.stages import Stages
from ganflow.runs import folders, journal
from ganflow.runs.amend import Changes, amended, first_lines, same_data, to_train_on
from ganflow.runs.checkpoints import Checkpoint, newest
from ganflow.runs.folders import RunFolder
from ganflow.runs.kept import recipe_of_run
from ganflow.runs.loading import find_checkpoint, first_line_of, load_weights, only_damaged, origin_of
from ganflow.runs.loop import Follower, Result
from ganflow.runs.new import Copy, Position, clear_unfinished, create, fill_folder, lock_folder
from ganflow.runs.run import Outcome, Run, RunOptions, built
from ganflow.runs.trying import check_best, inherited, refused, tried
from ganflow.runs.workers import started_workers

Send = Callable[[Recipe, Path], Callable[[RunFolder], Follower] | None]
"""Checks where a recipe's run may be sent that is kept in a runs folder; returns what makes its follower."""
OnReport = Callable[[Report], object]
"""Called with each report of a run; one that returns False ends it."""


class Session:
    """A run that is played step by step: iterate over it to the end.

    Attributes:
        folder: the run's.
        outcome: how the run ended; None until then.

    Raises:
        GanflowError: (while iterating) as `start`.
    """

    def __init__(self, run: Run, results: Generator[Result, None, Outcome], folder: RunFolder, held: ExitStack) -> None:
        self.folder = folder
        self.outcome: Outcome | None = None
        self._run, self._results, self._held = run, results, held

    def __iter__(self) -> Iterator[Result]:
        with self._held:
            self.outcome = yield from self._results

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
    root: Path | None = None,
    *,
    quiet: bool = False,
    workers: int = 1,
    send: Send | None = None,
    on_report: OnReport | None = None,
    then: Sequence[Mapping[str, Any]] = (),
    after: RunFolder | None = None,
) -> Outcome:
    """Train a recipe in a new folder under `root`, or the default one.

    Args:
        workers: processes that train together, each on its share of every batch; this one is the first.
        send: `ganflow.tracking.follower.follower_of`; None to send nothing.
        on_report: called with each report; if it returns False, the run ends after this round.
        then: recipes that are to follow (see ganflow.recipe.stages), for run.json.
        after: the run that this one follows.

    Raises:
        GanflowError: the recipe's parts do not fit, a term is not finite, a plugin fails, the disk is full. What was
            trained until the last checkpoint is kept.
        Lost: (a GanflowError) a worker died; the run can go on.
    """
    root = root or folders.default_root()
    options = RunOptions(quiet, follower=send(recipe, root) if send else None, on_report=on_report)
    with ExitStack() as held:
        run = built(recipe, options, None, held.enter_context(started_workers(recipe, workers)))
        check_data(run)
        source = inherited(run.recipe, run.game, root)
        folder = create(root, recipe.name)
        more = {"start_from": origin_of(source) if source else None} | ({"then": list(then)} if then else {})
        fill_folder(folder, recipe, {**run.values, **more}, held)
        if after:
            after.update(next=str(folder.path))
        position = Position(folder, source=source, lines=[first_line_of(run.game, source)] if source else [])
        return Session(run, run.results(position), folder, held.pop_all()).finish()


def check_data(run: Run) -> None:
    """Examine some of the data before a run begins, and print what is doubtful; raises as `examined`."""
    for text in examined(run.data, vars(run.recipe.data.settings)):
        print_lines(f"ganflow: {text}", err=True)


def open_trial(
    recipe: Recipe,
    folder: RunFolder,
    about: Mapping[str, Any],
    *,
    copy: Copy | None = None,
    group: Group | None = None,
    options: RunOptions | None = None,
) -> Session:
    """The run of a sweep's trial, in a folder of the sweep's choice: begun, or gone on with where it has a checkpoint.
    Shows nothing, listens to no signals and leaves the sending to MLflow to the sweep.

    Args:
        about: values of the record besides the run's, of the sweep. Its "tracking" is merged into the run's.
        copy: checkpoints up to its round are not this recipe's, most likely another run's.
        group: the workers that train it together, by `Group.host`; the others are at `ganflow.runs.workers.serve`.
        options: others than those of a trial, for one that is shown, and hears signals, as a run is.

    Raises:
        GanflowError: as `start` and `resume`.
    """
    with ExitStack() as held:
        if group:
            held.callback(group.close)
        run, position = prepare_trial(recipe, folder, about, held, group, copy=copy, options=options)
        return Session(run, run.results(position), folder, held.pop_all())


def prepare_trial(
    recipe: Recipe,
    folder: RunFolder,
    about: Mapping[str, Any],
    held: ExitStack,
    group: Group | None = None,
    *,
    packed: bool = False,
    copy: Copy | None = None,
    options: RunOptions | None = None,
) -> tuple[Run, Position]:
    """Build a trial's run, make its folder if there is none, and hold its lock. Arguments as those of `open_trial`."""
    begun = folder.is_run()
    if begun:
        held.enter_context(lock_folder(folder))
    before = folder.read() if begun else None
    position = Position(folder, *newest(folder.checkpoints), changed=True) if begun else Position(folder)
    copy = copy if copy and position.checkpoint and position.round <= copy.at else None
    as_trial = RunOptions(quiet=True, trial=True, packed=packed, copy=copy, tracking=about.get("tracking", {}))
    run = built(recipe, options or as_trial, before, group)
    if not position.checkpoint:
        position = replace(position, source=inherited(run.recipe, run.game, folder.path.parent.parent))
    if not begun:
        clear_unfinished(folder)
        folders.make(folder)
        fill_folder(folder, recipe, {**run.values, **about, "tracking": run.values["tracking"]}, held)
    return run, position


def resume(
    folder: RunFolder,
    recipe: Recipe | None = None,
    *,
    quiet: bool = False,
    overrides: Sequence[str] = (),
    workers: int | None = None,
    send: Send | None = None,
    on_report: OnReport | None = None,
) -> Outcome:
    """Go on with a run from its last checkpoint. A run that has finished is left as it is.

    Args:
        recipe: the recipe that the run is thought to have; None for the one it has.
        overrides: changes to it, of what may change (see ganflow.runs.amend); also those that `recipe` was read with.
        workers: processes that train together; None for as many as it had, which gives the same bits.
        send, on_report: as of `start`.

    Raises:
        GanflowError: the recipe differs (every difference is listed), another process trains this run, all checkpoints
            are damaged, or as `start`.
    """
    root = folder.path.parent.parent
    if folder.exported:
        recipe_file, weights = (shlex.quote(str(folders.here(path))) for path in (folder.recipe, folder.weights))
        raise GanflowError(f"run {folder.id} is exported: it has the generator's weights, and no training to go on with; begin "
                           "one from them: " + command(f"ganflow run {recipe_file} train.start_from={weights}"))  # fmt: skip
    had = recipe_of_run(folder)
    wanted = recipe or read_recipe(folder.recipe, overrides)
    changes = Changes.between(had, wanted)
    if changes.refused:
        raise refused(folder, changes.refused, wanted, overrides)
    options = RunOptions(quiet, follower=send(wanted, root) if send else None, on_report=on_report)
    with ExitStack() as held:
        held.enter_context(lock_folder(folder))
        before = folder.read()
        journal.read(folder.journal)  # which is rewound later on, and must be whole for that
        position = Position(folder, *newest(folder.checkpoints), changed=bool(changes.lines))
        found, damaged = position.checkpoint, position.damaged
        if found is None and damaged:
            raise only_damaged(folder, damaged)
        if found and found.round > wanted.train.rounds:
            raise GanflowError(f"train.rounds: {wanted.train.rounds} is too few, {found.round} are played already")
        if found and found.round == wanted.train.rounds and before.status == "finished":
            hint = to_train_on(folder, wanted, found.round, () if recipe else overrides)
            advice = f"run {folder.id} has finished already; to train on: " + hint
            there = [metric.component for metric in had.metrics]
            for metric in [each.component for each in wanted.metrics if each.component not in there][:1]:
                scores = command(f"ganflow evaluate {folder.reference()} --metric {metric.name}")
                advice += "; for scores of what is trained: " + scores
            return Outcome(folder, "finished", found.round, advice=advice)
        n = before.workers if workers is None else workers
        group = held.enter_context(started_workers(wanted, n, before.threads if n == before.workers else 0))
        run = built(wanted, options, before, group)
        if changes.metrics:
            check_best(wanted, run.metrics)
        if changes.moves_data and not same_data(before, run.values["data"]["fingerprint"]):
            raise refused(folder, changes.moves_data, wanted, overrides, ", for there are other data (of another fingerprint)")
        source: Checkpoint | None = None
        if before.start_from and not found:
            earlier = RunFolder(folders.moved(before.start_from["run"], root))
            source = find_checkpoint(earlier, str(folders.moved(before.start_from["checkpoint"], root)))
            load_weights(run.game, source, earlier.id)
        lines = first_lines(folder, before, changes, (had, wanted), position.round)
        position = replace(position, amended=amended(before, changes, position.round), lines=lines, source=source)
        return Session(run, run.results(position), folder, held.pop_all()).finish()


def start_stages(
    stages: Stages,
    root: Path | None = None,
    *,
    quiet: bool = False,
    workers: int = 1,
    send: Send | None = None,
    on_report: OnReport | None = None,
) -> Iterator[Outcome]:
    """Run all stages, each in a new folder; yields how each of them ended. One that is interrupted is the last.

    Raises:
        GanflowError: as `start`.
    """
    root = root or folders.default_root()
    first, *rest = stages.recipes
    for _ in tried(stages.recipes if rest else (), root):  # nothing is trained for a stage that cannot follow
        pass
    if send:
        for recipe in rest:  # nor for one that could not be sent
            send(recipe, root)
    then = [recipe.resolved() for recipe in rest]
    outcome = start(first, root, quiet=quiet, workers=workers, send=send, on_report=on_report, then=then)
    yield outcome
    yield from _follow(outcome, root, quiet, workers, send, on_report)


def resume_stages(
    folder: RunFolder,
    recipe: Recipe | None = None,
    root: Path | None = None,
    *,
    quiet: bool = False,
    overrides: Sequence[str] = (),
    workers: int | None = None,
    send: Send | None = None,
    on_report: OnReport | None = None,
) -> Iterator[Outcome]:
    """Go on with a run, and then with what is to follow it, if anything; arguments as those of `resume`.

    Raises:
        GanflowError: as `resume`.
    """
    root = root or folders.default_root()
    before = folder.read()
    over = before.then and before.status == "finished" and recipe is None and not overrides
    if over and not newest(folder.checkpoints)[1]:  # if its last checkpoint is damaged, its last rounds are played again
        outcome = Outcome(folder, "finished", before.round)
    else:
        outcome = resume(folder, recipe, quiet=quiet, overrides=overrides, workers=workers, send=send, on_report=on_report)
        yield outcome
    yield from _follow(outcome, root, quiet, workers, send, on_report)


def _follow(
    outcome: Outcome, root: Path, quiet: bool, workers: int | None, send: Send | None, on_report: OnReport | None
) -> Iterator[Outcome]:
    while outcome.status == "finished" and (record := outcome.folder.read()).then:
        run, around = outcome.folder.id, outcome.folder.path.parent.parent
        following = RunFolder(folders.moved(record.next, around)) if record.next else None
        if following and not following.path.resolve().is_relative_to(around.resolve()):
            raise GanflowError(
                f"run.json of run {run} says that it goes on in {following.path}, which is not in the runs folder "
                f"{around}; to go on there: " + command(f"ganflow run --resume {shlex.quote(str(following.path))}")
            )
        if following and following.is_run():
            outcome = resume(following, quiet=quiet, workers=workers, send=send, on_report=on_report)
        else:
            if newest(outcome.folder.checkpoints)[1]:
                raise GanflowError(f"the newest checkpoint of run {run}, which the next starts from, is damaged; play its last "
                                   "rounds again: " + command(f"ganflow run --resume {outcome.folder.reference()}"))  # fmt: skip
            first, *rest = record.then
            recipe = recipe_of(first)
            # an id is right in a folder that is moved, too
            recipe.train.start_from = run if around == root.absolute() else str(outcome.folder.path)
            outcome = start(
                recipe, root, quiet=quiet, workers=workers or 1, send=send, on_report=on_report, then=rest, after=outcome.folder
            )
        yield outcome
