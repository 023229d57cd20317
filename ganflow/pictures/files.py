"""Writing pictures and samples so that nobody ever reads half a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ganflow.atomic import replacing
from ganflow.errors import GanflowError

if TYPE_CHECKING:
    from PIL.Image import Image


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Yield a scratch file beside `path` that replaces it when the block ends well, and is removed when it does not.

    Raises:
        GanflowError: the file cannot be written (a full disk, a folder that is missing or read-only).
    """
    try:
        with replacing(path, durable=False) as scratch:  # a picture can be drawn again
            yield scratch
    except OSError as error:
        raise GanflowError(f"cannot write {path}: {error.strerror or error}") from error


def save_png(image: Image, path: Path) -> None:
    """Write a PNG atomically. The same picture gives the same bytes.

    Raises:
        GanflowError: the file cannot be written.
    """
    with replacing_file(path) as scratch:
        image.save(scratch, format="PNG", compress_level=3)  # half the time of level 6, a tenth more bytes
