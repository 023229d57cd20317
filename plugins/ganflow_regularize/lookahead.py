"""Slow weights beside those that the optimizers change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ganflow_regularize.average import copy_of

if TYPE_CHECKING:
    from ganflow import Game


def slow_weights(game: Game) -> nn.ModuleDict:
    """Copies of both networks, by player."""
    networks = {"generator": game.generator, "critic": game.critic}
    return nn.ModuleDict({player: copy_of(network) for player, network in networks.items() if network is not None})


@torch.no_grad()
def step(game: Game, slow: nn.ModuleDict, every: int | Tensor, weight: float | Tensor) -> None:
    """After each `every`-th round φ ← φ + weight · (θ − φ) and then θ ← φ, φ the slow weights of both players and θ theirs. The
    first round is the slow weights' beginning, so that they may begin with an earlier run's."""
    due = (game.round + 1) % every == 0
    share = torch.where(game.round == 0, 1.0, torch.where(due, weight, 0.0))
    for player, copy in slow.items():
        old: list[Tensor] = list(copy.parameters())
        new: list[Tensor] = list(getattr(game, player).parameters())
        torch._foreach_lerp_(old, new, [share.to(p.dtype) for p in old])
        torch._foreach_lerp_(new, old, [due.to(p.dtype) for p in new])
