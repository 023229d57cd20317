"""Two domains of the same kind of scene, as unpaired data or as paired."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from ganflow_layers.drawing.tensors import HELD_OUT, OTHER, TRAIN, drawn, signed

from ganflow import TensorData

Scene = TypeVar("Scene")
View = Callable[[Scene], np.ndarray]


def unpaired(
    name: str, draw: Callable[[np.random.Generator, int], Scene], a: View[Scene], b: View[Scene],
    size: int, train: int, held_out: int, seed: int,
) -> TensorData:  # fmt: skip
    """Fields "a" and "b", (3, size, size). No training scene is seen in both domains, each held-out one is."""
    (first,) = drawn(draw, (a,), train, size, seed, TRAIN)
    (second,) = drawn(draw, (b,), train, size, seed, OTHER)
    kept = drawn(draw, (a, b), held_out, size, seed, HELD_OUT)
    return TensorData(
        name,
        {"a": signed(first), "b": signed(second)},
        {"a": signed(kept[0]), "b": signed(kept[1])},
        source="generated",
        paired=False,
    )


def paired(
    name: str, draw: Callable[[np.random.Generator, int], Scene], source: View[Scene], target: View[Scene],
    size: int, train: int, held_out: int, seed: int,
) -> TensorData:  # fmt: skip
    """Fields "source" and "target", (3, size, size), of the same scenes."""
    parts = []
    for count, part in ((train, TRAIN), (held_out, HELD_OUT)):
        first, second = drawn(draw, (source, target), count, size, seed, part)
        parts.append({"source": signed(first), "target": signed(second)})
    return TensorData(name, parts[0], parts[1], source="generated")
