"""Tables of captions: CSV, tabs, JSON Lines, Flickr8k's text, Flickr30k's bars, COCO's JSON and that of Karpathy's splits."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ganflow_layers.tables import PICTURE_COLUMNS, csv_rows, read_text

from ganflow import GanflowError

KEY = "data.captions"
CAPTION_COLUMNS = ("caption", "captions", "text", "sentence")
_NUMBERED = re.compile(r"(?P<picture>[^\t]+)#\d+[ ]*\t(?P<caption>.*)")  # a line of Flickr8k's older layout
_BARS = re.compile(r"\s*image_name\s*\|\s*comment_number\s*\|\s*comment\s*")  # the first line of Flickr30k's results.csv
# One line of the file that people have lacks the second bar: "2199200615.jpg| 4   A dog runs across the grass ."
_COMMENT = re.compile(r"(?P<picture>[^|]+)\|\s*\d+(?:\s*\||\s+(?=[^\s|]))(?P<caption>[^|]*)")
TRAINING = ("train", "restval")
"""Parts of Karpathy's splits that are trained on."""


class Row(NamedTuple):
    """Captions of one picture in a table.

    Attributes:
        position: in the table, "line 3".
        captions: each on one line; empty ones where the table has nothing.
        training: False where the table keeps the picture from training; None where it does not say.
    """

    position: str
    picture: str
    captions: list[str]
    training: bool | None = None


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
    """CSV, or Flickr30k's results.csv by its first line."""
    text = read_text(table, KEY)
    lines = _lines(text)
    return _bars(table, lines) if _BARS.fullmatch(next(filter(str.strip, lines), "")) else _rows_of_csv(table, text)


def _tabs(table: Path) -> Iterator[Row]:
    """CSV with tabs for commas, quotes included: what spreadsheets write."""
    return _rows_of_csv(table, read_text(table, KEY), "\t")


def _rows_of_csv(table: Path, text: str, separator: str = ",") -> Iterator[Row]:
    older = " (or, in every line, picture.jpg#0, a tab and a caption)" if table.suffix.lower() in (".txt", ".token") else ""
    columns = (PICTURE_COLUMNS, CAPTION_COLUMNS)
    for number, (picture, caption) in csv_rows(table, text, columns, KEY, partial(_quoted, separator), older, separator):
        yield Row(f"line {number}", picture.strip(), [one_line(caption)])


def _quoted(separator: str, cells: list[str], caption: bool) -> str:
    if separator == "\t":
        return "put a caption that holds a tab in quotes, or a space in the tab's place"
    advice = "put a caption that holds a comma in quotes"
    text = ", ".join(cells).replace('"', '""')
    return f'{advice}: "{text}"' if caption and len(text) <= 100 else advice


def _lines(text: str) -> list[str]:
    """Those of a text where only a line feed, or one after a carriage return, ends a line (U+2028 may be in a caption)."""
    return text.replace("\r\n", "\n").split("\n")


def _bars(table: Path, lines: list[str]) -> Iterator[Row]:
    """Flickr30k's captions: a line "picture.jpg| 0| caption", in which quotes mean nothing."""
    named = False
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if not named:  # the first line
            named = True
            continue
        if (cells := line.count("|") + 1) > 3:
            raise _refused(table, number, f"has {cells} columns, and the first line names 3; a caption cannot hold the bar |")
        found = _COMMENT.fullmatch(line)
        if not found:
            raise _refused(table, number, "is not like Flickr30k's: picture.jpg| 0| a caption")
        yield Row(f"line {number}", found["picture"].strip(), [one_line(found["caption"])])


def _flickr(table: Path) -> Iterator[Row]:
    """Flickr8k's captions: CSV, or in its older layout, which Flickr30k's .token has too, a line "picture.jpg#0", a tab and the
    caption."""
    text = read_text(table, KEY)
    lines = _lines(text)
    if not _NUMBERED.fullmatch(next(filter(str.strip, lines), "")):
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


def _json(table: Path) -> Iterator[Row]:
    """COCO's captions, or a file of Karpathy's splits."""
    found = _parsed(read_text(table, KEY), table, 1)
    images = found.get("images") if isinstance(found, dict) and "annotations" not in found else None
    return _karpathy(table, images) if images and isinstance(images, list) else _coco(table, found)


def _karpathy(table: Path, images: list[Any]) -> Iterator[Row]:
    """Karpathy's splits of Flickr8k, Flickr30k and COCO: images with their sentences and the part that each is in."""
    for number, image in enumerate(images, 1):
        position, about = f"image {number}", image if isinstance(image, dict) else {}
        name, folder, part = (about.get(key, "") for key in ("filename", "filepath", "split"))
        sentences = about.get("sentences")
        several = sentences if isinstance(sentences, list) else [None]
        raw: list[Any] = [sentence.get("raw") if isinstance(sentence, dict) else None for sentence in several]
        if not name or not all(isinstance(text, str) for text in (name, folder, part, *raw)):
            raise GanflowError(f'data.captions: {position} of {table} is not as in Karpathy\'s splits: {{"filename", "split", '
                               '"sentences": [{"raw"}]}, all of them text; COCO\'s layout has "annotations" beside '
                               '"images"')  # fmt: skip
        where = f"{folder}/{name}" if folder else name
        yield Row(position, where, [one_line(text) for text in raw], not part or part in TRAINING)


def _coco(table: Path, found: Any) -> Iterator[Row]:
    """COCO's captions: images by id, and annotations that name their image's."""
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
    names = list(names)
    close = [(near[0], name) for name in row if (near := difflib.get_close_matches(name.lower(), names, 1))]
    meant = "; did you mean '{}' by '{}'?".format(*close[0]) if close else ""
    raise _refused(table, number, f"has none of the columns {', '.join(names)}{meant}")


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
    ".tsv": _tabs,
    ".jsonl": _json_lines,
    ".txt": _flickr,
    ".token": _flickr,
    ".json": _json,
}
