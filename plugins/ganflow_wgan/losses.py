"""The Wasserstein loss and its gradient penalty."""

from __future__ import annotations

import torch
from torch import Tensor

from ganflow import ScoreLoss, SlopePenalty


class WassersteinLoss(ScoreLoss):
    """Critic: E f(G(z)) − E f(x). Generator: −E f(G(z))."""

    name = "wasserstein"

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake.mean() - real.mean()

    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -fake.mean()

    def estimate(self, critic: float) -> dict[str, float]:
        """E f(x) − E f(G(z)): for a K-Lipschitz critic at most K · W₁(p_data, p_G) (Kantorovich–Rubinstein duality), and
        not negative once the critic is better than a constant."""
        return {"w_estimate": -critic}


class GradientPenalty(SlopePenalty):
    """weight · E(‖∇f(x̂)‖₂ − target)² at points x̂ between real and generated examples."""

    term = "gradient_penalty"

    def __init__(
        self, weight: float, target: float = 1.0, one_sided: bool = False, allow_batch_norm: bool = False
    ) -> None:
        super().__init__(weight, allow_batch_norm)
        self.target, self.one_sided = target, one_sided

    def points(self, real: Tensor, fake: Tensor) -> Tensor:
        epsilon = torch.rand(len(real), *[1] * (real.dim() - 1), dtype=real.dtype, device=real.device)
        return real + epsilon * (fake - real)

    def cost(self, slopes: Tensor) -> Tensor:
        excess = torch.linalg.vector_norm(slopes, dim=1) - self.target
        return (excess.clamp(min=0) if self.one_sided else excess).square()
