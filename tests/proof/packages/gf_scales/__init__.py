"""Two critics, one of which sees images at half the size (Wang et al. 2018, arXiv:1711.11585, section 3.2)."""

import math

from torch import nn
from torch.nn.functional import avg_pool2d

from ganflow import GanflowError, hookimpl, key, settings

GANFLOW_CONTRACT = 2


def scorer(size, width):
    return nn.Sequential(nn.Flatten(), nn.Linear(size, width), nn.LeakyReLU(0.2), nn.Linear(width, 1), nn.Flatten(0))


class TwoScales(nn.Module):
    """Scores (n,) by name, "fine" and "coarse", of images (n, channels, height, width)."""

    def __init__(self, shape, width, coarse):
        super().__init__()
        channels, height, breadth = shape
        self.fine = scorer(math.prod(shape), width)
        self.coarse = scorer(channels * (height // 2) * (breadth // 2), width)
        self.score_weights = {"fine": 1.0, "coarse": coarse}

    def forward(self, x):
        return {"fine": self.fine(x), "coarse": self.coarse(avg_pool2d(x, 2))}


@settings
class TwoScalesCritic:
    """One critic of the image, and one of the image at half the size."""

    width: int = key(64, "units of the hidden layers", ge=1)
    coarse: float = key(1.0, "weight of the coarse critic's loss", ge=0)

    @hookimpl
    def critic(self, data):
        if not data.main.is_image:
            raise GanflowError(f"critic 'two_scales' scores images; data '{data.name}' has shape {data.shape}")
        return TwoScales(data.shape, self.width, self.coarse)


@hookimpl
def register(offer):
    offer("critic", "two_scales", TwoScalesCritic)
