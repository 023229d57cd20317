"""Detail of generated pictures against real ones: their sharpness, and small patches of them at each scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from ganflow import GanflowError
from ganflow_metrics.compared import RealParts, held_out_examples, part_of
from ganflow_metrics.pieces import digest_of_examples
from ganflow_metrics.repeats import Repeated
from ganflow_metrics.transport import sliced_wasserstein

if TYPE_CHECKING:
    from ganflow import Data

SIDE, PATCHES, PROJECTIONS = 7, 32, 128  # pixels of a patch; patches of a picture; lines they are compared along
COARSEST = 16  # pixels of the shorter side, below which there is no further level
FEWEST = 10


class DetailMetric(Repeated):
    """Scores `patches_<side>_<n>`, for each level of n generated pictures' Laplacian pyramid, and `sharpness_<n>`. The floor is
    of as many training examples.

    Raises:
        GanflowError: the data are no pictures of 16 pixels at least, or too few are held out.
    """

    def __init__(self, data: Data, samples: int, seed: int, repeats: int) -> None:
        if not data.main.is_image or min(data.shape[1:]) < COARSEST:
            raise GanflowError(f"metric detail compares pictures of {COARSEST} pixels a side at least, and data {data.name} have "
                               f"shape {data.shape}")  # fmt: skip
        held_out = part_of(held_out_examples(data, "detail", FEWEST), samples, seed, repeats)[:]
        n = len(held_out)
        self._others = RealParts(data, "detail", n, seed, repeats)
        self.reference = Reference(held_out)
        names = [*(f"patches_{max(side)}_{n}" for side in self.reference.sides), f"sharpness_{n}"]
        super().__init__(
            data, n, seed, repeats, names, names if self._others else (), len(self._others), reference=f"{n} held-out examples",
            reference_digest=digest_of_examples({"held_out": held_out}), patches=PATCHES, projections=PROJECTIONS,
            floor=self._others.about,
        )  # fmt: skip

    def score(self, x: Tensor, repeat: int) -> Sequence[float]:
        return self.reference.compare(x, self._seed + repeat)

    def floor(self, pair: int) -> Sequence[float]:
        return self.reference.compare(self._others[pair][:], pair)


class Reference:
    """Real pictures (n, channels, height, width) that others are compared with.

    Attributes:
        sides: (height, width) of the levels, the finest first.
    """

    def __init__(self, real: Tensor) -> None:
        self._sharpness = sharpness(real)
        levels = pyramid(real.float())
        self._spreads = [level.std((0, 2, 3), keepdim=True).clamp(min=1e-6) for level in levels]
        self._patches = [patches(level / spread, 0) for level, spread in zip(levels, self._spreads, strict=True)]
        self.sides = [(level.shape[2], level.shape[3]) for level in levels]

    def compare(self, x: Tensor, seed: int) -> list[float]:
        """For each level the sliced Wasserstein distance between patches of x, (n, channels, height, width), and of the real
        pictures, in units of the level's standard deviation (Karras et al. 2018, arXiv:1710.10196, section 5, where either set is
        divided by its deviation, so that a blurred one would not show); then the ratio of their sharpness."""
        levels = zip(pyramid(x.float().cpu()), self._spreads, self._patches, strict=True)
        apart = [sliced_wasserstein(patches(level / s, seed + 1), real, PROJECTIONS, seed) for level, s, real in levels]
        return [*apart, sharpness(x) / self._sharpness]


def sharpness(x: Tensor) -> float:
    """E |∇²x| of pictures (n, channels, height, width): the Laplacian of five points."""
    inner = x[..., 1:-1, 1:-1]
    around = x[..., :-2, 1:-1] + x[..., 2:, 1:-1] + x[..., 1:-1, :-2] + x[..., 1:-1, 2:]
    return float((around - 4 * inner).abs().double().mean())


def pyramid(x: Tensor) -> list[Tensor]:
    """The Laplacian pyramid (Burt & Adelson 1983) by means of 2 × 2 pixels: what each halving loses, the finest first, and the
    rest."""
    levels = []
    while min(x.shape[2:]) >= 2 * COARSEST:
        smaller = avg_pool2d(x, 2)
        levels.append(x - interpolate(smaller, x.shape[2:], mode="bilinear"))
        x = smaller
    return [*levels, x]


def patches(x: Tensor, seed: int) -> Tensor:
    """32 patches of each picture, anywhere in it: (32 n, channels · 49)."""
    rng = torch.Generator().manual_seed(seed)
    tops, lefts = (torch.randint(length - SIDE + 1, (len(x) * PATCHES,), generator=rng) for length in x.shape[2:])
    along = torch.arange(SIDE)
    rows = torch.arange(len(x)).repeat_interleave(PATCHES)[:, None, None]
    found = x.permute(0, 2, 3, 1)[rows, (tops[:, None] + along)[:, :, None], (lefts[:, None] + along)[:, None, :]]
    return found.flatten(1)
