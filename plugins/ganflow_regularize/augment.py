"""Differentiable augmentation in front of a critic. Every draw is one per example, from torch's generator."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ganflow import GanflowError

if TYPE_CHECKING:
    from ganflow import Data


def augmented(critic: nn.Module, policy: list[str], data: Data) -> nn.Module:
    """The same critic, which in training mode sees altered images.

    Raises:
        GanflowError: the data are not images.
    """
    if not data.main.is_image:
        raise GanflowError(
            f"modifier 'diffaugment' alters images (channels, height, width); data '{data.name}' has shape {data.shape}: "
            "take the modifier out"
        )

    def before(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        return (augment(inputs[0], policy), *inputs[1:]) if module.training else None

    critic.register_forward_pre_hook(before)
    return critic


def augment(x: Tensor, policy: list[str]) -> Tensor:
    """Images x, shape (n, channels, height, width), altered in the order of the policy."""
    for name in policy:
        x = ALTERATIONS[name](x)
    return x


def _uniform(x: Tensor, low: float, high: float) -> Tensor:
    """One number in [low, high) per example, shape (n, 1, 1, 1)."""
    return torch.rand(len(x), 1, 1, 1, dtype=x.dtype, device=x.device) * (high - low) + low


def _integers(x: Tensor, low: int, high: int) -> Tensor:
    """One integer in low … high, both included, per example, shape (n, 1, 1)."""
    return torch.randint(low, high + 1, (len(x), 1, 1), device=x.device)


def color(x: Tensor) -> Tensor:
    """Brightness + U(−0.5, 0.5); saturation × U(0, 2) about the pixel's mean; contrast × U(0.5, 1.5) about the image's."""
    x = x + _uniform(x, -0.5, 0.5)
    gray = x.mean(1, keepdim=True)
    x = gray + (x - gray) * _uniform(x, 0, 2)
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (x - mean) * _uniform(x, 0.5, 1.5)


def translation(x: Tensor) -> Tensor:
    """Shifted by a whole number of pixels, up to 1/8 of the side each way; zeros move in.

    As products with 0-1 matrices, so that all derivatives are products too (indexing would scatter, slowly).
    """
    height, width = x.shape[2:]
    return _shift(x, height).to(x.dtype) @ x @ _shift(x, width).mT.to(x.dtype)


def _shift(x: Tensor, side: int) -> Tensor:
    """Matrices (n, 1, side, side) that move row i + d to row i, with another d for each example."""
    most = _rounded(side * 0.125)
    i = torch.arange(side, device=x.device)
    return (i[None, :] == i[:, None] + _integers(x, -most, most))[:, None]


def cutout(x: Tensor) -> Tensor:
    """A rectangle of half the sides, its centre anywhere in the image (so that it may stick out), set to zero."""
    height, width = x.shape[2:]
    hole = _covered(x, height)[:, :, None] & _covered(x, width)[:, None, :]
    return x * ~hole[:, None]


def _covered(x: Tensor, side: int) -> Tensor:
    """For each example which rows are cut, shape (n, side)."""
    size = _rounded(side * 0.5)
    first = _integers(x, 0, side - size % 2)[:, 0] - size // 2
    i = torch.arange(side, device=x.device)
    return (i >= first) & (i < first + size)


def _rounded(value: float) -> int:
    """To the nearest whole number, halves up."""
    return int(value + 0.5)


ALTERATIONS: dict[str, Callable[[Tensor], Tensor]] = {"color": color, "translation": translation, "cutout": cutout}
