"""Comparison of runs: the scores that they have by one protocol, and whether they differ by more than noise."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from ganflow.evaluation.scores import Score, protocol_difference


@dataclass(frozen=True)
class Measured:
    """A score with its protocol, the round of what was scored, and when that was, in seconds since 1970."""

    score: Score
    protocol: Mapping[str, Any]
    round: int
    time: float


class ProtocolsDiffer(Exception):
    """Two runs have a score by different protocols alone.

    Attributes:
        first, second: indices of the runs.
        name: the score's name in the first.
        difference: of the protocols, in words.
    """

    def __init__(self, first: int, second: int, name: str, difference: str) -> None:
        self.first, self.second, self.name, self.difference = first, second, name, difference
        super().__init__(f"{name}{difference if difference.startswith(' ') else f': {difference}'}")


def stem(name: str) -> str:
    """The name of a score without the numbers in it, which are counts of a protocol: "frechet" of "frechet_2048"."""
    return re.sub(r"_\d+(?=_|$)", "", name)


def aligned(runs: Sequence[Sequence[Measured]]) -> dict[str, list[Measured | None]]:
    """Each score's name → that score of every run, all by one protocol; None where a run has it not.

    Where there are several protocols that runs share, it is the one evaluated last.

    Raises:
        ProtocolsDiffer: runs have a score, but by different protocols.
    """
    rows: dict[str, list[Measured | None]] = {}
    for kind in dict.fromkeys(stem(m.score.name) for run in runs for m in run):
        having = [i for i, run in enumerate(runs) if any(stem(m.score.name) == kind for m in run)]
        shared = dict.fromkeys(m.score.name for i in having for m in runs[i] if stem(m.score.name) == kind)
        found = {name: row for name in shared if (row := _row(runs, name)) is not None}
        if not any(all(row[i] for i in having) for row in found.values()):
            raise _differing(runs, having, kind)
        rows |= found
    return rows


def _row(runs: Sequence[Sequence[Measured]], name: str) -> list[Measured | None] | None:
    """The score of each run that has it, by the protocol that all of these have; None where there is no such protocol."""
    having = [[m for m in run if m.score.name == name] for run in runs]
    some = [m for run in having for m in run]
    best: tuple[float, list[Measured | None]] | None = None
    for m in some:
        alike = [[n for n in run if protocol_difference(n.protocol, m.protocol) is None] for run in having]
        if any(run and not same for run, same in zip(having, alike, strict=True)):
            continue
        # the last checkpoint's, not the one evaluated last: the best of many rounds beside others' last would be no comparison
        row = [max(same, key=lambda n: (n.round, n.time), default=None) for same in alike]
        latest = min(n.time for n in row if n)
        if best is None or latest > best[0]:
            best = latest, row
    return best[1] if best else None


def _differing(runs: Sequence[Sequence[Measured]], having: Sequence[int], kind: str) -> ProtocolsDiffer:
    """The first two runs that have no score of this kind by one protocol."""
    found: list[tuple[bool, ProtocolsDiffer]] = []
    for a, b in combinations(having, 2):
        ours, theirs = ([m for m in runs[i] if stem(m.score.name) == kind] for i in (a, b))
        pairs = sorted(((m, n) for m in ours for n in theirs), key=lambda pair: pair[0].score.name != pair[1].score.name)
        differences = [(m, n, protocol_difference(m.protocol, n.protocol)) for m, n in pairs]
        alike = any(m.score.name == n.score.name and difference is None for m, n, difference in differences)
        if apart := [(m, n, d) for m, n, d in differences if d is not None or m.score.name != n.score.name]:
            m, n, difference = apart[0]
            found.append((alike, ProtocolsDiffer(a, b, m.score.name, difference or f" against {n.score.name}")))
    return min(found, key=lambda pair: pair[0])[1]  # first of all two that agree in nothing


def spread_of(scores: Sequence[Score]) -> str:
    """The difference between the highest and the lowest of several scores: "0.12 ± 0.05", or "0.02 ± 0.05: within noise"."""
    if not all(math.isfinite(score.value) for score in scores):
        return "not finite"
    low, high = min(scores, key=lambda s: s.value), max(scores, key=lambda s: s.value)
    difference = f"{high.value - low.value:.3g}"
    if low.error is None or high.error is None:
        return f"{difference}: noise not known"
    noise = f"{difference} ± {math.hypot(low.error, high.error):.2g}"
    return noise + (": within noise" if low.within_noise_of(high) else "")
