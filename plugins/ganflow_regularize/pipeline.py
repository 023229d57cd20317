"""Alterations of images with a probability, differentiable as often as wanted: those of adaptive discriminator augmentation
(Karras et al. 2020, arXiv:2006.06676, appendix B), by its code's names and numbers, but for its image-space filtering and noise.

Geometry is one map of coordinates for each image, however many alterations it is made of, and one bilinear interpolation;
beyond the border the image is mirrored. Interpolation is by `gather`: torch's `grid_sample` has no second derivative, which the
slopes of `r1` need.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

SHIFT = 0.125  # of a side: the largest whole shift, and the standard deviation of the fractional one
STRETCH = 0.2  # standard deviation of the logarithm to base 2 of a scale
BRIGHTNESS, CONTRAST, SATURATION = 0.2, 0.5, 1.0  # standard deviations; the last two of logarithms to base 2


class Draws:
    """Random numbers for each of the images x, (n, 1, 1, 1), that are neutral for all but a share p of them.

    Args:
        p: a 0-dim tensor.
    """

    def __init__(self, x: Tensor, p: Tensor) -> None:
        self.shape, self.p, self.like = (len(x), 1, 1, 1), p, {"dtype": x.dtype, "device": x.device}

    def where(self, drawn: Tensor, neutral: float, p: Tensor | None = None) -> Tensor:
        chosen = torch.rand(self.shape, **self.like) < (self.p if p is None else p)  # type: ignore[call-overload]
        return torch.where(chosen, drawn, neutral)

    def normal(self, std: float) -> Tensor:
        return self.where(torch.randn(self.shape, **self.like) * std, 0.0)  # type: ignore[call-overload]

    def uniform(self, most: float, p: Tensor | None = None) -> Tensor:
        return self.where((torch.rand(self.shape, **self.like) * 2 - 1) * most, 0.0, p)  # type: ignore[call-overload]

    def whole(self, count: int) -> Tensor:
        """0 … count − 1."""
        return self.where((torch.rand(self.shape, **self.like) * count).floor(), 0.0)  # type: ignore[call-overload]


class Affine:
    """An affine map of pixels to the coordinates that they come from, matrix · pixel + offset, in pixels from the middle.

    Attributes:
        rows: of the matrix, two lists of two numbers (n, 1, 1, 1).
        offset: along the width, then the height.
    """

    def __init__(self, x: Tensor) -> None:
        one, none = x.new_ones(len(x), 1, 1, 1), x.new_zeros(len(x), 1, 1, 1)
        self.rows, self.offset = [[one, none], [none, one]], [none, none]

    def times(self, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> None:
        """Let pixels go through ((a, b), (c, d)) first."""
        self.rows = [[p * a + q * c, p * b + q * d] for p, q in self.rows]

    def shift(self, x: Tensor, y: Tensor) -> None:
        self.offset = [offset + p * x + q * y for offset, (p, q) in zip(self.offset, self.rows, strict=True)]

    def turn(self, angle: Tensor) -> None:
        cos, sin = angle.cos(), angle.sin()
        self.times(cos, -sin, sin, cos)


def blit(affine: Affine, draws: Draws, height: int, width: int) -> None:
    """Mirror left and right, turn by quarters, shift by whole pixels: nothing is interpolated."""
    mirrored = 1 - 2 * draws.whole(2)
    one, none = torch.ones_like(mirrored), torch.zeros_like(mirrored)
    affine.times(mirrored, none, none, one)
    quarters = draws.whole(4)
    cos = (quarters == 0).to(one) - (quarters == 2).to(one)
    sin = (quarters == 1).to(one) - (quarters == 3).to(one)
    affine.times(cos, -sin, sin, cos)
    chosen = draws.where(one, 0.0)
    x, y = ((torch.rand_like(one) * 2 - 1) * SHIFT for _ in range(2))
    affine.shift((chosen * x * width).round(), (chosen * y * height).round())


def geometry(affine: Affine, draws: Draws, height: int, width: int) -> None:
    """Scale, turn, stretch in any direction, shift."""
    scale = torch.exp2(draws.normal(STRETCH))
    none = torch.zeros_like(scale)
    affine.times(scale, none, none, scale)
    turned = 1 - (1 - draws.p).sqrt()  # of the two turns: so a share p is turned at all
    affine.turn(draws.uniform(math.pi, turned))
    stretch = torch.exp2(draws.normal(STRETCH))
    affine.times(stretch, none, none, 1 / stretch)
    affine.turn(draws.uniform(math.pi, turned))
    chosen = draws.where(torch.ones_like(scale), 0.0)
    x, y = (torch.randn_like(scale) * SHIFT for _ in range(2))
    affine.shift(chosen * x * width, chosen * y * height)


MAPS: dict[str, Callable[[Affine, Draws, int, int], None]] = {"blit": blit, "geometry": geometry}


def interpolated(x: Tensor, affine: Affine) -> Tensor:
    """Images whose pixels come from these coordinates of x, bilinearly."""
    height, width = x.shape[2:]
    right = torch.arange(width, dtype=x.dtype, device=x.device) - (width - 1) / 2
    down = (torch.arange(height, dtype=x.dtype, device=x.device) - (height - 1) / 2)[:, None]
    columns, rows = (
        p * right + q * down + offset + (side - 1) / 2
        for (p, q), offset, side in zip(affine.rows, affine.offset, (width, height), strict=True)
    )
    left, from_left = _between(columns, width)
    top, from_top = _between(rows, height)
    flat, first = x.flatten(2), top * width + left

    def at(below: int, beside: int) -> Tensor:
        index = (first + below * width + beside).flatten(2).expand(-1, x.shape[1], -1)
        return flat.gather(2, index).view(x.shape)

    upper = at(0, 0) * (1 - from_left) + at(0, 1) * from_left
    lower = at(1, 0) * (1 - from_left) + at(1, 1) * from_left
    return upper * (1 - from_top) + lower * from_top


def _between(coordinate: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """The pixel before a coordinate, mirrored into 0 … side − 1, and the distance from it."""
    last = side - 1
    inside = last - (torch.remainder(coordinate, 2 * last) - last).abs()
    before = inside.floor().clamp(0, last - 1)
    return before.long(), inside - before


def color(x: Tensor, draws: Draws) -> Tensor:
    """Brightness, contrast, and about the pixel's grey: light and dark exchanged, hue, saturation (of several channels)."""
    x = (x + draws.normal(BRIGHTNESS)) * torch.exp2(draws.normal(CONTRAST))
    grey = x.mean(1, keepdim=True)
    x = x - 2 * draws.whole(2) * grey
    if x.shape[1] == 1:
        return x
    grey = x.mean(1, keepdim=True)
    rest = x - grey
    if x.shape[1] == 3:
        angle = draws.uniform(math.pi)
        rest = angle.cos() * rest + angle.sin() / math.sqrt(3) * (x.roll(1, 1) - x.roll(-1, 1))
    return grey + rest * torch.exp2(draws.normal(SATURATION))


def alter(x: Tensor, policy: list[str], p: Tensor) -> Tensor:
    """Images x, (n, channels, height, width), each altered with probability p in every way of the policy."""
    draws, maps = Draws(x, p), [MAPS[name] for name in MAPS if name in policy]
    if maps:
        affine = Affine(x)
        for change in maps:
            change(affine, draws, *x.shape[2:])
        x = interpolated(x, affine)
    return color(x, draws) if "color" in policy else x
