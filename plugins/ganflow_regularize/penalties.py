"""Zero-centred penalties on the slope of the critic."""

from __future__ import annotations

from torch import Tensor

from ganflow import SlopePenalty


class SquaredSlope(SlopePenalty):
    """γ/2 · E‖∇f(x)‖²: the zero-centred penalty that R1 and R2 share."""

    def cost(self, slopes: Tensor) -> Tensor:
        return slopes.square().sum(1) / 2


class R1Penalty(SquaredSlope):
    """At real examples."""

    term = "r1"

    def points(self, real: Tensor, fake: Tensor) -> Tensor:
        return real


class R2Penalty(SquaredSlope):
    """At generated examples."""

    term = "r2"

    def points(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake
