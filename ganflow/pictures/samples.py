"""The picture that suits the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganflow.pictures.images import image_grid
from ganflow.pictures.points import density, histogram, lines

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from ganflow.data import Data


def sample_picture(data: Data | None, samples: Tensor, round: int | None = None) -> Image | None:
    """Samples (n, *data.shape) drawn as suits their shape: images as a grid, numbers as a histogram, points of the plane
    beside the true density, other vectors as lines; None for what has no picture.

    Args:
        data: for the truth beside what is generated; None where it is not at hand.
        samples: generated examples.
        round: for the titles of what has titles.
    """
    match tuple(samples.shape[1:]):
        case (_, _, _):
            return image_grid(samples)
        case (1,):
            return histogram(data, samples, round)
        case (2,):
            return density(data, samples, round=round)
        case (_,):
            return lines(data, samples, round)
    return None
