"""Measured colours of a bird's regions: every bird stands nearly the same way, so it is known which pixels show a region
in (almost) every pose."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from ganflow_text.birds import drawing
from ganflow_text.birds.plumage import COLOURS, REGIONS

POSES = 100
SURE = 0.97  # of the poses have to show the region at a pixel


@cache
def sure_pixels(size: int) -> Tensor:
    """Pixels that belong to each region, (regions, size, size) bool."""
    rng = np.random.default_rng(0)
    shown = torch.from_numpy(np.stack([drawing.regions(drawing.draw(rng, size)) for _ in range(POSES)]))
    shares = torch.stack([(shown == region).float().mean(0) for region in range(len(REGIONS))])
    return shares >= SURE


def measured(pictures: Tensor) -> Tensor:
    """The number of the colour that is nearest (in RGB) to a region's mean: (n, regions), of pictures (n, 3, size, size)."""
    sure = sure_pixels(pictures.shape[-1]).flatten(1).float()
    means = torch.einsum("ncp,rp->nrc", (pictures.flatten(2) + 1) * 127.5, sure / sure.sum(1, keepdim=True))
    palette = torch.tensor(list(COLOURS.values()), dtype=torch.float32)
    return torch.cdist(means, palette.expand(len(means), -1, -1)).argmin(2)


def accuracy(pictures: Tensor, colours: Tensor, named: Sequence[Sequence[int]]) -> Tensor:
    """For each region the share of pictures that name it and show it in the colour asked for: (regions,).

    Args:
        pictures: (n, 3, size, size).
        colours: (n, regions), what was asked for.
        named: of every picture, the regions that its sentence names.
    """
    asked = torch.zeros(len(pictures), len(REGIONS), dtype=torch.bool)
    for row, regions in zip(asked, named, strict=True):
        row[list(regions)] = True
    right = (measured(pictures) == colours) & asked
    return right.sum(0) / asked.sum(0)
