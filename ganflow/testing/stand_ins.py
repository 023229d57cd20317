"""Small parts that play the rest of a game while one component is tested."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import torch
from torch import Tensor, nn

from ganflow import hookimpl, settings
from ganflow.autoencoder import Gaussian, VariationalAutoencoder
from ganflow.data import Data, TensorData
from ganflow.loss import ScoreLoss
from ganflow.plugins import Chosen, Component
from ganflow.prior import Prior


def points() -> Data:
    """64 points in the plane, 32 held out."""
    return _data("points", (2,))


def images() -> Data:
    """64 images of 1 × 32 × 32 in [−1, 1], 32 held out."""
    return _data("images", (1, 32, 32))


def _data(name: str, shape: tuple[int, ...]) -> Data:
    numbers = torch.rand(96, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return TensorData(name, {"real": numbers[:64]}, {"real": numbers[64:]})


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

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake.mean() - real.mean()

    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -fake.mean()


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
    def generator(self, data: Data, prior: Prior) -> nn.Module:
        return SmallAutoencoder(data.shape, prod(prior.shape))


@settings
class StandInCritic:
    """One hidden layer."""

    @hookimpl
    def critic(self, data: Data) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(prod(data.shape), 16), nn.LeakyReLU(0.2), nn.Linear(16, 1), nn.Flatten(0))


@settings
class StandInLoss:
    """The difference of scores."""

    @hookimpl
    def loss(self) -> ScoreLoss:
        return ScoreDifference()


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


def stand_in(role: str) -> Chosen:
    """The stand-in for a role (there is none for data, which are given)."""
    return Chosen(Component(role, "stand_in", "testing", PARTS[role]), PARTS[role]())
