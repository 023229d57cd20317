"""Metrics against closed forms and hand-made points."""

import math

import ganflow_metrics
import pytest
import torch
from ganflow_data import Digits, Gaussians
from ganflow_metrics.extractors import values
from ganflow_metrics.frechet import frechet

from ganflow.cli.main import main
from ganflow.contract.data import TensorData
from ganflow.errors import GanflowError


class Player:
    """A game whose samples are given."""

    def __init__(self, samples):
        self._samples, self.asked = samples, []

    def samples(self, n, seed):
        self.asked.append((n, seed))
        return self._samples[:n]


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
    assert values(image, 2).tolist() == [[2.5, 4.5, 10.5, 12.5]]
    assert values(image, 4).tolist() == [list(range(16))]
    assert values(torch.rand(3, 1, 8, 4), 4).shape == (3, 4 * 2)


def test_frechet_metric_names_its_protocol_and_uses_held_out():
    points = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    data = TensorData("points", {"real": torch.zeros(5, 2)}, {"real": points})
    game = Player(points + torch.tensor([0.0, 2.0]))
    scores = ganflow_metrics.Frechet(samples=300, seed=7).metric(data).evaluate(game)
    assert scores == {"frechet_300": pytest.approx(4, rel=1e-5), "frechet_300_error": pytest.approx(0, abs=1e-9)}
    assert game.asked == [(300, 7), (300, 8), (300, 9)]


def test_frechet_metric_on_images():
    data = Digits(size=32).data()
    metric = ganflow_metrics.Frechet(samples=500, repeats=1).metric(data)
    noise = torch.rand(500, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    real, fake = metric.evaluate(Player(data.train["real"][:500])), metric.evaluate(Player(noise))
    assert list(real) == list(metric.names) == [
        "frechet_pixels16_500", "frechet_pixels16_500_floor", "frechet_pixels16_500_floor_error",
    ]  # fmt: skip
    assert real["frechet_pixels16_500"] < 0.25 * fake["frechet_pixels16_500"]


@pytest.mark.parametrize("component", [ganflow_metrics.Frechet(), ganflow_metrics.SlicedWasserstein()])
def test_no_held_out_examples_is_one_sentence(component):
    with pytest.raises(GanflowError, match=r"held-out examples, and data bare has 0; raise data\.held_out"):
        component.metric(TensorData("bare", {"real": torch.zeros(4, 2)}))


def test_a_seed_is_of_the_priors_draws():
    data = Gaussians(samples=10, held_out=50).data()
    game = Player(data.held_out["real"] * 2)
    ganflow_metrics.Frechet(seed=7).metric(data).evaluate(game)
    assert [seed for _, seed in game.asked] == [7, 8, 9]


def test_a_game_that_makes_another_field_is_refused_before_it_is_trained(tmp_path, monkeypatch, capsys):
    """pix2pix reads `source` and makes `target`: its pictures were compared with the sources."""
    monkeypatch.chdir(tmp_path)
    assert main(["run", "pix2pix_facades", "+metrics=frechet", "-q"]) == 2
    refused = "compare what is generated with the data's field 'source', and this recipe generates 'target'"
    assert refused in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.safetensors"))
