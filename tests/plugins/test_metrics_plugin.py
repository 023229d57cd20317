"""Metrics against closed forms and hand-made points."""

import math

import ganflow_metrics
import pytest
import torch
from ganflow_data import Digits, Gaussians
from ganflow_metrics.distances import features, frechet, sliced_wasserstein
from ganflow_metrics.modes import count_modes

from ganflow.contract.data import TensorData
from ganflow.errors import GanflowError


class Player:
    """A game whose samples are given."""

    def __init__(self, samples):
        self._samples, self.asked = samples, []

    def samples(self, n, seed):
        self.asked.append((n, seed))
        return self._samples[:n]


def gaussian(n, mean, root, seed):
    noise = torch.randn(n, len(mean), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return noise @ torch.tensor(root, dtype=torch.float64).T + torch.tensor(mean, dtype=torch.float64)


def with_moments(n, mean, covariance, seed):
    """Points whose sample mean and covariance are exactly these."""
    x = torch.randn(n, len(mean), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x = x - x.mean(0)
    whiten = torch.linalg.inv(torch.linalg.cholesky(x.T @ x / (n - 1)))
    return x @ whiten.T @ torch.linalg.cholesky(covariance).T + mean


def spd(d, seed):
    m = torch.randn(d, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return m @ m.T + 0.1 * torch.eye(d, dtype=torch.float64)


@pytest.mark.parametrize("d", [1, 2, 7])
def test_frechet_is_the_closed_form(d):
    sa, sb, ma, mb = spd(d, 1), spd(d, 2), torch.arange(d).double(), torch.ones(d, dtype=torch.float64) * 3
    # the textbook way: the matrix root by eigenvalues, of the symmetric Sa^½ Sb Sa^½
    values, vectors = torch.linalg.eigh(sa)
    root = vectors @ values.sqrt().diag() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ sb @ root).sqrt().sum()
    expected = float((ma - mb).square().sum() + sa.trace() + sb.trace() - 2 * cross)
    got = frechet(with_moments(500, ma, sa, 3), with_moments(300, mb, sb, 4))
    assert got == pytest.approx(expected, rel=1e-9)


def test_frechet_of_commuting_covariances_by_hand():
    # N(0, diag(1, 4)) and N((3, 0), diag(9, 1)): 9 + (1 − 3)² + (2 − 1)² = 14
    a = with_moments(400, torch.zeros(2).double(), torch.diag(torch.tensor([1.0, 4.0]).double()), 0)
    b = with_moments(400, torch.tensor([3.0, 0.0]).double(), torch.diag(torch.tensor([9.0, 1.0]).double()), 1)
    assert frechet(a, b) == pytest.approx(14, rel=1e-9)


def test_frechet_with_fewer_examples_than_dimensions():
    x = torch.randn(10, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert frechet(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet(x, x + 2) == pytest.approx(50 * 4, rel=1e-9)  # a shift by 2 in 50 dimensions


def test_a_distance_is_never_below_zero():
    """Rounding would put a third of these there."""
    draws = torch.Generator().manual_seed(0)
    assert all(frechet(x, x) >= 0 for x in torch.randn(100, 40, 8, generator=draws, dtype=torch.float64))


def test_frechet_of_nan_is_not_the_best_score():
    x = torch.randn(10, 2, dtype=torch.float64)
    assert math.isnan(frechet(torch.full_like(x, math.nan), x))


def test_features_average_blocks():
    image = torch.arange(16.0).view(1, 1, 4, 4)
    assert features(image, 2).tolist() == [[2.5, 4.5, 10.5, 12.5]]
    assert features(image, 4).tolist() == [list(range(16))]
    assert features(torch.rand(3, 1, 8, 4), 4).shape == (3, 4 * 2)


def test_frechet_metric_names_its_protocol_and_uses_held_out():
    points = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    data = TensorData("points", {"real": torch.zeros(5, 2)}, {"real": points})
    game = Player(points + torch.tensor([0.0, 2.0]))
    scores = ganflow_metrics.Frechet(samples=300, seed=7).metric(data).evaluate(game)
    assert scores == {"frechet_300": pytest.approx(4, rel=1e-5)}
    assert game.asked == [(300, 7)]


def test_frechet_metric_on_images():
    data = Digits(size=32).data()
    metric = ganflow_metrics.Frechet(samples=500).metric(data)
    noise = torch.rand(500, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    real, fake = metric.evaluate(Player(data.train["real"][:500])), metric.evaluate(Player(noise))
    assert list(real) == ["frechet_pixels16_500"]
    assert real["frechet_pixels16_500"] < 0.25 * fake["frechet_pixels16_500"]


def test_sliced_wasserstein_of_a_shift():
    # W1 of a shift v along θ is |θ·v|; over the circle its mean is 2|v|/π
    x = gaussian(100, [0, 0], [[1, 0], [0, 1]], 0)
    got = sliced_wasserstein(x, x[torch.randperm(100)] + torch.tensor([3.0, 4.0]), 20_000, seed=0)
    assert got == pytest.approx(5 * 2 / math.pi, rel=0.02)
    assert sliced_wasserstein(x, x, 16, seed=0) == 0


def test_sliced_wasserstein_in_one_dimension_is_exact():
    a, b = torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([[9.0], [0.0], [1.0]])
    assert sliced_wasserstein(a, b, 4, seed=0) == pytest.approx(4 / 3)


def test_sliced_wasserstein_metric():
    data = Gaussians(samples=10, held_out=500).data()
    metric = ganflow_metrics.SlicedWasserstein(samples=2048).metric(data)
    assert metric.evaluate(Player(data.held_out["real"])) == {"sliced_w1_500": 0}
    assert metric.evaluate(Player(data.held_out["real"] + 1))["sliced_w1_500"] > 0.5


def test_modes_by_hand():
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    points = torch.tensor([[0.0, 0.29], [0.0, 0.31], [0.2, 0.2], [10.2, 0.0], [5.0, 0.0], [0.0, 9.0]])
    # within 0.3: the first and third of mode 0, the fourth of mode 1; mode 2 has a near point, but none within
    assert count_modes(points, centres, 0.3) == (2, 0.5)
    assert count_modes(points[4:], centres, 0.3) == (0, 0)
    assert count_modes(points, centres, 1.01) == (3, 5 / 6)
    assert count_modes(torch.full((4, 2), math.nan), centres, 1.0) == (0, 0)


def test_modes_of_the_mixture_itself():
    data = Gaussians(layout="grid").data()
    metric = ganflow_metrics.Modes().metric(data)
    scores = metric.evaluate(Player(data.held_out["real"]))
    assert list(scores) == ["modes_2500", "high_quality_2500"]
    assert scores["modes_2500"] == 25
    # in two dimensions P(r ≤ 3σ) = 1 − exp(−9/2) = 0.98889; one standard deviation over 2,500 is 0.0021
    assert scores["high_quality_2500"] == pytest.approx(1 - math.exp(-4.5), abs=0.008)
    assert metric.goal == "max"


def test_modes_that_were_dropped():
    data = Gaussians(layout="ring", modes=8).data()
    points = data.held_out["real"]
    kept = points[torch.cdist(points, data.centres).argmin(1) < 5]
    assert ganflow_metrics.Modes(samples=1000).metric(data).evaluate(Player(kept))["modes_1000"] == 5


@pytest.mark.parametrize("component", [ganflow_metrics.Frechet(), ganflow_metrics.SlicedWasserstein()])
def test_no_held_out_examples_is_one_sentence(component):
    with pytest.raises(GanflowError, match=r"held-out examples, and data bare has 0; raise data\.held_out"):
        component.metric(TensorData("bare", {"real": torch.zeros(4, 2)}))


def test_modes_need_a_mixture():
    with pytest.raises(GanflowError, match=r"metric modes needs data with known modes.*bare"):
        ganflow_metrics.Modes().metric(TensorData("bare", {"real": torch.zeros(4, 2)}))


def test_a_seed_is_of_the_projections_and_of_the_priors_draws():
    x = gaussian(50, [0, 0], [[1, 0], [0, 1]], 0)
    y = x * torch.tensor([3.0, 1.0])
    first, again, other = (sliced_wasserstein(x, y, 4, seed) for seed in (0, 0, 1))
    assert first == again != other
    data = Gaussians(samples=10, held_out=50).data()
    for component in (ganflow_metrics.SlicedWasserstein(seed=7), ganflow_metrics.Modes(seed=7), ganflow_metrics.Frechet(seed=7)):
        game = Player(data.held_out["real"] * 2)
        first = component.metric(data).evaluate(game)
        assert [seed for _, seed in game.asked] == [7]
        component.seed = 8
        if isinstance(component, ganflow_metrics.SlicedWasserstein):
            assert component.metric(data).evaluate(game) != first
