"""The hooks of a settings class: its methods that are marked with `@hookimpl`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from ganflow.hookspecs import spec_of

MARK = "ganflow_impl"  # where pluggy's marker for the project "ganflow" leaves its options


@dataclass(frozen=True)
class Hook:
    """One marked method.

    Attributes:
        attribute: the method's name.
        name: the hook that it implements: the method's name, unless the mark says `specname`.
        function: the plain function.
        options: the mark's.
        bound: whether the first argument is the instance or the class.
    """

    attribute: str
    name: str
    function: Callable[..., Any]
    options: dict[str, Any]
    bound: bool = True

    @property
    def wrapper(self) -> bool:
        return bool(self.options.get("wrapper"))

    @property
    def parameters(self) -> list[inspect.Parameter]:
        """All of the function's, `self` included."""
        return list(inspect.signature(self.function).parameters.values())


def arguments_of(hook: str) -> list[str]:
    """The arguments that a hook is called with, as the contract has them."""
    return list(inspect.signature(spec_of(hook)).parameters)[1:]


def marked(value: Any) -> dict[str, Any] | None:
    """The options of a mark on a function, or on the static or class method around it; None where there is none."""
    for holder in (value, getattr(value, "__func__", None)):
        options = getattr(holder, MARK, None)
        if isinstance(options, dict):
            return options
    return None


def hooks_of(cls: type) -> list[Hook]:
    """The marked methods of a class, inherited ones included, by name. Nothing of the class is run."""
    found = []
    for attribute in dir(cls):
        value = inspect.getattr_static(cls, attribute)
        if not isinstance(value, (FunctionType, staticmethod, classmethod)):
            continue
        options = marked(value)
        if options is not None:
            function = value if isinstance(value, FunctionType) else value.__func__
            name = options.get("specname") or attribute
            found.append(Hook(attribute, name, function, options, not isinstance(value, staticmethod)))
    return found


def build_part(settings: Any, role: str, **arguments: Any) -> Any:
    """What a component within another's key builds: `build_part(self.adversarial, "loss", data=data)`.

    Args:
        settings: the component's, as the key holds them.
        role: of the component; its hook.
        arguments: of the hook, of which it gets those that it names.
    """
    hook = next(hook for hook in hooks_of(type(settings)) if hook.name == role and not hook.wrapper)
    named = [parameter.name for parameter in hook.parameters]
    return getattr(settings, hook.attribute)(**{name: value for name, value in arguments.items() if name in named})
