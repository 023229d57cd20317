"""Scores with what makes them comparable: a standard error, a floor, and the protocol by which they were computed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ganflow.contract.game import ERROR, FLOOR


@dataclass(frozen=True)
class Score:
    """A score, as text "frechet_2048 1.234 ± 0.041 (floor 1.052)".

    Attributes:
        error: its standard error; None where it is not known.
        floor: the score of real examples against real examples, of the same counts; None where there is none.
    """

    name: str
    value: float
    error: float | None = None
    floor: float | None = None

    def __str__(self) -> str:
        error = "" if self.error is None else f" ± {self.error:.2g}"
        return f"{self.name} {self.value:.4g}{error}" + ("" if self.floor is None else f" (floor {self.floor:.4g})")

    def within_noise_of(self, other: Score) -> bool:
        """Tell whether the two differ by no more than twice the standard error of their difference; False where no error is
        known."""
        if self.error is None or other.error is None:
            return False
        return abs(self.value - other.value) <= 2 * math.hypot(self.error, other.error)


def grouped(values: Mapping[str, float]) -> list[Score]:
    """The scores among values that `Metric.evaluate` gave, each with its error and its floor."""
    beside = {name + ending for name in values for ending in (ERROR, FLOOR)} & values.keys()
    return [Score(name, value, values.get(name + ERROR), values.get(name + FLOOR))
            for name, value in values.items() if name not in beside]  # fmt: skip


def protocol_difference(a: Mapping[str, Any], b: Mapping[str, Any]) -> str | None:
    """The first difference of two protocols: "samples 2048 against 500"; None where they agree."""
    for key in sorted(a.keys() | b.keys()):
        if a.get(key) != b.get(key):
            return f"{key} {a.get(key, 'not noted')} against {b.get(key, 'not noted')}"
    return None
