"""Captions by picture, however the folder is laid out."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ganflow_layers.files import find_images

from ganflow import GanflowError

TABLES = (".csv", ".jsonl")
PICTURE_COLUMNS = ("image", "file", "file_name", "filename", "path")
CAPTION_COLUMNS = ("caption", "captions", "text", "sentence")
MOST = 10  # offenders that an error names

Captioned = dict[str, list[str]]
"""Paths of pictures below the folder, sorted, and their captions."""


def captioned(folder: Path, captions: str | None, extensions: Sequence[str]) -> Captioned:
    """All pictures with their sentences.

    Args:
        folder: laid out in one of three ways: a .txt of the same name beside every picture; the same folders below images/ and
            below text/ (CUB's); or pictures anywhere and one table of captions.
        captions: the table, or the folder of .txt files, below the folder; None to look for it.

    Raises:
        GanflowError: pictures lack a caption or the other way round, a caption file is empty or not UTF-8, or there is none.
    """
    inside = folder / "images"
    cub = inside.is_dir() and (captions is not None or (folder / "text").is_dir())
    pictures = find_images(inside if cub else folder, list(extensions), True)
    if cub:
        pictures = [f"images/{picture}" for picture in pictures]
    where = folder / captions if captions else None
    if where is not None and not where.exists():
        raise GanflowError(f"data.captions: there is no {where}")
    table = where if where and where.is_file() else None if where or cub else lone_table(folder)
    if table:
        found = from_table(table, pictures, folder)
    else:
        found = from_files(pictures, folder, where or (folder / "text" if cub else folder), cub)
    if silent := [picture for picture in pictures if not found.get(picture)]:
        raise GanflowError(f"data.path: {_count(silent, 'picture')} in {folder} without a caption: {listed(silent)}; "
                           "give each one a caption, or take it away")  # fmt: skip
    return {picture: found[picture] for picture in pictures}


def lone_table(folder: Path) -> Path | None:
    """The one .csv or .jsonl of the folder; None where there is none.

    Raises:
        GanflowError: there are several.
    """
    tables = sorted(file for file in folder.glob("*") if file.suffix.lower() in TABLES) if folder.is_dir() else []
    if len(tables) > 1:
        raise GanflowError(f"data.captions: which of {listed([t.name for t in tables])} holds the captions?")
    return tables[0] if tables else None


def from_files(pictures: Sequence[str], folder: Path, texts: Path, cub: bool) -> Captioned:
    """One .txt per picture, a caption per line."""
    found: Captioned = {}
    wanted = {}
    for picture in pictures:
        name = Path(picture).relative_to("images") if cub else Path(picture)
        wanted[(texts / name).with_suffix(".txt")] = picture
    there = {file for file in texts.rglob("*.txt") if not any(part.startswith(".") for part in file.relative_to(texts).parts)}
    if not there:
        tables = " or ".join(TABLES)
        raise GanflowError(f"data.path: no captions in {folder}: .txt files named like the pictures, or one {tables} file")
    if alone := sorted(there - wanted.keys()):
        names = [str(file.relative_to(folder)) for file in alone]
        raise GanflowError(f"data.path: {_count(names, 'caption file')} in {folder} whose picture is missing: {listed(names)}")
    empty = []
    for file in sorted(there):
        lines = [line.strip() for line in _read(file).splitlines() if line.strip()]
        found[wanted[file]] = lines
        if not lines:
            empty.append(str(file.relative_to(folder)))
    if empty:
        raise GanflowError(f"data.path: {_count(empty, 'caption file')} in {folder} without a word: {listed(empty)}")
    return found


def from_table(table: Path, pictures: Sequence[str], folder: Path) -> Captioned:
    """Rows of a picture and a caption (in JSON also a list of them); a picture can have several rows."""
    found: Captioned = {}
    rows = list(_csv(table) if table.suffix.lower() == ".csv" else _jsonl(table))
    if not rows:
        raise GanflowError(f"data.captions: there is no caption in {table}")
    known = set(pictures)
    missing, empty = [], []
    for number, row in rows:
        picture, captions = _column(row, PICTURE_COLUMNS, table, number), _column(row, CAPTION_COLUMNS, table, number)
        texts = [str(c).strip() for c in (captions if isinstance(captions, list) else [captions]) if c is not None]
        name = str(picture)
        if name not in known and f"images/{name}" in known:
            name = f"images/{name}"
        if name not in known:
            missing.append(f"{picture} (line {number})")
        elif not texts or not all(texts):
            empty.append(f"line {number}")
        found.setdefault(name, []).extend(texts)
    if missing:
        raise GanflowError(f"data.captions: {table} has captions for pictures that are not in {folder}: {listed(missing)}")
    if empty:
        raise GanflowError(f"data.captions: empty captions in {table}: {listed(empty)}")
    return found


def _csv(table: Path) -> Iterator[tuple[int, dict[str, object]]]:
    reader = csv.DictReader(_read(table).splitlines())
    for row in reader:
        yield reader.line_num, dict(row)


def _jsonl(table: Path) -> Iterator[tuple[int, dict[str, object]]]:
    for number, line in enumerate(_read(table).splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise GanflowError(f"data.captions: line {number} of {table} is not JSON: {error.msg}") from None
        if not isinstance(row, dict):
            raise GanflowError(f"data.captions: line {number} of {table} is not an object with a picture and a caption")
        yield number, row


def _column(row: dict[str, object], names: Iterable[str], table: Path, number: int) -> object:
    for name in names:
        if name in row:
            return row[name]
    raise GanflowError(f"data.captions: line {number} of {table} has none of the columns {', '.join(names)}")


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise GanflowError(f"data.path: {file} is not UTF-8 text") from None
    except OSError as error:
        raise GanflowError(f"data.path: cannot read {file}: {error.strerror}") from None


def _count(names: Sequence[str], what: str) -> str:
    return f"1 {what} is" if len(names) == 1 else f"{len(names)} {what}s are"


def listed(names: Sequence[str]) -> str:
    """a, b, c and 4 more."""
    more = len(names) - MOST
    return ", ".join(names[:MOST]) + (f" and {more} more" if more > 0 else "")
