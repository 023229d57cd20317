"""Images side by side."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from torch import Tensor

GAP = 2  # pixels between tiles and around them
TILE = 64  # small images are enlarged to about this many pixels
BACKGROUND = 255


def image_grid(images: Tensor, columns: int | None = None, scale: int | None = None, gap: int = GAP) -> Image.Image:
    """The images as tiles, row by row.

    Args:
        images: (n, C, H, W) in [-1, 1]; what lies outside is clipped, and not-a-number is drawn mid-grey. One channel
            is grey, three are RGB; of more than three, the first three are RGB; two are drawn beside each other.
        columns: tiles in a row; by default as many as rows, or a few more where that fills every row.
        scale: the whole factor by which every pixel is enlarged; by default what brings tiles to about 64 pixels.
        gap: pixels between tiles and around them.

    Raises:
        ValueError: there is nothing to draw.
    """
    if images.dim() != 4 or 0 in images.shape:
        raise ValueError(f"images have shape (n, C, H, W), not {tuple(images.shape)}")
    pixels = (images.detach().float().nan_to_num(0.0).clamp(-1, 1) + 1).mul(127.5).round().cpu().numpy().astype(np.uint8)
    channels = pixels.shape[1]
    if channels == 2:
        pixels = np.concatenate((pixels[:, :1], pixels[:, 1:]), axis=3)
    tiles = pixels[:, :3].transpose(0, 2, 3, 1) if channels >= 3 else pixels[:, 0, :, :, None]

    n, height, width, depth = tiles.shape
    scale = scale or max(1, round(TILE / max(height, width)))
    columns = min(columns or _columns(n), n)
    rows = math.ceil(n / columns)
    tiles = tiles.repeat(scale, axis=1).repeat(scale, axis=2)
    step_y, step_x = height * scale + gap, width * scale + gap
    canvas = np.full((rows * step_y + gap, columns * step_x + gap, depth), BACKGROUND, np.uint8)
    for i, tile in enumerate(tiles):
        y, x = gap + i // columns * step_y, gap + i % columns * step_x
        canvas[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    return Image.fromarray(canvas if depth == 3 else canvas[:, :, 0])


def _columns(n: int) -> int:
    """From a square's side to twice that, the first number that divides n; else a square's side."""
    side = math.ceil(math.sqrt(n))
    return next((columns for columns in range(side, 2 * side) if n % columns == 0), side)
