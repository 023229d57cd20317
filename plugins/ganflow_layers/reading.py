"""Examples of files, decoded by several threads: all at once into memory, or those that are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from ganflow import Field, ReadExamples, in_threads

Item = TypeVar("Item")
Example = Mapping[str, Tensor]
KEPT_BYTES = 2**26
"""Held-out examples that were decoded last are kept if they take no more: a sheet shows several fields of the same ones."""


def stacked(
    make: Callable[[Item], Example | None], items: Sequence[Item], fields: Mapping[str, Field]
) -> tuple[dict[str, Tensor], list[int]]:
    """Examples of all items that can be read, (n, *shape) per field, and which items these are. Each is written where it belongs
    as soon as it is decoded, so that nothing is in memory twice.

    Args:
        make: the example of an item; None where it is left out.
    """
    made = {name: field.blank(1).new_empty(len(items), *field.shape) for name, field in fields.items()}
    read: list[int] = []
    for i, example in enumerate(in_threads(make, items)):
        if example is None:
            continue
        for name, tensor in made.items():
            tensor[len(read)] = example[name]
        read.append(i)
    return {name: tensor[: len(read)] for name, tensor in made.items()}, read


class HeldOut:
    """Held-out examples that are decoded when they are asked for. Those that turn out to be unreadable are left out from then
    on, and the ones after them move up.

    Args:
        make: the example of an item; None where it cannot be read.
        items: what each is made of.
        fields: of an example.
    """

    def __init__(self, make: Callable[[Any], Example | None], items: Sequence[Any], fields: Mapping[str, Field]) -> None:
        self._make, self._items, self._fields = make, list(items), dict(fields)
        self._last: tuple[list[int], dict[str, Tensor]] = ([], {})

    def __len__(self) -> int:
        return len(self._items)

    def examples(self, most: int | None = None) -> dict[str, HeldOutField]:
        """Examples by field, the first so many."""
        return {name: HeldOutField(self, name, field.shape, most) for name, field in self._fields.items()}

    def read(self, rows: Sequence[int]) -> dict[str, Tensor] | None:
        """Examples of these numbers; None where some cannot be read, which are now left out."""
        if self._last[1] and self._last[0] == list(rows):
            return self._last[1]
        wanted = [self._items[row] for row in rows]
        made, read = stacked(self._make, wanted, self._fields)
        if len(read) < len(wanted):
            unread = {rows[i] for i in range(len(rows))} - {rows[i] for i in read}
            self._items = [item for i, item in enumerate(self._items) if i not in unread]
            self._last = ([], {})
            return None
        small = sum(t.nbytes for t in made.values()) <= KEPT_BYTES
        self._last = (list(rows), made) if small else ([], {})
        return made


class HeldOutField(ReadExamples):
    """One field of held-out examples."""

    def __init__(self, held_out: HeldOut, name: str, shape: tuple[int, ...], most: int | None) -> None:
        self._held_out, self._name, self._each, self._most = held_out, name, shape, most

    @property
    def shape(self) -> torch.Size:
        there = len(self._held_out)
        return torch.Size((there if self._most is None else min(self._most, there), *self._each))

    def __getitem__(self, rows: Any, /) -> Tensor:
        if isinstance(rows, int):
            return self[[rows]][0]
        while True:  # until all of them can be read, or none is left
            before = len(self._held_out)
            made = super().__getitem__(rows)
            if len(self._held_out) == before:
                return made

    def read(self, rows: Tensor) -> Tensor:
        there = len(self)
        numbers = [row % there for row in rows.tolist()] if there else []
        made = self._held_out.read(numbers)
        return torch.empty(0) if made is None else made[self._name]
