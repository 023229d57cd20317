"""Recipes that have been read: every component found, every value checked."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ganflow.contract.settings import keys
from ganflow.plugins import Chosen, Composition
from ganflow.recipe.sections import MANY, ONE, RECIPE_VERSION, Track, Train, Tune
from ganflow.recipe.yaml import join, plain, to_flow, to_yaml

OUTSIDE = ("data", "prior", "schedule", "metrics", "trackers", "tune")
"""Sections of which a round sees what they draw, or set, alone, or nothing."""


@dataclass
class Recipe:
    """One experiment.

    Two recipes are equal when they mean the same; where they were read from does not matter.

    Attributes:
        critic: None where the generator trains alone.
        optimizers: by part: "generator", "critic" (unless there is none), "generator.mapping", "loss", …: see
            ganflow.engine.optimizers.
        schedules: by part; one without has that of the longest part above it, or else keeps its learning rate.
        version: of the recipe's meaning, see RECIPE_VERSION.
        condition: the data's fields that generator and critic get besides; None for what follows from the data.
        lines: path of a written key ("train.rounds", "modifiers[0].c") → its line, 0 for the command line.
        parts: components within components, by their path ("loss.adversarial"); the settings that hold one have its settings in
            the field.
        notes: what is no mistake, but worth knowing; a sentence each.
    """

    name: str
    file: str = field(compare=False)
    data: Chosen
    prior: Chosen | None
    generator: Chosen
    critic: Chosen | None
    loss: Chosen
    optimizers: dict[str, Chosen]
    schedules: dict[str, Chosen]
    modifiers: list[Chosen]
    metrics: list[Chosen]
    trackers: list[Chosen]
    train: Train
    track: Track
    tune: Tune | None = None
    version: int = RECIPE_VERSION
    condition: list[str] | None = None
    lines: dict[str, int] = field(default_factory=dict, compare=False, repr=False)
    parts: dict[str, Chosen] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list, compare=False, repr=False)

    def slots(self) -> dict[str, Chosen]:
        """The components that are built, by "data", "prior", "generator", "critic", "loss", "optimizer.generator", …"""
        return {
            **{slot: chosen for slot in ONE if (chosen := getattr(self, slot)) is not None},
            **{f"optimizer.{part}": chosen for part, chosen in self.optimizers.items()},
            **{f"schedule.{part}": chosen for part, chosen in self.schedules.items()},
        }

    def chosen(self) -> list[Chosen]:
        """Every component that the recipe names, those within others included."""
        return [*self.slots().values(), *self.modifiers, *self.metrics, *self.trackers, *self.parts.values()]

    def composition(self) -> Composition:
        """The components, ready to be built; those within others with them."""
        return Composition(self.slots(), self.modifiers, self.metrics, self.parts.values(), self.trackers)

    def played(self) -> dict[str, Chosen]:
        """The components that a round is made of, by their path in the recipe: "loss", "modifiers[0]", …"""
        modifiers = {f"modifiers[{i}]": chosen for i, chosen in enumerate(self.modifiers)}
        every = {**self.slots(), **modifiers, **self.parts}
        return {path: chosen for path, chosen in every.items() if not path.startswith(OUTSIDE)}

    def copied(self) -> Recipe:
        """A copy whose settings may be changed. The components are the same."""
        return copy.deepcopy(self, {id(chosen.component): chosen.component for chosen in self.chosen()})

    def resolved(self) -> dict[str, Any]:
        """Plain data that says everything: defaults filled in, components with their plugin ("wgan/wasserstein")."""
        data: dict[str, Any] = {"name": self.name, "recipe_version": self.version}
        if self.condition is not None:
            data["condition"] = self.condition
        for slot, chosen in self.slots().items():
            above, _, part = slot.partition(".")
            (data.setdefault(above, {}) if part else data)[part or slot] = self._section(chosen, slot)
        for name in MANY:
            data[name] = [self._section(chosen, join(name, index)) for index, chosen in enumerate(getattr(self, name))]
        for name in ("train", "track", "tune"):
            if (settings := getattr(self, name)) is not None:
                data[name] = self._values(settings, name)
        return data

    def _section(self, chosen: Chosen, slot: str) -> dict[str, Any]:
        return {"use": chosen.component.qualified, **self._values(chosen.settings, slot)}

    def _values(self, settings: Any, slot: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key in keys(type(settings)):
            value, path = getattr(settings, key.name), join(slot, key.name)
            inner = key.notes.role is not None and value is not None
            values[key.name] = self._section(self.parts[path], path) if inner else plain(value)
        return values

    def changed(self) -> list[str]:
        """Paths of what has another value than its default ("train.rounds", "modifiers[0].c"), and of every component that has no
        default ("loss.use")."""
        found = ["name"] if self.condition is None else ["name", "condition"]
        for slot, chosen in self.slots().items():
            found += self._changed_in(chosen, slot, {})
        for name in MANY:
            for index, chosen in enumerate(getattr(self, name)):
                found += self._changed_in(chosen, join(name, index), {})
        for name in ("train", "track", "tune"):
            found += self._changed_keys(getattr(self, name), name, {})
        return found

    def _changed_in(self, chosen: Chosen, slot: str, default: Mapping[str, Any]) -> Iterator[str]:
        """`default`: the section that is meant where the recipe has none, where there is one."""
        if default.get("use") not in (chosen.component.name, chosen.component.qualified):
            yield join(slot, "use")
        yield from self._changed_keys(chosen.settings, slot, default)

    def _changed_keys(self, settings: Any, slot: str, defaults: Mapping[str, Any]) -> Iterator[str]:
        for key in keys(type(settings)) if settings is not None else ():
            value, path = getattr(settings, key.name), join(slot, key.name)
            default = key.default_in(self.version, defaults)
            if key.notes.role is not None and value is not None:
                chosen = self.parts[path]
                inner = (key.notes.within or {}).get(chosen.component.qualified, {})
                yield from self._changed_in(chosen, path, {**inner, **(default if isinstance(default, dict) else {})})
            elif key.required or plain(value) != plain(default):
                yield path

    def to_yaml(self) -> str:
        """`resolved()` as YAML; reading it gives an equal recipe."""
        return to_yaml(self.resolved())


def differences(old: Recipe | dict[str, Any], new: Recipe | dict[str, Any]) -> list[str]:
    """One line for every key that differs: "train.n_critic: 5 → 1".

    Args:
        old, new: recipes, or what their `resolved()` returned.
    """
    before, after = (dict(_flat(r.resolved() if isinstance(r, Recipe) else r)) for r in (old, new))
    changed = [path for path in {**before, **after} if path not in before or path not in after or
               repr(before[path]) != repr(after[path])]  # fmt: skip
    shown = [{path: to_flow(value) for path, value in values.items()} for values in (before, after)]
    return [f"{path}: {' → '.join(texts.get(path, '(none)') for texts in shown)}" for path in changed]


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, value) of every single value; a list of single values is one."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _flat(item, join(path, key))
    elif isinstance(value, (list, tuple)) and any(isinstance(item, dict) for item in value):
        for index, item in enumerate(value):
            yield from _flat(item, join(path, index))
    elif path not in MANY:  # an empty one: its items say enough
        yield path, plain(value)


_NAMES = re.compile(r"(.*_)?(path|file|folder|dir|directory|root)")


def anchored(recipe: Recipe, home: Path) -> list[str]:
    """Overrides by which a recipe means in any folder what it means in `home`.

    A text is a path where it names something that is there, and its key is called so (`path`, `weights_file`, …) or it has a
    separator or an ending (`photos/birds`, `points.npz`). What is absolute, or begins with `~`, stays as it is.
    """
    found = dict(_texts(recipe))
    paths = {key: home / text for key, text in found.items() if is_path(key, text) and _exists(home, text)}
    start = recipe.train.start_from
    if start and _exists(home, f"{start}/run.json"):  # else it is the name or the id of a run
        paths["train.start_from"] = home / start
    return [f"{key}={to_flow(str(path))}" for key, path in paths.items()]


def _texts(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """(path of the key, value) of every text in the components' settings."""
    components = {slot: chosen for slot, chosen in recipe.slots().items() if "." not in slot}
    for name, listed in {"modifiers": recipe.modifiers, "metrics": recipe.metrics}.items():
        components |= {join(name, index): chosen for index, chosen in enumerate(listed)}
    for path, chosen in {**components, **recipe.parts}.items():
        for key in keys(chosen.component.settings):
            if isinstance(value := getattr(chosen.settings, key.name), str):
                yield join(path, key.name), value


def is_path(key: str, text: str) -> bool:
    """Return true if the text of a key is a path, by the key's name or by a separator or an ending in it."""
    name = key.rpartition(".")[2]
    return _NAMES.fullmatch(name) is not None or "/" in text or bool(Path(text).suffix)


def _exists(home: Path, text: str) -> bool:
    try:
        return bool(text) and not text.startswith("~") and not Path(text).is_absolute() and (home / text).exists()
    except (OSError, ValueError):  # too long, a zero
        return False
