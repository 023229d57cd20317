"""Grids, sheets and maps of images."""

from __future__ import annotations

import colorsys
import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

GAP = 2  # pixels between tiles and around them
TILE = 64  # small images are enlarged to about this many pixels
BACKGROUND = 255
HEADING = 14  # pixels above every row of a sheet
PANEL = 700  # pixels that a side of a latent map is not to exceed by much
POINT = 32  # small images in it are enlarged to about this many pixels


def image_grid(images: Tensor, columns: int | None = None, scale: int | None = None, gap: int = GAP) -> Image.Image:
    """The images as tiles, row by row.

    Args:
        images: (n, C, H, W) in [-1, 1]; what lies outside is clipped, and not-a-number is drawn mid-grey. One channel
            is grey, three are RGB, four are RGB and alpha, drawn over white; of more than four, the first three are RGB; two are
            drawn beside each other.
        columns: tiles in a row; by default as many as rows, or a few more where that fills every row.
        scale: the whole factor by which every pixel is enlarged; by default what brings tiles to about 64 pixels.
        gap: pixels between tiles and around them.

    Raises:
        ValueError: there is nothing to draw.
    """
    if images.dim() != 4 or 0 in images.shape:
        raise ValueError(f"images have shape (n, C, H, W), not {tuple(images.shape)}")
    images = over_white(images) if images.shape[1] == 4 else images
    pixels = _bytes(images)
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


def picture_of(image: Tensor) -> Image.Image:
    """One image (channels, height, width) in [-1, 1] as Pillow has it, pixel by pixel: grey, grey and alpha, colour, or colour
    and alpha.

    Raises:
        ValueError: it has more than four channels.
    """
    if not 1 <= len(image) <= 4:
        raise ValueError(f"a picture has 1 to 4 channels, not {len(image)}")
    pixels = _bytes(image[None])[0].transpose(1, 2, 0)
    return Image.fromarray(pixels[:, :, 0] if len(image) == 1 else np.ascontiguousarray(pixels))


def _bytes(images: Tensor) -> np.ndarray:
    """Numbers in [-1, 1] as 8 bits; what lies outside is clipped, and not-a-number is mid-grey."""
    return (images.detach().float().nan_to_num(0.0).clamp(-1, 1) + 1).mul(127.5).round().cpu().numpy().astype(np.uint8)


def _columns(n: int) -> int:
    """From a square's side to twice that, the first number that divides n; else a square's side."""
    side = math.ceil(math.sqrt(n))
    return next((columns for columns in range(side, 2 * side) if n % columns == 0), side)


def image_sheet(rows: Mapping[str, Tensor]) -> Image.Image:
    """One row of tiles per entry, (n, channels, height, width) in [-1, 1], under its name; see `coloured_images`."""
    strips = [(name, image_grid(coloured_images(images), columns=len(images)).convert("RGB")) for name, images in rows.items()]
    width = max(strip.width for _, strip in strips)
    canvas = Image.new("RGB", (width, sum(HEADING + strip.height for _, strip in strips)), (BACKGROUND,) * 3)
    pen, font, y = ImageDraw.Draw(canvas), ImageFont.load_default(size=11), 0
    for name, strip in strips:
        pen.text((GAP + 1, y), name, fill=(60, 60, 60), font=font)
        canvas.paste(strip, (0, y + HEADING))
        y += HEADING + strip.height
    return canvas


def over_white(images: Tensor) -> Tensor:
    """Pictures (n, 4, height, width) in [-1, 1], the last channel alpha, over white: (n, 3, height, width)."""
    alpha = (images[:, 3:].clamp(-1, 1) + 1) / 2
    return images[:, :3] * alpha + 1 - alpha


def coloured_images(images: Tensor) -> Tensor:
    """Images (n, channels, height, width) in [-1, 1] as they can be shown: up to four channels as they are, more are a label map,
    of which every pixel gets the colour of its greatest channel. So are four of which every pixel has exactly one above 0."""
    import torch

    classes = images.shape[1]
    if classes < 4 or (classes == 4 and not bool(((images > 0).sum(1) == 1).all())):
        return images
    # hues by the golden ratio, so that neighbouring labels differ; two brightnesses, so that many labels do
    colours = [colorsys.hsv_to_rgb(0.58 + i * 0.618034, 0.65, 0.95 if i % 2 else 0.6) for i in range(classes)]
    table = torch.from_numpy(np.array(colours, dtype=np.float32)) * 2 - 1
    return table[images.float().cpu().argmax(1)].permute(0, 3, 1, 2)


def latent_map(decode: Callable[[Tensor], Tensor], examples: Tensor, positions: Tensor) -> Image.Image:
    """A latent plane, laid out as the unit square: on the left what it decodes to, on the right where examples lie in it.

    Args:
        decode: images (n, channels, height, width) for positions (n, 2) in the square; the first number goes to the right, the
            second upwards.
        examples: images (m, channels, height, width).
        positions: of the examples, (m, 2) in [0, 1].
    """
    import torch

    height, width = examples.shape[2:]
    scale = max(1, round(POINT / max(height, width)))
    side = min(20, max(8, PANEL // (scale * max(height, width) + GAP)))
    steps = (torch.arange(side) + 0.5) / side
    up, right = torch.meshgrid(steps.flip(0), steps, indexing="ij")
    images = coloured_images(decode(torch.stack((right, up), -1).reshape(-1, 2)))
    decoded = image_grid(images, columns=side, scale=scale).convert("RGB")
    scatter = Image.new("RGB", decoded.size, (BACKGROUND,) * 3)
    spare = (decoded.width - width * scale, decoded.height - height * scale)
    for example, (x, y) in zip(coloured_images(examples), positions.tolist(), strict=True):
        tile = image_grid(example[None], scale=scale).convert("RGB").crop((GAP, GAP, GAP + width * scale, GAP + height * scale))
        scatter.paste(tile, (round(x * spare[0]), round((1 - y) * spare[1])))
    canvas = Image.new("RGB", (2 * decoded.width + 8 * GAP, decoded.height), (BACKGROUND,) * 3)
    canvas.paste(decoded)
    canvas.paste(scatter, (decoded.width + 8 * GAP, 0))
    return canvas
