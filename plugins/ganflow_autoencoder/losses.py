"""Critic-free losses of autoencoders."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ganflow import Autoencoder, Batch, GanflowError, Loss, Terms, VariationalAutoencoder
from ganflow_autoencoder.likelihoods import bernoulli, gaussian

if TYPE_CHECKING:
    from ganflow import Game


class AutoencoderLoss(Loss):
    """A loss that reconstructs examples.

    Attributes:
        name: of the loss, for messages.
    """

    reads = ("real",)
    generator_needs_data = True
    name: str

    def check(self, game: Game) -> None:
        autoencoder_of(game, self.name)

    def sheet(self, game: Game, batch: Batch) -> dict[str, Tensor]:
        return reconstructions(game, batch)


class ReconstructionLoss(AutoencoderLoss):
    """The mean distance of x from its reconstruction D(E(x))."""

    name = "reconstruction"
    mean_over_examples = True

    def __init__(self, distance: str) -> None:
        self.distance = distance

    def check(self, game: Game) -> None:
        super().check(game)
        if self.distance == "cross_entropy":
            range_of(game, "loss 'reconstruction' with distance: cross_entropy")

    def generator_terms(self, game: Game, batch: Batch) -> Terms:
        x = batch["real"]
        made = single(autoencoder_of(game, self.name).reconstruct(x))
        return {"reconstruction": self.between(game, x, made)}

    def between(self, game: Game, x: Tensor, made: Tensor) -> Tensor:
        """The mean distance of values of examples x from those made of them."""
        if self.distance == "squared":
            return (x - made).square().mean()
        if self.distance == "absolute":
            return (x - made).abs().mean()
        return -bernoulli(x, made, *range_of(game, "cross_entropy")).mean() / math.prod(x.shape[1:])


class ELBOLoss(AutoencoderLoss):
    """−E log p(x|z) + β Σ max(free bits, KL(q(zⱼ|x) ‖ N(0, 1))), z ~ q(z|x), with the KL divergences' mean
    over the batch inside the maximum (Kingma et al. 2016, eq. 15)."""

    name = "elbo"
    mean_over_examples = True

    def __init__(self, likelihood: str, sigma: float, beta: float, free_bits: float, samples: int) -> None:
        self.likelihood, self.sigma, self.beta, self.free_bits, self.samples = likelihood, sigma, beta, free_bits, samples

    @property
    def whole_batch(self) -> dict[str, str]:
        free = isinstance(self.free_bits, Tensor) or self.free_bits > 0  # a tensor in packed trials
        return {"kl": "loss.free_bits are compared with the divergence's mean over the whole batch"} if free else {}

    def check(self, game: Game) -> None:
        network = vae_of(game, self.name)
        if self.likelihood == "bernoulli":
            range_of(game, "loss 'elbo' with likelihood: bernoulli")
            if network.log_sigma is not None:
                raise GanflowError(
                    "loss 'elbo' with likelihood: bernoulli has no standard deviation to learn; "
                    "take learn_sigma out of the generator, or set likelihood: gaussian"
                )

    def generator_terms(self, game: Game, batch: Batch) -> Terms:
        q = vae_of(game, self.name).posterior(batch["real"])
        likelihood = self.log_likelihood(game, game.generator, batch["real"], q.sample(self.samples))
        kl = q.divergence().mean(0).clamp(min=self.free_bits).sum()
        return {"reconstruction": -likelihood.mean(), "kl": self.beta * kl}

    def log_likelihood(self, game: Game, network: nn.Module, x: Tensor, z: Tensor) -> Tensor:
        """log p(x | z) in nats, shape (k, n), of examples x (n, *data.shape), given codes z (k, n, *prior.shape), by this
        network (the game's generator, or its average)."""
        mean = single(network(z.flatten(0, 1))).unflatten(0, z.shape[:2])
        if self.likelihood == "bernoulli":
            return bernoulli(x, mean, *range_of(game, "bernoulli"))
        learnt = getattr(network, "log_sigma", None)
        return gaussian(x, mean, torch.as_tensor(self.sigma).log() if learnt is None else learnt)

    def estimates(self, means: dict[str, float]) -> dict[str, float]:
        """The ELBO of training examples, in nats."""
        plain = self.beta == 1 and self.free_bits == 0
        return {"elbo": -means["generator/reconstruction"] - means["generator/kl"]} if plain else {}


def autoencoder_of(game: Game, loss: str) -> Autoencoder:
    """The generator, which must be one."""
    if not isinstance(game.generator, Autoencoder):
        raise GanflowError(
            f"loss '{loss}' needs a generator that encodes examples, too: use generator conv_autoencoder or mlp_autoencoder"
        )
    return game.generator


def vae_of(game: Game, loss: str) -> VariationalAutoencoder:
    """The generator, which must be one, with a prior that can be N(0, I)."""
    network = autoencoder_of(game, loss)
    if not isinstance(network, VariationalAutoencoder):
        raise GanflowError(
            f"loss '{loss}' needs an encoder that gives distributions of codes: set generator.variational: true, or use loss "
            "reconstruction"
        )
    if game.prior is None or game.prior.support is not None:
        raise GanflowError(f"loss '{loss}' compares codes with a standard normal distribution: set prior: {{use: normal}}")
    return network


def range_of(game: Game, what: str) -> tuple[float, float]:
    """The lowest and highest value of an example."""
    field = game.data.main
    if field.low is None or field.high is None:
        raise GanflowError(f"{what} needs values with bounds; data '{game.data.name}' has none: use gaussian, or squared")
    return field.low, field.high


def reconstructions(game: Game, batch: Batch) -> dict[str, Tensor]:
    """The sheet: held-out images, their reconstructions and, where there is a prior, samples. Nothing for other data."""
    if not game.data.main.is_image or "real" not in batch:
        return {}
    rows = {"held-out": batch["real"], "reconstructed": game.reconstruct(batch["real"])}
    if game.prior is not None:
        rows["drawn from the prior"] = game.samples(len(batch["real"]))
    return rows


def single(x: Tensor) -> Tensor:
    """Single precision in place of half: likelihoods are sums of many values."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
