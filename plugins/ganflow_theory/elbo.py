"""The evidence lower bound of a linear VAE beside its exact log-likelihood.

p(x|z) = N(W z + b, s² I) and z ~ N(0, I) make p(x) = N(b, W Wᵀ + s² I), and p(z|x) normal with covariance (I + WᵀW / s²)⁻¹
(Tipping & Bishop 1999); log p(x) − ELBO(x) = KL(q(z|x) ‖ p(z|x)) (Kingma & Welling 2013, eq. 1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from ganflow import COLOURS, FAINT, GanflowError, evaluating
from ganflow_theory.data import normal_log_density, root_of
from ganflow_theory.showing import Number, Shown, label, panels, signed, watched

if TYPE_CHECKING:
    from ganflow import Game

RECIPE, TIMES = "theory/elbo", 40


class Model(NamedTuple):
    """A linear VAE, in float64.

    Attributes:
        w, b, s: of p(x|z) = N(W z + b, s² I): (d, k), (d,), a number.
        mean, variance: of q(z|x), (n, k) each, at examples x (n, d).
    """

    w: Tensor
    b: Tensor
    s: Tensor
    x: Tensor
    mean: Tensor
    variance: Tensor

    @property
    def covariance(self) -> Tensor:
        """W Wᵀ + s² I."""
        return self.w @ self.w.T + self.s**2 * torch.eye(len(self.b), dtype=torch.float64)

    def log_likelihood(self) -> Tensor:
        """log p(x), (n,)."""
        return normal_log_density(self.x, self.b, self.covariance)

    def elbo(self) -> Tensor:
        """E log p(x|z) − KL(q(z|x) ‖ N(0, I)), (n,): the expectation of a square is that of its mean, and its variance."""
        squares = (self.x - self.mean @ self.w.T - self.b).square().sum(1) + self.variance @ self.w.square().sum(0)
        likelihood = -squares / (2 * self.s**2) - len(self.b) * torch.log(self.s * math.sqrt(2 * math.pi))
        return likelihood - (self.mean.square() + self.variance - 1 - self.variance.log()).sum(1) / 2

    def divergence(self) -> Tensor:
        """KL(q(z|x) ‖ p(z|x)), (n,), from the exact posterior."""
        precision = torch.eye(self.w.shape[1], dtype=torch.float64) + self.w.T @ self.w / self.s**2
        posterior = torch.linalg.solve(precision, self.w.T @ (self.x - self.b).T / self.s**2).T
        apart = self.mean - posterior
        trace = self.variance @ precision.diagonal() + ((apart @ precision) * apart).sum(1)
        return (trace - self.w.shape[1] - precision.logdet() - self.variance.log().sum(1)) / 2


@torch.no_grad()
def model_of(game: Game, x: Tensor) -> Model:
    """The game's VAE at examples x.

    Raises:
        GanflowError: its generator is no VAE, or not linear.
    """
    network: Any = game.averaged
    if not {"posterior", "log_sigma"} <= game.signatures.keys() or len(game.data.shape) != 1:
        raise GanflowError("this part is about linear VAEs of points: leave the generator as it is, or use mlp_autoencoder "
                           "with depth: 0")  # fmt: skip
    with evaluating(network):
        k = math.prod(game.prior.shape) if game.prior else 0
        b = network(torch.zeros(1, k))[0].double()
        w = (network(torch.eye(k)).double() - b).T
        q = network.posterior(x)
        spread = network.spread(x)
        probe = torch.full((1, k), 3.0)
        if not torch.allclose(network(probe).double(), probe.double() @ w.T + b, atol=1e-4):
            raise GanflowError("the exact likelihood is known of a linear decoder alone: set generator.depth=0")
    s = spread.double().exp() if spread is not None else torch.tensor(getattr(game.loss, "sigma", 1.0), dtype=torch.float64)
    return Model(w, b, s, x.double(), q.mean.double(), q.log_variance.double().exp())


def show(changes: Sequence[str]) -> Shown:
    """Train the VAE, and follow both numbers."""
    rounds, bounds, exact = [], [], []
    for game, played in watched(RECIPE, changes, TIMES):
        x = game.data.held_out["real"]
        model = model_of(game, x)
        rounds.append(played)
        bounds.append(float(model.elbo().mean()))
        exact.append(float(model.log_likelihood().mean()))
    gap, divergence = exact[-1] - bounds[-1], float(model.divergence().mean())
    best = float(game.data.log_density(x.double()).mean()) if game.data.knows_density else exact[-1]
    title = "The evidence lower bound of a linear VAE, and the exact likelihood"
    titles = ["held-out examples, and the model", "nats per example", "the gap is a divergence"]
    figure, (left, middle, right) = panels(title, titles)
    if x.shape[1] == 2:
        left.plot(*x[:1500].T.numpy(), "o", color=COLOURS[0], markersize=2.5, alpha=0.35, markeredgewidth=0, label="data")
        circle = torch.linspace(0, 2 * math.pi, 200, dtype=torch.float64)
        ring = torch.stack([circle.cos(), circle.sin()])
        for radius in (1, 2):
            ellipse = model.b[:, None] + radius * root_of(model.covariance) @ ring
            text = "N(b, W Wᵀ + s² I), 1 and 2 σ" if radius == 1 else None
            left.plot(*ellipse.numpy(), color=COLOURS[1], linewidth=1.8, label=text)
        way = model.b[:, None] + model.w[:, :1] * torch.linspace(-2, 2, 2, dtype=torch.float64)
        left.plot(*way.numpy(), color=COLOURS[3], linewidth=2.5, label="W z + b, z from −2 to 2")
        left.set_aspect("equal", adjustable="datalim")
        label(left, "x₁", "x₂", legend="upper left")
    middle.axhline(best, color=FAINT, linewidth=4, label=f"log-likelihood under the true density: {signed(best, 5)}")
    middle.plot(rounds, exact, color=COLOURS[0], linewidth=2, label=f"exact log-likelihood: {signed(exact[-1], 5)}")
    middle.plot(rounds, bounds, color=COLOURS[1], linewidth=2, linestyle="--", label=f"ELBO: {signed(bounds[-1], 5)}")
    middle.set_ylim(best - 3, best + 0.3)
    label(middle, "rounds", "nats", legend="lower right")
    right.plot(rounds, [e - b for e, b in zip(exact, bounds, strict=True)], color=COLOURS[2], linewidth=2,
               label="exact − ELBO = KL(q(z|x) ‖ p(z|x))")  # fmt: skip
    right.set_yscale("log")
    label(right, "rounds", "nats")
    return Shown(title, [
        Number("elbo", bounds[-1], "E log p(x|z) − KL(q(z|x) ‖ p(z)), per held-out example"),
        Number("log_likelihood", exact[-1], "log N(x; b, W Wᵀ + s² I), the exact one"),
        Number("gap", gap, "their difference"),
        Number("kl_posterior", divergence, "KL(q(z|x) ‖ p(z|x)), from the exact posterior: the same"),
        Number("true_log_likelihood", best, "under the density that the data are from"),
    ], figure)  # fmt: skip
