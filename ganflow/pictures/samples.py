"""Pictures of samples: points beside the truth, images in grids, pairs."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ganflow.pictures.files import save_png
from ganflow.pictures.images import image_grid, image_sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from PIL.Image import Image
    from torch import Tensor

    from ganflow.contract.data import Data

    Points = NDArray[np.float32]

Limits = tuple[tuple[float, float], tuple[float, float]]
SIDE = 400  # of a square panel, in pixels
EDGE = 46  # around it
BINS = 100  # of a histogram, where the density is not known
KNOWN = 4000  # real examples drawn, or counted
_KNOWN_DENSITIES: dict[tuple[str, str, Limits], NDArray[Any]] = {}  # the last one, by its data
COLUMNS = 8  # pairs in a row


def density(data: Data | None, samples: Tensor, path: Path | None = None, round: int | None = None) -> Image:
    """Two-dimensional samples beside the truth, on the same axes, which depend on the data alone.

    Left, the true density where the data knows it, else a histogram of real examples (held-out ones where there are
    any); right, the generated points. Without data, the points alone.

    Args:
        data: of examples of shape (2,); None where it is not at hand.
        samples: (n, 2).
        path: where a PNG goes, if anywhere.
        round: for the title.
    """
    image = _render(_panels(data, _title(round), _array(samples))[0])
    if path is not None:
        save_png(image, path)
    return image


def ways(data: Data | None, samples: Tensor, title: str = "ways between latent points") -> Image:
    """Ways through the plane, samples (rows, steps, 2), each from a dot to a ring, beside the truth."""
    from ganflow.pictures.figure import COLOURS

    figure, axes = _panels(data, title, None, around=_array(samples).reshape(-1, 2))
    for i, way in enumerate(_array(samples)):
        colour = COLOURS[i % len(COLOURS)]
        axes.plot(way[:, 0], way[:, 1], color=colour, linewidth=1, marker="o" if len(way) <= 30 else None, markersize=2.5)
        axes.plot(*way[0], color=colour, marker="o", markersize=6)
        axes.plot(*way[-1], color=colour, marker="o", markersize=7, markerfacecolor="white")
    return _render(figure)


def histogram(data: Data | None, samples: Tensor, round: int | None = None) -> Image:
    """One-dimensional samples, (n, 1), over a histogram of real examples."""
    from ganflow.pictures.figure import COLOURS, FAINT, add_axes, new_figure

    real, made = real_examples(data), _array(samples)[:, 0]
    edges = np.linspace(*_limits(real if real is not None else _array(samples))[0], BINS // 2 + 1).tolist()
    figure = new_figure(640, 380)
    axes = add_axes(figure, 56, 40, 560, 300, _title(round))
    if real is not None:
        axes.hist(real[:, 0], edges, density=True, color=FAINT, label="data")
    if ((made >= edges[0]) & (made <= edges[-1])).any():
        axes.hist(made, edges, density=True, histtype="step", color=COLOURS[1], linewidth=1.6, label="generated")
    axes.legend(fontsize=9, frameon=False)
    return _render(figure)


def lines(data: Data | None, samples: Tensor, round: int | None = None) -> Image:
    """Vectors (n, d) as lines over their index, real ones on the left, at most 64 of each."""
    from ganflow.pictures.figure import COLOURS, add_axes, new_figure

    real, made = real_examples(data), _array(samples)[:64]
    both = [(f"data: {data.name}", real[:64], COLOURS[0])] if real is not None and data is not None else []
    both.append((_title(round), made, COLOURS[1]))
    shown = both[0][1][np.isfinite(both[0][1])]
    low, high = (float(shown.min()), float(shown.max())) if shown.size else (-1.0, 1.0)
    margin = 0.08 * (high - low) or 1.0
    figure = new_figure(EDGE + len(both) * (SIDE + EDGE), 300 + 2 * EDGE)
    for i, (title, rows, colour) in enumerate(both):
        axes = add_axes(figure, EDGE + i * (SIDE + EDGE), EDGE, SIDE, 300, title)
        axes.plot(np.arange(rows.shape[1]), rows.T, color=colour, linewidth=0.8, alpha=0.35)
        axes.set_ylim(low - margin, high + margin)
    return _render(figure)


def real_examples(data: Data | None) -> Points | None:
    """Up to 4000 real examples of the first field: held-out ones, else a fixed choice from the training part, which only
    an iterable does not have."""
    from ganflow.contract.data import StreamData, TensorData

    if data is None:
        return None
    field = next(iter(data.fields))
    if len(data.held_out.get(field, ())):
        return _array(data.held_out[field][:KNOWN])
    if not isinstance(data, (TensorData, StreamData)):
        return None
    import torch

    from ganflow.engine.permutation import LISTED, shuffled

    listed = data.size <= LISTED
    chosen = np.random.default_rng(0).permutation(data.size)[:KNOWN].tolist() if listed else shuffled(data.size, KNOWN).tolist()
    if isinstance(data, TensorData):
        return _array(data.train[field][chosen])
    rng = torch.Generator().manual_seed(0)
    loaded = [data.load(i, rng) for i in chosen[:500]]
    return _array(torch.stack([item[field] for item in loaded if item is not None]))


def _panels(data: Data | None, title: str, points: Points | None, around: Points | None = None) -> tuple[Figure, Axes]:
    """The truth on the left, if it is known, and axes for, or with, generated points on the right."""
    from ganflow.pictures.figure import COLOURS, add_axes, new_figure

    truth = None if data is None else _truth(data)
    figure = new_figure(EDGE + (1 if truth is None else 2) * (SIDE + EDGE), SIDE + 2 * EDGE)
    left = EDGE
    if truth is None:
        shown = points if points is not None else around
        assert shown is not None
        limits = _limits(shown)
    else:
        assert data is not None
        limits, picture = truth
        axes = add_axes(figure, left, EDGE, SIDE, SIDE, f"data: {data.name}")
        axes.imshow(picture, origin="lower", extent=(*limits[0], *limits[1]), interpolation="bilinear", aspect="auto")
        left += SIDE + EDGE
    axes = add_axes(figure, left, EDGE, SIDE, SIDE, title)
    if truth is not None:  # once more, pale, under what is generated: a missed mode is seen at once
        pale = (255 - (255 - picture.mean(axis=2, keepdims=True)) * 0.3).repeat(3, axis=2).astype(np.uint8)
        axes.imshow(pale, origin="lower", extent=(*limits[0], *limits[1]), interpolation="bilinear", aspect="auto")
    if points is not None:
        size, strength = (3.5, 0.6) if len(points) < 1000 else (2.2, 0.35)
        axes.plot(points[:, 0], points[:, 1], "o", color=COLOURS[1], markersize=size, alpha=strength, markeredgewidth=0)
        outside = int((~_inside(points, limits)).sum())
        note = f"{len(points)} points" + (f", {outside} of them outside" if outside else "")
        axes.set_title(note, fontsize=9, color="#777777", loc="right", pad=6)
    for axes in figure.axes:
        axes.set_xlim(*limits[0])
        axes.set_ylim(*limits[1])
        axes.locator_params(nbins=5)
    return figure, axes


@lru_cache(maxsize=1)  # drawn again at every interval of a run
def _truth(data: Data) -> tuple[Limits, NDArray[np.uint8]] | None:
    real = real_examples(data)
    if real is None or not len(real):
        return None
    limits = _limits(real)
    if data.knows_density:
        key = (data.name, data.fingerprint(), limits)
        if key not in _KNOWN_DENSITIES:  # of a process one mostly, though it plays a sweep's trials one after the other
            _KNOWN_DENSITIES.clear()
            _KNOWN_DENSITIES[key] = _density_within(data, limits)
        height = _KNOWN_DENSITIES[key]
    else:
        height = np.histogram2d(real[:, 1], real[:, 0], bins=BINS, range=(limits[1], limits[0]))[0]
        for axis in (0, 1):  # a little blur against the noise of counting
            height = (np.roll(height, 1, axis) + 2 * height + np.roll(height, -1, axis)) / 4
    return limits, _colours(height)


def _density_within(data: Data, limits: Limits) -> NDArray[Any]:
    import torch

    x, y = (torch.linspace(low, high, SIDE) for low, high in limits)
    where = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).reshape(-1, 2)
    height: NDArray[Any] = torch.cat([data.log_density(piece) for piece in torch.split(where, 20_000)]).exp().numpy()
    return height.reshape(SIDE, SIDE)


def _limits(points: Points) -> Limits:
    """A square that holds the points, with room for those that go astray."""
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return (-1.0, 1.0), (-1.0, 1.0)
    low, high = np.percentile(points, (0.5, 99.5), axis=0)
    middle, half = (low + high) / 2, float((high - low).max()) * 0.65 or 1.0
    spans = [(float(m - half), float(m + half)) for m in middle]
    return spans[0], spans[-1]


def _inside(points: Points, limits: Limits) -> NDArray[np.bool_]:
    low, high = np.array(limits).T
    inside: NDArray[np.bool_] = ((points >= low) & (points <= high)).all(axis=1)
    return inside


def _colours(height: NDArray[Any]) -> NDArray[np.uint8]:
    """White where there is nothing, through blue, to nearly black. The square root lets weak modes be seen too."""
    share = np.sqrt(height / (height.max() or 1.0))
    stops = np.array(((255, 255, 255), (158, 188, 240), (59, 111, 212), (20, 30, 80)))
    levels = np.linspace(0, 1, len(stops))
    return np.stack([np.interp(share, levels, stops[:, c]) for c in range(3)], axis=-1).astype(np.uint8)


def _array(tensor: Tensor) -> Points:
    array: Points = tensor.detach().float().cpu().numpy()
    return array


def _title(round: int | None) -> str:
    return "generated" if round is None else f"generated, round {round}"


def _render(figure: Figure) -> Image:
    from ganflow.pictures.figure import figure_image

    return figure_image(figure)


def image_pairs(title: str, originals: Tensor, reconstructed: Tensor, data: Data | None = None) -> Image | None:
    """Originals and their reconstructions, (n, *shape) both: images in rows, one below the other; points of the plane as a
    line from a dot, the original, to a ring; None for what has no picture.

    Args:
        title: of the originals.
        data: for the true density under the points.
    """
    match tuple(originals.shape[1:]):
        case (_, _, _):
            rows = {}
            for first in range(0, len(originals), COLUMNS):
                part = slice(first, first + COLUMNS)
                number = f" {first + 1} to {min(first + COLUMNS, len(originals))}" if len(originals) > COLUMNS else ""
                rows[f"{title}{number}"], rows[f"reconstructed{number}"] = originals[part], reconstructed[part]
            return image_sheet(rows)
        case (2,):
            import torch

            return ways(data, torch.stack((originals, reconstructed), 1), f"{title} points, and rings where they come out")
    return None


def sample_picture(data: Data | None, samples: Tensor, round: int | None = None) -> Image | None:
    """Samples (n, *data.shape) drawn as suits their shape: images as a grid, numbers as a histogram, points of the plane
    beside the true density, other vectors as lines; None for what has no picture.

    Args:
        data: for the truth beside what is generated; None where it is not at hand.
        samples: generated examples.
        round: for the titles of what has titles.
    """
    match tuple(samples.shape[1:]):
        case (_, _, _):
            return image_grid(samples)
        case (1,):
            return histogram(data, samples, round)
        case (2,):
            return density(data, samples, round=round)
        case (_,):
            return lines(data, samples, round)
    return None
