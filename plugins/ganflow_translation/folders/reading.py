"""Opening images: what their headers say, and what becomes of those that cannot be read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from ganflow_layers.framing import Cut
from ganflow_layers.reading import stacked
from PIL import Image, ImageMode, ImageOps
from torch import Tensor

from ganflow import (
    IMAGE_ERRORS,
    Field,
    GanflowError,
    image_error_text,
    image_tensor,
    in_threads,
    one_hot,
    open_image,
    print_lines,
    to_eight_bits,
)

Item = TypeVar("Item")
Made = TypeVar("Made")
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)  # the EXIF tag, and its values where height and width change places
MOST = 10  # offenders that an error names


class Unusable(Exception):
    """An image that nothing can be made of: which one, and why."""

    def __init__(self, file: str, why: str) -> None:
        super().__init__(file, why)
        self.file, self.why = file, why


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


class Reader:
    """Reads images below a folder, in several threads.

    Attributes:
        root: the folder; files are named relative to it.
        skipped: files that were left out, as far as they are known by now.
    """

    def __init__(self, root: Path, skip: bool) -> None:
        self.root, self._skip = root, skip
        self.skipped: list[str] = []
        self._lock = threading.Lock()

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
                known = "exif" in image.info or image.format == "TIFF"  # getexif() would decode the whole of a PNG
                turned = known and image.getexif().get(_ORIENTATION) in _TURNED
                return file, Header(image.size[::-1] if turned else image.size, image.mode)
        except IMAGE_ERRORS as error:
            raise Unusable(file, image_error_text(error)) from error

    def open(self, file: str) -> Image.Image:
        """The image, decoded and upright.

        Raises:
            Unusable: it is no image, or a damaged one.
        """
        try:
            with open_image(self.root / file) as opened:
                return ImageOps.exif_transpose(opened)
        except IMAGE_ERRORS as error:
            raise Unusable(file, image_error_text(error)) from error

    def every(self, make: Callable[[Item], Made], items: Iterable[Item]) -> list[Made]:
        """Results of `make` for each item, in their order, without those that are left out.

        Raises:
            GanflowError: some are Unusable, and not to be skipped; it names them all.
        """

        outcomes = list(in_threads(partial(_outcome, make), items))
        self.settle([o for o in outcomes if isinstance(o, Unusable)])
        return [o for o in outcomes if not isinstance(o, Unusable)]

    def stacked(
        self, make: Callable[[Item], Mapping[str, Tensor]], items: Sequence[Item], fields: Mapping[str, Field]
    ) -> dict[str, Tensor]:
        """Examples that `make` makes of each item, (n, *shape) per field, without those that are left out.

        Raises:
            GanflowError: as `every`.
        """
        bad: list[Unusable] = []

        def made(item: Item) -> Mapping[str, Tensor] | None:
            outcome = _outcome(make, item)
            if isinstance(outcome, Unusable):
                bad.append(outcome)
                return None
            return outcome

        found, _ = stacked(made, items, fields)
        self.settle(sorted(bad, key=lambda b: b.file))
        return found

    def one(self, make: Callable[[], Made]) -> Made | None:
        """The result of `make`; None where it is left out."""
        try:
            return make()
        except Unusable as error:
            self.settle([error])
            return None

    def settle(self, bad: Sequence[Unusable]) -> None:
        """Refuse unusable images, or leave them out and say so, once each."""
        wrong = [f"{b.file} ({b.why})" for b in bad if isinstance(b, WrongLabels)]
        if wrong:
            raise GanflowError(
                f"data.source_classes: label maps in {self.root} have other values than the classes': {listed(wrong)}; "
                "raise source_classes, or mend them"
            )
        if bad and not self._skip:
            raise GanflowError(
                f"data.path: cannot read {'1 image' if len(bad) == 1 else f'{len(bad)} images'} in {self.root}: "
                f"{listed([f'{b.file} ({b.why})' for b in bad])}; "
                "mend or remove them, or leave such files out with on_error: skip"
            )
        with self._lock:
            for b in bad:
                if b.file not in self.skipped:
                    self.skipped.append(b.file)
                    print_lines(f"ganflow: left out {self.root / b.file}: {b.why}", err=True)


def _outcome(make: Callable[[Item], Made], item: Item) -> Made | Unusable:
    try:
        return make(item)
    except Unusable as error:
        return error


def listed(names: Sequence[str]) -> str:
    """a, b, c and 4 more."""
    more = len(names) - MOST
    return ", ".join(names[:MOST]) + (f" and {more} more" if more > 0 else "")


def say_grey(headers: Iterable[tuple[str, Header]], channels: int, key: str) -> None:
    """Say which grey images are converted to colour; `key` would keep them grey."""
    grey = [file for file, header in headers if header.grey] if channels == 3 else []
    if grey:
        count = "1 grey image is" if len(grey) == 1 else f"{len(grey)} grey images are"
        print_lines(f"ganflow: {count} converted to colour ({listed(grey)}); {key}: 1 makes all of them grey", err=True)


def pixels(image: Image.Image, file: str, channels: int, cut: Cut) -> Tensor:
    """(channels, size, size) in [-1, 1]."""
    try:
        return image_tensor(cut.of(to_eight_bits(image, channels)))
    except IMAGE_ERRORS as error:
        raise Unusable(file, image_error_text(error)) from error


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
