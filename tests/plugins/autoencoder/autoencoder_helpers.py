"""A linear-Gaussian model, whose likelihood and posterior are known, and games on data at hand."""

import torch
from ganflow_autoencoder.base import Gaussian, VariationalAutoencoder
from ganflow_autoencoder.losses import ELBOLoss
from ganflow_vanilla.priors import NormalPrior
from torch import nn

from ganflow.contract.data import TensorData
from ganflow.engine.game import Game


class Linear(VariationalAutoencoder):
    """x = W z + b + σ ε, with a linear encoder: q(z|x) = N(A (x − b), diag s²)."""

    def __init__(self, weight, bias, sigma, encoder, log_variance):
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)
        self.log_sigma = nn.Parameter(torch.as_tensor(sigma, dtype=weight.dtype).log())
        self.encoder, self.log_variance = nn.Parameter(encoder), nn.Parameter(log_variance)

    def forward(self, z):
        return z @ self.weight.T + self.bias

    def posterior(self, x):
        mean = (x - self.bias) @ self.encoder.T
        return Gaussian(mean, self.log_variance.expand_as(mean))

    def log_prob(self, x):
        """log N(x; b, W Wᵀ + σ² I), shape (n,)."""
        variance = self.log_sigma.exp().square()
        covariance = self.weight @ self.weight.T + variance * torch.eye(len(self.bias), dtype=x.dtype)
        return torch.distributions.MultivariateNormal(self.bias, covariance).log_prob(x)

    @classmethod
    def exact(cls, weight, bias, sigma):
        """With its true posterior (Bishop 2006, eq. 12.42), where the columns of W are orthogonal."""
        inverse = torch.linalg.inv(weight.T @ weight + sigma**2 * torch.eye(weight.shape[1], dtype=weight.dtype))
        return cls(weight, bias, sigma, inverse @ weight.T, (sigma**2 * inverse.diagonal()).log())


def linear(noise=0.0):
    """Five numbers from a code of two; with noise, a posterior that is not the true one."""
    draws = torch.Generator().manual_seed(0)
    weight = torch.linalg.qr(torch.randn(5, 2, generator=draws, dtype=torch.float64)).Q * torch.tensor([2.0, 0.7])
    made = Linear.exact(weight.double(), torch.randn(5, generator=draws, dtype=torch.float64), 0.3)
    with torch.no_grad():
        made.encoder += noise * torch.randn(2, 5, generator=draws, dtype=torch.float64)
        made.log_variance += noise
    return made


def draw(model, n, seed=1):
    """n examples of a linear model."""
    draws = torch.Generator().manual_seed(seed)
    z, e = (torch.randn(n, d, generator=draws, dtype=torch.float64) for d in (2, 5))
    return (model(z) + model.log_sigma.exp() * e).detach()


def game_of(network, held_out, loss=None, critic=None, terms=()):
    data = TensorData("toy", {"real": held_out}, {"real": held_out})
    prior = NormalPrior(network.encode(held_out[:1]).shape[1])
    return Game(data, prior, network, critic, loss or ELBOLoss("gaussian", 1.0, 1.0, 0.0, 1), terms)
