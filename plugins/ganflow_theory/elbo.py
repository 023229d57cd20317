"""The evidence lower bound of a linear VAE beside its exact log-likelihood.

p(x|z) = N(W z + b, s² I) and z ~ N(0, I) make p(x) = N(b, W Wᵀ + s² I), and p(z|x) normal with covariance (I + WᵀW / s²)⁻¹
(Tipping & Bishop 1999); log p(x) − ELBO(x) = KL(q(z|x) ‖ p(z|x)) (Kingma & Welling 2013, eq. 1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from torch import Tensor

from ganflow import COLOURS, FAINT, GanflowError
from ganflow_theory.data import normal_log_density, root_of
from ganflow_theory.densities import doubled, named
from ganflow_theory.showing import Number, Shown, label, panels, signed, watched

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ganflow import Game

RECIPE, TIMES, DRAWN = "theory/elbo", 40, 1500
HOPELESS = 1e30  # nats
PROBES = (-3.0, -1.0, 0.5, 2.0, 10.0)


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


def check_linear(game: Game) -> None:
    """Check that the game is that of a linear VAE with a Gaussian likelihood.

    Raises:
        GanflowError: the data are no points, the loss is another, or the generator is no VAE or not linear.
    """
    if len(game.data.shape) != 1:
        raise GanflowError(f"the exact likelihood is known of points, and data {game.data.name} have examples of shape "
                           f"{tuple(game.data.shape)}: use data linear_gaussian, or others that are points")  # fmt: skip
    if named(game.loss) != "elbo" or getattr(game.loss, "likelihood", "") != "gaussian":
        raise GanflowError("the exact likelihood is known of the model of loss elbo with likelihood: gaussian, and the recipe "
                           f"has loss {named(game.loss)}: set 'loss={{use: elbo, likelihood: gaussian}}'")  # fmt: skip
    if "posterior" not in game.signatures:
        raise GanflowError("this is about a variational autoencoder: use generator mlp_autoencoder with depth: 0")
    linear_part(game)


def linear_part(game: Game) -> tuple[Tensor, Tensor]:
    """W (d, k) and b (d,) of the decoder W z + b.

    Raises:
        GanflowError: it is not linear.
    """
    network, k = doubled(game.averaged), math.prod(game.prior.shape) if game.prior else 0
    with torch.no_grad():
        b = network(torch.zeros(1, k, dtype=torch.float64))[0]
        w = (network(torch.eye(k, dtype=torch.float64)) - b).T
        z = torch.tensor(PROBES, dtype=torch.float64)[:, None] * torch.cat([torch.ones(1, k), torch.eye(k)])[:, None]
        z = z.flatten(0, 1)
        if not torch.allclose(network(z), z @ w.T + b, rtol=1e-6, atol=1e-9):
            raise GanflowError("the exact likelihood is known of a linear decoder alone: set generator.depth=0, and no "
                               "generator.widths")  # fmt: skip
    return w, b


@torch.no_grad()
def model_of(game: Game, x: Tensor) -> Model:
    """The game's VAE, which `check_linear` accepts, at examples x."""
    (w, b), network, x = linear_part(game), cast(Any, doubled(game.averaged)), x.double()
    q, spread, loss = network.posterior(x), network.spread(x), cast(Any, game.loss)
    s = torch.tensor(loss.sigma, dtype=torch.float64) if spread is None else spread.exp()
    return Model(w, b, s, x, q.mean, q.log_variance.exp())


def show(changes: Sequence[str]) -> Shown:
    """Train the VAE, and follow both numbers."""
    rounds, bounds, exact = [], [], []
    for game, played in watched(RECIPE, changes, TIMES):
        x = game.data.held_out.get("real", torch.empty(0))[:]
        if not len(x):
            raise GanflowError(f"this is about held-out examples; data {game.data.name} has none: raise data.held_out")
        check_linear(game)
        model = model_of(game, x)
        rounds.append(played)
        bounds.append(float(model.elbo().mean()))
        exact.append(float(model.log_likelihood().mean()))
        if not played and not bounds[0] > -HOPELESS:
            raise GanflowError(f"an untrained encoder has an ELBO of {bounds[0]:.3g} of these data, too large to train on in "
                               "single precision: make the data's numbers smaller: data.matrix, .bias, .noise")  # fmt: skip
    gap, divergence = exact[-1] - bounds[-1], float(model.divergence().mean())
    known = [float(game.data.log_density(x.double()).mean())] if game.data.knows_density else []
    title = "The evidence lower bound of a linear VAE, and the exact likelihood"
    some = f": two of {x.shape[1]} numbers" if x.shape[1] > 2 else ""
    titles = [f"held-out examples, and the model{some}", "nats per example", "the gap is a divergence"]
    figure, (left, middle, right) = panels(title, titles, changes)
    draw_model(left, model)
    for best in known:
        middle.axhline(best, color=FAINT, linewidth=4, label=f"log-likelihood under the true density: {signed(best, 5)}")
    middle.plot(rounds, exact, color=COLOURS[0], linewidth=2, label=f"exact log-likelihood: {signed(exact[-1], 5)}")
    middle.plot(rounds, bounds, color=COLOURS[1], linewidth=2, linestyle="--", label=f"ELBO: {signed(bounds[-1], 5)}")
    low, high = min(*bounds, *exact, *known), max(*bounds, *exact, *known)
    middle.set_ylim(low - 0.35 * (high - low), high + 0.1 * (high - low))  # room for the legend
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
        *(Number("true_log_likelihood", best, "under the density that the data are from") for best in known),
    ], figure)  # fmt: skip


def draw_model(axes: Axes, model: Model) -> None:
    """Held-out examples and the model's density: of the first two numbers, or of a single one."""
    x = model.x[:DRAWN, :2]
    if x.shape[1] == 1:
        (mean,), (spread,) = model.b, model.covariance.sqrt()[0]
        axes.hist(x[:, 0].numpy(), bins=40, density=True, color=COLOURS[0], alpha=0.35, label="data")
        line = torch.linspace(-4, 4, 200, dtype=torch.float64)
        density = torch.exp(-line.square() / 2) / (spread * math.sqrt(2 * math.pi))
        axes.plot((mean + spread * line).numpy(), density.numpy(), color=COLOURS[1], linewidth=1.8, label="N(b, W Wᵀ + s²)")
        label(axes, "x", "density", legend="upper left")
        return
    axes.plot(*x.T.numpy(), "o", color=COLOURS[0], markersize=2.5, alpha=0.35, markeredgewidth=0, label="data")
    circle = torch.linspace(0, 2 * math.pi, 200, dtype=torch.float64)
    ring, b = torch.stack([circle.cos(), circle.sin()]), model.b[:2, None]
    for radius in (1, 2):
        ellipse = b + radius * root_of(model.covariance[:2, :2]) @ ring
        text = "N(b, W Wᵀ + s² I), 1 and 2 σ" if radius == 1 else None
        axes.plot(*ellipse.numpy(), color=COLOURS[1], linewidth=1.8, label=text)
    for j, column in enumerate(model.w[:2].T):
        way, name = b + column[:, None] * torch.tensor([-2.0, 2.0], dtype=torch.float64), "z" if model.w.shape[1] == 1 else "zⱼ"
        text = f"W z + b, {name} from −2 to 2" if j == 0 else None
        axes.plot(*way.numpy(), color=COLOURS[3], linewidth=2.5, label=text)
    axes.set_aspect("equal", adjustable="datalim")
    label(axes, "x₁", "x₂", legend="upper left")
