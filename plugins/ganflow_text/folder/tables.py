"""Tables of captions: CSV, JSON Lines, Flickr8k's text and COCO's JSON."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ganflow import GanflowError, open_regular

PICTURE_COLUMNS = ("image", "file", "file_name", "filename", "path")
CAPTION_COLUMNS = ("caption", "captions", "text", "sentence")
_NUMBERED = re.compile(r"(?P<picture>[^\t]+)#\d+[ ]*\t(?P<caption>.*)")  # a line of Flickr8k's older layout


class Row(NamedTuple):
    """Captions of one picture in a table.

    Attributes:
        position: in the table, "line 3".
        captions: each on one line; empty ones where the table has nothing.
    """

    position: str
    picture: str
    captions: list[str]


def rows_of(table: Path) -> list[Row]:
    """All that a table says, by the ending of its name.

    Raises:
        GanflowError: it is no regular file, not UTF-8 text, or not what its ending says; with the line, and what to do.
    """
    reader = READERS.get(table.suffix.lower())
    if reader is None:
        raise GanflowError(f"data.captions: {table} is no table of captions, by its name; those end in {', '.join(READERS)}")
    return list(reader(table))


def read_text(file: Path, key: str = "data.captions") -> str:
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


def one_line(text: str) -> str:
    """A caption without line breaks: each is white space."""
    return " ".join(text.splitlines()).strip()


def _csv(table: Path) -> Iterator[Row]:
    return _rows_of_csv(table, read_text(table))


def _rows_of_csv(table: Path, text: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True)
    header: list[str] | None = None
    columns = (0, 0)
    first = 1
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _refused(table, first, _why(error)) from None
        number, first = first, reader.line_num + 1
        if not row:  # an empty line
            continue
        if header is None:
            header = [name.strip() for name in row]
            columns = (_column(header, PICTURE_COLUMNS, table, number), _column(header, CAPTION_COLUMNS, table, number))
            continue
        if len(row) > len(header):
            raise _refused(table, number, f"has {len(row)} columns, and the first line names {len(header)}"
                           + _quoted(row[len(header) - 1 :], columns[1] == len(header) - 1))  # fmt: skip
        picture, caption = (row[i] if i < len(row) else "" for i in columns)
        yield Row(f"line {number}", picture.strip(), [one_line(caption)])


def _why(error: csv.Error) -> str:
    if "field limit" in str(error):
        return f"has a field of more than {csv.field_size_limit()} characters; is a quote left open there?"
    if "unexpected end" in str(error):
        return "opens a quote that is never closed; write a quote within quotes twice"
    return f"is not CSV ({error}); put a caption that holds a quote in quotes, and write this one twice"


def _quoted(cells: list[str], caption: bool) -> str:
    advice = "put a caption that holds a comma in quotes"
    text = ", ".join(cells).replace('"', '""')
    return f'; {advice}: "{text}"' if caption and len(text) <= 100 else f"; {advice}"


def _column(header: list[str], names: tuple[str, ...], table: Path, line: int) -> int:
    found = next((name for name in names if name in header), None)
    if found is None:
        older = " (or, in every line, picture.jpg#0, a tab and a caption)" if table.suffix.lower() == ".txt" else ""
        raise _refused(table, line, f"names the columns, and none is called {', '.join(names)}; let it be: image,caption{older}")
    if header.count(found) > 1:
        raise _refused(table, line, f"names the column {found} {header.count(found)} times; leave one")
    return header.index(found)


def _flickr(table: Path) -> Iterator[Row]:
    """Flickr8k's captions: CSV, or in its older layout a line "picture.jpg#0", a tab and the caption."""
    text = read_text(table)
    lines = text.replace("\r\n", "\n").split("\n")
    if not _NUMBERED.fullmatch(next((line for line in lines if line.strip()), "")):
        yield from _rows_of_csv(table, text)
        return
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        found = _NUMBERED.fullmatch(line)
        if not found:
            raise _refused(table, number, "is not like the first: picture.jpg#0, a tab and a caption")
        yield Row(f"line {number}", found["picture"], [one_line(found["caption"])])


def _json_lines(table: Path) -> Iterator[Row]:
    """Objects, one a line; only a line feed ends a line (U+2028 may be in a text)."""
    for number, line in enumerate(read_text(table).split("\n"), 1):
        if not line.strip():
            continue
        row = _parsed(line, table, number)
        if not isinstance(row, dict):
            raise _refused(table, number, "is not an object with a picture and a caption")
        picture, captions = _value(row, PICTURE_COLUMNS, table, number), _value(row, CAPTION_COLUMNS, table, number)
        yield Row(f"line {number}", *_checked(picture, captions, f"line {number}", table))


def _coco(table: Path) -> Iterator[Row]:
    """COCO's captions: images by id, and annotations that name their image's."""
    found = _parsed(read_text(table), table, 1)
    lists = [found.get(name) if isinstance(found, dict) else None for name in ("images", "annotations")]
    images, annotations = lists
    if not isinstance(images, list) or not isinstance(annotations, list):
        raise GanflowError(f'data.captions: {table} is not laid out as COCO\'s captions: {{"images": [{{"id", "file_name"}}], '
                           '"annotations": [{"image_id", "caption"}]}; one object a line is a .jsonl file')  # fmt: skip
    names: dict[str, Any] = {}
    for number, image in enumerate(images, 1):
        if not isinstance(image, dict) or "id" not in image or "file_name" not in image:
            raise GanflowError(f"data.captions: image {number} of {table} has no id and file_name")
        names[repr(image["id"])] = image["file_name"]
    for number, annotation in enumerate(annotations, 1):
        position = f"annotation {number}"
        if not isinstance(annotation, dict) or "image_id" not in annotation or "caption" not in annotation:
            raise GanflowError(f"data.captions: {position} of {table} has no image_id and caption; COCO's captions are in the "
                               "files captions_*.json")  # fmt: skip
        if (id := repr(annotation["image_id"])) not in names:
            raise GanflowError(f"data.captions: {position} of {table} is about the image {id[:40]}, which is none of its images")
        yield Row(position, *_checked(names[id], annotation["caption"], position, table))


def _parsed(text: str, table: Path, line: int) -> Any:
    """The value of a text of JSON that begins in this line of the table."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise _refused(table, line + error.lineno - 1, f"is not JSON: {error.msg}") from None
    except RecursionError:
        raise _refused(table, line, "holds JSON that is nested too deep to be read; take out what is no caption") from None
    except ValueError:  # of a number
        raise _refused(table, line, "holds a number of too many digits to be read; take it out, or put it in "
                       "quotes") from None  # fmt: skip


def _value(row: dict[str, Any], names: Iterable[str], table: Path, number: int) -> Any:
    for name in names:
        if name in row:
            return row[name]
    raise _refused(table, number, f"has none of the columns {', '.join(names)}")


def _checked(picture: Any, captions: Any, position: str, table: Path) -> tuple[str, list[str]]:
    """A picture's name and its captions as text."""
    several = [caption for caption in (captions if isinstance(captions, list) else [captions]) if caption is not None]
    if not isinstance(picture, str) or not all(isinstance(caption, str) for caption in several):
        raise GanflowError(f"data.captions: {position} of {table} has a picture or a caption that is not text; put it in quotes")
    return picture, [one_line(caption) for caption in several]


def _refused(table: Path, line: int, why: str) -> GanflowError:
    return GanflowError(f"data.captions: line {line} of {table} {why}")


READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".csv": _csv,
    ".jsonl": _json_lines,
    ".txt": _flickr,
    ".json": _coco,
}
