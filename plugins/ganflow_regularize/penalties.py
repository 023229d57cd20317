"""Penalties on the slope of the critic, around any loss that reads a critic's scores."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from ganflow.errors import GanflowError
from ganflow.loss import AddedTerms, Batch, Loss, Terms

if TYPE_CHECKING:
    from ganflow.game import Game


class SlopePenalty(AddedTerms):
    """A loss with the critic's term weight · E cost(∇f(x)) at some points x; f is the mean of an example's scores.

    Works with every loss that has ScoreLoss's `fakes` and `score`, under other modifiers' terms too.

    Attributes:
        term: the term's name in logs, which is also the modifier's.

    Raises:
        GanflowError: the loss has no critic's scores to penalise.
    """

    term: ClassVar[str]

    def __init__(self, loss: Loss, weight: float) -> None:
        super().__init__(loss)
        self.weight = weight
        if not (hasattr(loss, "fakes") and hasattr(loss, "score")):
            raise GanflowError(
                f"modifier '{self.term}' needs a loss that scores examples with a critic (a ScoreLoss); "
                f"{type(loss).__name__} does not: take the modifier out, or choose another loss"
            )

    @abstractmethod
    def points(self, game: Game, batch: Batch) -> Tensor:
        """Where the slope is taken, shape (n, *shape)."""

    @abstractmethod
    def cost(self, slopes: Tensor) -> Tensor:
        """What the slopes, shape (n, values), cost: shape (n,)."""

    def more_critic_terms(self, game: Game, batch: Batch) -> Terms:
        x = self.points(game, batch).detach().requires_grad_()
        scores = self.score(game, x, batch)
        per_example = scores.reshape(len(x), -1).mean(1)
        # Examples do not mix, so the gradient of the sum holds each example's own; the graph is kept for its derivatives.
        (slopes,) = torch.autograd.grad(per_example.sum(), x, create_graph=True)
        return {self.term: self.weight * self.cost(slopes.flatten(1)).mean()}


class SquaredSlope(SlopePenalty):
    """γ/2 · E‖∇f(x)‖²: the zero-centred penalty that R1 and R2 share."""

    def cost(self, slopes: Tensor) -> Tensor:
        return slopes.square().sum(1) / 2


class WithR1(SquaredSlope):
    """At real examples."""

    term = "r1"

    def points(self, game: Game, batch: Batch) -> Tensor:
        return batch["real"]


class WithR2(SquaredSlope):
    """At generated examples."""

    term = "r2"

    def points(self, game: Game, batch: Batch) -> Tensor:
        return self.fakes(game, batch)
