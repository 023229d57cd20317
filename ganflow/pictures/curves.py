"""The run's numbers over its rounds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ganflow.pictures.files import save_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

Curve = tuple["NDArray[np.float64]", "NDArray[np.float64]"]  # rounds, values

PANELS = {"critic": "critic's terms", "generator": "generator's terms", "": "estimates", "metric": "metrics"}
"""Panels by the first part of a curve's name, in order. What has another first part ("lr/critic") is not drawn."""
NOT_DRAWN = {"rounds_per_second"}
WIDTH, HEIGHT = 520, 300  # of a panel, in pixels


def loss_curves(entries: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Draw a run's journal: a panel each for the critic's terms, the generator's, what the loss estimates, and the
    metrics; only those there are. Terms are faint, their running means over 5 % of the run strong.

    Args:
        entries: {"round": 50, "values": {"critic/wasserstein": −0.3, "w_estimate": 0.3, "metric/frechet": 12.0, …}}.
            Of several entries for one round, as a resumed run writes them, the last one counts.
        path: where the PNG goes.

    Raises:
        GanflowError: the file cannot be written.
    """
    from ganflow.pictures.figure import FAINT, INK, add_axes, new_figure, to_image

    panels = _panels(_curves(entries))
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
    save_png(to_image(figure), path)


def _curves(entries: Iterable[Mapping[str, Any]]) -> dict[str, Curve]:
    points: dict[str, dict[int, float]] = {}
    for entry in entries:
        for name, value in entry["values"].items():
            if np.isfinite(value):
                points.setdefault(name, {})[entry["round"]] = value
    ordered = {name: sorted(curve.items()) for name, curve in points.items()}
    return {name: (np.array([r for r, _ in c], float), np.array([v for _, v in c], float)) for name, c in ordered.items()}


def _panels(curves: dict[str, Curve]) -> list[tuple[str, dict[str, Curve]]]:
    """Title and curves of each panel. Metrics of different size (a distance of 80, a share of 0.9) get panels of their own."""
    panels: list[tuple[str, dict[str, Curve]]] = []
    for first, title in PANELS.items():
        own = {n.rpartition("/")[2] if first else n: c for n, c in curves.items() if _first(n) == first and n not in NOT_DRAWN}
        groups = _alike(own) if first == "metric" else [own]
        panels += [(title, group) for group in groups if group]
    return panels


def _first(name: str) -> str:
    return name.partition("/")[0] if "/" in name else ""


def _alike(curves: dict[str, Curve]) -> list[dict[str, Curve]]:
    groups: list[tuple[float, dict[str, Curve]]] = []
    for name, curve in curves.items():
        size = float(np.abs(curve[1]).max())
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
            strong = smooth(rounds, values)
            axes.plot(rounds, values, color=colour, linewidth=0.7, alpha=0.3)
            axes.plot(rounds, strong, color=colour, linewidth=1.8, label=name)
            low, high = np.percentile(values, (1, 99))  # a spike or two must not flatten the rest
            spans.append((min(low, strong.min()), max(high, strong.max())))
    low, high = min(s[0] for s in spans), max(s[1] for s in spans)
    margin = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    axes.set_ylim(low - margin, high + margin)
    axes.legend(fontsize=9, frameon=True, framealpha=0.8, edgecolor="none", borderpad=0.2, loc="best")


def smooth(rounds: NDArray[np.float64], values: NDArray[np.float64], share: float = 0.05) -> NDArray[np.float64]:
    """Mean over a window centred on each point, `share` of the whole run wide, narrower at the ends: no lag."""
    half = (rounds[-1] - rounds[0]) * share / 2
    reach = np.minimum(half, np.minimum(rounds - rounds[0], rounds[-1] - rounds))  # symmetric, so that slopes stay
    first, last = np.searchsorted(rounds, rounds - reach), np.searchsorted(rounds, rounds + reach, side="right")
    sums = np.concatenate(([0.0], np.cumsum(values)))
    means: NDArray[np.float64] = (sums[last] - sums[first]) / (last - first)
    return means
