"""Training examples as they are before anyone trains: not augmented, with what files have of them, and their sentences."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

_DEPTHS = (1, 255, 1023, 4095, 16383, 65535)
"""White in files of so many bits, and in floating-point ones."""


@dataclass(frozen=True)
class Original:
    """A picture as its file has it, before it is cut.

    Attributes:
        size: (width, height), upright.
        channels: the number of them.
        mode: Pillow's name for its kind of pixels: "RGB", "I;16".
        numbers: the lowest and the highest, where they are known: a range is for them, or they have more than 8 bits.
        outside: the share of numbers beyond a recipe's black and white, which become black or white; None without such.
        name: the path of its file, and the frame of several in it; or another name of its sample.
        transparent: it has transparent pixels, or could have, that lie over a background.
        measure: where `numbers` is None, a function that reads them; None where it cannot be.
    """

    size: tuple[int, int]
    channels: int
    mode: str
    numbers: tuple[float, float] | None = None
    outside: float | None = None
    name: str = ""
    transparent: bool = False
    measure: Callable[[], tuple[float, float] | None] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Preview:
    """Some training examples of a field.

    Attributes:
        examples: (n, *shape), not augmented, on the CPU.
        originals: their pictures as the files have them; empty where there are no files.
        texts: a sentence about each; empty where there are none.
    """

    examples: Tensor
    originals: Sequence[Original] = ()
    texts: Sequence[str] = ()


def spread_indices(size: int, most: int) -> list[int]:
    """At most so many of 0 … size − 1, at equal distances."""
    return list(range(size)) if size <= most else [i * size // most for i in range(most)]


def likely_range(low: float, high: float) -> tuple[float, float]:
    """The numbers of black and white of pictures whose numbers lie between these: those of a usual depth where they fill it, else
    a little more than these."""
    depth = next((depth for depth in _DEPTHS if high <= depth), None)
    if depth is not None and low >= 0 and (low == high or (low < depth / 4 and high > depth / 2)):
        return 0.0, float(depth)
    if low == high:
        return low, low + 1
    step = 10.0 ** (math.floor(math.log10(high - low)) - 2)
    return 0.0 if 0 <= low < (high - low) / 20 else math.floor(low / step) * step, math.ceil(high / step) * step


def range_override(low: float, high: float) -> str:
    """Override that makes all numbers between these count."""
    black, white = likely_range(low, high)
    return f"data.range=[{black:.10g}, {white:.10g}]"


def range_advice(low: float, high: float) -> str:
    """Override that makes all numbers between these count, in quotes for a shell."""
    return f"'{range_override(low, high)}'"
