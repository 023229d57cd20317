"""A small set of installed components, and a way to read recipes and see what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest
from recipe_components import OFFERS

from ganflow.errors import GanflowError, RecipeError
from ganflow.plugins import Catalogue, Component, Plugin
from ganflow.recipe import Recipe, read_recipe

GOOD = """\
# ganflow run good
# Something good.
name: good
data: {use: digits, size: 32}
prior: {use: normal, dim: 100}
generator: {use: dcgan, width: 32}
critic: {use: dcgan, width: 32}
loss: {use: wasserstein}
optimizer: {use: adam, lr: 5.0e-5}
modifiers:
  - {use: clip, c: 0.01}
  - ema
train: {rounds: 1000, n_critic: 5, batch_size: 64, seed: 0}
metrics: [{use: frechet, n: 512}]
"""


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return Catalogue(
        [
            Plugin(plugin, f"gf_{plugin}", f"gf-{plugin}", "1.0", None, tuple(Component(r, n, plugin, c) for r, n, c in offers))
            for plugin, offers in OFFERS.items()
        ]
    )


class Reader:
    def __init__(self, folder: Path, catalogue: Catalogue) -> None:
        self.folder, self.catalogue = folder, catalogue

    def __call__(self, text: str | bytes = GOOD, *overrides: str, file: str = "r.yaml") -> Recipe:
        """The recipe that this text is."""
        (self.folder / file).write_bytes(text.encode() if isinstance(text, str) else text)
        return read_recipe(file, overrides, self.catalogue)

    def problems(self, text: str | bytes, *overrides: str, file: str = "r.yaml") -> list[str]:
        """Everything that is wrong with it, as it is printed; never empty."""
        with pytest.raises(RecipeError) as caught:
            self(text, *overrides, file=file)
        printed = caught.value.in_shell.split("\n")
        assert len(printed) == len(caught.value.problems) >= 1
        return printed

    def problem(self, text: str | bytes, *overrides: str) -> str:
        """The only thing that is wrong with it."""
        (only,) = self.problems(text, *overrides)
        return only

    def refused(self, text: str | bytes, *overrides: str) -> str:
        with pytest.raises(GanflowError) as caught:
            self(text, *overrides)
        return caught.value.in_shell


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, catalogue: Catalogue) -> Reader:
    monkeypatch.chdir(tmp_path)
    return Reader(tmp_path, catalogue)


@pytest.fixture
def good() -> str:
    return GOOD
