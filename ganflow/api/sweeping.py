"""Sweeps from Python: `ganflow.sweep` begins one or goes on with one, `ganflow.load_sweep` opens one."""

from __future__ import annotations

import difflib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganflow.advised import command, see
from ganflow.api.arguments import Name, check_recipe, listed, name_of, root_of, text_of, whole
from ganflow.api.changes import Changes, as_typed
from ganflow.api.trained import TrainedRun, frame
from ganflow.errors import GanflowError
from ganflow.printing import say
from ganflow.runs.finding import all_sweeps, find_sweep, latest_sweep, unnamed
from ganflow.runs.folders import RunFolder, check, status

if TYPE_CHECKING:
    import pandas as pd

    from ganflow.cluster.address import Address
    from ganflow.sweeps.records import SweepFolder
    from ganflow.tune.driver import Outcome
    from ganflow.tune.plan import Plan


def sweep(
    recipe: str | Path | Mapping[str, Any],
    changes: Changes = (),
    *,
    name: str | None = None,
    address: str = "local",
    earlier: Name | None = None,
    runs: str | Path | None = None,
    quiet: bool = False,
) -> Sweep:
    """Search a recipe's keys, as `ganflow tune` does, on this machine or a Ray cluster that it belongs to.

    Args:
        recipe: with a section `tune`: the name of one that comes with ganflow ("sweeps/asha"), a file, or its sections.
        changes: to the recipe: {"tune.trials": 8}.
        name: of the sweep and its folder; by default the recipe's, numbered.
        address: "local", "auto", or "host:port" of a cluster.
        earlier: a sweep whose trials the searcher is to know.
        runs: as of `load`.
        quiet: show no progress.

    Raises:
        GanflowError: the recipe, its space or its objective is wrong, or Ray does not start.
    """
    where = checked_address(text_of("address", address))
    name = None if name is None else text_of("name", name)
    plan = read(recipe, changes, where)
    for note in [] if quiet else plan.recipe.notes:
        say(note, err=True)
    return played(begin(plan, root_of(runs), name, earlier, quiet=quiet), plan, address, quiet=quiet, new=True)


def resume_sweep(
    name: Name,
    changes: Changes = (),
    *,
    address: str = "local",
    retry_failed: bool = False,
    runs: str | Path | None = None,
    quiet: bool = False,
) -> Sweep:
    """Go on with a sweep, or with the trainings of `run_seeds`, whatever interrupted it, and try again what the machine broke.

    Args:
        name: of the sweep, its folder, or the sweep itself.
        changes: of tune.trials, tune.retries, tune.concurrency, tune.resources, tune.budget or track; none of `run_seeds`.
        retry_failed: try all trials again that failed, from their last checkpoints; not of `run_seeds`.
        address, runs, quiet: as of `sweep`.

    Raises:
        GanflowError: there is no such sweep, another process runs it, or as `sweep`.
    """
    from ganflow.runs.kept import recipe_of_run
    from ganflow.tune import seeds
    from ganflow.tune.plan import find

    named, root = name_of(name, "sweep"), root_of(runs)
    if seeded := seeds.find(named, root):
        if changes or retry_failed or address != "local":
            how = f"as it is: ganflow.resume_sweep({seeded.reference()!r})"
            raise GanflowError(f"{seeded.sweep} was begun by run_seeds and goes on {how}")
        seeds.go(seeded, recipe_of_run(seeded), quiet=quiet)
        return Sweep(seeded)
    folder = find(named, root)
    return resumed(folder, as_typed(changes), text_of("address", address), retry_failed=retry_failed, quiet=quiet)


def resumed(
    folder: SweepFolder, overrides: Sequence[str], address: str = "local", *, retry_failed: bool = False, quiet: bool = False
) -> Sweep:
    """As `resume_sweep`, for the sweep of a folder."""
    from ganflow.cluster.address import parse_address
    from ganflow.runs.kept import made_with
    from ganflow.tune.amend import amend
    from ganflow.tune.plan import make_plan

    with made_with(folder):
        for change in amend(folder, overrides, address) if overrides else ():
            say(change, err=True)
        plan = make_plan(folder.recipe, new=False, here=parse_address(address).kind == "local")
    for note in [] if quiet else plan.recipe.notes:  # all of the sweep's file
        say(note, err=True)
    return played(folder, plan, address, quiet=quiet, retry_failed=retry_failed)


def run_seeds(
    recipe: str | Path | Mapping[str, Any],
    seeds: int | Sequence[int],
    changes: Changes = (),
    *,
    runs: str | Path | None = None,
    quiet: bool = False,
) -> Sweep:
    """Train a recipe with several seeds, one after the other, as `ganflow run --seeds` does. `spread()` of what is returned has
    the means of the scores.

    Args:
        seeds: so many from train.seed on, or these.
        recipe, changes, runs, quiet: as of `ganflow.run`.

    Raises:
        GanflowError: the recipe has mistakes, or a disk failed. A seed that fails is noted, and the others go on.
    """
    from ganflow.recipe import read_recipe
    from ganflow.recipe.sections import MOST_SEEDS
    from ganflow.tune import seeds as trainings

    check_recipe(recipe)
    several = isinstance(seeds, Sequence) and not isinstance(seeds, str)
    numbers = [whole("seeds", n, 0) for n in listed("seeds", seeds, "a number of seeds")] if several else []
    count = 0 if several else whole("seeds", seeds, 1, MOST_SEEDS)
    read = read_recipe(recipe, as_typed(changes))
    first = read.train.seed
    folder = trainings.begin(read, trainings.check_seeds(numbers or range(first, first + count)), root_of(runs))
    trainings.go(folder, read, quiet=quiet)
    return Sweep(folder)


def load_sweep(name: Name, *, runs: str | Path | None = None) -> Sweep:
    """Open a sweep: by its name, its folder, "latest", or one that was opened already.

    Raises:
        GanflowError: there is none.
    """
    return Sweep(sweep_of(name_of(name, "sweep"), root_of(runs)))


def sweep_of(name: str, root: Path) -> SweepFolder:
    """The sweep of this name, or in this folder; "latest": the one that was begun last.

    Raises:
        GanflowError: there is none.
    """
    from ganflow.sweeps.records import SweepFolder

    if not name.strip():
        raise unnamed("sweep")
    found = find_sweep(name, root) or (latest_sweep(root) if name == "latest" else None)
    if found is not None:
        check(found)
        return SweepFolder(found.path)
    if (root / name / "trials.jsonl").exists():
        SweepFolder(root / name).read()
    names = [sweep.path.name for sweep in all_sweeps(root)]
    if not names:
        raise GanflowError(f"no sweeps in {root}/ yet; start one with: " + command("ganflow tune wgan"))
    close = difflib.get_close_matches(name, names, n=3) or [n for n in names if n.startswith(name)][-3:]
    hint = f"; did you mean {' or '.join(repr(n) for n in close)}?" if close else ""
    raise GanflowError(f"no sweep '{name}' in {root}/{hint}" + see("ganflow sweeps", " lists them"))


class Sweep:
    """A sweep that is kept in a folder.

    Args:
        folder: of the sweep.
        outcome: how it ended, where it was run by this process.
        plan: what was searched, where it was run by this process.

    Attributes:
        folder: its files.
    """

    def __init__(self, folder: RunFolder, outcome: Outcome | None = None, plan: Plan | None = None) -> None:
        from ganflow.sweeps.records import SweepFolder

        self.folder = SweepFolder(folder.path)
        self.outcome, self.plan = outcome, plan

    def __repr__(self) -> str:
        return f"<ganflow sweep {self.name}: {self.status}, {len(self.trials())} of {self.folder.read().trials or '?'} trials>"

    @property
    def name(self) -> str:
        """Its name, which is its folder's."""
        return self.folder.sweep

    @property
    def path(self) -> Path:
        """Its folder's path."""
        return self.folder.path

    @property
    def status(self) -> str:
        """ "finished", "interrupted", "stopped" by its budget, "failed", "running" or "killed"."""
        return status(self.folder, self.folder.read())

    def trials(self) -> pd.DataFrame:
        """Its trials, a row each: state, round, score (with `sd` and `n` where a trial has several seeds; of each metric where
        there are several), error, and a column for each key that was searched."""
        from ganflow.sweeps.records import Repeated
        from ganflow.sweeps.repeats import current

        found = current(self.folder, running=self.status == "running")
        rows = [
            {"state": t.state, "round": t.round, "score": t.score, **t.scores}
            | ({"sd": t.sd, "n": t.n} if isinstance(t, Repeated) else {})
            | {"error": t.error or None, **t.config}
            for t in found
        ]
        return frame(rows, index=[t.number for t in found], index_name="trial")

    def spread(self) -> pd.DataFrame:
        """The scores over the seeds of `run_seeds` that are trained: mean, standard deviation and number of each."""
        from ganflow.tune.seeds import summary

        found = summary(self.folder)
        rows = [{"mean": s.mean, "sd": s.deviation, "n": s.n} for s in found]
        return frame(rows, index=[s.name for s in found], index_name="score")

    @property
    def best(self) -> TrainedRun:
        """The run of its best trial.

        Raises:
            GanflowError: no trial is finished yet, or there is no best one, for it is judged by several metrics.
        """
        from ganflow.runs.finding import best_trial

        return TrainedRun(best_trial(self.folder))

    def trial(self, number: int) -> TrainedRun:
        """The run of a trial, or the first of its runs where it has several seeds.

        Raises:
            GanflowError: it was not begun.
        """
        from ganflow.runs.folders import runs_of

        number = whole("number", number, 0)
        run = self.folder.trial(next(iter(runs_of(self.folder, number)), number))
        if not run.is_run():
            raise GanflowError(f"trial {number} of {self.name} was not begun yet ("
                               + command(f"ganflow sweeps show {self.folder.reference()}") + ")")  # fmt: skip
        return TrainedRun(run)


def read(recipe: str | Path | Mapping[str, Any], changes: Changes, address: Address) -> Plan:
    """Read a recipe with a section `tune`, and check every value that its space can yield; raises GanflowError."""
    from ganflow.tune.plan import make_plan

    check_recipe(recipe)
    return make_plan(recipe, as_typed(changes), here=address.kind == "local")


def checked_address(address: str) -> Address:
    """The address, where a sweep can run from this process; raises GanflowError."""
    from ganflow.cluster.address import parse_address

    found = parse_address(address)
    if found.kind == "job":
        raise GanflowError(f"{address} takes jobs, which a command sends: ganflow tune --address {address}; "
                           "from Python, run this on a machine of the cluster with address='auto'")  # fmt: skip
    return found


def begin(
    plan: Plan, runs: Path, name: str | None = None, earlier: Name | None = None, *, quiet: bool = False
) -> SweepFolder:
    """Make the folder of a new sweep, with the trials of an earlier one that its searcher is to know."""
    from ganflow.tune.plan import begin, find
    from ganflow.tune.warm_start import earlier_trials

    known, used = earlier_trials(plan, find(name_of(earlier, "sweep"), runs)) if earlier else ([], "")
    folder = begin(plan, runs, name)
    folder.keep_earlier(known)
    if used and not quiet:
        say(used, err=True)
    return folder


def played(
    folder: SweepFolder, plan: Plan, address: str = "local", *, quiet: bool = False, retry_failed: bool = False, new: bool = False
) -> Sweep:
    """Run a sweep to its end. Nothing is left of a new one that cannot begin. Arguments as of `sweep` and `resume_sweep`."""
    from ganflow.machine import Broken
    from ganflow.tune import driver

    try:
        outcome = driver.go(folder, plan, address, quiet=quiet, retry_failed=retry_failed)
    except GanflowError as error:
        if isinstance(error, Broken):
            raise Broken(error.text + ", then go on with: " + command(f"ganflow tune --resume {folder.reference()}")) from error
        if new and not folder.records.exists():  # nothing was begun
            shutil.rmtree(folder.path, ignore_errors=True)
        raise
    return Sweep(folder, outcome, plan)
