"""A generator without a critic: it descends the Sinkhorn divergence between two batches (Genevay et al. 2018,
arXiv:1706.00292)."""

import math

import torch

from ganflow import Loss, hookimpl, key, settings

GANFLOW_CONTRACT = 2


def transport(x, y, epsilon, iterations):
    """The cost ⟨P, C⟩ of entropic transport between points x, (n, d), and y, (m, d), of equal weights; C is the squared distance.

    Sinkhorn's iteration on the potentials f and g, in logarithms; the plan's gradient is left out (the envelope theorem: that of
    the cost for a fixed plan)."""
    cost = (x[:, None] - y[None]).square().sum(2)
    with torch.no_grad():
        kernel = -cost / epsilon
        f, g = cost.new_zeros(len(x)), cost.new_zeros(len(y))
        for _ in range(iterations):
            f = -torch.logsumexp(kernel + g - math.log(len(y)), 1)
            g = -torch.logsumexp(kernel + f[:, None] - math.log(len(x)), 0)
        plan = (kernel + f[:, None] + g).exp() / (len(x) * len(y))
    return (plan * cost).sum()


class Sinkhorn(Loss):
    """W(x, G(z)) − ½ W(x, x) − ½ W(G(z), G(z))."""

    def __init__(self, epsilon, iterations):
        self.epsilon, self.iterations = epsilon, iterations

    @property
    def whole_batch(self):
        return {"sinkhorn": "every generated example is matched with every real one"}

    def generator_terms(self, step):
        real, fake = step.real().flatten(1), step.fake().flatten(1)
        between = transport(real, fake, self.epsilon, self.iterations)
        within = transport(real, real, self.epsilon, self.iterations) + transport(fake, fake, self.epsilon, self.iterations)
        return {"sinkhorn": between - within / 2}


@settings
class SinkhornLoss:
    """The Sinkhorn divergence of squared distances. Take the critic out of the recipe."""

    epsilon: float = key(0.1, "of the entropy", gt=0)
    iterations: int = key(50, "of Sinkhorn's algorithm", ge=1)

    @hookimpl
    def loss(self):
        return Sinkhorn(self.epsilon, self.iterations)


@hookimpl
def register(offer):
    offer("loss", "sinkhorn", SinkhornLoss)
