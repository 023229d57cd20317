"""Settings: the dataclasses behind components. Their fields are the recipe's keys."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from typing import Any, TypeVar, dataclass_transform, get_type_hints

from ganflow.errors import SettingsError

T = TypeVar("T")
_NOTES = "ganflow"  # where `key` keeps its notes in a dataclass field's metadata


@dataclass(frozen=True)
class Notes:
    """Arguments of `key` or `part` besides the default."""

    doc: str = ""
    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None
    role: str | None = None  # a component of this role goes here
    before: Mapping[int, Any] | None = None  # see `key`
    within: Mapping[str, Mapping[str, Any]] | None = None  # see `part`


@dataclass(frozen=True)
class Key:
    """One key of a settings class, for listings and for validation."""

    name: str
    type: Any
    default: Any  # `dataclasses.MISSING` where a value is required
    notes: Notes

    @property
    def required(self) -> bool:
        return self.default is MISSING

    def default_in(self, version: int, within: Mapping[str, Any]) -> Any:
        """The default for recipes of this version, in a component whose defaults are partly `within`'s."""
        for since, value in sorted((self.notes.before or {}).items()):
            if version < since:
                return value
        return within.get(self.name, self.default)

    @property
    def type_name(self) -> str:
        if isinstance(self.type, type) and not hasattr(self.type, "__args__"):
            return self.type.__name__
        return str(self.type).replace("typing.", "").replace("NoneType", "None")


def key(
    default: Any = MISSING,
    doc: str = "",
    *,
    gt: float | None = None,
    ge: float | None = None,
    lt: float | None = None,
    le: float | None = None,
    before: Mapping[int, Any] | None = None,
) -> Any:
    """A field with a line of documentation and, for numbers, its range.

    A plain `width: int = 64` is as good a field; `key` adds what `ganflow plugins` shows and what is checked.
    Mutable defaults (lists, dicts) are copied for every instance.

    Args:
        before: recipe version → the default in recipes of earlier versions. A run's recipe has every key of its time, so a new
            key, or a new default, changes nothing for runs that began without it.
    """
    return _field(default, Notes(doc, gt, ge, lt, le, before=before))


def part(
    role: str,
    default: dict[str, Any] | str | None = None,
    doc: str = "",
    *,
    within: Mapping[str, Mapping[str, Any]] | None = None,
) -> Any:
    """A field that holds another component: `adversarial: {use: hinge}` in a loss, say.

    Args:
        role: what the component is for, e.g. "loss".
        default: the component when the recipe names none: `{"use": "hinge"}`, or just `"hinge"`; None for no component.
        doc: one line of documentation.
        within: "plugin/name" of a component → its keys that have another default here.

    In the recipe the value is a section like any other (`use` and the component's own keys). The builder finds
    the component's settings instance in the field and passes it on:
    `build_part(self.adversarial, "loss", data=data, prior=prior, condition=condition)`.
    """
    return _field({"use": default} if isinstance(default, str) else default, Notes(doc, role=role, within=within))


def _field(default: Any, notes: Notes) -> Any:
    metadata = {_NOTES: notes}
    if isinstance(default, (list, dict)):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


_Check = Callable[[Any], None]
_PENDING: dict[int, list[_Check]] = {}  # checks still to be made of instances in the making, by id


@dataclass_transform(field_specifiers=(key, part, field), kw_only_default=True)
def settings(cls: type[T]) -> type[T]:
    """Make a class a settings class: a keyword-only dataclass that checks its values when it is made.

    Ranges are checked first, then every class's `__post_init__`, in the order of the MRO: the class's and those of the classes
    that it inherits from, each once, whether or not one calls `super().__post_init__()`.

    Raises:
        SettingsError: (on making an instance) a number is not finite or outside the range that `key` gives.
    """
    written: _Check | None = cls.__dict__.get("__post_init__")

    def __post_init__(self: Any) -> None:
        if nested := id(self) in _PENDING:  # a subclass's check calls this one by super()
            pending = _PENDING[id(self)]
        else:
            if problems := [(k.name, text) for k in keys(type(self)) for text in check(k, getattr(self, k.name))]:
                raise SettingsError(problems)
            pending = _PENDING[id(self)] = _checks(type(self))
        try:
            while pending:
                pending.pop(0)(self)
        finally:
            if not nested:
                del _PENDING[id(self)]

    vars(__post_init__)[_NOTES] = written
    cls.__post_init__ = __post_init__  # type: ignore[attr-defined]
    return dataclass(kw_only=True)(cls)


def _checks(cls: type) -> list[_Check]:
    """The `__post_init__` of a class and of those that it inherits from. One of a class that is no settings class is left out
    where a class before it calls `super().__post_init__()`, which is that one."""
    found: list[_Check] = []
    calls_super = False
    for base in cls.__mro__:
        made = base.__dict__.get("__post_init__")
        of_settings = _NOTES in getattr(made, "__dict__", {})
        written: _Check | None = vars(made)[_NOTES] if of_settings else made
        if written is not None and written not in found and (of_settings or not calls_super):
            found.append(written)
            calls_super = calls_super or "__post_init__" in getattr(getattr(written, "__code__", None), "co_names", ())
    return found


def is_settings(cls: Any) -> bool:
    """Return whether `cls` can be offered as a component: a dataclass (made by `settings`, or any other)."""
    return isinstance(cls, type) and is_dataclass(cls)


def keys(cls: type) -> list[Key]:
    """The keys of a settings class in the order they are written."""
    hints = get_type_hints(cls)
    defaults = {f.name: f.default if f.default_factory is MISSING else f.default_factory() for f in fields(cls)}
    return [Key(f.name, hints[f.name], defaults[f.name], f.metadata.get(_NOTES, Notes())) for f in fields(cls) if f.init]


def check(key: Key, value: Any) -> Iterator[str]:
    """Problems of `value` as this key's: not finite, or out of range. Lists are checked item by item."""
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from check(key, item)
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    n, shown = key.notes, f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, float) and not math.isfinite(value):
        yield f"{value} is not a finite number"
    elif n.gt is not None and not value > n.gt:
        yield f"{shown} is not above {n.gt:g}"
    elif n.ge is not None and not value >= n.ge:
        yield f"{shown} is below {n.ge:g}"
    elif n.lt is not None and not value < n.lt:
        yield f"{shown} is not below {n.lt:g}"
    elif n.le is not None and not value <= n.le:
        yield f"{shown} is above {n.le if isinstance(n.le, int) else f'{n.le:g}'}"


def summary(obj: Any) -> str:
    """The first paragraph of a docstring on one line; '' if there is none."""
    doc = (obj.__doc__ or "").strip()
    if is_settings(obj) and doc.startswith(f"{obj.__name__}("):  # the one that dataclass makes up
        return ""
    return " ".join(doc.split("\n\n")[0].split())
