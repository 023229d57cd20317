"""UNIT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from ganflow import UNPAIRED, Batch, GanflowError, Loss, Terms, in_domain
from ganflow_translation.systems.translation import TranslationLoss, distance

if TYPE_CHECKING:
    from ganflow import Game


class UNITLoss(TranslationLoss):
    """In each domain, x one of its images, z ~ N(E(x), 1) its code, x' its translation from z and z' ~ N(E(x'), 1) that one's
    code: the adversarial loss of x' against the other domain's images; and the generator descends the VAE's terms
    E|x − D(z)| and E(x)², and the cycle's, E|x − D(z')| and E(x')²."""

    reads = ("a", "b")
    domains = ("b", "a")
    mean_over_examples = True

    def __init__(
        self, adversarial: Loss, gan: float, kl: float, reconstruction: float, cycle: float, critic_weight: float
    ) -> None:
        super().__init__(adversarial, critic_weight)
        self.gan, self.kl, self.reconstruction, self.cycle = gan, kl, reconstruction, cycle

    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return self.gan * self.adversarial.generator_loss(fake, real)

    def codes(self, game: Game, x: Tensor, domain: str) -> tuple[Tensor, Tensor]:
        """The mean of the codes of x, and one of them."""
        network: Any = game.generator
        if not hasattr(network, "noisy"):
            raise GanflowError("loss 'unit' needs a generator with codes that both domains share: use generator unit")
        mean = network.encode(x, domain)
        return mean, network.noisy(mean)

    def code(self, game: Game, batch: Batch, domain: str) -> tuple[Tensor, Tensor]:
        """The same of the batch's images, once per batch: reconstruction and translation come from one code."""
        mean, code = in_domain("mean", domain), in_domain("code", domain)
        if code not in batch:
            batch[mean], batch[code] = self.codes(game, batch[domain], domain)
        return batch[mean], batch[code]

    def generate(self, game: Game, batch: Batch, domain: str = "") -> Tensor:
        _, code = self.code(game, batch, UNPAIRED[domain])
        network: Any = game.generator
        fake: Tensor = network.decode(code, domain)
        return fake

    def reals(self, batch: Batch, domain: str = "") -> Tensor:
        return batch[domain]

    def score(self, game: Game, x: Tensor, batch: Batch, domain: str = "") -> Tensor:
        return self.judge(game, x, domain)

    def generator_terms(self, game: Game, batch: Batch) -> Terms:
        terms, network = self.adversarial_terms(game, batch), game.generator
        for to, own in UNPAIRED.items():
            x = batch[own]
            mean, code = self.code(game, batch, own)
            back_mean, back_code = self.codes(game, self.generated(game, batch, to), to)
            terms[f"reconstruction_{own}"] = self.reconstruction * distance(network.decode(code, own), x)  # type: ignore[operator]
            terms[f"cycle_{own}"] = self.cycle * distance(network.decode(back_code, own), x)  # type: ignore[operator]
            terms[f"kl_{own}"] = self.kl * mean.square().mean()
            terms[f"kl_cycle_{own}"] = self.kl * back_mean.square().mean()
        return terms
