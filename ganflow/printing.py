"""Printing: through `say`, which shows control characters instead of obeying them, on streams that may go unread.

Names of files, values of recipes, keys of journals and captions may come from a stranger. A terminal obeys the escape sequences
in them, and characters that turn the direction of writing show another text than the one that is there.
"""

from __future__ import annotations

import errno
import io
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from ganflow.errors import escaped, legible


def say(*lines: object, err: bool = False, file: Any = None) -> None:
    """Print lines, on stdout, on stderr (`err`) or on another stream. A line stays one: line breaks in it are escaped, too."""
    stream = file if file is not None else sys.stderr if err else sys.stdout
    _put("".join(f"{escaped(str(line))}\n" for line in lines or ("",)), stream)


print_lines = say
"""Its public name."""


def say_text(text: object, err: bool = False, file: Any = None) -> None:
    """Print a text of several lines as it is but for its other control characters, and nothing after it."""
    _put(escaped(str(text), keep="\n\t"), file if file is not None else sys.stderr if err else sys.stdout)


def say_json(value: object, **options: Any) -> None:
    """Print JSON that is as legible as can be; what a terminal would obey is escaped as JSON has it."""
    text = json.dumps(finite(value), indent=2, ensure_ascii=False, allow_nan=False, **options)
    if escaped(text, keep="\n") != text:
        text = "".join(c if c == "\n" or legible(c) else json.dumps(c)[1:-1] for c in text)
    _put(f"{text}\n", sys.stdout)


def finite(value: Any) -> Any:
    """Plain data with texts for NaN and the infinities, which JSON has no numbers for: "nan", "inf", "-inf"."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    return [finite(each) for each in value] if isinstance(value, (list, tuple)) else value


def _put(text: str, stream: Any) -> None:
    if stream is not None:  # it is None where a process was started without
        stream.write(text)
        stream.flush()


def no_room(columns: Iterable[str]) -> str:
    """A line for below a table without the columns for which the terminal has no room; a pipe gets all of them."""
    return f"no room for {', '.join(columns)}: | cat shows all"


class Unread:
    """A text stream that goes on where nobody reads it any more, the disk is full, or it is closed: what is written to it then
    is lost. Characters that its encoding has not are escaped.

    Attributes:
        error: why it goes nowhere; None while it goes somewhere.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.stream: Any = stream if stream is not None else io.StringIO()
        self.error: OSError | ValueError | None = None if stream is not None else OSError(errno.EBADF, os.strerror(errno.EBADF))

    def write(self, text: str) -> int:
        if self.error is None:
            try:
                self.stream.write(text)
            except UnicodeEncodeError as error:
                self.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))
            except (OSError, ValueError) as error:  # ValueError: it was closed
                self.error = error
        return len(text)

    def flush(self) -> None:
        if self.error is None:
            try:
                self.stream.flush()
            except (OSError, ValueError) as error:
                self.error = error

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def isatty(self) -> bool:
        return self.error is None and bool(self.stream.isatty())

    def __reduce__(self) -> tuple[type[Unread], tuple[None]]:
        """In another process it leads nowhere: Ray copies what belongs to a sweep."""
        return Unread, (None,)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def unread() -> Iterator[Unread]:
    """Let stdout and stderr of this process go on whatever happens to them; the former, to ask what did. A process that was
    started without them gets some: the next file that is opened would have their numbers, and what libraries print."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it has the smallest number that is free: this one
    before = sys.stdout, sys.stderr
    out, err = Unread(sys.stdout), Unread(sys.stderr)
    sys.stdout, sys.stderr = out, err
    try:
        yield out
    finally:
        out.flush()
        err.flush()
        sys.stdout, sys.stderr = before
        for stream, gone in ((before[0], out.error), (before[1], err.error)):
            if gone is not None and stream is not None:
                _forget(stream)


def _forget(stream: TextIO) -> None:
    """Let what is still to be written to a stream vanish: Python would complain of it at the end of the process."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        stream.flush()
    except (OSError, ValueError):
        pass


def plural(count: float, word: str) -> str:
    """ "1 trial", "2 trials", "0.5 GPUs"."""
    return f"{count if isinstance(count, int) else f'{count:g}'} {word}{'' if count == 1 else 's'}"
