"""Pictures as their files have them, for a preview; and the numbers in files that do not say what is black and what is white."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ganflow import IMAGE_ERRORS, Original, in_threads
from ganflow_layers.frames import opened
from ganflow_layers.framing import Pixels, upright_size

if TYPE_CHECKING:
    from PIL.Image import Image

Item = TypeVar("Item")


def original(file: Path | bytes, pixels: Pixels, channels: int, frame: int = 0) -> Original | None:
    """The picture in `file`; None where it cannot be read. It is decoded only where its numbers matter.

    Args:
        channels: that are made of it.
        frame: of several in the file, which one.
    """
    try:
        with opened(file, frame) as image:
            named = "" if isinstance(file, bytes) else f"{file}, frame {frame}" if frame else str(file)
            clear = channels in (1, 3) and image.has_transparency_data
            about = Original(upright_size(image), len(image.getbands()), image.mode, name=named, transparent=clear)
            if channels > 4:
                return about
            if image.mode == "F" or image.mode.startswith("I"):
                values = np.asarray(image)
                values = values[np.isfinite(values)]
            elif pixels.limits is None:
                return replace(about, measure=partial(_numbers, file, pixels, channels, frame))
            else:
                values = _of_eight_bits(image, pixels, channels)
    except IMAGE_ERRORS:
        return None
    if not values.size:
        return about
    about = replace(about, numbers=(float(values.min()), float(values.max())))
    if pixels.limits is None:
        return about
    return replace(about, outside=float(((values < min(pixels.limits)) | (values > max(pixels.limits))).mean()))


def _numbers(file: Path | bytes, pixels: Pixels, channels: int, frame: int) -> tuple[float, float] | None:
    """The lowest and the highest number of a picture of 8 bits."""
    try:
        with opened(file, frame) as image:
            values = _of_eight_bits(image, pixels, channels)
    except IMAGE_ERRORS:
        return None
    return float(values.min()), float(values.max())


def _of_eight_bits(image: Image, pixels: Pixels, channels: int) -> np.ndarray:
    values = np.asarray(replace(pixels, limits=None).eight_bits(image, channels, "an image"))
    return values[..., :-1] if channels in (2, 4) else values  # without alpha


def originals(make: Callable[[Item], Original | None], items: Iterable[Item]) -> list[Original]:
    """Those of all items that can be read."""
    return [each for each in in_threads(make, items) if each is not None]
