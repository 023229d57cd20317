"""Results of the parts, trained games, panels of a figure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from ganflow import COLOURS, INK, add_axes, new_figure, play
from ganflow_theory.changes import with_changes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ganflow import Game
    from ganflow_theory.densities import Pair

SIDE, HEIGHT, LEFT, BOTTOM, TOP, GAP = 400, 320, 66, 56, 86, 84  # of panels, in pixels
STEEP = 30  # of two densities' peaks, above which they are shown on a logarithmic scale
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


def trained(recipe: str, changes: Sequence[str], check: Callable[[Game], object]) -> Game:
    """The game of a recipe at its end.

    Args:
        check: called before anything is trained; what it raises ends it.
    """
    for game, played in watched(recipe, changes, 1):
        if not played:
            check(game)
    return game


def watched(recipe: str, changes: Sequence[str], times: int) -> Iterator[tuple[Game, int]]:
    """The game of a recipe and the rounds played: at the beginning, and so many times on the way to the end."""
    for game, report in play(recipe, changes, times):
        yield game, report.round


def panels(
    title: str, titles: Sequence[str], changes: Sequence[str], side: int = SIDE, height: int = HEIGHT
) -> tuple[Figure, list[Axes]]:
    """A figure with panels side by side, each below its title, and what was changed below the figure's."""
    width = LEFT + len(titles) * side + (len(titles) - 1) * GAP + 30
    figure = new_figure(width, BOTTOM + height + TOP)
    head(figure, LEFT, title, changes)
    axes = [add_axes(figure, LEFT + i * (side + GAP), BOTTOM, side, height, text) for i, text in enumerate(titles)]
    return figure, axes


def head(figure: Figure, left: int, title: str, changes: Sequence[str]) -> None:
    """A figure's title, from `left` on, and below it what was changed."""
    width, height = figure.get_size_inches() * figure.dpi
    figure.text(left / width, 1 - 14 / height, title, fontsize=15, color=INK, va="top", weight="bold")
    text = with_changes(changes, longest=int((width - left) / 8))
    figure.text(left / width, 1 - 38 / height, text, fontsize=10, color=INK, va="top", parse_math=False)


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


def draw_densities(axes: Axes, pair: Pair, legend: Corner) -> None:
    """Both densities over the line."""
    x, peaks = pair.x.numpy(), [float(pair.p.max()), float(pair.q.max())]
    lowest = 1e-3 * min(peaks) if max(peaks) > STEEP * min(peaks) else 0.0
    for density, colour, text in ((pair.p, COLOURS[0], r"$p_{data}$"), (pair.q, COLOURS[1], r"$p_G$")):
        axes.fill_between(x, density.clamp(min=lowest).numpy(), lowest, color=colour, alpha=0.35, linewidth=0.8, label=text)
    if lowest:
        axes.set_yscale("log")
    axes.set_ylim(bottom=lowest)
    axes.set_xlim(*pair.shown_range())
    label(axes, "x", "density, logarithmic" if lowest else "density", legend=legend)


def signed(value: float, digits: int = 4) -> str:
    """A number with the minus sign of the axes."""
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")  # −0.0 + 0.0 is 0.0
