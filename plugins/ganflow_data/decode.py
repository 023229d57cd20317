"""One image file to one tensor."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

# what Pillow raises for bad files
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, Image.DecompressionBombError)


@dataclass(frozen=True)
class Transform:
    """From a picture of any size and mode to a tensor (channels, size, size) in [-1, 1]; see ImageFolder for the keys."""

    size: int
    resize: int
    crop: str
    flip: bool
    channels: int

    def __call__(self, file: Path, rng: torch.Generator | None = None) -> Tensor:
        """The image in `file`, augmented with draws from `rng`; without it, cropped at the centre and not mirrored.

        Raises:
            one of UNREADABLE: it is no image, or a damaged one.
        """
        with Image.open(file) as opened:
            image = _flat(ImageOps.exif_transpose(opened), "RGB" if self.channels == 3 else "L")
        image = self._resized(image)
        image = image.crop(self._box(image, rng))
        if self.flip and rng is not None and torch.rand((), generator=rng) < 0.5:
            image = ImageOps.mirror(image)
        pixels = torch.from_numpy(np.array(image)).view(self.size, self.size, self.channels)
        return (pixels.permute(2, 0, 1).float() / 127.5 - 1).contiguous()

    def _resized(self, image: Image.Image) -> Image.Image:
        if self.crop == "none":
            target = (self.size, self.size)
        else:
            width, height = image.size
            shorter = min(width, height)
            target = (round(width * self.resize / shorter), round(height * self.resize / shorter))
        return image.resize(target, Image.Resampling.BICUBIC) if image.size != target else image  # antialiased by Pillow

    def _box(self, image: Image.Image, rng: torch.Generator | None) -> tuple[int, int, int, int]:
        spare = (image.width - self.size, image.height - self.size)
        if self.crop == "random" and rng is not None:
            left, top = (int(torch.randint(s + 1, (), generator=rng)) for s in spare)
        else:
            left, top = (s // 2 for s in spare)
        return left, top, left + self.size, top + self.size


def _flat(image: Image.Image, mode: str) -> Image.Image:
    """In `mode`, 8 bits a channel, transparency over white."""
    if image.mode.startswith("I"):  # 16 bits of grey, which convert() would clip
        return Image.fromarray((np.asarray(image).astype(np.int64) // 257).clip(0, 255).astype(np.uint8)).convert(mode)
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if image.has_transparency_data:
        over = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", over.size, "white"), over).convert(mode)
    return image.convert(mode)
