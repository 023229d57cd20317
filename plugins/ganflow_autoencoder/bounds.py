"""Bounds of the log-likelihood, as scores."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from ganflow import GanflowError, Metric, evaluating, fork_rng
from ganflow_autoencoder.base import VariationalAutoencoder
from ganflow_autoencoder.losses import ELBOLoss

if TYPE_CHECKING:
    from ganflow import Data, Game

AT_ONCE = 4096  # codes decoded in one pass


class ImportanceWeightedMetric(Metric):
    """Scores `iwae_<k>` and `held_out_elbo`, in nats per example, from the same draws: the first is never below the second.

    Raises:
        GanflowError: there are no held-out examples.
    """

    goal: ClassVar[Literal["min", "max"]] = "max"

    def __init__(self, data: Data, samples: int, examples: int, seed: int) -> None:
        self._samples, self._seed = samples, seed
        self._examples = data.held_out.get("real", torch.empty(0))[:examples]
        self.names = (f"iwae_{samples}", "held_out_elbo")
        if not len(self._examples):
            raise GanflowError(f"metric iwae is of held-out examples, and data {data.name} has none; raise data.held_out of a "
                               "new run")  # fmt: skip

    def check(self, game: Game) -> None:
        likelihood_of(game)

    def evaluate(self, game: Game) -> dict[str, float]:
        weights = log_weights(game, self._examples, self._samples, self._seed).double()
        bound = (weights.logsumexp(0) - math.log(self._samples)).mean()
        return dict(zip(self.names, (float(bound), float(weights.mean())), strict=True))


@torch.no_grad()
def log_weights(game: Game, x: Tensor, k: int, seed: int) -> Tensor:
    """log p(x|z) + log p(z) − log q(z|x) in nats, z ~ q(z|x): shape (k, n), on the CPU, by the averaged generator.

    Args:
        game: with loss elbo, under modifiers or not.
        x: examples (n, *data.shape).
        k: draws for each.
        seed: of the draws.

    Raises:
        GanflowError: the game has no likelihood.
    """
    network, loss = likelihood_of(game)
    like = next(network.parameters())
    pieces = []
    with evaluating(network), fork_rng(like.device, seed):
        for piece in x.to(like.device, like.dtype).split(max(1, AT_ONCE // k)):
            q = network.posterior(piece)
            z = q.sample(k)
            ratio = (_standard_normal(z) - q.log_prob(z)).flatten(2).sum(2)
            pieces.append((loss.log_likelihood(network, network.log_sigma, game.data, piece, z) + ratio).cpu())
    return torch.cat(pieces, dim=1)


def likelihood_of(game: Game) -> tuple[VariationalAutoencoder, ELBOLoss]:
    """The averaged network and the loss, which together say how likely an example is.

    Raises:
        GanflowError: the game has no likelihood.
    """
    network, loss = game.averaged, game.loss
    if not isinstance(network, VariationalAutoencoder) or not isinstance(loss, ELBOLoss):
        raise GanflowError("metric iwae needs the likelihood of examples, which only a VAE has: use loss elbo, or take it out")
    return network, loss


def _standard_normal(z: Tensor) -> Tensor:
    """log N(z; 0, 1) of each number."""
    return -(z.square() + math.log(2 * math.pi)) / 2
