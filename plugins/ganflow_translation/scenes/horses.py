"""Horses, and zebras that stand just as they do."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from ganflow_layers.drawing.canvas import UNITS, Canvas, Materials, Point, averaged, between, middles

SKY, GRASS, TUFT, HILL, BODY, NECK, LEG, MANE, TAIL, MUZZLE, HOOF, EYE = range(12)
WHITE, BLACK = np.array((240, 238, 232), np.float32), np.array((30, 28, 32), np.float32)
STRIPE = 5.6  # from one black stripe to the next, in units at scale 1


@dataclass(frozen=True)
class Pose:
    """Map from the animal's coordinates (units around the middle of its body, head on the right) to the picture's."""

    x: float
    y: float
    scale: float
    angle: float
    mirrored: bool

    def point(self, along: float, down: float) -> Point:
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        x, y = along * cos - down * sin, along * sin + down * cos
        return self.x + (-x if self.mirrored else x) * self.scale, self.y + y * self.scale

    def inverse(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The map from the picture's coordinates to the animal's."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        dx, dy = (x - self.x) / (-self.scale if self.mirrored else self.scale), (y - self.y) / self.scale
        return dx * cos + dy * sin, dy * cos - dx * sin


@dataclass(frozen=True)
class Meadow:
    """Attributes:
    materials: what is where, (side, side).
    pose: of the animal.
    horizon: in units from the top.
    sky, grass, coat: colours.
    """

    materials: Materials
    pose: Pose
    horizon: float
    sky: np.ndarray
    grass: np.ndarray
    coat: np.ndarray


def horse(meadow: Meadow) -> np.ndarray:
    """(size, size, 3) uint8."""
    points, light, _ = _surroundings(meadow)
    m = meadow.materials
    coat = np.isin(m, (BODY, NECK, LEG))
    points[coat] = meadow.coat * light[coat, None]
    points[m == MUZZLE] = meadow.coat * 0.72
    points[(m == MANE) | (m == TAIL)] = meadow.coat * 0.34
    return averaged(points)


def zebra(meadow: Meadow) -> np.ndarray:
    """(size, size, 3) uint8."""
    points, light, (along, down) = _surroundings(meadow)
    m = meadow.materials
    # Stripes go round each part: upright on the body, leaning with the rump; across the neck; level on the legs.
    waves = np.select(
        [m == BODY, (m == NECK) | (m == MANE)],
        [along + 0.10 * down * np.sin(along / 9), 0.45 * along - 0.9 * down],
        default=down,
    )
    black = np.sin(waves * (2 * np.pi / STRIPE)) < -0.05
    coat = np.isin(m, (BODY, NECK, LEG, MANE))
    points[coat] = np.where(black[coat, None], BLACK, WHITE) * light[coat, None].clip(0.78, 1.05)
    points[(m == MUZZLE) | (m == TAIL)] = BLACK
    return averaged(points)


def _surroundings(meadow: Meadow) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """The colours of all but the coat (side, side, 3), the light on the coat (side, side), the animal's coordinates."""
    m, at = meadow.materials, middles(len(meadow.materials))
    down_the_sky, down_the_grass = at / meadow.horizon, (at - meadow.horizon) / (UNITS - meadow.horizon)
    rows = np.zeros((len(at), EYE + 1, 3), np.float32)  # the colour of every material in every row
    rows[:, SKY] = between(meadow.sky, (236, 242, 246), down_the_sky)
    rows[:, GRASS] = between(meadow.grass * 1.12, meadow.grass * 0.77, down_the_grass)
    rows[:, TUFT] = between(meadow.grass * 0.84, meadow.grass * 0.58, down_the_grass)
    rows[:, HILL] = between(meadow.grass * 0.6 + 96, meadow.grass * 0.6 + 70, down_the_sky)
    rows[:, HOOF], rows[:, EYE] = (38, 32, 30), (12, 10, 10)
    points = rows[np.arange(len(at))[:, None], m]
    along, down = meadow.pose.inverse(at[None, :], at[:, None])
    return points, (1.08 - 0.022 * (down + 8)).clip(0.6, 1.2), (along, down)


def draw(rng: np.random.Generator, size: int) -> Meadow:
    """A meadow under the sky, sometimes with a hill, and one animal."""
    canvas = Canvas(size)
    horizon = rng.uniform(20, 30)
    sky = between((120, 180, 240), (240, 214, 180), rng.random())
    grass = between((86, 150, 60), (190, 168, 88), rng.random())
    coat = between((158, 92, 46), (112, 62, 34), rng.random())
    if rng.random() < 0.5:
        middle, radius = rng.uniform(0, 64), rng.uniform(18, 40)
        canvas.disc(middle, horizon + radius * 0.82, radius, HILL)
    canvas.box(0, horizon, UNITS, UNITS, GRASS)
    for _ in range(int(rng.integers(8, 16))):
        x, y, lean = rng.uniform(0, 64), rng.uniform(horizon + 3, 64), rng.uniform(-1, 1)
        canvas.polygon([(x - 0.5, y), (x + 0.5, y), (x + lean, y - 2.4)], TUFT)
    pose = Pose(
        rng.uniform(27, 36), rng.uniform(32, 37), rng.uniform(0.85, 1.12), rng.uniform(-0.16, 0.16), bool(rng.random() < 0.5)
    )
    _animal(canvas, pose, rng.uniform(-2, 2, 4))
    return Meadow(canvas.materials(), pose, horizon, sky, grass, coat)


def _animal(canvas: Canvas, pose: Pose, steps: np.ndarray) -> None:
    """Back to front; `steps` says how far each of the four legs is set forward."""

    def shape(corners: list[Point], material: int) -> None:
        canvas.polygon([pose.point(*corner) for corner in corners], material)

    def ellipse(x: float, y: float, rx: float, ry: float, material: int) -> None:
        turns = [2 * math.pi * i / 28 for i in range(28)]
        shape([(x + rx * math.cos(t), y + ry * math.sin(t)) for t in turns], material)

    shape([(-13, -5), (-16.5, -3), (-18.5, 4), (-18, 9), (-15.6, 5), (-14.2, -1)], TAIL)
    for hip, step in zip((-11, -7.4, 7.4, 10.6), steps.tolist(), strict=True):
        foot = hip + step
        knee = hip + step * 0.35
        shape([(hip - 2.4, 1), (hip + 2.4, 1), (knee + 1.4, 10), (foot + 1.2, 19), (foot - 1.2, 19), (knee - 1.4, 10)], LEG)
        shape([(foot - 1.3, 18.4), (foot + 1.3, 18.4), (foot + 1.9, 20.4), (foot - 1.4, 20.4)], HOOF)
    ellipse(-7.6, -1.0, 7.6, 7.2, BODY)
    ellipse(7.6, -0.6, 7.2, 7.0, BODY)
    shape([(-8, -7.9), (0, -6.8), (8, -7.4), (8, 6), (0, 6.6), (-8, 6)], BODY)
    shape([(5.6, -5.5), (10.6, -13.5), (12.6, -18), (17.4, -15.6), (15.8, -9), (14.4, 0), (10, 3)], NECK)
    shape([(4.8, -6), (9.4, -14), (12.6, -19.4), (14.2, -18.2), (11.2, -12.6), (7.4, -5.6)], MANE)
    shape([(12.4, -18.4), (16, -19.6), (21, -16.4), (25.2, -12.6), (24.4, -10.2), (21.6, -9.8), (15.4, -12.6)], NECK)
    shape([(22.6, -15), (25.6, -12.6), (24.8, -9.9), (21.8, -9.6), (20.8, -11)], MUZZLE)
    shape([(12.8, -18.6), (13.6, -22.8), (15.8, -19)], NECK)
    ellipse(17.2, -16.4, 0.7, 0.7, EYE)
