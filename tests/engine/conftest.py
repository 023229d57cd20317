"""A small game of digits, and plugins that are installed for it."""

import pytest

from ganflow.engine.build import build_game
from ganflow.recipe import read_recipe

RECIPE = """
name: small
data: {use: digits, size: 16}
prior: {use: normal, dim: 4}
generator: {use: dcgan, width: 2}
critic: {use: dcgan, width: 2, norm: none}
loss: hinge
optimizer: adam
train: {rounds: 1, batch_size: 4, compile: never, threads: 1}
track: {mlflow: false}
"""


@pytest.fixture
def building(tmp_path, workshop):
    """building(name, code) installs a plugin, and gives a function that builds the game of RECIPE with some changes."""

    def install(name, code):
        workshop.install(name, code)
        workshop.catalogue()
        (tmp_path / "small.yaml").write_text(RECIPE)

        def build(*changes):
            recipe = read_recipe(tmp_path / "small.yaml", list(changes))
            composition = recipe.composition()
            return build_game(recipe, composition, composition.build("data"))

        return build

    return install
