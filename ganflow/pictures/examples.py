"""Pictures of examples under the names of their classes, or beside a sentence about each."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from ganflow.pictures.images import BACKGROUND, GAP, coloured_images, image_grid, image_sheet

if TYPE_CHECKING:
    from torch import Tensor

LETTERS = 48  # in a line of a sentence
LINE = 15  # pixels from one line to the next
COLUMNS = 3


def class_sheet(images: Tensor, labels: Tensor, names: Sequence[str], each: int, classes: int) -> tuple[Image.Image, int]:
    """A row of images for each class, under its name and the number of its examples; and the number of images that are shown.

    Args:
        images, labels: (n, channels, height, width) in [-1, 1], and (n,).
        each: images in a row at most.
        classes: rows at most, of the first classes that there are.
    """
    counts = labels.bincount(minlength=len(names)).tolist()
    there = [label for label, count in enumerate(counts) if count][:classes]
    rows = {f"{names[label]} ({counts[label]})": images[labels == label][:each] for label in there}
    return image_sheet(rows), sum(map(len, rows.values()))


def sentence_sheet(images: Tensor, sentences: Sequence[str]) -> Image.Image:
    """Images, (n, channels, height, width) in [-1, 1], each with its sentence to its right."""
    font = ImageFont.load_default(size=11)
    tiles = [image_grid(image[None]).convert("RGB") for image in coloured_images(images)]
    texts = [textwrap.wrap(sentence, LETTERS) or [""] for sentence in sentences]
    high = max(tiles[0].height, LINE)
    texts = [lines if len(lines) * LINE <= high else [*lines[: high // LINE - 1], "…"] for lines in texts]
    wide = tiles[0].width + 4 * GAP + round(max(font.getlength(line) for lines in texts for line in lines)) + 4 * GAP
    columns = min(COLUMNS, len(tiles))
    canvas = Image.new("RGB", (columns * wide, -(-len(tiles) // columns) * high), (BACKGROUND,) * 3)
    pen = ImageDraw.Draw(canvas)
    for i, (tile, lines) in enumerate(zip(tiles, texts, strict=True)):
        x, y = i % columns * wide, i // columns * high
        canvas.paste(tile, (x, y))
        for number, line in enumerate(lines):
            pen.text((x + tile.width + 4 * GAP, y + GAP + number * LINE), line, fill=(60, 60, 60), font=font)
    return canvas
