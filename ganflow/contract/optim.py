"""The base class of optimizers that treat every number alone: updates of one flat tensor, which a compiled round can follow."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

PIECE = 2**17
"""Numbers that are updated at a time: what an update reads and makes of more would not stay in a core's cache, and be three
times as slow."""


class Elementwise(torch.optim.Optimizer):
    """Base class of updates of each number from its gradient and state alone, as Adam's and most others' are.

    A subclass writes the formula, `update`, and names the tensors that it keeps, `state_names`:

        class Momentum(ganflow.Elementwise):
            def state_names(self):
                return ("velocity",)

            def update(self, p, grad, state, rule):
                state["velocity"].mul_(rule["momentum"]).add_(grad)
                p.sub_(state["velocity"] * rule["lr"])

        @settings
        class MyMomentum:
            elementwise: ClassVar[bool] = True  # then the parameters come as one flat tensor
            lr: float = key(0.01, "learning rate", ge=0)
            momentum: float = key(0.9, "momentum of the gradient", ge=0, lt=1)

            @hookimpl
            def optimizer(self, parameters):
                return Momentum(parameters, lr=self.lr, momentum=self.momentum)

    Checkpoints, schedules, compiled rounds and packed trials then work. Any other torch.optim.Optimizer may be returned as well;
    its rounds are played eagerly, and `elementwise` is left out where an update looks at more than one number (a norm, a matrix).

    What an `update` may not do:

    - look at more than one number at a time (means, norms, shapes): `p` is whatever the flat tensor holds, or a piece of it;
    - keep state anywhere but in `state`, put further tensors there, or replace one: it writes in place;
    - read a value out of a tensor (`.item()`, `if rate > 0`). The learning rate is a float, or, once `traceable` was called, a
      0-dim tensor, and so may any other number of the rule be: so packed trials, which differ in them, share one step;
    - draw random numbers that are not torch's.

    Why not torch.optim's own: their constructor imports torch._dynamo (1 s at every start), their step wraps itself in a profiler
    record, and their learning rate and step count are Python numbers, which a traced round would freeze.

    Args:
        parameters: tensors to update.
        rule: the defaults of the parameter group, lr among them; `update` gets them.

    Attributes:
        counts: whether the formula reads state["step"], how many steps were made, the one in hand included: a 0-dim float64
            tensor.
    """

    counts = False

    def __init__(self, parameters: list[nn.Parameter], **rule: Any) -> None:
        super().__init__(parameters, rule)
        for p in self._parameters():
            self.state[p] = {name: torch.zeros_like(p, requires_grad=False) for name in self.state_names()}
            self.state[p]["step"] = torch.zeros((), dtype=torch.float64)

    def state_names(self) -> tuple[str, ...]:
        """The tensors that go with each parameter, in its shape; zeros at first. `self.defaults` has the rule."""
        return ()

    def update(self, p: Tensor, grad: Tensor, state: dict[str, Tensor], rule: dict[str, Any]) -> None:
        """Change `p`, and its tensors in `state`, by the formula. `grad` is not written."""
        raise NotImplementedError(f"{type(self).__name__} needs an update(p, grad, state, rule)")

    def update_large(self, p: Tensor, grad: Tensor, state: dict[str, Tensor], rule: dict[str, Any]) -> None:
        """The same for more numbers than a core's cache holds, on a CPU."""
        names = self.state_names()
        lines = [t.view(-1).split(PIECE) for t in (p, grad.contiguous(), *(state[name] for name in names))]
        for piece, part, *rest in zip(*lines, strict=True):
            self.update(piece, part, {**dict(zip(names, rest, strict=True)), "step": state["step"]}, rule)

    def traceable(self) -> None:
        """Turn what changes between steps into tensors, so that a traced step can be played again."""
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["step"] = self.state[p]["step"].to(p.device)
                group["lr"] = torch.as_tensor(group["lr"], dtype=p.dtype, device=p.device).clone()

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
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

    def add_param_group(self, param_group: dict[str, Any]) -> None:  # torch's own imports torch._dynamo
        self.param_groups.append({**self.defaults, **param_group, "params": list(param_group["params"])})

    def state_dict(self) -> dict[str, Any]:  # torch's own imports torch._dynamo
        rules = [{k: v for k, v in group.items() if k != "params"} for group in self.param_groups]
        return {"state": {i: dict(self.state[p]) for i, p in enumerate(self._parameters())}, "rules": rules}

    @torch.no_grad()
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load values into the tensors there are, which a traced round knows."""
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
