"""pix2pix."""

from __future__ import annotations

from ganflow import Game, GanflowError, Loss, Step, Terms
from ganflow_translation.systems.translation import TranslationLoss, distance


class Pix2PixLoss(TranslationLoss):
    """The adversarial loss of D(x, y) and D(x, G(x)), plus, for the generator, λ E|y − G(x)| (or squared)."""

    def __init__(self, adversarial: Loss, weight: float, distance: str, critic_weight: float) -> None:
        super().__init__(adversarial, critic_weight)
        self.weight, self.distance = weight, distance

    def check(self, game: Game) -> None:
        made_from = game.signatures[game.maker].inputs.values()
        if len(game.domains) != 1 or not any(source in game.data.fields for source in made_from):
            raise GanflowError(
                "loss 'pix2pix' compares what is made of an example with the truth; take data with fields source and target "
                f"(facades, paired_folder; street with paired: true), which data '{game.data.name}' is not, or another loss"
            )

    def generator_terms(self, step: Step) -> Terms:
        y, made = step.real(), step.fake()
        far = distance(made, y) if self.distance == "l1" else (made - y).square().mean()
        return {**self.adversarial_terms(step), self.distance: self.weight * far}
