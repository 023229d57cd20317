"""Small data and parts that play the rest of a game while one component is tested."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ganflow.contract.data import Data, Field, Prior, TensorData
from ganflow.contract.hooks import hookimpl
from ganflow.contract.loss import ScoreLoss
from ganflow.contract.optim import Elementwise
from ganflow.contract.settings import settings
from ganflow.contract.signature import Signature
from ganflow.plugins import Chosen, Component

CLASSES = ("circle", "square", "triangle")


@dataclass(frozen=True)
class Example:
    """Data, and the fields of them that generator and critic get besides."""

    data: Data
    condition: tuple[str, ...] = ()

    @property
    def domains(self) -> tuple[str, ...]:
        """The fields that are generated."""
        names = tuple(self.data.fields)
        return ("target",) if set(names) == {"source", "target"} else names if set(names) == {"a", "b"} else names[:1]

    def __str__(self) -> str:
        return f"{self.data.name} (condition: {', '.join(self.condition)})" if self.condition else self.data.name


def example(data: Data) -> Example:
    """Data under the condition that a recipe with them is most likely to have."""
    classes = [name for name, field in data.fields.items() if field.classes]
    usual = {"source": "target" in data.fields, "text": True}
    return Example(data, tuple(name for name in data.fields if usual.get(name)) or tuple(classes[:1]))


def examples() -> list[Example]:
    """All that is tried."""
    return [example(make()) for make in (points, images, classed, captioned, pairs, two_domains)]


def points() -> TensorData:
    """64 points in the plane, 32 held out."""
    return _data("points", {"real": _numbers(2)})


def images() -> TensorData:
    """64 images of 1 × 32 × 32 in [−1, 1], 32 held out."""
    return _data("images", {"real": _numbers(1, 32, 32)})


def classed() -> TensorData:
    """The same images, each of one of three classes."""
    return _data("images with classes", {"real": _numbers(1, 32, 32), "label": torch.arange(96) % 3}, classes={"label": CLASSES})


def captioned() -> TensorData:
    """Images of 3 × 32 × 32 with a sentence's vector of 12 numbers each."""
    text = torch.randn(96, 12, generator=torch.Generator().manual_seed(1))
    return _data("captioned images", {"real": _coloured(), "text": text})


def pairs() -> TensorData:
    """Pairs of images of 3 × 32 × 32."""
    return _data("pairs of images", {"source": _coloured(), "target": -_coloured()})


def two_domains() -> TensorData:
    """Images of 3 × 32 × 32 in two domains, which do not belong together."""
    return _data("two domains of images", {"a": _coloured(), "b": -_coloured()}, paired=False)


def _data(name: str, fields: Mapping[str, Tensor], **more: Any) -> TensorData:
    return TensorData(name, {key: t[:64] for key, t in fields.items()}, {key: t[64:] for key, t in fields.items()}, **more)


def _numbers(*shape: int) -> Tensor:
    return torch.rand(96, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def _coloured() -> Tensor:
    return _numbers(1, 32, 32) * torch.tensor([1.0, 0.5, -1.0]).view(3, 1, 1)


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
    """The critic raises real scores and lowers generated ones, the generator raises those of its examples."""

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake.mean() - real.mean()

    def generator_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -fake.mean()


class Beside(nn.Module):
    """Numbers (n, width) of fields beside each other: classes one-hot, anything else flattened."""

    def __init__(self, fields: Mapping[str, Field]) -> None:
        super().__init__()
        self.classes = {name: len(field.classes) for name, field in fields.items()}
        self.width = sum(len(field.classes) or prod(field.shape) for field in fields.values())

    def forward(self, x: Tensor, condition: Mapping[str, Tensor]) -> Tensor:
        parts = [x.flatten(1)]
        for name, count in self.classes.items():
            t = condition[name]
            parts.append((t[:, None] == torch.arange(count, device=t.device)).to(x.dtype) if count else t.flatten(1))
        return torch.cat(parts, 1)


class PlainGenerator(nn.Module):
    """One hidden layer from z and any condition to examples in [−1, 1]."""

    def __init__(self, shape: tuple[int, ...], dim: int, condition: Mapping[str, Field]) -> None:
        super().__init__()
        self.beside, self.shape = Beside(condition), shape
        self.layers = nn.Sequential(nn.Linear(dim + self.beside.width, 16), nn.ReLU(), nn.Linear(16, prod(shape)), nn.Tanh())

    def forward(self, z: Tensor, **condition: Tensor) -> Tensor:
        made: Tensor = self.layers(self.beside(z, condition)).unflatten(1, self.shape)
        return made


class Recolouring(nn.Module):
    """A translator with signatures: a 1 × 1 convolution each way."""

    def __init__(self, ways: Mapping[str, str], fields: Mapping[str, Field]) -> None:
        super().__init__()
        self.signatures = {f"to_{to}": Signature({"x": origin}, to, constants={"to": to}) for to, origin in ways.items()}
        self.layers = nn.ModuleDict({to: nn.Conv2d(fields[by].shape[0], fields[to].shape[0], 1) for to, by in ways.items()})

    def forward(self, x: Tensor, to: str) -> Tensor:
        made: Tensor = self.layers[to](x).tanh()
        return made


class PlainCritic(nn.Module):
    """One hidden layer from examples, and any condition, to outputs.

    Args:
        outputs: name → how many numbers; several are a mapping.
        auxiliary: those that are no scores.
    """

    def __init__(
        self, shape: tuple[int, ...], condition: Mapping[str, Field], outputs: Mapping[str, int], auxiliary: tuple[str, ...] = ()
    ) -> None:
        super().__init__()
        self.beside, self.auxiliary = Beside(condition), auxiliary
        self.hidden = nn.Linear(prod(shape) + self.beside.width, 16)
        self.outputs = nn.ModuleDict({name: nn.Linear(16, numbers) for name, numbers in outputs.items()})

    def forward(self, x: Tensor, domain: str = "", **condition: Tensor) -> Any:
        hidden = nn.functional.leaky_relu(self.hidden(self.beside(x, condition)), 0.2)
        made = {name: layer(hidden).squeeze(1) for name, layer in self.outputs.items()}
        return made if len(made) > 1 else next(iter(made.values()))


class Descent(Elementwise):
    """Gradient descent in small steps, however steep it is."""

    def update(self, p: Tensor, grad: Tensor, state: dict[str, Tensor], rule: dict[str, Any]) -> None:
        p.sub_(grad.clamp(-1, 1) * rule["lr"])


@settings
class StandInPrior:
    """Eight standard normals."""

    dim: int = 8

    @hookimpl
    def prior(self) -> Prior:
        return NormalPrior(self.dim)


@settings
class StandInGenerator:
    """One hidden layer; for pairs and two domains a convolution each way."""

    @hookimpl
    def generator(self, data: Data, prior: Prior, condition: tuple[str, ...]) -> nn.Module:
        here = Example(data, condition)
        if here.domains != tuple(data.fields)[:1]:
            origins = {name: next(other for other in data.fields if other != name) for name in here.domains}
            return Recolouring(origins, data.fields)
        return PlainGenerator(data.shape, prod(prior.shape), {name: data.fields[name] for name in condition})


@settings
class StandInCritic:
    """One hidden layer. Of two domains it gives two scores by name, and of images with classes their logits beside a score."""

    @hookimpl
    def critic(self, data: Data, condition: tuple[str, ...]) -> nn.Module:
        domains, classes = Example(data, condition).domains, data.fields.get("label")
        outputs = {"fine": 1, "coarse": 1} if len(domains) > 1 else {"score": 1}
        if classes is not None and classes.classes:
            outputs["classes"] = len(classes.classes)
        fields = {name: data.fields[name] for name in condition}
        return PlainCritic(data.fields[domains[0]].shape, fields, outputs, ("classes",) if "classes" in outputs else ())


@settings
class StandInLoss:
    """The difference of scores."""

    @hookimpl
    def loss(self) -> ScoreLoss:
        return ScoreDifference()


@settings
class StandInOptimizer:
    """Gradient descent."""

    elementwise: ClassVar[bool] = True

    @hookimpl
    def optimizer(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return Descent(parameters, lr=0.01)


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
    """The stand-in for a role that has one."""
    return Chosen(Component(role, "stand_in", "testing", PARTS[role]), PARTS[role]())
