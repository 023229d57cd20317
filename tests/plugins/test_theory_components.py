"""Data with known distributions and the affine generator, against scipy and POT."""

import math

import numpy as np
import ot
import pytest
import torch
from ganflow_theory import AffineGenerator, Gaussians1D, LinearGaussian, Lines
from ganflow_theory.networks import affine
from ganflow_vanilla.priors import NormalPrior
from scipy import stats

from ganflow import GanflowError, SettingsError

MIXTURE = {"centres": [-1.5, 1.5], "std": [0.5, 0.7], "weights": [1.0, 3.0]}


def test_gaussians_1d_has_the_density_of_scipy_and_its_numbers_follow_it():
    data = Gaussians1D(**MIXTURE, samples=20_000, held_out=10).data()
    assert (data.shape, data.size, len(data.held_out["real"]), data.knows_density) == ((1,), 20_000, 10, True)
    first, second = stats.norm(-1.5, 0.5), stats.norm(1.5, 0.7)
    x = np.linspace(-5, 5, 101)
    points = torch.from_numpy(x)[:, None]
    np.testing.assert_allclose(data.log_density(points).exp(), 0.25 * first.pdf(x) + 0.75 * second.pdf(x), rtol=1e-12)
    np.testing.assert_allclose(data.cumulative(points), 0.25 * first.cdf(x) + 0.75 * second.cdf(x), atol=1e-15)
    drawn = data.train["real"][:, 0].numpy()
    assert stats.kstest(drawn, lambda t: 0.25 * first.cdf(t) + 0.75 * second.cdf(t)).pvalue > 1e-3


def test_one_standard_deviation_is_that_of_all_modes():
    assert Gaussians1D(centres=[0.0, 1.0, 2.0], std=[0.3], samples=10, held_out=0).data().stds.tolist() == [0.3, 0.3, 0.3]


def test_lines_are_uniform_on_their_segments_and_have_no_density():
    data = Lines(at=[0.0, 2.0], samples=4000, held_out=0).data()
    x, y = data.train["real"].T.numpy()
    assert sorted({*x.tolist()}) == [0.0, 2.0]
    assert abs((x == 2.0).mean() - 0.5) < 1e-9
    assert stats.kstest(y, "uniform").pvalue > 1e-3
    assert not data.knows_density


def test_linear_gaussian_is_the_normal_distribution_of_its_covariance():
    data = LinearGaussian(matrix=[[2.0, 0.5], [1.0, 0.0], [0.0, 1.0]], bias=[1.0, 0.0, -1.0], noise=0.5, samples=50_000).data()
    a = np.array([[2.0, 0.5], [1.0, 0.0], [0.0, 1.0]])
    exact = stats.multivariate_normal([1.0, 0.0, -1.0], a @ a.T + 0.25 * np.eye(3))
    x = data.held_out["real"][:50].double()
    np.testing.assert_allclose(data.log_density(x), exact.logpdf(x.numpy()), rtol=1e-10)
    np.testing.assert_allclose(np.cov(data.train["real"].T.numpy()), exact.cov, atol=0.1)


def test_the_affine_generator_has_the_density_of_what_it_makes():
    data = LinearGaussian(samples=10, held_out=0).data()
    made = affine(data, NormalPrior(2), [[1.0, 0.5], [0.0, 2.0]], [3.0, -1.0])
    a = np.array([[1.0, 0.5], [0.0, 2.0]])
    x = made(torch.randn(200, 2, generator=torch.Generator().manual_seed(0))).detach().double()
    exact = stats.multivariate_normal([3.0, -1.0], a @ a.T)
    np.testing.assert_allclose(made.log_density(x), exact.logpdf(x.numpy()), rtol=1e-6)
    assert sorted(name for name, _ in made.named_parameters()) == ["bias", "matrix"]


def test_the_affine_generator_moves_a_line_by_its_bias():
    """W₁ of the two lines is the distance, whatever the heights that are drawn; POT's, in float64."""
    data = Lines(samples=200, held_out=0).data()
    real = data.train["real"].double()
    made = affine(data, NormalPrior(1), [[0.0], [1.0]], [-0.75, 0.0]).double()(real[:, 1:]).detach()
    assert ot.emd2([], [], ot.dist(real.numpy(), made.numpy(), metric="euclidean")) == pytest.approx(0.75, abs=1e-12)


def test_its_default_is_the_identity():
    data = Gaussians1D(samples=10, held_out=0).data()
    z = torch.randn(5, 1)
    assert torch.equal(affine(data, NormalPrior(1), [], [])(z), z)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Gaussians1D(centres=[]), "one mode or more"),
        (lambda: Gaussians1D(centres=[0.0, 1.0], std=[1.0, 1.0, 1.0]), "std needs one number"),
        (lambda: Gaussians1D(centres=[0.0], weights=[0.5, 0.5]), "weights needs one number"),
        (lambda: Gaussians1D(std=[0.0]), "std"),
        (lambda: Lines(at=[]), "one segment or more"),
        (lambda: LinearGaussian(matrix=[[1.0], [1.0, 2.0]]), "all rows have the same number"),
        (lambda: LinearGaussian(matrix=[[1.0]], bias=[0.0, 0.0]), "bias has 2 numbers, and matrix 1 rows"),
        (lambda: AffineGenerator(matrix=[[]]), "all rows have the same number"),
    ],
)
def test_values_that_do_not_fit_are_refused(make, says):
    with pytest.raises((SettingsError, ValueError), match=says):
        make()


def test_an_affine_generator_that_does_not_fit_is_refused():
    data = Gaussians1D(samples=10, held_out=0).data()
    with pytest.raises(GanflowError, match="1 rows of 2; data gaussians_1d and the prior need 1 of 1"):
        affine(data, NormalPrior(1), [[1.0, 2.0]], [])
    with pytest.raises(GanflowError, match="bias: 2 numbers; data gaussians_1d needs 1"):
        affine(data, NormalPrior(1), [], [1.0, 2.0])
    with pytest.raises(GanflowError, match="needs a prior"):
        affine(data, None, [], [])
    assert math.isfinite(float(affine(data, NormalPrior(1), [], [])(torch.zeros(1, 1)).detach()))


def test_a_singular_normal_distribution_has_no_density():
    data = LinearGaussian(matrix=[[1.0], [1.0]], noise=1e-9, samples=10, held_out=0).data()
    with pytest.raises(GanflowError, match=r"singular: give 'matrix' a rank as high as it has rows, or add noise"):
        data.log_density(torch.zeros(1, 2, dtype=torch.float64))
