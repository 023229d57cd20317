"""A player: one side of the game, with its networks, parameters and optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ganflow.game.flat import Flat
from ganflow.game.parallel import Group

NUMBERS = ("lr", "betas", "alpha", "eps", "weight_decay", "momentum", "nesterov")
"""What optimizers call the numbers that a recipe gives them; anything else in their groups is state."""
MakeOptimizer = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


class Player:
    """"generator" or "critic".

    Args:
        name: of the player.
        module: its network or networks.
        make_optimizer: gets the parameters to update.
        elementwise: the optimizer treats every number alone, so all parameters may be one flat tensor.
        schedule: the factor on the learning rate in each round, None for 1.
        clip_norm: the largest norm of the whole gradient; None for any.
        group: the workers whose gradients are averaged; None for this one alone.
    """

    def __init__(
        self,
        name: str,
        module: nn.Module,
        make_optimizer: MakeOptimizer,
        *,
        elementwise: bool = False,
        schedule: Callable[[int], float] | None = None,
        clip_norm: float | None = None,
        group: Group | None = None,
    ) -> None:
        self.name, self.module, self.schedule, self.clip_norm, self.group = name, module, schedule, clip_norm, group
        distinct = list(module.parameters())
        uniform = len({(p.dtype, p.device) for p in distinct}) == 1 and all(p.requires_grad for p in distinct)
        self.flat = Flat(module) if elementwise and uniform else None
        self.leaves: list[Tensor] = [p for p in distinct if p.requires_grad]
        self.updated: list[nn.Parameter] = [self.flat.tensor] if self.flat else [p for p in distinct if p.requires_grad]
        self.optimizer = make_optimizer(self.updated)
        self._numbers = [{name: group[name] for name in NUMBERS if name in group} for group in self.optimizer.param_groups]
        rates = [group["lr"] for group in self.optimizer.param_groups if "lr" in group]
        self._base_rates = [rate if isinstance(rate, Tensor) else float(rate) for rate in rates]

    def descend(self, objective: Tensor) -> None:
        """One optimizer step down the gradient of a scalar."""
        self.update(self.gradients(objective))

    def gradients(self, objective: Tensor) -> list[Tensor]:
        """The gradient of a scalar, in the shape of `updated`. Only this player's part of the graph is walked: the
        other player's parameters cost nothing and get nothing. Good until the next call."""
        found = torch.autograd.grad(objective, self.leaves, allow_unused=True)
        if self.flat:
            return [self.flat.gather(found)]
        return [g if g is not None else torch.zeros_like(p) for g, p in zip(found, self.leaves, strict=True)]

    @torch.no_grad()
    def update(self, gradients: Sequence[Tensor]) -> None:
        """One optimizer step with these gradients (which are written over), averaged over all workers and clipped to
        `clip_norm`."""
        if self.group is not None:
            gradients = self.group.mean(gradients)
        if self.clip_norm is not None:
            norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients]))
            factor = (self.clip_norm / (norm + 1e-6)).clamp(max=1.0)
            gradients = [g * factor for g in gradients]
        for p, g in zip(self.updated, gradients, strict=True):
            p.grad = g
        self.optimizer.step()
        for p in self.updated:
            p.grad = None

    def reset_numbers(self) -> None:
        """Give the optimizer the numbers that it was made with, where another's state was loaded into it."""
        for group, numbers in zip(self.optimizer.param_groups, self._numbers, strict=True):
            group.update(numbers)

    def start_round(self, round: int) -> None:
        """Set the learning rate for this round."""
        if self.schedule is None:
            return
        factor = self.schedule(round)
        for group, base in zip(self.optimizer.param_groups, self._base_rates, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(base * factor)
            else:
                group["lr"] = base * factor

    @property
    def learning_rate(self) -> float | None:
        """Of the last round begun."""
        return float(self.optimizer.param_groups[0]["lr"]) if self._base_rates else None

    @contextmanager
    def traced(self) -> Iterator[None]:
        """While this lasts, steps are made of traceable operations on the flat tensor."""
        assert self.flat is not None, "only a flat player can be traced"
        kept = self.leaves
        with self.flat.fresh_leaves() as leaves:
            self.leaves = leaves
            try:
                yield
            finally:
                self.leaves = kept
