"""Spaces over the numbers, and the kinds, of parts' optimizers."""

import random

import pytest
from space_helpers import RECIPE

from ganflow.errors import RecipeError
from ganflow.recipe import Tune, read_recipe
from ganflow.space.reading import read_space

PARTS = "optimizer: {generator: adam, critic: adam, generator.net.0: {use: sgd, lr: 0.5}}"
TEXT = RECIPE.replace("optimizer: {use: adam, lr: 1.0e-3, beta1: 0.5, beta2: 0.9}", PARTS)


def space_of(sweep, *lines, text=TEXT):
    sweep.file.write_text(text + "tune:\n  space:\n" + "".join(f"    {line}\n" for line in lines))
    return read_space(read_recipe("r.yaml", (), sweep.catalogue), "r.yaml", (), sweep.catalogue)


@pytest.mark.parametrize("written", ["optimizer.generator.net.0.lr", "optimizer.generator.net[0].lr"])
def test_a_parts_numbers_are_searched(sweep, written):
    space = space_of(sweep, f"{written}: {{loguniform: [1e-5, 1e-3]}}")
    ((key, _),) = space.keys.items()
    recipe = space.validate({key: 1e-4})
    assert {part: o.settings.lr for part, o in recipe.optimizers.items()} == {
        "generator": 2e-4, "generator.net.0": 1e-4, "critic": 2e-4,
    }  # fmt: skip


def test_a_part_that_the_recipe_has_not_is_made(sweep):
    """Like the optimizer above it, with another number."""
    space = space_of(sweep, "optimizer.generator.net.lr: {loguniform: [1e-5, 1e-3]}", text=RECIPE)
    recipe = space.validate({"optimizer.generator.net.lr": 1e-4})
    assert [(part, o.settings.lr, o.settings.beta2) for part, o in recipe.optimizers.items()] == [
        ("generator", 1e-3, 0.9), ("generator.net", 1e-4, 0.9), ("critic", 1e-3, 0.9),
    ]  # fmt: skip


def test_conditions_on_a_part(sweep):
    held = "train.seed: {randint: [0, 9], when: {optimizer.generator.net.0: sgd}}"
    never = "train.n_critic: {randint: [1, 3], when: {optimizer.generator.net.0: adam}}"
    by_rate = "train.batch_size: {choice: [8, 16], when: {optimizer.generator.net.0.lr: 0.5, optimizer.generator: adam}}"
    assert list(space_of(sweep, held, by_rate).keys) == ["train.seed", "train.batch_size"]
    with pytest.raises(RecipeError, match=r"when: optimizer.generator.net\[0\] is never adam, but optim/sgd in all trials"):
        space_of(sweep, held, never)
    any_part = "train.seed: {randint: [0, 9], when: {optimizer: sgd}}"
    assert list(space_of(sweep, any_part).keys) == ["train.seed"]


def test_another_component_for_a_part_is_not_a_step_of_population_based_training(sweep):
    """The copied state would not fit: the numbers change, the kinds stay."""
    kind = "optimizer.generator.net.0: {choice: [adam, rmsprop]}"
    space = space_of(sweep, kind, "optimizer.critic.lr: {loguniform: [1e-5, 1e-3]}")
    for seed in range(20):
        before = space.sample(random.Random(seed))
        after = space.mutate(before, Tune(), random.Random(seed + 1))
        assert before["optimizer.generator.net[0]"] == after["optimizer.generator.net[0]"]
        assert before["optimizer.critic.lr"] != after["optimizer.critic.lr"]
