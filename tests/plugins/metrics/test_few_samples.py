"""Counts that say little, and keys that are not read: what is said of them, and that it helps."""

import math
import re

import ganflow_metrics
import numpy as np
import pytest
import torch
from ganflow_data import Digits, Gaussians, StackedDigits, SwissRoll
from ganflow_metrics.modes import missed, samples_of
from ganflow_metrics.repeats import warn_once
from metric_helpers import Player, of_mixture
from scipy.spatial.distance import pdist

from ganflow.contract.data import TensorData
from ganflow.errors import GanflowError, SettingsError

RING, GRID = Gaussians(layout="ring").data(), Gaussians(layout="grid").data()


@pytest.fixture
def said(caplog):
    """Build a metric, and the warnings of that."""

    def build(component, data):
        caplog.clear()
        warn_once.cache_clear()
        component.metric(data)
        return caplog.messages

    return build


FEW = [
    (ganflow_metrics.EarthMovers(samples=2), RING, "metric emd: 2 samples are too few, most of a distance is then chance; 50"),
    (ganflow_metrics.MMD(samples=20), RING, "metric mmd: 20 samples are too few"),
    (ganflow_metrics.SlicedWasserstein(samples=3), RING, "metric sliced_wasserstein: 3 samples are too few"),
    (ganflow_metrics.Modes(samples=10), RING, "metric modes: 10 samples are too few, for 2.1 modes have none of them on average"),
    (ganflow_metrics.JSD(samples=10), RING, "metric jsd: 10 samples are too few, for 27 of the cells hold the density"),
    (ganflow_metrics.KL(samples=10), RING, "metric kl: 10 samples are too few, for 27 of the cells hold the density"),
]


@pytest.mark.parametrize(("component", "data", "text"), FEW, ids=lambda value: type(value).__name__)
def test_too_few_samples_are_said_and_the_advice_helps(said, component, data, text):
    (message,) = said(component, data)
    assert text in message
    component.samples = int(re.search(r"\(samples=(\d+)\)", message)[1])
    assert said(component, data) == []
    component.samples -= 1
    assert len(said(component, data)) == 1


@pytest.mark.parametrize("data", [RING, GRID], ids=["ring", "grid"])
@pytest.mark.parametrize("component", [ganflow_metrics.EarthMovers(samples=50), ganflow_metrics.EarthMovers(samples=10)])
def test_of_fifty_points_a_fifth_of_the_distance_is_chance(component, data):
    """Of the mean distance between two examples, which a generator of one example scores."""
    floor = component.metric(data).evaluate(of_mixture(data))[f"emd_{component.samples}_floor"]
    share = floor / pdist(data.held_out["real"][:2000].double().numpy()).mean()
    assert share == pytest.approx({50: 0.2, 10: 0.45}[component.samples], rel=0.2)


@pytest.mark.parametrize("data", [RING, GRID], ids=["ring", "grid"])
def test_five_samples_for_a_cell_leave_a_twentieth(data):
    grid = ganflow_metrics.JSD().metric(data)._grid
    masses = grid._inside.exp().numpy()
    cells = math.exp(-sum(m * math.log(m) for m in masses if m > 0))
    assert grid.occupied == pytest.approx(cells)
    n = math.ceil(5 * cells)
    game = of_mixture(data)
    assert ganflow_metrics.JSD(samples=n).metric(data).evaluate(game)[f"jsd_{n}_floor"] == pytest.approx(0.05, rel=0.3)
    assert ganflow_metrics.KL(samples=n).metric(data).evaluate(game)[f"kl_{n}_floor"] == pytest.approx(0.2, rel=0.3)


def test_samples_of_which_a_right_generator_misses_no_mode():
    """(1 − w)^n summed: by simulation, and the smallest n by trying all."""
    weights = torch.tensor([0.5, 0.3, 0.15, 0.05])
    drawn = np.random.default_rng(0).multinomial(30, weights.double().numpy() / weights.double().numpy().sum(), size=20_000)
    assert missed(weights, 30) == pytest.approx((drawn == 0).sum(1).mean(), rel=0.1)
    assert samples_of(weights) == next(n for n in range(1, 1000) if sum((1 - w) ** n for w in weights.tolist()) <= 0.01)
    assert samples_of(torch.tensor([1.0, 0.0])) == 1  # what has no weight is no mode


def test_where_there_are_not_so_many_examples_none_are_asked_for(said):
    (message,) = said(ganflow_metrics.EarthMovers(samples=20), Gaussians(samples=100, held_out=30).data())
    assert "50 are wanted (there are 30 real examples)" in message


@pytest.mark.slow
def test_few_samples_of_digits_are_said(said):
    digits = Digits(size=16).data()
    (message,) = said(ganflow_metrics.ClassAccuracy(samples=20), digits)
    assert "20 samples are too few, which are 2 of each class; 100 are wanted (samples=100)" in message
    (message,) = said(ganflow_metrics.Frechet(features="digits_classifier", samples=2), digits)
    assert "the covariance of 2 samples in 64 dimensions is singular" in message
    assert "compare it with its floor alone; 65 are wanted (samples)" in message
    (message,) = said(ganflow_metrics.ClassFrechet(samples=200), digits)
    assert "the covariance of 20 samples of a class in 64 dimensions is singular" in message
    assert "65 are wanted (samples=650)" in message
    assert said(ganflow_metrics.ClassFrechet(samples=650), digits) == []
    (message,) = said(ganflow_metrics.StackedModes(samples=20), StackedDigits(size=8).data())
    assert "20 samples are too few, for there are 1000 classes; 10000 are wanted (samples=10000)" in message
    with pytest.raises(GanflowError, match="nearest_neighbours wants 10 samples at least; raise samples"):
        ganflow_metrics.NearestNeighbours(samples=9).metric(RING)


def test_few_values_of_z_are_said(said):
    component = ganflow_metrics.ZDiversity(conditions=1, draws=2)
    (message,) = said(component, RING)
    assert "a variance of 1 degrees of freedom is uncertain by 141%; 10 are wanted (draws=11)" in message
    assert said(ganflow_metrics.ZDiversity(conditions=1, draws=11), RING) == []
    # √(2 / 10) is what variances of eleven normal numbers vary by
    variances = np.random.default_rng(0).standard_normal((20_000, 11)).var(1, ddof=1)
    assert variances.std() == pytest.approx(math.sqrt(2 / 10), rel=0.03)


def test_the_defaults_say_nothing(said):
    kinds = ("EarthMovers", "MMD", "SlicedWasserstein", "Modes", "JSD", "KL", "ZDiversity")
    components = [getattr(ganflow_metrics, kind)() for kind in kinds]
    for data in (RING, GRID):
        assert [text for component in components for text in said(component, data)] == []
    one = Gaussians(layout="custom", centres=[[0.0, 0.0]], std=1.0).data()
    assert said(ganflow_metrics.KL(), one) == []


# Held-out examples of a run that is there already cannot be raised.


def test_three_held_out_examples(said):
    data = Gaussians(samples=1000, held_out=3).data()
    (message,) = said(ganflow_metrics.SlicedWasserstein(), data)
    assert "compares with 3 held-out examples instead of 2048, for data gaussians (ring) has no more" in message
    assert "50 are wanted" in message
    assert "Compare its scores with those of as many alone; a new run may have a larger data.held_out" in message
    assert ganflow_metrics.SlicedWasserstein().metric(data).names[0] == "sliced_w1_3"


def test_the_floor_that_fewer_samples_would_have(said):
    data = Gaussians(samples=80, held_out=200).data()
    (message,) = said(ganflow_metrics.SlicedWasserstein(samples=150), data)
    assert "has no floor: it compares samples of 150" in message
    assert "with samples=100 it would have one" in message
    assert "sliced_w1_100_floor" in ganflow_metrics.SlicedWasserstein(samples=100).metric(data).names
    assert "sliced_w1_101_floor" not in ganflow_metrics.SlicedWasserstein(samples=101).metric(data).names


def test_digits_of_which_too_few_are_held_out_have_a_floor_of_fewer(said):
    data = Digits(size=8).data()
    there = len(data.held_out["real"])
    assert f"has no floor: it draws 2048 samples, and data digits has {there} held-out pictures" in said(
        ganflow_metrics.StackedModes(samples=2048), data)[-1]  # fmt: skip
    assert said(ganflow_metrics.StackedModes(samples=there), data) == []
    assert f"stacked_kl_{there}_floor" in ganflow_metrics.StackedModes(samples=there).metric(data).names
    assert f"stacked_kl_{there + 1}_floor" not in ganflow_metrics.StackedModes(samples=there + 1).metric(data).names


def test_a_singular_covariance_without_a_floor_is_compared_with_none(said):
    pictures = torch.rand(200, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    data = TensorData("points", {"real": pictures[:60]}, {"real": pictures[60:110]})
    no_floor, singular = said(ganflow_metrics.Frechet(samples=80), data)
    assert "with samples=60 it would have one" in no_floor
    assert "too large, with no floor to compare it with; 65 are wanted (data.held_out of a new run)" in singular
    few = TensorData("points", {"real": pictures[:5]}, {"real": pictures})
    assert "has 5 training examples; 10 of them would do" in said(ganflow_metrics.Frechet(samples=80), few)[0]


# Keys.


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: ganflow_metrics.Frechet(run="runs/x"),
         "run: features: values does not read it; leave it out, or set features to critic or encoder"),
        (lambda: ganflow_metrics.Frechet(features="inception", pixels=8),
         "pixels: features: inception does not read it; leave it out, or set features to values"),
        (lambda: ganflow_metrics.Diversity(weights="w.pth"), "weights: .* set features to inception"),
        (lambda: ganflow_metrics.KernelDistance(features="encoder", run="runs/x", layer="0"), "layer: .* features to critic"),
        (lambda: ganflow_metrics.ClassFrechet(pixels=8), "pixels: features: digits_classifier does not read it"),
        (lambda: ganflow_metrics.InceptionScore(weights="w.pth"), "weights: classifier: digits_classifier does not read it"),
        (lambda: ganflow_metrics.ClassBalance(weights="w.pth"), "weights: classifier: .* set classifier to inception"),
    ],
)  # fmt: skip
def test_a_key_that_is_not_read_is_refused(make, text):
    with pytest.raises(SettingsError, match=text):
        make()


def test_keys_that_are_read_are_not():
    ganflow_metrics.Frechet(features="critic", run="runs/x", layer="3")
    ganflow_metrics.Frechet(features="values", pixels=8)
    ganflow_metrics.Frechet(features="inception", weights="w.pth")
    ganflow_metrics.ClassBalance(classifier="inception", weights="w.pth")


@pytest.mark.parametrize("kind", [ganflow_metrics.EarthMovers, ganflow_metrics.MMD])
def test_points_are_not_flattened_and_have_no_pixels(kind):
    with pytest.raises(GanflowError, match=r"flatten is for images, and data gaussians \(ring\) are none: leave it out"):
        kind(flatten=True).metric(RING)
    with pytest.raises(GanflowError, match=r"pixels is for images, and data gaussians \(ring\) are none: leave it out"):
        ganflow_metrics.Frechet(pixels=8).metric(RING)


# Densities that are known.


def test_densities_of_other_data():
    from ganflow_theory import Gaussians1D, LinearGaussian

    for data in (Gaussians1D(centres=[-2.0, 1.0], std=[0.5, 1.0]).data(), LinearGaussian().data()):
        for component in (ganflow_metrics.JSD(), ganflow_metrics.KL()):
            metric = component.metric(data)
            scores = metric.evaluate(Player(data.held_out["real"]))
            name = metric.names[0]
            deviation = math.sqrt(10) * scores[f"{name}_floor_error"]  # of one sample: the floor is of ten
            assert abs(scores[name] - scores[f"{name}_floor"]) < 4 * deviation
    with pytest.raises(GanflowError, match="use data gaussians, gaussians_1d or linear_gaussian, whose density is"):
        ganflow_metrics.KL().metric(SwissRoll().data())
