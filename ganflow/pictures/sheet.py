"""Rows of pictures with names: held-out examples and what becomes of them."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ganflow.pictures.images import BACKGROUND, GAP, image_grid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

HEADING = 14  # pixels above every row


def image_sheet(rows: Mapping[str, Tensor]) -> Image.Image:
    """One row of tiles per entry, (n, channels, height, width) in [-1, 1], under its name.

    More than three channels are a label map: every pixel gets the colour of its greatest channel.
    """
    strips = [(name, image_grid(coloured_images(images), columns=len(images)).convert("RGB")) for name, images in rows.items()]
    width = max(strip.width for _, strip in strips)
    canvas = Image.new("RGB", (width, sum(HEADING + strip.height for _, strip in strips)), (BACKGROUND,) * 3)
    pen, font, y = ImageDraw.Draw(canvas), ImageFont.load_default(size=11), 0
    for name, strip in strips:
        pen.text((GAP + 1, y), name, fill=(60, 60, 60), font=font)
        canvas.paste(strip, (0, y + HEADING))
        y += HEADING + strip.height
    return canvas


def coloured_images(images: Tensor) -> Tensor:
    """Label maps (n, more than 3 channels, height, width) as RGB in [-1, 1]; other images as they are."""
    import torch

    classes = images.shape[1]
    if classes <= 3:
        return images
    # hues by the golden ratio, so that neighbouring labels differ; two brightnesses, so that many labels do
    colours = [colorsys.hsv_to_rgb(0.58 + i * 0.618034, 0.65, 0.95 if i % 2 else 0.6) for i in range(classes)]
    table = torch.from_numpy(np.array(colours, dtype=np.float32)) * 2 - 1
    return table[images.float().cpu().argmax(1)].permute(0, 3, 1, 2)
