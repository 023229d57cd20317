"""Priors: what the generator's input is drawn from."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch


class Prior(ABC):
    """A distribution over z.

    Attributes:
        shape: of one draw, e.g. (100,).
        support: the lowest and highest value a draw can have; None for the whole line.
    """

    shape: tuple[int, ...]
    support: tuple[float, float] | None = None

    @abstractmethod
    def sample(self, *lead: int, generator: torch.Generator | None = None, device: torch.device | str = "cpu") -> torch.Tensor:
        """Independent draws, shape (*lead, *shape), on `device` (which must be the generator's)."""

    @abstractmethod
    def between(self, a: torch.Tensor, b: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Points on the way from draws `a` to `b`, each (*shape), at t in [0, 1], shape (n,): shape (n, *shape).
        The way stays where the prior has mass: a great circle for a normal prior, a straight line for a uniform one."""
