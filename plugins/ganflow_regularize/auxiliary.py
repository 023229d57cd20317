"""An auxiliary classifier: the critic says which class it sees, and the generator makes it right."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy

from ganflow import AddedTerms, Game, GanflowError, Step, Terms

OUTPUT = "classes"


class AuxiliaryClassifier(AddedTerms):
    """Critic: weight · (−E log P(c | x) − E log P(c | G(z, c))). Generator: weight · −E log P(c | G(z, c)) (Odena et al. 2017,
    arXiv:1610.09585, eq. 3: L_C, which both players raise).

    Args:
        field: of classes.
        weight: of the terms.
        fakes: whether the critic learns from generated examples, too, as in the paper.
    """

    def __init__(self, field: str, weight: float, fakes: bool) -> None:
        self.field, self.weight, self.fakes = field, weight, fakes

    def check(self, game: Game) -> None:
        if OUTPUT not in game.auxiliary:
            raise GanflowError("modifier 'auxiliary_classifier' needs a critic that says which class it sees: set "
                               f"critic.classifier={self.field}")  # fmt: skip
        if self.field not in game.condition:
            raise GanflowError("modifier 'auxiliary_classifier' compares what the critic sees with what the generator was to "
                               f"make: set condition={self.field}")  # fmt: skip

    def cost(self, step: Step, x: Tensor) -> Tensor:
        """−E log P(c | x), in nats."""
        return cross_entropy(step.auxiliary(x, OUTPUT), step.batch[self.field])

    def critic_terms(self, step: Step) -> Terms:
        real, fake = step.real(), step.fake()
        step.scores()  # of both in one pass, where the recipe says so
        cost = self.cost(step, real)
        step.log("class_accuracy", (step.auxiliary(real, OUTPUT).argmax(1) == step.batch[self.field]).float().mean())
        return {"auxiliary_classifier": self.weight * (cost + self.cost(step, fake) if self.fakes else cost)}

    def generator_terms(self, step: Step) -> Terms:
        return {"auxiliary_classifier": self.weight * self.cost(step, step.fake())}
