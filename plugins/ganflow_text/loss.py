"""StackGAN's loss: an adversarial one that also knows pictures with the wrong sentence."""

from __future__ import annotations

from torch import Tensor

from ganflow import Game, GanflowError, ScoreLoss, Step, Terms, TextEncoder, check_inner

TEXT = "text"


class StackGANLoss(ScoreLoss):
    """Critic: (1 − m) · L(real, fake) + m · L(real, wrong), of scores of real pictures with their sentences, generated ones with
    theirs, and real ones with the next example's; with m = ½ it is real + ½ (wrong + fake).
    Generator: its adversarial term + kl · KL(N(μ, σ²) ‖ N(0, 1)) + match · the text encoder's own loss on generated pictures.

    Args:
        adversarial: how scores are judged.
        mismatch: m.
        kl, match: weights.
        encoder: of the data; None where a run is only drawn from.
    """

    def __init__(
        self, adversarial: ScoreLoss, mismatch: float, kl: float, match: float, encoder: TextEncoder | None = None
    ) -> None:
        check_inner(adversarial, "loss.adversarial")
        if not isinstance(adversarial, ScoreLoss):
            raise GanflowError(f"loss.adversarial: {type(adversarial).__name__} does not judge scores; use non_saturating, hinge "
                               "or another such loss")  # fmt: skip
        self.adversarial, self.mismatch, self.kl, self.match, self.encoder = adversarial, mismatch, kl, match, encoder

    @property
    def name(self) -> str:
        return self.adversarial.name

    @property
    def whole_batch(self) -> dict[str, str]:
        why = {
            "mismatch": "a picture's wrong sentence is the next example's",
            "match": "the text encoder's loss sets every picture against all sentences of the batch",
        }
        return {name: text for name, text in why.items() if getattr(self, name)}

    def check(self, game: Game) -> None:
        if TEXT not in game.signatures[game.makers[game.domains[0]]].inputs.values():
            raise GanflowError("loss 'stackgan' conditions the generator on sentences, and this recipe's takes none; use "
                               "generator stackgan_stage1, and data with captions")  # fmt: skip
        if self.match and self.encoder is not None and not self.encoder.matches:
            raise GanflowError("loss.match: the data's text encoder knows no pictures; use encoder matched, or match: 0")

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return self.adversarial.critic_loss(real, fake)

    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return self.adversarial.generator_loss(fake, real)

    def critic_terms(self, step: Step) -> Terms:
        real, fake = step.scores()
        terms = {self.name: (1 - self.mismatch) * step.over(self.critic_loss, real, fake)}
        if self.mismatch:
            wrong = step.score(step.real(), text=step.batch[TEXT].roll(1, 0))
            terms["mismatch"] = self.mismatch * step.over(self.critic_loss, real, wrong)
        return terms

    def generator_terms(self, step: Step) -> Terms:
        terms = self.adversarial.generator_terms(step)
        if "divergence" in step.signatures:
            terms["kl"] = self.kl * step.call("divergence", text=step.batch[TEXT])
        if self.match and self.encoder is not None:
            terms["match"] = self.match * self.encoder.match(step.fake(), step.batch[TEXT])
        return terms
