"""Scores of critics and models whose best is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import torch

from ganflow import GanflowError, Metric

if TYPE_CHECKING:
    from ganflow import Data, Game


class OptimalCriticMetric(Metric):
    """Scores `critic_error`, the mean of |D − D*|, `critic_value` and the value that D* has, `jsd_minus_log2`."""

    names = ("critic_error", "critic_value", "jsd_minus_log2")

    def __init__(self) -> None:
        self.protocol = {"compared": "D with p_data / (p_data + p_G), by quadrature"}

    def check(self, game: Game) -> None:
        from ganflow_theory.optimal import check_discriminator

        check_discriminator(game)

    def evaluate(self, game: Game) -> dict[str, float]:
        from ganflow_theory.optimal import check_discriminator, compared

        found = compared(game, check_discriminator(game))
        return dict(zip(self.names, (found.error, found.value, found.bound), strict=True))


class DualityMetric(Metric):
    """Scores `w1_share`, (E f(x) − E f(G(z))) / K / W₁, the critic's largest slope K, `steepest`, and the exact `w1`."""

    goal: ClassVar[Literal["min", "max"]] = "max"
    names = ("w1_share", "steepest", "w1")

    def __init__(self) -> None:
        self.protocol = {"compared": "E f(x) − E f(G(z)) over the largest slope with ∫ |F_data − F_G|, by quadrature"}

    def check(self, game: Game) -> None:
        from ganflow_theory.duality import check_wasserstein

        check_wasserstein(game)

    def evaluate(self, game: Game) -> dict[str, float]:
        from ganflow_theory.duality import bound_of, check_wasserstein

        found = bound_of(game, check_wasserstein(game))
        return dict(zip(self.names, (found.ratio, found.steepest, found.w1), strict=True))


class LinearELBOMetric(Metric):
    """Scores `log_likelihood`, the exact one, `exact_elbo`, and their difference, `elbo_gap`, per held-out example."""

    goal: ClassVar[Literal["min", "max"]] = "max"
    names = ("log_likelihood", "exact_elbo", "elbo_gap")

    def __init__(self, data: Data) -> None:
        self._x = data.held_out.get("real", torch.empty(0))[:]
        if not len(self._x):
            raise GanflowError(f"metric linear_elbo is of held-out examples, and data {data.name} has none; raise data.held_out "
                               "of a new run")  # fmt: skip
        self.protocol = {"held_out": len(self._x), "compared": "ELBO with log N(x; b, W Wᵀ + s² I), in closed form"}

    def check(self, game: Game) -> None:
        from ganflow_theory.elbo import check_linear

        check_linear(game)

    def evaluate(self, game: Game) -> dict[str, float]:
        from ganflow_theory.elbo import model_of

        assert self._x is not None
        model = model_of(game, self._x)
        exact, bound = float(model.log_likelihood().mean()), float(model.elbo().mean())
        return dict(zip(self.names, (exact, bound, exact - bound), strict=True))
