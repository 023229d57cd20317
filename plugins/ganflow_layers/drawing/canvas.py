"""A picture of materials: numbers that say what is where. Their colours are decided afterwards, and once per domain,
so that all domains of a scene agree pixel by pixel."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

UNITS = 64  # the side of every scene; one unit is a pixel at 64 × 64
FINE = 3  # a scene is drawn with FINE × FINE points per pixel, and averaged

Materials = np.ndarray  # (side, side) uint8
Point = tuple[float, float]


class Canvas:
    """Draws materials into a square of `size` pixels. Coordinates are in units from the top left; y points down."""

    def __init__(self, size: int) -> None:
        self._side = size * FINE
        self._unit = self._side / UNITS
        self._image = Image.new("L", (self._side, self._side))
        self._draw = ImageDraw.Draw(self._image)

    def box(self, left: float, top: float, right: float, bottom: float, material: int) -> None:
        """A rectangle, at least one point wide and high."""
        x0, y0, x1, y1 = self._points(left, top, right, bottom)
        self._draw.rectangle((x0, y0, x1 - 1, y1 - 1), fill=material)

    def ramp(self, left: float, top: float, right: float, bottom: float, first: int, steps: int) -> None:
        """A rectangle of `steps` materials from `first` on, from top to bottom."""
        x0, y0, x1, y1 = self._points(left, top, right, bottom)
        column = np.linspace(first, first + steps - 1, y1 - y0).round().astype(np.uint8)
        self._image.paste(Image.fromarray(np.repeat(column[:, None], x1 - x0, axis=1)), (x0, y0))

    def polygon(self, corners: Sequence[Point], material: int) -> None:
        self._draw.polygon([(x * self._unit, y * self._unit) for x, y in corners], fill=material)

    def disc(self, x: float, y: float, radius: float, material: int) -> None:
        self._draw.ellipse(self._around(x, y, radius, radius), fill=material)

    def dome(self, x: float, y: float, half: float, rise: float, material: int) -> None:
        """The upper half of an ellipse, 2 × half wide and `rise` high, over (x, y)."""
        self._draw.pieslice(self._around(x, y, half, rise), 180, 360, fill=material)

    def materials(self) -> Materials:
        return np.asarray(self._image)

    def _points(self, left: float, top: float, right: float, bottom: float) -> tuple[int, int, int, int]:
        x0, y0, x1, y1 = (round(v * self._unit) for v in (left, top, right, bottom))
        return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)

    def _around(self, x: float, y: float, half: float, rise: float) -> tuple[float, float, float, float]:
        u = self._unit
        return ((x - half) * u, (y - rise) * u, (x + half) * u, (y + rise) * u)


@cache
def middles(side: int) -> np.ndarray:
    """Middles of `side` points, in units: (side,) float32."""
    return (np.arange(side, dtype=np.float32) + 0.5) * (UNITS / side)


def averaged(points: np.ndarray) -> np.ndarray:
    """Colours (side, side, 3) in 0 … 255, of any number type, as a picture (size, size, 3) uint8."""
    fine = points if points.dtype == np.uint8 else points.clip(0, 255).astype(np.uint8)
    return np.asarray(Image.fromarray(fine).reduce(FINE))


def centres(materials: Materials) -> Materials:
    """The material in the middle of every pixel, (size, size)."""
    return materials[FINE // 2 :: FINE, FINE // 2 :: FINE]


def palette(colours: dict[int, tuple[int, int, int]]) -> np.ndarray:
    """Colours by material, (256, 3) float32."""
    table = np.zeros((256, 3), np.float32)
    for material, colour in colours.items():
        table[material] = colour
    return table


def between(first: Sequence[float] | np.ndarray, last: Sequence[float] | np.ndarray, share: np.ndarray | float) -> np.ndarray:
    """From the colour `first` to `last`, as `share`, of any shape, goes from 0 to 1: (*share's shape, 3) float32."""
    t = np.clip(np.asarray(share, np.float32), 0, 1)[..., None]
    mixed: np.ndarray = np.asarray(first, np.float32) * (1 - t) + np.asarray(last, np.float32) * t
    return mixed
