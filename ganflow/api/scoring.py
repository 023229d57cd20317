"""Scores of a run's checkpoint, by the recipe's metrics or others, kept in the run's folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ganflow.advised import Advised
from ganflow.errors import GanflowError
from ganflow.printing import finite

if TYPE_CHECKING:
    from ganflow.contract.game import Metric
    from ganflow.engine.game import Game
    from ganflow.evaluation.evaluate import Evaluated
    from ganflow.plugins import Chosen
    from ganflow.recipe import Recipe
    from ganflow.runs.checkpoints import Checkpoint
    from ganflow.runs.evaluations import Evaluation
    from ganflow.runs.folders import RunFolder


@dataclass(frozen=True)
class Prepared:
    """A run's checkpoint that can be evaluated.

    Attributes:
        recipe: the run's, with the metrics that are wanted.
        game: on the run's data.
        metrics: with their first seeds.
        seeds: of each metric.
    """

    folder: RunFolder
    checkpoint: Checkpoint
    recipe: Recipe
    game: Game
    metrics: list[Metric]
    seeds: int

    def variants(self) -> Iterator[Iterator[Metric]]:
        """Each metric with its seeds, made when it is its turn."""
        from ganflow.evaluation.evaluate import with_seeds

        def of(metric: Metric, chosen: Chosen) -> Iterator[Metric]:
            yield metric
            for other in with_seeds(chosen, self.seeds)[1:]:
                yield replace(self.recipe, metrics=[other]).composition().build_metrics(self.game.data)[0]

        return map(of, self.metrics, self.recipe.metrics)


def prepare(folder: RunFolder, which: str, metrics: Sequence[str] | None, seeds: int) -> Prepared:
    """Load a run's checkpoint and data, and build its metrics, or those that are named.

    Raises:
        GanflowError: there is no such checkpoint or metric, the data cannot be had, or a metric does not suit them.
    """
    from ganflow.engine.build import build_metrics
    from ganflow.plugins.loading import plugins_fault
    from ganflow.runs.loading import find_checkpoint, game_of, load_data

    recipe = recipe_with(folder, metrics)
    checkpoint = find_checkpoint(folder, which)
    kept = folder.path if folder.exported else folder.checkpoints
    if not checkpoint.path.resolve().is_relative_to(kept.resolve()):
        raise GanflowError(f"checkpoint {which} is not one of run {folder.id}, whose scores are kept: ls {kept}")
    try:
        data = load_data(folder, recipe)
        game = game_of(recipe, checkpoint, data)
        made = build_metrics(recipe.composition(), game)
    except (Exception, SystemExit) as error:
        raise plugins_fault(error, f"when run {folder.id} was to be evaluated", "--debug shows the traceback") or error from error
    return Prepared(folder, checkpoint, recipe, game, made, seeds)


def recipe_with(folder: RunFolder, metrics: Sequence[str] | None) -> Recipe:
    """A run's recipe, with other metrics where some are named.

    Raises:
        GanflowError: there is no such metric, or the recipe has none.
    """
    from ganflow.runs.kept import recipe_of_run

    recipe = recipe_of_run(folder, ["metrics=[]", *(f"+metrics={metric}" for metric in metrics)] if metrics else ())
    if not recipe.metrics:
        raise GanflowError(f"the recipe of run {folder.name} {folder.id} has no metrics; name one: "
                           + Advised('evaluate("sliced_wasserstein")', "--metric sliced_wasserstein"))  # fmt: skip
    return recipe


def scored(prepared: Prepared) -> list[Evaluation]:
    """Evaluate a checkpoint, and keep what was found in the run's folder."""
    from ganflow.evaluation.evaluate import evaluate
    from ganflow.plugins.loading import plugins_fault
    from ganflow.runs import evaluations

    folder, sections = prepared.folder, prepared.recipe.resolved()["metrics"]
    try:
        found = evaluate(prepared.game, prepared.variants(), sections)
    except (Exception, SystemExit) as error:
        raise plugins_fault(error, f"when run {folder.id} was evaluated", "--debug shows the traceback") or error from error
    return evaluations.add(folder, [_evaluation(each, sections[each.metric], prepared.checkpoint) for each in found])


def _evaluation(found: Evaluated, section: dict[str, Any], checkpoint: Checkpoint) -> Evaluation:
    score = found.score
    return {
        "score": score.name,
        "value": finite(score.value),
        "error": finite(score.error),
        "floor": finite(score.floor),
        "floor_error": finite(score.floor_error),
        **({"goal": found.goal} if found.goal else {}),  # type: ignore[typeddict-item]
        "seeds": found.seeds,
        "protocol": dict(found.protocol),
        "metric": section,
        "checkpoint": checkpoint.path.name,
        "round": checkpoint.round,
        "digest": checkpoint.digest,
        "time": 0.0,  # when it is written
    }
