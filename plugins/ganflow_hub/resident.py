"""Data sets whose rows are at hand, in the library's cache: images, pairs, two domains, captions."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from ganflow_layers.framing import Transform
from ganflow_layers.omissions import SKIP, Omissions, Unusable
from ganflow_layers.originals import originals
from ganflow_layers.reading import Example, HeldOut
from ganflow_layers.split import split
from ganflow_text.captioned import CaptionedData, smaller
from torch import Tensor

from ganflow import (
    IMAGE_ERRORS,
    Data,
    Examples,
    GanflowError,
    Original,
    Preview,
    StreamData,
    TensorData,
    TextEncoder,
    class_field,
    image_error_text,
    spread_indices,
)
from ganflow_hub.loading import Table

HASHED = 2048
"""Rows, at equal distances, whose bytes are in a fingerprint."""


class Rows:
    """Rows of a table as examples, in one part of it or in another table.

    Attributes:
        omissions: what becomes of rows that are broken.
    """

    def __init__(
        self, table: Table, numbers: Sequence[int], transform: Transform, classes: Sequence[str], omissions: Omissions
    ) -> None:
        self.table, self.numbers, self.transform, self.classes, self.omissions = table, numbers, transform, classes, omissions

    def one(self, row: int, rng: torch.Generator | None = None) -> Example | None:
        """As `example`; None where the row is left out."""
        return self.omissions.one(lambda: self.example(row, rng))

    def stacked(self, rows: Sequence[int]) -> tuple[dict[str, Tensor], list[int]]:
        """Examples of rows, in memory, and which rows those are: without what is left out."""
        return self.omissions.stacked(self.example, rows, self.table.fields(self.transform, self.classes))

    def example(self, row: int, rng: torch.Generator | None = None) -> Example:
        """Row `row` of the table, augmented with draws from `rng`.

        Raises:
            Unusable: it is broken.
        """
        return self._domains(row, rng) if {"a", "b"} == set(self.table.columns) else self._read(row, self.table, rng)

    def original(self, field: str, row: int) -> Original | None:
        """The picture of a field in row `row` of the table as it is there; None where there is none."""
        return self.table.original(self.table.rows[row], field, self.transform)

    def _domains(self, row: int, rng: torch.Generator | None) -> Example:
        """An image of a and another row's of b."""
        chosen = 0 if rng is None else int(torch.randint(len(self.numbers), (), generator=rng))
        rows = {"a": row, "b": row if rng is None else self.numbers[chosen]}
        made: dict[str, Tensor] = {}
        for field, number in rows.items():
            one = replace(self.table, columns={field: self.table.columns[field]})
            made |= self._read(number, one, rng)
        return made

    def _read(self, row: int, table: Table, rng: torch.Generator | None) -> Example:
        try:
            return table.example(self.table.rows[row], self.transform, self.classes, rng)
        except IMAGE_ERRORS as error:
            raise Unusable(f"row {row}", image_error_text(error)) from error


class HubData(StreamData):
    """Images of a table, decoded when they are drawn."""

    def __init__(self, train: Rows, held_out: Rows, labels: Tensor | None) -> None:
        self.name, self.source, self.size = f"hub ({train.table.name})", train.table.name, len(train.numbers)
        self.fields = train.table.fields(train.transform, train.classes)
        if labels is not None:
            self.fields["label"] = class_field(train.classes, labels)
        self.aligned = "a" not in self.fields
        self._rows, self.skipped = train, train.omissions.skipped
        self.held_out = HeldOut(held_out.one, held_out.numbers, self.fields).examples()

    def load(self, index: int, rng: torch.Generator) -> dict[str, Tensor] | None:
        made = self._rows.one(self._rows.numbers[index], rng)
        return None if made is None else dict(made)

    def preview(self, most: int) -> dict[str, Preview]:
        chosen = [self._rows.numbers[i] for i in spread_indices(self.size, most)]
        made, read = self._rows.stacked(chosen)
        return {name: Preview(part, originals(partial(self._rows.original, name), read)) for name, part in made.items()}

    def resident(self) -> TensorData:
        """The same examples in memory."""
        train, read = self._rows.stacked(self._rows.numbers)
        if not len(next(iter(train.values()))):
            raise GanflowError(f"none of the {self.size} images of {self.source} can be read")
        classes = {"label": list(self._rows.classes)} if "label" in self.fields else {}
        held_out = {name: examples[:] for name, examples in self.held_out.items()}
        data = TensorData(
            self.name, train, held_out, source=self.source, paired=self.aligned, classes=classes,
            original=lambda field, row: self._rows.original(field, read[row]),
        )  # fmt: skip
        data.aligned, data.skipped = self.aligned, self.skipped
        return data

    def fingerprint(self) -> str:
        return digest_of(self._rows)


class HubCaptions(CaptionedData):
    """Images of a table with captions."""

    def __init__(self, train: Rows, held_out: Rows, encoder: TextEncoder) -> None:
        self._rows, self._kept_rows = train, held_out
        self._image = train.table.fields(train.transform, ())
        sentences, others = (_sentences(rows) for rows in (train, held_out))
        super().__init__(
            f"hub ({train.table.name})", train.table.name, (train.transform.channels, *train.transform.sides),
            sentences, others, encoder, digest_of(train),
        )  # fmt: skip
        self.skipped = train.omissions.skipped

    def picture(self, index: int, rng: torch.Generator) -> Tensor | None:
        made = self._rows.one(self._rows.numbers[index], rng)
        return None if made is None else made["real"]

    def still(self, index: int) -> Tensor | None:
        made = self._rows.one(self._rows.numbers[index])
        return None if made is None else made["real"]

    def original(self, index: int) -> Original | None:
        return self._rows.original("real", self._rows.numbers[index])

    def reduced(self, side: int) -> Tensor:
        transform = smaller(self._rows.transform.still(), side)
        rows = Rows(self._rows.table, self._rows.numbers, transform, (), self._rows.omissions)
        return rows.stacked(rows.numbers)[0]["real"]

    def held_out_pictures(self) -> Examples:
        return HeldOut(self._kept_rows.one, self._kept_rows.numbers, self._image).examples()["real"]


def built(
    table: Table, other: Table | None, transform: Transform, held_out: float, skip: bool, budget: int, encoder: TextEncoder | None
) -> Data:
    """Fields of a table's columns.

    Args:
        other: what is held out; None for a part of the table.
        held_out: how much of either; below 1 a share of the table, or all of `other`.
        budget: bytes that decoded images may take in memory.
        encoder: of captions, where there are such.
    """
    count = len(table.rows)
    if not count:
        raise GanflowError(f"data.path: {table.name} has no rows")
    labels, classes = _classes(table)
    if other is None:
        numbers, kept = (part.tolist() for part in split(count, held_out, table.name))
    else:
        numbers, kept = list(range(count)), list(range(len(other.rows)))
        kept = kept[: 0 if held_out == 0 else len(kept) if held_out < 1 else round(held_out)]
    refuse = encoder is not None  # a caption would stay behind without its image
    advice = "mend them, or take their rows out" if refuse else f"mend them, or {SKIP.format('such rows')}"
    train, rest = (
        Rows(*part, transform, classes, Omissions(table.name, skip and not refuse, "image", advice))
        for part in ((table, numbers), (other or table, kept))
    )
    if encoder is not None:
        return HubCaptions(train, rest, encoder)
    data = HubData(train, rest, None if labels is None else labels[numbers])
    small = 4 * count * sum(torch.Size(field.shape).numel() for field in data.fields.values()) <= budget
    return data.resident() if small and not transform.augmented else data


def _classes(table: Table) -> tuple[Tensor | None, Sequence[str]]:
    """Labels of all rows, and the names of the classes: what the table says, or else all values that there are."""
    if "label" not in table.columns:
        return None, ()
    column = table.columns["label"]
    values = table.rows[column][:]
    classes = list(table.classes)
    if not classes:
        there = {value for value in values if isinstance(value, int | str)}
        classes = [str(value) for value in sorted(there, key=lambda value: (isinstance(value, str), value))]
        if not 2 <= len(classes) <= 10_000:
            raise GanflowError(f"data.columns: label: '{column}' has {len(classes)} different values, which are no classes")
    known = {value: i for i, value in enumerate(classes)}
    numbers = [known.get(str(value), -1) if not table.classes else value for value in values]
    outside = sum(not isinstance(n, int) or not 0 <= n < len(classes) for n in numbers)
    if outside:
        raise GanflowError(f"data.columns: label: {outside} rows of {table.name} have none of the {len(classes)} classes")
    return torch.tensor(numbers, dtype=torch.int64), classes


def _sentences(rows: Rows) -> list[list[str]]:
    """The captions of every row: one text, or a list of such.

    Raises:
        GanflowError: a row has none.
    """
    column = rows.table.columns["text"]
    every = rows.table.rows[column][:]
    found = []
    for number in rows.numbers:
        value = every[number]
        texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        sentences = [" ".join(text.split()) for text in texts if isinstance(text, str) and text.strip()]
        if not sentences:
            raise GanflowError(f"data.columns: text: row {number} of {rows.table.name} has no caption in '{column}'")
        found.append(sentences)
    return found


def digest_of(rows: Rows) -> str:
    """A short digest of what is done to a table's rows, of their number, and of the bytes of 2048 of them."""
    digest = hashlib.sha256(repr((rows.transform, sorted(rows.table.columns.items()), len(rows.numbers))).encode())
    count = len(rows.numbers)
    for i in range(count) if count <= HASHED else (i * count // HASHED for i in range(HASHED)):
        row: Mapping[str, Any] = rows.table.rows[rows.numbers[i]]
        for column in sorted(row):
            value = row[column]
            try:
                digest.update(rows.table.content(value, column))
            except (ValueError, OSError):  # a label, a caption, or an image that is broken
                digest.update(repr(value).encode(errors="replace"))
    return digest.hexdigest()[:16]
