"""The components of one run, put together: a pluggy manager that holds them and nothing else."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any

from pluggy import HookimplOpts, PluginManager

from ganflow.contract.hooks import EVENTS, Builders, Events, Hook, arguments_of, hooks_of
from ganflow.errors import GanflowError, KeyTaken, PluginError
from ganflow.plugins.catalogue import Chosen


class _Member:
    """One chosen component as pluggy sees it: attributes named like the hooks, bound to the settings.

    The settings themselves will not do: pluggy compares and hashes what it holds, and two equal settings (the same
    modifier twice, say) are still two.
    """

    def __init__(self, chosen: Chosen) -> None:
        self.chosen = chosen
        self.hooks = {hook.name: hook for hook in hooks_of(type(chosen.settings))}
        for name, hook in self.hooks.items():
            method = getattr(chosen.settings, hook.attribute)
            vars(self)[name] = method if name in EVENTS else _checked(hook, method, chosen)


class _Manager(PluginManager):
    """Reads hook options from the members, wherever they are on the settings class (on a class method's wrapper, say)."""

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> HookimplOpts | None:
        hook: Hook | None = plugin.hooks.get(name)
        return hook.options if hook else None


class Composition:
    """The components of a recipe, ready to be built.

    Args:
        components: by slot: "data", "prior", "generator", "critic", "loss", "optimizer.generator", "optimizer.generator.mapping",
            "schedule.critic"; a slot's role is its first word.
        modifiers: in the recipe's order, like metrics and trackers: the first is innermost, the last outermost.
        parts: components within others' keys. Whoever holds one calls its builder; its events are called, and what it wraps is
            wrapped, as any other component's.
    """

    def __init__(
        self,
        components: Mapping[str, Chosen],
        modifiers: Iterable[Chosen] = (),
        metrics: Iterable[Chosen] = (),
        parts: Iterable[Chosen] = (),
        trackers: Iterable[Chosen] = (),
    ) -> None:
        self.components = dict(components)
        # One `optimizer:` for both players is one component in two slots: it must not hear events twice.
        shared = {id(chosen.settings): _Member(chosen) for chosen in components.values()}
        self._slots = {slot: shared[id(chosen.settings)] for slot, chosen in components.items()}
        inner = {id(chosen.settings): _Member(chosen) for chosen in parts}
        self._modifiers, self._metrics, self._trackers = ([*map(_Member, many)] for many in (modifiers, metrics, trackers))
        # pluggy calls the last registered first: the last modifier is the outermost wrapper.
        self._members = [*shared.values(), *inner.values(), *self._modifiers, *self._metrics, *self._trackers]
        self._listeners: dict[str, list[Callable[..., None]]] = {}
        self._manager = _Manager("ganflow")
        self._manager.add_hookspecs(Builders)
        self._manager.add_hookspecs(Events)
        for number, member in enumerate(self._members):
            self._manager.register(member, f"{number} {member.chosen.component.qualified}")

    def build(self, role: str, slot: str | None = None, **arguments: Any) -> Any:
        """Call the builder in `slot`, which is called like the role by default, with the wrappers of all modifiers around it.

        Args:
            role: the hook, "critic" or "optimizer", say.
            arguments: all of the hook's, by name.

        Raises:
            PluginError: the builder, or a wrapper around it, returns None.
            KeyError: the recipe has nothing in this slot.
        """
        return self._build(role, self._slots[slot or role], arguments)

    def build_metrics(self, data: Any) -> list[Any]:
        """The metrics, in the recipe's order."""
        return [self._build("metric", member, {"data": data}) for member in self._metrics]

    def build_trackers(self) -> list[Any]:
        """The trackers, in the recipe's order."""
        return [self._build("tracker", member, {}) for member in self._trackers]

    def build_terms(self, **arguments: Any) -> list[tuple[str, Any]]:
        """The terms that the modifiers add to the loss, in the recipe's order, each behind its modifier's name; arguments as of
        the builder `terms`."""
        adding = [m for m in self._members if "terms" in m.hooks]
        return [
            (f"modifier '{member.chosen.component.name}'", self._call("terms", [m for m in adding if m is not member], arguments))
            for member in adding
            if member.chosen.component.role == "modifier"
        ]

    def check_condition(self, condition: tuple[str, ...]) -> None:
        """Check that the hooks of generator and critic name `condition` if the recipe has one.

        Raises:
            GanflowError: one does not.
        """
        for role in ("generator", "critic") if condition else ():
            member = self._slots.get(role)
            if member and "condition" not in [p.name for p in member.hooks[role].parameters]:
                who, listed = f"{role} '{member.chosen.component.name}'", ", ".join(condition)
                advice = f"use another {role}, or 'condition=[]'"
                raise GanflowError(f"condition: {who} takes none, and the recipe's is {listed}; {advice}")

    def _build(self, role: str, member: _Member, arguments: dict[str, Any]) -> Any:
        return self._call(role, [m for m in self._members if m.chosen.component.role == role and m is not member], arguments)

    def _call(self, hook: str, without: list[_Member], arguments: dict[str, Any]) -> Any:
        return self._manager.subset_hook_caller(hook, without)(**arguments)

    def begin(self, game: Any) -> None:
        """Call everything that listens to `game_built`, in the recipe's order.

        Raises:
            PluginError: two components keep their state under one key of `game.extras`.
        """
        users = dict.fromkeys(game.extras, self._slots.get("loss"))  # the game has put its state there
        calls = zip(self._manager.hook.game_built.get_hookimpls(), self.listeners("game_built"), strict=True)
        for impl, listener in calls:
            try:
                listener(game=game)
            except KeyTaken as error:
                first, second = self._where(users[error.key]), self._where(impl.plugin)
                raise PluginError(
                    f"{first} and {second} both keep their state in game.extras['{error.key}'], which has room for one; "
                    "leave one of them out"
                ) from error
            users |= {key: impl.plugin for key in game.extras if key not in users}

    def _where(self, member: Any) -> str:
        """A component in messages, with its section: "modifiers[1], modifier 'regularize/ema' (…)"."""
        sections = {id(m): slot for slot, m in self._slots.items()}
        for name in ("modifiers", "metrics", "trackers"):
            sections |= {id(m): f"{name}[{i}]" for i, m in enumerate(getattr(self, f"_{name}"))}
        section = sections.get(id(member))  # none of a component within another
        return f"{section}, {member.chosen.component}," if section else str(member.chosen.component)

    def listeners(self, event: str) -> list[Callable[..., None]]:
        """The functions that listen to an event, in the recipe's order: components, those within them, modifiers, metrics and
        trackers.

        Each takes all of the event's arguments by name, and passes on those that its implementation asks for. They are
        plain functions with no pluggy in between, so they can be called, and traced, inside a training step.
        """
        if event not in self._listeners:
            found = getattr(self._manager.hook, event).get_hookimpls()
            self._listeners[event] = [_passing(impl.function, impl.argnames, event) for impl in found]
        return self._listeners[event]

    def call(self, event: str, **arguments: Any) -> None:
        """Call everything that listens to an event, outside of a training step; arguments as the event's, by name."""
        for listener in self.listeners(event):
            listener(**arguments)


def _passing(function: Callable[..., Any], names: tuple[str, ...], event: str) -> Callable[..., None]:
    if set(names) == set(arguments_of(event)):
        return function

    def listener(**arguments: Any) -> None:
        function(**{name: arguments[name] for name in names})

    return listener


def _checked(hook: Hook, method: Callable[..., Any], chosen: Chosen) -> Callable[..., Any]:
    """The method, refusing to return None: pluggy would go on and ask another component."""

    def some(made: Any) -> Any:
        if made is None:
            what = "return what `yield` gave, changed or not" if hook.wrapper else f"return the {hook.name}"
            raise PluginError(f"{chosen.component}: its hook '{hook.name}' returned None; it must {what}")
        return made

    @functools.wraps(method)
    def wrap(*arguments: Any) -> Generator[None, Any, Any]:
        return some((yield from method(*arguments)))

    @functools.wraps(method)
    def build(*arguments: Any) -> Any:
        return some(method(*arguments))

    return wrap if hook.wrapper else build
