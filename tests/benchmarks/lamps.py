"""Lamps in translated nights of data `street`: which are lit, and what glows on house fronts where no lamp stands.

    python tests/benchmarks/lamps.py RUN … [--picture FILE]    # paths of runs, such as build/gallery/cyclegan_street/…/0/…/…

The scenes are known, so the same night can be drawn without lamps and headlights. The glow of a pixel is how far it is from that
along the colour of the light: 1 where a lamp shines at its strongest, 0 where nothing shines.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from ganflow_layers.drawing.canvas import FINE
from ganflow_layers.drawing.tensors import HELD_OUT, scenes
from ganflow_translation.measures import compare, translate
from ganflow_translation.scenes import street
from torch import Tensor

from ganflow import image_sheet
from ganflow.contract.data import TensorData
from ganflow.plugins import Composition
from ganflow.recipe import kept_recipe
from ganflow.runs.folders import RunFolder
from ganflow.runs.loading import find_checkpoint, game_of

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


def measured(path: Path) -> dict[str, Tensor]:
    """Print the scores of a run; returns held-out days, the nights made of them, and the true ones."""
    recipe = kept_recipe(RunFolder(path).recipe)
    data = Composition(recipe.slots(), recipe.modifiers, recipe.metrics).build("data")
    assert isinstance(data, TensorData)
    game, keys = game_of(recipe, find_checkpoint(RunFolder(path), "last"), data), recipe.data.settings
    days, nights = data.held_out["a"], data.held_out["b"]
    made = translate(game, days, "b")
    lamps = Lamps(keys.size, keys.held_out, keys.seed, keys.lamp).scores(made)
    psnr = {"PSNR, night": compare(made, nights)["psnr"], "PSNR, day": compare(translate(game, nights, "a"), days)["psnr"]}
    print(path.name, *(f"{name} {value:.3f}" for name, value in {**lamps, **psnr}.items()), sep="  ", flush=True)
    return {"day": days, "night": made, "true night": nights}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="paths of runs")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="days, nights and true nights of these runs")
    args = parser.parse_args()
    rows = {}
    for number, path in enumerate(args.runs, 1):
        rows |= {f"{what}, run {number}": pictures[:8] for what, pictures in measured(path).items()}
    if args.picture:
        image_sheet(rows).save(args.picture)


if __name__ == "__main__":
    main()
