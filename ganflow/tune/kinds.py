"""The kinds of domain by the names that a recipe gives them, and what is wrong with one that is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ganflow.plugins.wording import did_you_mean
from ganflow.recipe.writer import to_flow
from ganflow.tune.domains import Choice, Domain, Grid, LogUniform, Normal, QUniform, RandInt, Uniform, is_number

KINDS: dict[str, type[Domain]] = {
    "uniform": Uniform,
    "loguniform": LogUniform,
    "quniform": QUniform,
    "randint": RandInt,
    "normal": Normal,
    "choice": Choice,
    "grid": Grid,
}


def read_domain(kind: str, given: Any) -> Domain:
    """The domain that the recipe writes as `{kind: given}`.

    Raises:
        ValueError: there is none like that; the text says why.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind of domain '{kind}'{did_you_mean(kind, KINDS)} (kinds: {', '.join(KINDS)})")
    cls = KINDS[kind]
    if not isinstance(given, (list, tuple)):
        raise ValueError(f"{kind} takes a list, {cls.form}, not {to_flow(given)}")
    if issubclass(cls, Choice):
        if not given:
            raise ValueError(f"{kind} needs at least one value")
        return cls(tuple(given))
    return _numeric(cls, kind, given)


def _numeric(cls: type[Domain], kind: str, given: Sequence[Any]) -> Domain:
    wanted = cls.form.count(",") + 1
    if len(given) != wanted:
        raise ValueError(f"{kind} takes {wanted} numbers, {cls.form}, not {len(given)}")
    for value in given:
        if not is_number(value):
            raise ValueError(f"{kind} {cls.form}: {to_flow(value)} is not a number")
    numbers = list(given)
    if cls is RandInt or (cls is QUniform and all(_is_whole(v) for v in (numbers[0], numbers[2]))):
        for value in numbers if cls is RandInt else ():
            if not _is_whole(value):
                raise ValueError(f"randint {cls.form}: {to_flow(value)} is not an integer")
        numbers = [int(v) if _is_whole(v) else v for v in numbers]
    if cls is Normal:
        if not numbers[1] > 0:
            raise ValueError(f"normal {cls.form}: sd must be above 0, not {to_flow(numbers[1])}")
        return Normal(*numbers)
    low, high = numbers[:2]
    if not low < high:
        raise ValueError(f"{kind} {cls.form}: low must be below high, not {to_flow(low)} and {to_flow(high)}")
    if cls is LogUniform and not low > 0:
        raise ValueError(f"loguniform {cls.form}: low must be above 0, not {to_flow(low)}")
    if cls is QUniform and not 0 < numbers[2] <= (high - low) * (1 + 1e-9):  # 0.3 - 0.2 is less than 0.1
        raise ValueError(f"quniform {cls.form}: q must be above 0 and at most high - low, not {to_flow(numbers[2])}")
    return cls(*numbers)


def _is_whole(value: Any) -> bool:
    return float(value).is_integer()
