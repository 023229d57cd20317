"""Omission of what cannot be read in data, or its refusal."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from ganflow import IMAGE_ERRORS, Field, Unreadable, image_error_text, in_threads, open_image, print_lines
from ganflow_layers.reading import stacked
from ganflow_layers.tables import listed

Item = TypeVar("Item")
Made = TypeVar("Made")
OVERRIDE = "data.on_error=skip"
SKIP = f"leave {{}} out: {OVERRIDE}"
_NAMED = 10  # of what is left out, printed one by one; of more, the count
_OPENED = 20_000  # files of a folder that are opened before a run begins: a second or two


class Unusable(Exception):
    """Something that nothing can be made of: which file, row or sample, and why."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(name, why)
        self.name, self.why = name, why

    def __str__(self) -> str:
        return f"{self.name} ({self.why})"


class Omissions:
    """Refuses what is unusable, or leaves it out and names it, once each.

    Args:
        where: the folder that the names belong to, or what else they are in, for errors.
        skip: leave it out.
        what: "image", so that several are counted in one error; empty where they come one at a time.
        advice: what helps where it is refused.

    Attributes:
        skipped: what was left out, as far as it is known by now: a file of a folder, else with the reason.
    """

    def __init__(self, where: Path | str, skip: bool, what: str = "image", advice: str = "") -> None:
        self._where, self._skip, self._what = where, skip, what
        self._advice = advice or f"mend or remove them, or {SKIP.format('such files')}"
        self.skipped: list[str] = []
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def every(self, make: Callable[[Item], Made], items: Iterable[Item]) -> list[Made]:
        """Results of `make` for each item, in their order, without those that are left out.

        Raises:
            Unreadable: some are Unusable, and not to be skipped; it names them all, of many the first ones.
        """
        outcomes = list(in_threads(partial(_outcome, make), items))
        self.settle([o for o in outcomes if isinstance(o, Unusable)])
        return [o for o in outcomes if not isinstance(o, Unusable)]

    def stacked(
        self, make: Callable[[Item], Mapping[str, Tensor]], items: Sequence[Item], fields: Mapping[str, Field]
    ) -> tuple[dict[str, Tensor], list[Item]]:
        """Examples that `make` makes of each item, (n, *shape) per field, without those that are left out; and their items.

        Raises:
            Unreadable: as `every`.
        """
        bad: list[Unusable] = []

        def made(item: Item) -> Mapping[str, Tensor] | None:
            outcome = _outcome(make, item)
            if isinstance(outcome, Unusable):
                bad.append(outcome)
                return None
            return outcome

        found, read = stacked(made, items, fields)
        self.settle(sorted(bad, key=lambda b: b.name))
        return found, [items[i] for i in read]

    def one(self, make: Callable[[], Made]) -> Made | None:
        """The result of `make`; None where it is left out."""
        try:
            return make()
        except Unusable as error:
            self.settle([error])
            return None

    def settle(self, bad: Sequence[Unusable]) -> None:
        """Refuse what is unusable, or leave it out and say so."""
        if bad and not self._skip:
            names = list(dict.fromkeys(map(str, bad)))
            count = f"1 {self._what}" if len(names) == 1 else f"{len(names)} {self._what}s"
            what = f"{count} in {self._where}: {listed(names)}" if self._what else f"{listed(names)} in {self._where}"
            raise Unreadable(f"data.path: cannot read {what}; {self._advice}", OVERRIDE if OVERRIDE in self._advice else "")
        with self._lock:
            before = len(self.skipped)
            for each in bad:
                if each.name in self._known:
                    continue
                self._known.add(each.name)
                of_folder = isinstance(self._where, Path)
                self.skipped.append(each.name if of_folder else f"{each.name}: {each.why}")
                if len(self.skipped) <= _NAMED:
                    name = self._where / each.name if isinstance(self._where, Path) else each.name
                    print_lines(f"ganflow: left out {name}: {each.why}", err=True)
            left = len(self.skipped)
            if left > _NAMED and left > before and (len(bad) > 1 or left % 100 == 0):
                print_lines(f"ganflow: left out {left:,} by now", err=True)


def unusable_files(folder: Path, files: Sequence[str]) -> list[Unusable]:
    """Files that are no images at first sight: no regular files, and, of up to 20,000 at equal distances, those whose first bytes
    are no image's, or an image's that is too large to be decoded."""
    others = irregular(folder, files)
    count, known = len(files), {bad.name for bad in others}
    opened = files if count <= _OPENED else [files[i * count // _OPENED] for i in range(_OPENED)]
    outcomes = in_threads(partial(_opened, folder), [file for file in opened if file not in known])
    return sorted([*others, *(bad for bad in outcomes if bad)], key=lambda bad: bad.name)


def irregular(folder: Path, files: Sequence[str]) -> list[Unusable]:
    """Those that are no regular files."""
    return [bad for file in files if (bad := _irregular(folder, file))]


def _irregular(folder: Path, file: str) -> Unusable | None:
    try:
        return None if stat.S_ISREG(os.stat(folder / file).st_mode) else Unusable(file, "not a regular file")
    except OSError as error:
        return Unusable(file, image_error_text(error))


def _opened(folder: Path, file: str) -> Unusable | None:
    try:
        with open_image(folder / file):
            return None
    except IMAGE_ERRORS as error:
        return Unusable(file, image_error_text(error))


def _outcome(make: Callable[[Item], Made], item: Item) -> Made | Unusable:
    try:
        return make(item)
    except Unusable as error:
        return error
