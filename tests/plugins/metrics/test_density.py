"""Divergences of densities on a line against closed forms and scipy's quadrature."""

from __future__ import annotations

import math

import pytest
import torch
from ganflow_metrics.density import jsd_1d, kl_1d
from scipy.integrate import quad
from scipy.stats import norm

from ganflow import GanflowError


def normal(mean, std):
    return lambda x: -((x[:, 0] - mean) ** 2) / (2 * std**2) - math.log(std * math.sqrt(2 * math.pi))


def uniform(low, high):
    inside = torch.tensor(-math.log(high - low), dtype=torch.float64)
    return lambda x: torch.where((x[:, 0] >= low) & (x[:, 0] <= high), inside, -math.inf)


@pytest.mark.parametrize(("mean", "std", "other", "width"), [(0, 1, 1, 2), (-1, 0.5, 2, 1), (0.3, 0.01, 0.32, 0.02)])
def test_kl_of_gaussians_is_the_closed_form(mean, std, other, width):
    expected = math.log(width / std) + (std**2 + (mean - other) ** 2) / (2 * width**2) - 0.5
    assert kl_1d(normal(mean, std), normal(other, width), -10, 10) == pytest.approx(expected, abs=1e-9)


def test_jsd_of_gaussians_is_scipys_integral():
    def integrand(x):
        p, q = norm.pdf(x), norm.pdf(x, 1, 2)
        return p / 2 * math.log(2 * p / (p + q)) + q / 2 * math.log(2 * q / (p + q))

    assert jsd_1d(normal(0, 1), normal(1, 2), -20, 20) == pytest.approx(quad(integrand, -20, 20, epsabs=1e-12)[0], abs=1e-9)


def test_jsd_is_log_2_for_disjoint_and_0_for_equal_densities():
    assert jsd_1d(normal(-3, 0.01), normal(3, 0.01), -5, 5) == pytest.approx(math.log(2), abs=1e-9)
    assert jsd_1d(uniform(0, 1), uniform(1.7, 2), -1, 3) == pytest.approx(math.log(2), abs=1e-5)
    assert jsd_1d(normal(0, 1), normal(0, 1), -9, 9) == pytest.approx(0, abs=1e-9)


def test_densities_with_jumps():
    """Half of either lies on the other: ½ (½ log 2 + ½ log 2)."""
    assert jsd_1d(uniform(0, 1), uniform(0.5, 1.5), -2.123, 2.7) == pytest.approx(math.log(2) / 2, abs=1e-5)
    assert kl_1d(uniform(0, 1), uniform(0, 3), -2.2, 4) == pytest.approx(math.log(3), abs=1e-5)
    assert kl_1d(uniform(0, 1), uniform(0.5, 1.5), -2, 2) == math.inf


def test_an_interval_that_leaves_a_density_out_is_refused():
    with pytest.raises(GanflowError, match=r"from -1 to 1 is 0\.6827, not 1: widen"):
        jsd_1d(normal(0, 1), normal(0, 1), -1, 1)
    with pytest.raises(GanflowError, match="not 1"):
        kl_1d(normal(5, 1), normal(0, 1), -3, 3)
    with pytest.raises(GanflowError, match="low must be below high"):
        kl_1d(normal(0, 1), normal(0, 1), 3, -3)
