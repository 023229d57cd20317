"""Advice in two forms: as it is typed for the command line, and as it is written in Python.

An exception's text is Python's, which prints it; where a command ends with one, `ganflow.cli.main` prints `in_shell` of it.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from typing import Any

_WORD = re.compile(r"[\w./][\w./-]*")
_OTHER = re.compile(r"null|true|false|yes|no|on|off|[-+]?[\d_]*\.?[\d_]*(e[-+]?\d+)?|\.inf|\.nan", re.IGNORECASE)
"""Words that YAML does not take for text."""


class Advised(str):
    """A text in Python's form, with the command line's beside it. Sums with other texts have both forms; an f-string has Python's
    alone."""

    in_shell: str

    def __new__(cls, text: str, shell: str) -> Advised:
        advised = super().__new__(cls, text)
        advised.in_shell = shell
        return advised

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        return str(self), self.in_shell

    def __add__(self, other: str) -> Advised:
        return Advised(str(self) + str(other), self.in_shell + in_shell(other))

    def __radd__(self, other: str) -> Advised:
        return Advised(str(other) + str(self), in_shell(other) + self.in_shell)


def in_shell(text: str) -> str:
    """A text in the command line's form; itself where it has but one."""
    return text.in_shell if isinstance(text, Advised) else text


def in_each_form(text: str, change: Callable[[str], str]) -> str:
    """A text that is changed, in both forms where it has two."""
    return Advised(change(str(text)), change(text.in_shell)) if isinstance(text, Advised) else change(text)


def joined(separator: str, texts: Iterable[str]) -> Advised:
    """Texts with a separator between them, in both forms."""
    listed = list(texts)
    return Advised(separator.join(map(str, listed)), separator.join(map(in_shell, listed)))


def command(typed: str) -> Advised:
    """A command, or the call that does the same in Python where there is one."""
    call = _call(shlex.split(typed))
    return Advised(call, typed) if call else in_a_shell(typed)


def in_a_shell(typed: str) -> Advised:
    """A command that no call does the work of."""
    return Advised(f"in a shell: {typed}", typed)


def see(typed: str, what: str = "") -> Advised:
    """A command in brackets, and what it does."""
    return " (" + command(typed) + f"{what})"


def option(name: str) -> Advised:
    """An option of a command, which is an argument in Python: --runs, runs=…"""
    return Advised(f"{name.removeprefix('--').replace('-', '_')}=…", name)


def change(override: str) -> Advised:
    """A change to a recipe: 'metrics=[emd]', {"metrics": ["emd"]}."""
    return Advised(_changes([override]), shlex.quote(override))


def _call(words: Sequence[str]) -> str:
    match words:
        case ["ganflow", "run", "--resume", name, *changes]:
            function, first = "resume", name
        case ["ganflow", "run", name, *changes]:
            function, first = "run", name
        case ["ganflow", "tune", "--resume", name, *changes]:
            function, first = "resume_sweep", name
        case ["ganflow", "tune", name, *changes]:
            function, first = "sweep", name
        case ["ganflow", "evaluate", name, "--metric", metric] if not metric.startswith("-"):
            return f"ganflow.load({_text(name)}).evaluate({_text(metric)})"
        case _:
            return ""
    if any(word.startswith("-") for word in (first, *changes)):
        return ""
    return f"ganflow.{function}({_text(first)}{', ' * bool(changes)}{_changes(changes)})"


def _changes(overrides: Sequence[str]) -> str:
    """Overrides as a mapping; as the texts they are where a value is neither JSON's nor plain words, or a key is there twice."""
    if not overrides:
        return ""
    pairs = [override.partition("=") for override in overrides]
    values = [_value(value) if equals else "None" for _, equals, value in pairs]
    if None in values or len({key for key, _, _ in pairs}) < len(pairs):
        return f"[{', '.join(map(_text, overrides))}]"
    return f"{{{', '.join(f'{_text(key)}: {value}' for (key, _, _), value in zip(pairs, values, strict=True))}}}"


def _value(text: str) -> str | None:
    """A value of YAML as Python has it; None where it is not simple."""
    if _WORD.fullmatch(text) and not _OTHER.fullmatch(text):
        return _text(text)
    if text.startswith("[") and text.endswith("]"):
        items = [_value(item.strip()) for item in text[1:-1].split(",") if text != "[]"]
        return None if None in items else f"[{', '.join(map(str, items))}]"
    try:
        value: Any = json.loads(text)
    except ValueError:
        return None
    return repr(value) if isinstance(value, (bool, int, float)) or value is None else None


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
