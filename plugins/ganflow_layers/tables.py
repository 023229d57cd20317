"""Tables that lie beside images: text of a user's, and CSV with columns that have names."""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ganflow import GanflowError, open_regular

PICTURE_COLUMNS = ("image", "file", "file_name", "filename", "path")
MOST = 10  # offenders that an error names


def listed(names: Sequence[str]) -> str:
    """a, b, c and 4 more."""
    more = len(names) - MOST
    return ", ".join(names[:MOST]) + (f" and {more} more" if more > 0 else "")


def read_text(file: Path, key: str) -> str:
    """The text of a file, its line ends as they are. `key` opens the errors."""
    try:
        with open_regular(file) as opened:
            raw = opened.read()
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise GanflowError(f"{key}: {file} is not UTF-8 text (byte 0x{raw[error.start]:02x} in line {line}); save it as "
                           "UTF-8") from None  # fmt: skip
    except OSError as error:
        raise GanflowError(f"{key}: cannot read {file}: {error.strerror}") from None


def csv_rows(
    table: Path, text: str, columns: Sequence[Sequence[str]], key: str, surplus: Callable[[list[str], bool], str], more: str = "",
    separator: str = ",",
) -> Iterator[tuple[int, list[str]]]:  # fmt: skip
    """Line and cells of each row of a CSV table, whose first line names the columns.

    Args:
        columns: names of each that is wanted; the first that there is counts.
        key: opens the errors.
        surplus: advice on a row of too many cells, by those from the last column on, and whether that one is the last wanted.
        more: advice on a first line that names no such column.
        separator: a comma, or a tab.

    Raises:
        GanflowError: it is no CSV, lacks a column, or has a row with more cells than columns; with the line, and what to do.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    header: list[str] | None = None
    wanted: list[int] = []
    first = 1
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise GanflowError(f"{key}: line {first} of {table} {_why(error)}") from None
        number, first = first, reader.line_num + 1
        if not row:  # an empty line
            continue
        where = f"{key}: line {number} of {table}"
        if header is None:
            header = [name.strip() for name in row]
            wanted = [_column(header, names, columns, where, more, separator) for names in columns]
            continue
        if len(row) > len(header):
            advice = surplus(row[len(header) - 1 :], wanted[-1] == len(header) - 1)
            raise GanflowError(f"{where} has {len(row)} columns, and the first line names {len(header)}; {advice}")
        yield number, [row[i] if i < len(row) else "" for i in wanted]


def _why(error: csv.Error) -> str:
    if "field limit" in str(error):
        return f"has a field of more than {csv.field_size_limit()} characters; is a quote left open there?"
    if "unexpected end" in str(error):
        return "opens a quote that is never closed; write a quote within quotes twice"
    what = str(error).replace("'\t'", "a tab")
    return f"is not CSV ({what}); put a caption that holds a quote in quotes, and write this one twice"


def _column(
    header: list[str], names: Sequence[str], columns: Sequence[Sequence[str]], where: str, more: str, separator: str
) -> int:
    found = next((name for name in names if name in header), None)
    if found is None:
        as_it_should = (", a tab, " if separator == "\t" else separator).join(several[0] for several in columns)
        close = [(near[0], name) for name in header if (near := difflib.get_close_matches(name.lower(), names, 1))]
        meant = "did you mean '{}' by '{}'? Let".format(*close[0]) if close else "let"
        raise GanflowError(f"{where} names the columns, and none is called {', '.join(names)}; {meant} it be: {as_it_should}"
                           f"{more}")  # fmt: skip
    if header.count(found) > 1:
        raise GanflowError(f"{where} names the column {found} {header.count(found)} times; leave one")
    return header.index(found)
