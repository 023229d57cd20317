"""Adversarial losses from scores. f is the critic, D = sigmoid ∘ f, x real, G(z) generated; E is the mean over a batch.

softplus(s) = log(1 + eˢ), so −log D = softplus(−f) and −log(1 − D) = softplus(f), without overflow for any score.
"""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn.functional import relu, softplus

from ganflow import ScoreLoss


class CrossEntropyLoss(ScoreLoss):
    """The critic of the first GAN: E softplus(−f(x)) + E softplus(f(G(z))), the cross-entropy of telling real from fake.

    With one-sided label smoothing α the real label is 1 − α, which adds α E f(x): softplus(s) − softplus(−s) = s.
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = label_smoothing

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        loss = softplus(-real).mean() + softplus(fake).mean()
        smoothed = isinstance(self.label_smoothing, Tensor) or self.label_smoothing  # a tensor in packed trials
        return loss + self.label_smoothing * real.mean() if smoothed else loss

    def estimate(self, critic: float) -> dict[str, float]:
        """log 2 − ½ · (critic's term), in nats: a lower bound of JSD(p_data, p_G), reached by the optimal critic
        D* = p_data / (p_data + p_G). Smoothed labels bound nothing, and give no estimate."""
        return {} if self.label_smoothing else {"jsd_estimate": math.log(2) - critic / 2}


class MinimaxLoss(CrossEntropyLoss):
    """The generator descends E log(1 − D(G(z)))."""

    name = "minimax"

    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -softplus(fake).mean()


class NonSaturatingLoss(CrossEntropyLoss):
    """The generator descends −E log D(G(z))."""

    name = "non_saturating"

    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return softplus(-fake).mean()


class LeastSquaresLoss(ScoreLoss):
    """Critic: ½ E (f(x) − b)² + ½ E (f(G(z)) − a)². Generator: ½ E (f(G(z)) − c)². Without `half` none of the ½."""

    name = "lsgan"

    def __init__(self, a: float, b: float, c: float, half: bool = True) -> None:
        self.a, self.b, self.c, self.factor = a, b, c, 0.5 if half else 1.0

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return self.factor * ((real - self.b).square().mean() + (fake - self.a).square().mean())

    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return self.factor * (fake - self.c).square().mean()


class HingeLoss(ScoreLoss):
    """Critic: E max(0, 1 − f(x)) + E max(0, 1 + f(G(z))). Generator: −E f(G(z))."""

    name = "hinge"

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return relu(1 - real).mean() + relu(1 + fake).mean()

    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -fake.mean()


class RelativisticLoss(ScoreLoss):
    """Critic: E softplus(f(G(z)) − f(x)), over pairs of a real and a generated example. Generator: the roles swapped."""

    name = "relativistic"
    compares = True

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(fake - real).mean()

    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        assert real is not None
        return self.critic_loss(fake, real)


class RelativisticAverageLoss(RelativisticLoss):
    """Critic: E softplus(E f(G(z)) − f(x)) + E softplus(f(G(z)) − E f(x)). Generator: the roles swapped."""

    @property
    def whole_batch(self) -> dict[str, str]:
        return {self.name: "with average it compares with the mean score of the whole batch"}

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(fake.mean() - real).mean() + softplus(fake - real.mean()).mean()
