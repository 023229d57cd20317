"""Examples of a field: a tensor, or what is read when it is asked for, so that what is on a disk stays there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, Self

import torch
from torch import Tensor

PIECE = 2**24
"""Bytes that are read at once where all examples are gone through."""


class Examples(Protocol):
    """Examples of one field, (n, *shape). A tensor is one. `examples[:8]` and `examples[rows]` are tensors, and so is
    `examples[:]`: all of them, in memory."""

    @property
    def shape(self) -> torch.Size: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Tensor: ...


class ReadExamples(ABC):
    """Examples that are read when they are asked for.

    Attributes:
        shape: (n, *shape).
    """

    @property
    @abstractmethod
    def shape(self) -> torch.Size: ...

    @abstractmethod
    def read(self, rows: Tensor) -> Tensor:
        """Examples of these numbers, (n,) int64 on the CPU, as the field has them: floats, or int64 for classes."""

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any, /) -> Tensor:
        if isinstance(rows, int):
            return self.read(torch.tensor([range(len(self))[rows]]))[0]
        return self.read(numbers(rows, len(self)))


class StoredExamples(ReadExamples):
    """Rows of a tensor that stays in its type, in memory or mapped from a file, until they are asked for.

    Args:
        stored: (m, *any).
        rows: which of its rows the examples are, (n,) int64; None for all of them.
        make: from rows of `stored`, (k, *any), to examples (k, *shape) of float32, on any device.
    """

    def __init__(self, stored: Tensor, rows: Tensor | None, make: Callable[[Tensor], Tensor]) -> None:
        self.stored, self.rows, self.make = stored, rows, make
        self._shape = make(stored[:1]).shape[1:]

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self.stored) if self.rows is None else len(self.rows), *self._shape))

    def read(self, rows: Tensor) -> Tensor:
        """Examples of these numbers, on the device of the stored tensor."""
        where = rows if self.rows is None else self.rows[rows.to(self.rows.device)]
        return self.make(self.stored.index_select(0, where.to(self.stored.device)))

    def to(self, device: torch.device) -> Self:
        """The same examples, stored on a device, in their type."""
        return type(self)(self.stored.to(device), None if self.rows is None else self.rows.to(device), self.make)


def numbers(rows: Any, count: int) -> Tensor:
    """Numbers of examples, (n,) int64, that an index of `count` means: a slice, a list, numbers or a mask."""
    if isinstance(rows, slice):
        return torch.arange(*rows.indices(count))
    index = torch.as_tensor(rows)
    if index.dtype == torch.bool:
        return index.nonzero().flatten()
    index = index.cpu().long()
    return torch.where(index < 0, index + count, index)


def pieces(examples: Examples) -> Iterator[Tensor]:
    """All examples in their sequence, 16 MiB of them at once."""
    if isinstance(examples, Tensor):
        yield examples
        return
    several = max(1, PIECE // max(1, 4 * examples.shape[1:].numel()))
    for first in range(0, len(examples), several):
        yield examples[first : first + several]


def bytes_in_memory(*parts: Mapping[str, Examples]) -> int:
    """Bytes that examples keep in this process, those of mapped files included; examples that are decoded anew keep none."""
    tensors = (t.stored if isinstance(t, StoredExamples) else t for part in parts for t in part.values())
    kept = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors if isinstance(t, Tensor)}
    return sum(kept.values())
