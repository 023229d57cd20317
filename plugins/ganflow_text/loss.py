"""StackGAN's loss: an adversarial one that also knows pictures with the wrong sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ganflow import Batch, Conditional, GanflowError, ScoreLoss, Terms

if TYPE_CHECKING:
    from ganflow import Game, TextEncoder

SHOWN = 7  # pictures drawn for a sentence of the sheet, beside the true one


class StackGANLoss(ScoreLoss):
    """Critic: (1 − m) · L(real, fake) + m · L(real, wrong), of scores of real pictures with their sentences, generated ones with
    theirs, and real ones with the next example's; with m = ½ it is real + ½ (wrong + fake).
    Generator: its adversarial term + kl · KL(N(μ, σ²) ‖ N(0, 1)) + match · the text encoder's own loss on generated pictures.

    Args:
        adversarial: how scores are judged.
        mismatch: m.
        kl, match: weights.
    """

    reads = ("real", "text")
    generator_needs_data = True  # its sentences
    mean_over_examples = True

    def __init__(self, adversarial: ScoreLoss, mismatch: float, kl: float, match: float) -> None:
        self.adversarial, self.mismatch, self.kl, self.match = adversarial, mismatch, kl, match

    @property
    def name(self) -> str:
        return self.adversarial.name

    @property
    def compares(self) -> bool:
        return self.adversarial.compares

    @property
    def whole_batch(self) -> dict[str, str]:
        why = {
            "mismatch": "a picture's wrong sentence is the next example's",
            "match": "the text encoder's loss sets every picture against all sentences of the batch",
        }
        return {name: text for name, text in why.items() if getattr(self, name)}

    def check(self, game: Game) -> None:
        self.of(game)
        if self.match and hasattr(game.data, "encoder"):  # where a run is only drawn from, the data are not there
            encoder_of(game)

    def of(self, game: Game) -> Conditional:
        """The generator.

        Raises:
            GanflowError: it takes no condition.
        """
        if not isinstance(game.generator, Conditional):
            raise GanflowError("loss 'stackgan' tells the generator what to draw, and this recipe's takes z alone; "
                               "use generator stackgan_stage1")  # fmt: skip
        return game.generator

    def generate(self, game: Game, batch: Batch, domain: str = "") -> Tensor:
        fake: Tensor = self.of(game)(batch["z"], batch["text"])
        return fake

    def score(self, game: Game, x: Tensor, batch: Batch, domain: str = "") -> Tensor:
        return self.judge(game, x, batch["text"])

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return self.adversarial.critic_loss(real, fake)

    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return self.adversarial.generator_loss(fake, real)

    def critic_terms(self, game: Game, batch: Batch) -> Terms:
        real = self.score(game, batch["real"], batch)
        fake = self.score(game, self.fakes(game, batch), batch)
        terms = {self.name: (1 - self.mismatch) * self.over_scales(game, self.critic_loss, real, fake)}
        if self.mismatch:
            wrong = self.judge(game, batch["real"], batch["text"].roll(1, 0))
            terms["mismatch"] = self.mismatch * self.over_scales(game, self.critic_loss, real, wrong)
        return terms

    def generator_terms(self, game: Game, batch: Batch) -> Terms:
        terms = super().generator_terms(game, batch)
        if (divergence := self.of(game).divergence(batch["text"])) is not None:
            terms["kl"] = self.kl * divergence
        if self.match:
            terms["match"] = self.match * encoder_of(game).match(self.generated(game, batch), batch["text"])
        return terms

    def sheet(self, game: Game, batch: Batch) -> dict[str, Tensor]:
        """For every held-out sentence the true picture, then what is drawn from the same few z."""
        sentences = getattr(game.data, "held_out_sentences", ())
        z = game.latents(SHOWN)
        rows = {}
        for sentence, real, text in zip(sentences, batch["real"], batch["text"], strict=False):
            rows[sentence] = torch.cat((real[None], game.sample(z, text.expand(SHOWN, -1))))
        return rows


def encoder_of(game: Game) -> TextEncoder:
    """The data's text encoder, which must know pictures.

    Raises:
        GanflowError: it does not.
    """
    encoder: TextEncoder | None = getattr(game.data, "encoder", None)
    if encoder is None or not encoder.matches:
        raise GanflowError("loss.match: the data's text encoder knows no pictures; use encoder matched, or match: 0")
    return encoder
