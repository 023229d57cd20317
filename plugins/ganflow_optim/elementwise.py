"""torch.optim's formulas, in its order of operations, for parameters that are a few flat tensors.

Why not torch.optim itself: its constructor imports torch._dynamo (1 s at every start), its step wraps itself in a
profiler record, and its learning rate and step count are Python numbers, which a traced round would freeze. Here a
learning rate may be a tensor (`traceable()` makes it one), and then nothing in a step is a Python number that changes.
All other numbers of a rule may be 0-dim tensors as well: so packed trials, which differ in them, share one step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

PIECE = 2**17
"""Numbers that are updated at a time: what an update reads and makes of more would not stay in a core's cache, and be three
times as slow."""


class Elementwise(torch.optim.Optimizer):
    """An update of each number from its own gradient and state.

    Args:
        parameters: tensors to update.
        rule: the defaults of the parameter group, lr among them.

    Attributes:
        counts: whether the formula reads how many steps were made, the one in hand included.
    """

    counts = False

    def __init__(self, parameters: list[nn.Parameter], **rule: Any) -> None:
        super().__init__(parameters, rule)
        for p in self._parameters():
            self.state[p] = {name: torch.zeros_like(p, requires_grad=False) for name in self.state_names()}
            self.state[p]["step"] = torch.zeros((), dtype=torch.float64)

    def state_names(self) -> tuple[str, ...]:
        """The tensors that go with each parameter, in its shape."""
        raise NotImplementedError

    def add_param_group(self, param_group: dict[str, Any]) -> None:  # torch's own imports torch._dynamo
        self.param_groups.append({**self.defaults, **param_group, "params": list(param_group["params"])})

    def traceable(self) -> None:
        """Turn what changes between steps into tensors, so that a traced step can be played again."""
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["step"] = self.state[p]["step"].to(p.device)
                group["lr"] = torch.as_tensor(group["lr"], dtype=p.dtype, device=p.device).clone()

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._step(p, p.grad, self.state[p], group)

    step.hooked = True  # type: ignore[attr-defined]  # or torch wraps it in a profiler record

    def _step(self, p: Tensor, grad: Tensor, state: dict[str, Tensor], rule: dict[str, Any]) -> None:
        if self.counts:
            state["step"] += 1
        if p.device.type != "cpu" or p.numel() <= PIECE or not p.is_contiguous() or isinstance(rule["lr"], Tensor):
            self.update(p, grad, state, rule)
        else:
            self.update_large(p, grad, state, rule)

    def update_large(self, p: Tensor, grad: Tensor, state: dict[str, Tensor], rule: dict[str, Any]) -> None:
        """The same for more numbers than a core's cache holds, on a CPU."""
        names = self.state_names()
        lines = [t.view(-1).split(PIECE) for t in (p, grad.contiguous(), *(state[name] for name in names))]
        for piece, part, *rest in zip(*lines, strict=True):
            self.update(piece, part, {**dict(zip(names, rest, strict=True)), "step": state["step"]}, rule)

    def update(self, p: Tensor, grad: Tensor, state: dict[str, Tensor], rule: dict[str, Any]) -> None:
        """The formula, in place."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:  # torch's own imports torch._dynamo
        rules = [{k: v for k, v in group.items() if k != "params"} for group in self.param_groups]
        return {"state": {i: dict(self.state[p]) for i, p in enumerate(self._parameters())}, "rules": rules}

    @torch.no_grad()
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """In place: tensors that a traced round knows stay the same tensors."""
        for i, p in enumerate(self._parameters()):
            for name, tensor in self.state[p].items():
                tensor.copy_(state_dict["state"][i][name])
        for group, rule in zip(self.param_groups, state_dict["rules"], strict=True):
            for name, value in rule.items():
                if isinstance(group[name], Tensor):
                    group[name].copy_(torch.as_tensor(value))
                else:
                    group[name] = float(value) if name == "lr" else value

    def _parameters(self) -> list[nn.Parameter]:
        return [p for group in self.param_groups for p in group["params"]]


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


def given(number: float | Tensor) -> bool:
    """Whether a number has an effect: not zero, or a tensor, whose value must not be looked at."""
    return isinstance(number, Tensor) or number != 0


def decayed(grad: Tensor, p: Tensor, decay: float | Tensor) -> Tensor:
    """grad + decay · p."""
    if not given(decay):
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
        return ("square", "momentum") if given(self.defaults["momentum"]) else ("square",)

    def update(self, p: Tensor, grad: Tensor, state: dict[str, Tensor], rule: dict[str, Any]) -> None:
        grad = decayed(grad, p, rule["weight_decay"])
        follow_square(state["square"], grad, rule["alpha"])
        root = state["square"].sqrt().add_(rule["eps"])
        if given(rule["momentum"]):
            state["momentum"].mul_(rule["momentum"]).addcdiv_(grad, root)
            descend(p, state["momentum"], rule["lr"])
        else:
            descend_ratio(p, grad, root, rule["lr"])


class SGD(Elementwise):
    def state_names(self) -> tuple[str, ...]:
        return ("momentum",) if given(self.defaults["momentum"]) else ()

    def update(self, p: Tensor, grad: Tensor, state: dict[str, Tensor], rule: dict[str, Any]) -> None:
        grad = decayed(grad, p, rule["weight_decay"])
        if given(rule["momentum"]):
            state["momentum"].mul_(rule["momentum"]).add_(grad)
            grad = decayed(grad, state["momentum"], rule["momentum"]) if rule["nesterov"] else state["momentum"]
        descend(p, grad, rule["lr"])
