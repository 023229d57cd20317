"""Photographs cut to the size of a run's images."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import interpolate


def cut_to(image: Tensor, height: int, width: int, mode: str = "bicubic") -> Tensor:
    """As much of the middle of an image (channels, any height, any width) as (channels, height, width) can show, scaled.

    Args:
        mode: of torch's interpolation, antialiased.
    """
    if tuple(image.shape[1:]) == (height, width):
        return image
    scale = max(height / image.shape[1], width / image.shape[2])
    size = [max(height, round(image.shape[1] * scale)), max(width, round(image.shape[2] * scale))]
    scaled = interpolate(image[None], size, mode=mode, antialias=True, align_corners=False)[0]
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return scaled[:, top : top + height, left : left + width].contiguous()
