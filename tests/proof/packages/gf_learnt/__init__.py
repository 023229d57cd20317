"""Losses whose weights are learnt (Kendall et al. 2018, arXiv:1705.07115).

    loss: {use: weighed, first: non_saturating, second: {use: lsgan}}
    optimizer: {generator: …, critic: …, loss: {use: sgd, lr: 0.01}}
"""

from typing import Any

import torch
from torch import nn

from ganflow import GanflowError, ScoreLoss, build_part, hookimpl, part, settings

GANFLOW_CONTRACT = 2


class Weighed(nn.Module, ScoreLoss):
    """Generator: Σ exp(−s_i) L_i + s_i over two losses; the numbers s are learnt with it. Critic: Σ L_i."""

    name = "weighed"

    def __init__(self, losses):
        super().__init__()
        self.losses = losses
        self.compares = any(loss.compares for loss in losses)
        self.s = nn.Parameter(torch.zeros(len(losses)))

    def critic_loss(self, real, fake):
        return sum(loss.critic_loss(real, fake) for loss in self.losses)

    def generator_loss(self, fake, real=None):
        each = torch.stack([loss.generator_loss(fake, real) for loss in self.losses])
        return ((-self.s).exp() * each + self.s).sum()


@settings
class WeighedLoss:
    """Two losses of scores, weighed by what is learnt."""

    first: Any = part("loss", "non_saturating", "one loss")
    second: Any = part("loss", "lsgan", "the other")

    @hookimpl
    def loss(self, data, prior, condition):
        made = [build_part(chosen, "loss", data=data, prior=prior, condition=condition) for chosen in (self.first, self.second)]
        for key, loss in zip(("first", "second"), made, strict=True):
            if not isinstance(loss, ScoreLoss):
                raise GanflowError(f"loss.{key}: it is no loss of scores; use hinge, lsgan or another one that is")
        return Weighed(made)


@hookimpl
def register(offer):
    offer("loss", "weighed", WeighedLoss)
