"""How images of a folder are cut out, to train on and to evaluate on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganflow_layers.files import RESIDENT_BYTES
from ganflow_layers.framing import Framing

if TYPE_CHECKING:
    from ganflow_translation.data import PairedFolder, UnpairedFolder

JITTER = 286 / 256  # Isola et al. 2016, section 6.2: resized to 286, then cropped to 256 at random


def framing(chosen: PairedFolder | UnpairedFolder) -> Framing:
    """For training."""
    resize = chosen.resize or (round(chosen.size * JITTER) if chosen.crop == "random" else chosen.size)
    return Framing(chosen.size, resize, chosen.crop, chosen.flip)


def still(chosen: PairedFolder | UnpairedFolder) -> Framing:
    """For evaluation: as much of the picture as a square can hold."""
    return Framing(chosen.size, chosen.size, "none" if chosen.crop == "none" else "centre", flip=False)


def resident(chosen: PairedFolder | UnpairedFolder, numbers: int) -> bool:
    """Whether so many numbers of training images are kept in memory: by the same rule as image_folder."""
    augmented = chosen.flip or chosen.crop == "random"
    small = 4 * numbers <= RESIDENT_BYTES and not augmented
    return chosen.in_memory == "always" or (chosen.in_memory == "auto" and small)
