"""Modules of a critic by name."""

from __future__ import annotations

from torch import nn

from ganflow.errors import GanflowError
from ganflow.plugins.wording import did_you_mean


def find_layer(critic: nn.Module, name: str) -> nn.Module:
    """The critic's module of this name; for '' the last one that has weights of its own, in the order they were made.

    Raises:
        GanflowError: there is none.
    """
    modules: dict[str, nn.Module] = {
        key: module for key, module in critic.named_modules() if key and "parametrizations" not in key.split(".")
    }
    if name:
        if name not in modules:
            there = ", ".join(modules)
            raise GanflowError(f"loss.layer: the critic has no module '{name}'{did_you_mean(name, modules)} (modules: {there})")
        return modules[name]
    weighted = [module for module in modules.values() if _is_leaf(module) and any(True for _ in module.parameters())]
    if not weighted:
        raise GanflowError("loss.layer: the critic has no modules with weights; name one whose output is to be compared")
    return weighted[-1]


def _is_leaf(module: nn.Module) -> bool:
    """Whether it has no parts; a parametrization, as of spectral norm, is none."""
    return all(name == "parametrizations" for name, _ in module.named_children())
