"""What a critic sees inside, on the way to its score."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ganflow import GanflowError


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


def inner_features(critic: nn.Module, x: Tensor, layer: str, augmented: bool = False) -> Tensor:
    """What the module `layer` gives, or for '' what the last layer with weights is given, on the way to the scores of
    examples x (n, *shape): shape (n, features), in single precision where the critic runs in half.

    Args:
        augmented: see x as the critic does, with whatever is put in front of it (hooks on the critic itself: diffaugment).
    """
    module, seen = find_layer(critic, layer), []

    def before(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        seen.append(inputs[0])

    def after(_: nn.Module, __: tuple[Any, ...], output: Any) -> None:
        seen.append(output)

    handle = module.register_forward_hook(after) if layer else module.register_forward_pre_hook(before)
    try:
        (critic if augmented else critic.forward)(x)
    finally:
        handle.remove()
    features: Tensor = seen[-1].flatten(1)
    return features.float() if features.dtype in (torch.bfloat16, torch.float16) else features


def is_random(critic: nn.Module, x: Tensor, layer: str) -> bool:
    """Whether in training the features of the same examples x (n, *shape) differ from one pass to the next, as under dropout.
    The critic and torch's random numbers are left as they were."""
    buffers = [(b, b.clone()) for b in critic.buffers()]
    seen = []
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        for seed in (0, 1):
            torch.manual_seed(seed)
            seen.append(inner_features(critic, x, layer))
            for buffer, before in buffers:  # a power iteration, or running statistics
                buffer.copy_(before)
    return not torch.equal(*seen)


def _is_leaf(module: nn.Module) -> bool:
    """Whether it has no parts; a parametrization, as of spectral norm, is none."""
    return all(name == "parametrizations" for name, _ in module.named_children())
