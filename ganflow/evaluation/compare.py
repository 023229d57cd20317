"""Comparison of runs: the scores that they have by one protocol, and whether they differ by more than noise."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

from ganflow.evaluation.scores import Score, protocol_difference, protocol_differences

Goal = Literal["min", "max"]


@dataclass(frozen=True)
class Measured:
    """A score with its protocol, the round of what was scored, and when that was, in seconds since 1970.

    Attributes:
        goal: "min" where lower is better, or "max"; None where that is not known.
        trainings: with several seeds, whose mean the score is; its error is then over these, else of the measurement alone.
    """

    score: Score
    protocol: Mapping[str, Any]
    round: int
    time: float
    goal: Goal | None = None
    trainings: int = 1

    def is_like(self, other: Measured) -> bool:
        """Tell whether the two are the same score by the same protocol."""
        return self.score.name == other.score.name and protocol_difference(self.protocol, other.protocol) is None


Row = list[Measured | None]
"""A score of several runs, by one protocol; None where a run has it not."""


@dataclass(frozen=True)
class NotCompared:
    """A score that two runs have by different protocols alone.

    Attributes:
        first, second: indices of the runs.
        one, other: of their scores of this kind those that differ least.
    """

    first: int
    second: int
    one: Measured
    other: Measured

    @property
    def differences(self) -> list[str]:
        """All differences of the protocols, in words."""
        if bool(self.one.protocol) != bool(self.other.protocol):
            return ["its protocol is recorded in one of the runs alone"]
        return protocol_differences(self.one.protocol, self.other.protocol)

    def __str__(self) -> str:
        name, other = self.one.score.name, self.other.score.name
        return f"{name}: {', '.join(self.differences)}" if self.differences else f"{name} against {other}"


@dataclass(frozen=True)
class Comparison:
    """The scores of several runs.

    Attributes:
        rows: name of a score → that of each run.
        apart: the scores that are left out of it, by two runs each.
    """

    rows: dict[str, Row]
    apart: list[NotCompared]

    @property
    def compared(self) -> set[int]:
        """Indices of the runs that have a score in common with another one."""
        return {i for row in self.rows.values() if count(row) > 1 for i, m in enumerate(row) if m}


def stem(name: str) -> str:
    """The name of a score without the numbers in it, which are counts of a protocol: "frechet" of "frechet_2048"."""
    return re.sub(r"_\d+(?=_|$)", "", name)


def count(row: Row) -> int:
    """The number of runs that have the score."""
    return sum(m is not None for m in row)


def aligned(runs: Sequence[Sequence[Measured]]) -> Comparison:
    """The scores of runs, each by one protocol: one that all runs with this score share, else one that most of them share. Where
    there are several, it is the one evaluated last."""
    rows: dict[str, Row] = {}
    apart: list[NotCompared] = []
    for kind in dict.fromkeys(stem(m.score.name) for run in runs for m in run):
        alike = [[m for m in run if stem(m.score.name) == kind] for run in runs]
        found = {name: _row(alike, name) for name in dict.fromkeys(m.score.name for run in alike for m in run)}
        shared = [{i for i, m in enumerate(row) if m} for row in found.values()]
        having = [i for i, run in enumerate(alike) if run]
        others: dict[int, int] = {}  # of each run that is left out, one that it shares no protocol with
        for b in having:
            apart_from = (a for a in having if a < b and a not in others and not any({a, b} <= both for both in shared))
            if (a := next(apart_from, None)) is not None:
                others[b] = a
        apart += [_nearest(a, b, alike) for b, a in others.items()]
        rows |= {name: row for name, row in found.items() if count(row) > 1 or not others}
    return Comparison(rows, apart)


def _row(runs: Sequence[Sequence[Measured]], name: str) -> Row:
    """The score of each run by the protocol that most of them have, of several such the one evaluated last."""
    some = [[m for m in run if m.score.name == name] for run in runs]
    return max((_alike(m, some) for run in some for m in run), key=lambda row: (count(row), min(m.time for m in row if m)))


def _alike(one: Measured, runs: Sequence[Sequence[Measured]]) -> Row:
    """The score of each run by the protocol of this one."""
    # the last checkpoint's, not the one evaluated last: the best of many rounds beside others' last would be no comparison
    return [max(filter(one.is_like, run), key=lambda m: (m.round, m.time), default=None) for run in runs]


def shared(runs: Sequence[Sequence[Measured]]) -> list[list[Measured]]:
    """The scores that every one of these runs has, each by all the protocols that they share."""
    found: list[list[Measured]] = []
    for one in runs[0]:
        row = [m for m in _alike(one, runs) if m]
        if len(row) == len(runs) and not any(one.is_like(other[0]) for other in found):
            found.append(row)
    return found


def _nearest(first: int, second: int, runs: Sequence[Sequence[Measured]]) -> NotCompared:
    """The two scores of this kind that differ least, of several such the latest."""
    pairs = (NotCompared(first, second, one, other) for one, other in product(runs[first], runs[second]))
    return min(pairs, key=lambda p: (p.one.score.name != p.other.score.name, len(p.differences), -p.one.time - p.other.time))


@dataclass(frozen=True)
class Difference:
    """The difference of two runs' scores.

    Attributes:
        of, less: indices of the runs: the former's score less the latter's. Of two runs they are the second and the first, of
            more the best and the worst, or the highest and the lowest where nothing says which is better.
        value: of the difference; not finite where a score is not.
        error: its standard error, √(a² + b²) of the scores' errors a and b; None where one is not known.
        words: what the two are, where there are more: ("best", "worst").
        repeated: both are means over several trainings, so that the error has the noise of training in it. That of a single
            training is the measurement's alone: another seed would have another score.
    """

    of: int
    less: int
    value: float
    error: float | None
    words: tuple[str, str] | None = None
    repeated: bool = False

    @property
    def within_noise(self) -> bool | None:
        """Tell whether it is at most two standard errors; None where that is not known: errors are missing, or it is more than
        the measurement's, and the noise of training is not known."""
        within = self._within()
        return within if within or self.repeated else None

    def _within(self) -> bool | None:
        if self.error is None or not math.isfinite(self.error) or not math.isfinite(self.value):
            return None
        return abs(self.value) <= 2 * self.error

    def described(self, names: Sequence[str]) -> str:
        """In words: "+0.12 ± 0.05, beyond noise", "best wide, worst small: 0.02 ± 0.05, within noise"; of single trainings
        "+0.12 ± 0.05 of measurement, noise of training not known".

        Args:
            names: of the runs.
        """
        named = f"{self.words[0]} {names[self.of]}, {self.words[1]} {names[self.less]}: " if self.words else ""
        if not math.isfinite(self.value):
            return "not finite"
        figure = named + (f"{abs(self.value):.3g}" if self.words else f"{self.value:+.3g}")
        within = self._within()
        if self.error is None or within is None:
            return f"{figure}, noise not known"
        if within or self.repeated:
            return f"{figure} ± {self.error:.2g}, {'within' if within else 'beyond'} noise"
        return f"{figure} ± {self.error:.2g} of measurement, noise of training not known"


def difference(row: Row) -> Difference | None:
    """The difference of a score between two runs, or of more between the best and the worst; None where one has it alone."""
    some = [(i, m) for i, m in enumerate(row) if m]
    if len(some) < 2:
        return None
    (less, one), (of, other) = some[0], some[-1]
    words = None
    if len(row) > 2:
        goal = next((m.goal for _, m in some if m.goal), None)
        ranked = sorted(some, key=lambda pair: pair[1].score.value, reverse=goal == "min")
        (less, one), (of, other) = ranked[0], ranked[-1]
        words = ("best", "worst") if goal else ("highest", "lowest")
    sound = all(math.isfinite(m.score.value) for _, m in some)
    a, b = one.score.error, other.score.error
    error = None if a is None or b is None else math.hypot(a, b)
    repeated = min(one.trainings, other.trainings) > 1
    return Difference(of, less, other.score.value - one.score.value if sound else math.nan, error, words, repeated)
