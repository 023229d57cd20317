"""Scores of translations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from torch import Tensor

from ganflow import GanflowError, Metric
from ganflow_translation.ways import PAIRED, ways_of

if TYPE_CHECKING:
    from ganflow import Data, Game


SCORES = ("psnr", "ssim", "sharpness")


class PairsMetric(Metric):
    """PSNR, SSIM, sharpness and the distance of cycles on held-out examples.

    Raises:
        GanflowError: the data are no two domains of images, or nothing of them is held out, or no two examples are known to
            belong together and no way leads back.
    """

    goal: ClassVar[Literal["min", "max"]] = "max"

    def __init__(self, data: Data, examples: int) -> None:
        ways = ways_of(data.fields)
        if ways is None:
            raise GanflowError(f"metric 'pairs' measures translations; data '{data.name}' has only {', '.join(data.fields)}")
        self.held_out = {name: part[:examples] for name, part in data.held_out.items()}
        if not self.held_out or not all(map(len, self.held_out.values())):
            raise GanflowError(f"metric 'pairs' measures held-out examples, and data '{data.name}' keeps none: raise "
                               "data.held_out of a new run")  # fmt: skip
        self.ways, self.aligned = ways, data.aligned
        if not self.aligned:
            self.goal = "min"  # type: ignore[misc]  # of the cycles' distances
        scores = [self.name(score, to) for to in ways for score in SCORES] if self.aligned else []
        self.names = [*scores, *(f"cycle_l1_{origin}" for origin in ways.values() if origin in ways)]

    def name(self, score: str, to: str) -> str:
        """Of a score of one way; paired data have only one."""
        return score if self.ways == PAIRED else f"{score}_{to}"

    def check(self, game: Game) -> None:
        for to, origin in self.ways.items():
            inputs = list(game.signatures[game.makers[to]].inputs.values()) if to in game.makers else []
            if inputs != [origin]:
                found = f"makes it from {' and '.join(inputs)}" if inputs else "makes no such field"
                raise GanflowError(f"metric 'pairs' measures translations of '{origin}' to '{to}', and the generator {found}: "
                                   "use one that translates (unet, resnet_translator), or leave the metric out")  # fmt: skip

    def evaluate(self, game: Game) -> dict[str, float]:
        scores: dict[str, float] = {}
        cycles: dict[str, float] = {}
        for to, origin in self.ways.items():
            made = translate(game, self.held_out[origin], to)
            if self.aligned:
                scores |= {self.name(score, to): value for score, value in compare(made, self.held_out[to]).items()}
            if origin in self.ways:
                back = translate(game, made, origin)
                cycles[f"cycle_l1_{origin}"] = (back - self.held_out[origin]).abs().mean().item() / 2
        return scores | cycles


def translate(game: Game, x: Tensor, to: str, seed: int = 0) -> Tensor:
    """Images x as images of the domain `to`, on the CPU in float32, by the averaged generator.

    Args:
        seed: for a network that is random when it translates, too (dropout kept on).
    """
    return game.call(game.makers[to], x, seed=seed, batch=32)


def compare(made: Tensor, true: Tensor) -> dict[str, float]:
    """PSNR in dB, SSIM and sharpness of images (n, channels, height, width) in [-1, 1] against the true ones."""
    from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

    a, b = made / 2 + 0.5, true / 2 + 0.5
    each: Any = {"dim": (1, 2, 3), "reduction": "elementwise_mean", "data_range": 1.0}
    similarity: Any = structural_similarity_index_measure(a, b, data_range=1.0)
    values = float(peak_signal_noise_ratio(a, b, **each)), float(similarity), sharpness(made) / sharpness(true)
    return dict(zip(SCORES, values, strict=True))


def sharpness(images: Tensor) -> float:
    """Gradient energy: the mean square of differences between neighbours, along both sides."""
    across, along = images.diff(dim=3), images.diff(dim=2)
    return float(across.square().mean() + along.square().mean())
