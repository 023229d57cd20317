"""pix2pix."""

from __future__ import annotations

from ganflow import Loss, Step, Terms
from ganflow_translation.systems.translation import TranslationLoss, distance


class Pix2PixLoss(TranslationLoss):
    """Critic: the adversarial loss's, from D(x, y) and D(x, G(x)). Generator: its own, plus λ E|y − G(x)| (or squared)."""

    def __init__(self, adversarial: Loss, weight: float, distance: str, critic_weight: float) -> None:
        super().__init__(adversarial, critic_weight)
        self.weight, self.distance = weight, distance

    def generator_terms(self, step: Step) -> Terms:
        y, made = step.real(), step.fake()
        far = distance(made, y) if self.distance == "l1" else (made - y).square().mean()
        return {**self.adversarial_terms(step), self.distance: self.weight * far}
