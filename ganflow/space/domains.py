"""Domains: values to try for a key of the recipe."""

from __future__ import annotations

import math
import random
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, ClassVar

from ganflow.recipe.yaml import to_flow

if TYPE_CHECKING:  # the real import takes a while, and few commands need it
    from optuna.distributions import BaseDistribution

Parameter = None | bool | int | float | str
"""A value as Optuna has it."""
_SIGMAS = 3.0
_TAIL = NormalDist().cdf(-_SIGMAS)
_DIGITS = 12  # of numbers that are computed: 0.3, and not 0.30000000000000004
_FEW = 8  # so many integers are tried one by one
_LABEL = 40  # characters of an option's name


class Domain(ABC):
    """The values that a key can have in a sweep.

    Attributes:
        form: as it is written, for messages.
        ordered: neighbours on the scale resemble each other.
        whole: its numbers are integers.
        positive: its numbers are above 0.
        size: how many positions the scale has; None where it goes from 0 to 1.
    """

    form: ClassVar[str]
    ordered: ClassVar[bool] = True
    whole: ClassVar[bool] = False
    positive: ClassVar[bool] = False
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

    @property
    def distribution(self) -> BaseDistribution:
        """Optuna's distribution that is the same, or else that of the positions."""
        from optuna.distributions import FloatDistribution, IntDistribution

        return FloatDistribution(0.0, 1.0) if self.size is None else IntDistribution(0, self.size - 1)

    def internal(self, value: Any) -> Parameter:
        """The parameter of `distribution` that stands for a value of the domain."""
        return self.position(value)

    def external(self, parameter: Any) -> Any:
        """The value of the domain that a parameter of `distribution` stands for."""
        return self.at(parameter)

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

    @property
    def distribution(self) -> BaseDistribution:
        from optuna.distributions import FloatDistribution

        return FloatDistribution(self.low, self.high)

    def internal(self, value: Any) -> float:
        return float(value)

    def external(self, parameter: Any) -> float:
        return self.clamp(parameter)


class LogUniform(Uniform):
    """Numbers from low to high, equally dense on a logarithmic scale."""

    positive = True

    def at(self, position: float) -> float:
        return self.clamp(math.exp(math.log(self.low) * (1 - position) + math.log(self.high) * position))

    def position(self, value: Any) -> float:
        return math.log(value / self.low) / math.log(self.high / self.low)

    @property
    def distribution(self) -> BaseDistribution:
        from optuna.distributions import FloatDistribution

        return FloatDistribution(self.low, self.high, log=True)


@dataclass(frozen=True)
class Normal(_Interval):
    """Numbers of a normal distribution, by its mean and standard deviation."""

    mean: float
    sd: float
    form = "[mean, sd]"

    @property
    def low(self) -> float:  # type: ignore[override]  # a field of the others
        return self._quantile(0)

    @property
    def high(self) -> float:  # type: ignore[override]  # a field of the others
        return self._quantile(1)

    def at(self, position: float) -> float:
        return self.clamp(self._quantile(position))

    def position(self, value: Any) -> float:
        return min(max((NormalDist(self.mean, self.sd).cdf(value) - _TAIL) / (1 - 2 * _TAIL), 0.0), 1.0)

    def _quantile(self, position: float) -> float:
        """The value at a position, rounded: taking its position, and the value there, changes nothing."""
        digits = _DIGITS - 1 - math.floor(math.log10(abs(self.mean) + _SIGMAS * self.sd))
        return round(NormalDist(self.mean, self.sd).inv_cdf(_TAIL + position * (1 - 2 * _TAIL)), digits)


class Discrete(Domain):
    """Values that can be counted.

    Attributes:
        count: how many there are.
    """

    count: int

    @property
    def size(self) -> int | None:  # type: ignore[override]  # of an interval it is none
        return self.count

    @abstractmethod
    def nth(self, index: int) -> Any:
        """One of the values."""

    def at(self, position: float) -> Any:
        return self.nth(int(position))

    def __iter__(self) -> Iterator[Any]:
        return map(self.nth, range(self.count))


class Steps(Discrete):
    """Numbers at equal distances."""

    low: float
    step: float

    def nth(self, index: int) -> Any:
        value = self.low + index * self.step
        return value if isinstance(value, int) else float(f"{value:.{_DIGITS}g}")

    def position(self, value: Any) -> float:
        return self._index(value)

    def contains(self, value: Any) -> bool:
        near = is_number(value) and abs(value - self.low) <= self.step * self.count  # else its index may be infinite
        return near and 0 <= self._index(value) < self.count and math.isclose(self.nth(self._index(value)), value)

    def edges(self) -> list[Any]:
        few = range(self.count) if self.count <= _FEW else (0, 1, self.count // 2, self.count - 1)
        return [self.nth(index) for index in few]

    def clamp(self, value: Any) -> Any:
        return self.nth(min(max(self._index(value), 0), self.count - 1))

    def near(self, value: Any, factors: Sequence[float], rng: random.Random) -> Any:
        factor = rng.choice(factors)
        new = self.clamp(value * factor)
        return new if new != value or factor == 1 else self.clamp(value + math.copysign(self.step, factor - 1))

    def _index(self, value: Any) -> int:
        steps: float = (value - self.low) / self.step
        return round(steps)

    @property
    def distribution(self) -> BaseDistribution:
        from optuna.distributions import FloatDistribution, IntDistribution

        top = self.nth(self.count - 1)
        if isinstance(top, int):
            return IntDistribution(int(self.low), top, step=int(self.step))
        return FloatDistribution(self.low, top, step=self.step) if self._exact() else super().distribution

    def internal(self, value: Any) -> float:
        return self.clamp(value) if self._exact() else self._index(value)

    def external(self, parameter: Any) -> Any:
        return self.clamp(parameter) if self._exact() else self.at(parameter)

    def _exact(self) -> bool:
        """Return true if the steps meet the last value, as Optuna wants: those of 0.3333333333333333 do not meet 1."""
        low, step, top = (Decimal(str(number)) for number in (self.low, self.step, self.nth(self.count - 1)))
        return low + step * (self.count - 1) == top


@dataclass(frozen=True)
class QUniform(Steps):
    """Numbers from low to high in steps of q."""

    low: float
    high: float
    step: float
    form = "[low, high, q]"

    @property
    def count(self) -> int:  # type: ignore[override]
        return math.floor((self.high - self.low) / self.step + 1e-9) + 1


@dataclass(frozen=True)
class RandInt(Steps):
    """Whole numbers from low on, below high."""

    low: int
    high: int
    form = "[low, high]"
    whole = True
    step = 1

    @property
    def count(self) -> int:  # type: ignore[override]
        return self.high - self.low


@dataclass(frozen=True)
class Choice(Discrete):
    """One of the options."""

    options: tuple[Any, ...]
    form = "[value, …]"
    ordered = False

    @property
    def count(self) -> int:  # type: ignore[override]
        return len(self.options)

    def nth(self, index: int) -> Any:
        return self.options[index]

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
            return self.nth(self.position(value))
        if is_number(value) and all(map(is_number, self.options)):
            return min(self.options, key=lambda option: abs(option - value))
        return self.options[0]

    def near(self, value: Any, factors: Sequence[float], rng: random.Random) -> Any:
        position = self.position(value)
        beside = [p for p in (position - 1, position + 1) if 0 <= p < self.count]
        return self.nth(rng.choice(beside)) if beside else value

    @property
    def distribution(self) -> BaseDistribution:
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self._names())

    def internal(self, value: Any) -> Parameter:
        return self._names()[self.position(value)]

    def external(self, parameter: Any) -> Any:
        return self.options[self._names().index(parameter)]

    def _names(self) -> list[Parameter]:
        """The options as Optuna can tell them apart: plain ones by themselves, and others, also 1 beside true, by a text."""
        names = [option if isinstance(option, Parameter) else _shortened(to_flow(option)) for option in self.options]
        return [
            name if names.count(name) == 1 else f"{_shortened(to_flow(option))} #{number}"
            for number, (name, option) in enumerate(zip(names, self.options, strict=True), 1)
        ]


@dataclass(frozen=True)
class Grid(Choice):
    """A choice of which every option is tried."""


def _shortened(text: str) -> str:
    return text if len(text) <= _LABEL else f"{text[: _LABEL - 1]}…"


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
