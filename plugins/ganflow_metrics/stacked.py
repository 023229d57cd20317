"""Classes of stacked digits: how many of the 1,000 a generator makes, and how evenly."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from ganflow_data.digits import enlarge
from torch import Tensor

from ganflow import GanflowError
from ganflow_metrics.classes import EACH, kl
from ganflow_metrics.classifier import SIDE, digits_classifier
from ganflow_metrics.compared import held_out_examples
from ganflow_metrics.digits import sure
from ganflow_metrics.extractors import digest_of_state
from ganflow_metrics.pieces import Chosen, digest_of_examples, in_pieces
from ganflow_metrics.repeats import Repeated, chosen_of, say_few, turn_of, warn_once

if TYPE_CHECKING:
    from ganflow import Data, Game

PIECE = 1000  # pictures read at once
FEWEST = 10  # held-out pictures
DIGITS = 10
FLOORS = 3  # samples of held-out pictures: 26,000 take two seconds of a core to draw and to read


class StackedModesMetric(Repeated):
    """Scores `stacked_modes_<n>`, the classes found among n pictures of several digits, one in each channel, `stacked_kl_<n>`,
    KL(found ‖ uniform) in nats, and `stacked_legible_<n>`, the share of pictures in which the classifier is 90 % sure of each
    digit. The floors are those of n held-out pictures.

    Raises:
        GanflowError: the data are no pictures of digits, or there are too few held-out ones.
    """

    goal: ClassVar[Literal["min", "max"]] = "max"

    def __init__(self, data: Data, samples: int, seed: int, repeats: int) -> None:
        if not data.main.is_image:
            raise GanflowError(f"metric stacked_modes reads pictures of digits, and data {data.name} are none: use data "
                               "stacked_digits")  # fmt: skip
        self._classifier, self._data = digits_classifier(), data
        self._further = getattr(data, "further_held_out", None)
        held_out = held_out_examples(data, "stacked_modes", FEWEST)
        known = legible(self._read(held_out[:PIECE]))
        if known < 0.5:
            raise GanflowError(f"metric stacked_modes reads pictures of digits, one in each channel; of data {data.name} the "
                               f"classifier recognises {known:.0%}: use data stacked_digits")  # fmt: skip
        self._held_out = held_out
        names = [f"stacked_{score}_{samples}" for score in ("modes", "kl", "legible")]
        classes = DIGITS ** data.shape[0]
        say_few("stacked_modes", samples, EACH * classes, f"for there are {classes} classes")
        turn = turn_of(seed, repeats)
        if self._further is None:
            self._parts = chosen_of(turn, len(held_out) // samples, FLOORS)
        else:
            self._parts = range(turn * FLOORS, (turn + 1) * FLOORS)
        count = len(self._parts)
        if not count:
            warn_once(f"metric stacked_modes has no floor: it draws {samples} samples, and data {data.name} has {len(held_out)} "
                      f"held-out pictures; with samples={len(held_out)} it would have one")  # fmt: skip
        super().__init__(
            data, samples, seed, repeats, names, names if count else (), count, classes=classes, kl="found ‖ uniform",
            features=f"digits {digest_of_state(self._classifier.state_dict())}",
            floor=f"{count} × {samples} held-out pictures" if count else "none",
            reference_digest=digest_of_examples({"real": held_out}),
        )  # fmt: skip

    def draw(self, game: Game, seed: int) -> Tensor:
        """The classifier's answers to one draw, (samples, channels, digits)."""
        return torch.cat([self._read(piece) for piece in game.samples(self._samples, seed).split(PIECE)])

    def score(self, x: Tensor, repeat: int) -> Sequence[float]:
        shares = shares_of_stacks(x)
        return [float((shares > 0).sum()), kl(shares, torch.full_like(shares, 1 / len(shares))), legible(x)]

    def floor(self, pair: int) -> Sequence[float]:
        return self.score(torch.cat([self._read(piece) for piece in self._real_pictures(self._parts[pair])]), pair)

    def _real_pictures(self, part: int) -> Iterator[Tensor]:
        """As many held-out pictures as samples, in pieces; other ones for another part."""
        if self._further is None:
            yield from in_pieces(Chosen(self._held_out, torch.arange(part * self._samples, (part + 1) * self._samples)))
        else:
            pieces = torch.arange(self._samples).split(PIECE)
            for i, piece in enumerate(pieces):
                yield self._further(len(piece), 1 + part * len(pieces) + i)

    def _read(self, pictures: Tensor) -> Tensor:
        """Probabilities of the digits, (n, channels, digits), of pictures (n, channels, height, width); NaN where one is not
        finite."""
        if not pictures.isfinite().all():
            return torch.full((*pictures.shape[:2], DIGITS), math.nan, dtype=torch.float64)
        channels = pictures.flatten(0, 1)
        if max(pictures.shape[2:]) < SIDE:  # digits without the margin that the classifier knows
            channels = enlarge((channels + 1) / 2, SIDE)[:, 0] * 2 - 1
        return self._classifier.judge(channels[:, None])[1].unflatten(0, pictures.shape[:2])


def shares_of_stacks(answers: Tensor) -> Tensor:
    """The share of each combination of digits, (digits ** channels,), among the likeliest ones of answers (n, channels, digits).
    The first channel's digit is the number's highest."""
    n, channels, digits = answers.shape
    numbers = (answers.argmax(2) * digits ** torch.arange(channels - 1, -1, -1)).sum(1)
    return numbers.bincount(minlength=digits**channels).double() / n


def legible(answers: Tensor) -> float:
    """The share of pictures, (n, channels, digits), of which each digit is one for sure."""
    return sure(answers.amax(2).amin(1)[:, None])
