"""scikit-learn's digits, enlarged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from ganflow_layers.split import split
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from ganflow import TensorData


def digits(size: int, classes: list[int], held_out: float) -> TensorData:
    """Fields "real", (1, size, size) in [-1, 1], and "label", what it shows: a class for each digit that there is."""
    small, shown = read()
    digits = sorted(set(classes)) or list(range(10))
    small, shown = (t[torch.isin(shown, torch.tensor(digits))] for t in (small, shown))
    images, labels = enlarge(small, size) * 2 - 1, torch.searchsorted(torch.tensor(digits), shown)
    parts = [{"real": images[rows], "label": labels[rows]} for rows in split(len(images), held_out, "digits")]
    names = {"label": [str(digit) for digit in digits]}
    return TensorData("digits", parts[0], parts[1], source="scikit-learn", classes=names, derived=["label"])


def read() -> tuple[Tensor, Tensor]:
    """The images, (1797, 8, 8) float32 in [0, 1], and what they show, (1797,) int64.

    They are those of scikit-learn: the test part of "Optical Recognition of Handwritten Digits" (E. Alpaydin and C. Kaynak, UCI
    Machine Learning Repository, 1998, CC BY 4.0), sums of black pixels from 0 to 16.
    """
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as file:
        pixels, shown = file["pixels"], file["shown"]
    return torch.from_numpy(pixels.astype(np.float32) / 16), torch.from_numpy(shown.astype(np.int64))


def enlarge(small: Tensor, size: int) -> Tensor:
    """(n, 8, 8) to (n, 1, size, size), both in [0, 1]: bicubic, on black with a margin of 1/16 of the size.

    Strokes reach the border of the 8 × 8 images; the margin lets them end in black.
    """
    inner = size - 2 * (size // 16)
    zoom = torch.tensor([[size / inner, 0, 0], [0, size / inner, 0]]).expand(len(small), 2, 3)
    grid = affine_grid(zoom, [len(small), 1, size, size], align_corners=False)
    return grid_sample(small[:, None], grid, mode="bicubic", padding_mode="zeros", align_corners=False).clamp(0, 1)
