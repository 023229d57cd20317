"""Damaged lines of a journal: the sentences about them, and readers that go on without them."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable
from pathlib import Path

from ganflow.errors import GanflowError
from ganflow.printing import plural

LATEST = 2**37
"""Seconds since 1970, some thousand years."""
MOST_ROUNDS = 2**62
LONGEST = 2**24
"""Bytes of a line."""


class DamagedLine(GanflowError):
    """Damaged line of a journal; `row` is its number, `why` says where it is and what is wrong with it."""

    def __init__(self, path: Path, row: int, line: bytes) -> None:
        self.row, self.why = row, f"{path}:{row} is damaged: {_wrong(line)}"
        super().__init__(f"{self.why}; delete that line and try again")


Passing = Callable[[DamagedLine], object]
"""What is done with a damaged line, which is then left out; it may raise it."""


def refuse(error: DamagedLine) -> None:
    """Raise the error: of readers that need every line."""
    raise error


class Left:
    """The damaged lines that a reader has left out."""

    def __init__(self) -> None:
        self.errors: list[DamagedLine] = []

    def __call__(self, error: DamagedLine) -> None:
        self.errors.append(error)

    @property
    def text(self) -> str:
        """A sentence about them; empty where there are none."""
        if not self.errors:
            return ""
        first, more = min(self.errors, key=lambda error: error.row), len(self.errors) - 1
        others = f", and {plural(more, 'line')} more" if more else ""
        return f"{first.why}{others}; left out here, and in the way of training on: delete {'them' if more else 'it'}"

    def warn(self, found: bool) -> None:
        """Log the sentence, once in a process.

        Args:
            found: there are sound lines, too.

        Raises:
            DamagedLine: (a GanflowError) there are none, but damaged ones.
        """
        if self.errors and not found:
            raise self.errors[0]
        if self.text:
            _warn(self.text)


@functools.cache
def _warn(text: str) -> None:
    logging.getLogger("ganflow").warning(text)


def _wrong(line: bytes) -> str:
    """Say what is wrong with a damaged line, with no more of it than the beginning of that."""
    if len(line) > LONGEST:
        return f"a line of more than {LONGEST // 2**20} MiB"
    text = line.decode(errors="replace").strip()
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        if not text[error.pos :]:
            return "the line is empty" if not text else "the line ends too early"
        return f"no report, from column {error.pos + 1} on ({_beginning(text[error.pos :])})"
    except (ValueError, RecursionError):  # a number of thousands of digits, lists in lists
        return f"no report ({_beginning(text)})"
    if not isinstance(found, dict):
        return f"no report ({_beginning(text)})"
    if missing := next((name for name in ("round", "time", "values") if name not in found), ""):
        return f"no report: it has no '{missing}'"
    if not isinstance(values := found["values"], dict):
        return f"no report: 'values' is {_beginning(json.dumps(values))}"
    parts = [("round", found["round"], MOST_ROUNDS), ("time", found["time"], LATEST)]
    for name, value, most in (*parts, *((name, value, None) for name, value in values.items())):
        if not _is_number(value, most):
            return f"no report: {_beginning(name)} is {_beginning(json.dumps(value))}"
    return "it is not UTF-8 text" if "\ufffd" in text else f"no report ({_beginning(text)})"


def _is_number(value: object, most: float | None) -> bool:
    """Tell whether a value is read as a number, and below `most` from 0 on where there is that."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (ValueError, TypeError, OverflowError):
        return False
    return most is None or 0 <= number < most


def _beginning(text: str) -> str:
    return repr(text[:30]) + (" …" if len(text) > 30 else "")
