"""Checks of `tune.metric`, as far as they need nothing built."""

from __future__ import annotations

from ganflow.errors import Problem, RecipeError
from ganflow.plugins import load_catalogue
from ganflow.recipe import Recipe


def check_asked(recipe: Recipe) -> None:
    """Check that the metrics by which trials are judged are the recipe's. Other names may be those of terms, of estimates or of
    further scores, which building tells.

    Raises:
        RecipeError: a metric is named that the recipe does not evaluate, or none, and the recipe has none.
    """
    assert recipe.tune is not None
    for at, asked in enumerate(recipe.tune.metrics):
        entry = f"metric[{at}]" if isinstance(recipe.tune.metric, list) else "metric"
        if asked is None and not recipe.metrics:
            raise wrong(recipe, entry, no_metrics("a score, a term or an estimate"))
        there = {name for c in recipe.metrics for name in (c.component.name, c.component.qualified)}
        if asked is not None and asked not in there and (text := not_evaluated(asked)):
            raise wrong(recipe, entry, text, "metric")


def no_metrics(names: object) -> str:
    """The text where nothing is named, and the recipe has no metric that could be meant."""
    return f"needed, for the recipe has no metrics; name one of {names}; or add one: '+metrics={{use: frechet}}'"


def not_evaluated(asked: str) -> str:
    """The text where an installed metric is named that the recipe does not have; empty where it is no metric's name."""
    known = {name for c in load_catalogue().components() if c.role == "metric" for name in (c.name, c.qualified)}
    add = f"'{asked}' is a metric that this recipe does not evaluate; add it: '+metrics={{use: {asked}}}'"
    return add if asked in known else ""


def wrong(recipe: Recipe, key: str, text: str, *near: str, section: str = "tune") -> RecipeError:
    """The error of a key, in the line of the key, of one near it, or of the section."""
    paths = [*(f"{section}.{name}" for name in (key, *near)), section]
    line = next((recipe.lines[path] for path in paths if path in recipe.lines), 0)
    return RecipeError([Problem(line, f"{section}.{key}: {text}", recipe.file)])
