"""Masks: which pixels of an image are known. A mask is a bool tensor (height, width), True where a pixel is known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ganflow import GanflowError
from ganflow_inpainting.photos import cut_to

HALVES = ("left", "right", "top", "bottom")
MASKS = f"centre, random:SHARE, {', '.join(HALVES)}, or a picture that is white where the hole is"


def make_mask(text: str, height: int, width: int, seed: int = 0, photos: Mapping[str, tuple[int, int]] | None = None) -> Tensor:
    """The mask that `text` means for images of this size.

    centre: a hole of half the height and width in the middle. left, right, top, bottom: that half is missing. random:0.8:
    80 % of the pixels are missing, chosen with `seed`, the same for all images. Anything else is a picture's path. One that was
    drawn on the photos, and so has their size, is cut as they are: a pixel that its hole touches is missing.

    Args:
        photos: names of the images to inpaint, and their heights and widths before they were cut.

    Raises:
        GanflowError: it means nothing, the picture has another size, or nothing or everything is missing.
    """
    kind, _, share = text.partition(":")
    known = torch.ones(height, width, dtype=torch.bool)
    if text == "centre":
        known[height // 4 : height // 4 + (height + 1) // 2, width // 4 : width // 4 + (width + 1) // 2] = False
    elif text in HALVES:
        half = {"left": (slice(None), slice(0, width // 2)), "right": (slice(None), slice((width + 1) // 2, None)),
                "top": (slice(0, height // 2),), "bottom": (slice((height + 1) // 2, None),)}[text]  # fmt: skip
        known[half] = False
    elif kind == "random":
        order = torch.randperm(height * width, generator=torch.Generator().manual_seed(seed))
        known.view(-1)[order[: round(_share(text, share) * height * width)]] = False
    else:
        known = _read(text, height, width, photos or {})
    if known.all() or not known.any():
        raise GanflowError(f"--mask {text}: {'nothing' if known.all() else 'everything'} is missing of {width} × {height} pixels")
    return known


def _share(text: str, share: str) -> float:
    try:
        value = float(share)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise GanflowError(f"--mask {text}: write the share of pixels that are missing, between 0 and 1, as in random:0.8")
    return value


def _read(text: str, height: int, width: int, photos: Mapping[str, tuple[int, int]]) -> Tensor:
    from ganflow import read_image

    path = Path(text)
    if not path.exists():
        raise GanflowError(f"--mask {text}: there is no such file, and masks are {MASKS}")
    mask = read_image(path, 1)
    size = (mask.shape[1], mask.shape[2])
    if size == (height, width):
        return mask[0] <= 0
    found, wanted = f"{size[1]} × {size[0]}", f"{width} × {height}"
    if not photos:
        raise GanflowError(f"--mask {text} is {found} pixels, and the run's images are {wanted}")
    if other := next((f"{name} is {photo[1]} × {photo[0]}" for name, photo in photos.items() if photo != size), None):
        raise GanflowError(f"--mask {text} is {found} pixels, and {other}; a mask has the photo's size, or the run's, {wanted}")
    hole = (mask > 0).float()
    return cut_to(hole, height, width, "bilinear")[0] < 1e-3
