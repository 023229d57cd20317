"""Objectives of a sweep: what its trials are judged by, found before anything is made."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from ganflow.contract.game import Scores
from ganflow.evaluation.scores import grouped
from ganflow.recipe import Recipe
from ganflow.sweeps.records import Mode, Objectives
from ganflow.tune.asked import no_metrics, not_evaluated, wrong

if TYPE_CHECKING:
    from ganflow.contract.data import Data
    from ganflow.contract.game import Metric
    from ganflow.engine.game import Game
    from ganflow.plugins import Composition

BATCH = 8
"""Examples in the one small batch that is played to find the terms' names."""
ALWAYS = ("round", "seconds")
"""Names for `tune.stop` besides those that a recipe reports."""


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


def find_objectives(recipe: Recipe, variants: Iterable[Recipe] = (), reports: Reports | None = None) -> Objectives:
    """Objectives of the trials: names of numbers, each with "min" if less of it is better, or "max".

    An entry of `tune.metric` is the name of a score, a term, an estimate or a logged number, or of one of the recipe's metrics
    ("frechet"), which means its first score; not given, it is the first metric's. `tune.mode` is that metric's goal if not given.

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


def _found(recipe: Recipe, variants: Iterable[Recipe], reports: Reports) -> Objectives:
    tune = recipe.tune
    assert tune is not None
    found: dict[str, Mode] = {}
    for at, (asked, wanted) in enumerate(zip(tune.metrics, tune.modes, strict=True)):
        entry = f"metric[{at}]" if isinstance(tune.metric, list) else "metric"
        metric, goal = _metric(recipe, entry, asked, reports)
        if metric in found:
            what = f"'{asked}' is '{metric}', which is named already" if asked != metric else f"'{metric}' is named already"
            raise wrong(recipe, entry, f"{what}; name each metric once", "metric")
        mode = wanted or goal
        if mode is None:
            write = "write min or max" if len(tune.metrics) == 1 else "write min or max for each"
            text = f"needed, for nothing says whether a smaller '{metric}' is better: {write}"
            raise wrong(recipe, "mode", text, "metric")
        found[metric] = mode
    for name, limit in tune.stop.items():
        if name not in (*found, *ALWAYS) and name not in reports:
            raise wrong(recipe, "stop", _unknown(name, reports, ALWAYS))
        if name in ALWAYS and not limit > 0:
            raise wrong(recipe, "stop", f"every trial would end at its first report, for {name}: {limit:g}; use a number above 0")
    for variant in variants:
        theirs = Reports(variant)
        if missing := next((metric for metric in found if metric not in theirs), None):
            made = _changed(recipe, variant)
            raise wrong(recipe, "metric", f"'{missing}' is not reported by trials with {made}, which the space allows")
    return found


def _metric(recipe: Recipe, entry: str, asked: str | None, reports: Reports) -> tuple[str, Mode | None]:
    """The name and, where it is known, the mode of an entry of `tune.metric`."""
    for chosen, (metric, names) in zip(recipe.metrics, reports.metrics, strict=True):
        if names and asked in (None, chosen.component.name, chosen.component.qualified, names[0]):
            return names[0], metric.goal
    if asked is None:
        raise wrong(recipe, entry, no_metrics(reports))
    if asked in reports:
        return asked, None
    text = not_evaluated(asked) or _unknown(asked, reports, [chosen.component.name for chosen in recipe.metrics])
    raise wrong(recipe, entry, text, "metric")


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
