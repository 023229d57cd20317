"""Share of birds that have the colours that were asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ganflow import GanflowError, Metric
from ganflow_text.birds.data import Birds
from ganflow_text.birds.measure import accuracy

if TYPE_CHECKING:
    from ganflow import Data, Game


class BirdColours(Metric):
    """See ganflow_text.metrics.BirdColours for the keys."""

    goal = "max"

    def __init__(self, data: Data, samples: int, seed: int) -> None:
        if not isinstance(data, Birds) or not len(data.held_out_colours):
            raise GanflowError("metric 'bird_colours' measures birds drawn for held-out sentences; it needs data birds")
        self._data, self._samples, self._seed = data, samples, seed
        self.names = (f"bird_colours_{samples}",)

    def check(self, game: Game) -> None:
        if "sample" not in game.signatures or set(game.signatures["sample"].inputs) != {"z", "text"}:
            raise GanflowError("metric 'bird_colours' asks for birds by sentences, and the generator takes none: use condition: "
                               "text, or take the metric out")  # fmt: skip

    def evaluate(self, game: Game) -> dict[str, float]:
        rows = torch.arange(self._samples) % len(self._data.held_out_colours)
        z, text = game.latents(self._samples, self._seed), self._data.held_out["text"][rows]
        pictures = game.call("sample", z=z, text=text)
        named = [self._data.held_out_captions[row][0].named for row in rows.tolist()]
        return {self.names[0]: float(accuracy(pictures, self._data.held_out_colours[rows], named).mean())}
