"""Small parts that play the rest of a game while one component is tested."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ganflow.autoencoder import Gaussian, VariationalAutoencoder
from ganflow.conditional import Conditional
from ganflow.data import Data, Field, TensorData
from ganflow.hookspecs import hookimpl
from ganflow.loss import Batch, ScoreLoss
from ganflow.plugins import Chosen, Component
from ganflow.prior import Prior
from ganflow.settings import settings
from ganflow.translator import PAIRED, UNPAIRED, Translator, ways_of

if TYPE_CHECKING:
    from ganflow.game import Game


def points() -> Data:
    """64 points in the plane, 32 held out."""
    return _data("points", (2,))


def images() -> Data:
    """64 images of 1 × 32 × 32 in [−1, 1], 32 held out."""
    return _data("images", (1, 32, 32))


def _data(name: str, shape: tuple[int, ...]) -> Data:
    numbers = torch.rand(96, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return TensorData(name, {"real": numbers[:64]}, {"real": numbers[64:]})


def translations() -> list[Data]:
    """The same, in pairs, and in two domains that do not belong together."""
    numbers = images().train["real"]  # type: ignore[attr-defined]
    both = numbers.expand(-1, 3, -1, -1) * torch.tensor([1.0, 0.5, -1.0]).view(3, 1, 1)
    made: list[Data] = []
    for name, fields in (("pairs of images", ("source", "target")), ("two domains of images", ("a", "b"))):
        parts = dict(zip(fields, (both, -both), strict=True))
        train, held_out = ({key: part[s] for key, part in parts.items()} for s in (slice(32), slice(32, 64)))
        made.append(TensorData(name, train, held_out, paired=fields[0] == "source"))
    return made


def captioned() -> Data:
    """Images (3, 32, 32) with a sentence's vector of 12 numbers each."""
    pairs, _ = translations()
    text = torch.randn(64, 12, generator=torch.Generator().manual_seed(1))
    train, held_out = pairs.train["source"], pairs.held_out["source"]  # type: ignore[attr-defined]
    return TensorData("captioned images", {"real": train, "text": text[:32]}, {"real": held_out, "text": text[32:]})


class NormalPrior(Prior):
    """Independent standard normals."""

    def __init__(self, dim: int) -> None:
        self.shape = (dim,)

    def sample(self, *lead: int, generator: torch.Generator | None = None, device: torch.device | str = "cpu") -> Tensor:
        return torch.randn(*lead, *self.shape, generator=generator, device=device)

    def between(self, a: Tensor, b: Tensor, t: Tensor) -> Tensor:
        angle = t[:, None] * torch.pi / 2
        return angle.cos() * a + angle.sin() * b


class ScoreDifference(ScoreLoss):
    """The critic raises real scores and lowers generated ones, the generator raises its own."""

    mean_over_examples = True

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake.mean() - real.mean()

    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -fake.mean()


class Recolouring(Translator):
    """A 1 × 1 convolution each way."""

    def __init__(self, ways: Mapping[str, str], fields: Mapping[str, Field]) -> None:
        super().__init__()
        self.ways = dict(ways)
        self.layers = nn.ModuleDict({to: nn.Conv2d(fields[by].shape[0], fields[to].shape[0], 1) for to, by in ways.items()})

    def forward(self, x: Tensor, to: str) -> Tensor:
        made: Tensor = self.layers[to](x).tanh()
        return made


class ScoresEachWay(ScoreDifference):
    """The same for translations: of pairs, whose critic sees both images, or in two domains."""

    mean_over_examples = True
    generator_needs_data = True

    def __init__(self, ways: Mapping[str, str]) -> None:
        self.ways = ways
        self.reads = tuple(sorted({*ways, *ways.values()}))
        self.domains = tuple(ways)

    def generate(self, game: Game, batch: Batch, domain: str = "") -> Tensor:
        fake: Tensor = game.generator(batch[self.ways[domain]], domain)
        return fake

    def reals(self, batch: Batch, domain: str = "") -> Tensor:
        return batch[domain]

    def score(self, game: Game, x: Tensor, batch: Batch, domain: str = "") -> Tensor:
        return self.judge(game, *judged(self.ways, x, batch, domain))


class ScoresWhatIsTold(ScoreDifference):
    """The same for a generator and a critic that are given a sentence's vector, too."""

    mean_over_examples = True
    reads = ("real", "text")
    generator_needs_data = True

    def generate(self, game: Game, batch: Batch, domain: str = "") -> Tensor:
        fake: Tensor = game.generator(batch["z"], batch["text"])
        return fake

    def score(self, game: Game, x: Tensor, batch: Batch, domain: str = "") -> Tensor:
        return self.judge(game, x, batch["text"])


class Told(Conditional):
    """One hidden layer from z and a condition to examples in [−1, 1]."""

    def __init__(self, shape: tuple[int, ...], dim: int, told: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(dim + told, 16), nn.ReLU(), nn.Linear(16, prod(shape)), nn.Tanh())
        self.shape = shape

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        made: Tensor = self.layers(torch.cat((z, condition), 1)).reshape(-1, *self.shape)
        return made


def judged(ways: Mapping[str, str], x: Tensor, batch: Batch, domain: str) -> tuple[Any, ...]:
    """What a critic of translations is given: source and target together, or an image and its domain."""
    return (x, domain) if len(ways) > 1 else (torch.cat((batch[ways[domain]], x), 1),)


@settings
class StandInPrior:
    """Eight standard normals."""

    dim: int = 8

    @hookimpl
    def prior(self) -> Prior:
        return NormalPrior(self.dim)


class SmallAutoencoder(VariationalAutoencoder):
    """One hidden layer from codes to examples in [−1, 1], and one layer from examples to codes, for losses that want it."""

    def __init__(self, shape: tuple[int, ...], dim: int) -> None:
        super().__init__()
        self.decoder = nn.Sequential(nn.Linear(dim, 16), nn.ReLU(), nn.Linear(16, prod(shape)), nn.Tanh(), nn.Unflatten(1, shape))
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), 2 * dim))

    def forward(self, z: Tensor) -> Tensor:
        made: Tensor = self.decoder(z)
        return made

    def posterior(self, x: Tensor) -> Gaussian:
        return Gaussian(*self.encoder(x).chunk(2, dim=1))


@settings
class StandInGenerator:
    """One hidden layer, with an encoder."""

    @hookimpl
    def generator(self, data: Data, prior: Prior | None) -> nn.Module:
        if prior is None:
            return Recolouring(ways_of(data.fields) or {}, data.fields)
        if is_told(data):
            return Told(data.shape, prod(prior.shape), prod(data.fields["text"].shape))
        return SmallAutoencoder(data.shape, prod(prior.shape))


@settings
class StandInCritic:
    """One hidden layer."""

    @hookimpl
    def critic(self, data: Data) -> nn.Module:
        if ways_of(data.fields) or is_told(data):
            return SumOfScores()
        return nn.Sequential(nn.Flatten(), nn.Linear(prod(data.shape), 16), nn.LeakyReLU(0.2), nn.Linear(16, 1), nn.Flatten(0))


class SumOfScores(nn.Module):
    """A weight times the mean of the pixels, whatever the domain or the condition."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor, besides: Any = None) -> Tensor:
        return self.weight * x.flatten(1).mean(1)


@settings
class StandInLoss:
    """The difference of scores."""

    @hookimpl
    def loss(self) -> ScoreLoss:
        return ScoreDifference()


@settings
class StandInPairedLoss:
    """The difference of scores of pairs."""

    @hookimpl
    def loss(self) -> ScoreLoss:
        return ScoresEachWay(PAIRED)


@settings
class StandInUnpairedLoss:
    """The difference of scores in two domains."""

    @hookimpl
    def loss(self) -> ScoreLoss:
        return ScoresEachWay(UNPAIRED)


@settings
class StandInToldLoss:
    """The difference of scores of captioned images."""

    @hookimpl
    def loss(self) -> ScoreLoss:
        return ScoresWhatIsTold()


@settings
class StandInOptimizer:
    """Gradient descent."""

    elementwise = True

    @hookimpl
    def optimizer(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=0.01)


@settings
class StandInSchedule:
    """No schedule."""

    @hookimpl
    def schedule(self, rounds: int) -> Callable[[int], float]:
        return lambda round: 1.0


PARTS: dict[str, type] = {
    "prior": StandInPrior,
    "generator": StandInGenerator,
    "critic": StandInCritic,
    "loss": StandInLoss,
    "optimizer": StandInOptimizer,
    "schedule": StandInSchedule,
}


def is_told(data: Data) -> bool:
    """Whether the examples come with captions."""
    return "text" in data.fields


def stand_in(role: str, ways: Mapping[str, str] | None = None, told: bool = False) -> Chosen:
    """The stand-in for a role (there is none for data, which are given), in a game of these translations if any, or of captioned
    images."""
    part = PARTS[role]
    if role == "loss" and told:
        part = StandInToldLoss
    if role == "loss" and ways:
        part = StandInPairedLoss if ways == PAIRED else StandInUnpairedLoss
    return Chosen(Component(role, "stand_in", "testing", part), part())
