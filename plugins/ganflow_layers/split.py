"""The split into examples for training and examples held out."""

from __future__ import annotations

import torch
from torch import Tensor

from ganflow import NothingLeft


def split(n: int, held_out: float, of: str) -> tuple[Tensor, Tensor]:
    """Sorted indices of the training examples and of the held-out ones, by a shuffle that never changes: the same
    for every run and every seed, so that scores of different runs compare.

    Args:
        n: how many examples there are.
        held_out: below 1 a share of them, from 1 on a number.
        of: what they are, for errors.

    Raises:
        GanflowError: nothing would be left for training.
    """
    kept = round(held_out * n) if held_out < 1 else round(held_out)
    if kept >= n:
        raise NothingLeft(f"data.held_out: {held_out:g} leaves nothing of the {n} examples of {of} for training",
                          f"data.held_out={n // 10}")  # fmt: skip
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    return order[kept:].sort().values, order[:kept].sort().values
