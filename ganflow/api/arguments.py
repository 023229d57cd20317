"""Checks of the arguments of functions for Python, before anything is done, with messages in Python's words."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction, isroutine, signature
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

from ganflow.errors import GanflowError
from ganflow.runs.folders import default_root


class InFolder(Protocol):
    """A run or a sweep that was opened: `TrainedRun`, `Sweep`, `RunFolder`."""

    @property
    def path(self) -> Path: ...


Name = str | PathLike[str] | InFolder
"""What names a run or a sweep: its name, its folder, or itself."""
Labels = str | int | Sequence[str | int] | None
Metrics = str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]] | None

MOST = 2**63 - 1


def whole(name: str, value: Any, low: int = 1, high: int = MOST) -> int:
    """A whole number within bounds, numpy's and torch's too.

    Raises:
        GanflowError: it is none.
    """
    try:
        number = low - 1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = low - 1
    if not low <= number <= high:
        to = f"to {high}" if high < MOST else "to below 2^63" if number > high else "on"
        raise GanflowError(f"{name}: a whole number from {low} {to}, not {_shown(value)}")
    return number


def listed(name: str, value: Any, forms: str) -> list[Any]:
    """The items of a list; what is a text, a number or a mapping alone is a list of one.

    Args:
        forms: of what is wanted, for messages.

    Raises:
        GanflowError: there is none.
    """
    if isinstance(value, (str, Mapping)) or not hasattr(value, "__iter__"):
        return [value]
    try:
        items = list(value)
    except TypeError:  # a tensor of one number
        return [value]
    if not items:
        raise GanflowError(f"{name}: {forms}, or several of them in a list, not {_shown(value)}")
    return items


def labels_of(label: Labels) -> list[str]:
    """Names or numbers of classes, as texts; none for None."""
    found = []
    for each in [] if label is None else listed("label", label, "a class's name or number"):
        try:
            found.append(each if isinstance(each, str) else str(whole("label", each, 0)))
        except GanflowError:
            raise GanflowError(f"label: a class's name or number, not {_shown(each)}") from None
    return found


def metrics_of(metrics: Metrics) -> list[str | Mapping[str, Any]]:
    """Metrics, each by its name or as its section; none for None."""
    forms = 'a name, or a mapping as {"use": "frechet"}'
    found = [] if metrics is None else listed("metrics", metrics, forms)
    for each in found:
        if not isinstance(each, (str, Mapping)):
            raise GanflowError(f"metrics: {forms}, not {_shown(each)}")
    return found


def root_of(runs: Any) -> Path:
    """The folder that runs are kept in; None: where they are by default at this moment."""
    return default_root() if runs is None else path_of("runs", runs)


def path_of(name: str, path: Any) -> Path:
    """A path. Raises GanflowError where it can be none."""
    if not isinstance(path, (str, PathLike)) or "\0" in str(path):
        raise GanflowError(f"{name}: a path is wanted, not {_shown(path)}")
    return Path(path)


def name_of(named: Any, what: str = "run") -> str:
    """The text by which a run or a sweep is found: its folder's path where it was opened already.

    Args:
        what: for messages.

    Raises:
        GanflowError: it is neither of these, nor a text or a path.
    """
    if isinstance(named, (str, PathLike)):
        return str(named)
    if isinstance(path := getattr(named, "path", None), Path):
        return str(path)
    raise GanflowError(f"which {what}? a name, a folder, or a {what} that was opened is wanted, not {_shown(named)}")


def check_recipe(recipe: Any) -> None:
    """Check that something names a recipe, or is the sections of one; raises GanflowError."""
    if not isinstance(recipe, (str, PathLike, Mapping)) or (isinstance(recipe, str) and not recipe.strip()):
        raise GanflowError('recipe: the name of one that comes with ganflow ("wgan"), a file, or a mapping of its sections is '
                           f"wanted, not {_shown(recipe)}")  # fmt: skip


def text_of(name: str, text: Any) -> str:
    """A text. Raises GanflowError where it is none."""
    if not isinstance(text, str):
        raise GanflowError(f"{name}: a text is wanted, not {_shown(text)}")
    return text


def check_callback(name: str, function: Any) -> None:
    """Check that something can be called with a report, where it is there, and does its work when it is; raises GanflowError."""
    wanted = f"{name}: a function that takes a ganflow.Report is wanted"
    if function is not None and not callable(function):
        raise GanflowError(f"{wanted}, not {_shown(function)}")
    called = function if isroutine(function) else getattr(type(function), "__call__", None)  # noqa: B004 - it is looked into
    if any(is_later(called) for is_later in (isasyncgenfunction, iscoroutinefunction, isgeneratorfunction)):
        raise GanflowError(f"{wanted}, and a call of this one makes something that nobody runs: write it without async and yield")
    try:
        parameters = signature(function) if function is not None else None
    except (TypeError, ValueError):  # some that are written in C have none
        return
    try:
        if parameters:
            parameters.bind(None)
    except TypeError:
        raise GanflowError(f"{wanted}, and this one takes {parameters}; write e.g. {name}=lambda report: …") from None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:50]}…"
