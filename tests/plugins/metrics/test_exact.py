"""Exact divergences of a generator with a known density, against closed forms and scipy's quadrature."""

import math

import ganflow_metrics
import numpy as np
import pytest
import torch
from ganflow_data import Gaussians
from ganflow_theory import AffineGenerator, Gaussians1D
from ganflow_vanilla import Normal, Uniform
from scipy.integrate import quad
from scipy.stats import norm

from ganflow.cli import main
from ganflow.contract.data import Data, Field
from ganflow.errors import GanflowError

RECIPE = """
name: exact
data: {use: gaussians_1d, centres: [-1.5, 1.5], std: [0.5, 0.7], weights: [0.4, 0.6], samples: 2000, held_out: 200}
prior: {use: normal, dim: 1}
generator: {use: affine, matrix: [[1.2]], bias: [0.5]}
critic: {use: mlp, width: 8, depth: 1}
loss: minimax
optimizer: {generator: {use: sgd, lr: 0}, critic: adam}
metrics: [exact_jsd]
train: {rounds: 2, batch_size: 8, compile: never, threads: 1, evaluate_every: 2}
track: {mlflow: false}
"""


def normal_data(mean=0.0, std=1.0):
    return Gaussians1D(centres=[mean], std=[std], samples=20_000, held_out=200).data()


class Player:
    """A game of an affine generator."""

    device = torch.device("cpu")

    def __init__(self, data, scale, offset, k=1):
        self.data, self.prior = data, Normal(dim=k).prior()
        self.averaged = AffineGenerator(matrix=[[scale] * k], bias=[offset]).generator(data=data, prior=self.prior)

    @torch.no_grad()
    def samples(self, n, seed):
        return self.averaged(self.prior.sample(n, generator=torch.Generator().manual_seed(seed)))


def kl_of_normals(mean, std, other, wide):
    return math.log(wide / std) + (std**2 + (mean - other) ** 2) / (2 * wide**2) - 0.5


def jsd_by_scipy(p, q, low, high):
    def integrand(x):
        a, b = p(x), q(x)
        m = (a + b) / 2
        return (a * math.log(a / m) if a else 0) / 2 + (b * math.log(b / m) if b else 0) / 2

    return quad(integrand, low, high, limit=200, epsabs=1e-10, points=np.linspace(low, high, 20)[1:-1])[0]


@pytest.mark.parametrize(("mean", "std"), [(0.5, 1.2), (0.0, 1.0), (-3.0, 0.5), (1.0, 0.01), (2.0, 3.0)])
def test_normals_are_the_closed_form_and_scipys_quadrature(mean, std):
    data = normal_data()
    scores = ganflow_metrics.ExactJSD().metric(data).evaluate(Player(data, std, mean))
    assert list(scores) == ["exact_jsd", "exact_kl"]
    std, mean = np.float32(std), np.float32(mean)  # the generator's own
    assert scores["exact_kl"] == pytest.approx(kl_of_normals(float(mean), float(std), 0, 1), rel=1e-6, abs=1e-7)
    low, high = min(-9, mean - 9 * std), max(9, mean + 9 * std)
    if std > 0.1:  # scipy's does not find the peak
        expected = jsd_by_scipy(norm(0, 1).pdf, norm(mean, std).pdf, low, high)
        assert scores["exact_jsd"] == pytest.approx(expected, rel=1e-6, abs=1e-8)


def test_a_mixture_is_scipys_quadrature():
    data = Gaussians1D(centres=[-1.5, 1.5], std=[0.5, 0.7], weights=[0.4, 0.6], samples=5000, held_out=10).data()
    scores = ganflow_metrics.ExactJSD().metric(data).evaluate(Player(data, 1.2, 0.5))
    p, q = norm(0.5, np.float32(1.2)).pdf, lambda x: 0.4 * norm(-1.5, 0.5).pdf(x) + 0.6 * norm(1.5, 0.7).pdf(x)
    assert scores["exact_jsd"] == pytest.approx(jsd_by_scipy(p, q, -9, 9), rel=1e-7)
    assert scores["exact_kl"] == pytest.approx(quad(lambda x: p(x) * math.log(p(x) / q(x)), -7, 8, limit=500)[0], rel=1e-6)


def test_a_prior_of_several_numbers():
    """√k · scale is the standard deviation of scale · (z₁ + … + z_k)."""
    data = normal_data()
    scores = ganflow_metrics.ExactJSD().metric(data).evaluate(Player(data, 0.5, 0.0, k=9))
    assert scores["exact_kl"] == pytest.approx(kl_of_normals(0, 1.5, 0, 1), rel=1e-6)


@pytest.mark.parametrize("offset", [60.0, -1e4])
def test_a_generator_far_from_the_data(offset):
    data = normal_data()
    scores = ganflow_metrics.ExactJSD().metric(data).evaluate(Player(data, 0.3, offset))
    assert scores["exact_jsd"] == pytest.approx(math.log(2), abs=1e-9)
    assert scores["exact_kl"] == pytest.approx(kl_of_normals(offset, float(np.float32(0.3)), 0, 1), rel=1e-5)


def test_a_collapsed_and_a_diverged_generator():
    data = normal_data()
    metric = ganflow_metrics.ExactJSD().metric(data)
    assert metric.evaluate(Player(data, 0.0, 1.0)) == {"exact_jsd": math.log(2), "exact_kl": math.inf}
    diverged = Player(data, 1.0, 1.0)
    with torch.no_grad():
        diverged.averaged.bias.fill_(math.nan)
    assert all(math.isnan(score) for score in metric.evaluate(diverged).values())


def test_what_has_no_known_density_is_refused():
    with pytest.raises(GanflowError, match=r"known densities on a line, and that of data gaussians \(ring\) is none"):
        ganflow_metrics.ExactJSD().metric(Gaussians(layout="ring").data())
    data = normal_data()
    metric = ganflow_metrics.ExactJSD().metric(data)
    game = Player(data, 1.0, 0.0)
    game.averaged = torch.nn.Linear(1, 1)
    with pytest.raises(GanflowError, match="this generator has none that is known: use generator affine, or metric jsd"):
        metric.check(game)
    game = Player(data, 1.0, 0.0)
    game.prior = Uniform(dim=1).prior()
    with pytest.raises(GanflowError, match=r"known for a normal prior: set 'prior={use: normal, dim: 1}'"):
        metric.check(game)

    class Bare(Data):
        name, fields, held_out, size = "bare", {"real": Field((1,))}, {}, 10

        def log_density(self, x):
            return x[:, 0]

        def fingerprint(self):
            return ""

    with pytest.raises(GanflowError, match="data bare has none in memory"):
        ganflow_metrics.ExactJSD().metric(Bare())


@pytest.mark.slow
def test_a_recipe_has_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "exact.yaml").write_text(RECIPE)
    assert main(["run", "exact.yaml", "-q"]) == 0
    (journal,) = tmp_path.glob("runs/exact/*/metrics.jsonl")
    assert '"exact_jsd"' in journal.read_text()
    assert main(["run", "exact.yaml", "-q", "generator={use: mlp, width: 4}", "optimizer=adam"]) == 2
    assert "generator has none that is known" in capsys.readouterr().err
