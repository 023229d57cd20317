"""Exact divergences of a generator from its data, where the densities of both are known, on a line."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ganflow import GanflowError, Metric
from ganflow_metrics.density import jsd_1d, kl_1d
from ganflow_metrics.grid import real_points

if TYPE_CHECKING:
    from ganflow import Data, Game

SAMPLES = 1000  # of the generator, which say where its density is
WIDER = 2.0  # times what the samples span: of a normal distribution some seven standard deviations on either side


class ExactDivergence(Metric):
    """Scores `exact_jsd`, JSD(p_G, p_data), and `exact_kl`, KL(p_G ‖ p_data), in nats, by quadrature. Samples only say where to
    integrate, so that there is neither an error nor a floor.

    Raises:
        GanflowError: the data are not on a line, their density is not known, or there are no examples.
    """

    names = ("exact_jsd", "exact_kl")

    def __init__(self, data: Data) -> None:
        if data.shape != (1,) or not data.knows_density:
            raise GanflowError(f"metric exact_jsd integrates known densities on a line, and that of data {data.name} is none: "
                               "use data gaussians_1d, or metric jsd, which counts samples of a known density in one or two "
                               "dimensions")  # fmt: skip
        _, real = real_points(data)
        if not len(real):
            raise GanflowError(f"metric exact_jsd looks where the examples are, and data {data.name} has none in memory: raise "
                               "data.held_out of a new run")  # fmt: skip
        self._log_p, self._ends = data.log_density, ends(real)
        self.protocol = {"compared": "p_G with p_data, by quadrature"}

    def check(self, game: Game) -> None:
        if not hasattr(game.averaged, "log_density"):
            raise GanflowError("metric exact_jsd integrates the generator's density, and this generator has none that is known: "
                               "use generator affine, or metric jsd, which counts samples")  # fmt: skip
        if game.prior is None or game.prior.support is not None:
            raise GanflowError("metric exact_jsd: the generator's density is known for a normal prior: set "
                               "'prior={use: normal, dim: 1}'")  # fmt: skip

    @torch.no_grad()
    def evaluate(self, game: Game) -> dict[str, float]:
        self.check(game)
        x = game.samples(SAMPLES, 0).double()
        if not x.isfinite().all():
            return dict.fromkeys(self.names, math.nan)
        if x.amin() == x.amax():  # a point has no density, and none of the data's mass
            return dict(zip(self.names, (math.log(2), math.inf), strict=True))
        generator: Any = game.averaged

        def log_q(points: Tensor) -> Tensor:
            found: Tensor = generator.log_density(points.to(game.device))
            return found.cpu()

        knots = [*self._ends, *ends(x)]
        low, high = min(knots), max(knots)
        values = (jsd_1d(log_q, self._log_p, low, high, *knots), kl_1d(log_q, self._log_p, low, high, *knots))
        return dict(zip(self.names, values, strict=True))


def ends(x: Tensor) -> tuple[float, float]:
    """The ends of an interval around points (n, 1), WIDER times as wide as they span."""
    middle, half = float(x.amax() + x.amin()) / 2, float(x.amax() - x.amin()) / 2
    return middle - WIDER * half, middle + WIDER * half
