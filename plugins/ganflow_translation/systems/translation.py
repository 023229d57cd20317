"""What the systems share: an adversarial loss that any loss from scores can be, and the sheet of translations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from ganflow import Batch, GanflowError, Loss, ScoreLoss, Terms, Translator, in_domain

if TYPE_CHECKING:
    from ganflow import Game


class TranslationLoss(nn.Module, ScoreLoss):
    """An adversarial loss whose formulas are another's.

    Args:
        adversarial: from whose formulas critic and generator play.
        critic_weight: factor on its critic's.

    Raises:
        GanflowError: it is not a plain loss from scores.
    """

    generator_needs_data = True

    def __init__(self, adversarial: Loss, critic_weight: float) -> None:
        super().__init__()
        if not isinstance(adversarial, ScoreLoss) or isinstance(adversarial, TranslationLoss):
            raise GanflowError(
                f"loss.adversarial: {type(adversarial).__name__} does not follow from scores of real and generated examples "
                "alone: take minimax, non_saturating, lsgan, hinge, wasserstein, relativistic or another such loss"
            )
        self.adversarial, self.critic_weight = adversarial, critic_weight

    @property
    def name(self) -> str:
        return self.adversarial.name

    @property
    def compares(self) -> bool:
        return self.adversarial.compares

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return self.critic_weight * self.adversarial.critic_loss(real, fake)

    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return self.adversarial.generator_loss(fake, real)

    def adversarial_terms(self, game: Game, batch: Batch) -> Terms:
        """The generator's adversarial term in each domain; none in a game without a critic, in which the other terms are left."""
        return ScoreLoss.generator_terms(self, game, batch) if game.critic is not None else {}

    def estimates(self, means: dict[str, float]) -> dict[str, float]:
        """The adversarial loss's own, in each domain."""
        found: dict[str, float] = {}
        for domain in self.domains:
            term = f"critic/{in_domain(self.name, domain)}"
            if term not in means:
                continue
            mean = means[term] / float(self.critic_weight)
            estimated = self.adversarial.estimates({f"critic/{self.name}": mean})
            found |= {in_domain(name, domain): value for name, value in estimated.items()}
        return found

    def sheet(self, game: Game, batch: Batch) -> dict[str, Tensor]:
        """For each way held-out examples, their translations, what comes back of these, and the truth where it is known."""
        translator: Any = game.generator
        assert isinstance(translator, Translator)
        rows: dict[str, Tensor] = {}
        for to, origin in translator.ways.items():
            rows[origin] = batch[origin]
            made = rows[f"{origin} to {to}"] = game.translate(batch[origin], to)
            if origin in translator.ways:
                rows[f"{origin} to {to} to {origin}"] = game.translate(made, origin)
            if game.data.aligned:
                rows[f"true {to}"] = batch[to]
        return rows


def distance(a: Tensor, b: Tensor) -> Tensor:
    """E|a − b|, the mean over pixels, channels and examples."""
    return (a - b).abs().mean()
