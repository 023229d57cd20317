"""Zero-centred penalties on the slope of the critic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from ganflow.loss import Batch, SlopePenalty

if TYPE_CHECKING:
    from ganflow.game import Game


class SquaredSlope(SlopePenalty):
    """γ/2 · E‖∇f(x)‖²: the zero-centred penalty that R1 and R2 share."""

    def cost(self, slopes: Tensor) -> Tensor:
        return slopes.square().sum(1) / 2


class WithR1(SquaredSlope):
    """At real examples."""

    term = "r1"

    def points(self, game: Game, batch: Batch) -> Tensor:
        return self.reals(batch)


class WithR2(SquaredSlope):
    """At generated examples."""

    term = "r2"

    def points(self, game: Game, batch: Batch) -> Tensor:
        return self.fakes(game, batch)
