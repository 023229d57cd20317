"""A critic of the image at several sizes (UNIT's code; Wang et al. 2017, arXiv:1711.11585, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganflow import GanflowError
from ganflow_translation.nets.domains import beside, critic_of
from ganflow_translation.nets.patch import Patch, chain, receptive_field

if TYPE_CHECKING:
    from ganflow import Data

NAMES = ("full", "half", "quarter", *(f"1/{2**i}" for i in range(3, 8)))
MOST = 3  # scales, where the recipe does not say how many


class Multiscale(nn.Module):
    """Images, shape (n, channels, height, width), to maps of scores (n, 1, h, w) by name: one critic each for the image ("full"),
    for its half ("half"), its quarter, …

    Where losses are averaged over the scales they are one map (n, scales, h, w): those of smaller images are enlarged to the
    largest by repeating scores, so that in a mean over all scores every scale weighs the same.

    Args:
        critics: of each scale, the image's own first.
        summed: whether a loss is the sum over the scales, not their mean.

    Attributes:
        score_weights: 1 of each scale where their losses are summed; empty where there is one map.
        receptive_fields: how many pixels of the image, a side, a score of each scale depends on.
        receptive_field: the largest of them.
    """

    def __init__(self, critics: list[Patch], summed: bool) -> None:
        super().__init__()
        self.score_weights = dict.fromkeys(NAMES[: len(critics)] if summed else (), 1.0)
        self.halved = nn.AvgPool2d(2)
        self.critics = nn.ModuleList(critics)
        self.receptive_fields = [receptive_field([self.halved] * i + list(c)) for i, c in enumerate(critics)]
        self.receptive_field = self.receptive_fields[-1]

    def forward(self, x: Tensor, **condition: Tensor) -> Tensor | dict[str, Tensor]:
        x, maps = beside(x, condition), list[Tensor]()
        for i, critic in enumerate(self.critics):
            x = self.halved(x) if i else x
            maps.append(critic(x))
        if self.score_weights:
            return dict(zip(self.score_weights, maps, strict=True))
        enlarged = [F.interpolate(scores, size=maps[0].shape[2:], mode="nearest") for scores in maps[1:]]
        return torch.cat((maps[0], *enlarged), 1)

    def extra_repr(self) -> str:
        return f"receptive_fields={self.receptive_fields}"


def critic(data: Data, condition: Sequence[str], width: int, norm: str, scales: int, layers: int, summed: bool) -> nn.Module:
    """Critics of several scales for the data: see `critic_of`. Zero scales: three, or as many as the image is large enough for.

    Raises:
        GanflowError: the data are no images, or too small.
    """
    widths = [width * 2**i for i in range(layers)]
    least = 1 if norm == "none" else 2  # pixels a side of the coarsest map: a norm of a single one is nothing

    def build(channels: int, height: int, width_px: int) -> Multiscale:
        possible = (min(height, width_px) // least >> layers).bit_length()
        if not possible or scales > possible:
            wanted = max(scales, 1)
            smallest = least * 2 ** (layers + wanted - 1)
            remedy = "fewer layers" if wanted == 1 else "fewer scales or layers"
            raise GanflowError(
                f"critic 'multiscale' with {layers} layers at {wanted} scale{'s' * (wanted > 1)} scores images of {smallest} "
                f"pixels a side or more; data '{data.name}' has {height} × {width_px}: take {remedy}, or larger images"
            )
        count = scales or min(MOST, possible)
        patches = [Patch(*chain(channels, widths, [(4, 2)] * layers + [(1, 1)], norm)) for _ in range(count)]
        return Multiscale(patches, summed)

    return critic_of(data, condition, "multiscale", build)
