"""BEGAN: the critic is an autoencoder, and a controlled number balances the players (Berthelot et al. 2017, arXiv:1703.10717)."""

import math

import torch
from torch import nn

from ganflow import Loss, hookimpl, key, settings

GANFLOW_CONTRACT = 2


class Autoencoding(nn.Module):
    """Scores examples x, (n, *shape), by −mean |x − D(x)|, (n,): real ones are to be reconstructed well."""

    def __init__(self, size, width, code):
        super().__init__()
        encoder = [nn.Linear(size, width), nn.ELU(), nn.Linear(width, code)]
        self.body = nn.Sequential(*encoder, nn.Linear(code, width), nn.ELU(), nn.Linear(width, size))

    def forward(self, x):
        x = x.flatten(1)
        return -(x - self.body(x)).abs().mean(1)


class Began(nn.Module, Loss):
    """Critic: L(x) − k L(G(z)). Generator: L(G(z)). L is the error of reconstruction; after each of the critic's steps k goes by
    rate · (γ L(x) − L(G(z))), and stays within [0, 1] (section 3.4)."""

    def __init__(self, gamma, rate):
        super().__init__()
        self.gamma, self.rate = gamma, rate
        self.register_buffer("k", torch.zeros(()))

    def critic_terms(self, step):
        real, fake = step.scores()
        step.log("error_fake", -fake.mean())
        return {"error_real": -real.mean(), "balance": self.k * fake.mean()}

    def generator_terms(self, step):
        return {"error_fake": -step.score(step.fake()).mean()}

    def critic_stepped(self, values):
        too_good = self.gamma * values["error_real"] - values["error_fake"]
        self.k.copy_((self.k + self.rate * too_good).clamp(0, 1))

    def estimates(self, means):
        real, fake = means["critic/error_real"], means["critic/error_fake"]
        return {"convergence": real + abs(self.gamma * real - fake)}


@settings
class AutoencodingCritic:
    """An autoencoder whose error is the score."""

    width: int = key(64, "units of the hidden layers", ge=1)
    code: int = key(16, "numbers between encoder and decoder", ge=1)

    @hookimpl
    def critic(self, data):
        return Autoencoding(math.prod(data.shape), self.width, self.code)


@settings
class BeganLoss:
    """The loss for an autoencoding critic."""

    gamma: float = key(0.5, "E L(G(z)) / E L(x) at the balance: diversity", gt=0, le=1)
    rate: float = key(0.001, "how fast k is led there", gt=0)

    @hookimpl
    def loss(self):
        return Began(self.gamma, self.rate)


@hookimpl
def register(offer):
    offer("critic", "autoencoding", AutoencodingCritic)
    offer("loss", "began", BeganLoss)
