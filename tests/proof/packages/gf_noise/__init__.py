"""Instance noise that fades: the critic sees noisy examples, and clean ones from some round on (Sønderby et al. 2017,
arXiv:1610.04490)."""

import torch
from torch import nn

from ganflow import GanflowError, hookimpl, key, settings

GANFLOW_CONTRACT = 2


class Noise(nn.Module):
    """Is called before a critic, and adds normal noise of deviation σ · max(0, 1 − round / rounds) in training.

    Args:
        round: the game's, a 0-dim int64 tensor.
    """

    def __init__(self, sigma, rounds, round):
        super().__init__()
        self.sigma, self.rounds = sigma, rounds
        self.register_buffer("round", round, persistent=False)

    def forward(self, critic, inputs):
        if not critic.training:
            return None
        x, *others = inputs
        sigma = self.sigma * (1 - self.round / self.rounds).clamp(min=0).to(x.dtype)
        return (x + sigma * torch.randn_like(x), *others)


@settings
class InstanceNoise:
    """The critic sees examples, real and generated alike, with noise that fades to nothing."""

    sigma: float = key(0.1, "deviation of the noise in the first round", ge=0)
    rounds: int = key(1000, "after so many rounds there is none", ge=1)

    @hookimpl
    def game_built(self, game):
        if game.critic is None:
            raise GanflowError("modifier 'instance_noise' works on a critic, and the recipe has none; take it out")
        game.critic.register_forward_pre_hook(Noise(self.sigma, self.rounds, game.round))


@hookimpl
def register(offer):
    offer("modifier", "instance_noise", InstanceNoise)
