"""Few combinations that hold every pair of values."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, product
from typing import Any

Row = dict[str, Any]


def every(factors: Mapping[str, Sequence[Any]], allowed: Callable[[Row], bool] = lambda row: True) -> list[Row]:
    """All allowed rows, one value of each factor."""
    return [row for row in (dict(zip(factors, values, strict=True)) for values in product(*factors.values())) if allowed(row)]


def pairwise(factors: Mapping[str, Sequence[Any]], allowed: Callable[[Row], bool] = lambda row: True) -> list[Row]:
    """Allowed rows, one value of each factor, in which every pair of values occurs that occurs in any allowed row.

    Greedy: again and again the first of the rows with the most pairs that are still missing. Of 7 factors with 2 values: 6 to 9.
    """
    rows = every(factors, allowed)
    bits: dict[Any, int] = {}  # of each pair
    pairs = [sum(1 << bits.setdefault(pair, len(bits)) for pair in combinations(row.items(), 2)) for row in rows]
    missing, chosen = (1 << len(bits)) - 1, []
    while missing:
        best = max(range(len(rows)), key=lambda i: (pairs[i] & missing).bit_count())
        chosen.append(rows[best])
        missing &= ~pairs[best]
    return chosen
