"""Recipes in stages: several recipes, run one after another, each from the weights of the one before.

    name: stackgan_birds
    stages: [stackgan_stage1_birds, stackgan_stage2_birds]     # shipped recipes, files beside this one, or recipes in full

An override is every stage's, or one's: `train.seed=1`, `stackgan_stage1_birds.train.rounds=500`.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganflow.advised import joined
from ganflow.errors import GanflowError, RecipeError
from ganflow.plugins import Catalogue, load_catalogue
from ganflow.recipe.recipe import Recipe
from ganflow.recipe.source import STAGES, Draft, Source, draft, extend, locate, warn_of_broken
from ganflow.recipe.yaml import Node, Problems, shown, to_yaml


@dataclass(frozen=True)
class Stages:
    """The recipes of a whole, in the order in which they are run."""

    name: str
    recipes: list[Recipe]

    @property
    def notes(self) -> list[str]:
        """The recipes' notes, each once."""
        return list(dict.fromkeys(note for recipe in self.recipes for note in recipe.notes))

    def resolved(self) -> dict[str, Any]:
        return {"name": self.name, STAGES: [recipe.resolved() for recipe in self.recipes]}

    def to_yaml(self) -> str:
        """The recipes in full; reading it gives the same stages."""
        return to_yaml(self.resolved())


def read_stages(source: Source, overrides: Sequence[str] = (), catalogue: Catalogue | None = None) -> Stages | None:
    """Read, change and check all stages of a recipe; None where it has none.

    Raises:
        RecipeError: the recipe of stages has problems.
        GanflowError: a stage has problems (all of them, stage by stage), or there is no such recipe.
    """
    whole = draft(source)
    listed: Node | None = whole.root.value.get(STAGES)
    if listed is None:
        return None
    problems = copy.copy(whole.problems)
    for key, node in whole.root.value.items():
        if key not in ("name", STAGES):
            problems.add(node.line, f"unknown section {shown(key)}; a recipe with stages has a name and stages, and no more")
    if not isinstance(listed.value, list) or not listed.value:
        problems.add(listed.line, f"{STAGES}: a list of recipes is needed here: names, files, or recipes in full")
    if problems:
        raise RecipeError(problems)
    beside = Path() if isinstance(source, Mapping) else locate(source).parent
    drafts = [_stage(node, i, whole, beside, catalogue) for i, node in enumerate(listed.value, 1)]
    names = [_name(stage) for stage in drafts]
    if twice := [name for i, name in enumerate(names) if name in names[:i]]:
        raise GanflowError(f"{whole.problems.file}: two stages are called '{twice[0]}'; give one another name")
    recipes, wrong = [], []
    for stage, name in zip(drafts, names, strict=True):
        changes = [change for override in overrides if (change := _for_stage(override, name, names)) is not None]
        try:
            recipes.append(stage.build(changes, catalogue))
        except GanflowError as error:
            wrong.append(error.text)
    wrong += [
        f"{recipe.file}: train.start_from: stage '{recipe.name}' starts from the stage before it; leave this out"
        for recipe in recipes[1:]
        if recipe.train.start_from
    ]
    if wrong:
        raise GanflowError(joined("\n", wrong))
    warn_of_broken(catalogue or load_catalogue())
    return Stages(_name(whole), recipes)


def _stage(node: Node, number: int, whole: Draft, beside: Path, catalogue: Catalogue | None) -> Draft:
    if isinstance(node.value, dict):
        problems = Problems(whole.problems.file)
        return Draft(extend(node, problems, beside, catalogue), f"{whole.name}_{number}", problems)
    if not isinstance(node.value, str):
        raise GanflowError(f"{whole.problems.file}:{node.line}: {node} is not a stage; name a recipe, or write one out")
    file = beside / node.value
    return draft(file if os.path.exists(file) and not os.path.isdir(file) else node.value)


def _name(of: Draft) -> str:
    node: Node | None = of.root.value.get("name")
    return node.value if node is not None and isinstance(node.value, str) else of.name


def _for_stage(override: str, stage: str, stages: Sequence[str]) -> str | None:
    """The part of an override that is for a stage: all of it, unless it begins with a stage's name."""
    sign = override[:1] if override[:1] in ("+", "~") else ""
    first, _, rest = override[len(sign) :].partition(".")
    if first not in stages:
        return override
    return sign + rest if first == stage else None
