"""Results of the parts, trained games, integrals on a line, panels of a figure."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from ganflow import INK, GanflowError, add_axes, new_figure, play

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ganflow import Game

POINTS = 8001  # of a grid on which densities and a critic are evaluated
SIDE, HEIGHT, LEFT, BOTTOM, TOP, GAP = 400, 320, 66, 56, 86, 84  # of panels, in pixels
Corner = Literal["best", "upper left", "upper center", "upper right", "lower left", "lower right"]


class Number(NamedTuple):
    """A number that is shown: its key in JSON, its value, and what it is."""

    name: str
    value: float
    what: str


class Shown(NamedTuple):
    """A part of the theory: a figure and its numbers."""

    title: str
    numbers: list[Number]
    figure: Figure


def trained(recipe: str, changes: Sequence[str]) -> Game:
    """The game of a recipe at its end."""
    *_, (game, _) = play(recipe, changes)
    return game


def watched(recipe: str, changes: Sequence[str], times: int) -> Iterator[tuple[Game, int]]:
    """The game of a recipe and the rounds played: at the beginning, and so many times on the way to the end."""
    for game, report in play(recipe, changes, times):
        yield game, report.round


class Pair(NamedTuple):
    """Two known densities on a line, and a grid that holds them.

    Attributes:
        x: the grid, (n,), float64.
        log_p, log_q: the logarithms of the data's density and of the generator's, (n,).
    """

    x: Tensor
    log_p: Tensor
    log_q: Tensor

    @property
    def p(self) -> Tensor:
        return self.log_p.exp()

    @property
    def q(self) -> Tensor:
        return self.log_q.exp()

    def integral(self, values: Tensor) -> float:
        """∫ f(x) dx, by the trapezoidal rule: exact to 1e-8 for smooth functions that vanish at the ends."""
        return float(torch.trapezoid(values, self.x))


def pair_of(game: Game) -> Pair:
    """The densities of a game on a line.

    Raises:
        GanflowError: the data's density or the generator's is not known, or they are not on a line.
    """
    if not hasattr(game.data, "stds") or not hasattr(game.generator, "log_density"):
        raise GanflowError("this part compares known densities on a line: it needs data gaussians_1d and generator affine")
    if game.prior is None or game.prior.support is not None:
        raise GanflowError("the density of an affine generator is known for a normal prior: set 'prior={use: normal, dim: 1}'")
    low, high = ends_of(game)
    x = torch.linspace(low, high, POINTS, dtype=torch.float64)
    with torch.no_grad():
        return Pair(x, game.data.log_density(x[:, None]), log_density_of(game.generator, x[:, None]))


def log_density_of(generator: Any, x: Tensor) -> Tensor:
    """log p_G(x) of a generator that knows it."""
    found: Tensor = generator.log_density(x)
    return found


def ends_of(game: Game) -> tuple[float, float]:
    """Ends of an interval that holds all but a millionth of both distributions: six standard deviations around each mode."""
    data: Any = game.data
    middle, scale = normal_of(game)
    lows = [*(data.centres[:, 0] - 6 * data.stds).tolist(), middle - 6 * scale]
    highs = [*(data.centres[:, 0] + 6 * data.stds).tolist(), middle + 6 * scale]
    return min(lows), max(highs)


def normal_of(game: Game) -> tuple[float, float]:
    """Mean and standard deviation of the first number that an affine generator makes of one that is N(0, 1).

    Raises:
        GanflowError: the generator is another.
    """
    generator: Any = game.generator
    if not (hasattr(generator, "matrix") and hasattr(generator, "bias")):
        raise GanflowError("this part is about an affine generator: leave out the change of the generator")
    return float(generator.bias.detach()[0]), float(generator.matrix.detach()[0, 0].abs())


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


def panels(title: str, titles: Sequence[str], side: int = SIDE, height: int = HEIGHT) -> tuple[Figure, list[Axes]]:
    """A figure with panels side by side, each below its title."""
    width = LEFT + len(titles) * side + (len(titles) - 1) * GAP + 30
    figure = new_figure(width, BOTTOM + height + TOP)
    figure.text(LEFT / width, 1 - 16 / (BOTTOM + height + TOP), title, fontsize=15, color=INK, va="top", weight="bold")
    axes = [add_axes(figure, LEFT + i * (side + GAP), BOTTOM, side, height, text) for i, text in enumerate(titles)]
    return figure, axes


def label(axes: Axes, x: str, y: str, legend: Corner | None = "best") -> None:
    """Name the axes, and explain the curves."""
    axes.set_xlabel(x, fontsize=11, color=INK)
    axes.set_ylabel(y, fontsize=11, color=INK)
    axes.tick_params(labelsize=10)
    if axes.get_xscale() == "linear":
        axes.locator_params(axis="x", nbins=6)
    axes.grid(color="#ececec", linewidth=0.7)
    axes.set_axisbelow(True)
    if legend:
        axes.legend(fontsize=10, frameon=True, framealpha=0.85, edgecolor="none", loc=legend)


def shown_range(pair: Pair) -> tuple[float, float]:
    """The part of the grid where there is something to see."""
    there = pair.x[(pair.p + pair.q) > 1e-3 * float((pair.p + pair.q).max())]
    return float(there[0]), float(there[-1])


def signed(value: float, digits: int = 4) -> str:
    """A number with the minus sign of the axes."""
    return f"{value:.{digits}f}".replace("-", "−")
