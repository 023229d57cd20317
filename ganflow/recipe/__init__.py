"""Recipes: one YAML file per experiment, read, overridden, checked (every problem at once) and written out again."""

from ganflow.recipe.overrides import is_override, split
from ganflow.recipe.recipe import Recipe, differences
from ganflow.recipe.sections import Track, Train, Tune
from ganflow.recipe.source import Shipped, find_shipped, kept_recipe, locate, read_recipe, shipped

__all__ = [
    "Recipe",
    "Shipped",
    "Track",
    "Train",
    "Tune",
    "differences",
    "find_shipped",
    "is_override",
    "kept_recipe",
    "locate",
    "read_recipe",
    "shipped",
    "split",
]
