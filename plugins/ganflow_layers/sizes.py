"""Sizes of images as recipes have them: one number for squares, or two, height and width."""

from __future__ import annotations

from collections.abc import Sequence

Size = int | Sequence[int]
SIZE = "height and width in pixels; two numbers make a rectangle, [height, width]"


def sides(size: Size) -> tuple[int, int]:
    """Height and width.

    Raises:
        ValueError: it is a list of other than two numbers.
    """
    if isinstance(size, int):
        return size, size
    if len(size) != 2:
        raise ValueError(f"size: {list(size)} has {len(size)} numbers; write one for squares, or [height, width]")
    return size[0], size[1]


def shorter(size: Size) -> int:
    """The shorter side."""
    return min(sides(size))
