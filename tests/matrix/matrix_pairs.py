"""Few combinations that hold every pair of values."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, product
from typing import Any

Row = dict[str, Any]


def pairwise(factors: Mapping[str, Sequence[Any]], allowed: Callable[[Row], bool] = lambda row: True) -> list[Row]:
    """Allowed rows, one value of each factor, in which every pair of values occurs that occurs in any allowed row.

    Greedy: again and again the first of the rows with the most pairs that are still missing. Of 7 factors with 2 values: 6 to 9.
    """
    rows = [row for row in (dict(zip(factors, values, strict=True)) for values in product(*factors.values())) if allowed(row)]
    pairs = [set(combinations(row.items(), 2)) for row in rows]
    missing = set().union(*pairs)
    chosen: list[Row] = []
    while missing:
        best = max(range(len(rows)), key=lambda i: len(pairs[i] & missing))
        chosen.append(rows[best])
        missing -= pairs[best]
    return chosen
