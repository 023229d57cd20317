"""Share of generated digits that show what was asked for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from ganflow import GanflowError, Metric, TensorData
from ganflow_metrics.classifier import digits_classifier

if TYPE_CHECKING:
    from ganflow import Data, Game

LABEL = "label"
MISFIT = "metric class_accuracy asks for digits by the field 'label', whose classes are called '0' to '9'"


class AskedLabel(Metric):
    """Scores `asked_label_<n>`, the share of n samples that the digits classifier reads as the digit that was asked, and
    `asked_label_<n>_<class>` for each class. All classes are asked for equally often, but for a remainder.

    Raises:
        GanflowError: the data are no labelled digits, of one channel and in memory.
    """

    goal: ClassVar[Literal["min", "max"]] = "max"

    def __init__(self, data: Data, samples: int, seed: int) -> None:
        digits = digits_of(data)
        self._classifier, self._seed = digits_classifier(), seed
        self._labels = torch.arange(samples) % len(digits)
        self._digits = torch.tensor(digits)
        assert isinstance(data, TensorData)
        known = self._right(data.train[next(iter(data.fields))], data.train[LABEL]).double().mean().item()
        if known < 0.5:
            raise GanflowError(f"{MISFIT}; of data {data.name} the classifier reads {known:.0%} as their labels say")
        self.names = (f"asked_label_{samples}", *(f"asked_label_{samples}_{digit}" for digit in digits))

    def evaluate(self, game: Game) -> dict[str, float]:
        fake = game.call("sample", z=game.latents(len(self._labels), self._seed), label=self._labels)
        if not fake.isfinite().all():
            return dict.fromkeys(self.names, math.nan)
        right = self._right(fake, self._labels).double()
        each = [right[self._labels == label].mean().item() for label in range(len(self._digits))]
        return dict(zip(self.names, (right.mean().item(), *each), strict=True))

    def _right(self, images: Tensor, labels: Tensor) -> Tensor:
        """True for images (n, 1, height, width) that the classifier reads as their labels (n,) say: (n,) bool."""
        _, answers = self._classifier.judge(images)
        return answers.argmax(1) == self._digits[labels]


def digits_of(data: Data) -> list[int]:
    """The digits that the labels 0, 1, … mean.

    Raises:
        GanflowError: the data are no labelled digits.
    """
    field = data.fields.get(LABEL)
    if field is None or field.kind != "class":
        raise GanflowError(f"{MISFIT}; data {data.name} has no such field: use data digits")
    if not (isinstance(data, TensorData) and data.main.is_image and data.shape[0] == 1):
        raise GanflowError(f"{MISFIT}; data {data.name} are no pictures of one channel in memory: use data digits")
    if strange := [name for name in field.classes if name not in list("0123456789")]:
        raise GanflowError(f"{MISFIT}; data {data.name} has a class '{strange[0]}': use data digits")
    return [int(name) for name in field.classes]
