"""Crops of a folder's images for training, and the choice to keep them in memory."""

from __future__ import annotations

from ganflow_layers.files import RESIDENT_BYTES
from ganflow_layers.framing import Framing
from ganflow_layers.sizes import Size, shorter

JITTER = 286 / 256  # Isola et al. 2016, section 6.2: resized to 286, then cropped to 256 at random


def framing(size: Size, resize: int | None, crop: str, flip: bool) -> Framing:
    """For training."""
    return Framing(size, resize or (round(shorter(size) * JITTER) if crop == "random" else size), crop, flip)


def resident(framing: Framing, in_memory: str, numbers: int) -> bool:
    """True where so many numbers of training images are kept in memory, by the same rule as image_folder."""
    small = 4 * numbers <= RESIDENT_BYTES and not framing.augmented
    return in_memory == "always" or (in_memory == "auto" and small)
