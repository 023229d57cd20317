"""Pictures that do not fit in memory at once, made in tiles whose seams do not show."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

OVERLAP = 3 / 8  # of a tile, with the next
CUT = 3 / 8  # of the overlap: made for the sake of what is beside it, and thrown away


def tiled(make: Callable[[Tensor], Tensor], x: Tensor, tile: int, multiple: int = 1) -> Tensor:
    """Images made from x in tiles: `make(x)`, where `make` sees no farther than 9/64 of a tile, as convolutions do that are few
    enough; else nearly that, for from tile to tile one fades into the next.

    Args:
        make: of images (n, channels, height, width) such of the same height and width, in whose last rows and columns it may
            differ where these are no multiple.
        tile: height and width of a piece; the last one in a row or column may be longer by less than `multiple`.
        multiple: tiles begin at multiples of this.
    """
    height, width = x.shape[2:]
    if max(height, width) <= tile:
        return make(x)
    whole = weights = torch.empty(0)
    for top, down in spans(height, tile, multiple):
        for left, right in spans(width, tile, multiple):
            made = make(x[:, :, top:down, left:right])
            if not len(whole):
                whole, weights = made.new_zeros(*made.shape[:2], height, width), made.new_zeros(height, width)
            weight = fade(top, down, height, tile)[:, None] * fade(left, right, width, tile)
            whole[:, :, top:down, left:right] += made * weight
            weights[top:down, left:right] += weight
    return whole / weights


def spans(length: int, tile: int, multiple: int) -> Iterator[tuple[int, int]]:
    """Begin and end of overlapping tiles that cover a length. The last one is longer than a tile, by less than `multiple`, rather
    than shorter: a network may have a least size."""
    step = max(multiple, int(tile * (1 - OVERLAP)) // multiple * multiple)
    last = max(0, (length - tile) // multiple * multiple)
    yield from ((start, start + tile) for start in range(0, last, step))
    yield last, length


def fade(start: int, end: int, length: int, tile: int) -> Tensor:
    """Weights of a tile along one side: none at its ends, where it is not the picture's, and from there up to 1."""
    overlap = int(tile * OVERLAP)
    cut = int(overlap * CUT)
    ramp = overlap - 2 * cut
    rise = ((torch.arange(end - start) - cut + 0.5) / max(1, ramp)).clamp(0, 1)
    ones = torch.ones(end - start)
    return (rise if start else ones) * (rise.flip(0) if end < length else ones)
