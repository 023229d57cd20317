"""A pool of earlier fakes, so that a critic does not forget them (Shrivastava et al. 2016, arXiv:1612.07828)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ganflow import GanflowError, in_domain

if TYPE_CHECKING:
    from ganflow import Game


class Pool(nn.Module):
    """The last fakes, some of them older: while it fills, what comes in is kept and given back; then half of what comes in takes
    the places of earlier fakes, which are given back instead.

    Its contents are buffers: part of every checkpoint. All of it is tensor operations, so that it can be traced.

    Args:
        size: how many it holds.
        shape: of one fake.
    """

    kept: Tensor
    count: Tensor

    def __init__(self, size: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("kept", torch.zeros(size, *shape))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def forward(self, fakes: Tensor) -> Tensor:
        """Fakes (n, *shape) in, as many out, n at most the pool's size."""
        n, size = len(fakes), len(self.kept)
        if n > size:
            raise GanflowError(f"loss.pool: a pool of {size} cannot serve batches of {n}: make it as large as a batch, or 0")
        place = self.count + torch.arange(n, device=fakes.device)
        new = place < size
        # Different places for all, so that no fake of this batch overwrites, or is exchanged for, another of it. While the
        # pool fills up within a batch, the places that are just being filled are left alone.
        chosen = torch.rand(size, device=fakes.device) + (torch.arange(size, device=fakes.device) >= self.count)
        place = torch.where(new, place, chosen.argsort()[:n])
        swapped = ~new & (torch.rand(n, device=fakes.device) < 0.5)
        old = self.kept.index_select(0, place)
        wide = (-1, *[1] * (fakes.dim() - 1))
        self.kept.index_copy_(0, place, torch.where((new | swapped).view(wide), fakes.to(old.dtype), old))
        self.count.add_(n).clamp_(max=size)
        return torch.where(swapped.view(wide), old.to(fakes.dtype), fakes)


def add_pools(game: Game, size: int) -> None:
    """A pool for each domain, among the game's extras."""
    if not size or game.critic is None:
        return
    like = next(game.generator.parameters())
    for domain in game.loss.domains:  # type: ignore[attr-defined]
        game.extras[in_domain("pool", domain)] = Pool(size, game.data.fields[domain].shape).to(like.device, like.dtype)
