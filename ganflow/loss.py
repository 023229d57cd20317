"""Losses: what each player descends.

A loss gives, for either player, a dict of named scalar tensors; the player descends their sum, and each is logged by
its name. Labels: a high score means *real*; D(x) = sigmoid(score) is the probability that x is real. (The lecture
labels real 0 and fake 1, so its D is 1 − ours; the divergences are the same.)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from ganflow.errors import GanflowError

if TYPE_CHECKING:
    from ganflow.game import Game

Batch = dict[str, Tensor]
Terms = dict[str, Tensor]


class Loss(ABC):
    """What the players descend. `batch` holds the data's fields, shape (m, *shape) each, and the prior's draw `z`.

    Attributes:
        reads: the data's fields that it needs.
        generator_needs_data: whether the generator's step reads the data's fields. Where not (as in Algorithm 1 of
            WGAN), no real batch is drawn for it. Critic-free losses need them.
        mean_over_examples: whether every term is a mean over examples (those in `whole_batch` aside), and computing terms
            changes no state. Only then may a batch be cut, into micro-batches (`train.accumulate`) or between workers, and
            the average of the parts' gradients is the whole batch's. Each class says it for itself: it is not inherited.
        whole_batch: the terms that are no such means, and why, in half a sentence: {"kl": "free bits are …"}.

    A loss with state of its own (a replay pool, learnt weights) is also an nn.Module: its state is then part of every
    checkpoint, also where another loss holds it.
    """

    reads: tuple[str, ...] = ()
    generator_needs_data: bool = False
    mean_over_examples: bool = False

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "mean_over_examples" not in vars(cls):  # what a subclass changes may be no mean
            cls.mean_over_examples = False

    @property
    def whole_batch(self) -> Mapping[str, str]:
        return {}

    def critic_terms(self, game: Game, batch: Batch) -> Terms:
        """Named scalars whose sum the critic descends. Fakes carry no graph here."""
        raise NotImplementedError(f"{type(self).__name__} is for recipes without a critic")

    @abstractmethod
    def generator_terms(self, game: Game, batch: Batch) -> Terms:
        """Named scalars whose sum the generator descends. The critic's parameters are frozen here."""

    def estimates(self, means: dict[str, float]) -> dict[str, float]:
        """Quantities that follow from the terms' means ("critic/wasserstein", …) and are worth a curve of their own.
        Called when terms are reported, never inside a step."""
        return {}

    def check(self, game: Game) -> None:  # noqa: B027  (most losses take any)
        """Raise a GanflowError where the game's parts are not what this loss needs. Called before anything trains."""

    def prepare(self, game: Game, batch: Batch) -> None:  # noqa: B027  (most losses share nothing)
        """Put into the batch, with graph, what both players' steps on it can share (see train.one_batch)."""

    def sheet(self, game: Game, batch: Batch) -> dict[str, Tensor]:
        """Rows of pictures, (n, channels, height, width) each, that show held-out examples and what becomes of them, by
        name. None where samples from the prior are what is to be seen."""
        return {}


class ScoreLoss(Loss):
    """An adversarial loss that reads the critic's scores: two short formulas make a new one.

    `critic_loss` and `generator_loss` get the scores of real and generated examples, any shape, high = real.
    A relativistic loss, which compares with real scores in the generator's step too, sets `generator_needs_data`.

    Attributes:
        domains: what the critic tells real from generated in: one, without a name, unless a loss says otherwise, as
            CycleGAN does, whose critic judges two. Each has a term of its own.
    """

    reads: tuple[str, ...] = ("real",)
    domains: tuple[str, ...] = ("",)

    @abstractmethod
    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """The scalar that the critic descends, from scores of real and generated examples."""

    @abstractmethod
    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """The scalar that the generator descends; `real` scores are given where the loss `compares`."""

    @property
    def compares(self) -> bool:
        """Whether the generator's step scores real examples, too. Not what needs data for its inputs alone."""
        return self.generator_needs_data

    @property
    def name(self) -> str:
        """The terms' name in logs."""
        return type(self).__name__.lower()

    def generate(self, game: Game, batch: Batch, domain: str = "") -> Tensor:
        """Generated examples for this batch, with graph."""
        fake: Tensor = game.generator(batch["z"])
        return fake

    def generated(self, game: Game, batch: Batch, domain: str = "") -> Tensor:
        """Generated examples with graph, made once per batch and shared by all terms of the generator."""
        key = in_domain("generated", domain)
        if key not in batch:
            batch[key] = self.generate(game, batch, domain)
        return batch[key]

    def fakes(self, game: Game, batch: Batch, domain: str = "") -> Tensor:
        """Generated examples for a critic step: without graph, made once per batch and shared by all terms."""
        key, prepared = in_domain("fake", domain), in_domain("generated", domain)
        if key not in batch:
            with torch.no_grad():
                batch[key] = batch[prepared].detach() if prepared in batch else self.generate(game, batch, domain)
        return batch[key]

    def reals(self, batch: Batch, domain: str = "") -> Tensor:
        """The real examples of this batch; another field than "real" where a loss is conditional."""
        return batch["real"]

    def score(self, game: Game, x: Tensor, batch: Batch, domain: str = "") -> Tensor:
        """The critic's scores of x; single precision where the critic runs in half."""
        return self.judge(game, x)

    def judge(self, game: Game, *inputs: Any) -> Tensor:
        """What the critic gives for its inputs; single precision where it runs in half."""
        if game.critic is None:
            raise GanflowError(f"the loss '{self.name}' scores examples with a critic, and the recipe has none")
        scores: Tensor = game.critic(*inputs)
        return scores.float() if scores.dtype in (torch.bfloat16, torch.float16) else scores

    def prepare(self, game: Game, batch: Batch) -> None:
        for domain in self.domains:
            self.generated(game, batch, domain)

    def critic_terms(self, game: Game, batch: Batch) -> Terms:
        terms = {}
        for domain in self.domains:
            real, fake = self.score_both(game, self.reals(batch, domain), self.fakes(game, batch, domain), batch, domain)
            terms[in_domain(self.name, domain)] = self.over_scales(game, self.critic_loss, real, fake)
        return terms

    def generator_terms(self, game: Game, batch: Batch) -> Terms:
        terms = {}
        for domain in self.domains:
            fake = self.score(game, self.generated(game, batch, domain), batch, domain)
            real = self.score(game, self.reals(batch, domain), batch, domain).detach() if self.compares else None
            terms[in_domain(self.name, domain)] = self.over_scales(game, self.generator_loss, fake, real)
        return terms

    def over_scales(self, game: Game, formula: Callable[..., Tensor], *scores: Tensor | None) -> Tensor:
        """formula(*scores); the sum over the scales of a critic that judges at several and whose losses are summed (see
        `Game.summed_scales`): their scores lie along dimension 1."""
        if game.summed_scales == 1:
            return formula(*scores)
        each = [formula(*(s if s is None else s.select(1, i) for s in scores)) for i in range(game.summed_scales)]
        return torch.stack(each).sum(0)

    def score_both(self, game: Game, real: Tensor, fake: Tensor, batch: Batch, domain: str = "") -> tuple[Tensor, Tensor]:
        """Scores of real and fake examples, in one critic pass where the recipe says `train.one_pass`."""
        if not game.one_pass:
            return self.score(game, real, batch, domain), self.score(game, fake, batch, domain)
        scores = self.score(game, torch.cat((real, fake)), batch, domain)
        return scores[: len(real)], scores[len(real) :]


def in_domain(name: str, domain: str) -> str:
    """The name of a term, or of what a batch keeps, in one of a loss's domains."""
    return f"{name}_{domain}" if domain else name


class AddedTerms(Loss):
    """A loss with further terms: what a modifier around `loss` returns. Everything else is the wrapped loss's.

    `mean_over_examples` and `whole_batch` are about the further terms alone.
    """

    def __init__(self, loss: Loss) -> None:
        self.loss = loss
        self.reads, self.generator_needs_data = loss.reads, loss.generator_needs_data

    def __getattr__(self, name: str) -> Any:
        if name == "loss":  # not set yet, as while unpickling or copying
            raise AttributeError(name)
        return getattr(self.loss, name)

    def critic_terms(self, game: Game, batch: Batch) -> Terms:
        return _together(self.loss.critic_terms(game, batch), self.more_critic_terms(game, batch))

    def generator_terms(self, game: Game, batch: Batch) -> Terms:
        return _together(self.loss.generator_terms(game, batch), self.more_generator_terms(game, batch))

    def more_critic_terms(self, game: Game, batch: Batch) -> Terms:
        """Terms added to the critic's."""
        return {}

    def more_generator_terms(self, game: Game, batch: Batch) -> Terms:
        """Terms added to the generator's."""
        return {}

    def estimates(self, means: dict[str, float]) -> dict[str, float]:
        return self.loss.estimates(means)

    def check(self, game: Game) -> None:
        self.loss.check(game)

    def prepare(self, game: Game, batch: Batch) -> None:
        self.loss.prepare(game, batch)

    def sheet(self, game: Game, batch: Batch) -> dict[str, Tensor]:
        return self.loss.sheet(game, batch)


class SlopePenalty(AddedTerms):
    """A loss with the critic's term weight · E cost(∇f(x)) at some points x; f is the mean of an example's scores. Where the
    losses of a critic's scales are summed, each has its own f, and the term is the sum.

    Works with every loss that has ScoreLoss's `fakes` and `score`, under other modifiers' terms too.

    Args:
        allow_batch_norm: accept a critic with batch norm, where the slope at one example depends on the others.

    Attributes:
        term: the term's name in logs, which is also the modifier's.

    Raises:
        GanflowError: the loss has no critic's scores to penalise.
    """

    term: ClassVar[str]

    def __init__(self, loss: Loss, weight: float, allow_batch_norm: bool = False) -> None:
        super().__init__(loss)
        self.weight, self.allow_batch_norm = weight, allow_batch_norm
        if not (hasattr(loss, "fakes") and hasattr(loss, "score")):
            raise GanflowError(
                f"modifier '{self.term}' needs a loss that scores examples with a critic (a ScoreLoss); "
                f"{type(loss).__name__} does not: take the modifier out, or choose another loss"
            )

    def check(self, game: Game) -> None:
        super().check(game)
        if game.critic is not None and mixes_examples(game.critic) and not self.allow_batch_norm:
            raise GanflowError(
                f"modifier '{self.term}' takes the critic's slope at each example, and in a critic with batch norm that depends "
                "on the rest of the batch: give the critic `norm: layer`, `instance` or `none`, whichever it has (WGAN-GP took "
                f"layer norm), or write {{use: {self.term}, allow_batch_norm: true}}"
            )

    @abstractmethod
    def points(self, real: Tensor, fake: Tensor) -> Tensor:
        """Where the slope is taken, shape (n, *shape), given real and generated examples."""

    @abstractmethod
    def cost(self, slopes: Tensor) -> Tensor:
        """What the slopes, shape (n, values), cost: shape (n,)."""

    def more_critic_terms(self, game: Game, batch: Batch) -> Terms:
        terms = {}
        for domain in self.domains:
            x = self.points(self.reals(batch, domain), self.fakes(game, batch, domain)).detach().requires_grad_()
            scores = self.score(game, x, batch, domain)
            terms[in_domain(self.term, domain)] = self.weight * self.over_scales(game, lambda f, x=x: self._cost_at(x, f), scores)
        return terms


    def _cost_at(self, x: Tensor, scores: Tensor) -> Tensor:
        """E cost(∇f(x)) of the scores (n, …) that examples x (n, *shape) have."""
        per_example = scores.reshape(len(x), -1).mean(1)
        # Examples do not mix, so the gradient of the sum holds each one's own; the graph is kept for its derivatives.
        slopes: Tensor = torch.autograd.grad(per_example.sum(), x, create_graph=True)[0]
        return self.cost(slopes.flatten(1)).mean()


def mixes_examples(network: nn.Module) -> bool:
    """Whether an example's result depends on the rest of its batch: batch norm does that."""
    return any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules())


def _together(terms: Terms, more: Terms) -> Terms:
    for name in terms.keys() & more.keys():
        raise GanflowError(f"two terms of the loss are called '{name}': give the modifier only once")
    return {**terms, **more}
