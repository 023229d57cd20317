"""Crops of a folder's images for training, and the choice to keep them in memory."""

from __future__ import annotations

from dataclasses import dataclass

from ganflow_layers.framing import Framing
from ganflow_layers.sizes import Size, shorter

JITTER = 286 / 256  # Isola et al. 2016, section 6.2: resized to 286, then cropped to 256 at random


def framing(size: Size, resize: int | None, crop: str, flip: bool) -> Framing:
    """For training."""
    return Framing(size, resize or (round(shorter(size) * JITTER) if crop == "random" else size), crop, flip)


@dataclass(frozen=True)
class Memory:
    """Attributes:
    when: "always", "never", or "auto": where images are not augmented and take `budget` bytes at most.
    """

    when: str
    budget: int

    def holds(self, framing: Framing, numbers: int) -> bool:
        """True where so many numbers of training images are kept in memory, by the same rule as image_folder."""
        small = 4 * numbers <= self.budget and not framing.augmented
        return self.when == "always" or (self.when == "auto" and small)
