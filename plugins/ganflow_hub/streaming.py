"""Data sets whose rows come one after the other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch
from ganflow_layers.framing import Transform
from ganflow_layers.omissions import SKIP, Omissions
from ganflow_layers.reading import Example
from ganflow_layers.streams import Sample, Source, Streamed

from ganflow import GanflowError, Original
from ganflow_hub.loading import Table


class Stream(Source):
    """Rows of an IterableDataset as one shard."""

    shards = 1

    def __init__(self, table: Table, omissions: Omissions) -> None:
        super().__init__(omissions)
        self._table = table

    def samples(self, shard: int, position: int) -> Iterator[Sample]:
        rows = self._table.rows.skip(position) if position else self._table.rows
        for number, row in enumerate(rows, position):
            yield Sample(shard, number, number + 1, f"row {number}", row)


def streamed(table: Table, transform: Transform, shuffle: int, seed: int, held_out: int, skip: bool) -> Streamed:
    """Fields of a table's columns, streamed.

    Raises:
        GanflowError: the classes' names are not known.
    """
    if "label" in table.columns and len(table.classes) < 2:
        raise GanflowError(f"data.columns: label: {table.name} does not say the names of its classes, and while it streams they "
                           "cannot be counted; leave label out, or streaming")  # fmt: skip

    def make(sample: Sample, rng: torch.Generator | None) -> Example:
        return table.example(sample.parts, transform, table.classes, rng)

    def originals(sample: Sample) -> dict[str, Original]:
        found = {field: table.original(sample.parts, field, transform) for field in table.columns}
        return {field: each for field, each in found.items() if each}

    about = repr((table.name, sorted(table.columns.items()), transform, held_out, str(table.rows.info.version)))
    stream = Stream(table, Omissions(table.name, skip, "", f"mend it, or {SKIP.format('such rows')}"))
    return Streamed(
        f"hub ({table.name})", table.name, stream, make, table.fields(transform, table.classes), shuffle, seed, held_out,
        hashlib.sha256(about.encode()).hexdigest()[:16], originals,
    )  # fmt: skip
