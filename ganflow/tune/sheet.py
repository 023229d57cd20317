"""The newest samples of a few trials on one sheet."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, UnidentifiedImageError

from ganflow.runs import RunFolder

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDE = 1.4  # width by height from which on pictures stand below each other
LARGEST = (920, 600)  # of one picture on the sheet, in pixels
GAP, LINE, HEAD = 18, 17, 22  # between pictures; a caption's lines, the first of which is larger
LETTER = 6.8  # pixels, about


def newest_samples(folder: RunFolder) -> Path | None:
    """A run's newest sample picture."""
    return max(folder.samples.glob("round-*.png"), default=None)


def sheet(pictures: Sequence[tuple[Path, str, str]]) -> Image.Image | None:
    """Pictures with captions, side by side, or below each other where they are wide. One that cannot be read is left out;
    None where nothing is left.

    Args:
        pictures: of each its file, its title, and what is said below that.
    """
    from ganflow.pictures.figure import INK, new_figure, to_image

    read = [(image, title, text) for path, title, text in pictures if (image := _read(path)) is not None]
    if not read:
        return None
    upright = all(image.width > WIDE * image.height for image, _, _ in read)
    width = max(image.width for image, _, _ in read)
    tallest = max(image.height for image, _, _ in read)
    columns = max(24, int(max(width, 240) / LETTER))
    told = [textwrap.wrap(text, columns, max_lines=4, placeholder=" …") for _, _, text in read]
    caption = HEAD + LINE * max(map(len, told)) + 6
    cell = (max(width, 240) + GAP, tallest + caption + GAP)
    across, down = (1, len(read)) if upright else (len(read), 1)
    figure = new_figure(across * cell[0] + GAP, down * cell[1] + GAP)
    total = down * cell[1] + GAP
    for i, ((image, title, _), lines) in enumerate(zip(read, told, strict=True)):
        left = GAP + (0 if upright else i * cell[0])
        top = total - GAP - (i * cell[1] if upright else 0)
        w, h = across * cell[0] + GAP, total
        figure.text(left / w, (top - 8) / h, title, fontsize=11, weight="bold", color=INK, va="center")
        for row, line in enumerate(lines):
            figure.text(left / w, (top - HEAD - 8 - LINE * row) / h, line, fontsize=9, color=INK, va="center")
        axes = figure.add_axes((left / w, (top - caption - image.height) / h, image.width / w, image.height / h))
        axes.set_axis_off()
        axes.imshow(_pixels(image), interpolation="nearest", aspect="auto")
    return to_image(figure)


def _read(path: Path) -> Image.Image | None:
    """The picture, not larger than its place."""
    try:
        with Image.open(path) as file:
            image = file.convert("RGB")
    except (OSError, UnidentifiedImageError):
        return None
    image.thumbnail(LARGEST)
    return image


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image)
