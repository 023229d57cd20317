"""A recipe played in memory, for what shows or measures a trained game and keeps nothing; and what such a recipe says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ganflow.contract.loss import Report
from ganflow.engine.game import Game
from ganflow.errors import GanflowError
from ganflow.recipe import read_recipe
from ganflow.runs.run import Parts


def play(recipe: str | Path, overrides: Sequence[str] = (), times: int = 1) -> Iterator[tuple[Game, Report]]:
    """Train a recipe in memory: no folder, no pictures, no tracking.

    Args:
        recipe: a path, or the name of one that comes with ganflow.
        overrides: changes, as of the command line: "train.rounds=200".
        times: how often something is yielded after the beginning, at equal distances; the last time at the end.

    Yields:
        The game, which goes on being trained, and a report of the rounds since the last one: first before any is played.

    Raises:
        GanflowError: the recipe has mistakes, its parts do not fit, or a term is not finite.
    """
    read = read_recipe(recipe, overrides)
    if read.train.start_from is not None:
        raise GanflowError("train.start_from: what is played in memory begins with new weights; leave it out")
    parts = Parts(read)
    rounds = parts.recipe.train.rounds
    parts.composition.begin(parts.game)
    try:
        yield parts.game, Report(0)
        for until in sorted({max(1, rounds * i // times) for i in range(1, times + 1)}):
            report = parts.trainer.advance(until)
            parts.trainer.settle()
            yield parts.game, report
    finally:
        parts.feed.close()


def resolved_recipe(recipe: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """All values of a recipe, as plain data: its sections, defaults filled in.

    Args:
        recipe, overrides: as of `play`.

    Raises:
        GanflowError: the recipe has mistakes.
    """
    return read_recipe(recipe, overrides).resolved()
