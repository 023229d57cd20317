"""Critic-free losses of autoencoders."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ganflow import Data, Field, Game, GanflowError, Loss, Step, Terms
from ganflow_autoencoder.likelihoods import bernoulli, gaussian


class ReconstructionLoss(Loss):
    """The mean distance of x from its reconstruction D(E(x))."""

    name = "reconstruction"

    def __init__(self, distance: str) -> None:
        self.distance = distance

    def check(self, game: Game) -> None:
        check_autoencoder(game, self.name)
        if self.distance == "cross_entropy":
            range_of(game.data, "loss 'reconstruction' with distance: cross_entropy")

    def generator_terms(self, step: Step) -> Terms:
        x = step.real()
        return {"reconstruction": self.between(step.data, x, single(step.call("reconstruct", x=x)))}

    def between(self, data: Data, x: Tensor, made: Tensor) -> Tensor:
        """The mean distance of values of examples x from those made of them."""
        if self.distance == "squared":
            return (x - made).square().mean()
        if self.distance == "absolute":
            return (x - made).abs().mean()
        return -bernoulli(x, made, *range_of(data, "cross_entropy")).mean() / math.prod(x.shape[1:])


class ELBOLoss(Loss):
    """−E log p(x|z) + β Σ max(free bits, KL(q(zⱼ|x) ‖ N(0, 1))), z ~ q(z|x), with the KL divergences' mean
    over the batch inside the maximum (Kingma et al. 2016, eq. 15)."""

    name = "elbo"

    def __init__(self, likelihood: str, sigma: float, beta: float, free_bits: float, samples: int) -> None:
        self.likelihood, self.sigma, self.beta, self.free_bits, self.samples = likelihood, sigma, beta, free_bits, samples

    @property
    def whole_batch(self) -> dict[str, str]:
        free = isinstance(self.free_bits, Tensor) or self.free_bits > 0  # a tensor in packed trials
        return {"kl": "loss.free_bits are compared with the divergence's mean over the whole batch"} if free else {}

    def check(self, game: Game) -> None:
        check_variational(game, self.name)
        if self.likelihood == "bernoulli":
            range_of(game.data, "loss 'elbo' with likelihood: bernoulli")
            if getattr(game.generator, "log_sigma", None) is not None:
                raise GanflowError(
                    "loss 'elbo' with likelihood: bernoulli has no standard deviation to learn; "
                    "take learn_sigma out of the generator, or set likelihood: gaussian"
                )

    def generator_terms(self, step: Step) -> Terms:
        x = step.real()
        q = step.call("posterior", x=x)

        def decode(z: Tensor) -> Tensor:
            made: Tensor = step.call("sample", z=z)
            return made

        likelihood = self.log_likelihood(decode, step.call("log_sigma", x=x), step.data, x, q.sample(self.samples))
        kl = q.divergence().mean(0).clamp(min=self.free_bits).sum()
        return {"reconstruction": -likelihood.mean(), "kl": self.beta * kl}

    def log_likelihood(
        self, decode: Callable[[Tensor], Tensor], log_sigma: Tensor | None, data: Data, x: Tensor, z: Tensor
    ) -> Tensor:
        """log p(x | z) in nats, shape (k, n), of examples x (n, *data.shape) under codes z (k, n, *prior.shape).

        Args:
            decode: from codes (k · n, …) to means.
            log_sigma: as the generator learns it; None for the loss's own.
        """
        mean = single(decode(z.flatten(0, 1))).unflatten(0, z.shape[:2])
        if self.likelihood == "bernoulli":
            return bernoulli(x, mean, *range_of(data, "bernoulli"))
        return gaussian(x, mean, torch.as_tensor(self.sigma).log() if log_sigma is None else log_sigma)

    def estimates(self, means: dict[str, float]) -> dict[str, float]:
        """The ELBO of training examples, in nats."""
        plain = self.beta == 1 and self.free_bits == 0
        return {"elbo": -means["generator/reconstruction"] - means["generator/kl"]} if plain else {}


def check_autoencoder(game: Game, loss: str) -> None:
    """Refuse a generator that has no encoder."""
    if "reconstruct" not in game.signatures:
        raise GanflowError(
            f"loss '{loss}' needs a generator that encodes examples, too: use generator conv_autoencoder or mlp_autoencoder"
        )


def check_variational(game: Game, loss: str) -> None:
    """Refuse a generator whose codes are no distributions, and a prior that is not N(0, I)."""
    check_autoencoder(game, loss)
    if "posterior" not in game.signatures:
        raise GanflowError(
            f"loss '{loss}' needs an encoder that gives distributions of codes: set generator.variational: true, or use loss "
            "reconstruction"
        )
    if game.prior is None or game.prior.support is not None:
        raise GanflowError(f"loss '{loss}' compares codes with a standard normal distribution: set prior: {{use: normal}}")


def range_of(data: Data, what: str) -> tuple[float, float]:
    """The lowest and highest value of an example."""
    field: Field = data.main
    if field.low is None or field.high is None:
        raise GanflowError(f"{what} needs values with bounds; data '{data.name}' has none: use gaussian, or squared")
    return field.low, field.high


def single(x: Tensor) -> Tensor:
    """Single precision for half: likelihoods are sums of many values."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
