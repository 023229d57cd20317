"""The journal: a run's numbers, one JSON line per report, only ever appended to; and the trackers fed from it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ganflow.errors import GanflowError
from ganflow.files import append_line, open_file, replacing
from ganflow.printing import finite
from ganflow.runs.damage import LATEST, LONGEST, MOST_ROUNDS, DamagedLine, Left, Passing, refuse
from ganflow.runs.folders import RunFolder

if TYPE_CHECKING:
    from ganflow.contract.roles import Tracker
    from ganflow.recipe import Recipe


TAIL = 65_536
"""Bytes of a journal that are read at a time from its end: hundreds of reports."""


@dataclass(frozen=True)
class Entry:
    """A report after `round` rounds, at `time` seconds since 1970."""

    round: int
    time: float
    values: dict[str, float]


class Journal:
    """Appends to a journal. A line is with the operating system when `append` returns, so that it survives the process
    being killed; it is not forced to the disk, which would cost milliseconds. A torn last line is cut off first.

    Raises:
        GanflowError: (here and in `append`) the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = _open(path)
            os.ftruncate(self._file, _whole(path.read_bytes()))
        except OSError as error:
            raise _cannot_write(path, error) from None

    def append(self, round: int, values: Mapping[str, float]) -> None:
        """Append a line; NaN and the infinities as `finite` has them."""
        numbers = finite({name: float(value) for name, value in values.items()})
        line = json.dumps({"round": round, "time": time.time(), "values": numbers}) + "\n"
        try:
            append_line(self._file, line.encode())
        except OSError as error:
            raise _cannot_write(self.path, error) from None

    def rewind(self, round: int) -> None:
        """Drop all reports after `round`: see the function of this name."""
        rewind(self.path, round)
        self.close()
        self._file = _open(self.path)

    def close(self) -> None:
        os.close(self._file)


def _open(path: Path) -> int:
    return open_file(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)


def entries(path: Path, damaged: Passing = refuse) -> Iterator[Entry]:
    """Every whole line of a journal; none where there is no file. A torn last line is left out.

    Raises:
        GanflowError: a line in the middle is not a journal's.
    """
    yield from read(path, damaged=damaged)[0]


def sound(path: Path) -> list[Entry]:
    """The whole lines of a journal; those that are damaged are left out with a warning.

    Raises:
        GanflowError: all of them are damaged.
    """
    left = Left()
    found = list(entries(path, left))
    left.warn(bool(found))
    return found


def read(path: Path, offset: int = 0, damaged: Passing = refuse) -> tuple[list[Entry], int]:
    """The whole lines after `offset` bytes, and the offset after them: a follower goes on from there."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            raw = file.read()
    except FileNotFoundError:
        return [], 0
    raw = raw[: _whole(raw)]
    return _parsed(raw, path, damaged, offset), offset + len(raw)


def backwards(path: Path, most: int | None = None, damaged: Passing = refuse) -> Iterator[Entry]:
    """The whole lines of a journal, the last first, read from its end as far as they are wanted.

    Args:
        most: bytes of it that are read, about, and so many more that there is a line; None for all.

    Raises:
        GanflowError: a line is not a journal's, or the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            begin = end = file.seek(0, os.SEEK_END)
            rest, whole = b"", False  # the beginning of what was read, whose line begins before; a torn end was left out
            some, after, all_lines = False, 0, None  # a sound line; how many come after the next one; how many there are
            while begin and (most is None or end - begin < most or not some):
                size = min(TAIL, begin)
                begin -= size
                file.seek(begin)
                lines = (file.read(size) + rest).split(b"\n")
                if not whole and len(lines) > 1:
                    whole, _ = True, lines.pop()
                rest = lines.pop(0) if begin else b""
                if too_long := len(rest) > LONGEST:
                    lines.insert(0, rest)
                for line in reversed(lines) if whole else ():
                    if found := _parse(line):
                        some = True
                        yield found
                    else:
                        all_lines = all_lines or _count(path)
                        damaged(DamagedLine(path, all_lines - after, line))
                    after += 1
                if too_long:
                    return
    except FileNotFoundError:
        return
    except OSError as error:
        raise GanflowError(f"cannot read the journal {path}: {error.strerror}") from error


def last_entries(path: Path, damaged: Passing = refuse) -> tuple[Entry | None, Entry | None]:
    """The last report of terms and the last evaluation, as far as the journal's end has them. Raises as `backwards`."""
    found: dict[bool, Entry] = {}
    for entry in backwards(path, TAIL, damaged):
        found.setdefault(any(name.startswith(("critic/", "generator/")) for name in entry.values), entry)
        if len(found) == 2:
            break
    return found.get(True), found.get(False)


class Reader:
    """Reader of a journal that grows: `new` returns the entries since its last call, and all of them where the journal was
    rewound meanwhile, which is seen from the line before."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset, self._last = 0, b""

    def new(self) -> list[Entry]:
        """Raises GanflowError: a line is not a journal's."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self._offset - len(self._last))
            if file.read(len(self._last)) != self._last:
                self._offset, self._last = 0, b""
            file.seek(self._offset)
            raw = file.read()
        raw = raw[: _whole(raw)]
        found = _parsed(raw, self.path, offset=self._offset)
        if found:
            self._offset, self._last = self._offset + len(raw), raw.splitlines(keepends=True)[-1]
        return found


def rewind(path: Path, round: int) -> None:
    """Drop all reports after `round`, and a torn last line, atomically: a run that goes on from its checkpoint of that round
    reports the rest again."""
    if not path.exists():
        return
    raw = path.read_bytes()
    raw = raw[: _whole(raw)]
    lines = zip(raw.splitlines(keepends=True), _parsed(raw, path), strict=True)
    kept = b"".join(line for line, entry in lines if entry.round <= round)
    with replacing(path) as scratch:
        scratch.write_bytes(kept)


def _whole(raw: bytes) -> int:
    """The length of the whole lines."""
    return raw.rfind(b"\n") + 1


def _count(path: Path, most: int | None = None) -> int:
    """The number of whole lines, of all or in the first `most` bytes."""
    most = path.stat().st_size if most is None else most
    with path.open("rb") as file:
        return sum(file.read(min(TAIL, most - at)).count(b"\n") for at in range(0, most, TAIL))


def _parsed(raw: bytes, path: Path, damaged: Passing = refuse, offset: int = 0) -> list[Entry]:
    """The entries of whole lines, which begin after so many bytes of the file."""
    found = []
    for row, line in enumerate(raw.splitlines(), 1):
        if entry := _parse(line):
            found.append(entry)
        else:
            damaged(DamagedLine(path, _count(path, offset) + row, line))
    return found


def _parse(line: bytes) -> Entry | None:
    """The entry of a line; None where it is damaged."""
    try:
        entry = json.loads(line)
        made = Entry(int(entry["round"]), float(entry["time"]), {name: float(v) for name, v in entry["values"].items()})
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return None
    return made if 0 <= made.round < MOST_ROUNDS and 0 <= made.time < LATEST else None


def _cannot_write(path: Path, error: OSError) -> GanflowError:
    return GanflowError(f"cannot write the journal {path}: {error.strerror}")


class Trackers:
    """The trackers of one run, in the recipe's sequence. One that raises is named by `say`, and called no more.

    Args:
        apart: what they are called within.
    """

    def __init__(
        self,
        recipe: Recipe,
        trackers: Sequence[Tracker],
        folder: RunFolder,
        say: Callable[[str], None],
        apart: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._recipe, self._folder, self._say, self._apart = recipe, folder, say, apart
        names = (str(chosen.component) for chosen in recipe.trackers)
        self._fed = dict(enumerate(zip(names, trackers, strict=True)))
        self._journal = Reader(folder.journal)

    def begin(self, round: int) -> None:
        """Begin, with the journal from its first line and the pictures of the first `round` rounds."""
        if not self._fed:
            return
        from ganflow.contract.roles import TrackedRun  # imports torch, and lists of runs read journals

        run = TrackedRun(self._recipe.name, self._folder.id, self._folder.path, self._recipe.resolved())
        self._each(lambda tracker: tracker.begin(run))
        self.values()
        for path in self._folder.pictures():
            if (of := int(path.stem.removeprefix("round-"))) <= round and round:  # at 0 all of them are drawn again
                self.picture(of, path)

    def values(self) -> None:
        """Pass on the journal's new lines."""
        for entry in self._journal.new() if self._fed else ():
            self._each(lambda tracker, e=entry: tracker.values(e.round, e.time, dict(e.values)))  # type: ignore[misc]

    def picture(self, round: int, path: Path) -> None:
        """Pass on a picture, if it was drawn."""
        if self._fed and path.exists():
            self._each(lambda tracker: tracker.picture(round, path))

    def end(self, status: str) -> None:
        """Say how the run ended, once."""
        self._each(lambda tracker: tracker.end(status))
        self._fed.clear()

    def _each(self, call: Callable[[Tracker], None]) -> None:
        for i, (name, tracker) in list(self._fed.items()):
            try:
                with self._apart():
                    call(tracker)
            except Exception as error:
                del self._fed[i]
                why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
                sentence = f"{name} failed: {why}; training goes on without it"
                self._say(sentence)
                self._folder.update(untracked=[*self._folder.read().untracked, sentence])
