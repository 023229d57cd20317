"""Lamps in translated nights of data `street`: which are lit, and what glows on house fronts where no lamp stands.

The scenes are known, so the same night can be drawn without lamps and headlights. The glow of a pixel is how far it is from that
along the colour of the light: 1 where a lamp shines at its strongest, 0 where nothing shines.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from ganflow_layers.drawing.canvas import FINE
from ganflow_layers.drawing.tensors import HELD_OUT, scenes
from ganflow_translation.scenes import street
from torch import Tensor

LIT = 0.5  # of a lamp's true glow, on average where that is above ½
SEEN = 0.3  # the glow of a pixel that counts as bright
NEAR, NONE = 0.1, 0.03  # the true glow around a lamp, and where nothing shines


class Lamps:
    """Scores of nights made of the held-out days.

    Args:
        size, held_out, seed, lamp: of data `street`.
    """

    def __init__(self, size: int, held_out: int, seed: int = 0, lamp: float = 1) -> None:
        streets = held_out_streets(size, held_out, seed, lamp)
        dark = [replace(scene, lamps=(), beams=()) for scene in streets]
        self.dark = _nights(dark)
        self.true = self.glow(_nights(streets))
        self.of_lamps = self.glow(_nights([replace(scene, beams=()) for scene in streets]))
        walls = np.stack([np.isin(scene.materials, street.HOUSES + np.arange(len(street.HOUSE_COLOURS))) for scene in streets])
        self.fronts = walls.reshape(held_out, size, FINE, size, FINE).all((2, 4))
        of_each = [(i, replace(dark[i], lamps=(at,))) for i, scene in enumerate(streets) for at in scene.lamps]
        discs = [(i, _glow(_nights([alone]), self.dark[i]) > 0.5) for i, alone in of_each]
        self.each = [(i, where) for i, where in discs if where.any()]  # a wide head, bright by itself, may hide all

    def glow(self, pictures: np.ndarray) -> np.ndarray:
        """Of every pixel of pictures (n, size, size, 3) in 0 … 255, (n, size, size)."""
        return _glow(pictures, self.dark)

    def scores(self, made: Tensor) -> dict[str, float]:
        """Of nights (n, 3, size, size) in [−1, 1]: the share of the lamps that are lit (`lit`, 1 at best), the share of the
        fronts' pixels that glow far from any light (`stray`, 0 at best), and the share of the glowing pixels of fronts that are
        near a lamp (`at lamps`, 1 at best)."""
        glow = self.glow((made.permute(0, 2, 3, 1).numpy() + 1) * 127.5)
        lit = [glow[i][where[0]].mean() >= LIT * self.of_lamps[i][where[0]].mean() for i, where in self.each]
        bright = (glow > SEEN) & self.fronts
        away = self.fronts & (self.true < NONE)
        near = (bright & (self.of_lamps > NEAR)).sum() / max(1, bright.sum())
        return {"lit": float(np.mean(lit)), "stray": float(bright[away].mean()), "at lamps": float(near)}


def held_out_streets(size: int, held_out: int, seed: int = 0, lamp: float = 1) -> list[street.Street]:
    """The held-out scenes of data `street` with these keys."""
    return list(scenes(partial(street.draw, lamp=lamp), held_out, size, seed, HELD_OUT))


def _nights(streets: list[street.Street]) -> np.ndarray:
    return np.stack([street.night(scene) for scene in streets]).astype(np.float32)


def _glow(pictures: np.ndarray, dark: np.ndarray) -> np.ndarray:
    glow: np.ndarray = (pictures - dark) @ (street.GLOW / (street.GLOW @ street.GLOW))
    return glow
