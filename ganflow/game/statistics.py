"""Batch-norm statistics of an averaged network.

The running statistics that a generator has gathered are those of its own weights. An average of weights has others: they are
estimated by passing batches through it, as in stochastic weight averaging (Izmailov et al. 2018, arXiv:1803.05407, section 3.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ganflow.game.game import evaluating, fork_rng
from ganflow.game.sync_norm import Synced
from ganflow.loss import Batch


def estimate_norm_statistics(game: Any, network: nn.Module, draw: Callable[[int], list[Batch]], batches: int) -> None:
    """Replace a network's running statistics by the average of those of some batches. Costs nothing where it has none.

    What passes through the network is what the game's loss passes through its generator. Random numbers and everything else in
    the game are left as they were.

    Args:
        game: a Game.
        network: a generator of it, in evaluation mode.
        draw: gives so many batches.
    """
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
    if not norms:
        return
    played = game.played_by(network)
    with torch.no_grad(), evaluating(played), fork_rng(game.device), _gathering(norms):
        torch.manual_seed(0)  # for a network that is random (the codes of a VAE): a resumed run must find the same
        for batch in draw(batches):
            step = played.step("generator", batch)
            if game.critic is None:
                played.terms_of(step)
            for domain in game.domains if game.critic is not None else ():
                step.fake(domain)


@contextmanager
def _gathering(norms: list[_BatchNorm]) -> Iterator[None]:
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
