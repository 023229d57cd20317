"""The run's numbers over its rounds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ganflow.contract.game import ERROR, FLOOR, FLOOR_ERROR
from ganflow.pictures.files import save_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

Curve = tuple["NDArray[np.float64]", "NDArray[np.float64]"]  # rounds, values

PANELS = ("critic's terms", "generator's terms", "estimates", "metrics")
WIDTH, HEIGHT = 520, 300  # of a panel, in pixels


class Entry(Protocol):
    """A journal's entry (ganflow.runs.journal.Entry)."""

    @property
    def round(self) -> int: ...
    @property
    def values(self) -> Mapping[str, float]: ...


def loss_curves(entries: Iterable[Entry], path: Path) -> None:
    """Draw a run's journal: a panel each for the critic's terms, the generator's, what the loss estimates, and the
    metrics; only those there are, and several where the numbers differ much in size. Terms are faint, their running
    means over 5 % of the run strong.

    Args:
        entries: reports, with terms ("critic/wasserstein") and what follows from them ("w_estimate"), and evaluations,
            without terms, with the metrics' scores ("frechet_512"). Of a round's several values the last one counts.
        path: where the PNG goes.

    Raises:
        GanflowError: the file cannot be written.
    """
    from ganflow.pictures.figure import FAINT, INK, add_axes, figure_image, new_figure

    panels = panels_of(entries)
    last = max((rounds[-1] for _, curves in panels for rounds, _ in curves.values()), default=1.0)
    columns = 1 if len(panels) < 2 else 2
    rows = max(1, -(-len(panels) // columns))
    figure = new_figure(columns * WIDTH, rows * HEIGHT)
    if not panels:
        figure.text(0.5, 0.5, "nothing was reported yet", ha="center", va="center", color=INK)
    for i, (title, curves) in enumerate(panels):
        left, bottom = i % columns * WIDTH + 62, (rows - 1 - i // columns) * HEIGHT + 44
        axes = add_axes(figure, left, bottom, WIDTH - 62 - 18, HEIGHT - 44 - 34, title)
        axes.grid(color=FAINT, linewidth=0.5, alpha=0.7)
        axes.set_axisbelow(True)
        axes.set_xlabel("round", fontsize=9, color=INK, labelpad=2)
        axes.locator_params(axis="both", nbins=6)
        _draw(axes, curves)
        axes.set_xlim(0, 1.01 * max(last, 1))
    save_png(figure_image(figure), path)


def panels_of(entries: Iterable[Entry]) -> list[tuple[str, dict[str, Curve]]]:
    """Title and curves of each panel."""
    points: dict[str, dict[str, dict[int, float]]] = {title: {} for title in PANELS}
    for entry in entries:
        for name, value in entry.values.items():
            title = _panel_of(name, entry)
            if title and math.isfinite(value):
                points[title].setdefault(name.removeprefix("critic/").removeprefix("generator/"), {})[entry.round] = value
    curves = {title: {name: _curve(of) for name, of in named.items()} for title, named in points.items()}
    return [(_title(title, group, alone=len(groups) == 1), group) for title in PANELS for groups in [_alike(curves[title])]
            for group in groups]  # fmt: skip


def _title(title: str, group: Mapping[str, Curve], *, alone: bool) -> str:
    """A panel's title, which says of several about the same what is in this one."""
    first, *others = group
    return title if alone else f"{title}: {first}{', …' if others else ''}"


def _panel_of(name: str, entry: Entry) -> str | None:
    """None for what is not drawn: learning rates, speed, the terms' sums, errors and floors of scores."""
    if name.startswith("critic/"):
        return PANELS[0]
    if name.startswith("generator/"):
        return PANELS[1]
    if not any(other.startswith(("critic/", "generator/")) for other in entry.values):
        about = any(name.removesuffix(end) in entry.values for end in (FLOOR_ERROR, ERROR, FLOOR) if name.endswith(end))
        return None if about else PANELS[3]
    from ganflow.contract.loss import SUMS  # imports torch

    return PANELS[2] if "/" not in name and name not in ("rounds_per_second", *SUMS) else None


def _curve(points: dict[int, float]) -> Curve:
    rounds = sorted(points)
    return np.array(rounds, float), np.array([points[r] for r in rounds], float)


def _alike(curves: dict[str, Curve]) -> list[dict[str, Curve]]:
    """In groups of about one size: a distance of 80 would flatten a share of 0.9, and a loss a small penalty."""
    groups: list[tuple[float, dict[str, Curve]]] = []
    for name, curve in curves.items():
        size = float(np.percentile(np.abs(curve[1]), 90))
        for other, group in groups:
            if other <= 5 * size and size <= 5 * other:
                group[name] = curve
                break
        else:
            groups.append((size, {name: curve}))
    return [group for _, group in groups]


def _draw(axes: Axes, curves: dict[str, Curve]) -> None:
    from ganflow.pictures.figure import COLOURS

    spans = []
    for i, (name, (rounds, values)) in enumerate(curves.items()):
        colour = COLOURS[i % len(COLOURS)]
        if len(values) < 30:  # metrics, or a run that has just begun: every point counts
            axes.plot(rounds, values, color=colour, linewidth=1.6, marker="o", markersize=3.5, label=name)
            spans.append((values.min(), values.max()))
        else:
            low, high = np.percentile(values, (1, 99))  # a spike or two must not flatten the rest
            axes.plot(rounds, values, color=colour, linewidth=0.7, alpha=0.3)
            axes.plot(rounds, smooth(rounds, values.clip(low, high)), color=colour, linewidth=1.8, label=name)
            spans.append((low, high))
    low, high = min(s[0] for s in spans), max(s[1] for s in spans)
    margin = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    axes.set_ylim(low - margin, high + margin)
    axes.legend(fontsize=9, frameon=True, framealpha=0.8, edgecolor="none", borderpad=0.2, loc="best")


def smooth(rounds: NDArray[np.float64], values: NDArray[np.float64], share: float = 0.05) -> NDArray[np.float64]:
    """Mean over a window centred on each point, `share` of the whole run wide: no lag. Towards the ends the window
    narrows to half, so that slopes are kept, and from there it is cut off."""
    half = (rounds[-1] - rounds[0]) * share / 2
    width = np.clip(np.minimum(rounds - rounds[0], rounds[-1] - rounds), half / 2, half)
    first, last = np.searchsorted(rounds, rounds - width), np.searchsorted(rounds, rounds + width, side="right")
    sums = np.concatenate(([0.0], np.cumsum(values)))
    means: NDArray[np.float64] = (sums[last] - sums[first]) / (last - first)
    return means
