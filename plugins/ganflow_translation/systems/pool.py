"""Pools of earlier fakes, so that a critic does not forget them (Shrivastava et al. 2016, arXiv:1612.07828)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ganflow import GanflowError, Step


class Pool(nn.Module):
    """Replay pool of fakes: while it fills, what comes in is kept and returned; then half of what comes in replaces earlier
    fakes, which are returned instead.

    Its contents are buffers: part of every checkpoint, and each worker's own. All of it is tensor operations, so that it can be
    traced; they change when the critic has made its step.

    Args:
        size: how many it holds.
        shape: of one fake.
    """

    kept: Tensor
    count: Tensor
    per_rank = True

    def __init__(self, size: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("kept", torch.zeros(size, *shape))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def exchange(self, step: Step, fakes: Tensor) -> Tensor:
        """Fakes (n, *shape) in, as many out, n at most the pool's size."""
        n, size = len(fakes), len(self.kept)
        if n > size:
            raise GanflowError(f"loss.pool: a pool of {size} cannot serve batches of {n}: make it as large as a batch, or 0")
        kept, count = step.state(self.kept), step.state(self.count)
        index = count + torch.arange(n, device=fakes.device)
        new = index < size
        # Different indices for all, so that no fake of this batch overwrites, or is exchanged for, another of it. While the
        # pool fills up within a batch, the rows that are just being filled are left alone.
        chosen = torch.rand(size, device=fakes.device) + (torch.arange(size, device=fakes.device) >= count)
        index = torch.where(new, index, chosen.argsort()[:n])
        swapped = ~new & (torch.rand(n, device=fakes.device) < 0.5)
        old = kept.index_select(0, index)
        wide = (-1, *[1] * (fakes.dim() - 1))
        step.change(self.kept, kept.index_copy(0, index, torch.where((new | swapped).view(wide), fakes.to(old.dtype), old)))
        step.change(self.count, (count + n).clamp(max=size))
        return torch.where(swapped.view(wide), old.to(fakes.dtype), fakes)


class Pools(nn.ModuleDict):
    """A pool for each domain."""

    def __init__(self, size: int, shapes: Mapping[str, tuple[int, ...]]) -> None:
        super().__init__({domain: Pool(size, shape) for domain, shape in shapes.items()})

    def exchange(self, step: Step, domain: str, fakes: Tensor) -> Tensor:
        pool: Pool = self[domain]  # type: ignore[assignment]
        return pool.exchange(step, fakes)
