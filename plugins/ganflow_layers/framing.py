"""One image file to one tensor."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional

from ganflow import (
    IMAGE_ERRORS,
    GanflowError,
    UnknownRange,
    image_tensor,
    open_image,
    range_advice,
    spread_indices,
    to_eight_bits,
)
from ganflow_layers.frames import opened
from ganflow_layers.sizes import Size, shorter, sides

_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)  # the EXIF tag, and its values where height and width change places
BESIDE = 32
"""Files that are read for a range that is to hold all of them."""
REDUCED = 3
"""A picture that is so many times as large as what it is scaled to may be made smaller in a cheaper way first: after antialiasing
that is a level of 256 at most, on average."""
LONG = 64
"""A picture that is so many times as long as the piece cut out of it is cut before it is scaled."""


@dataclass(frozen=True)
class Cut:
    """A rectangular piece of a picture: what the picture is scaled to, (width, height), the box that is then cut out, and whether
    that is mirrored. Pictures of the same size that belong together are given the same one."""

    scaled: tuple[int, int]
    box: tuple[int, int, int, int]
    mirrored: bool

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the piece."""
        left, top, right, bottom = self.box
        return right - left, bottom - top

    @property
    def long(self) -> bool:
        """True where the whole picture, scaled, would be gigabytes."""
        return max(self.scaled) > LONG * max(self.size)

    def of(self, image: Image.Image, resampling: Image.Resampling = Image.Resampling.BICUBIC) -> Image.Image:
        """The piece, as Pillow has it."""
        left, top, right, bottom = self.box
        if self.long:
            x, y = image.width / self.scaled[0], image.height / self.scaled[1]
            image = image.resize(self.size, resampling, box=(left * x, top * y, right * x, bottom * y))
        else:
            if image.size != self.scaled:
                image = image.resize(self.scaled, resampling, reducing_gap=REDUCED)  # antialiased, where not NEAREST
            image = image.crop(self.box)
        return ImageOps.mirror(image) if self.mirrored else image

    def tensor(self, image: Image.Image) -> Tensor:
        """The piece of an image of 8 bits as (channels, height, width) in [-1, 1].

        By torch, which takes a third of Pillow's time and, unlike it, lets other threads go on; numbers differ from Pillow's by a
        level or two of 256. Transparent pictures are Pillow's, which weighs colours by their opacity, and so are much larger
        ones, which it first averages over squares of pixels.
        """
        much_larger = min(image.width // self.scaled[0], image.height // self.scaled[1]) >= 2 * REDUCED
        if image.mode not in ("L", "RGB") or much_larger or self.long:
            return image_tensor(self.of(image))
        pixels = torch.from_numpy(np.array(image)).view(1, image.height, image.width, -1).permute(0, 3, 1, 2)
        if image.size != self.scaled:
            pixels = functional.interpolate(pixels, self.scaled[::-1], mode="bicubic", antialias=True)
        left, top, right, bottom = self.box
        piece = pixels[0, :, top:bottom, left:right]
        piece = piece.flip(2) if self.mirrored else piece
        return (piece.float() / 127.5 - 1).contiguous()


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


@dataclass(frozen=True)
class Pixels:
    """Meaning of the numbers in image files.

    Attributes:
        limits: the numbers of black and white; None for those of a file's type.
        background: colour that transparent pixels lie over.
    """

    limits: tuple[float, float] | None = None
    background: str = "white"

    def eight_bits(self, image: Image.Image, channels: int, file: Path | str) -> Image.Image:
        """The image of `file` with these channels, 8 bits each.

        Raises:
            GanflowError: its numbers do not say what is black and what is white.
            one of IMAGE_ERRORS: it is damaged.
        """
        try:
            return to_eight_bits(image, channels, self.limits, self.background)
        except UnknownRange as error:
            low, high, files = numbers_beside(file) if isinstance(file, Path) else (error.low, error.high, 1)
            low, high = min(low, error.low), max(high, error.high)
            of = f"; for all of {files} files there" if files > 1 else ""
            says = f"say which numbers are black and white{of}: {range_advice(low, high)}"
            raise GanflowError(f"data.range: {file} has {error}; {says}") from error

    def treatment(self, frames: bool) -> str:
        """Part of a fingerprint: what is as it always was is not in it."""
        return (repr(self) if self != Pixels() else "") + (" of all frames" if frames else "")


def numbers_beside(file: Path) -> tuple[float, float, int]:
    """The lowest and the highest number in files of the same ending in the same folder, and how many were read: BESIDE at most,
    at equal distances."""
    there = sorted(each for each in file.parent.iterdir() if each.suffix == file.suffix and not each.name.startswith("."))
    found = [ends for i in spread_indices(len(there), BESIDE) if (ends := _numbers(there[i]))]
    return min((low for low, _ in found), default=np.inf), max((high for _, high in found), default=-np.inf), len(found)


def _numbers(file: Path) -> tuple[float, float] | None:
    try:
        with open_image(file) as image:
            values = np.asarray(image)
    except IMAGE_ERRORS:
        return None
    values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if values.size else None


def upright_size(image: Image.Image) -> tuple[int, int]:
    """(width, height) of an image once it is turned as the camera was held; it is not decoded for it."""
    known = "exif" in image.info or image.format == "TIFF"  # getexif() would decode the whole of a PNG
    turned = known and image.getexif().get(_ORIENTATION) in _TURNED
    return image.size[::-1] if turned else image.size


def upright(file: Path | bytes, frame: int = 0) -> Image.Image:
    """The image in `file`, decoded and turned as the camera was held.

    Args:
        frame: of several in the file, which one.

    Raises:
        one of IMAGE_ERRORS: it is no image, or a damaged one.
    """
    with opened(file, frame) as image:
        return ImageOps.exif_transpose(image)


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

    @property
    def pixels(self) -> Pixels:
        """The meaning of the numbers in the files."""
        return Pixels(self.limits, self.background)

    def __repr__(self) -> str:
        """Part of a data set's fingerprint: what is as it always was is not in it."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        changed = [f.name for f in fields(self) if f.default is MISSING or values[f.name] != f.default]
        return f"Transform({', '.join(f'{name}={values[name]!r}' for name in changed)})"

    def __call__(self, file: Path | bytes, rng: torch.Generator | None = None, frame: int = 0, name: str = "an image") -> Tensor:
        """The image in `file`, augmented with draws from `rng`; without it, cropped at the centre and not mirrored.

        Args:
            frame: of several in the file, which one.
            name: of what is not a file, for errors.

        Raises:
            GanflowError: its numbers do not say what is black and what is white.
            one of IMAGE_ERRORS: it is no image, or a damaged one.
        """
        where = file if isinstance(file, Path) else name
        with opened(file, frame) as found:
            size = upright_size(found)
            cut = self.cut(*size, rng)
            width, height = cut.scaled if size == found.size else cut.scaled[::-1]
            found.draft(None, (REDUCED * width, REDUCED * height))  # a JPEG is decoded at ½, ¼ or ⅛; others as they are
            image = ImageOps.exif_transpose(found)
        return cut.tensor(self.pixels.eight_bits(image, self.channels, where))
