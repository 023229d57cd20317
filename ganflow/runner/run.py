"""Start a run, or go on with one."""

from __future__ import annotations

import os
import platform
import socket
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import ganflow
from ganflow import checkpoint, runs
from ganflow.checkpoint import Checkpoint, Damaged
from ganflow.checkpoint.load import describe, find_checkpoint, take_over
from ganflow.errors import GanflowError
from ganflow.game.compiled import NotCompilable, worth_compiling
from ganflow.game.meeting import Lost
from ganflow.game.parallel import Group
from ganflow.plugins import versions
from ganflow.recipe import Recipe, differences, read_recipe
from ganflow.runner.faults import plugins_fault
from ganflow.runner.folders import alone, changes, clear_unfinished, fill_folder, git_commit, new_folder, noted, write_recipe
from ganflow.runner.loop import Interruption, Loop, Step, interruptible
from ganflow.runner.parts import Parts
from ganflow.runner.progress import Progress
from ganflow.runner.workers import hired
from ganflow.runs import RunFolder
from ganflow.trainer import Diverged

ERROR = "error.txt"
Say = Callable[[str], None]
MAY_CHANGE = ("train.rounds", "train.report_every", "train.sample_every", "train.evaluate_every", "train.checkpoint_every",
              "train.keep", "track.")  # fmt: skip
"""What of a recipe may change when its run goes on: how long, how often, and where it is remembered."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        status: "finished", "interrupted" or "stopped" (saved, can be resumed).
        signal: the number of the signal that interrupted it, else 0.
    """

    folder: RunFolder
    status: str
    round: int
    signal: int = 0


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
        self._run.trainer.stop = True
        self._run.early = status

    def finish(self) -> Outcome:
        """Play to the end."""
        for _ in self:
            pass
        assert self.outcome is not None
        return self.outcome


def start(recipe: Recipe, root: Path = runs.DEFAULT_ROOT, *, quiet: bool = False, workers: int = 1) -> Outcome:
    """Train a recipe in a new folder under `root`.

    Args:
        workers: processes that train together, each on its share of every batch; this one is the first.

    Raises:
        GanflowError: the recipe's parts do not fit, a term is not finite, a plugin fails, the disk is full. What was
            trained until the last checkpoint is kept.
        Lost: (a GanflowError) a worker died; the run can go on.
    """
    with ExitStack() as held:
        run = _built(recipe, quiet, {}, held.enter_context(hired(recipe, workers)))
        source = recipe.train.start_from
        start_from = take_over(run.game, find_checkpoint(runs.find(source, root)), source) if source else None
        folder = new_folder(recipe, root, {**run.about(), "start_from": start_from})
        held.enter_context(alone(folder))
        return Session(run, run.steps(folder, None, []), folder, held.pop_all()).finish()


def open_trial(
    recipe: Recipe, folder: RunFolder, about: Mapping[str, Any], *, copied: bool = False, group: Group | None = None
) -> Session:
    """The run of a sweep's trial, in a folder of the sweep's choice: begun, or gone on with where it has a checkpoint.
    Shows nothing, listens to no signals and leaves the sending to MLflow to the sweep.

    Args:
        about: what run.json says besides, of the sweep. Its "tracking" is merged into the run's.
        copied: its checkpoint is another run's, whose recipe had other numbers: the optimizers' are this recipe's.
        group: the workers that train it together, by `Group.host`; the others are at `ganflow.runner.workers.serve`.

    Raises:
        GanflowError: as `start` and `resume`.
    """
    with ExitStack() as held:
        if group:
            held.callback(group.close)
        run, found, damaged, begun = prepare_trial(recipe, folder, about, held, group)
        run.copied = copied
        return Session(run, run.steps(folder, found, damaged, changed=begun), folder, held.pop_all())


def prepare_trial(
    recipe: Recipe, folder: RunFolder, about: Mapping[str, Any], held: ExitStack, group: Group | None = None
) -> tuple[Run, Checkpoint | None, list[Damaged], bool]:
    """Build a trial's run, make its folder if there is none, and hold its lock: the run, the checkpoint to go on from,
    damaged ones, and whether it was begun before. Arguments as those of `open_trial`."""
    begun = folder.is_run()
    if begun:
        held.enter_context(alone(folder))
    before = noted(folder) if begun else {}
    found, damaged = checkpoint.newest(folder.checkpoints) if begun else (None, [])
    run = _built(recipe, True, before, group)
    run.alone = True
    run.tracking = about.get("tracking", {})
    source = recipe.train.start_from
    if source and not found:
        take_over(run.game, find_checkpoint(runs.find(source, folder.path.parent.parent)), source)
    if not begun:
        own = run.about()
        clear_unfinished(folder)
        runs.make(folder)
        fill_folder(folder, recipe, {**own, **about, "tracking": own["tracking"]})
        held.enter_context(alone(folder))
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
    kept = read_recipe(folder.recipe)
    wanted = recipe or read_recipe(folder.recipe, overrides)
    different = differences(kept, wanted)
    refused = "".join(f"\n  {line}" for line in different if not line.startswith(MAY_CHANGE))
    if refused:
        raise GanflowError(f"run {folder.id} was started with another recipe; start a new run, or undo:{refused}")
    with ExitStack() as held:
        held.enter_context(alone(folder))
        before = noted(folder)
        found, damaged = checkpoint.newest(folder.checkpoints)
        if found is None and damaged:
            raise GanflowError(f"run {folder.id} cannot go on, its checkpoints are damaged: {'; '.join(map(str, damaged))}")
        if found and found.round > wanted.train.rounds:
            raise GanflowError(f"train.rounds: {wanted.train.rounds} is too few, {found.round} are played already")
        if found and found.round == wanted.train.rounds and before["status"] == "finished":
            hint = f"to train on: ganflow run --resume {folder.id} train.rounds={2 * found.round}"
            Progress(found.round, found.round, quiet=quiet).note(f"run {folder.id} has finished already; {hint}")
            return Outcome(folder, "finished", found.round)
        had = before.get("workers", 1)
        n = had if workers is None else workers
        group = held.enter_context(hired(wanted, n, before.get("threads", 0) if n == had else 0))
        run = _built(wanted, quiet, before, group)
        start_from = before.get("start_from")
        if start_from and not found:
            earlier = RunFolder(Path(start_from["run"]))
            take_over(run.game, find_checkpoint(earlier, start_from["checkpoint"]), earlier.id)
        steps = run.steps(folder, found, damaged, changed=bool(different))
        return Session(run, steps, folder, held.pop_all()).finish()


def _built(recipe: Recipe, quiet: bool, before: dict[str, Any], group: Group | None) -> Run:
    try:
        return Run(recipe, quiet, before, group)
    except (Exception, SystemExit) as error:
        told = plugins_fault(error, "when the run was built", "--debug shows the traceback")
        if told is None:
            raise
        raise told from error


class Run(Parts):
    """Everything that one run is made of. Nothing is written before all of it is built and fits.

    Args:
        before: what the folder of a run that is resumed says about it.
        group: the workers that train together, of which this one is the first.
    """

    def __init__(self, recipe: Recipe, quiet: bool, before: dict[str, Any], group: Group | None = None) -> None:
        self.quiet, self.before, self.workers = quiet, before, group.size if group else 1
        self.loop: Loop | None = None
        self.alone = False  # part of a sweep, which shows it, stops it and sends it to MLflow
        self.packed = False  # its rounds are played together with other trials'
        self.early = "interrupted"  # how the run ends that is stopped before its last round
        self.interruption = Interruption()
        self.copied = False  # the checkpoint is another run's
        self.tracking: Mapping[str, Any] = {}  # what a sweep says of it, besides the recipe
        as_before = before.get("threads", 0) if before.get("workers", 1) == self.workers else 0
        super().__init__(recipe, group, (group.threads if group else 0) or as_before)
        self.metrics = self.composition.build_metrics(self.data)

    def steps(
        self, folder: RunFolder, found: Checkpoint | None, damaged: list[Damaged], changed: bool = False
    ) -> Generator[Step, None, Outcome]:
        """Train from a checkpoint, or from the beginning, to the end; yields whenever something was reported.

        Args:
            damaged: checkpoints that are passed over.
            changed: the folder's recipe is another one.
        """
        with self.opened(folder, found, damaged, changed) as loop:
            yield from loop.steps()
            status = loop.end(self.early)
        return Outcome(folder, status, self.trainer.round, self.interruption.signal)

    @contextmanager
    def opened(self, folder: RunFolder, found: Checkpoint | None, damaged: list[Damaged], changed: bool) -> Iterator[Loop]:
        """The run's loop, ready to begin, or to go on from a checkpoint. What goes wrong while this lasts is noted in the
        folder, and told in a sentence. Arguments as those of `steps`."""
        title = f"{self.recipe.name} · {folder.id}"
        with (
            Progress(self.recipe.train.rounds, found.round if found else 0, title, quiet=self.quiet) as progress,
            nullcontext(Interruption()) if self.alone else interruptible(self.trainer) as self.interruption,
        ):
            try:
                for listener in self.composition.listeners("run_started"):
                    listener(game=self.game)
                best = self._load(folder, found, damaged, progress.note) if self.before else {}
                if changed:
                    write_recipe(folder, self.recipe)
                folder.note(**self._going(), compile=self._compile(progress.note))
                if self.group:
                    self.group.join(self.game.device)
                    self.trainer.share()
                    progress.note(f"{self.workers} workers, {self.recipe.train.batch_size // self.workers} examples each")
                send = self.recipe.track.mlflow and not self.alone
                self.loop = Loop(self.recipe, self.trainer, self.metrics, self.composition, folder, progress, best, send)
                yield self.loop
            except BaseException as error:
                failure = self._failed(folder, error)
                if failure is error:
                    raise
                raise failure from error
            finally:
                self.feed.close()
                if self.loop:
                    self.loop.close()

    def _load(self, folder: RunFolder, found: Checkpoint | None, damaged: list[Damaged], say: Say) -> dict[str, Any]:
        """Put everything back where it was; returns what the best score was."""
        for file in damaged:
            file.path.replace(file.path.with_suffix(".damaged"))
            say(f"damaged checkpoint passed over: {file}")
        for difference in changes(self.before, self.about()):
            say(difference)
        (folder.path / ERROR).unlink(missing_ok=True)
        if found is None:
            say("no checkpoint yet: starting again from round 0")
            return {}
        try:
            self.trainer.load_state(found.tensors, found.plain)
            if self.copied:
                for player in self.game.players.values():
                    player.reset_numbers()
        except (ValueError, KeyError) as error:
            raise GanflowError(f"{found.path.name} does not fit the run's recipe: {error}") from None
        say(f"going on from round {found.round}")
        best: dict[str, Any] = found.plain["best"]
        return best

    def _going(self) -> dict[str, Any]:
        """What the folder says of a run that (again) goes on."""
        about = self.about()
        going = ("status", "rounds", "pid", "host", "tracking", "workers", "threads")
        return {key: about[key] for key in going} | {"error": None}

    def _compile(self, say: Say) -> dict[str, str]:
        """Choose eager or compiled rounds, once per run: a resumed run goes on as it began."""
        train = self.recipe.train
        if self.group:
            why = "several workers exchange gradients within a round"
            if train.compile == "auto":
                say(f"eager rounds: {why}")
            return {"mode": "never", "why": why}
        chosen = {"mode": "never", "why": "packed"} if self.packed else self.before.get("compile")
        if chosen is None:
            mode: str = train.compile
            why = "as the recipe says"
            if mode == "auto":
                mode, why = worth_compiling(self.game, train.n_critic, train.batch_size, train.rounds)
            chosen = {"mode": mode, "why": why}
        if chosen["mode"] == "never":
            if train.compile == "auto":
                say(f"eager rounds: {chosen['why']}")
            return chosen
        say(f"compiling the {chosen['mode']} ({chosen['why']}) …")
        try:
            self.trainer.compile(whole=chosen["mode"] == "round")
        except NotCompilable as error:
            if train.compile != "auto":
                raise GanflowError(f"train.compile: {error}; set compile: never") from error
            say(f"eager rounds after all: {error}")
            chosen = {"mode": "never", "why": str(error)}
        return chosen

    def about(self) -> dict[str, Any]:
        train, track = self.recipe.train, self.recipe.track
        return {
            "status": "running",
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "name": self.recipe.name,
            "round": 0,
            "rounds": train.rounds,
            "seed": train.seed,
            "device": str(self.game.device),
            "threads": torch.get_num_threads(),
            "workers": self.workers,
            "versions": {"ganflow": ganflow.__version__, "torch": torch.__version__, "python": platform.python_version()},
            "plugins": versions(self.recipe.chosen()),
            "git": git_commit(),
            "data": describe(self.data),
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "tracking": {k: getattr(track, k) for k in ("mlflow", "uri", "experiment", "run_name", "images", "log_model")}
            | {**self.tracking},
        }

    def _failed(self, folder: RunFolder, error: BaseException) -> BaseException:
        """Note the failure in the folder; say what is kept, and whose code it was."""
        if self.loop:
            with suppress(Exception):  # a checkpoint may still be on its way
                self.loop.writer.wait()
        failure: BaseException = error
        status = "failed"
        if isinstance(error, KeyboardInterrupt):
            status = "interrupted"
        elif isinstance(error, Diverged):
            found, _ = checkpoint.newest(folder.checkpoints)
            kept = f"the last good checkpoint is {found.path}" if found else "there is no checkpoint yet"
            failure = GanflowError(f"{error}; {kept}. Try a lower learning rate, clip_grad, or another seed")
        elif isinstance(error, Lost):
            failure = Lost(f"{error}; go on from the last checkpoint with: ganflow run --resume {folder.id}")
        elif isinstance(error, (Exception, SystemExit)):
            rounds = f"after {self.trainer.round} rounds"
            failure = plugins_fault(error, rounds, f"the traceback is in {folder.path / ERROR}") or error
        with suppress(OSError):  # a full disk must not hide the error itself
            folder.note(status=status, round=self.trainer.round, error=str(failure) or type(failure).__name__)
            if status == "failed":
                (folder.path / ERROR).write_text("".join(traceback.format_exception(error)))
        for listener in self.composition.listeners("run_ended"):
            with suppress(Exception):
                listener(game=self.game, status=status)
        return failure
