"""Plumages of birds: a colour for each of five regions, and which combinations are never trained on."""

from __future__ import annotations

import numpy as np

COLOURS = {
    "yellow": (244, 208, 48),
    "grey": (150, 152, 158),
    "brown": (122, 76, 40),
    "black": (28, 28, 32),
    "red": (206, 44, 40),
    "blue": (52, 96, 204),
    "white": (244, 244, 240),
    "green": (66, 150, 72),
}
NAMES = tuple(COLOURS)
REGIONS = ("belly", "back", "wings", "throat", "face")
"""The tarsus goes with the belly, the tail with the back, the nape with the throat."""

Plumage = tuple[int, ...]
"""For each region the number of its colour."""


def is_held_out(plumage: Plumage) -> bool:
    """True where the combination is never trained on: one in eight, those whose numbers add up to a multiple of eight. Any
    colours of four regions are trained on, so that nothing but the combination is new."""
    return sum(plumage) % len(NAMES) == 0


def drawn(rng: np.random.Generator, held_out: bool) -> Plumage:
    """A combination, all that are held out (or all that are not) being equally likely."""
    while True:
        plumage = tuple(rng.integers(len(NAMES), size=len(REGIONS)).tolist())
        if is_held_out(plumage) == held_out:
            return plumage
