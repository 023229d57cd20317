"""A latent plane, and what lies in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from ganflow.pictures.images import BACKGROUND, GAP, image_grid
from ganflow.pictures.sheet import coloured_images

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

PANEL = 700  # pixels that a side is not to exceed by much
TILE = 32  # small images are enlarged to about this many pixels


def latent_map(decode: Callable[[Tensor], Tensor], examples: Tensor, places: Tensor) -> Image.Image:
    """A latent plane, laid out as the unit square: on the left what it decodes to, on the right where examples lie in it.

    Args:
        decode: images (n, channels, height, width) for places (n, 2) in the square; the first number goes to the right, the
            second upwards.
        examples: images (m, channels, height, width).
        places: of the examples, (m, 2) in [0, 1].
    """
    import torch

    height, width = examples.shape[2:]
    scale = max(1, round(TILE / max(height, width)))
    side = min(20, max(8, PANEL // (scale * max(height, width) + GAP)))
    steps = (torch.arange(side) + 0.5) / side
    up, right = torch.meshgrid(steps.flip(0), steps, indexing="ij")
    images = coloured_images(decode(torch.stack((right, up), -1).reshape(-1, 2)))
    decoded = image_grid(images, columns=side, scale=scale).convert("RGB")
    scatter = Image.new("RGB", decoded.size, (BACKGROUND,) * 3)
    spare = (decoded.width - width * scale, decoded.height - height * scale)
    for example, (x, y) in zip(coloured_images(examples), places.tolist(), strict=True):
        tile = image_grid(example[None], scale=scale).convert("RGB").crop((GAP, GAP, GAP + width * scale, GAP + height * scale))
        scatter.paste(tile, (round(x * spare[0]), round((1 - y) * spare[1])))
    canvas = Image.new("RGB", (2 * decoded.width + 8 * GAP, decoded.height), (BACKGROUND,) * 3)
    canvas.paste(decoded)
    canvas.paste(scatter, (decoded.width + 8 * GAP, 0))
    return canvas
