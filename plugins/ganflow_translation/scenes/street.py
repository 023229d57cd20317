"""A street by day and by night."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from ganflow_layers.drawing.canvas import FINE, UNITS, Canvas, Materials, Point, averaged, between, middles, palette
from PIL import Image, ImageDraw, ImageFilter

SKY, LUMINARY, ROOF, WINDOW, DOOR, KERB, ROAD, DASH, POLE, LAMP, CABIN, WHEEL, LIGHT, TRUNK, LEAVES = range(15)
HOUSES = 32  # and on: walls of these colours
HOUSE_COLOURS = ((214, 120, 92), (228, 196, 132), (150, 166, 186), (186, 142, 170), (160, 180, 130))
CARS = 64  # and on
CAR_COLOURS = ((200, 40, 44), (40, 90, 190), (240, 240, 240), (40, 140, 80))

DAY = palette(
    {
        LUMINARY: (255, 244, 176), ROOF: (140, 62, 52), WINDOW: (62, 78, 104), DOOR: (92, 60, 44), KERB: (178, 172, 164),
        ROAD: (124, 124, 128), DASH: (240, 240, 236), POLE: (70, 72, 78), LAMP: (236, 236, 226), CABIN: (160, 200, 225),
        WHEEL: (24, 24, 26), LIGHT: (250, 240, 200), TRUNK: (96, 70, 50), LEAVES: (72, 134, 62),
    }
    | {HOUSES + i: colour for i, colour in enumerate(HOUSE_COLOURS)}
    | {CARS + i: colour for i, colour in enumerate(CAR_COLOURS)}
)  # fmt: skip
NIGHT = between(DAY * 0.36, (14, 14, 40), 0.30)  # little light, and that bluish; but for what shines by itself:
for _material, _colour in {
    LUMINARY: (226, 230, 240), WINDOW: (255, 210, 104), DOOR: (96, 58, 40), LAMP: (255, 236, 170), LIGHT: (255, 246, 196),
    ROAD: (26, 26, 40), KERB: (46, 44, 60), DASH: (92, 92, 106), WHEEL: (8, 8, 12),
}.items():  # fmt: skip
    NIGHT[_material] = _colour
Colour = tuple[int, int, int]
SKY_BY_DAY = ((96, 160, 236), (206, 228, 246))
SKY_BY_NIGHT = ((8, 10, 34), (52, 42, 88))
STARS = ((5, 4), (13, 12), (19, 3), (24, 17), (29, 8), (36, 14), (41, 4), (47, 10), (53, 18), (58, 5), (61, 13), (9, 20))
GLOW = np.array((170, 122, 46), np.float32)  # of lamps and headlights, at its strongest


@dataclass(frozen=True)
class Street:
    """Attributes:
    materials: what is where, (side, side).
    horizon: where the road begins, in units from the top.
    lamps: middles of street lamps.
    beams: corners of headlights' cones.
    """

    materials: Materials
    horizon: float
    lamps: tuple[Point, ...]
    beams: tuple[tuple[Point, ...], ...]


def day(street: Street) -> np.ndarray:
    """(size, size, 3) uint8."""
    return averaged(_coloured(street, DAY, SKY_BY_DAY))


def night(street: Street) -> np.ndarray:
    """(size, size, 3) uint8."""
    points = _coloured(street, NIGHT, SKY_BY_NIGHT)
    points[(street.materials == SKY) & _stars(len(points))] = (170, 176, 200)
    return averaged(points + _glow(street)[..., None] * GLOW)


def _coloured(street: Street, colours: np.ndarray, sky: tuple[Colour, Colour]) -> np.ndarray:
    column = between(sky[0], sky[1], middles(len(street.materials)) / street.horizon)
    return np.where((street.materials == SKY)[..., None], column[:, None], colours[street.materials])


@cache
def _stars(side: int) -> np.ndarray:
    """The same in every scene, so that they can be foretold: (side, side) bool."""
    at = middles(side)
    stars: np.ndarray = np.logical_or.reduce(
        [np.maximum(np.abs(at[None, :] - x), np.abs(at[:, None] - y)) < 0.4 for x, y in STARS]
    )
    return stars


def _glow(street: Street) -> np.ndarray:
    """Brightness of the light from lamps and headlights, (side, side) in [0, 1]."""
    side = len(street.materials)
    unit = side / FINE / UNITS  # drawn in whole pixels: it is blurred anyway
    image = Image.new("L", (side // FINE, side // FINE))
    draw = ImageDraw.Draw(image)
    for beam in street.beams:
        draw.polygon([(x * unit, y * unit) for x, y in beam], fill=210)
    for x, y in street.lamps:
        draw.ellipse(((x - 5) * unit, (y - 5) * unit, (x + 5) * unit, (y + 5) * unit), fill=255)
    soft = image.filter(ImageFilter.GaussianBlur(2 * unit)).resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(soft, np.float32) / 255


def draw(rng: np.random.Generator, size: int, lamp: float = 1) -> Street:
    """A row of houses under the sun or moon, a road with lamps, most often with a tree and a car.

    Args:
        lamp: the heads and posts of lamps are so many times as wide; their light is the same.
    """
    canvas = Canvas(size)
    horizon = int(rng.integers(42, 48))
    canvas.disc(rng.uniform(8, 56), rng.uniform(6, 13), rng.uniform(3.2, 4.6), LUMINARY)
    x = -rng.uniform(0, 8)
    last = -1
    while x < UNITS:
        width, height = rng.uniform(11, 19), rng.uniform(16, 34)
        hue = int(rng.choice([i for i in range(len(HOUSE_COLOURS)) if i != last]))
        _house(canvas, x, horizon, width, height, HOUSES + hue, roof=rng.random() < 0.5)
        x, last = x + width, hue
    canvas.box(0, horizon, UNITS, UNITS, ROAD)
    canvas.box(0, horizon, UNITS, horizon + 2.2, KERB)
    middle = (horizon + UNITS) / 2 + 2
    offset = rng.uniform(0, 12)
    for i in range(-1, 6):
        canvas.box(12 * i + offset, middle, 12 * i + offset + 6, middle + 1.2, DASH)
    if rng.random() < 0.6:
        _tree(canvas, rng.uniform(4, 60), horizon + 1.5, rng.uniform(3.5, 5))
    lamps = [(rng.uniform(5, 59), horizon - rng.uniform(11, 14)) for _ in range(int(rng.integers(1, 3)))]
    for x, y in lamps:
        canvas.box(x - 0.6 * lamp, y, x + 0.6 * lamp, horizon + 2.5, POLE)
        canvas.disc(x, y, 1.7 * lamp, LAMP)
    beams = []
    if rng.random() < 0.8:
        x, y = rng.uniform(12, 52), middle - rng.uniform(1, 3)
        _car(canvas, x, y, CARS + int(rng.integers(len(CAR_COLOURS))))
        beams.append(((x + 7, y + 0.2), (x + 18, y - 2), (x + 18, y + 5), (x + 7, y + 2)))
    return Street(canvas.materials(), horizon, tuple(lamps), tuple(beams))


def _house(canvas: Canvas, x: float, ground: float, width: float, height: float, wall: int, roof: bool) -> None:
    top = ground - height
    canvas.box(x, top, x + width, ground, wall)
    if roof:
        canvas.polygon([(x - 0.6, top), (x + width / 2, top - 6), (x + width + 0.6, top)], ROOF)
    across, down = max(2, int(width / 5)), max(2, int(height / 7))
    for i in range(across):
        for j in range(down):
            middle, y = x + width * (i + 0.5) / across, top + height * (j + 0.5) / down
            if j == down - 1 and i == across // 2:
                canvas.box(middle - 1.4, y - 1.2, middle + 1.4, ground, DOOR)
            else:
                canvas.box(middle - 1.2, y - 1.7, middle + 1.2, y + 1.7, WINDOW)


def _tree(canvas: Canvas, x: float, ground: float, radius: float) -> None:
    canvas.box(x - 0.7, ground - 9, x + 0.7, ground, TRUNK)
    for dx, dy, share in ((-0.55, 0.25, 0.75), (0.55, 0.25, 0.75), (0, -0.3, 0.95)):
        canvas.disc(x + dx * radius, ground - 10 + dy * radius, share * radius, LEAVES)


def _car(canvas: Canvas, x: float, y: float, paint: int) -> None:
    canvas.polygon([(x - 4.6, y), (x - 3.4, y - 3.8), (x + 2.6, y - 3.8), (x + 4.6, y)], paint)
    canvas.polygon([(x - 3.5, y - 0.4), (x - 2.8, y - 3), (x + 2.2, y - 3), (x + 3.5, y - 0.4)], CABIN)
    canvas.box(x - 0.5, y - 3.4, x + 0.1, y, paint)
    hood, bumper = y - 0.6, y + 3
    canvas.polygon([(x - 7, y + 0.2), (x - 6, hood), (x + 6, hood), (x + 7, y + 0.4), (x + 7, bumper), (x - 7, bumper)], paint)
    for wheel in (x - 4, x + 4):
        canvas.disc(wheel, y + 3.1, 1.7, WHEEL)
    canvas.box(x + 6, y + 0.2, x + 7.3, y + 1.6, LIGHT)
