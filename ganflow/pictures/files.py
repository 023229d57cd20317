"""Files of pictures: reading, writing atomically, animations."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

from ganflow.errors import GanflowError
from ganflow.files import open_regular, replacing

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

# what Pillow raises for bad files
IMAGE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, Image.DecompressionBombError)
# Up to twice Pillow's limit, 179 million pixels, is read without a word; beyond, Pillow raises an error.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # of damaged metadata, whose file they do not name
STRIP = 22  # height of a caption in pixels
LAST = 1500  # milliseconds that the last frame of an animation stays, so that one sees the result


_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
"""Pillow's names for pictures of so many channels."""


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Yield a scratch file beside `path` that replaces it when the block ends well, and is removed when it does not.

    Raises:
        GanflowError: the file cannot be written (a full disk, a folder that is missing or read-only).
    """
    try:
        with replacing(path, durable=False) as scratch:  # a picture can be drawn again
            yield scratch
    except OSError as error:
        raise GanflowError(f"cannot write {path}: {error.strerror or error}") from error


def save_png(image: Image.Image, path: Path) -> None:
    """Write a PNG atomically. The same picture gives the same bytes.

    Raises:
        GanflowError: the file cannot be written.
    """
    with replacing_file(path) as scratch:
        image.save(scratch, format="PNG", compress_level=3)  # half the time of level 6, a tenth more bytes


def save_picture(image: Image.Image, path: Path) -> None:
    """Write a PNG, or a JPEG where the path ends so, atomically.

    Raises:
        GanflowError: the file cannot be written.
    """
    if path.suffix.lower() not in (".jpg", ".jpeg"):
        save_png(image, path)
        return
    with replacing_file(path) as scratch:
        image.convert("L" if image.mode == "L" else "RGB").save(scratch, format="JPEG", quality=95, subsampling=0)


def read_image(
    path: Path, channels: int, limits: tuple[float, float] | None = None, background: str = "white", *,
    frame: int = 0, labels: bool | None = None,
) -> Tensor:  # fmt: skip
    """Read an image file at its original size, as (channels, height, width) in [-1, 1]: see `to_eight_bits`.

    Args:
        limits, background: as of `to_eight_bits`.
        frame: of several in the file, which one.
        labels: the file is a label map whose pixels' numbers 0 … channels − 1 become a channel each; None: where there are more
            than four channels.

    Raises:
        GanflowError: there is no such file, it is no image, or not one of labels.
    """
    try:
        with open_image(path) as opened:
            if frame:
                opened.seek(frame)
            upright = ImageOps.exif_transpose(opened)
            if channels > 4 if labels is None else labels:
                return label_map(upright, channels)
            return image_tensor(to_eight_bits(upright, channels, limits, background))
    except FileNotFoundError:
        raise GanflowError(f"there is no image {path}") from None
    except IMAGE_ERRORS as error:
        raise GanflowError(f"cannot read the image {path}: {image_error_text(error)}") from error


def is_grey(path: Path) -> bool:
    """Tell whether a file's image has no colours."""
    with open_image(path) as opened:
        return opened.mode in ("1", "L", "LA", "La", "I", "I;16", "F")


def image_tensor(image: Image.Image) -> Tensor:
    """A picture of 8 bits a channel as (channels, height, width) in [-1, 1]."""
    import torch

    pixels = torch.from_numpy(np.array(image)).view(image.height, image.width, -1)
    return (pixels.permute(2, 0, 1).float() / 127.5 - 1).contiguous()


def label_map(image: Image.Image, classes: int) -> Tensor:
    """A label map, of one channel or with a palette, as (classes, height, width): 1 in the channel that a pixel's number names,
    −1 in the others.

    Raises:
        ValueError: it has several channels, or numbers that are no class.
    """
    import torch

    if image.mode not in ("1", "L", "P", "I", "I;16"):
        raise ValueError(f"a label map has one channel whose pixels number {classes} classes, or a palette; this is {image.mode}")
    labels = torch.from_numpy(np.array(image).astype(np.int64))
    if int(labels.max()) >= classes:
        raise ValueError(f"label {int(labels.max())} is none of the classes 0 … {classes - 1}")
    return one_hot(labels[None], classes)[0]


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Integers (n, height, width) as float32 (n, classes, height, width): 1 in the channel of the class, −1 in the others."""
    import torch

    hot = torch.full((len(labels), classes, *labels.shape[1:3]), -1.0)
    return hot.scatter_(1, labels[:, None].long(), 1.0)


def image_error_text(error: BaseException) -> str:
    """The message of one of IMAGE_ERRORS."""
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return "not an image" if isinstance(error, UnidentifiedImageError) else str(error) or type(error).__name__


class UnknownRange(ValueError):
    """Pixels whose numbers do not say what is black and what is white.

    Attributes:
        low, high: the numbers that there are.
    """

    def __init__(self, low: float, high: float) -> None:
        super().__init__(f"pixels of 32 bits between {low:g} and {high:g}, whose range is not known")
        self.low, self.high = float(low), float(high)


@contextmanager
def open_image(path: Path | bytes) -> Iterator[Image.Image]:
    """Open an image file, or the bytes of one, with Pillow, as it is. A named pipe or a device is not waited for.

    Raises:
        one of IMAGE_ERRORS: it is no image, a damaged one, or no regular file.
    """
    opened: BinaryIO = BytesIO(path) if isinstance(path, bytes) else open_regular(path)
    with opened as file, Image.open(file) as image:
        yield image


def to_eight_bits(
    image: Image.Image, channels: int, limits: tuple[float, float] | None = None, background: str = "white"
) -> Image.Image:
    """In grey (1 channel), grey with alpha (2), colour (3) or colour with alpha (4), 8 bits a channel.

    Args:
        limits: the numbers of black and white in the file; None for the lowest and the highest of its type.
        background: colour that transparent pixels lie over where there is no channel for alpha, as Pillow names it: "white",
            "#8080ff".

    Raises:
        UnknownRange: (a ValueError) pixels of 32 bits, or floating-point ones, whose limits are not known.
        ValueError: there are no pictures of so many channels, or numbers are not finite.
    """
    if channels not in _MODES:
        raise ValueError(f"{channels} channels, which no image file has: such are read from .npy")
    mode, alpha = _MODES[channels], channels in (2, 4)
    if image.mode == "F" or image.mode.startswith("I"):  # one channel of grey, which convert() would clip
        values = np.asarray(image)
        if not np.isfinite(values).all():
            raise ValueError("it holds NaN or infinite numbers")
        low, high = limits or (0.0, 65535.0)
        if limits is None and (image.mode == "F" or (image.mode == "I" and not 255 < values.max() <= high)):
            raise UnknownRange(values.min(), values.max())
        return Image.fromarray(_scaled(values, low, high)).convert(mode)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if not alpha:
            image = Image.alpha_composite(Image.new("RGBA", image.size, background), image)
    elif alpha or image.mode == "LAB":
        image = image.convert("RGB")  # Pillow does not turn CMYK into RGBA, or LAB into grey, at once
    image = image.convert(mode)
    if limits is None:
        return image
    table = _scaled(np.arange(256), *limits).tolist() * (channels - alpha)
    return image.point(table + list(range(256)) * alpha)


def _scaled(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """The 8 bits that numbers become where black and white are these."""
    return ((values.astype(np.float64) - low) / (high - low) * 255 + 1e-6).clip(0, 255).astype(np.uint8)


def gif(
    frames: Sequence[Path | Image.Image], out: Path, fps: float = 8.0, captions: Sequence[str] = (), hold: bool = True
) -> None:
    """An animation that repeats for ever.

    Args:
        frames: pictures, or the paths of their files; two or more, all of one size.
        out: where the GIF goes; written atomically.
        fps: frames per second, at most 50 (browsers slow down what is faster).
        captions: a line below each frame, such as "round 500".
        hold: the last frame stays for a while before it begins again.

    Raises:
        GanflowError: a picture cannot be read or has another size than the first, or `out` cannot be written.
    """
    if len(frames) < 2:
        raise GanflowError(f"an animation needs two pictures or more, not {len(frames)}")
    pictures = [frame if isinstance(frame, Image.Image) else open_picture(frame) for frame in frames]
    for frame, picture in zip(frames, pictures, strict=True):
        if picture.size != pictures[0].size:
            size, first_size = ("{}×{}".format(*p.size) for p in (picture, pictures[0]))
            raise GanflowError(f"{frame} is {size}, but the first picture is {first_size}; they must be alike")
    if captions:
        pictures = [captioned(p, text) for p, text in zip(pictures, captions, strict=True)]
    each = max(20, round(1000 / fps))
    durations = [each] * len(pictures)
    if hold:
        durations[-1] = max(each, LAST)
    first, *others = (p if p.mode == "L" else p.convert("RGB").quantize(dither=Image.Dither.NONE) for p in pictures)
    with replacing_file(out) as scratch:
        first.save(scratch, format="GIF", save_all=True, append_images=others, duration=durations, loop=0)


def captioned(picture: Image.Image, text: str) -> Image.Image:
    """The picture with a line of text below its left corner."""
    paper, ink = (255, 60) if picture.mode == "L" else ((255,) * 3, (60,) * 3)
    whole = Image.new(picture.mode, (picture.width, picture.height + STRIP), paper)
    whole.paste(picture)
    ImageDraw.Draw(whole).text((6, picture.height + 2), text, fill=ink, font=ImageFont.load_default(14))
    return whole


def open_picture(path: Path) -> Image.Image:
    """A picture, grey or of three colours. Raises GanflowError where it cannot be read."""
    try:
        with open_image(path) as file:
            return file.copy() if file.mode == "L" else file.convert("RGB")
    except (OSError, UnidentifiedImageError):
        raise GanflowError(f"cannot read {path} as a picture; remove it and try again") from None
