"""Birds on a branch: every bird stands nearly the same way, so that it is known which pixels show which region."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from ganflow_layers.drawing.canvas import UNITS, Canvas, Materials, Point, averaged, between, centres, middles

from ganflow_text.birds.plumage import COLOURS, NAMES, REGIONS, Plumage, drawn

# Materials, back to front. A region is one material or several, each with its own light.
SKY, BRANCH, TAIL, TARSUS, BACK, BELLY, THROAT, FACE, WING, WING_EDGE, BEAK, EYE_WHITE, EYE = range(13)
LIGHT = {TAIL: 0.82, TARSUS: 0.9, BACK: 1.0, BELLY: 1.0, THROAT: 1.0, FACE: 1.0, WING: 0.95, WING_EDGE: 0.66}
PLAIN = {BRANCH: (112, 82, 54), BEAK: (232, 150, 46), EYE_WHITE: (250, 250, 250), EYE: (10, 10, 10)}
OF_REGION = {"belly": (BELLY, TARSUS), "back": (BACK, TAIL), "wings": (WING, WING_EDGE), "throat": (THROAT,), "face": (FACE,)}


@dataclass(frozen=True)
class Bird:
    """Attributes:
    plumage: its colours.
    materials: what is where, (side, side).
    high, low: colours of the background at the top and at the bottom.
    """

    plumage: Plumage
    materials: Materials
    high: np.ndarray
    low: np.ndarray


def picture(bird: Bird) -> np.ndarray:
    """(size, size, 3) uint8."""
    m, at = bird.materials, middles(len(bird.materials))
    rows = np.zeros((len(at), EYE + 1, 3), np.float32)  # the colour of every material in every row
    rows[:, SKY] = between(bird.high, bird.low, at / UNITS)
    for material, colour in PLAIN.items():
        rows[:, material] = colour
    for region, number in zip(REGIONS, bird.plumage, strict=True):
        for material in OF_REGION[region]:
            rows[:, material] = np.array(COLOURS[NAMES[number]]) * LIGHT[material]
    return averaged(rows[np.arange(len(at))[:, None], m])


def regions(bird: Bird) -> np.ndarray:
    """The number of the region at every pixel, len(REGIONS) where there is none: (size, size) uint8."""
    table = np.full(256, len(REGIONS), np.uint8)
    for number, region in enumerate(REGIONS):
        table[list(OF_REGION[region])] = number
    shown: np.ndarray = table[centres(bird.materials)]
    return shown


def colours(bird: Bird) -> np.ndarray:
    """(5,) int64, for each region the number of its colour."""
    return np.array(bird.plumage)


def draw(rng: np.random.Generator, size: int, held_out: bool = False) -> Bird:
    """A bird of any trained (or held-out) plumage."""
    return posed(rng, size, drawn(rng, held_out))


def posed(rng: np.random.Generator, size: int, plumage: Plumage) -> Bird:
    """A bird of this plumage, its position, size and slant a little different every time."""
    high = between((176, 208, 232), (206, 226, 200), rng.random())
    low = between((214, 226, 206), (150, 186, 140), rng.random())
    x, y, scale, slant = rng.uniform(29, 32), rng.uniform(32.5, 35.5), rng.uniform(0.97, 1.05), rng.uniform(-0.05, 0.05)
    cos, sin = math.cos(slant), math.sin(slant)

    def point(along: float, down: float) -> Point:
        return x + (along * cos - down * sin) * scale, y + (along * sin + down * cos) * scale

    canvas = Canvas(size)
    left, right = y + rng.uniform(18.5, 21), y + rng.uniform(18.5, 21)
    canvas.polygon([(0, left), (UNITS, right), (UNITS, right + 2.6), (0, left + 2.6)], BRANCH)
    _bird(canvas, point)
    return Bird(plumage, canvas.materials(), high, low)


def _bird(canvas: Canvas, point: Callable[[float, float], Point]) -> None:
    """Draw a bird in its coordinates: units around the middle of its body, the beak on the right."""

    def shape(corners: list[Point], material: int) -> None:
        canvas.polygon([point(*corner) for corner in corners], material)

    def ellipse(x: float, y: float, rx: float, ry: float, material: int, slant: float = 0.0) -> None:
        cos, sin = math.cos(slant), math.sin(slant)
        turns = [(rx * math.cos(t / 18 * math.pi), ry * math.sin(t / 18 * math.pi)) for t in range(36)]
        shape([(x + a * cos - b * sin, y + a * sin + b * cos) for a, b in turns], material)

    for leg in (-1.5, 4.5):
        shape([(leg - 1.1, 11), (leg + 1.1, 11), (leg + 1.4, 20), (leg - 0.6, 20)], TARSUS)
    shape([(-12, -3), (-28, 9), (-26, 15.5), (-8, 8)], TAIL)
    ellipse(-1, 0, 17.5, 12, BACK, -0.3)
    ellipse(3.5, 6, 13.5, 9.5, BELLY, -0.35)
    ellipse(11.5, -4, 7.5, 8, THROAT, 0.35)
    ellipse(12, -12.5, 10.5, 9.5, THROAT)
    ellipse(15.6, -12.5, 7.4, 7.2, FACE)
    ellipse(-5, 0.8, 11.5, 6.6, WING_EDGE, -0.14)
    ellipse(-5, 0, 11, 5.6, WING, -0.14)
    shape([(21.6, -15), (29, -11.6), (21.6, -9.4)], BEAK)
    ellipse(17.4, -14.6, 1.9, 1.9, EYE_WHITE)
    ellipse(17.8, -14.6, 1.2, 1.2, EYE)
