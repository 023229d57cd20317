"""UNIT."""

from __future__ import annotations

from torch import Tensor

from ganflow import Game, GanflowError, Loss, Step, Terms
from ganflow_translation.systems.translation import TranslationLoss, check_cycles, distance, origin_of


class UNITLoss(TranslationLoss):
    """In each domain, x one of its images, z ~ N(E(x), 1) its code, x' its translation from z and z' ~ N(E(x'), 1) that one's
    code: the adversarial loss of x' against the other domain's images; and the generator descends the VAE's terms
    E|x − D(z)| and E(x)², and the cycle's, E|x − D(z')| and E(x')²."""

    def __init__(
        self, adversarial: Loss, gan: float, kl: float, reconstruction: float, cycle: float, critic_weight: float
    ) -> None:
        super().__init__(adversarial, critic_weight)
        self.gan, self.kl, self.reconstruction, self.cycle = gan, kl, reconstruction, cycle

    def check(self, game: Game) -> None:
        check_cycles(game, "unit")
        if "noisy" not in game.signatures:
            raise GanflowError("loss 'unit' needs a generator with codes that both domains share: use generator unit")

    def codes(self, step: Step, x: Tensor, domain: str) -> tuple[Tensor, Tensor]:
        """The mean of the codes of x, and one of them."""
        mean = step.call(f"encode_{domain}", x=x)
        return mean, step.call("noisy", code=mean)

    def code(self, step: Step, domain: str) -> tuple[Tensor, Tensor]:
        """The same of the batch's images, once per step: reconstruction and translation come from one code."""
        return step.once(f"code_{domain}", lambda: self.codes(step, step.real(domain), domain))

    def generate(self, step: Step, domain: str) -> Tensor:
        _, code = self.code(step, origin_of(step, domain))
        fake: Tensor = step.call(f"decode_{domain}", code=code)
        return fake

    def generator_terms(self, step: Step) -> Terms:
        terms = {name: self.gan * term for name, term in self.adversarial_terms(step).items()}
        for to in step.domains:
            origin = origin_of(step, to)
            x = step.real(origin)
            mean, code = self.code(step, origin)
            back_mean, back_code = self.codes(step, step.fake(to), to)
            terms[f"reconstruction_{origin}"] = self.reconstruction * distance(step.call(f"decode_{origin}", code=code), x)
            terms[f"cycle_{origin}"] = self.cycle * distance(step.call(f"decode_{origin}", code=back_code), x)
            terms[f"kl_{origin}"] = self.kl * mean.square().mean()
            terms[f"kl_cycle_{origin}"] = self.kl * back_mean.square().mean()
        return terms
