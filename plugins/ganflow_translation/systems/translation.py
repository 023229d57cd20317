"""Base of the systems: an adversarial loss that any loss can be, and translations by the generator's signatures."""

from __future__ import annotations

from torch import Tensor, nn

from ganflow import Game, GanflowError, Loss, Step, Terms, check_inner


class TranslationLoss(nn.Module, Loss):
    """An adversarial loss that is another's, the critic's part weighted.

    Args:
        adversarial: by which critic and generator play.
        critic_weight: factor on its critic's terms.

    Raises:
        GanflowError: it generates examples in a way of its own.
    """

    row_by_row = True

    def __init__(self, adversarial: Loss, critic_weight: float) -> None:
        super().__init__()
        check_inner(adversarial, "loss.adversarial")
        if isinstance(adversarial, TranslationLoss):
            name = type(adversarial).__name__
            raise GanflowError(f"loss.adversarial: {name} does not follow from scores alone: take the loss that it plays by")
        self.adversarial, self.critic_weight = adversarial, critic_weight

    @property
    def name(self) -> str:
        """Of the adversarial terms."""
        return getattr(self.adversarial, "name", "adversarial")

    def critic_terms(self, step: Step) -> Terms:
        return {name: self.critic_weight * term for name, term in self.adversarial.critic_terms(step).items()}

    def adversarial_terms(self, step: Step) -> Terms:
        """The generator's adversarial terms; none in a game without a critic, in which the other terms are left."""
        return self.adversarial.generator_terms(step) if step.judged else {}

    def estimates(self, means: dict[str, float]) -> dict[str, float]:
        """The adversarial loss's estimates."""
        weight = float(self.critic_weight)
        return self.adversarial.estimates(
            {name: mean / weight if name.startswith("critic/") else mean for name, mean in means.items()}
        )


def check_cycles(game: Game, loss: str) -> None:
    """See that the generator translates between two fields, there and back.

    Raises:
        GanflowError: it does not.
    """
    origins = {domain: origin_of(game, domain) for domain in game.domains}
    if len(origins) != 2 or any(origins.get(origin) != domain for domain, origin in origins.items()):
        fields = " and ".join(f"'{name}'" for name in game.data.fields)
        raise GanflowError(
            f"loss '{loss}' needs a generator that translates between two domains there and back; data '{game.data.name}' has "
            f"{fields}, of which this one makes {' and '.join(map(repr, game.domains))}: choose data with fields a and b "
            "(street, horses, unpaired_folder) and a translator, or another loss"
        )


def origin_of(game: Game | Step, domain: str) -> str:
    """The field from which a domain's examples are made."""
    return next(iter(game.signatures[game.makers[domain]].inputs.values()))


def translated(step: Step, x: Tensor, to: str) -> Tensor:
    """Images x as images of the domain `to`."""
    made: Tensor = step.call(step.makers[to], x)
    return made


def distance(a: Tensor, b: Tensor) -> Tensor:
    """E|a − b|, the mean over pixels, channels and examples."""
    return (a - b).abs().mean()
