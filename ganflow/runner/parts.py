"""What plays the rounds of a run: the same in every worker."""

from __future__ import annotations

import random

import numpy as np
import torch

from ganflow.data.feed import feed
from ganflow.errors import GanflowError
from ganflow.game import build_game, build_round
from ganflow.game.build import DTYPES
from ganflow.game.parallel import Group
from ganflow.recipe import Recipe
from ganflow.trainer import Trainer


class Parts:
    """Everything that one run is made of, as far as it plays.

    Args:
        group: the workers that train together; None for this one alone.
        threads: of CPU computations; 0 for what the recipe says.

    Raises:
        GanflowError: the parts do not fit each other, or the batch cannot be shared by so many workers.
    """

    def __init__(self, recipe: Recipe, group: Group | None = None, threads: int = 0) -> None:
        self.recipe, self.group = recipe, group
        train = recipe.train
        check_shares(recipe, group.size if group else 1)
        torch.set_num_threads(threads or train.threads or torch.get_num_threads())
        if train.deterministic != torch.are_deterministic_algorithms_enabled():  # a sweep's process plays many recipes
            torch.use_deterministic_algorithms(train.deterministic)  # imports torch._dynamo, a second of every start
        random.seed(train.seed)  # a plugin may draw from these; torch's generator is seeded by build_game
        np.random.seed(train.seed % 2**32)
        self.composition = recipe.composition()
        self.data = self.composition.build("data")
        self.game = build_game(recipe, self.composition, self.data, group=group)
        self.feed = feed(
            self.data,
            train.batch_size,
            train.seed,
            self.game.device,
            DTYPES[train.precision],
            channels_last=train.channels_last,
            share=group.share(train.batch_size, train.accumulate) if group else None,
        )
        self.round = build_round(recipe, self.composition, self.game)
        self.trainer = Trainer(self.game, self.feed, self.round, train.batch_size, train.seed, group)


def check_shares(recipe: Recipe, workers: int) -> None:
    """Whether so many workers can share a run's work.

    Raises:
        GanflowError: its batch cannot be cut into equal shares, or its rounds are to be compiled.
    """
    batch, parts = recipe.train.batch_size, recipe.train.accumulate
    if batch % (workers * parts):
        each = f" in {parts} micro-batches each" if parts > 1 else ""
        raise GanflowError(
            f"train.batch_size: {batch} examples cannot be shared evenly by {workers} workers{each}; "
            f"use a multiple of {workers * parts}"
        )
    if workers > 1 and recipe.train.compile not in ("auto", "never"):
        raise GanflowError("train.compile: rounds that several workers play cannot be compiled; set compile: never")
