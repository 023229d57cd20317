"""Twice and half the size by one low-pass filter, [1, 3, 3, 1] in both directions: bilinear, and beyond the border zeros.

StyleGAN2 (Karras et al. 2019, arXiv:1912.04958) and R3GAN (Huang et al. 2024, arXiv:2501.05441) resample with it. Where a side is
odd, half of it is rounded down, and twice of that is one pixel short of it or, cut off, exactly what is asked for.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TAPS = (1.0, 3.0, 3.0, 1.0)


class Filter(nn.Module):
    """The filter, whose sum is 1, as a module's buffer: a constant of its device, and of no checkpoint."""

    taps: Tensor

    def __init__(self) -> None:
        super().__init__()
        line = torch.tensor(TAPS) / sum(TAPS)
        self.register_buffer("taps", torch.outer(line, line)[None, None], persistent=False)

    def kernel(self, x: Tensor) -> Tensor:
        """The same filter for each channel of x: (channels, 1, 4, 4)."""
        return self.taps.to(x.dtype).expand(x.shape[1], 1, -1, -1)


class Blurred(Filter):
    """The same size plus 2 · padding − 3.

    Args:
        padding: zeros on every side.
        gain: on the sum of the filter.
    """

    def __init__(self, padding: int, gain: float = 1.0) -> None:
        super().__init__()
        self.padding, self.gain = padding, gain

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.gain * self.kernel(x), padding=self.padding, groups=x.shape[1])


class Halved(Filter):
    """Half the size, rounded down."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.kernel(x), stride=2, padding=1, groups=x.shape[1])


class Doubled(Filter):
    """Twice the size, cut off to `size`."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        doubled = F.conv_transpose2d(x, 4 * self.kernel(x), stride=2, padding=1, groups=x.shape[1])
        return doubled[:, :, : self.size[0], : self.size[1]]
