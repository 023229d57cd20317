"""Parquet files of samples: a row is one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ganflow_layers.omissions import Omissions, Unusable
from ganflow_layers.streams import Sample, Source

from ganflow import GanflowError, open_regular

ROWS = 32
"""Rows that are decoded at once."""


class Tables(Source):
    """Rows of parquet files, those columns alone that are wanted.

    Attributes:
        columns: which; empty for all.

    Raises:
        GanflowError: pyarrow is not installed.
    """

    def __init__(self, files: Sequence[Path], omissions: Omissions) -> None:
        super().__init__(omissions)
        try:
            import pyarrow.parquet
        except ModuleNotFoundError:
            raise GanflowError("data.path: parquet files are read by pyarrow, which is not installed: "
                               "pip install 'ganflow[parquet]'") from None  # fmt: skip
        self._parquet = pyarrow.parquet
        self.files, self.shards = files, len(files)
        self.columns: list[str] = []

    def samples(self, shard: int, position: int) -> Iterator[Sample]:
        file = self.files[shard]
        try:
            with open_regular(file) as opened:
                table = self._parquet.ParquetFile(opened)
                first = 0
                for group in range(table.num_row_groups):
                    count = table.metadata.row_group(group).num_rows
                    if first + count > position:
                        yield from self._rows(table, group, first, position, shard)
                    first += count
        except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors, too
            self.omissions.settle([Unusable(f"the rest of {file.name}", str(error))])

    def _rows(self, table: Any, group: int, first: int, position: int, shard: int) -> Iterator[Sample]:
        row = first
        for batch in table.iter_batches(ROWS, row_groups=[group], columns=self.columns or None):
            if row + len(batch) > position:
                for i, parts in enumerate(batch.to_pylist(), row):
                    if i >= position:
                        yield Sample(shard, i, i + 1, f"{self.files[shard].name}: row {i}", parts)
            row += len(batch)

    def schema(self) -> tuple[list[str], dict[str, list[str]]]:
        """The columns of the first file, and names of classes where its schema has them, as `datasets` writes them."""
        try:
            with open_regular(self.files[0]) as opened:
                schema = self._parquet.ParquetFile(opened).schema_arrow
        except (OSError, ValueError) as error:
            raise GanflowError(f"data.path: cannot read {self.files[0]}: {error}") from None
        return list(schema.names), _class_names(schema.metadata or {})


def _class_names(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """Names of classes by column, as `datasets` writes them into a schema; none where they are not there or something else."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        named = {column: feature["names"] for column, feature in features.items() if feature.get("_type") == "ClassLabel"}
        return {column: n for column, n in named.items() if isinstance(n, list) and all(isinstance(name, str) for name in n)}
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return {}
