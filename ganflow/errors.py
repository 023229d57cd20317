"""Errors that a user can mend: one clear sentence, never a traceback."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NamedTuple
from unicodedata import category

from ganflow.advised import Advised, in_each_form, in_shell, joined
from ganflow.synonyms import near


class GanflowError(Exception):
    """A mistake in the input: says what is wrong, where, and what to do. The command line exits with code 2.

    Its text is one line for each argument, whatever is in them: names of files and values of recipes may be a stranger's, and
    Python, too, prints errors on terminals. Within another sentence (`f"{error}"`) it is one line. It is in Python's form where
    an argument is an `Advised`, for whoever calls ganflow's functions.
    """

    exit_code = 2

    @property
    def lines(self) -> list[str]:
        """Its lines, in both of their forms where they have two."""
        return [in_each_form(line if isinstance(line, str) else str(line), escaped) for line in self.args]

    @property
    def text(self) -> str:
        """Its text in one line, for another sentence, in both of its forms where it has two."""
        return joined("; ", (in_each_form(line, str.strip) for line in self.lines))

    @property
    def in_shell(self) -> str:
        """Its text in the command line's form."""
        return "\n".join(map(in_shell, self.lines))

    def __str__(self) -> str:
        return "\n".join(map(str, self.lines))

    def __format__(self, form: str) -> str:
        return format(str(self.text), form)


class NewestDamaged(GanflowError):
    """Damaged newest checkpoint of a run that has an older one, the file `instead`."""

    def __init__(self, text: str, instead: Path) -> None:
        self.instead = instead
        super().__init__(text)


class Unreadable(GanflowError):
    """Examples that cannot be read. A run that meets them while it trains ends with this text and the command that goes on.

    Args:
        override: what that command has besides, so that they are left out; empty where they cannot be.
    """

    def __init__(self, text: str, override: str = "") -> None:
        self.override = override
        super().__init__(text)


class NothingLeft(GanflowError):
    """Data of which nothing is left for training; `override` holds fewer of them out."""

    def __init__(self, text: str, override: str) -> None:
        self.override = override
        super().__init__(f"{text}; keep fewer: {override}")


class PluginError(GanflowError):
    """Broken or failing plugin, or one that clashes with another; the text names plugin, distribution and version."""


class StepError(GanflowError):
    """Request of a loss or a modifier that a step cannot serve. The text lacks its subject, which the caller adds."""


class KeyTaken(GanflowError):
    """Key of the game's extras that another part has."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"game.extras['{key}'] is in use: another part keeps its state there; use another key")


class SettingsError(GanflowError, ValueError):
    """Values that a settings class refuses; `problems` holds (key, what is wrong with it) pairs."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{key}: {text}" if key else text for key, text in problems))


def in_shell_of(error: BaseException) -> str:
    """The text of any error in the command line's form; its type if it has no text."""
    return (error.in_shell if isinstance(error, GanflowError) else str(error)) or type(error).__name__


def escaped(text: str, keep: str = "") -> str:
    """A text whose control characters (C0, C1, those of formats and directions, half surrogates, separators of lines) are written
    out: "\\\\u001b[31m"."""
    if text.isprintable():
        return text
    return "".join(c if c in keep or legible(c) else _SHORT.get(c) or _code(c) for c in text)


_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def _code(c: str) -> str:
    return f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}"


def legible(c: str) -> bool:
    """Return whether a terminal shows a character, and does not obey it."""
    return c.isprintable() or category(c) in _HARMLESS


_HARMLESS = ("Zs", "Cn", "Co")  # spaces, and what this Python's tables do not know: letters of a newer Unicode


def first_line(error: BaseException) -> str:
    """The first line of another library's error; its type if it has no text."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class Frame(NamedTuple):
    """A frame of a traceback."""

    module: str
    frame: FrameType
    line: int

    @property
    def file(self) -> str:
        """The file of its code."""
        return self.frame.f_code.co_filename


def innermost(error: BaseException, wanted: Callable[[str], bool]) -> Frame | None:
    """The frame nearest to where `error` was raised whose module's name is wanted."""
    found = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        module = frame.f_globals.get("__name__", "")
        if wanted(module):
            found = Frame(module, frame, line)
    return found


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake in a recipe. `line` is 1-based; 0 stands for what is typed for a command, or an argument."""

    line: int
    text: str
    file: str = ""

    @property
    def located(self) -> Advised:
        """The text after its file and line, or after what stands for them."""
        where = f"{self.file}:{self.line}: "
        return (Advised(where, where) if self.line else Advised("arguments: ", "command line: ")) + self.text

    def __str__(self) -> str:
        return str(self.located)


class RecipeError(GanflowError):
    """Every problem of a recipe at once, in the order of its lines."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems)
        super().__init__(*(problem.located for problem in self.problems))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """'; did you mean …?' where something known is close to `word`, otherwise nothing."""
    close = near(word, known)
    return f"; did you mean '{close[0]}'?" if close else ""


def origin(distribution: str, version: str) -> str:
    """'gf-acme 1.2'; the distribution of a plugin that was not installed as a package is not known."""
    return f"{distribution} {version}".strip() or "not installed as a package"
