"""The game as plugins see it, and metrics, which score one."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

if TYPE_CHECKING:  # `ganflow runs show` reads scores, and needs no torch
    import torch
    from torch import Tensor, nn

    from ganflow.contract.data import Data, Prior
    from ganflow.contract.loss import AddedTerms, Loss
    from ganflow.contract.signature import Signature


class Game(Protocol):
    """Two players, what they descend, and whatever else has state.

    Attributes:
        data, prior: what the game is played on; `prior` is None where nothing is drawn.
        generator, critic: the networks, in training; `critic` is None in critic-free recipes.
        condition: the data's fields that generator and critic get besides.
        domains: the fields that are generated; mostly one.
        signatures: of the generator, by name.
        makers: domain → the signature by which it is generated.
        round: rounds played, a 0-dim int64 tensor.
        auxiliary: the critic's outputs that are no scores.
    """

    data: Data
    prior: Prior | None
    generator: nn.Module
    critic: nn.Module | None
    condition: tuple[str, ...]
    domains: tuple[str, ...]
    signatures: dict[str, Signature]
    makers: dict[str, str]
    round: Tensor
    auxiliary: frozenset[str]

    @property
    def extras(self) -> nn.ModuleDict:
        """Modules with state besides the networks, by key: what `game_built` puts here is in every checkpoint."""

    @property
    def maker(self) -> str:
        """The signature by which the first domain is generated."""

    @property
    def loss(self) -> Loss:
        """The recipe's loss."""

    @property
    def parts(self) -> Sequence[AddedTerms]:
        """The loss, and what modifiers add to it."""

    @property
    def averaged(self) -> nn.Module:
        """The generator's moving average where the recipe keeps one, else the generator."""

    @property
    def device(self) -> torch.device:
        """The generator's device."""

    def parameters_of(self, player: str) -> list[nn.Parameter]:
        """All parameters of "generator" or "critic", as few tensors as possible; in a run that trains."""

    def latents(self, n: int, seed: int = 0) -> Tensor:
        """n draws from the prior, (n, *prior.shape), on the CPU: none that the run trains on.

        Raises:
            ValueError: there is no prior.
        """

    def samples(self, n: int, seed: int = 0) -> Tensor:
        """n generated examples of the first domain on the CPU, float32, (n, *shape), under conditions as of `conditions`."""

    def conditions(self, n: int, seed: int = 0, balanced: bool = False) -> dict[str, Any]:
        """Conditions of n samples, by the argument of `maker`: classes as often as the training examples have them, or all
        equally often (`balanced`); anything else of held-out examples.

        Raises:
            GanflowError: there are no held-out examples.
        """

    def call(self, name: str, *first: Tensor, seed: int = 0, batch: int = 256, **inputs: Any) -> Tensor:
        """Call the averaged generator by one of its signatures, in evaluation mode, `batch` examples at a time. The output is on
        the CPU in float32. Inputs, (n, …) each, are passed by position or by name. Torch's random numbers stay untouched.

        Raises:
            ValueError: there is no such signature, or images are too small for it.
        """

    def step(self, player: Any, batch: Mapping[str, Tensor]) -> Any:
        """A ganflow.Step of "critic" or "generator" on a batch, outside a round: for further terms and for tests."""


ERROR, FLOOR, FLOOR_ERROR = "_error", "_floor", "_floor_error"
"""Endings of the names under which a metric reports the standard error of a score, its floor, and that one's error."""


class Metric(ABC):
    """A score of the generator. The best checkpoint is chosen by the first score of the recipe's first metric.

    Attributes:
        goal: "min" if lower first scores are better, or "max".
        names: the scores' names, in `evaluate`'s order, so that a sweep knows them before anything is trained. Left empty,
            the untrained generator is evaluated once.
        protocol: how the scores are computed, as plain data: counts, seeds, what is compared with what, an extractor and its
            digest. It is kept with the scores; those of other protocols are not compared with them. `floor` says how the floor
            was found, on which no score depends.
    """

    goal: ClassVar[Literal["min", "max"]] = "min"
    names: Sequence[str] = ()
    protocol: Mapping[str, Any] = MappingProxyType({})

    def check(self, game: Game) -> None:  # noqa: B027  (most suit every game whose data they suit)
        """Called when the game is built, before anything is trained: raise GanflowError where it cannot be scored."""

    @abstractmethod
    def evaluate(self, game: Game) -> dict[str, float]:
        """Named scores, the most telling one first. `game.samples(n, seed)` draws generated examples (CPU, float32) with
        the averaged generator where there is one. The generators of torch, NumPy and Python begin at the same seed whenever a
        metric is evaluated, and training's numbers are untouched. A score's name says its
        protocol where that matters: "frechet_2048" for 2048 samples. Where an earlier metric of the recipe calls a score
        alike, this one's is reported as "frechet_2048_2". The standard error of a score NAME, over repeats, is called NAME_error,
        NAME_floor is what as many real examples score against other real ones, NAME_floor_error the standard error of that:
        they are shown beside it."""


class Scores:
    """A recipe's metrics together, with unique names of scores. Where several metrics call a score alike, it keeps its name in
    the first of them, and is called NAME_2, NAME_3, … in the others, in the recipe's order."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self.metrics = list(metrics)
        self._names: dict[tuple[int, str], str] = {}  # what a metric (by its index) calls a score → its name

    def evaluate(self, score: Callable[[Metric], dict[str, float]]) -> list[dict[str, float]]:
        """Each metric's scores by their names; `score` calls the metric."""
        found = [score(metric) for metric in self.metrics]
        return [self.named(i, scores) for i, scores in enumerate(found)]

    def named(self, i: int, scores: Mapping[str, float]) -> dict[str, float]:
        """Scores of the i-th metric by their names here."""
        return {self._name(i, name): score for name, score in scores.items()}

    def names(self, game: Callable[[], Game]) -> list[list[str]]:
        """The names of each metric's scores. A metric that does not say them beforehand scores the game that `game()` makes."""
        found = [metric.names or list(metric.evaluate(game())) for metric in self.metrics]
        return [[self._name(i, name) for name in names] for i, names in enumerate(found)]

    @property
    def renamed(self) -> list[str]:
        """A sentence for every score that is not called as its metric calls it."""
        return [
            f"metrics[{i}] calls a score '{name}' as another metric does; here it is '{new}'"
            for (i, name), new in self._names.items()
            if new != name
        ]

    def _name(self, i: int, name: str) -> str:
        endings = (FLOOR_ERROR, ERROR, FLOOR)  # the longest first
        base = next((name.removesuffix(ending) for ending in endings if name.endswith(ending)), "")
        if (i, base) in self._names:  # goes with its score
            return self._names[i, base] + name.removeprefix(base)
        if (i, name) not in self._names:
            numbered = (f"{name}_{n}" for n in itertools.count(2))
            self._names[i, name] = next(new for new in itertools.chain([name], numbered) if new not in self._names.values())
        return self._names[i, name]
