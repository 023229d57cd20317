"""Detail of pictures: sharpness in closed form, patches against scipy's distance along lines."""

import math

import ganflow_metrics
import numpy as np
import pytest
import torch
from ganflow_metrics.detail import PATCHES, patches, pyramid, sharpness
from scipy.stats import wasserstein_distance
from torch.nn.functional import avg_pool2d, interpolate

from ganflow.contract.data import TensorData
from ganflow.contract.signature import Signature
from ganflow.errors import GanflowError


class Game:
    """Generator of given pictures, which may ask for its call's seed."""

    domains, signatures, maker = ("real",), {"sample": Signature({"z": "z"}, "real")}, "sample"

    def __init__(self, made):
        self.made = made

    def samples(self, n, seed):
        return self.made(n, seed)


def noise(n, seed, side=32, channels=2):
    return torch.randn(n, channels, side, side, generator=torch.Generator().manual_seed(seed)).clamp(-3, 3) / 3


@pytest.fixture(scope="module")
def data():
    return TensorData("noise", {"real": noise(40, 1)}, {"real": noise(40, 2)})


def test_sharpness_is_the_mean_laplacian():
    rows, columns = torch.meshgrid(torch.arange(9.0), torch.arange(8.0), indexing="ij")
    assert sharpness((3 * rows - columns)[None, None]) == 0
    assert sharpness((rows**2 - 3 * columns**2)[None, None]) == 4  # |2 − 6|
    board = ((rows + columns) % 2)[None, None]  # every neighbour is the other colour
    assert sharpness(board) == 4


def test_the_pyramid_adds_up_and_blurring_empties_its_finest_level():
    x = noise(3, 0, 64)
    finest, middle, rest = pyramid(x)
    assert [level.shape[-1] for level in (finest, middle, rest)] == [64, 32, 16]
    assert torch.allclose(rest, avg_pool2d(x, 4), atol=1e-6)
    smaller = middle + interpolate(rest, (32, 32), mode="bilinear")
    assert torch.allclose(finest + interpolate(smaller, (64, 64), mode="bilinear"), x, atol=1e-6)
    flat = torch.ones(2, 1, 32, 48)
    assert [tuple(level.shape[2:]) for level in pyramid(flat)] == [(32, 48), (16, 24)]
    assert not pyramid(flat)[0].any()


def test_patches_are_parts_of_their_picture():
    x = torch.arange(2 * 3 * 16 * 20.0).view(2, 3, 16, 20)
    found = patches(x, 0).view(2, PATCHES, 7, 7, 3)
    corners = set()
    for picture, those in zip(x, found, strict=True):
        for patch in those:
            (top, left), = np.argwhere(picture[0].numpy() == float(patch[0, 0, 0])).tolist()
            assert torch.equal(patch.permute(2, 0, 1), picture[:, top : top + 7, left : left + 7])
            corners.add((top, left))
    assert {top for top, _ in corners} == set(range(10))
    assert max(left for _, left in corners) == 13
    assert len(corners) > 40


def test_the_distance_of_patches_is_scipys_along_random_lines(data):
    metric = ganflow_metrics.Detail(repeats=1).metric(data)
    assert metric.names == ["patches_32_40", "patches_32_40_floor", "patches_16_40", "patches_16_40_floor", "sharpness_40",
                            "sharpness_40_floor"]  # fmt: skip
    made = 0.5 * noise(40, 5)
    scores = metric.evaluate(Game(lambda n, seed: made[:n]))
    real = data.held_out["real"]
    for level, name in ((0, "patches_32_40"), (1, "patches_16_40")):
        theirs, ours = pyramid(real)[level], pyramid(made)[level]
        spread = theirs.std((0, 2, 3), keepdim=True)
        a, b = (patches(x / spread, seed).double().numpy() for x, seed in ((ours, 1), (theirs, 0)))
        lines = np.random.default_rng(0).standard_normal((100, a.shape[1]))
        lines /= np.linalg.norm(lines, axis=1, keepdims=True)
        expected = np.mean([wasserstein_distance(a @ line, b @ line) for line in lines])
        assert scores[name] == pytest.approx(expected, rel=0.03)
        assert scores[name] == pytest.approx(0.5 * math.sqrt(2 / math.pi), rel=0.1)  # N(0, ¼) from N(0, 1): E|½ z|
        assert scores[f"{name}_floor"] < 0.2 * scores[name]
    assert scores["sharpness_40"] == pytest.approx(0.5, rel=0.02)
    assert scores["sharpness_40_floor"] == pytest.approx(1, rel=0.02)


def test_blurred_pictures_are_far_at_the_finest_level_and_near_at_the_next(data):
    def blurred(n, seed):
        return interpolate(avg_pool2d(noise(n, seed + 7), 2), scale_factor=2.0, mode="bilinear")

    scores = ganflow_metrics.Detail().metric(data).evaluate(Game(blurred))
    assert scores["patches_32_40"] > 0.3
    assert scores["sharpness_40"] < 0.2
    assert scores["patches_32_40_error"] < 0.02


def test_what_has_no_detail_is_refused():
    def points(n):
        return TensorData("points", {"real": torch.randn(20, 2)}, {"real": torch.randn(n, 2)})

    with pytest.raises(GanflowError, match=r"metric detail compares pictures of 16 pixels a side at least, and data points have"):
        ganflow_metrics.Detail().metric(points(20))
    few = TensorData("few", {"real": noise(20, 0)}, {"real": noise(9, 0)})
    with pytest.raises(GanflowError, match="it wants 10 at least"):
        ganflow_metrics.Detail().metric(few)
