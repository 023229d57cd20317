"""Exponential moving average of a network."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ganflow import estimate_norm_statistics

if TYPE_CHECKING:
    from ganflow import Batch, Game


def copy_of(network: nn.Module) -> nn.Module:
    """An independent copy that does not train. (Parameters copy compactly, even where they are views of a flat tensor.)"""
    return copy.deepcopy(network).requires_grad_(False).eval()


class Count(nn.Module):
    """The number of rounds that were averaged: a separate module, so that the average's state is exactly a generator's."""

    rounds: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        device = next(network.parameters()).device
        self.register_buffer("rounds", torch.zeros((), dtype=torch.int64, device=device))

    def weight(self, decay: float | Tensor, start: int, warm_up: bool) -> Tensor:
        """The share 1 − decay that the generator has in the next average; all of it in the first `start` rounds.
        With `warm_up` the decay is at most (1 + t) / (10 + t), t counted from `start`."""
        rest = 1 - decay
        share = rest.float() if isinstance(rest, Tensor) else torch.full((), rest, device=self.rounds.device)
        if warm_up:
            share = torch.maximum(9 / (10 + self.rounds - start), share)
        return torch.where(self.rounds < start, 1.0, share)

    def add_one(self) -> None:
        self.rounds.add_(1)


class Statistics(nn.Module):
    """The average's batch-norm statistics, estimated from some batches before it is sampled, scored or kept. Has no state."""

    def __init__(self, batches: int) -> None:
        super().__init__()
        self.batches = batches

    def settle(self, game: Game, draw: Callable[[int], list[Batch]]) -> None:
        estimate_norm_statistics(game, game.averaged, draw, self.batches)


@torch.no_grad()
def update(average: nn.Module, network: nn.Module, weight: Tensor, statistics: bool) -> None:
    """average ← average + weight · (network − average) for parameters.

    Args:
        statistics: copy batch norm's running statistics, too. Other buffers always are.
    """
    old: list[Tensor] = list(average.parameters())
    new: list[Tensor] = list(network.parameters())
    torch._foreach_lerp_(old, new, [weight.to(p.dtype) for p in old])
    if old := list(_buffers(average, statistics)):
        torch._foreach_copy_(old, list(_buffers(network, statistics)))


def _buffers(network: nn.Module, statistics: bool) -> Iterator[Tensor]:
    for module in network.modules():
        if statistics or not isinstance(module, nn.modules.batchnorm._BatchNorm):
            yield from module.buffers(recurse=False)
