"""Divergences of generated samples from a known density, by counting samples in the cells of a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from ganflow import GanflowError, TensorData
from ganflow_metrics.repeats import PAIRS, Repeated, chosen_of, disjoint, points, say_few, turn_of

if TYPE_CHECKING:
    from ganflow import Data

NODES = 6  # of the quadrature along one side of a cell
CHUNK = 1024  # cells
FAR = 1e12  # cells: farther ones are counted there, for an index is no larger than int64
EACH = 5  # samples for each cell that holds mass: of the true density they score a jsd of .05 and a kl of .2
LOST = 0.01  # of the density's mass, by a quadrature that is too coarse


class Grid:
    """Cells of equal size: `bins` to a side of the box around the real examples, and as many beyond it as samples need.

    Args:
        real: examples (n, d), d = 1 or 2.

    Raises:
        GanflowError: the cells are too large for the density's integral over them.
    """

    def __init__(self, data: Data, metric: str, real: Tensor, bins: int) -> None:
        self._density, self._bins = data.log_density, bins
        self.low, self.high = real.amin(0), real.amax(0)
        self._size = (self.high - self.low) / bins
        inside = torch.cartesian_prod(*[torch.arange(bins)] * len(self.low)).reshape(-1, len(self.low))
        self._inside = self._integrals(inside)
        mass = float(self._inside.exp().sum())
        if not abs(mass - 1) < LOST + 2 * len(self.low) / len(real):  # real examples at its borders have others beyond
            cells = " × ".join([str(bins)] * len(self.low))
            raise GanflowError(f"metric {metric} finds {mass:.3g}, not 1, as the density's sum over {cells} cells, for data "
                               f"{data.name} has narrower peaks: raise bins of the metric, or use metric emd")  # fmt: skip

    @property
    def occupied(self) -> float:
        """e^H of the cells' masses: as many cells would hold the same entropy evenly."""
        return math.exp(-float((self._inside.exp() * self._inside.clamp(min=-1e4)).sum()))

    def histogram(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Shares of the points x (n, d) in the cells that hold any, and log masses of the density in these, (cells,) each."""
        cells, counts = ((x - self.low) / self._size).floor().clamp(-FAR, FAR).long().unique(dim=0, return_counts=True)
        inside = ((cells >= 0) & (cells < self._bins)).all(1)
        strides = torch.tensor([self._bins**axis for axis in reversed(range(len(self.low)))])
        masses = torch.empty(len(cells), dtype=torch.float64)
        masses[inside] = self._inside[(cells[inside] * strides).sum(1)]
        masses[~inside] = self._integrals(cells[~inside])
        return counts / len(x), masses

    def _integrals(self, cells: Tensor) -> Tensor:
        """log ∫ p over each of the cells (k, d), by Gauss–Legendre quadrature: (k,)."""
        line, weights = (torch.from_numpy(array) / 2 for array in np.polynomial.legendre.leggauss(NODES))
        d = len(self.low)
        nodes = torch.cartesian_prod(*[line + 0.5] * d).reshape(-1, d)
        logs = torch.cartesian_prod(*[weights.log()] * d).reshape(-1, d).sum(1) + self._size.log().sum()
        found = [torch.empty(0, dtype=torch.float64)]
        for part in cells.split(CHUNK):
            x = self.low + (part[:, None] + nodes) * self._size
            density = self._density(x.reshape(-1, d)).double().reshape(len(part), len(nodes))
            found.append((density + logs).logsumexp(1))
        return torch.cat(found)


class GridDivergence(Repeated):
    """Score `jsd_<n>` or `kl_<n>` of n samples. The protocol has the grid.

    Raises:
        GanflowError: the density is not known, points have more than two numbers, or there are too few for the floor.
    """

    def __init__(self, data: Data, kind: Literal["jsd", "kl"], samples: int, bins: int, seed: int, repeats: int) -> None:
        if not data.knows_density:
            raise GanflowError(f"metric {kind} compares with a known density, and that of data {data.name} is not known: use "
                               "data gaussians, gaussians_1d or linear_gaussian, whose density is, or metric emd, which needs "
                               "none")  # fmt: skip
        if data.shape not in ((1,), (2,)):
            shape = " × ".join(map(str, data.shape))
            raise GanflowError(f"metric {kind} counts points of one or two numbers in a grid, and those of data {data.name} have "
                               f"{shape}: use metric emd")  # fmt: skip
        part, real = real_points(data)
        if len(real) < samples:
            raise GanflowError(f"metric {kind} wants {samples} real examples for its floor, and data {data.name} has "
                               f"{len(real)}; lower samples of the metric, or raise those of the data")  # fmt: skip
        rows = disjoint(len(real), samples)
        self._real_points = [real[rows[i]] for i in chosen_of(turn_of(seed, repeats), len(rows), PAIRS)]
        self._grid, self._divergence = Grid(data, kind, real, bins), {"jsd": jsd, "kl": kl}[kind]
        cells = self._grid.occupied
        say_few(kind, samples, math.ceil(EACH * cells), f"for {cells:.0f} of the cells hold the density", len(real))
        name = f"{kind}_{samples}"
        box = [self._grid.low.tolist(), self._grid.high.tolist()]
        count = len(self._real_points)
        super().__init__(data, samples, seed, repeats, [name], [name], count, bins=bins, box=box,
                         floor=f"{count} × {samples} {part} examples")  # fmt: skip

    def score(self, x: Tensor, repeat: int) -> Sequence[float]:
        return [self._divergence(*self._grid.histogram(points(x)))]

    def floor(self, pair: int) -> Sequence[float]:
        return [self._divergence(*self._grid.histogram(self._real_points[pair]))]


def real_points(data: Data) -> tuple[str, Tensor]:
    """The "training" or the "held-out" points (n, d), whichever are more."""
    parts = {"held-out": data.held_out, **({"training": data.train} if isinstance(data, TensorData) else {})}
    found = {part: points(fields[field][:]) for part, fields in parts.items() for field in [*data.fields][:1] if field in fields}
    return max(found.items(), key=lambda pair: len(pair[1]), default=("", torch.empty(0, 1)))


def kl(shares: Tensor, log_masses: Tensor) -> float:
    """KL(q ‖ p) = Σ q log(q / p) in nats, of shares q of the cells that hold samples, and log masses of p in these."""
    return max(0.0, float((shares * (shares.log() - log_masses)).sum()))


def jsd(shares: Tensor, log_masses: Tensor) -> float:
    """JSD(q, p) = ½ Σ q log(q / m) + ½ Σ p log(p / m) in nats, m = (q + p) / 2. In a cell without samples, p / m = 2."""
    p = log_masses.exp()
    m = (shares + p) / 2
    occupied = torch.special.xlogy(shares, shares / m) + torch.special.xlogy(p, p / m)
    empty = max(0.0, 1 - float(p.sum())) * math.log(2)
    return max(0.0, (float(occupied.sum()) + empty) / 2)
