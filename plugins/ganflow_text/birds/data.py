"""Birds as data."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from ganflow_layers.drawing.tensors import HELD_OUT, TRAIN, signed
from ganflow_layers.drawing.tensors import drawn as scenes
from torch import Tensor

from ganflow import TextEncoder
from ganflow_text.birds import drawing
from ganflow_text.birds.grammar import Caption, caption
from ganflow_text.captioned import CaptionedData

WORDS = 10  # added to a scene's part, for its sentences' random numbers


class Birds(CaptionedData):
    """See ganflow_text.data.Birds for the keys.

    Attributes:
        colours, held_out_colours: (n, 5) int64, for each region the number of its colour.
        held_out_captions: one for each held-out bird, in a list.
    """

    def __init__(self, size: int, train: int, held_out: int, captions: int, seed: int, encoder: TextEncoder) -> None:
        self._scenes = (train, seed)
        pictures, self.colours = _drawn(train, size, seed, TRAIN)
        self._pictures = signed(pictures)
        kept, self.held_out_colours = _drawn(held_out, size, seed, HELD_OUT)
        self._kept_pictures = signed(kept)
        about = captions_of(self.colours, captions, seed, TRAIN)
        self.held_out_captions = captions_of(self.held_out_colours, 1, seed, HELD_OUT)
        super().__init__(
            "birds",
            "generated",
            (3, size, size),
            [[c.text for c in each] for each in about],
            [[c.text for c in each] for each in self.held_out_captions],
            encoder,
            f"birds 1 {train} {captions} {seed}",
        )

    def picture(self, index: int, rng: torch.Generator) -> Tensor:
        return self._pictures[index]

    def reduced(self, side: int) -> Tensor:
        """Drawn anew, so that they are the same for every size of the data."""
        train, seed = self._scenes
        return signed(_drawn(train, side, seed, TRAIN)[0])

    def redrawn(self, count: int, draws: int) -> Tensor:
        """Other pictures of held-out birds in the same colours, (count, draws, 3, size, size): the spread at a sentence."""
        side = self.shape[-1]
        birds = [
            drawing.posed(np.random.default_rng([self._scenes[1], HELD_OUT, i, draw]), side, tuple(plumage))
            for i, plumage in enumerate(self.held_out_colours[torch.arange(count) % len(self.held_out_colours)].tolist())
            for draw in range(draws)
        ]
        return signed(torch.from_numpy(np.stack([drawing.picture(bird) for bird in birds]))).unflatten(0, (count, draws))

    def held_out_pictures(self) -> Tensor:
        return self._kept_pictures


def _drawn(count: int, size: int, seed: int, part: int) -> tuple[Tensor, Tensor]:
    """Pictures (n, size, size, 3) uint8 and colours (n, 5) int64."""
    pictures, colours = scenes(
        partial(drawing.draw, held_out=part == HELD_OUT), (drawing.picture, drawing.colours), count, size, seed, part
    )
    return pictures, colours if count else torch.empty(0, 5, dtype=torch.int64)


def captions_of(colours: Tensor, count: int, seed: int, part: int) -> list[list[Caption]]:
    """`count` sentences about each bird."""
    captions = []
    for i, plumage in enumerate(colours.tolist()):
        rng = np.random.default_rng([seed, part + WORDS, i])
        captions.append([caption(tuple(plumage), rng) for _ in range(count)])
    return captions
