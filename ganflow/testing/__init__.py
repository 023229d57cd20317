"""Checks that a plugin's author can run: does everything that my plugin offers keep the contract?

    # tests/test_acme.py of the package gf-acme, which is installed
    import pytest
    from ganflow.testing import check_component, components

    @pytest.mark.parametrize("component", components("acme"), ids=str)
    def test_component(component):
        check_component(component)

A check that fails raises AssertionError with one sentence, whatever the component's code raised. What keeps rounds from being
compiled is no failure: it is a warning, `RunsEagerly`. `ganflow plugins test acme` does the same for
what is installed; nothing else in ganflow imports this package.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ganflow.errors import PluginError
from ganflow.plugins import Component, Plugin, UnknownComponent, load_catalogue, load_module
from ganflow.testing.partners import Partner, RunsEagerly

if TYPE_CHECKING:
    from ganflow.contract.data import Data

__all__ = ["Partner", "RunsEagerly", "check_component", "check_plugin", "components"]


def components(plugin: str | ModuleType) -> list[Component]:
    """The components that a plugin offers.

    Args:
        plugin: the name of an installed plugin, or a module that need not be installed.

    Raises:
        PluginError: the plugin is broken; says why.
        UnknownComponent: no plugin of this name is installed.
    """
    found = _find(plugin) if isinstance(plugin, str) else load_module(plugin, plugin.__name__.rpartition(".")[2])
    if found.error:
        raise PluginError(found.error)
    return list(found.offers)


def _find(name: str) -> Plugin:
    installed = {plugin.name: plugin for plugin in reversed(load_catalogue().plugins)}  # of one name, the first is the one loaded
    if name not in installed:
        raise UnknownComponent(f"no plugin '{name}' is installed (installed: {', '.join(sorted(installed))})")
    return installed[name]


def check_plugin(plugin: str | ModuleType) -> None:
    """`check_component` for every component of a plugin, with default values: for plugins whose keys all have one."""
    for component in components(plugin):
        check_component(component)


def check_component(
    component: Component, data: Data | None = None, partners: Mapping[str, Partner] | None = None, **values: Any
) -> None:
    """Build a component, through the modifier machinery as a run does, and try what it built in small games.

    Args:
        component: of `components(…)`.
        data: what the game is about, with 8 held-out examples or more. By default each of: points in the plane, images
            (1, 32, 32), the same with classes (condition `label`), images (3, 32, 32) with captions (condition `text`), in
            pairs (condition `source`), in two domains. It must accept one of them at least, and may refuse the others with
            a GanflowError.
        partners: role → the component that plays beside it; a small stand-in where none is named. A loss of variational
            autoencoders wants partners={"generator": (vae, {"width": 4})}, and such a generator its loss.
        values: of its keys, where the defaults will not do: required ones, smaller networks.

    Raises:
        AssertionError: it is not documented, or what it builds does not keep the contract (ganflow.contract.hooks).
    """
    from ganflow.testing.checks import check

    check(component, data, dict(partners or {}), values)
