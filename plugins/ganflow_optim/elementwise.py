"""torch.optim's formulas, in its order of operations, for parameters that are a few flat tensors: see ganflow.Elementwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ganflow import Elementwise


def descend(p: Tensor, direction: Tensor, rate: float | Tensor) -> None:
    """p ← p − rate · direction."""
    if isinstance(rate, Tensor):
        p.sub_(direction * rate)
    else:
        p.add_(direction, alpha=-rate)


def descend_ratio(p: Tensor, numerator: Tensor, denominator: Tensor, rate: float | Tensor) -> None:
    """p ← p − rate · numerator / denominator."""
    if isinstance(rate, Tensor):
        p.sub_(numerator / denominator * rate)
    else:
        p.addcdiv_(numerator, denominator, value=-rate)


def has_effect(number: float | Tensor) -> bool:
    """True for numbers that are not zero, and for tensors, whose values must not be read in a traced step."""
    return isinstance(number, Tensor) or number != 0


def decayed(grad: Tensor, p: Tensor, decay: float | Tensor) -> Tensor:
    """grad + decay · p."""
    if not has_effect(decay):
        return grad
    return grad + p * decay if isinstance(decay, Tensor) else grad.add(p, alpha=decay)


def follow_square(square: Tensor, grad: Tensor, decay: float | Tensor) -> None:
    """square ← decay · square + (1 − decay) · grad²."""
    if isinstance(decay, Tensor):
        square.mul_(decay).add_(grad * grad * (1 - decay))
    else:
        square.mul_(decay).addcmul_(grad, grad, value=1 - decay)


class Adam(Elementwise):
    counts = True

    def state_names(self) -> tuple[str, ...]:
        return "mean", "square"

    def update(self, p: Tensor, grad: Tensor, state: dict[str, Tensor], rule: dict[str, Any]) -> None:
        grad = decayed(grad, p, rule["weight_decay"])
        beta1, beta2 = rule["betas"]
        step = state["step"] if isinstance(rule["lr"], Tensor) else state["step"].item()
        state["mean"].lerp_(grad, 1 - beta1)
        follow_square(state["square"], grad, beta2)
        rate, root = rule["lr"] / (1 - beta1**step), (1 - beta2**step) ** 0.5
        if isinstance(step, Tensor):
            rate, root = rate.to(p.dtype), root.to(p.dtype)
        descend_ratio(p, state["mean"], (state["square"].sqrt() / root).add_(rule["eps"]), rate)

    def update_large(self, p: Tensor, grad: Tensor, state: dict[str, Tensor], rule: dict[str, Any]) -> None:
        self._fused(torch._fused_adam_, p, grad, state, rule)

    @staticmethod
    def _fused(kernel: Callable[..., None], p: Tensor, grad: Tensor, state: dict[str, Tensor], rule: dict[str, Any]) -> None:
        """torch's kernel for all of it at once: a third of the time again, where memory is what it waits for."""
        beta1, beta2 = rule["betas"]
        kernel(
            [p], [grad], [state["mean"]], [state["square"]], [], [state["step"].float()], lr=rule["lr"], beta1=beta1, beta2=beta2,
            weight_decay=rule["weight_decay"], eps=rule["eps"], amsgrad=False, maximize=False, grad_scale=None, found_inf=None,
        )  # fmt: skip


class AdamW(Adam):
    def update_large(self, p: Tensor, grad: Tensor, state: dict[str, Tensor], rule: dict[str, Any]) -> None:
        self._fused(torch._fused_adamw_, p, grad, state, rule)

    def update(self, p: Tensor, grad: Tensor, state: dict[str, Tensor], rule: dict[str, Any]) -> None:
        p.mul_(1 - rule["lr"] * rule["weight_decay"])
        super().update(p, grad, state, {**rule, "weight_decay": 0})


class RMSProp(Elementwise):
    def state_names(self) -> tuple[str, ...]:
        return ("square", "momentum") if has_effect(self.defaults["momentum"]) else ("square",)

    def update(self, p: Tensor, grad: Tensor, state: dict[str, Tensor], rule: dict[str, Any]) -> None:
        grad = decayed(grad, p, rule["weight_decay"])
        follow_square(state["square"], grad, rule["alpha"])
        root = state["square"].sqrt().add_(rule["eps"])
        if has_effect(rule["momentum"]):
            state["momentum"].mul_(rule["momentum"]).addcdiv_(grad, root)
            descend(p, state["momentum"], rule["lr"])
        else:
            descend_ratio(p, grad, root, rule["lr"])


class SGD(Elementwise):
    def state_names(self) -> tuple[str, ...]:
        return ("momentum",) if has_effect(self.defaults["momentum"]) else ()

    def update(self, p: Tensor, grad: Tensor, state: dict[str, Tensor], rule: dict[str, Any]) -> None:
        grad = decayed(grad, p, rule["weight_decay"])
        if has_effect(rule["momentum"]):
            state["momentum"].mul_(rule["momentum"]).add_(grad)
            grad = decayed(grad, state["momentum"], rule["momentum"]) if rule["nesterov"] else state["momentum"]
        descend(p, grad, rule["lr"])
