"""Batch norm over several workers, and its statistics for averaged networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from ganflow.contract.loss import Batch
from ganflow.engine.compat import BatchNorm
from ganflow.engine.distributed import Group
from ganflow.engine.game import evaluating, fork_rng
from ganflow.errors import GanflowError


class Synced(BatchNorm):
    """In training, mean and variance are those of all workers' examples, in equal shares; and so are running ones."""

    group: Group | None  # None: of this worker's examples alone

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.group is None:
            return super().forward(x)
        self._check_input_dim(x)  # type: ignore[no-untyped-call]
        wide = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        dims = [0, *range(2, x.dim())]
        rows = self.group.rows(torch.stack((wide.mean(dims), wide.var(dims, correction=0))))  # (workers, 2, channels)
        means, variances = rows.unbind(1)
        mean, variance = means.mean(0), variances.mean(0) + means.var(0, correction=0)
        if self.track_running_stats:
            self._remember(mean.detach(), variance.detach(), self.group.size * x.numel() // x.shape[1])
        scale = (variance + self.eps).rsqrt()
        shift = -mean * scale
        if self.affine:
            scale, shift = scale * self.weight, shift * self.weight + self.bias
        shape = [1, -1] + [1] * (x.dim() - 2)
        return (wide * scale.view(shape) + shift.view(shape)).to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, n: int) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_((variance * (n / max(1, n - 1))).to(self.running_var.dtype), share)


def synchronize(network: nn.Module, group: Group) -> None:
    """Make every batch norm of a network one over all workers. Parameters and buffers stay what and where they are.

    Raises:
        GanflowError: a batch norm has a forward pass of its own.
    """
    for module in network.modules():
        if not isinstance(module, BatchNorm):
            continue
        if type(module).forward is not BatchNorm.forward:
            raise GanflowError(f"train.batch_norm: a {type(module).__name__} cannot be synchronized; use local")
        kind: Any = type(module)
        module.__class__ = _synced(kind)
        module.group = group  # type: ignore[assignment]


@cache
def _synced(kind: Any) -> type[Synced]:
    return type(f"Synced{kind.__name__}", (Synced, kind), {})


def estimate_norm_statistics(game: Any, network: nn.Module, draw: Callable[[int], list[Batch]], batches: int) -> None:
    """Replace a network's running statistics by the average of those of some batches. Costs nothing where it has none.

    What passes through the network is what the game's loss passes through its generator. Random numbers and everything else in
    the game are left as they were.

    Args:
        game: a Game.
        network: a generator of it, in evaluation mode.
        draw: gives so many batches.
    """
    norms = [m for m in network.modules() if isinstance(m, BatchNorm) and m.running_mean is not None]
    if not norms:
        return
    played = game.played_by(network)
    # seeded for a network that is random (the codes of a VAE): a resumed run must find the same
    with torch.no_grad(), evaluating(played), fork_rng(game.device, seed=0), _gathering(norms):
        for batch in draw(batches):
            step = played.step("generator", batch)
            if game.critic is None:
                played.terms_of(step)
            for domain in game.domains if game.critic is not None else ():
                step.fake(domain)


@contextmanager
def _gathering(norms: list[BatchNorm]) -> Iterator[None]:
    """The norms while they average the statistics of all batches to come, each batch counting the same."""
    before = [(norm, norm.momentum, getattr(norm, "group", None)) for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
        if isinstance(norm, Synced):
            norm.group = None  # the other workers wait for the next round
    try:
        yield
    finally:
        for norm, momentum, group in before:
            norm.momentum = momentum
            norm.eval()
            if isinstance(norm, Synced):
                norm.group = group
