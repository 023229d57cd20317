"""Zero-centred penalties on the slope of the critic."""

from __future__ import annotations

from torch import Tensor

from ganflow import SlopePenalty, Step, Terms


class SquaredSlope(SlopePenalty):
    """γ/2 · E‖∇f(x)‖²: the zero-centred penalty that R1 and R2 share.

    Args:
        final, rounds: after t rounds γ = weight^(1 − s) · final^s, with s = t / rounds, at most 1; None: `weight` throughout.
        every: see AddedTerms.
    """

    def __init__(
        self, weight: float, allow_batch_norm: bool = False, final: float | None = None, rounds: int = 0, every: int = 1
    ) -> None:
        super().__init__(weight, allow_batch_norm)
        self.final, self.rounds, self.every = final, rounds, every

    def critic_terms(self, step: Step) -> Terms:
        terms = super().critic_terms(step)
        if self.final is None:
            return terms
        change = (self.final / self.weight) ** (step.round / self.rounds).clamp(max=1)
        return {name: change * term for name, term in terms.items()}

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
