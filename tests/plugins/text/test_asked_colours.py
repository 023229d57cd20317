"""What is drawn for sentences about birds that were never seen: minutes of training; all of it: tests/benchmarks/gallery.py."""

import pytest
import torch
from ganflow_text.data import Birds
from ganflow_text.encoders import BagOfWords
from ganflow_text.metrics import BirdColours

from ganflow.recipe import read_recipe
from ganflow.runs.start import start


@pytest.mark.rare
@pytest.mark.timeout(1200)
def test_birds_have_the_colours_that_are_asked_for(tmp_path):
    """Half of the recipe's rounds; with all of them it is nine in ten."""
    recipe = read_recipe("stackgan_stage1_birds", ["train.rounds=750", "track.mlflow=false"])
    best = start(recipe, tmp_path, quiet=True).folder.read().best
    assert best["metric"] == "bird_colours_400"
    assert best["score"] > 0.7


def test_the_seed_is_of_the_priors_draws():
    asked = []

    class Game:
        def latents(self, n, seed):
            asked.append((n, seed))
            return torch.zeros(n, 2)

        def call(self, name, z, text):
            return torch.zeros(len(z), 3, 32, 32)

    data = Birds(size=32, train=4, held_out=8, encoder=BagOfWords()).data()
    BirdColours(samples=12, seed=3).metric(data).evaluate(Game())
    assert asked == [(12, 3)]
