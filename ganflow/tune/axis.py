"""Axes of the sweep's plots: where a value stands between 0 and 1, and what is written beside it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ganflow.tune.table import cut, value

MANY = 12  # categories with a label of their own
WIDE = 50.0  # the largest by the smallest, from which on numbers of an unknown kind are shown by their logarithms
LETTERS = 20  # of a category's label


@dataclass(frozen=True)
class Axis:
    """Attributes:
    name: written at it.
    kind: "linear", "log" or "category".
    low, high: of numbers. What lies outside stands at the edge.
    categories: in their order, exact texts → places.
    ticks: (place, label).
    """

    name: str
    kind: str
    low: float
    high: float
    categories: dict[str, float]
    ticks: list[tuple[float, str]]

    def place(self, of: Any) -> float:
        """From 0 to 1."""
        return self.categories[_exact(of)] if self.kind == "category" else _share(float(of), self.low, self.high, self.kind)


def key_axis(name: str, values: Sequence[Any], domain: object = None) -> Axis:
    """Of a key.

    Args:
        values: that were tried, one at least.
        domain: what the recipe's tune.space says of the key: {"loguniform": [1e-5, 1e-3]}, {"choice": […]}, …
    """
    how, choices = _domain(domain)
    numbers = all(_is_number(v) for v in values)
    several = len({_exact(v) for v in values})
    if not numbers or (how in ("choice", "grid") and several <= MANY):
        return _categories(name, values, choices)
    logs = "log" in how if how and how not in ("choice", "grid") else max(values) >= WIDE * min(values)
    return _numbers(name, values, "log" if logs and min(values) > 0 else "linear")


def score_axis(name: str, scores: Sequence[float], mode: str) -> Axis:
    """Of scores. Logarithms where they differ by much; otherwise the worst quarter may stand at the edge, so that a single
    score far off does not flatten the rest."""
    if min(scores) > 0 and max(scores) >= WIDE * min(scores):
        return _numbers(name, scores, "log")
    low, high = min(scores), max(scores)
    usual = float(np.quantile(scores, 0.75 if mode == "min" else 0.25))
    if mode == "min":
        high = min(high, low + 4 * (usual - low)) if usual > low else high
    else:
        low = max(low, high - 4 * (high - usual)) if usual < high else low
    axis = _numbers(name, [low, high], "linear")
    if high < max(scores):
        axis.ticks[:] = [t for t in axis.ticks if t[0] < 0.93] + [(1.0, f"≥ {_label(high)}")]
    if low > min(scores):
        axis.ticks[:] = [(0.0, f"≤ {_label(low)}")] + [t for t in axis.ticks if t[0] > 0.07]
    return axis


def count_axis(name: str, count: int) -> Axis:
    """Of whole numbers from 1 to a count."""
    return _numbers(name, range(1, count + 1), "linear")


def _domain(domain: object) -> tuple[str, list[Any]]:
    """What kind of domain it is, "" where that is not known, and what can be chosen from it."""
    if not isinstance(domain, dict):
        return "", []
    kind = next((str(key) for key in domain if key != "when"), "")
    return kind, list(domain[kind]) if kind in ("choice", "grid") and isinstance(domain[kind], (list, tuple)) else []


def _categories(name: str, values: Sequence[Any], choices: Iterable[Any]) -> Axis:
    tried = {_exact(v): v for v in values}
    ordered = {_exact(c): c for c in choices if _exact(c) in tried} | tried
    if all(_is_number(v) for v in ordered.values()):
        ordered = dict(sorted(ordered.items(), key=lambda item: float(item[1])))
    places = {text: (i + 0.5) / len(ordered) for i, text in enumerate(ordered)}
    every = -(-len(ordered) // MANY)
    ticks = [(places[text], cut(value(v), LETTERS)) for i, (text, v) in enumerate(ordered.items()) if i % every == 0]
    return Axis(name, "category", 0.0, 1.0, places, ticks)


def _numbers(name: str, values: Sequence[Any], kind: str) -> Axis:
    low, high = float(min(values)), float(max(values))
    whole = all(isinstance(v, int) for v in values)
    at = _decades(low, high) if kind == "log" else _steps(low, high, 1.0 if whole else 0.0)
    if len(at) < 2:
        at = sorted({low, high})
    return Axis(name, kind, low, high, {}, [(_share(v, low, high, kind), _label(v)) for v in at])


def _share(of: float, low: float, high: float, kind: str) -> float:
    if low == high:
        return 0.5
    if kind == "log":
        of, low, high = (math.log(max(v, 1e-300)) for v in (of, low, high))
    return min(1.0, max(0.0, (of - low) / (high - low)))


def _decades(low: float, high: float) -> list[float]:
    """1, 10, 100, …, or 1, 2, 5, 10, … where that gives too few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1,), (1, 2, 5)):
        found = [d * 10.0**p for p in powers for d in digits if low * 0.999 <= d * 10.0**p <= high * 1.001]
        if len(found) >= 3:
            break
    return found[:: -(-len(found) // 8)] if found else []


def _steps(low: float, high: float, least: float) -> list[float]:
    """About five round numbers."""
    if low == high:
        return [low]
    raw = (high - low) / 4
    size = 10.0 ** math.floor(math.log10(raw))
    step = max(least, next(m * size for m in (1, 2, 2.5, 5, 10) if m * size >= raw * 0.999))
    first, last = math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6)
    return [i * step for i in range(first, last + 1)]


def _label(of: float) -> str:
    text = f"{of:.4g}"
    return text.replace("e-0", "e-").replace("e+0", "e") if text != "-0" else "0"


def _is_number(of: Any) -> bool:
    return isinstance(of, (int, float)) and not isinstance(of, bool) and math.isfinite(of)


def _exact(of: Any) -> str:
    return json.dumps(of, sort_keys=True, default=str)
