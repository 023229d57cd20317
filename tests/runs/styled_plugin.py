"""A plugin for tests: a generator with a mapping network, a loss with learnt weights, and optimizers of its own kinds."""

from typing import ClassVar

import torch
from torch import nn

from ganflow import Elementwise, ScoreLoss, hookimpl, key, settings

GANFLOW_CONTRACT = 2


class Styled(nn.Module):
    def __init__(self, dim, width, tied):
        super().__init__()
        self.mapping = nn.Sequential(nn.Linear(dim, width), nn.Tanh(), nn.Linear(width, width))
        self.body = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 2))
        if tied:
            self.body[0].weight = self.mapping[2].weight

    def forward(self, z):
        return self.body(self.mapping(z))


@settings
class StyledGenerator:
    """A mapping network, then the rest."""

    width: int = key(8, "of both", ge=1)
    tied: bool = key(False, "one weight in both halves")
    frozen: str = key("", "what stays as it is: nothing, mapping, or all")

    @hookimpl
    def generator(self, data, prior):
        made = Styled(prior.shape[0], self.width, self.tied)
        made.mapping.requires_grad_(not self.frozen)
        made.body.requires_grad_(self.frozen != "all")
        return made


class Weighted(nn.Module, ScoreLoss):
    """The generator's loss is weighed by a learnt number, and pulled by another; both are parameters."""

    def __init__(self):
        super().__init__()
        self.weights = nn.Parameter(torch.tensor([0.5, -0.5]))
        self.heads = nn.ModuleList([nn.Linear(1, 1)])

    def critic_loss(self, real, fake):
        return fake.mean() - real.mean() + 0.05 * (fake - real).square().mean()

    def generator_loss(self, fake, real=None):
        balanced = self.weights[0].exp() * -fake.mean() + (self.weights - 0.1).square().sum()
        return balanced + self.heads[0](fake.view(-1, 1)).square().mean()


class Twofold(nn.Module, ScoreLoss):
    """Two of them."""

    def __init__(self):
        super().__init__()
        self.first, self.second = Weighted(), Weighted()

    def critic_loss(self, real, fake):
        return self.first.critic_loss(real, fake)

    def generator_loss(self, fake, real=None):
        return self.first.generator_loss(fake) + 2 * self.second.generator_loss(fake)


@settings
class TwofoldLoss:
    """A loss of two that have parameters."""

    @hookimpl
    def loss(self):
        return Twofold()


@settings
class WeightedLoss:
    """A loss with parameters."""

    @hookimpl
    def loss(self):
        return Weighted()


class Outside(ScoreLoss):
    def __init__(self):
        self.weight = nn.Parameter(torch.ones(()))

    def critic_loss(self, real, fake):
        return fake.mean() - real.mean()

    def generator_loss(self, fake, real=None):
        return -self.weight * fake.mean()


@settings
class OutsideLoss:
    """A parameter where no checkpoint finds it."""

    @hookimpl
    def loss(self):
        return Outside()


class Sign(Elementwise):
    """Steps in the direction of the averaged gradient's sign (Bernstein et al. 2018)."""

    def state_names(self):
        return ("mean",)

    def update(self, p, grad, state, rule):
        state["mean"].mul_(rule["decay"]).add_(grad * (1 - rule["decay"]))
        p.sub_(state["mean"].sign() * rule["lr"])


@settings
class SignDescent:
    """A third party's flat optimizer."""

    elementwise: ClassVar[bool] = True
    lr: float = key(0.001, "learning rate", ge=0)
    decay: float = key(0.9, "of the mean of gradients", ge=0, lt=1)

    @hookimpl
    def optimizer(self, parameters):
        return Sign(parameters, lr=self.lr, decay=self.decay)


@settings
class TorchAdagrad:
    """An optimizer of torch's."""

    lr: float = key(0.01, "learning rate", ge=0)

    @hookimpl
    def optimizer(self, parameters):
        return torch.optim.Adagrad(parameters, lr=self.lr)


@settings
class NoOptimizer:
    """Returns what is none."""

    @hookimpl
    def optimizer(self, parameters):
        return len(parameters)


@hookimpl
def register(offer):
    offer("generator", "styled", StyledGenerator)
    offer("loss", "weighted", WeightedLoss)
    offer("loss", "twofold", TwofoldLoss)
    offer("loss", "outside", OutsideLoss)
    offer("optimizer", "sign", SignDescent)
    offer("optimizer", "adagrad", TorchAdagrad)
    offer("optimizer", "none", NoOptimizer)
