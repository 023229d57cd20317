"""Opening images: what their headers say, and what becomes of those that cannot be read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from ganflow_layers.frames import further_frames
from ganflow_layers.framing import Cut, Pixels, upright, upright_size
from ganflow_layers.omissions import Omissions, Unusable
from ganflow_layers.originals import original
from ganflow_layers.tables import listed
from PIL import Image, ImageMode
from torch import Tensor

from ganflow import IMAGE_ERRORS, GanflowError, Original, image_error_text, one_hot, open_image, print_lines


class WrongLabels(Unusable):
    """A label map with values that are no classes: a mistake in the settings, not a damaged file."""


@dataclass(frozen=True)
class Header:
    """Attributes:
    size: (width, height), upright.
    grey: whether there are no colours.
    single: whether it has one channel, or a palette.
    mode: Pillow's name for the kind of pixels.
    """

    size: tuple[int, int]
    mode: str

    @property
    def grey(self) -> bool:
        return ImageMode.getmode(self.mode).basemode == "L"

    @property
    def single(self) -> bool:
        return len(ImageMode.getmode(self.mode).bands) == 1


class Reader(Omissions):
    """Reads images below a folder, in several threads.

    Attributes:
        root: the folder; files are named relative to it.
        treatment: part of a data set's fingerprint, of what its numbers mean.
    """

    def __init__(self, root: Path, skip: bool, pixels: Pixels = Pixels(), frames: str = "first") -> None:  # noqa: B008  (frozen)
        super().__init__(root, skip)
        self.root, self._pixels, self._all = root, pixels, frames == "all"
        self.treatment = pixels.treatment(self._all)

    def headers(self, files: Sequence[str]) -> dict[str, Header]:
        """Of all files; without those that are left out.

        Raises:
            GanflowError: files cannot be read, and are not to be skipped; or none can be read.
        """
        found = dict(self.every(self._header, files))
        if not found:
            raise GanflowError(f"data.path: none of the {len(files)} images in {self.root} can be read")
        return found

    def _header(self, file: str) -> tuple[str, Header]:
        try:
            with open_image(self.root / file) as image:
                return file, Header(upright_size(image), image.mode)
        except IMAGE_ERRORS as error:
            raise Unusable(file, image_error_text(error)) from error

    def frames(self, files: Sequence[str]) -> dict[str, int]:
        """Pages or frames after the first, by file, as far as they are used; else a line is printed that counts them."""
        return further_frames(self.root, files, self._all)

    def open(self, file: str, frame: int = 0) -> Image.Image:
        """The image, decoded and upright.

        Raises:
            Unusable: it is no image, or a damaged one.
        """
        try:
            return upright(self.root / file, frame)
        except IMAGE_ERRORS as error:
            raise Unusable(file, image_error_text(error)) from error

    def numbers(self, image: Image.Image, file: str, channels: int, cut: Cut) -> Tensor:
        """(channels, size, size) in [-1, 1].

        Raises:
            GanflowError: its numbers do not say what is black and what is white.
            Unusable: it is damaged.
        """
        try:
            return cut.tensor(self._pixels.eight_bits(image, channels, self.root / file))
        except IMAGE_ERRORS as error:
            raise Unusable(file, image_error_text(error)) from error

    def original(self, file: str, frame: int, channels: int) -> Original | None:
        """The picture as its file has it; None where it cannot be read."""
        return original(self.root / file, self._pixels, channels, frame)

    def settle(self, bad: Sequence[Unusable]) -> None:
        """Refuse unusable images, or leave them out and say so, once each."""
        wrong = [str(b) for b in bad if isinstance(b, WrongLabels)]
        if wrong:
            raise GanflowError(
                f"data.source_classes: label maps in {self.root} have other values than the classes': {listed(wrong)}; "
                "raise source_classes, or mend them"
            )
        super().settle(bad)


def say_grey(headers: Iterable[tuple[str, Header]], channels: int, key: str) -> None:
    """Say which grey images are converted to colour; `key` would keep them grey."""
    grey = [file for file, header in headers if header.grey] if channels == 3 else []
    if grey:
        count = "1 grey image is" if len(grey) == 1 else f"{len(grey)} grey images are"
        print_lines(f"ganflow: {count} converted to colour ({listed(grey)}); data.{key}=1 makes all of them grey", err=True)


def classes(image: Image.Image, file: str, count: int, cut: Cut) -> Tensor:
    """A label map as (count, size, size): 1 in the channel of the class, −1 in the others.

    Raises:
        WrongLabels: a value is not below `count`.
    """
    values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= count:
        raise WrongLabels(file, f"{low if low < 0 else high} is not in 0 … {count - 1}")
    square = cut.of(Image.fromarray(values.astype(np.uint8)), Image.Resampling.NEAREST)
    return one_hot(torch.from_numpy(np.array(square))[None], count)[0]
