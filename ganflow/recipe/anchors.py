"""Relative paths in a recipe, for processes that work in another folder than the one that they are relative to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ganflow.recipe.nodes import join
from ganflow.recipe.recipe import Recipe
from ganflow.recipe.writer import to_flow
from ganflow.settings import keys

_NAMES = re.compile(r"(.*_)?(path|file|folder|dir|directory|root)")


def anchored(recipe: Recipe, home: Path) -> list[str]:
    """Overrides by which a recipe means in any folder what it means in `home`.

    A text is a path where it names something that is there, and its key is called so (`path`, `weights_file`, …) or it has a
    separator or an ending (`photos/birds`, `points.npz`). What is absolute, or begins with `~`, stays as it is.
    """
    found = dict(_texts(recipe))
    paths = {key: home / text for key, text in found.items() if _is_path(key, text) and _there(home, text)}
    start = recipe.train.start_from
    if start and _there(home, f"{start}/run.json"):  # else it is the name or the id of a run
        paths["train.start_from"] = home / start
    return [f"{key}={to_flow(str(path))}" for key, path in paths.items()]


def _texts(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """(path of the key, value) of every text in the components' settings."""
    several = {"modifiers": recipe.modifiers, "metrics": recipe.metrics}
    components = {slot: chosen for slot, chosen in recipe.slots().items() if "." not in slot}
    components |= {join(name, index): chosen for name, listed in several.items() for index, chosen in enumerate(listed)}
    for place, chosen in {**components, **recipe.parts}.items():
        for key in keys(chosen.component.settings):
            value = getattr(chosen.settings, key.name)
            if isinstance(value, str):
                yield join(place, key.name), value


def _is_path(key: str, text: str) -> bool:
    name = key.rpartition(".")[2]
    return _NAMES.fullmatch(name) is not None or "/" in text or bool(Path(text).suffix)


def _there(home: Path, text: str) -> bool:
    try:
        return bool(text) and not text.startswith("~") and not Path(text).is_absolute() and (home / text).exists()
    except (OSError, ValueError):  # too long, a zero
        return False
