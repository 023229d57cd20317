"""The catalogue: every installed plugin and what a recipe can name of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ganflow.errors import GanflowError, did_you_mean, origin
from ganflow.synonyms import hint

BUILT_IN = "ganflow"
"""The distribution whose components have their plain names to themselves."""


class UnknownComponent(GanflowError):
    """Name of a component that is not installed, or that more than one plugin offers."""


@dataclass(frozen=True)
class Component:
    """A settings class that recipes can name, offered by a plugin under a role and a name."""

    role: str
    name: str
    plugin: str
    settings: type
    distribution: str = ""
    version: str = ""

    @property
    def built_in(self) -> bool:
        """Return whether it comes with ganflow itself."""
        return self.distribution.lower() == BUILT_IN

    @property
    def qualified(self) -> str:
        """The name that means this component and no other: "wgan/weight_clip"."""
        return f"{self.plugin}/{self.name}"

    def __str__(self) -> str:
        return f"{self.role} '{self.qualified}' ({origin(self.distribution, self.version)})"


@dataclass(frozen=True)
class Plugin:
    """One entry point of the group "ganflow".

    Attributes:
        name: the entry point's name.
        module: the module it names, "" where two distributions claim the name.
        error: why it cannot be used, in one sentence that names it; None where it can.
        doc: the first line of the module's docstring.
    """

    name: str
    module: str
    distribution: str
    version: str
    error: str | None = None
    offers: tuple[Component, ...] = ()
    doc: str = ""

    @property
    def built_in(self) -> bool:
        """Return whether it comes with ganflow itself."""
        return self.distribution.lower() == BUILT_IN

    def __str__(self) -> str:
        return f"plugin '{self.name}' ({origin(self.distribution, self.version)})"


@dataclass
class Chosen:
    """A component together with the values that a recipe gave its keys.

    Attributes:
        settings: an instance of `component.settings`.
    """

    component: Component
    settings: Any


@dataclass
class Catalogue:
    """Every installed plugin, by name; also those that are broken."""

    plugins: list[Plugin]

    @property
    def broken(self) -> list[Plugin]:
        """The plugins that cannot be used."""
        return [plugin for plugin in self.plugins if plugin.error]

    def components(self) -> Iterator[Component]:
        """Every component of every plugin."""
        for plugin in self.plugins:
            yield from plugin.offers

    def names(self, role: str) -> list[str]:
        """The names for a role in recipes, sorted; "plugin/name" where the plain one does not mean the component."""
        offered = [c for c in self.components() if c.role == role]
        times = Counter(c.name for c in offered)
        return sorted(c.name if c.built_in or times[c.name] == 1 else c.qualified for c in offered)

    def shortest(self, component: Component) -> str:
        """The plain name where that means the component, "plugin/name" otherwise."""
        return component.name if component.built_in or not self.rivals(component) else component.qualified

    def rivals(self, component: Component) -> list[Component]:
        """The other components of its role and name."""
        return [c for c in self.components() if (c.role, c.name) == (component.role, component.name) and c != component]

    def find(self, role: str, name: str) -> Component:
        """The component that `name` ("patch" or "acme/patch") means for this role; a plain name means the built-in one first.

        Raises:
            UnknownComponent: nobody offers it, or several plugins do and the name does not say which.
        """
        offered = [c for c in self.components() if c.role == role and name in (c.name, c.qualified)]
        found = [c for c in offered if c.built_in and c.name == name] or offered
        if len(found) > 1:
            ways = " or ".join(c.qualified for c in found)
            raise UnknownComponent(f"{role} '{name}' is offered by {len(found)} plugins; write {ways}")
        if not found:
            raise UnknownComponent(self._unknown(role, name))
        return found[0]

    def _unknown(self, role: str, name: str) -> str:
        """The reason why nothing is found: the plugin is not there or is broken, the name is misspelt or another role's."""
        plugin, _, plain = name.rpartition("/")
        if plugin:
            named = [p for p in self.plugins if p.name == plugin]
            if not named:
                there = ", ".join(p.name for p in self.plugins) or "none"
                guess = did_you_mean(plugin, (p.name for p in self.plugins))
                return f"unknown {role} '{name}': no plugin '{plugin}'{guess} (installed plugins: {there})"
            if named[0].error:
                return f"unknown {role} '{name}': {named[0].error}"
        names = self.names(role)
        offered = [c.qualified for c in self.components() if c.role == role] if plugin else names
        roles = sorted({c.role for c in self.components() if c.name == plain and plugin in ("", c.plugin)})
        meant = f"; that is the name of a {' and a '.join(roles)}" if roles else hint(name, offered, role=role)
        text = f"unknown {role} '{name}'{meant} (installed: {', '.join(names) or 'none'})"
        if self.broken and not plugin:
            text += f"; perhaps it belongs to a plugin that is broken: {'; '.join(str(p.error) for p in self.broken)}"
        return text

    def by_module(self, module: str) -> Plugin | None:
        """The plugin that a module belongs to, by its full name or its top-level package alone; None for other code."""
        top = module.partition(".")[0]
        named = [p for p in self.plugins if p.module and p.module.partition(".")[0] == top]
        # Plugins may share a namespace package: the one whose module holds this one goes first.
        holding = [p for p in named if f"{module}.".startswith(f"{p.module}.")]
        return max(holding, key=lambda p: len(p.module)) if holding else next(iter(named), None)


def versions(chosen: Iterable[Chosen]) -> dict[str, dict[str, str]]:
    """The plugins of the components: name → {"distribution": …, "version": …}, sorted by name."""
    components = {c.component.plugin: c.component for c in chosen}
    return {name: {"distribution": c.distribution, "version": c.version} for name, c in sorted(components.items())}
