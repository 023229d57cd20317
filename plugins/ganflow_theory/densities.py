"""Two known densities on a line, integrals under them, and a critic on that line."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ganflow import GanflowError

if TYPE_CHECKING:
    from ganflow import Game, Loss

WIDE = 8.0  # standard deviations around a mode that are integrated over: all but 1e-15 of it
CLOSE = 1e-9  # of two edges of panels, as a share of what they are: one of them is dropped
PANELS, FEWEST, NODES = 1024, 16, 8  # of all modes together, of each at least; nodes of a panel
MASS = 1e-6  # of a density that the grid may miss
FINE = 8  # float32 numbers to a standard deviation, at least
TAIL = 1e-4  # of a distribution that is not shown, on either side


class Pair(NamedTuple):
    """Two known densities on a line, and nodes at which integrals under them are computed.

    Attributes:
        x, weights: of the quadrature, (n,), float64; x ascends.
        log_p, log_q: the logarithms of the data's density and of the generator's, (n,).
    """

    x: Tensor
    weights: Tensor
    log_p: Tensor
    log_q: Tensor

    @property
    def p(self) -> Tensor:
        return self.log_p.exp()

    @property
    def q(self) -> Tensor:
        return self.log_q.exp()

    def integral(self, values: Tensor) -> float:
        """∫ f(x) dx of values f(x), (n,)."""
        return float(self.weights @ values)

    def shown_range(self) -> tuple[float, float]:
        """An interval that holds nearly all of both distributions."""
        lows, highs = [], []
        for density in (self.p, self.q):
            below = (self.weights * density).cumsum(0)
            there = self.x[(below > TAIL) & (below < below[-1] - TAIL)]
            lows.append(float(there[0]))
            highs.append(float(there[-1]))
        margin = 0.03 * (max(highs) - min(lows))
        return min(lows) - margin, max(highs) + margin


def quadrature(modes: Sequence[tuple[float, float]]) -> tuple[Tensor, Tensor]:
    """Nodes and weights, (n,) each, of integrals over all modes, each a mean and a standard deviation.

    Gauss–Legendre quadrature in panels whose edges are a fine grid around every mode, and an even one from the first to the last:
    no mode is missed, however narrow beside the others, nor what a critic does between them.
    """
    low, high = min(c - WIDE * s for c, s in modes), max(c + WIDE * s for c, s in modes)
    around = torch.linspace(-WIDE, WIDE, max(FEWEST, PANELS // len(modes)) + 1, dtype=torch.float64)
    even = torch.linspace(low, high, PANELS // 4 + 1, dtype=torch.float64)
    edges = torch.cat([even, *(c + s * around for c, s in modes)]).unique()
    edges = torch.cat([edges[:1], edges[1:][edges.diff() > CLOSE * edges[1:].abs()]])
    nodes, shares = (torch.from_numpy(array) for array in np.polynomial.legendre.leggauss(NODES))
    widths = edges.diff()[:, None]
    return (edges[:-1, None] + widths * (nodes + 1) / 2).flatten(), (widths * shares / 2).flatten()


def pair_of(game: Game) -> Pair:
    """The densities of a game on a line.

    Raises:
        GanflowError: the data's density or the generator's is not known, or they are not on a line; or one is too narrow to be
            computed with.
    """
    from ganflow_vanilla.priors import NormalPrior

    data, generator = game.data, game.generator
    if not hasattr(data, "stds") or not hasattr(generator, "log_density"):
        raise GanflowError("this is about known densities on a line: it needs data gaussians_1d and generator affine, and its "
                           f"data are {data.name}, its generator a {type(generator).__name__}")  # fmt: skip
    if not isinstance(game.prior, NormalPrior):
        raise GanflowError("the density of an affine generator is known for a normal prior: set 'prior={use: normal, dim: 1}'")
    made = normal_of(game)
    modes = [*zip(data.centres[:, 0].tolist(), data.stds.tolist(), strict=True), made]  # type: ignore[attr-defined]
    for centre, std in modes:
        if 0 < std < FINE * torch.finfo(torch.float32).eps * abs(centre):
            raise GanflowError(f"examples are float32 numbers, too few of which are within {std:g} of {centre:g} to have this "
                               "density: raise the standard deviation, or move the centre nearer to 0")  # fmt: skip
    x, weights = quadrature(modes)
    with torch.no_grad():
        pair = Pair(x, weights, data.log_density(x[:, None]), log_density_of(generator, x[:, None]))
    for name, density in {"data": pair.p, "generator": pair.q}.items():
        if not abs((mass := pair.integral(density)) - 1) < MASS:
            raise GanflowError(f"the integral of the {name}'s density is {mass:.7g}, and not 1, in double precision: raise the "
                               "smallest of the standard deviations")  # fmt: skip
    return pair


def log_density_of(generator: Any, x: Tensor) -> Tensor:
    """log p_G(x) of a generator that knows it."""
    found: Tensor = generator.log_density(x)
    return found


def normal_of(game: Game) -> tuple[float, float]:
    """Mean and standard deviation of the first number that an affine generator makes of z ~ N(0, I).

    Raises:
        GanflowError: the generator is another.
    """
    generator: Any = game.generator
    if not (hasattr(generator, "matrix") and hasattr(generator, "bias")):
        raise GanflowError("this part is about an affine generator: leave out the change of the generator")
    return float(generator.bias.detach()[0]), float(generator.matrix.detach()[0].double().norm())


def named(loss: Loss) -> str:
    """The name of a loss, or of its class where it has none."""
    return str(getattr(loss, "name", type(loss).__name__))


def doubled(network: nn.Module | None) -> nn.Module:
    """A copy of a network on the CPU, in double precision and evaluation mode, whose parameters are constants.

    Raises:
        GanflowError: there is none.
    """
    if network is None:
        raise GanflowError("this is about a critic, and the recipe has none")
    return copy.deepcopy(network).cpu().double().eval().requires_grad_(False)


def scores_of(critic: nn.Module, x: Tensor) -> Tensor:
    """The scores (n,) of numbers x (n,) or points (n, d).

    Raises:
        GanflowError: the critic gives several.
    """
    scores: Any = critic(x if x.dim() > 1 else x[:, None])
    if not isinstance(scores, Tensor) or scores.numel() != len(x):
        raise GanflowError("this is about a critic with one score for each example")
    return scores.reshape(len(x))
