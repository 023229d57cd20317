"""Layers with equalized rates, of which StyleGAN2's networks are made (Karras et al. 2017, arXiv:1710.10196, section 4.1; Karras
et al. 2019, arXiv:1912.04958).

All weights are drawn from N(0, 1), and divided by the root of the number of inputs when they are used: Adam, whose steps do not
depend on the gradient's size, then changes what each layer does at the same rate.
"""

from __future__ import annotations

import math

import torch
from ganflow_layers.resample import Blurred
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 0.2
TINY = 1e-8


class Active(nn.Module):
    """Leaky ReLU times √2, so that a normal input keeps about its size.

    Args:
        gain: a further factor.
    """

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = gain * math.sqrt(2)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, SLOPE) * self.gain


class EqualLinear(nn.Linear):
    """A linear layer.

    Args:
        start: of the biases.
        rate: how fast it learns, to others: its numbers are stored so much larger, and Adam's steps count so much less.

    Attributes:
        gain: on the weights when they are used.
    """

    def __init__(self, inputs: int, outputs: int, start: float = 0.0, rate: float = 1.0) -> None:
        super().__init__(inputs, outputs)
        self.rate, self.gain = rate, rate / math.sqrt(inputs)
        nn.init.normal_(self.weight, 0.0, 1 / rate)
        nn.init.constant_(self.bias, start / rate)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.gain, self.bias * self.rate)


class EqualConv(nn.Conv2d):
    """A convolution at the same size, or with stride 2 after a low-pass filter at half of it, rounded down."""

    def __init__(self, inputs: int, outputs: int, kernel: int, bias: bool = True, halve: bool = False) -> None:
        super().__init__(inputs, outputs, kernel, stride=2 if halve else 1, padding=0 if halve else kernel // 2, bias=bias)
        self.gain = 1 / math.sqrt(inputs * kernel**2)
        self.blur = Blurred(kernel // 2 + 1) if halve else nn.Identity()
        nn.init.normal_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(self.blur(x), self.weight * self.gain, self.bias)


class ModulatedConv(nn.Module):
    """A convolution whose input channels each example's style scales. Demodulated, its outputs are divided by their size if the
    scaled inputs were independent and of variance 1: what a style does stays in its layer.

    Scaling inputs and outputs is the same as every example having its weights, and needs no weights for each example.

    Args:
        code: numbers of a style.
        demodulate: divide the outputs; else the weights are divided by the root of the number of inputs.
        double: make twice the size: a transposed convolution of stride 2, then the low-pass filter.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, code: int, demodulate: bool = True, double: bool = False
    ) -> None:
        super().__init__()
        self.demodulate, self.doubles, self.gain = demodulate, double, 1 / math.sqrt(inputs * kernel**2)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.scales = EqualLinear(code, inputs, start=1.0)
        self.blur = Blurred(1, gain=4.0) if double else nn.Identity()  # three of four pixels before it are zeros

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scales = self.scales(style)
        weight = self.weight if self.demodulate else self.weight * self.gain
        x = x * scales[:, :, None, None]
        if self.doubles:
            x = self.blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2))
        else:
            x = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
        if self.demodulate:
            squares = scales.square() @ weight.square().sum((2, 3)).T
            x = x * (squares + TINY).rsqrt()[:, :, None, None]
        return x
