"""Divergences on a grid against closed forms and quadrature."""

import math

import ganflow_metrics
import numpy as np
import pytest
import torch
from ganflow_data import Gaussians, SwissRoll
from ganflow_metrics.density import jsd_1d, kl_1d
from ganflow_metrics.grid import jsd, kl
from metric_helpers import Player, of_mixture
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy, norm

from ganflow.contract.data import TensorData
from ganflow.errors import GanflowError

RING = Gaussians(layout="ring").data()
DIVERGENCES = [ganflow_metrics.JSD, ganflow_metrics.KL]


class Line(TensorData):
    """N(0, 1) on a line."""

    def __init__(self, n=20_000):
        x = torch.randn(n, 1, generator=torch.Generator().manual_seed(0))
        super().__init__("line", {"real": x}, {"real": x[:100]})

    def log_density(self, x):
        return -(x[:, 0] ** 2) / 2 - math.log(2 * math.pi) / 2


def shifted(mean, std=1.0):
    return Player(lambda n, generator: mean + std * torch.randn(n, 1, generator=generator))


def test_the_formulas_are_scipys():
    q, p = torch.tensor([0.5, 0.3, 0.2]).double(), torch.tensor([0.1, 0.2, 0.3]).double()  # 0.4 elsewhere
    assert kl(q, p.log()) == pytest.approx(entropy([0.5, 0.3, 0.2, 0], [0.1, 0.2, 0.3, 0.4]))
    assert jsd(q, p.log()) == pytest.approx(jensenshannon([0.5, 0.3, 0.2, 0], [0.1, 0.2, 0.3, 0.4]) ** 2)


@pytest.mark.parametrize("component", DIVERGENCES)
def test_gaussians_on_a_line_are_near_the_exact_divergence(component):
    """1/(2 · 10,000) per occupied cell is the bias by counting; halving the cells changes less than that."""
    metric = component(samples=10_000).metric(Line())
    exact = {ganflow_metrics.JSD: jsd_1d, ganflow_metrics.KL: kl_1d}[component]

    def log_q(x):
        return torch.from_numpy(norm.logpdf(x[:, 0].numpy(), 0.7, 1.2))

    expected = exact(log_q, Line(1000).log_density, -12, 12)
    assert metric.evaluate(shifted(0.7, 1.2))[metric.names[0]] == pytest.approx(expected, abs=0.012)


@pytest.mark.parametrize("component", DIVERGENCES)
def test_right_samples_score_the_floor(component):
    metric = component().metric(RING)
    scores = metric.evaluate(of_mixture(RING))
    name = metric.names[0]
    assert list(scores) == [name, f"{name}_error", f"{name}_floor", f"{name}_floor_error"]
    assert scores[name] == pytest.approx(scores[f"{name}_floor"], rel=0.25)
    assert scores[name] < 0.007
    assert metric.goal == "min"


def test_a_generator_of_half_of_the_modes():
    """q is 2 p on one half: KL log 2; JSD ½ log 4/3 + ½ (½ log 2/3 + ½ log 2)."""
    game = of_mixture(RING, weights=[1.0, 0, 1, 0, 1, 0, 1, 0])
    assert ganflow_metrics.KL().metric(RING).evaluate(game)["kl_10000"] == pytest.approx(math.log(2), abs=0.01)
    expected = math.log(4 / 3) / 2 + (math.log(2 / 3) + math.log(2)) / 4
    assert ganflow_metrics.JSD().metric(RING).evaluate(game)["jsd_10000"] == pytest.approx(expected, abs=0.01)


def test_samples_elsewhere():
    far = Player(torch.full((10_000, 2), 1e30))
    assert ganflow_metrics.JSD().metric(RING).evaluate(far)["jsd_10000"] == pytest.approx(math.log(2), abs=1e-6)
    assert ganflow_metrics.KL().metric(RING).evaluate(far)["kl_10000"] > 1e6
    outside = Player(lambda n, generator: 5 + torch.randn(n, 1, generator=generator) / 100)  # the box ends at about 4
    # ∫ q log(q / p), nearly a point at 5 in cells of about 0.13, where p is about φ(5) · 0.13
    expected = -norm.logpdf(5) - math.log(2 * 4.2 / 64)
    assert ganflow_metrics.KL().metric(Line()).evaluate(outside)["kl_10000"] == pytest.approx(expected, abs=1)


@pytest.mark.parametrize("component", DIVERGENCES)
def test_the_floor_is_known_to_its_error(component):
    """Against the mean over 100 fresh samples of the ring."""
    metric = component(samples=1000).metric(RING)
    scores = metric.evaluate(of_mixture(RING))
    name = metric.names[0]
    fresh = [metric.score(of_mixture(RING).samples(1000, seed), 0)[0] for seed in range(100)]
    assert scores[f"{name}_floor_error"] == pytest.approx(np.std(fresh) / 4, rel=0.6)  # of 16; s of 16 varies by 18 %
    assert abs(scores[f"{name}_floor"] - np.mean(fresh)) < 4 * scores[f"{name}_floor_error"]
    other = component(samples=1000, seed=3).metric(RING).evaluate(of_mixture(RING))[f"{name}_floor"]
    assert scores[f"{name}_floor"] != other == pytest.approx(np.mean(fresh), abs=4 * scores[f"{name}_floor_error"])


def test_a_single_sample_of_real_examples_gives_no_error():
    metric = ganflow_metrics.JSD(samples=10_000).metric(Line(19_000))
    assert metric.names == ["jsd_10000", "jsd_10000_error", "jsd_10000_floor"]


def test_the_protocol_has_the_grid():
    metric = ganflow_metrics.JSD(samples=500, bins=32, seed=2, repeats=2).metric(Line())
    real = Line().train["real"]
    assert metric.protocol == {"samples": 500, "seed": 2, "repeats": 2, "bins": 32, "floor": "16 × 500 training examples",
                               "box": [[pytest.approx(float(real.min()))], [pytest.approx(float(real.max()))]]}  # fmt: skip


@pytest.mark.parametrize("component", DIVERGENCES)
def test_refusals(component):
    name = component.__name__.lower()
    said = f"metric {name} compares with a known density, and that of data swiss_roll is not known: use data gaussians"
    with pytest.raises(GanflowError, match=said):
        component().metric(SwissRoll(samples=100, held_out=100).data())
    said = rf"metric {name} wants 10000 real examples for its floor, and data gaussians \(ring\) has 500; lower samples"
    with pytest.raises(GanflowError, match=said):
        component().metric(Gaussians(samples=500, held_out=20).data())
    with pytest.raises(GanflowError, match=r"not 1, as the density's sum over 4 × 4 cells, .* raise bins"):
        component(bins=4).metric(RING)

    class Space(TensorData):
        def log_density(self, x):
            return -x.square().sum(1)

    with pytest.raises(GanflowError, match=r"points of one or two numbers in a grid, and those of data space have 3: use metric"):
        component().metric(Space("space", {"real": torch.randn(50, 3)}))
