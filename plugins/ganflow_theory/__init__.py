"""The game's theory on distributions whose densities are known: their data, an affine generator, and `ganflow theory`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganflow import hookimpl, key, settings

if TYPE_CHECKING:
    from ganflow import Data, Metric

GANFLOW_CONTRACT = 2


@settings
class Gaussians1D:
    """Numbers from a mixture of Gaussians on a line: examples of shape (1,), whose density is known."""

    gives = ("points",)

    centres: list[float] = key([0.0], "of the modes")
    std: list[float] = key([1.0], "standard deviation of each mode; one number: of all of them", gt=0)
    weights: list[float] = key([], "share of every mode; empty: equal", ge=0)
    samples: int = key(100_000, "numbers in the training set", ge=1, le=100_000_000)
    held_out: int = key(10_000, "further numbers kept from training, for metrics", ge=0, le=100_000_000)

    def __post_init__(self) -> None:
        modes = len(self.centres)
        if not modes:
            raise ValueError("centres: a mixture has one mode or more")
        if len(self.std) not in (1, modes):
            raise ValueError(f"std needs one number, or one for each of the {modes} modes")
        if self.weights and (len(self.weights) != modes or sum(self.weights) <= 0):
            raise ValueError(f"weights needs one number for each of the {modes} modes, not all zero")

    @hookimpl
    def data(self) -> Data:
        from ganflow_theory.data import LineMixture

        return LineMixture(self.centres, self.std, self.weights, self.samples, self.held_out)


@settings
class Lines:
    """Points of the plane on vertical segments: (x, u) with u ~ U(0, 1), for one x or several.

    With one segment at 0 and a generator whose segment is at θ: the example of Arjovsky et al. 2017 (arXiv:1701.07875, example
    1) of distributions that a divergence of densities cannot compare. They have no density in the plane.
    """

    gives = ("points",)

    at: list[float] = key([0.0], "x of each segment")
    samples: int = key(100_000, "points in the training set", ge=1, le=100_000_000)
    held_out: int = key(10_000, "further points kept from training, for metrics", ge=0, le=100_000_000)

    def __post_init__(self) -> None:
        if not self.at:
            raise ValueError("at: one segment or more")

    @hookimpl
    def data(self) -> Data:
        from ganflow_theory.data import lines

        return lines(self.at, self.samples, self.held_out)


@settings
class LinearGaussian:
    """Vectors x = A z + b + noise · ε with z and ε standard normal: factor analysis with round noise, as probabilistic PCA has it
    (Tipping & Bishop 1999). The density, N(b, A Aᵀ + noise² I), is known."""

    gives = ("points",)

    matrix: list[list[float]] = key([[2.0], [1.0]], "A: a row for each number of x, a column for each factor")
    bias: list[float] = key([], "b; empty: zeros")
    noise: float = key(0.5, "standard deviation around A z + b", gt=0)
    samples: int = key(100_000, "vectors in the training set", ge=1, le=100_000_000)
    held_out: int = key(10_000, "further vectors kept from training, for metrics", ge=0, le=100_000_000)

    def __post_init__(self) -> None:
        check_affine(self.matrix, self.bias)
        if not self.matrix:
            raise ValueError("matrix: one row or more")

    @hookimpl
    def data(self) -> Data:
        from ganflow_theory.data import LinearGaussianData

        return LinearGaussianData(self.matrix, self.bias, self.noise, self.samples, self.held_out)


@settings
class AffineGenerator:
    """x = A z + b: a generator with a density, where z is normal and A is square. A and b are learnt, from these values on; for a
    generator that stays, set `optimizer.generator: {use: sgd, lr: 0}`."""

    requires = ("prior",)

    matrix: list[list[float]] = key([], "A: a row for each number of x, a column for each of z; empty: ones on the diagonal")
    bias: list[float] = key([], "b; empty: zeros")

    def __post_init__(self) -> None:
        check_affine(self.matrix, self.bias)

    @hookimpl
    def generator(self, data, prior):
        from ganflow_theory.networks import affine

        return affine(data, prior, self.matrix, self.bias)


@settings
class OptimalCritic:
    """For data gaussians_1d and generator affine: how far the discriminator is from D* = p_data / (p_data + p_G), and its value
    from JSD − log 2 (Goodfellow et al. 2014, arXiv:1406.2661). For losses `minimax` and `non_saturating`; lower is better."""

    @hookimpl
    def metric(self) -> Metric:
        from ganflow_theory.metrics import OptimalCriticMetric

        return OptimalCriticMetric()


@settings
class Duality:
    """For data gaussians_1d and generator affine: the share of the exact earth mover's distance that the critic finds,
    (E f(x) − E f(G(z))) over its largest slope, which is 1 at most. For loss `wasserstein`; higher is better."""

    @hookimpl
    def metric(self) -> Metric:
        from ganflow_theory.metrics import DualityMetric

        return DualityMetric()


@settings
class LinearELBO:
    """For loss `elbo` and a linear decoder (mlp_autoencoder of depth 0): the exact log-likelihood of held-out examples in nats,
    and the evidence lower bound, both in closed form. Higher is better."""

    @hookimpl
    def metric(self, data) -> Metric:
        from ganflow_theory.metrics import LinearELBOMetric

        return LinearELBOMetric(data)


def check_affine(matrix: list[list[float]], bias: list[float]) -> None:
    """Refuse a matrix of rows that differ in length, and a bias of another length than its columns."""
    if len({len(row) for row in matrix}) > 1 or any(not row for row in matrix):
        raise ValueError("matrix: all rows have the same number of columns, one or more")
    if matrix and bias and len(bias) != len(matrix):
        raise ValueError(f"bias has {len(bias)} numbers, and matrix {len(matrix)} rows")


@hookimpl
def register(offer):
    offer("data", "gaussians_1d", Gaussians1D)
    offer("data", "lines", Lines)
    offer("data", "linear_gaussian", LinearGaussian)
    offer("generator", "affine", AffineGenerator)
    offer("metric", "optimal_critic", OptimalCritic)
    offer("metric", "duality", Duality)
    offer("metric", "linear_elbo", LinearELBO)
