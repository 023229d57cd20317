"""Examples beside what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganflow.pictures.points import ways
from ganflow.pictures.sheet import image_sheet

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from ganflow.data import Data

COLUMNS = 8  # pairs in a row


def image_pairs(title: str, originals: Tensor, reconstructed: Tensor, data: Data | None = None) -> Image | None:
    """Originals and their reconstructions, (n, *shape) both: images in rows, one below the other; points of the plane as a
    line from a dot, the original, to a ring; None for what has no picture.

    Args:
        title: of the originals.
        data: for the true density under the points.
    """
    match tuple(originals.shape[1:]):
        case (_, _, _):
            rows = {}
            for first in range(0, len(originals), COLUMNS):
                part = slice(first, first + COLUMNS)
                number = f" {first + 1} to {min(first + COLUMNS, len(originals))}" if len(originals) > COLUMNS else ""
                rows[f"{title}{number}"], rows[f"reconstructed{number}"] = originals[part], reconstructed[part]
            return image_sheet(rows)
        case (2,):
            import torch

            return ways(data, torch.stack((originals, reconstructed), 1), f"{title} points, and rings where they come out")
    return None
