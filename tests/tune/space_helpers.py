"""A third party's loss, and a recipe to write tune sections for."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganflow import key, part, settings
from ganflow.errors import RecipeError, SettingsError
from ganflow.plugins import Catalogue, Component, Plugin, load_catalogue
from ganflow.recipe import Recipe, read_recipe
from ganflow.space.reading import read_space
from ganflow.space.space import Space

RECIPE = """\
name: small
data: {use: gaussians, layout: ring}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 32, depth: 2}
critic: {use: mlp, width: 32, depth: 2}
loss: {use: wasserstein}
optimizer: {use: adam, lr: 1.0e-3, beta1: 0.5, beta2: 0.9}
modifiers:
  - {use: weight_clip, c: 0.1}
train: {rounds: 100, batch_size: 64}
metrics: [{use: sliced_wasserstein}]
"""
FIRST = RECIPE.count("\n") + 1  # the line of "tune:"


@settings
class Tilted:
    """A loss with a bounded slope, a pair of numbers that must fit each other, and another loss within."""

    tilt: float = key(0.5, ge=0, le=1)
    low: int = key(1, ge=0)
    high: int = key(9, ge=0)
    inner: object = part("loss")

    def __post_init__(self) -> None:
        if self.low >= self.high:
            raise SettingsError([("high", f"{self.high} is not above low, {self.low}")])


def catalogue() -> Catalogue:
    acme = Plugin("acme", "gf_acme", "gf-acme", "1.0", None, (Component("loss", "tilted", "acme", Tilted),))
    return Catalogue([*load_catalogue().plugins, acme])


class Sweep:
    """Reads recipes with a tune section, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.file, self.catalogue = folder / "r.yaml", catalogue()

    def recipe(self, tune: str, *overrides: str, text: str = RECIPE) -> Recipe:
        """With the lines of a tune section, not indented."""
        self.file.write_text(text + "tune:\n" + "".join(f"  {line}\n" for line in tune.splitlines()))
        return read_recipe("r.yaml", overrides, self.catalogue)

    def __call__(self, tune: str, *overrides: str, text: str = RECIPE) -> Space:
        return read_space(self.recipe(tune, *overrides, text=text), "r.yaml", overrides, self.catalogue)

    def keys(self, *keys: str, more: str = "") -> Space:
        """The space of these lines of `tune.space`."""
        return self("space:\n" + "".join(f"  {line}\n" for line in keys) + more)

    def problems(self, tune: str, *overrides: str, text: str = RECIPE) -> list[str]:
        """What is wrong, as it is printed, without the file's name; the first line of the tune section is 1."""
        with pytest.raises(RecipeError) as caught:
            self(tune, *overrides, text=text)
        printed = []
        for problem in caught.value.problems:
            assert str(problem).startswith(f"r.yaml:{problem.line}: " if problem.line else "arguments: ")
            line = problem.line - FIRST - text.count("\n") + RECIPE.count("\n") if problem.line else 0
            printed.append(f"{line}: {problem.text}")
        return printed

    def problem(self, key: str, domain: str, more: str = "") -> str:
        """The only thing that is wrong with a space of one key, without the key."""
        (only,) = self.problems(f"{more}space:\n  {key}: {domain}\n")
        line, _, text = only.partition(": ")
        assert line == str(more.count("\n") + 2)
        return text.removeprefix(f"tune.space.{key}: ")
