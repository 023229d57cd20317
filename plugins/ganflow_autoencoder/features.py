"""What a critic sees inside, on the way to its score."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ganflow.errors import GanflowError


def find_layer(critic: nn.Module, name: str) -> nn.Module:
    """The critic's module of this name; for '' the last one that has weights of its own, in the order they were made.

    Raises:
        GanflowError: there is none.
    """
    modules = {key: module for key, module in critic.named_modules() if key and "parametrizations" not in key.split(".")}
    if name:
        if name not in modules:
            raise GanflowError(f"loss.layer: the critic has no module '{name}' (modules: {', '.join(modules)})")
        return modules[name]
    weighted = [module for module in modules.values() if _is_leaf(module) and any(True for _ in module.parameters())]
    if not weighted:
        raise GanflowError("loss.layer: the critic has no modules with weights; name one whose output is to be compared")
    return weighted[-1]


def inner_features(critic: nn.Module, x: Tensor, layer: str) -> Tensor:
    """What the module `layer` gives, or for '' what the last layer with weights is given, on the way to the scores of
    examples x (n, *shape): shape (n, features), in single precision where the critic runs in half."""
    module, seen = find_layer(critic, layer), []

    def before(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        seen.append(inputs[0])

    def after(_: nn.Module, __: tuple[Any, ...], output: Any) -> None:
        seen.append(output)

    handle = module.register_forward_hook(after) if layer else module.register_forward_pre_hook(before)
    try:
        critic(x)
    finally:
        handle.remove()
    features: Tensor = seen[-1].flatten(1)
    return features.float() if features.dtype in (torch.bfloat16, torch.float16) else features


def _is_leaf(module: nn.Module) -> bool:
    """Whether it has no parts; a parametrization, as of spectral norm, is none."""
    return all(name == "parametrizations" for name, _ in module.named_children())
