"""Three of scikit-learn's digits as the channels of one picture."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from ganflow_layers.split import split
from torch import Tensor

from ganflow import IMAGE_RANGE, Field, GanflowError, IterableData
from ganflow_data.digits import enlarge, read

CHANNELS = 3
BLOCK = 256  # pictures stacked at once


class StackedDigits(IterableData):
    """Pictures of three independent digits without end. Field "real", (3, size, size) in [-1, 1]. A digit's class is drawn first,
    each as often, so that the 1,000 classes of pictures are even, whatever the counts of training or held-out digits are.

    Picture i of the sequence follows from the seed and i, so that the position is all the state there is.

    Attributes:
        digits: the training digits, (n, size, size) for each class.
        held_out_digits: those of held-out pictures.

    Raises:
        GanflowError: a class would have no digit for training, or none held out.
    """

    name, source = "stacked_digits", "scikit-learn"

    def __init__(self, size: int, held_out: float, held_out_pictures: int, seed: int) -> None:
        small, shown = read()
        images = enlarge(small, size)[:, 0] * 2 - 1
        self.digits, self.held_out_digits = (
            [images[rows[shown[rows] == digit]] for digit in range(10)] for rows in split(len(images), held_out, "stacked_digits")
        )
        if not all(map(len, self.digits + self.held_out_digits)):
            raise GanflowError(f"data.held_out: {held_out:g} leaves a class without digits for training or held-out pictures: "
                               "take 0.1")  # fmt: skip
        self.fields = {"real": Field((CHANNELS, size, size), *IMAGE_RANGE)}
        self.held_out = {"real": self.further_held_out(held_out_pictures, 0)}
        self._seed, self._position = seed, 0

    def further_held_out(self, n: int, seed: int) -> Tensor:
        """n pictures of held-out digits, (n, 3, size, size), others for every seed; those of seed 0 are `held_out`."""
        return stack(self.held_out_digits, n, seed)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        while True:
            block, first = divmod(self._position, BLOCK)
            for picture in stack(self.digits, BLOCK, self._seed, block)[first:]:
                self._position += 1
                yield {"real": picture}

    def state_dict(self) -> dict[str, Any]:
        return {"position": self._position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._position = int(state["position"])

    def fingerprint(self) -> str:
        digest = hashlib.sha256(f"{self._seed}".encode())
        for digits in self.digits:
            digest.update(f"{tuple(digits.shape)}".encode() + digits.numpy().tobytes())
        return digest.hexdigest()[:16]


def stack(digits: Sequence[Tensor], n: int, *seed: int) -> Tensor:
    """n pictures (n, 3, size, size) of the digits of each class: for every channel a class, then one of its digits."""
    numbers = np.random.default_rng(seed)
    classes, shares = numbers.integers(len(digits), size=(n, CHANNELS)), numbers.random((n, CHANNELS))
    counts = np.array([len(of_class) for of_class in digits])
    rows = (counts.cumsum() - counts)[classes] + (shares * counts[classes]).astype(np.int64)
    return torch.cat(list(digits))[torch.from_numpy(rows)]
