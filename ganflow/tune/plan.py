"""The plan of a sweep: all about it that is checked before anything is made, and its folder."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganflow import machine
from ganflow.advised import Advised, command, in_a_shell, option, see
from ganflow.engine.memory import Estimate, doubtful
from ganflow.errors import GanflowError, escaped
from ganflow.evaluation.survey import examined
from ganflow.files import check_readable, write_text
from ganflow.recipe import Recipe, Tune
from ganflow.recipe.sections import NAME
from ganflow.recipe.source import Source
from ganflow.runs import finding, folders
from ganflow.space.domains import Choice
from ganflow.space.fixing import read_searched
from ganflow.space.space import Space
from ganflow.sweeps.records import Mode, Objectives, SweepFolder, several
from ganflow.sweeps.repeats import Repeats
from ganflow.tracking.destination import check_recipe
from ganflow.tune.asked import wrong
from ganflow.tune.objectives import Reports, find_objectives

if TYPE_CHECKING:
    from ganflow.runs.record import RunRecord

COMPARED = {"asha": 2, "hyperband": 2, "median": 4, "pbt": 2}
"""Trials that a scheduler needs before it stops, or copies, one."""


@dataclass(frozen=True)
class Plan:
    """A sweep that can be begun: everything about it that was found out beforehand.

    Attributes:
        memory: of a trial's round, where its trials run on the CPUs of this machine and may not fit in its memory.
    """

    recipe: Recipe
    tune: Tune
    space: Space
    objectives: Objectives
    memory: Estimate | None = field(default=None, repr=False, compare=False)

    @property
    def metric(self) -> str:
        """The first of what trials are judged by."""
        return next(iter(self.objectives))

    @property
    def mode(self) -> Mode:
        """Its mode: "min" if less of it is better."""
        return self.objectives[self.metric]

    @property
    def repeats(self) -> Repeats:
        """The runs of each trial."""
        return Repeats(self.tune.seeds_from(self.recipe.train.seed), self.tune.quantile, several(self.objectives))


def make_plan(source: Source, overrides: Sequence[str] = (), *, new: bool = True, here: bool = True) -> Plan:
    """Read a recipe with a tune section, and check every value that its space can yield. What the overrides set is not searched.

    Args:
        new: it has not begun, so that what is odd about its data is worth a note.
        here: its trials run on this machine, and not on a cluster, so that its memory matters.

    Raises:
        GanflowError: the recipe, its space or its objective is wrong.
    """
    from ganflow.tune.executors import executor_of

    recipe, space = read_searched(source, overrides)
    if recipe.tune is None or space is None:
        example = command("ganflow recipes copy sweeps/asha")
        raise GanflowError(f"{recipe.file} has no section 'tune'; what one looks like: " + example)
    if recipe.tune.seeds_from(0) and "train.seed" in space.keys:
        how = "a seed that is searched is the luckiest one; leave it out of the space"
        raise wrong(recipe, "seeds", f"every trial has these seeds, and tune.space tries others for train.seed: {how}")
    if recipe.tune.search == "cmaes":
        other = next((key for key, domain in space.keys.items() if isinstance(domain, Choice) or space.conditions.get(key)), None)
        if other:
            raise wrong(recipe, "search", f"cmaes searches numbers that every trial has, which {other} is not; use tpe")
        if len(space.keys) < 2:
            alone = next(iter(space.keys))
            raise wrong(recipe, "search", f"cmaes searches two numbers or more, and there is {alone} alone; use gp")
    together = executor_of(recipe, recipe.tune.pack).together
    if together > 1 and recipe.tune.scheduler != "none":
        text = f"it plays {together} trials together to their end, which {recipe.tune.scheduler} does not allow"
        raise GanflowError(f"tune.executor: {text}; use scheduler: none")
    reports = Reports(recipe)
    objectives = find_objectives(recipe, space.variants, reports)
    number = space.count(recipe.tune)
    if recipe.tune.search != "grid" and number < recipe.tune.trials:
        recipe.notes.append(f"tune.trials: {number} and not {recipe.tune.trials}, for the space has no more configurations")
    if new:
        recipe.notes += examined(reports.data, vars(recipe.data.settings))
    matters = here and recipe.train.device in ("cpu", "auto")
    memory = doubtful(recipe, reports.game, alike=at_once(recipe.tune)) if matters else None
    plan = Plan(recipe, recipe.tune, space, objectives, memory)
    if recipe.tune.scheduler != "none":
        _check_schedule(plan, recipe.tune.scheduler, plan.metric in reports.scores)
    return plan


def _check_schedule(plan: Plan, scheduler: str, scored: bool) -> None:
    """Raises RecipeError: the scheduler would never stop, or copy, a trial.

    Args:
        scored: the metric is a score, which comes with the evaluations.
    """
    from ganflow.runs.loop import Cadence

    recipe, tune, rounds = plan.recipe, plan.tune, rounds_of(plan)
    share, does = ("interval", "copies") if scheduler == "pbt" else ("grace", "stops")
    never = f"{scheduler} never {does} a trial"
    number, wait = plan.space.count(tune), max(1, round(getattr(tune, share) * rounds))
    if number < COMPARED[scheduler]:
        others = f"it compares {COMPARED[scheduler]} trials at least, and the sweep has {number}"
        raise wrong(recipe, "scheduler", f"{never}: {others}; write scheduler: none, or more trials")
    if rounds == 1:
        raise wrong(recipe, "scheduler", f"{never} that has one round; write scheduler: none")
    if wait >= rounds:
        raise wrong(recipe, share, f"{never} before {wait} of its {rounds} rounds; write a smaller share, or scheduler: none")
    key = "evaluate_every" if scored else "report_every"
    searched = plan.space.keys.get(f"train.{key}")
    firsts = []
    for every in searched.edges() if searched else [getattr(recipe.train, key)]:
        cadence = Cadence.of(replace(recipe.train, rounds=rounds, **{"sample_every": rounds, key: every}))
        first = wait - 1
        while not cadence.reported(first := cadence.next_stop(first)):
            pass
        firsts.append(-(-wait // cadence.evaluate) * cadence.evaluate if scored else first)
    if min(firsts) >= rounds:
        what = "score" if scored else "report"
        late = f"its first {what} after {wait} rounds (tune.{share}) comes with the last, {rounds}"
        raise wrong(recipe, key, f"{never}: {late}; write e.g. {wait}, or tune.scheduler: none", section="train")


def at_once(tune: Tune) -> int:
    """Trials that this machine plays at the same time, at most."""
    by_cores = max(1, int(machine.cores() / (tune.resources.get("cpus", 1) or 1)))
    return max(tune.pack, min(tune.concurrency or tune.trials, by_cores))


def rounds_of(plan: Plan) -> int:
    """Rounds that a trial plays."""
    return plan.tune.rounds or plan.recipe.train.rounds


def in_common(plan: Plan) -> list[str]:
    """Changes of the sweep's recipe that all trials have in common."""
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


def begin(plan: Plan, root: Path, name: str | None = None) -> SweepFolder:
    """Make the folder of a new sweep.

    Raises:
        GanflowError: there is one of this name, or it cannot be written.
    """
    folder = free_folder(plan, root, name)
    check_recipe(plan.recipe, root)
    try:
        folder.path.parent.mkdir(parents=True, exist_ok=True)
        folder.path.mkdir()
        folder.plots.mkdir()
        comment = f"# ganflow tune {escaped(str(folder.recipe))}\n"
        write_text(folder.recipe, comment + plan.space.draft.to_yaml())  # with its references
        folder.update(**_values(plan, folder))
    except FileExistsError:
        raise _taken(folder) from None
    except OSError as error:
        how = f"{error.strerror}; choose another with " + option("--runs")
        raise GanflowError(f"cannot make the sweep's folder {folder.path}: " + how) from None
    return folder


def free_folder(plan: Plan, root: Path, name: str | None = None) -> SweepFolder:
    """The folder of a new sweep, which is not there yet.

    Raises:
        GanflowError: there is one of this name, or it cannot be one.
    """
    if name is not None and not NAME.fullmatch(name):
        what = Advised("name", "--name")
        raise GanflowError(what + f": {name[:50]!r} cannot name a folder; use letters, digits, '.', '_' and '-'")
    check_readable(root)
    numbered = (f"{plan.recipe.name}-sweep-{number}" for number in itertools.count(1))
    folder = SweepFolder((root / (name or next(n for n in numbered if not (root / n).exists()))).absolute())
    if os.path.lexists(folder.path):
        raise _taken(folder)
    above = next(path for path in folder.path.parents if os.path.lexists(path))
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        why = "it is no folder" if not above.is_dir() else "you may not write there"
        other = "choose another with " + option("--runs")
        raise GanflowError(f"cannot make the sweep's folder {folder.path} in {above}: {why}; " + other)
    return folder


def _taken(folder: SweepFolder) -> GanflowError:
    again = command(f"ganflow tune --resume {folder.reference()}")
    how = "go on with it: " + again + ", or choose another " + option("--name")
    return GanflowError(f"there is already a folder {folder.path}; " + how)


def find(name: str, root: Path) -> SweepFolder:
    """The sweep of this name, or at this path; "latest": the one that was begun last.

    Raises:
        GanflowError: there is none, or what it must have to go on is missing or damaged.
    """
    if not name.strip():
        raise finding.unnamed("sweep")
    check_readable(root, Path(name), root / name)
    found = [SweepFolder(p.absolute()) for p in (Path(name), root / name) if os.path.isdir(p)]
    if not found and name == "latest" and (newest := finding.latest_sweep(root, searched=True)):
        found = [SweepFolder(newest.path)]
    there = [f for f in found if f.is_run()]
    if not there:
        if found and found[0].records.exists():
            raise GanflowError(f"{found[0].path / 'run.json'} is missing: the sweep cannot go on without it")
        raise GanflowError(f"no sweep '{name}' in {root}/" + see("ganflow sweeps", " lists them"))
    folder = there[0]
    folders.check(folder)
    if folder.read().kind != "sweep":
        again = command(f"ganflow run --resume {folder.reference()}")
        raise GanflowError(f"{folder.path} is a run, not a sweep; go on with it: " + again)
    if folder.read().seeds:
        again = in_a_shell(f"ganflow run --resume {folder.reference()}")
        begun = Advised("ganflow.run_seeds", "`ganflow run --seeds`")
        raise GanflowError(f"{folder.sweep} was begun by " + begun + "; go on with it: " + again)
    if not folder.recipe.exists():
        raise GanflowError(f"{folder.recipe} is missing: the sweep cannot go on without it")
    return folder


def _values(plan: Plan, folder: SweepFolder) -> dict[str, Any]:
    from ganflow.runs.new import origin

    recipe = plan.recipe
    return {
        "kind": "sweep",
        "id": finding.new_id(folder.path.parent),
        "name": folder.sweep,
        "recipe": recipe.name,
        "status": "waiting",
        **origin(recipe),
        "metric": plan.metric,
        "mode": plan.mode,
        "objectives": several(plan.objectives),
        "trials": plan.space.count(plan.tune),
        "trial_seeds": list(plan.repeats.seeds),
        "trial_quantile": plan.repeats.quantile,
        "over": 0,
        "rounds": rounds_of(plan),
        "seed": plan.tune.seed,
        "tracking": destination(recipe, folder),
    }


def destination(recipe: Recipe, folder: SweepFolder, before: RunRecord | None = None) -> dict[str, Any]:
    """The destination of a sweep's record.

    Args:
        before: the record of a sweep that was begun.
    """
    from ganflow.runs.new import tracking

    to = tracking(recipe, before)
    best = "pareto" if recipe.tune and len(recipe.tune.metrics) > 1 else "best.yaml"
    few = {"run_name": to["run_name"] or folder.sweep, "images": False, "log_model": False, "files": [best, "trials.csv"]}
    return {**to, **few}
