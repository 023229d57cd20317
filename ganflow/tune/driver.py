"""A sweep from its beginning to its end, or from where it was interrupted."""

from __future__ import annotations

import os
import platform
import re
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import ganflow
from ganflow import runs
from ganflow.errors import GanflowError
from ganflow.plugins import versions
from ganflow.recipe import Recipe, Tune, read_recipe
from ganflow.tune.folder import SweepFolder, TrialRecord
from ganflow.tune.space import Space, read_space


@dataclass(frozen=True)
class Plan:
    """A sweep that can be begun: everything about it that was found out beforehand."""

    recipe: Recipe
    tune: Tune
    space: Space
    metric: str
    mode: Literal["min", "max"]


@dataclass(frozen=True)
class Outcome:
    """How a sweep ended.

    Attributes:
        status: "finished" or "interrupted".
        signal: the number of the signal that interrupted it, else 0.
        failed: how many trials died more often than they may.
    """

    folder: SweepFolder
    status: str
    signal: int
    failed: int


def plan(source: str | Path, overrides: Sequence[str] = ()) -> Plan:
    """Read a recipe with a tune section, and check every value that its space can yield.

    Raises:
        GanflowError: the recipe, its space or its objective is wrong.
    """
    from ganflow.tune.objective import find_objective

    recipe = read_recipe(source, overrides)
    if recipe.tune is None:
        raise GanflowError(f"{recipe.file} has no section 'tune'; what one looks like: ganflow recipes copy sweeps/asha")
    space = read_space(recipe, source, overrides)
    metric, mode = find_objective(recipe, space.variants)
    return Plan(recipe, recipe.tune, space, metric, mode)


def begin(plan: Plan, root: Path, name: str | None = None) -> SweepFolder:
    """Make the folder of a new sweep.

    Raises:
        GanflowError: there is one of this name, or it cannot be written.
    """
    if name is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise GanflowError(f"--name: {name[:50]!r} cannot name a folder; use letters, digits, '.', '_' and '-'")
    folder = SweepFolder((root / (name or _free_name(root, plan.recipe.name))).absolute())
    try:
        folder.path.parent.mkdir(parents=True, exist_ok=True)
        folder.path.mkdir()
        folder.plots.mkdir()
        runs.write_text(folder.recipe, f"# ganflow tune {folder.recipe}\n" + plan.space.draft.to_yaml())  # with its references
        folder.note(**_about(plan, folder))
    except FileExistsError:
        how = f"go on with it: ganflow tune --resume {folder.sweep}, or choose another --name"
        raise GanflowError(f"there is already a folder {folder.path}; {how}") from None
    except OSError as error:
        how = f"{error.strerror}; choose another with --runs"
        raise GanflowError(f"cannot make the sweep's folder {folder.path}: {how}") from None
    return folder


def find(name: str, root: Path) -> SweepFolder:
    """The sweep of this name, or at this path.

    Raises:
        GanflowError: there is none, or what it must have to go on is missing or damaged.
    """
    found = [SweepFolder(p.absolute()) for p in (Path(name), root / name) if p.is_dir()]
    there = [f for f in found if f.is_run()]
    if not there:
        if found and found[0].records.exists():
            raise GanflowError(f"{found[0].path / 'run.json'} is missing: the sweep cannot go on without it")
        raise GanflowError(f"no sweep '{name}' in {root}/ (ganflow sweeps lists them)")
    folder = there[0]
    try:
        about = folder.about()
    except ValueError as error:
        raise GanflowError(f"{folder.path / 'run.json'} is damaged ({error}); the sweep cannot go on without it") from None
    if about.get("kind") != "sweep":
        raise GanflowError(f"{folder.path} is a run, not a sweep; go on with it: ganflow run --resume {folder.path.name}")
    if not folder.recipe.exists():
        raise GanflowError(f"{folder.recipe} is missing: the sweep cannot go on without it")
    return folder


def go(folder: SweepFolder, plan: Plan, address: str = "local", *, quiet: bool = False) -> Outcome:
    """Run every trial of the sweep that is not over yet.

    Raises:
        GanflowError: the cluster cannot be used; nothing has been started then.
    """
    from ganflow.tracking import Follower
    from ganflow.tune.display import Display
    from ganflow.tune.summary import summarize

    with ExitStack() as stack:
        stack.enter_context(_alone(folder))
        about = folder.about()
        folder.note(status="running", pid=os.getpid(), host=socket.gethostname(), address=address)
        records = folder.mended()
        display = stack.enter_context(
            Display(
                folder.sweep,
                plan.metric,
                plan.mode,
                list(plan.space.keys),
                about["trials"],
                rounds=about["rounds"],
                quiet=quiet,
            )
        )
        interruption = stack.enter_context(_interruptible())
        follower = Follower(folder) if plan.recipe.track.mlflow else None
        if follower:
            follower.start()
            stack.callback(follower.stop)
        status = "failed"
        try:
            _tune(folder, plan, records, address, display, interruption)
            status = "interrupted" if interruption.signal else "finished"
        except (GanflowError, KeyboardInterrupt):
            status = "interrupted"
            raise
        finally:
            folder.note(status=status)
        if status == "finished":
            for missing in summarize(folder, plan.recipe).missing:
                display.note(missing)
        if follower:
            unsent = follower.finish(plan.recipe.track.wait)
            if unsent:
                display.note(str(unsent))
        failed = sum(t.state == "failed" for t in folder.trials().values())
        return Outcome(folder, status, interruption.signal, failed)


@contextmanager
def _alone(folder: SweepFolder) -> Iterator[None]:
    """Hold the sweep's lock."""
    with ExitStack() as held:
        try:
            held.enter_context(runs.locked(folder))
        except GanflowError:
            about = folder.about()
            who = f"pid {about.get('pid')} on {about.get('host')}"
            raise GanflowError(f"another process runs the sweep {folder.sweep} already ({who})") from None
        yield


@dataclass
class _Interruption:
    signal: int = 0


@contextmanager
def _interruptible() -> Iterator[_Interruption]:
    """Ctrl-C and SIGTERM end the sweep with every trial's state kept; a second Ctrl-C ends it at once."""
    interruption = _Interruption()

    def stop(number: int, frame: object) -> None:
        if interruption.signal and number == signal.SIGINT:
            raise KeyboardInterrupt
        interruption.signal = number

    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tune(
    folder: SweepFolder, plan: Plan, records: dict[int, TrialRecord], address: str, display: Any, interruption: _Interruption
) -> None:
    """Let Ray Tune run the trials."""
    _habits()
    from ray import tune

    from ganflow.tracking import Journal
    from ganflow.tune.address import connect
    from ganflow.tune.book import Book
    from ganflow.tune.memory import remember
    from ganflow.tune.pack import Pack
    from ganflow.tune.population import Population
    from ganflow.tune.preflight import preflight
    from ganflow.tune.proposals import Proposals
    from ganflow.tune.resources import bundles, workers
    from ganflow.tune.schedulers import make_scheduler
    from ganflow.tune.search import make_searcher
    from ganflow.tune.trial import Trial
    from ganflow.tune.watch import Watcher
    from ganflow.tune.watchdog import guarded

    rounds = rounds_of(plan)
    tracking = {"parent": folder.id, "log_model": False}
    book = Book(
        folder,
        {
            "recipe": str(folder.recipe),
            "about": {"sweep": folder.id, "tracking": tracking},
            "metric": plan.metric,
            "mode": plan.mode,
            "stop": plan.tune.stop,
            "workers": workers(plan.tune),
        },
        _in_common(plan),
        records,
    )
    searcher = make_searcher(plan.tune, plan.space, plan.mode)
    scheduler: Any = make_scheduler(plan.tune, plan.mode, rounds)
    unfinished = remember(book, plan.metric, searcher, scheduler)
    if plan.tune.scheduler == "pbt":
        every = max(1, round(plan.tune.interval * rounds))
        scheduler = Population(book, plan.space, plan.mode, rounds, every, plan.tune.seed)
    journal = Journal(folder.journal)
    watcher = Watcher(book, journal, plan.mode, display)
    if not unfinished and len(records) >= searcher.total:
        journal.close()
        return
    pack = _pack(plan, display.note)
    scratch = folder.path / ".ray"
    with connect(address), guarded(lambda: _abandon(folder, display, interruption)):
        for note in preflight(plan, folder, address):
            display.note(note)
        tuner = tune.Tuner(
            tune.with_resources(Pack if pack > 1 else Trial, bundles(plan.tune)),
            tune_config=tune.TuneConfig(
                search_alg=Proposals(book, plan.space, searcher, unfinished, pack),
                scheduler=scheduler,
                num_samples=searcher.total,
                max_concurrent_trials=plan.tune.concurrency or None,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name="sweep",
                storage_path=str(scratch),
                verbose=0,
                callbacks=[watcher],
                failure_config=tune.FailureConfig(max_failures=plan.tune.retries),
                stop=_stopper(folder, watcher, interruption),
            ),
        )
        try:
            tuner.fit()
        finally:
            watcher.end()
            shutil.rmtree(scratch, ignore_errors=True)


def _abandon(folder: SweepFolder, display: Any, interruption: _Interruption) -> None:
    """The cluster is gone: end the process at once. What is in the sweep's folder is all that is needed to go on."""
    folder.note(status="interrupted")
    display.__exit__(None, None, None)
    print(f"ganflow: the Ray cluster is gone; go on with: ganflow tune --resume {folder.sweep}", file=sys.stderr, flush=True)
    os._exit(128 + interruption.signal if interruption.signal else 1)


def _pack(plan: Plan, say: Callable[[str], None]) -> int:
    """Trials that are played together: what the recipe says, or 1 where that would not pay."""
    from ganflow.packed import worth_packing
    from ganflow.tune.objective import Reports

    wanted = plan.tune.pack
    if wanted == 1:
        return 1
    pays, why = worth_packing(Reports(plan.recipe).game, wanted)
    if not pays:
        say(f"trials are not packed: {why}")
    return wanted if pays else 1


def _stopper(folder: SweepFolder, watcher: Any, interruption: _Interruption) -> Any:
    from ray import tune

    class WhenInterrupted(tune.Stopper):
        def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
            return False

        def stop_all(self) -> bool:
            if interruption.signal and not watcher.stopping:
                watcher.stopping = True
                folder.note(status="interrupted")  # by which the trials know that they are to go on
                watcher.display.note("stopping: every trial keeps a checkpoint (Ctrl-C again: at once, without)")
            return bool(watcher.stopping)

    return WhenInterrupted()


def _habits() -> None:
    """Ray's ways that are wrong here, turned off before it is imported."""
    for name, value in {
        "TUNE_DISABLE_SIGINT_HANDLER": "1",  # we stop it ourselves, and keep every trial's state
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the runs have journals
        "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a score comes when it is due
        "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # a trial's end is told in one line
        "RAY_CHDIR_TO_TRIAL_DIR": "0",  # paths in a recipe are relative to where the sweep was begun
        "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # a sweep goes on from its own records
        "RAY_AIR_NEW_OUTPUT": "0",  # we show it ourselves
        "RAY_USAGE_STATS_ENABLED": "0",
    }.items():
        os.environ.setdefault(name, value)


def rounds_of(plan: Plan) -> int:
    """Rounds that a trial plays."""
    return plan.tune.rounds or plan.recipe.train.rounds


def _in_common(plan: Plan) -> list[str]:
    """Changes that make every trial's recipe of the sweep's, besides its own."""
    train, rounds = plan.recipe.train, rounds_of(plan)
    changes: dict[str, Any] = {}
    if plan.tune.rounds:
        changes["train.rounds"] = rounds
    if not train.sample_every:  # pictures of every trial along its way are more than anyone looks at, and cost more than rounds
        changes["train.sample_every"] = rounds
    if not train.threads:
        changes["train.threads"] = max(1, int(plan.tune.resources.get("cpus", 1)))
    if plan.tune.scheduler == "pbt" and not train.checkpoint_every:
        changes["train.checkpoint_every"] = max(1, round(plan.tune.interval * rounds))
    return [f"{name}={value}" for name, value in changes.items() if name not in plan.space.keys]


def _about(plan: Plan, folder: SweepFolder) -> dict[str, Any]:
    import torch

    from ganflow.runner.folders import git_commit
    from ganflow.tune.search import make_searcher

    recipe, track = plan.recipe, plan.recipe.track
    return {
        "kind": "sweep",
        "id": f"{runs.stamp()}",
        "name": folder.sweep,
        "recipe": recipe.name,
        "status": "waiting",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "metric": plan.metric,
        "mode": plan.mode,
        "trials": make_searcher(plan.tune, plan.space, plan.mode).total or plan.tune.trials,
        "over": 0,
        "rounds": rounds_of(plan),
        "seed": plan.tune.seed,
        "versions": {"ganflow": ganflow.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "plugins": versions(recipe.chosen()),
        "git": git_commit(),
        "tracking": {
            "mlflow": track.mlflow,
            "uri": track.uri,
            "experiment": track.experiment,
            "run_name": track.run_name or folder.sweep,
            "images": False,
            "log_model": False,
            "files": ["best.yaml", "trials.csv"],
        },
    }


def _free_name(root: Path, recipe: str) -> str:
    number = 1
    while (root / f"{recipe}-sweep-{number}").exists():
        number += 1
    return f"{recipe}-sweep-{number}"
