"""Modes, their spread and shares against closed forms and hand-made points."""

import math

import ganflow_metrics
import pytest
import torch
from ganflow_data import Gaussians
from ganflow_metrics.modes import count_modes, reverse_kl, spread_inside, untruncated
from metric_helpers import Player, of_mixture
from scipy.stats import entropy, rice

from ganflow.contract.data import TensorData
from ganflow.errors import GanflowError

RING, GRID = Gaussians(layout="ring").data(), Gaussians(layout="grid").data()


def test_modes_by_hand():
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    points = torch.tensor([[0.0, 0.29], [0.0, 0.31], [0.2, 0.2], [10.2, 0.0], [5.0, 0.0], [0.0, 9.0]])
    # within 0.3: the first and third of mode 0, the fourth of mode 1; mode 2 has a near point, but none within
    assert count_modes(points, centres, 0.3) == (2, 0.5)
    assert count_modes(points[4:], centres, 0.3) == (0, 0)
    assert count_modes(points, centres, 1.01) == (3, 5 / 6)
    assert count_modes(torch.full((4, 2), math.nan), centres, 1.0) == (0, 0)


def test_the_mixture_itself():
    metric = ganflow_metrics.Modes().metric(GRID)
    scores = metric.evaluate(of_mixture(GRID))
    assert scores["modes_2500"] == 25
    # in two dimensions P(r ≤ 3σ) = 1 − exp(−9/2) = 0.98889; one standard deviation over 7,500 is 0.0012
    assert scores["high_quality_2500"] == pytest.approx(1 - math.exp(-4.5), abs=0.005)
    # 2 · 7,500 squares: one standard deviation is 1/√(4 · 7,500) = 0.006
    assert scores["sigma_inside_2500"] == pytest.approx(1, abs=0.02)
    # 2 n KL has about the χ² distribution of 24 degrees of freedom
    assert scores["reverse_kl_2500_floor"] == pytest.approx(24 / 5000, rel=0.15)
    # whose standard deviation is √48; the error is that of the mean over 64 of them
    assert scores["reverse_kl_2500_floor_error"] == pytest.approx(math.sqrt(48) / 5000 / 8, rel=0.3)
    assert scores["reverse_kl_2500"] == pytest.approx(24 / 5000, rel=0.6)
    assert metric.goal == "max"


def test_names_errors_and_protocol():
    metric = ganflow_metrics.Modes(samples=400, seed=5).metric(RING)
    game = of_mixture(RING, shrink=0.7)
    scores = metric.evaluate(game)
    assert game.asked == [(400, 5), (400, 6), (400, 7)]
    assert tuple(scores) == tuple(metric.names) == (
        "modes_400", "modes_400_error", "high_quality_400", "high_quality_400_error", "sigma_inside_400",
        "sigma_inside_400_error", "reverse_kl_400", "reverse_kl_400_error", "reverse_kl_400_floor", "reverse_kl_400_floor_error",
    )  # fmt: skip
    each = [ganflow_metrics.Modes(samples=400, seed=seed, repeats=1).metric(RING).evaluate(game) for seed in (5, 6, 7)]
    spreads = torch.tensor([one["sigma_inside_400"] for one in each], dtype=torch.float64)
    assert scores["sigma_inside_400"] == pytest.approx(float(spreads.mean()))
    assert scores["sigma_inside_400_error"] == pytest.approx(float(spreads.std() / math.sqrt(3)))
    assert list(each[0]) == ["modes_400", "high_quality_400", "sigma_inside_400", "reverse_kl_400", "reverse_kl_400_floor",
                             "reverse_kl_400_floor_error"]  # fmt: skip
    assert metric.protocol == {"samples": 400, "seed": 5, "repeats": 3, "within": 3.0, "modes": 8,
                               "floor": "64 × 400 draws of the weights"}  # fmt: skip


def test_modes_that_were_dropped():
    points = RING.held_out["real"]
    kept = points[torch.cdist(points, RING.centres).argmin(1) < 5]
    scores = ganflow_metrics.Modes(samples=1000).metric(RING).evaluate(Player(kept))
    assert scores["modes_1000"] == 5
    assert scores["reverse_kl_1000"] == pytest.approx(math.log(8 / 5), abs=0.01)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.74, 1.0, 1.1, 1.4])
def test_a_generator_whose_modes_have_another_width(share):
    scores = ganflow_metrics.Modes(samples=5000).metric(RING).evaluate(of_mixture(RING, shrink=share))
    assert scores["sigma_inside_5000"] == pytest.approx(share, rel=0.03)


def test_a_narrow_mode_beside_its_centre_is_narrow():
    """By the distance from the true centres its samples would seem to be spread by √(.25 + 1) of the true width."""
    scores = ganflow_metrics.Modes().metric(RING).evaluate(of_mixture(RING, shrink=0.5, offset=1.0))
    assert scores["sigma_inside_2500"] == pytest.approx(0.5, rel=0.04)


def test_spread_by_hand():
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0]])
    points = torch.tensor([[0.01, 0.0], [-0.01, 0.0], [10.0, 0.02], [10.0, 0.0], [5.0, 5.0]])
    # squares .0001 + .0001 + .0001 + .0001 over 4 − 2 points in two dimensions: s² = .0001, far inside the bound
    assert spread_inside(points, centres, std=1.0, within=3.0) == pytest.approx(0.01, rel=1e-4)
    assert spread_inside(centres.repeat(5, 1), centres, 1.0, 3.0) == 0
    assert spread_inside(points[[0, 2]], centres, 1.0, 3.0) == 0  # one each
    assert spread_inside(points[4:], centres, 1.0, 3.0) == 0


@pytest.mark.parametrize("share", [0.3, 1.0, 1.5])
def test_what_is_cut_off_in_the_plane(share):
    """The distance from the centre has Rayleigh's distribution, which is Rice's without an offset."""
    square = rice(0, scale=share).expect(lambda r: r**2, lb=0, ub=3, conditional=True)
    assert untruncated(float(square), d=2, bound=3) == pytest.approx(share, rel=1e-6)


def test_what_is_cut_off_on_a_line_and_in_the_plane():
    """E[x² | |x| ≤ 3] = 1 − 6 φ(3) / (2 Φ(3) − 1) of the normal distribution; in the plane the closed form of the docstring."""
    phi, inside = math.exp(-4.5) / math.sqrt(2 * math.pi), math.erf(3 / math.sqrt(2))
    assert untruncated(1 - 6 * phi / inside, d=1, bound=3) == pytest.approx(1, rel=1e-9)
    assert untruncated(2 * (1 - 5.5 * math.exp(-4.5)) / (1 - math.exp(-4.5)), d=2, bound=3) == pytest.approx(1, rel=1e-9)
    assert untruncated(9 / 2, d=2, bound=3) == 10  # a disc that is evenly filled, E r² = 9/2, has no such width


def test_reverse_kl_is_scipys_entropy():
    modes, weights = torch.tensor([0] * 6 + [1] * 3 + [3]), torch.tensor([0.25, 0.25, 0.4, 0.1])
    assert reverse_kl(modes, weights) == pytest.approx(entropy([0.6, 0.3, 0, 0.1], weights.double().numpy()))
    assert reverse_kl(modes, torch.tensor([0.5, 0.3, 0.2, 0.0])) == math.inf
    assert reverse_kl(modes[:6], torch.tensor([0.5, 0.5, 0.0, 0.0])) == pytest.approx(math.log(2))


def test_weighted_mixtures():
    data = Gaussians(layout="custom", centres=[[0, 0], [3, 0], [0, 3]], weights=[6, 3, 1], samples=10, held_out=10).data()
    metric = ganflow_metrics.Modes(samples=4000).metric(data)
    right, even = metric.evaluate(of_mixture(data)), metric.evaluate(of_mixture(data, weights=[1.0, 1.0, 1.0]))
    assert right["reverse_kl_4000"] < 0.003
    assert even["reverse_kl_4000"] == pytest.approx(entropy([1 / 3] * 3, [0.6, 0.3, 0.1]), abs=0.02)
    assert right["sigma_inside_4000"] == pytest.approx(1, abs=0.03)


def test_samples_that_are_not_finite_have_no_score():
    scores = ganflow_metrics.Modes().metric(RING).evaluate(Player(torch.full((2500, 2), math.nan)))
    assert all(math.isnan(scores[name]) for name in ("modes_2500", "high_quality_2500", "sigma_inside_2500"))


def test_modes_need_a_mixture():
    with pytest.raises(GanflowError, match=r"metric modes needs data with known modes, such as gaussians.*bare"):
        ganflow_metrics.Modes().metric(TensorData("bare", {"real": torch.zeros(4, 2)}))
