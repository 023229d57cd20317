"""The plan of a sweep: its objective, checked before anything is made, and its folder."""

from __future__ import annotations

import difflib
import itertools
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ganflow.contract.game import Scores
from ganflow.errors import GanflowError, Problem, RecipeError
from ganflow.evaluation.scores import grouped
from ganflow.files import write_text
from ganflow.printing import escaped
from ganflow.recipe import Recipe, Tune, read_recipe
from ganflow.recipe.sections import NAME
from ganflow.runs import folders
from ganflow.space.domains import Choice
from ganflow.space.reading import read_space
from ganflow.space.space import Space
from ganflow.tracking.destination import check_recipe
from ganflow.tune.records import SweepFolder
from ganflow.tune.repeats import Repeats

if TYPE_CHECKING:
    from ganflow.contract.data import Data
    from ganflow.contract.game import Metric
    from ganflow.engine.game import Game
    from ganflow.plugins import Composition
    from ganflow.runs.record import RunRecord

BATCH = 8
"""Examples in the one small batch that is played to find the terms' names."""
ALWAYS = ("round", "seconds")
"""Names for `tune.stop` besides those that a recipe reports."""
COMPARED = {"asha": 2, "median": 4, "pbt": 2}
"""Trials that a scheduler needs before it stops, or copies, one."""


class Reports:
    """Names of all that a recipe's runs report, found by building as little as possible: the data and the metrics for the scores;
    the whole game, and a small round on the CPU for each set of terms that take part together, for the rest.

    Raises:
        GanflowError: (from any attribute) the recipe's parts do not fit each other, or a plugin fails.
    """

    def __init__(self, recipe: Recipe) -> None:
        batch = min(BATCH, recipe.train.batch_size)
        train = replace(recipe.train, device="cpu", precision="fp32", batch_size=batch, n_critic=1, accumulate=1)
        self.recipe = replace(recipe, train=train)

    @cached_property
    def composition(self) -> Composition:
        return self.recipe.composition()

    @cached_property
    def data(self) -> Data:
        data: Data = self.composition.build("data")
        return data

    @cached_property
    def game(self) -> Game:
        """The game without optimizers, for metrics."""
        from ganflow.engine.build import build_game

        return build_game(self.recipe, self.composition, self.data, players=False)

    @cached_property
    def metrics(self) -> list[tuple[Metric, list[str]]]:
        """The metrics with their scores' names, in the recipe's order."""
        made = Scores(self.composition.build_metrics(self.data))
        return list(zip(made.metrics, made.names(lambda: self.game), strict=True))

    @property
    def scores(self) -> list[str]:
        """Names of scores, without those of their errors and floors."""
        return [score.name for _, names in self.metrics for score in grouped(dict.fromkeys(names, 0.0))]

    @cached_property
    def names(self) -> dict[str, list[str]]:
        """Names of terms ("critic/wasserstein"), of estimates that the loss derives of them ("w_estimate"), and of numbers that
        components log by `report.log` ("gradient_norm/critic")."""
        from ganflow.contract.loss import Report
        from ganflow.engine.build import build_game, build_round
        from ganflow.engine.feed import feed
        from ganflow.engine.trainer import Diverged, Trainer

        train = self.recipe.train
        game = build_game(self.recipe, self.composition, self.data)
        self.composition.begin(game)
        play = build_round(self.recipe, self.composition, game)
        source = feed(self.data, train.batch_size, train.seed)
        trainer = Trainer(game, source, play, train.batch_size, train.seed)
        terms: dict[str, float] = {}
        try:
            for number in play.phases(train.rounds):  # terms may take part in some rounds only
                trainer.round = number
                with suppress(Diverged):  # its terms have their names all the same
                    trainer.advance(number + 1)
                terms |= dict.fromkeys(play.names, 1.0)
        finally:
            source.close()
        report = Report(1, {**terms, **{f"{player}_loss": 1.0 for player in game.players}}, game.estimates(terms))
        self.composition.call("round_reported", game=game, report=report)
        return {"terms": list(report.terms), "estimates": list(report.estimates), "logged": list(report.logged)}

    def __str__(self) -> str:
        """All names, for a message."""
        return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in {"scores": self.scores, **self.names}.items() if names)

    def __contains__(self, name: str) -> bool:
        return name in self.scores or any(name in names for names in self.names.values())


def find_objective(
    recipe: Recipe, variants: Iterable[Recipe] = (), reports: Reports | None = None
) -> tuple[str, Literal["min", "max"]]:
    """Objective of the trials: the name of a number, and "min" if less of it is better, or "max".

    `tune.metric` is the name of a score, a term, an estimate or a logged number, or of one of the recipe's metrics ("frechet"),
    which means its first score; not given, it is the first metric's. `tune.mode` is that metric's goal if not given.

    Args:
        recipe: with a tune section.
        variants: the recipes with other components that the space can yield: they must report it, too.
        reports: the recipe's.

    Raises:
        RecipeError: there is no such thing, or nothing says which is better; also where `tune.stop` names what is not reported.
        GanflowError: the recipe cannot be built.
    """
    from ganflow.plugins.loading import plugins_fault

    try:
        return _found(recipe, variants, reports or Reports(recipe))
    except (Exception, SystemExit) as error:
        blamed = plugins_fault(error, "when the sweep's objective was looked for", "--debug shows the traceback")
        if blamed is None:
            raise
        raise blamed from error


def _found(recipe: Recipe, variants: Iterable[Recipe], reports: Reports) -> tuple[str, Literal["min", "max"]]:
    tune = recipe.tune
    assert tune is not None
    metric, goal = _metric(recipe, tune.metric, reports)
    mode = tune.mode or goal
    if mode is None:
        text = f"needed, for nothing says whether a smaller '{metric}' is better: write min or max"
        raise _wrong(recipe, "mode", text, "metric")
    for name in tune.stop:
        if name not in (metric, *ALWAYS) and name not in reports:
            raise _wrong(recipe, "stop", _unknown(name, reports, ALWAYS))
    for variant in variants:
        if metric not in Reports(variant):
            made = _changed(recipe, variant)
            raise _wrong(recipe, "metric", f"'{metric}' is not reported by trials with {made}, which the space allows")
    return metric, mode


def _metric(recipe: Recipe, asked: str | None, reports: Reports) -> tuple[str, Literal["min", "max"] | None]:
    """The name and, where it is known, the mode."""
    for chosen, (metric, names) in zip(recipe.metrics, reports.metrics, strict=True):
        if names and asked in (None, chosen.component.name, chosen.component.qualified, names[0]):
            return names[0], metric.goal
    if asked is None:
        text = f"needed, for the recipe has no metrics; name one of {reports}; or add one: '+metrics={{use: frechet}}'"
        raise _wrong(recipe, "metric", text)
    if asked not in reports:
        raise _wrong(recipe, "metric", _unknown(asked, reports, [c.component.name for c in recipe.metrics]))
    return asked, None


def _unknown(name: str, reports: Reports, more: Iterable[str]) -> str:
    names = [*reports.scores, *itertools.chain(*reports.names.values()), *more]
    close = [n for n in names if name in n.split("/")] or difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else ""
    return f"'{name}' is not among what this recipe reports{hint} ({reports})"


def _changed(recipe: Recipe, variant: Recipe) -> str:
    """Different choices, in a few words: "loss: vanilla/hinge"."""
    from ganflow.recipe import differences

    uses = [line for line in differences(recipe, variant) if ".use:" in line]
    return ", ".join(f"{line.partition('.use:')[0]}: {line.rpartition(' → ')[2]}" for line in uses) or "other values"


def _wrong(recipe: Recipe, key: str, text: str, *near: str, section: str = "tune") -> RecipeError:
    paths = [*(f"{section}.{name}" for name in (key, *near)), section]
    line = next((recipe.lines[path] for path in paths if path in recipe.lines), 0)
    return RecipeError([Problem(line, f"{section}.{key}: {text}", recipe.file)])


@dataclass(frozen=True)
class Plan:
    """A sweep that can be begun: everything about it that was found out beforehand."""

    recipe: Recipe
    tune: Tune
    space: Space
    metric: str
    mode: Literal["min", "max"]

    @property
    def repeats(self) -> Repeats:
        """The runs of each trial."""
        return Repeats(self.tune.seeds_from(self.recipe.train.seed), self.tune.quantile)


def make_plan(source: str | Path, overrides: Sequence[str] = ()) -> Plan:
    """Read a recipe with a tune section, and check every value that its space can yield.

    Raises:
        GanflowError: the recipe, its space or its objective is wrong.
    """
    from ganflow.tune.executors import executor_of

    recipe = read_recipe(source, overrides)
    if recipe.tune is None:
        raise GanflowError(f"{recipe.file} has no section 'tune'; what one looks like: ganflow recipes copy sweeps/asha")
    space = read_space(recipe, source, overrides)
    if recipe.tune.seeds_from(0) and "train.seed" in space.keys:
        how = "a seed that is searched is the luckiest one; leave it out of the space"
        raise _wrong(recipe, "seeds", f"every trial has these seeds, and tune.space tries others for train.seed: {how}")
    if recipe.tune.search == "cmaes":
        other = next((key for key, domain in space.keys.items() if isinstance(domain, Choice) or space.conditions.get(key)), None)
        if other:
            raise _wrong(recipe, "search", f"cmaes searches numbers that every trial has, which {other} is not; use tpe")
        if len(space.keys) < 2:
            alone = next(iter(space.keys))
            raise _wrong(recipe, "search", f"cmaes searches two numbers or more, and there is {alone} alone; use gp")
    together = executor_of(recipe, recipe.tune.pack).together
    if together > 1 and recipe.tune.scheduler != "none":
        text = f"it plays {together} trials together to their end, which {recipe.tune.scheduler} does not allow"
        raise GanflowError(f"tune.executor: {text}; use scheduler: none")
    reports = Reports(recipe)
    metric, mode = find_objective(recipe, space.variants, reports)
    number = space.count(recipe.tune)
    if recipe.tune.search != "grid" and number < recipe.tune.trials:
        recipe.notes.append(f"tune.trials: {number} and not {recipe.tune.trials}, for the space has no more configurations")
    plan = Plan(recipe, recipe.tune, space, metric, mode)
    if recipe.tune.scheduler != "none":
        _check_schedule(plan, recipe.tune.scheduler, metric in reports.scores)
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
        raise _wrong(recipe, "scheduler", f"{never}: {others}; write scheduler: none, or more trials")
    if rounds == 1:
        raise _wrong(recipe, "scheduler", f"{never} that has one round; write scheduler: none")
    if wait >= rounds:
        raise _wrong(recipe, share, f"{never} before {wait} of its {rounds} rounds; write a smaller share, or scheduler: none")
    key = "evaluate_every" if scored else "report_every"
    searched = plan.space.keys.get(f"train.{key}")
    firsts = []
    for every in searched.edges() if searched else [getattr(recipe.train, key)]:
        cadence = Cadence.of(replace(recipe.train, rounds=rounds, **{"sample_every": rounds, key: every}))
        firsts.append(-(-wait // cadence.evaluate) * cadence.evaluate if scored else cadence.next_stop(wait - 1))
    if min(firsts) >= rounds:
        what = "score" if scored else "report"
        late = f"its first {what} after {wait} rounds (tune.{share}) comes with the last, {rounds}"
        raise _wrong(recipe, key, f"{never}: {late}; write e.g. {wait}, or tune.scheduler: none", section="train")


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
    if name is not None and not NAME.fullmatch(name):
        raise GanflowError(f"--name: {name[:50]!r} cannot name a folder; use letters, digits, '.', '_' and '-'")
    check_recipe(plan.recipe, root)
    numbered = (f"{plan.recipe.name}-sweep-{number}" for number in itertools.count(1))
    folder = SweepFolder((root / (name or next(n for n in numbered if not (root / n).exists()))).absolute())
    try:
        folder.path.parent.mkdir(parents=True, exist_ok=True)
        folder.path.mkdir()
        folder.plots.mkdir()
        comment = f"# ganflow tune {escaped(str(folder.recipe))}\n"
        write_text(folder.recipe, comment + plan.space.draft.to_yaml())  # with its references
        folder.update(**_values(plan, folder))
    except FileExistsError:
        how = f"go on with it: ganflow tune --resume {folder.reference()}, or choose another --name"
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
    found = [SweepFolder(p.absolute()) for p in (Path(name), root / name) if os.path.isdir(p)]
    there = [f for f in found if f.is_run()]
    if not there:
        if found and found[0].records.exists():
            raise GanflowError(f"{found[0].path / 'run.json'} is missing: the sweep cannot go on without it")
        raise GanflowError(f"no sweep '{name}' in {root}/ (ganflow sweeps lists them)")
    folder = there[0]
    folders.check(folder)
    if folder.read().kind != "sweep":
        raise GanflowError(f"{folder.path} is a run, not a sweep; go on with it: ganflow run --resume {folder.reference()}")
    if folder.read().seeds:
        how = f"go on with it: ganflow run --resume {folder.reference()}"
        raise GanflowError(f"{folder.sweep} was begun by `ganflow run --seeds`; {how}")
    if not folder.recipe.exists():
        raise GanflowError(f"{folder.recipe} is missing: the sweep cannot go on without it")
    return folder


def _values(plan: Plan, folder: SweepFolder) -> dict[str, Any]:
    from ganflow.runs.new import origin

    recipe = plan.recipe
    return {
        "kind": "sweep",
        "id": folders.stamp(),
        "name": folder.sweep,
        "recipe": recipe.name,
        "status": "waiting",
        **origin(recipe),
        "metric": plan.metric,
        "mode": plan.mode,
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

    name = recipe.track.run_name or folder.sweep
    few = {"run_name": name, "images": False, "log_model": False, "files": ["best.yaml", "trials.csv"]}
    return {**tracking(recipe, before), **few}
