"""Real examples, a piece of them in memory at a time: what metrics keep are features and a digest, not the examples."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ganflow import Examples, ReadExamples

ROWS = 256  # of a piece at most: what an extractor reads at once
PIECE = 2**26  # bytes of a piece at most, where one example is not more
AT_HAND = 2**28  # bytes of examples that are kept, where a metric comes back to them


def in_pieces(examples: Examples) -> Iterator[Tensor]:
    """All examples in their sequence, a piece at a time. Those that turn out to be unreadable are left out."""
    several = max(1, min(ROWS, PIECE // bytes_of_one(examples)))
    first = 0
    while first < len(examples):  # which may become fewer
        piece = examples[first : first + several]
        if len(piece):
            yield piece
        first += several


def bytes_of_one(examples: Examples) -> int:
    """Bytes of an example as a float32 tensor."""
    return max(1, 4 * examples.shape[1:].numel())


def at_hand(examples: Examples) -> Examples:
    """The examples in memory where they are few, else as they are."""
    return examples[:] if len(examples) * bytes_of_one(examples) <= AT_HAND else examples


class Reading:
    """One walk through real examples, or several, with a digest of all of them: that of their tensors, `digest_of_state`."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[Examples, int]] = {}
        self._digest = hashlib.sha256()

    def features(self, name: str, examples: Examples, of: Callable[[Tensor], Tensor]) -> Tensor:
        """`of` all examples, (n, …); names are in alphabetical sequence."""
        there = len(examples)
        found = [of(piece) for piece in _hashed(name, examples, self._digest)]
        self._read[name] = examples, there
        return torch.cat(found) if found else torch.empty(0)

    @property
    def digest(self) -> str:
        """Of all that was read; where some turned out to be unreadable, of the others, which are read again."""
        if all(len(examples) == there for examples, there in self._read.values()):
            return self._digest.hexdigest()[:16]
        return digest_of_examples({name: examples for name, (examples, _) in self._read.items()})


def _hashed(name: str, examples: Examples, digest: Any) -> Iterator[Tensor]:
    for i, piece in enumerate(in_pieces(examples)):
        if not i:
            digest.update(f"{name}{(len(examples), *piece.shape[1:])}{piece.dtype}".encode())
        digest.update(piece.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        yield piece


def digest_of_examples(parts: Mapping[str, Examples], *more: str) -> str:
    """A short digest of examples: that of their tensors, `digest_of_state`."""
    while True:
        there, digest = [len(examples) for examples in parts.values()], hashlib.sha256("\0".join(more).encode())
        for name in sorted(parts):
            for _ in _hashed(name, parts[name], digest):
                pass
        if there == [len(examples) for examples in parts.values()]:
            return digest.hexdigest()[:16]


class Chosen(ReadExamples):
    """Some of other examples, by their numbers (n,)."""

    def __init__(self, examples: Examples, rows: Tensor) -> None:
        self._examples, self._rows = examples, rows

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self._rows), *self._examples.shape[1:]))

    def read(self, rows: Tensor) -> Tensor:
        return self._examples[self._rows[rows]]


class Joined(ReadExamples):
    """Examples of several parts, one after the other."""

    def __init__(self, parts: Sequence[Examples]) -> None:
        self._parts = parts

    @property
    def shape(self) -> torch.Size:
        return torch.Size((sum(map(len, self._parts)), *self._parts[0].shape[1:]))

    def read(self, rows: Tensor) -> Tensor:
        found, first = [], 0
        which = torch.empty(0, dtype=torch.int64)
        for part in self._parts:
            here = ((rows >= first) & (rows < first + len(part))).nonzero()[:, 0]
            if len(here):
                found.append(part[rows[here] - first])
                which = torch.cat((which, here))
            first += len(part)
        made = torch.cat(found) if found else self._parts[0][:0]
        return made[which.argsort()]
