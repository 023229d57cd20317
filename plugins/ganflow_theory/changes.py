"""Changes to the recipes of a part: what they set, what has to stay for its labels to be true, and how a picture says them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ganflow import GanflowError, resolved_recipe

STAYS = {"optimizer.generator": "the generator stays where it is; change optimizer.critic.… instead"}
"""Kept by the parts whose generator has a learning rate of 0."""
LOSSES = {"loss": "its losses are what it compares"}


def values_of(recipe: str, changes: Sequence[str]) -> dict[str, Any]:
    """Path of a key ("train.n_critic", "modifiers[0].weight") → its value, of all keys of a recipe after changes."""
    return dict(_flat(resolved_recipe(recipe, changes), ""))


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from _flat(item, f"{path}.{name}" if path else name)
    elif isinstance(value, (list, tuple)) and any(isinstance(item, Mapping) for item in value):
        for i, item in enumerate(value):
            yield from _flat(item, f"{path}[{i}]")
    elif value != []:  # of an empty list its items say enough
        yield path, value


def kept(recipe: str, way: Sequence[str], changes: Sequence[str], keys: Mapping[str, str]) -> dict[str, Any]:
    """The values of a recipe played in one of a part's ways, after changes that leave alone what the part says of it.

    Args:
        way: the part's own changes, before the user's.
        keys: path of a key, or of a section → why it has to stay, and what to do instead. Modifiers may be appended.

    Raises:
        GanflowError: a change sets one of them.
    """
    before, after = values_of(recipe, way), values_of(recipe, [*way, *changes])
    for path in {**before, **after}:
        why = next((text for key, text in keys.items() if path == key or path.startswith((f"{key}.", f"{key}["))), None)
        appended = path.startswith("modifiers[") and path not in before
        if why is None or appended or before.get(path) == after.get(path):
            continue
        was, now = (repr(values[path]) if path in values else "(none)" for values in (before, after))
        raise GanflowError(f"{path} is {was} in this part, and the changes make it {now}: leave this change out ({why})")
    return after


def with_changes(changes: Sequence[str], longest: int) -> str:
    """A line below a title: what was changed, cut where it is long."""
    text = " ".join(f"with {', '.join(changes)}".split()) if changes else ""
    return text if len(text) <= longest else text[: longest - 2] + " …"


def critic_steps(values: Mapping[str, Any]) -> str:
    """The label of an axis of rounds."""
    n = values["train.n_critic"]
    return f"rounds ({n} critic step{'s' if n > 1 else ''} each)"
