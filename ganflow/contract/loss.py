"""Losses, added terms, and the report of what they were worth."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ganflow.contract.step import Step
from ganflow.errors import GanflowError

Batch = Mapping[str, Tensor]
Terms = dict[str, Tensor]


class AddedTerms:
    """Terms besides those of the loss: what a modifier's builder `terms` returns. A loss is of the same form.

    State is kept in buffers: an instance that is an nn.Module, or holds one, has it in every checkpoint. It is changed by
    `step.change`, `critic_stepped` or `generator_stepped`, so that micro-batches change it once. Among several workers it must be
    the same on all of them, which is compared, or its module says `per_rank = True` (a pool of earlier fakes): then a checkpoint
    holds every worker's.

    Attributes:
        every: the terms take part in one round of so many, so many times as heavy (lazy regularisation).
        begin, end: the rounds [begin, end) in which they take part; no end if None. `every` counts from `begin`.
    """

    every: int = 1
    begin: int = 0
    end: int | None = None

    def active(self, round: int) -> bool:
        """Return whether the terms are part of a round."""
        return round >= self.begin and (self.end is None or round < self.end) and (round - self.begin) % self.every == 0

    @property
    def whole_batch(self) -> Mapping[str, str]:
        """The terms that are no means over examples, and why, in half a sentence: {"kl": "free bits are …"}. Micro-batches and
        several workers are refused with them. All others are means: then the average of the parts' gradients is the whole's."""
        return {}

    def critic_terms(self, step: Step) -> Terms:
        """Named scalars whose sum the critic descends."""
        return {}

    def generator_terms(self, step: Step) -> Terms:
        """Named scalars whose sum the generator descends."""
        return {}

    def critic_stepped(self, values: Mapping[str, Tensor]) -> None:
        """Change state after the critic's step. `values`: the step's terms and logged numbers, averaged over micro-batches and
        workers. Torch operations on tensors only, no `.item()`."""

    def generator_stepped(self, values: Mapping[str, Tensor]) -> None:
        """The same after the generator's step."""

    def estimates(self, means: dict[str, float]) -> dict[str, float]:
        """Quantities that follow from the terms' means ("critic/wasserstein", …) and are worth a curve.
        Called when terms are reported, never inside a step."""
        return {}

    def check(self, game: Any) -> None:
        """Raise a GanflowError where the game's parts are not what is needed. Called before anything trains."""


class Loss(AddedTerms, ABC):
    """The players' objective. A gradient of each player's terms must arrive at that player: what trains nothing is refused.

    A critic-free loss has no `critic_terms`. `generate` says how examples are generated in training, where that is more than one
    call of a signature; `shown` what the critic gets to see of them.

    Attributes:
        row_by_row: an overridden `generate` makes each example from its row of the batch alone, so that the fakes of several
            critic steps may be made in one pass (`train.one_pass`).
    """

    row_by_row: bool = False

    @abstractmethod
    def generator_terms(self, step: Step) -> Terms:
        """Named scalars whose sum the generator descends."""

    def generate(self, step: Step, domain: str) -> Tensor:
        """Examples of a field, with graph."""
        return generated(step, domain)

    def shown(self, step: Step, domain: str, fake: Tensor) -> Tensor:
        """Examples that the critic's step sees for generated ones (which carry no graph): out of a pool of earlier ones, say."""
        return fake


class ScoreLoss(Loss):
    """An adversarial loss that reads the critic's scores: two short formulas make a new one, for any condition, in any number of
    domains, with a term in each.

    `critic_loss` and `generator_loss` get the scores of real and generated examples, any shape, high = real.

    Attributes:
        compares: the generator's step scores real examples, too, as a relativistic loss does.
    """

    compares: bool = False

    @abstractmethod
    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """The scalar that the critic descends, from scores of real and generated examples."""

    @abstractmethod
    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """The scalar that the generator descends; `real` scores are passed if the loss `compares`."""

    @property
    def name(self) -> str:
        """The terms' name in logs."""
        return type(self).__name__.lower()

    def estimate(self, critic: float) -> dict[str, float]:
        """Quantities that follow from the critic's term in a domain: see `estimates`."""
        return {}

    def estimates(self, means: dict[str, float]) -> dict[str, float]:
        critic = f"critic/{self.name}"
        found: dict[str, float] = {}
        for term, mean in means.items():
            if term == critic or term.startswith(f"{critic}_"):  # the domain's name behind it
                found |= {f"{name}{term.removeprefix(critic)}": value for name, value in self.estimate(mean).items()}
        return found

    def critic_terms(self, step: Step) -> Terms:
        return {step.named(self.name, domain): step.over(self.critic_loss, *step.scores(domain)) for domain in step.domains}

    def generator_terms(self, step: Step) -> Terms:
        terms = {}
        for domain in step.domains:
            fake = step.score(step.fake(domain), domain)
            real = detached(step.score(step.real(domain), domain)) if self.compares else None
            terms[step.named(self.name, domain)] = step.over(self.generator_loss, fake, real)
        return terms


class SlopePenalty(AddedTerms):
    """The critic's term weight · E cost(∇f(x)) at some points x; f is the mean of an example's scores. Of several named scores
    each has its f, and the term is their sum.

    Args:
        allow_batch_norm: accept a critic with batch norm, where the slope at one example depends on the others.

    Attributes:
        term: the term's name in logs, which is also the modifier's.
    """

    term: ClassVar[str]

    def __init__(self, weight: float, allow_batch_norm: bool = False) -> None:
        self.weight, self.allow_batch_norm = weight, allow_batch_norm

    def check(self, game: Any) -> None:
        if game.critic is None:
            raise GanflowError(f"modifier '{self.term}' works on a critic, and the recipe has none; take it out")
        if mixes_examples(game.critic) and not self.allow_batch_norm:
            raise GanflowError(
                f"modifier '{self.term}' takes the critic's slope at each example, and in a critic with batch norm that depends "
                "on the rest of the batch: give the critic `norm: layer`, `instance` or `none`, whichever it has (WGAN-GP took "
                f"layer norm), or write {{use: {self.term}, allow_batch_norm: true}}"
            )

    @abstractmethod
    def points(self, real: Tensor, fake: Tensor) -> Tensor:
        """Points of the slopes, shape (n, *shape), from real and generated examples."""

    @abstractmethod
    def cost(self, slopes: Tensor) -> Tensor:
        """The cost of slopes (n, values), shape (n,)."""

    def critic_terms(self, step: Step) -> Terms:
        terms = {}
        for domain in step.domains:
            x = self.points(step.real(domain), step.fake(domain)).detach().requires_grad_()
            at_x = lambda scores, x=x: self.cost(slopes(scores, x)).mean()  # noqa: E731
            terms[step.named(self.term, domain)] = self.weight * step.over(at_x, step.score(x, domain))
        return terms


def check_inner(loss: AddedTerms, key: str) -> None:
    """Check that a loss may be part of another one, which decides how examples are generated. `key` is for messages.

    Raises:
        GanflowError: it overrides how examples are generated.
    """
    if isinstance(loss, Loss) and (type(loss).generate, type(loss).shown) == (Loss.generate, Loss.shown):
        return
    raise GanflowError(
        f"{key}: {type(loss).__name__} does not follow from scores of real and generated examples "
        "alone: take minimax, non_saturating, lsgan, hinge, wasserstein, relativistic or another such loss"
    )


def slopes(scores: Tensor, x: Tensor) -> Tensor:
    """The gradient of each example's mean score (n, …) by the example x (n, *shape): shape (n, values), with graph."""
    per_example = scores.reshape(len(x), -1).mean(1)
    # Examples do not mix, so the gradient of the sum holds each one's own; the graph is kept for its derivatives.
    found: Tensor = torch.autograd.grad(per_example.sum(), x, create_graph=True)[0]
    return found.flatten(1)


def generated(step: Step, domain: str) -> Tensor:
    """Examples of a field by the signature that makes it, from the batch."""
    name = step.makers[domain]
    made: Tensor = step.call(name, *(step.batch[source] for source in step.signatures[name].inputs.values()))
    return made


def detached(scores: Any) -> Any:
    """Scores, or several by name, without their graph."""
    return scores.detach() if isinstance(scores, Tensor) else {name: t.detach() for name, t in scores.items()}


def mixes_examples(network: nn.Module) -> bool:
    """Return whether an example's result depends on the rest of its batch: batch norm does that."""
    return any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules())


SUMS = ("critic_loss", "generator_loss")
"""Sums of each player's terms, which it descends. Reported of every loss; pictures and tables show the terms."""


@dataclass
class Report:
    """Figures of the rounds since the last report.

    Attributes:
        round: rounds played so far.
        terms: means of the terms over the rounds since the last report in which they took part, "critic/wasserstein", …; the
            players' sums are "critic_loss" and "generator_loss".
        estimates: what the loss derives from them ("w_estimate").
        rates: learning rates, by part.
        rounds_per_second: since the last report.
        logged: what was added by `log`.
    """

    round: int
    terms: dict[str, float] = field(default_factory=dict)
    estimates: dict[str, float] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)
    rounds_per_second: float = 0.0
    logged: dict[str, float] = field(default_factory=dict)

    def log(self, name: str, value: float) -> None:
        """Report a further number, in `round_reported`: it gets a curve in the journal and in MLflow.

        Raises:
            ValueError: the name is in use.
        """
        if name in self.values:
            raise ValueError(f"'{name}' is reported already; use another name")
        self.logged[name] = float(value)

    @property
    def values(self) -> dict[str, float]:
        """Everything that gets a curve."""
        rates = {f"lr/{part}": rate for part, rate in self.rates.items()}
        return {**self.terms, **self.estimates, **rates, "rounds_per_second": self.rounds_per_second, **self.logged}
