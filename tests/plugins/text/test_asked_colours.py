"""What is drawn for sentences about birds that were never seen; minutes of training. More of it: tests/benchmarks/text.py."""

import pytest

from ganflow.recipe import read_recipe
from ganflow.runner import start


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_birds_have_the_colours_that_are_asked_for(tmp_path):
    """Half of the recipe's rounds; with all of them it is nine in ten."""
    recipe = read_recipe("stackgan_stage1_birds", ["train.rounds=750", "track.mlflow=false"])
    best = start(recipe, tmp_path, quiet=True).folder.read().best
    assert best["metric"] == "bird_colours_400"
    assert best["score"] > 0.7
