"""pix2pix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ganflow import Batch, Loss, Terms
from ganflow_translation.systems.translation import TranslationLoss, distance

if TYPE_CHECKING:
    from ganflow import Game


class Pix2PixLoss(TranslationLoss):
    """Critic: the adversarial loss's, from D(x, y) and D(x, G(x)). Generator: its own, plus λ E|y − G(x)| (or squared)."""

    reads = ("source", "target")
    mean_over_examples = True

    def __init__(self, adversarial: Loss, weight: float, distance: str, critic_weight: float) -> None:
        super().__init__(adversarial, critic_weight)
        self.weight, self.distance = weight, distance

    def generate(self, game: Game, batch: Batch, domain: str = "") -> Tensor:
        fake: Tensor = game.generator(batch["source"], "target")
        return fake

    def reals(self, batch: Batch, domain: str = "") -> Tensor:
        return batch["target"]

    def score(self, game: Game, x: Tensor, batch: Batch, domain: str = "") -> Tensor:
        source = batch["source"]
        if len(x) > len(source):  # real and fake in one pass: both go with the same sources
            source = torch.cat((source, source))
        return self.judge(game, torch.cat((source, x), 1))

    def generator_terms(self, game: Game, batch: Batch) -> Terms:
        y, made = batch["target"], self.generated(game, batch)
        far = distance(made, y) if self.distance == "l1" else (made - y).square().mean()
        return {**self.adversarial_terms(game, batch), self.distance: self.weight * far}
