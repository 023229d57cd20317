"""From drawings to tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

Scene = TypeVar("Scene")
TRAIN, OTHER, HELD_OUT = 0, 1, 2  # parts of a scene's key: of training, of its second domain where unpaired, never trained on


def scenes(
    draw: Callable[[np.random.Generator, int], Scene], count: int, size: int, seed: int, part: int
) -> Iterator[Scene]:  # fmt: skip
    """`count` scenes of size × size. Scene i depends on (seed, part, i) alone: more scenes are these and further ones."""
    return (draw(np.random.default_rng([seed, part, i]), size) for i in range(count))


def drawn(
    draw: Callable[[np.random.Generator, int], Scene],
    views: Sequence[Callable[[Scene], np.ndarray]],
    count: int,
    size: int,
    seed: int,
    part: int,
) -> list[Tensor]:
    """The scenes in each of the views: one uint8 tensor (count, size, size, …) per view."""
    pictures: list[list[np.ndarray]] = [[] for _ in views]
    for scene in scenes(draw, count, size, seed, part):
        for view, made in zip(views, pictures, strict=True):
            made.append(view(scene))
    return [torch.from_numpy(np.stack(made)) if made else torch.empty(0, size, size, 3, dtype=torch.uint8) for made in pictures]


def signed(pictures: Tensor) -> Tensor:
    """uint8 (n, height, width, channels) as float32 (n, channels, height, width) in [-1, 1]."""
    return (pictures.permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous()
