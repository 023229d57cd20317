"""Domains: values to try for a key of the recipe."""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, ClassVar

from ganflow.errors import did_you_mean
from ganflow.recipe.yaml import to_flow

_SIGMAS = 3.0
_TAIL = NormalDist().cdf(-_SIGMAS)
_FEW = 8  # so many integers are tried one by one


class Domain(ABC):
    """The values that a key can have in a sweep.

    Attributes:
        form: as it is written, for messages.
        ordered: neighbours on the scale resemble each other.
        size: how many values there are; None for an interval, whose scale goes from 0 to 1.
    """

    form: ClassVar[str]
    ordered: ClassVar[bool] = True
    size: int | None = None

    @abstractmethod
    def at(self, position: float) -> Any:
        """The value at a position of the scale."""

    @abstractmethod
    def position(self, value: Any) -> float:
        """Position of a value on the domain's scale."""

    @abstractmethod
    def contains(self, value: Any) -> bool: ...

    @abstractmethod
    def edges(self) -> list[Any]:
        """Values that stand for all: a recipe that accepts them accepts every other."""

    @abstractmethod
    def clamp(self, value: Any) -> Any:
        """The value of the domain that is nearest."""

    @abstractmethod
    def near(self, value: Any, factors: Sequence[float], rng: random.Random) -> Any:
        """A value that resembles this one: a number times one of the factors, or else the option before or after."""

    def sample(self, rng: random.Random) -> Any:
        return self.at(rng.random() if self.size is None else rng.randrange(self.size))

    def mutate(self, value: Any, resample_probability: float, factors: Sequence[float], rng: random.Random) -> Any:
        """Population based training's next value: drawn anew with this probability, else one near the former."""
        return self.sample(rng) if rng.random() < resample_probability else self.near(self.clamp(value), factors, rng)


class _Interval(Domain):
    """Numbers from `low` to `high`."""

    low: float
    high: float

    def contains(self, value: Any) -> bool:
        return is_number(value) and self.low <= value <= self.high

    def edges(self) -> list[Any]:
        return [float(self.low), float(self.high)]

    def clamp(self, value: Any) -> float:
        return float(min(max(value, self.low), self.high))

    def near(self, value: Any, factors: Sequence[float], rng: random.Random) -> float:
        return self.clamp(value * rng.choice(factors))


@dataclass(frozen=True)
class Uniform(_Interval):
    """Numbers from low to high."""

    low: float
    high: float
    form = "[low, high]"

    def at(self, position: float) -> float:
        return self.clamp(self.low * (1 - position) + self.high * position)

    def position(self, value: Any) -> float:
        return float((value - self.low) / (self.high - self.low))


class LogUniform(Uniform):
    """Numbers from low to high, equally dense on a logarithmic scale."""

    def at(self, position: float) -> float:
        return self.clamp(math.exp(math.log(self.low) * (1 - position) + math.log(self.high) * position))

    def position(self, value: Any) -> float:
        return math.log(value / self.low) / math.log(self.high / self.low)


@dataclass(frozen=True)
class Normal(_Interval):
    """Numbers of a normal distribution, by its mean and standard deviation."""

    mean: float
    sd: float
    form = "[mean, sd]"

    @property
    def low(self) -> float:  # type: ignore[override]  # a field of the others
        return self.mean - _SIGMAS * self.sd

    @property
    def high(self) -> float:  # type: ignore[override]  # a field of the others
        return self.mean + _SIGMAS * self.sd

    def at(self, position: float) -> float:
        return self.clamp(NormalDist(self.mean, self.sd).inv_cdf(_TAIL + position * (1 - 2 * _TAIL)))

    def position(self, value: Any) -> float:
        return min(max((NormalDist(self.mean, self.sd).cdf(value) - _TAIL) / (1 - 2 * _TAIL), 0.0), 1.0)


class _Steps(Domain):
    """Numbers at equal distances."""

    low: float
    step: float
    size: int

    def at(self, position: float) -> Any:
        value = self.low + int(position) * self.step
        return value if isinstance(value, int) else float(f"{value:.12g}")  # and not 0.30000000000000004

    def position(self, value: Any) -> int:
        steps: float = (value - self.low) / self.step
        return round(steps)

    def contains(self, value: Any) -> bool:
        return is_number(value) and 0 <= self.position(value) < self.size and math.isclose(self.at(self.position(value)), value)

    def edges(self) -> list[Any]:
        few = range(self.size) if self.size <= _FEW else (0, 1, self.size // 2, self.size - 1)
        return [self.at(position) for position in few]

    def clamp(self, value: Any) -> Any:
        return self.at(min(max(self.position(value), 0), self.size - 1))

    def near(self, value: Any, factors: Sequence[float], rng: random.Random) -> Any:
        factor = rng.choice(factors)
        new = self.clamp(value * factor)
        return new if new != value or factor == 1 else self.clamp(value + math.copysign(self.step, factor - 1))


@dataclass(frozen=True)
class QUniform(_Steps):
    """Numbers from low to high in steps of q."""

    low: float
    high: float
    step: float
    form = "[low, high, q]"

    @property
    def size(self) -> int:  # type: ignore[override]  # a field of the others
        return math.floor((self.high - self.low) / self.step + 1e-9) + 1


@dataclass(frozen=True)
class RandInt(_Steps):
    """Whole numbers from low on, below high."""

    low: int
    high: int
    form = "[low, high]"
    step = 1

    @property
    def size(self) -> int:  # type: ignore[override]  # a field of the others
        return self.high - self.low


@dataclass(frozen=True)
class Choice(Domain):
    """One of the options."""

    options: tuple[Any, ...]
    form = "[value, …]"
    ordered = False

    @property
    def size(self) -> int:  # type: ignore[override]  # a field of the others
        return len(self.options)

    def at(self, position: float) -> Any:
        return self.options[int(position)]

    def position(self, value: Any) -> int:
        exact = [i for i, option in enumerate(self.options) if type(option) is type(value) and option == value]
        return exact[0] if exact else self.options.index(value)

    def contains(self, value: Any) -> bool:
        return value in self.options

    def edges(self) -> list[Any]:
        return list(self.options)

    def clamp(self, value: Any) -> Any:
        """The option itself, the nearest where all are numbers, or the first."""
        if value in self.options:
            return self.at(self.position(value))
        if is_number(value) and all(map(is_number, self.options)):
            return min(self.options, key=lambda option: abs(option - value))
        return self.options[0]

    def near(self, value: Any, factors: Sequence[float], rng: random.Random) -> Any:
        position = self.position(value)
        beside = [p for p in (position - 1, position + 1) if 0 <= p < self.size]
        return self.at(rng.choice(beside)) if beside else value


@dataclass(frozen=True)
class Grid(Choice):
    """A choice of which every option is tried."""


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


DOMAINS: dict[str, type[Domain]] = {
    "uniform": Uniform,
    "loguniform": LogUniform,
    "quniform": QUniform,
    "randint": RandInt,
    "normal": Normal,
    "choice": Choice,
    "grid": Grid,
}


def read_domain(kind: str, values: Any) -> Domain:
    """The domain that the recipe writes as `{kind: values}`.

    Raises:
        ValueError: there is none like that; the text says why.
    """
    if kind not in DOMAINS:
        raise ValueError(f"unknown kind of domain '{kind}'{did_you_mean(kind, DOMAINS)} (kinds: {', '.join(DOMAINS)})")
    cls = DOMAINS[kind]
    if not isinstance(values, (list, tuple)):
        raise ValueError(f"{kind} takes a list, {cls.form}, not {to_flow(values)}")
    if issubclass(cls, Choice):
        if not values:
            raise ValueError(f"{kind} needs at least one value")
        return cls(tuple(values))
    wanted = cls.form.count(",") + 1
    if len(values) != wanted:
        raise ValueError(f"{kind} takes {wanted} numbers, {cls.form}, not {len(values)}")
    try:
        return cls(*_checked(cls, values))
    except ValueError as error:
        raise ValueError(f"{kind} {cls.form}: {error}") from None


def _checked(cls: type[Domain], values: Sequence[Any]) -> list[Any]:
    """The numbers of a domain, whole ones as int where its values are whole.

    Raises:
        ValueError: they make none.
    """
    for value in values:
        if not is_number(value):
            raise ValueError(f"{to_flow(value)} is not a number")
        if cls is RandInt and not _is_whole(value):
            raise ValueError(f"{to_flow(value)} is not an integer")
    numbers = list(values)
    if cls is RandInt or (cls is QUniform and all(_is_whole(v) for v in (numbers[0], numbers[2]))):
        numbers = [int(v) if _is_whole(v) else v for v in numbers]
    low, high, *q = numbers
    if cls is Normal:
        if not high > 0:
            raise ValueError(f"sd must be above 0, not {to_flow(high)}")
    elif not low < high:
        raise ValueError(f"low must be below high, not {to_flow(low)} and {to_flow(high)}")
    if cls is LogUniform and not low > 0:
        raise ValueError(f"low must be above 0, not {to_flow(low)}")
    if q and not 0 < q[0] <= (high - low) * (1 + 1e-9):  # 0.3 - 0.2 is less than 0.1
        raise ValueError(f"q must be above 0 and at most high - low, not {to_flow(q[0])}")
    return numbers


def _is_whole(value: Any) -> bool:
    return float(value).is_integer()
