"""Integrals under densities on a line, narrow and far apart ones too, against closed forms and scipy's quadrature."""

import math

import numpy as np
import pytest
import torch
from ganflow_theory import duality, optimal, saturation
from ganflow_theory.densities import pair_of, quadrature, scores_of
from ganflow_theory.showing import trained
from scipy import integrate, stats
from torch import nn

from ganflow import GanflowError

SHORT = ["train.rounds=1", "train.n_critic=1", "train.batch_size=16", "data.samples=500"]
NARROW = 1e-5


def game_of(recipe, *changes):
    return trained(recipe, [*SHORT, *changes], pair_of)


@pytest.mark.parametrize(
    "modes", [[(0.0, 1.0)], [(-1000.0, 0.5), (1000.0, 0.002), (3.0, 40.0), (0.0, 1e-5)], [(float(i), 0.01) for i in range(200)]]
)
def test_the_quadrature_finds_every_mode(modes):
    """Mass, mean and variance of each."""
    x, weights = quadrature(modes)
    assert (x.diff() > 0).all()
    for mean, std in modes:
        density = torch.from_numpy(stats.norm(mean, std).pdf(x.numpy()))
        moments = [float(weights @ (density * ((x - mean) / std) ** k)) for k in (0, 1, 2)]
        assert moments == pytest.approx([1, 0, 1], abs=1e-6)


@pytest.mark.parametrize("std", [NARROW, 0.5])
def test_w1_of_modes_far_apart(std):
    """From N(0, 1) to modes at ±1000 with weights w and 1 − w all of z below its quantile z_w goes left: 1000 − 2 φ(z_w)."""
    game = game_of(duality.RECIPE, "data.centres=[-1000.0,1000.0]", f"data.std=[{max(std, 0.001)}]")
    pair = pair_of(game)
    assert duality.bound_of(game, pair).w1 == pytest.approx(1000 - 2 * stats.norm.pdf(stats.norm.ppf(0.15)), rel=1e-6)


def test_w1_of_narrow_modes():
    """That of two points, but for 1e-5: E |z + 2| below the quantile of the left one's weight, and E |z − 2| above."""
    game = game_of(duality.RECIPE, f"data.std=[{NARROW}]")
    quantile = stats.norm.ppf(0.15)
    left = integrate.quad(lambda z: abs(z + 2) * stats.norm.pdf(z), -10, quantile, points=[-2])[0]
    right = integrate.quad(lambda z: abs(z - 2) * stats.norm.pdf(z), quantile, 10, points=[2])[0]
    assert duality.bound_of(game, pair_of(game)).w1 == pytest.approx(left + right, abs=2e-5)


def test_jsd_of_a_narrow_mode():
    """½ E_p log(p / (p + q)) + ½ E_q log(q / (p + q)) by scipy, in units of the narrow mode: beyond it D* is 0."""
    game = game_of(optimal.RECIPE, "data.centres=[0.0]", f"data.std=[{NARROW}]", "data.weights=[]", "generator.bias=[0.0]",
                   "generator.matrix=[[1.0]]")  # fmt: skip

    def integrand(y):
        p, q = stats.norm.pdf(y) / NARROW, stats.norm.pdf(y * NARROW)
        return NARROW * (p * math.log(p / (p + q)) + q * math.log(q / (p + q))) / 2

    found = optimal.compared(game, pair_of(game))
    assert found.bound == pytest.approx(integrate.quad(integrand, -12, 12, limit=200)[0], abs=1e-9)
    assert found.value < found.bound < 0


def test_the_gradient_through_an_optimal_discriminator_of_a_narrow_mode():
    """Of b and A, by scipy: E σ(f) f′ (1, z), where f = log p − log q and σ(f) is 0 but within the narrow mode."""
    game = game_of(saturation.RECIPE, "data.std=[0.001]", "generator.bias=[1.0]")
    made = stats.norm(1.0, 0.5)

    def integrand(y, k):
        x = y * 0.001
        log_p, log_q = stats.norm.logpdf(y) - math.log(0.001), made.logpdf(x)
        slope = -y / 0.001 + (x - 1.0) / 0.25
        return 0.001 * slope / (1 + math.exp(log_q - log_p)) * ((x - 1.0) / 0.5) ** k * made.pdf(x)

    exact = math.hypot(*(integrate.quad(integrand, -15, 15, args=(k,), limit=500)[0] for k in (0, 1)))
    pair, scores = pair_of(game), saturation.optimal_scores(game)
    assert saturation.gradient_norm(game, pair, scores, saturation.formulas()["minimax"]) == pytest.approx(exact, rel=1e-4)


def test_z_of_several_numbers():
    """A z has the variance A Aᵀ: W₁ of N(0, 3²) and N(0, 5²) is 2 E|z|."""
    changes = ["data.centres=[0.0]", "data.std=[3.0]", "data.weights=[]", "prior.dim=2", "generator.matrix=[[3.0,4.0]]"]
    game = game_of(duality.RECIPE, *changes)
    assert duality.bound_of(game, pair_of(game)).w1 == pytest.approx(2 * math.sqrt(2 / math.pi), rel=1e-6)


@pytest.mark.parametrize("changes", [[f"data.std=[{NARROW}]"], ["data.centres=[-1000.0,1000.0]"], []])
@pytest.mark.parametrize("way", duality.WAYS)
def test_no_critic_finds_more_than_w1(way, changes):
    game = game_of(duality.RECIPE, *duality.WAYS[way][1], *changes)
    assert duality.bound_of(game, pair_of(game)).ratio <= 1


class Step(nn.Module):
    """0 below `at` and 1 above, over a billionth."""

    def __init__(self, at):
        super().__init__()
        self.at = nn.Parameter(torch.tensor(at, dtype=torch.float64))

    def forward(self, x):
        return ((x - self.at) / 1e-9).clamp(0, 1)


def test_nor_does_one_that_is_steep_between_the_nodes():
    """E f(x) − E f(G(z)) is 1, and W₁ 1000: a share of 1e-3 at K = 1; K is found to be more, though no node is on the step."""
    game = game_of(duality.RECIPE, "data.centres=[1000.0]", "data.std=[1.0]", "data.weights=[]")
    game.critic = Step(500.00001)
    bound = duality.bound_of(game, pair_of(game))
    assert bound.difference == pytest.approx(1, abs=1e-6)
    assert bound.slopes.abs().max() == 0
    assert 0 < bound.ratio <= 1e-3


def test_a_density_without_the_mass_of_one_is_refused(monkeypatch):
    game = game_of(duality.RECIPE)
    right = game.data.log_density
    monkeypatch.setattr(game.data, "log_density", lambda x: right(x) + 1e-4)
    with pytest.raises(GanflowError, match=r"integral of the data's density is 1\.0001, and not 1"):
        pair_of(game)


def test_numbers_of_examples_are_too_coarse_for_a_narrow_mode_that_is_far():
    with pytest.raises(GanflowError, match="float32 numbers, too few of which are within 1e-05 of 1000"):
        game_of(duality.RECIPE, "data.centres=[1000.0]", f"data.std=[{NARROW}]", "data.weights=[]")


def test_scores_are_one_for_each_example():
    with pytest.raises(GanflowError, match="one score for each example"):
        scores_of(nn.Linear(1, 2), torch.zeros(3))


def test_shown_is_where_both_distributions_are():
    game = game_of(optimal.RECIPE, f"data.std=[{NARROW},0.5]", "generator.bias=[30.0]")
    low, high = pair_of(game).shown_range()
    assert -4 < low < -1.5
    assert 33 < high < 37
    assert np.isfinite([low, high]).all()
