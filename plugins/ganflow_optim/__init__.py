"""Optimizers and learning-rate schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ganflow import hookimpl, key, settings

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

GANFLOW_CONTRACT = 2


@settings
class Adam:
    """Adam (Kingma & Ba 2015). The defaults are DCGAN's: lr 2e-4, betas (0.5, 0.999)."""

    elementwise: ClassVar[bool] = True
    lr: float = key(2e-4, "learning rate", ge=0)
    beta1: float = key(0.5, "decay of the mean of gradients", ge=0, lt=1)
    beta2: float = key(0.999, "decay of the mean of squared gradients", ge=0, lt=1)
    eps: float = key(1e-8, "added to the denominator", gt=0)
    weight_decay: float = key(0.0, "L2 penalty, added to the gradient", ge=0)

    @hookimpl
    def optimizer(self, parameters, player) -> torch.optim.Optimizer:
        from ganflow_optim.elementwise import Adam as FlatAdam

        return FlatAdam(parameters, lr=self.lr, betas=(self.beta1, self.beta2), eps=self.eps, weight_decay=self.weight_decay)


@settings
class AdamW:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    elementwise: ClassVar[bool] = True
    lr: float = key(2e-4, "learning rate", ge=0)
    beta1: float = key(0.5, "decay of the mean of gradients", ge=0, lt=1)
    beta2: float = key(0.999, "decay of the mean of squared gradients", ge=0, lt=1)
    eps: float = key(1e-8, "added to the denominator", gt=0)
    weight_decay: float = key(0.01, "share of the weights taken off per step, times lr", ge=0)

    @hookimpl
    def optimizer(self, parameters, player) -> torch.optim.Optimizer:
        from ganflow_optim.elementwise import AdamW as FlatAdamW

        return FlatAdamW(parameters, lr=self.lr, betas=(self.beta1, self.beta2), eps=self.eps, weight_decay=self.weight_decay)


@settings
class RMSProp:
    """RMSProp (Hinton, lecture 6e), WGAN's optimizer. The default rate is the WGAN paper's 5e-5."""

    elementwise: ClassVar[bool] = True
    lr: float = key(5e-5, "learning rate", ge=0)
    alpha: float = key(0.99, "decay of the mean of squared gradients", ge=0, lt=1)
    eps: float = key(1e-8, "added to the denominator", gt=0)
    momentum: float = key(0.0, "momentum of the update", ge=0, lt=1)
    weight_decay: float = key(0.0, "L2 penalty, added to the gradient", ge=0)

    @hookimpl
    def optimizer(self, parameters, player) -> torch.optim.Optimizer:
        from ganflow_optim.elementwise import RMSProp as FlatRMSProp

        return FlatRMSProp(
            parameters, lr=self.lr, alpha=self.alpha, eps=self.eps, momentum=self.momentum, weight_decay=self.weight_decay
        )


@settings
class SGD:
    """Stochastic gradient descent, with momentum if asked."""

    elementwise: ClassVar[bool] = True
    lr: float = key(0.01, "learning rate", ge=0)
    momentum: float = key(0.0, "momentum of the gradient", ge=0, lt=1)
    nesterov: bool = key(False, "look ahead along the momentum")
    weight_decay: float = key(0.0, "L2 penalty, added to the gradient", ge=0)

    def __post_init__(self) -> None:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs momentum above 0")

    @hookimpl
    def optimizer(self, parameters, player) -> torch.optim.Optimizer:
        from ganflow_optim.elementwise import SGD as FlatSGD

        return FlatSGD(parameters, lr=self.lr, momentum=self.momentum, nesterov=self.nesterov, weight_decay=self.weight_decay)


@settings
class Constant:
    """The learning rate as it is."""

    @hookimpl
    def schedule(self, rounds) -> Callable[[int], float]:
        return lambda round: 1.0


@settings
class LinearDecay:
    """Constant, then a straight line to zero at the end: pix2pix's and CycleGAN's 100 + 100 epochs with start 0.5."""

    start: float = key(0.5, "share of the rounds before the decay starts", ge=0, lt=1)
    final: float = key(0.0, "factor reached at the end", ge=0, le=1)

    @hookimpl
    def schedule(self, rounds) -> Callable[[int], float]:
        first = self.start * rounds

        def factor(round: int) -> float:
            done = max(0.0, (round - first) / (rounds - first))
            return 1 - (1 - self.final) * done

        return factor


@settings
class Cosine:
    """Half a cosine from 1 to `final` (Loshchilov & Hutter 2017), after an optional linear warm-up."""

    final: float = key(0.0, "factor reached at the end", ge=0, le=1)
    warmup: float = key(0.0, "share of the rounds in which the rate rises from zero", ge=0, lt=1)

    @hookimpl
    def schedule(self, rounds) -> Callable[[int], float]:
        import math

        first = self.warmup * rounds

        def factor(round: int) -> float:
            if round < first:
                return (round + 1) / (first + 1)
            done = (round - first) / (rounds - first)
            return self.final + (1 - self.final) * (1 + math.cos(math.pi * done)) / 2

        return factor


@settings
class Step:
    """Times `factor` every so many rounds, as StackGAN's halving."""

    every: int = key(1000, "rounds between drops", ge=1)
    factor: float = key(0.5, "what a drop multiplies the rate with", gt=0, le=1)

    @hookimpl
    def schedule(self, rounds) -> Callable[[int], float]:
        return lambda round: float(self.factor ** (round // self.every))


@hookimpl
def register(offer):
    for name, optimizer in {"adam": Adam, "adamw": AdamW, "rmsprop": RMSProp, "sgd": SGD}.items():
        offer("optimizer", name, optimizer)
    for name, schedule in {"constant": Constant, "linear_decay": LinearDecay, "cosine": Cosine, "step": Step}.items():
        offer("schedule", name, schedule)
