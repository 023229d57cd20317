"""The matching-aware critic: it scores how real a picture is, and how well it matches a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from ganflow_layers.blocks import initialize, normalization
from torch import Tensor, nn

from ganflow_text.nets.common import COARSEST, halvings, shapes

if TYPE_CHECKING:
    from ganflow import Data


class Critic(nn.Module):
    """The picture halved down to 4 × 4, the sentence's vector compressed and set beside it at every position, a 1 × 1 convolution
    over both, and one that spans all (Reed et al. 2016, arXiv:1605.05396; StackGAN, section 3.3).

    Args:
        projection: further adds the product of the picture's features with the sentence's (Miyato & Koyama 2018,
            arXiv:1802.05637).
    """

    def __init__(self, data: Data, width: int, dim: int, norm: str, projection: bool) -> None:
        super().__init__()
        channels, side, numbers = shapes(data, "critic 'stackgan'")
        widths = [min(width << i, 8 * width) for i in range(halvings(side))]
        layers: list[nn.Module] = []
        for i, (inputs, outputs) in enumerate(zip([channels, *widths], widths, strict=False)):
            norms = normalization(norm, outputs) if i else []
            layers += [nn.Conv2d(inputs, outputs, 4, 2, 1, bias=not norms), *norms, nn.LeakyReLU(0.2)]
        widest = widths[-1]
        self.down = nn.Sequential(*layers)
        self.compress = nn.Sequential(nn.Linear(numbers, dim), nn.LeakyReLU(0.2))
        join = nn.Conv2d(widest + dim, widest, 1, bias=norm == "none")
        self.joined = nn.Sequential(join, *normalization(norm, widest), nn.LeakyReLU(0.2), nn.Conv2d(widest, 1, COARSEST))
        self.project = nn.Linear(numbers, widest * COARSEST**2, bias=False) if projection else None
        initialize(self)

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        seen, sentence = self.down(x), self.compress(text)
        everywhere = sentence[:, :, None, None].expand(-1, -1, *seen.shape[2:])
        score: Tensor = self.joined(torch.cat((seen, everywhere), 1)).flatten()
        if self.project is not None:
            score = score + (seen.flatten(1) * self.project(text)).mean(1)
        return score
