"""Tables of captions: CSV, JSON Lines, Flickr8k's text and COCO's JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ganflow_layers.tables import PICTURE_COLUMNS, csv_rows, read_text

from ganflow import GanflowError

KEY = "data.captions"
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


def one_line(text: str) -> str:
    """A caption without line breaks: each is white space."""
    return " ".join(text.splitlines()).strip()


def _csv(table: Path) -> Iterator[Row]:
    return _rows_of_csv(table, read_text(table, KEY))


def _rows_of_csv(table: Path, text: str) -> Iterator[Row]:
    older = " (or, in every line, picture.jpg#0, a tab and a caption)" if table.suffix.lower() == ".txt" else ""
    for number, (picture, caption) in csv_rows(table, text, (PICTURE_COLUMNS, CAPTION_COLUMNS), KEY, _quoted, older):
        yield Row(f"line {number}", picture.strip(), [one_line(caption)])


def _quoted(cells: list[str], caption: bool) -> str:
    advice = "put a caption that holds a comma in quotes"
    text = ", ".join(cells).replace('"', '""')
    return f'{advice}: "{text}"' if caption and len(text) <= 100 else advice


def _flickr(table: Path) -> Iterator[Row]:
    """Flickr8k's captions: CSV, or in its older layout a line "picture.jpg#0", a tab and the caption."""
    text = read_text(table, KEY)
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
    for number, line in enumerate(read_text(table, KEY).split("\n"), 1):
        if not line.strip():
            continue
        row = _parsed(line, table, number)
        if not isinstance(row, dict):
            raise _refused(table, number, "is not an object with a picture and a caption")
        picture, captions = _value(row, PICTURE_COLUMNS, table, number), _value(row, CAPTION_COLUMNS, table, number)
        yield Row(f"line {number}", *_checked(picture, captions, f"line {number}", table))


def _coco(table: Path) -> Iterator[Row]:
    """COCO's captions: images by id, and annotations that name their image's."""
    found = _parsed(read_text(table, KEY), table, 1)
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
