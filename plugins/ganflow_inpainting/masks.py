"""Masks: which pixels of an image are known. A mask is a bool tensor (height, width), True where a pixel is known."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ganflow import GanflowError

HALVES = ("left", "right", "top", "bottom")
MASKS = f"centre, random:SHARE, {', '.join(HALVES)}, or a picture that is white where the hole is"


def make_mask(text: str, height: int, width: int, seed: int = 0) -> Tensor:
    """The mask that `text` means for images of this size.

    centre: a hole of half the height and width in the middle. left, right, top, bottom: that half is missing. random:0.8:
    80 % of the pixels are missing, chosen with `seed`, the same for all images. Anything else is a picture's path.

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
        known = _read(text, height, width)
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


def _read(text: str, height: int, width: int) -> Tensor:
    from ganflow import read_image

    path = Path(text)
    if not path.exists():
        raise GanflowError(f"--mask {text}: there is no such file, and masks are {MASKS}")
    hole = read_image(path, 1)[0] > 0
    if hole.shape != (height, width):
        found = f"{hole.shape[1]} × {hole.shape[0]}"
        raise GanflowError(f"--mask {text} is {found} pixels, and the run's images are {width} × {height}")
    return ~hole
