"""One image file to one tensor."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Self

import torch
from PIL import Image, ImageOps
from torch import Tensor

from ganflow import IMAGE_ERRORS, image_tensor, open_image, to_eight_bits
from ganflow_layers.sizes import Size, shorter, sides


@dataclass(frozen=True)
class Cut:
    """A rectangular piece of a picture: what the picture is scaled to, (width, height), the box that is then cut out, and whether
    that is mirrored. Pictures of the same size that belong together are given the same one."""

    scaled: tuple[int, int]
    box: tuple[int, int, int, int]
    mirrored: bool

    def of(self, image: Image.Image, resampling: Image.Resampling = Image.Resampling.BICUBIC) -> Image.Image:
        if image.size != self.scaled:
            image = image.resize(self.scaled, resampling)  # antialiased by Pillow, where not NEAREST
        image = image.crop(self.box)
        return ImageOps.mirror(image) if self.mirrored else image


@dataclass(frozen=True)
class Framing:
    """Crop of a square or another rectangle from pictures of any size.

    Attributes:
        size: in pixels: of a square, or (height, width).
        resize: what the shorter side is scaled to first, so that a square of so many pixels has room in it; of a rectangle, one
            of its proportions whose shorter side this is. Not where `crop` is "none".
        crop: "random" or "centre"; "none" squeezes both sides.
        flip: mirror half of the pictures.
    """

    size: Size
    resize: Size
    crop: str
    flip: bool

    def __post_init__(self) -> None:
        height, width = sides(self.size)
        object.__setattr__(self, "size", height if height == width else (height, width))
        object.__setattr__(self, "resize", shorter(self.resize))

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width."""
        return sides(self.size)

    @property
    def augmented(self) -> bool:
        """True where a picture is another one each time."""
        return self.flip or self.crop == "random"

    def still(self) -> Self:
        """For evaluation: as much of the picture as the piece can hold, never mirrored."""
        return replace(self, resize=self.size, crop="none" if self.crop == "none" else "centre", flip=False)

    def cut(self, width: int, height: int, rng: torch.Generator | None = None) -> Cut:
        """For a picture of width × height, with draws from `rng`; without it, at the centre and not mirrored."""
        down, across = self.sides
        if self.crop == "none":
            scaled = (across, down)
        else:
            least, resize = min(down, across), shorter(self.resize)
            room = (resize * across / least, resize * down / least)  # of the same proportions as the piece
            most, side = max((room[0], width), (room[1], height), key=lambda pair: pair[0] / pair[1])
            scaled = (max(across, round(width * most / side)), max(down, round(height * most / side)))
        spare = (scaled[0] - across, scaled[1] - down)
        if self.crop == "random" and rng is not None:
            left, top = (int(torch.randint(s + 1, (), generator=rng)) for s in spare)
        else:
            left, top = (s // 2 for s in spare)
        mirrored = self.flip and rng is not None and bool(torch.rand((), generator=rng) < 0.5)
        return Cut(scaled, (left, top, left + across, top + down), mirrored)


def frames_in(file: Path) -> int:
    """The number of pages or frames in an image file; 1 where it cannot be read: that shows when it is."""
    try:
        with open_image(file) as opened:
            return int(getattr(opened, "n_frames", 1))
    except IMAGE_ERRORS:
        return 1


@dataclass(frozen=True)
class Transform(Framing):
    """From a picture of any size and mode to a tensor (channels, *sides) in [-1, 1].

    Attributes:
        channels: 3 for colour, 1 for grey.
        limits: the numbers of black and white in the files; None for those of a file's type.
        background: colour that transparent pixels lie over.
    """

    channels: int
    limits: tuple[float, float] | None = None
    background: str = "white"

    def __repr__(self) -> str:
        """Part of a data set's fingerprint: what is as it always was is not in it."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        changed = [f.name for f in fields(self) if f.default is MISSING or values[f.name] != f.default]
        return f"Transform({', '.join(f'{name}={values[name]!r}' for name in changed)})"

    def __call__(self, file: Path | bytes, rng: torch.Generator | None = None, frame: int = 0) -> Tensor:
        """The image in `file`, augmented with draws from `rng`; without it, cropped at the centre and not mirrored.

        Args:
            frame: of several in the file, which one.

        Raises:
            one of IMAGE_ERRORS: it is no image, or a damaged one.
        """
        with open_image(file) as opened:
            if frame:
                opened.seek(frame)
            image = to_eight_bits(ImageOps.exif_transpose(opened), self.channels, self.limits, self.background)
        return image_tensor(self.cut(image.width, image.height, rng).of(image))
