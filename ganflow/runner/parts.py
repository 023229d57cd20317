"""What plays the rounds of a run: the same in every worker."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import numpy as np
import torch

from ganflow.data.feed import feed
from ganflow.errors import GanflowError
from ganflow.game import build_game, build_round
from ganflow.game.build import DTYPES
from ganflow.game.parallel import Group
from ganflow.recipe import Recipe
from ganflow.runner.speed import Choice, choose
from ganflow.trainer import Trainer


@dataclass(frozen=True)
class Before:
    """What a run computed with that goes on: 0 or "" for what is not known.

    Attributes:
        threads: of CPU computations.
        threads_to_build: of those by which data and networks were made.
        precision: what the recipe's `auto` was found to mean.
    """

    threads: int = 0
    threads_to_build: int = 0
    precision: str = ""

    def choice(self, chosen: Choice) -> Choice:
        """What is known, and the rest as chosen now."""
        return replace(chosen, threads=self.threads or chosen.threads, precision=self.precision or chosen.precision)


class Parts:
    """Everything that one run is made of, as far as it plays.

    Args:
        group: the workers that train together; None for this one alone.
        before: what the run computed with, where it goes on; otherwise it is chosen.
        measure: try what is fast, where the recipe leaves that open.

    Attributes:
        choice: what it computes with.

    Raises:
        GanflowError: the parts do not fit each other, or the batch cannot be shared by so many workers.
    """

    def __init__(
        self, recipe: Recipe, group: Group | None = None, before: Before | None = None, measure: bool = False
    ) -> None:
        self.recipe, self.group = recipe, group
        train, before = recipe.train, before or Before()
        check_shares(recipe, group.size if group else 1)
        # What is learnt while the data are built (a text encoder) must be the same when the run goes on: with as many threads.
        self.threads_to_build = before.threads_to_build or before.threads or train.threads or torch.get_num_threads()
        torch.set_num_threads(self.threads_to_build)
        if train.deterministic != torch.are_deterministic_algorithms_enabled():  # a sweep's process plays many recipes
            torch.use_deterministic_algorithms(train.deterministic)  # imports torch._dynamo, a second of every start
        random.seed(train.seed)  # a plugin may draw from these; torch's generator is seeded by build_game
        np.random.seed(train.seed % 2**32)
        self.composition = recipe.composition()
        self.data = self.composition.build("data")
        self.game = build_game(recipe, self.composition, self.data, group=group)
        self.choice = before.choice(choose(recipe, self.game, measure=measure and not before.threads and group is None))
        torch.set_num_threads(self.choice.threads)
        self.feed = feed(
            self.data,
            train.batch_size,
            train.seed,
            self.game.device,
            DTYPES[train.precision],
            channels_last=train.channels_last,
            share=group.share(train.batch_size, train.accumulate) if group else None,
            fields=frozenset[str]().union(*self.game.needs.values()),
        )
        self.round = build_round(recipe, self.composition, self.game, self.choice.precision)
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
        raise GanflowError("train.compile: rounds that several workers play cannot be compiled; set train.compile=never")
