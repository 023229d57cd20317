"""Stage I: from a sentence and z to a small picture."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from ganflow_layers.blocks import initialize, output, size_of_z
from torch import Tensor, nn

from ganflow_text.nets.augmentation import Augmentation, beside_noise, drawing
from ganflow_text.nets.common import COARSEST, halvings, shapes, up

if TYPE_CHECKING:
    from ganflow import Data, Prior


class Stage1(nn.Module):
    """z and c, side by side, through a linear layer to 4 × 4, doubled until the picture has its size.

    Args:
        drawn: c is drawn from the last `dim` numbers of z, which are seen in no other way.
    """

    def __init__(self, data: Data, prior: Prior | None, width: int, dim: int, augment: bool, drawn: bool = False) -> None:
        super().__init__()
        channels, side, numbers = shapes(data, "generator 'stackgan_stage1'")
        widths = [width << i for i in range(halvings(side))][::-1]
        widths = [2 * widths[0], *widths]
        self.augmentation = Augmentation(numbers, dim, augment)
        self.signatures = drawing(next(iter(data.fields)), augment)
        start = widths[0] * COARSEST**2
        if drawn:
            self.splits = [beside_noise(prior, dim, 1, "stackgan_stage1", f"set prior.dim={dim + 16}, say"), dim]
        else:
            self.splits = [size_of_z(prior, "stackgan_stage1"), 0]
        self.start = nn.Sequential(
            nn.Linear(self.splits[0] + dim, start, bias=False),
            nn.BatchNorm1d(start),
            nn.ReLU(),
            nn.Unflatten(1, (widths[0], COARSEST, COARSEST)),
        )
        ups = [layer for inputs, outputs in pairwise(widths) for layer in up(inputs, outputs)]
        self.ups = nn.Sequential(*ups, nn.Conv2d(widths[-1], channels, 3, padding=1), *output(data.main))
        initialize(self)

    def forward(self, z: Tensor, text: Tensor) -> Tensor:
        z, noise = z.flatten(1).split(self.splits, 1)
        c = self.augmentation(text, noise if noise.shape[1] else None)
        picture: Tensor = self.ups(self.start(torch.cat((z, c), 1)))
        return picture

    def divergence(self, text: Tensor) -> Tensor | None:
        return self.augmentation.divergence(text)
