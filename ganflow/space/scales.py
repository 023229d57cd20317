"""Steps on a logarithmic scale, all domains by name, and the reader of one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ganflow.errors import did_you_mean
from ganflow.recipe.yaml import to_flow
from ganflow.space.domains import Choice, Discrete, Domain, Grid, LogUniform, Normal, QUniform, RandInt, Steps, Uniform, is_number

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_SLACK = 1 + 1e-11  # a number of twelve digits may lie this much below what it stands for


class _LogSteps(Steps):
    """Numbers at equal distances, drawn like those of loguniform, from low to the end of the last step, and rounded down."""

    positive = True
    size = None  # steps are not equally likely

    def at(self, position: float) -> Any:
        return self.external(self.low * (self._end / self.low) ** position)

    def position(self, value: Any) -> float:
        return math.log(value / self.low) / math.log(self._end / self.low)

    @property
    def _end(self) -> float:
        return self.low + self.count * self.step

    @property
    def distribution(self) -> BaseDistribution:
        from optuna.distributions import FloatDistribution

        return FloatDistribution(self.low, self._end, log=True)

    def internal(self, value: Any) -> float:
        return float(value)

    def external(self, parameter: Any) -> Any:
        return self.nth(min(math.floor((parameter * _SLACK - self.low) / self.step), self.count - 1))


class QLogUniform(_LogSteps, QUniform):
    """Numbers from low to high in steps of q, equally dense on a logarithmic scale."""


class QRandInt(QUniform):
    """Whole numbers from low to high in steps of q."""

    whole = True


class QLogRandInt(QLogUniform):
    """Whole numbers from low to high in steps of q, equally dense on a logarithmic scale."""

    whole = True


class LogRandInt(_LogSteps, RandInt):
    """Whole numbers from low on, below high, equally dense on a logarithmic scale."""

    @property
    def distribution(self) -> BaseDistribution:
        from optuna.distributions import IntDistribution

        return IntDistribution(self.low, self.high - 1, log=True)

    def internal(self, value: Any) -> int:
        return int(value)


DOMAINS: dict[str, type[Domain]] = {
    "uniform": Uniform,
    "loguniform": LogUniform,
    "quniform": QUniform,
    "qloguniform": QLogUniform,
    "randint": RandInt,
    "lograndint": LogRandInt,
    "qrandint": QRandInt,
    "qlograndint": QLogRandInt,
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
        if cls.whole and not _is_whole(value):
            raise ValueError(f"{to_flow(value)} is not an integer")
    numbers = list(values)
    if issubclass(cls, Discrete) and all(_is_whole(v) for v in (numbers[0], *numbers[2:])):
        numbers = [int(v) if _is_whole(v) else v for v in numbers]
    low, high, *q = numbers
    if cls is Normal:
        if not high > 0:
            raise ValueError(f"sd must be above 0, not {to_flow(high)}")
    elif not low < high:
        raise ValueError(f"low must be below high, not {to_flow(low)} and {to_flow(high)}")
    if cls.positive and not low > 0:
        raise ValueError(f"low must be above 0, not {to_flow(low)}")
    if q and not 0 < q[0] <= (high - low) * (1 + 1e-9):  # 0.3 - 0.2 is less than 0.1
        raise ValueError(f"q must be above 0 and at most high - low, not {to_flow(q[0])}")
    return numbers


def _is_whole(value: Any) -> bool:
    return float(value).is_integer()
