"""Atomic writes: a reader sees the old file or the new one, whole, also after a power cut."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ganflow.inside import open_file


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a scratch file beside `path` that replaces it when the block ends well, and is removed when it does not.

    Args:
        durable: wait until the file and its name are on the disk; without, a power cut may leave the old file.

    Raises:
        OSError: the file cannot be written; its `filename` is `path`. The old file is left alone.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scratch.unlink(missing_ok=True)  # which may be a link
        yield scratch
        if durable:
            _sync(scratch)
        os.replace(scratch, path)
        if durable and os.name != "nt":  # where folders cannot be opened
            _sync(path.parent)
    except OSError as error:
        if error.errno and (error.filename is None or str(error.filename) == str(scratch)):  # a failed write names no file
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        with suppress(OSError):
            scratch.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Replace a file by a text; raises OSError as `replacing`."""
    with replacing(path) as scratch, os.fdopen(open_file(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "w") as file:
        file.write(text)


def append_line(file: int, line: bytes) -> None:
    """Write a line at the end of an open file, whole or not at all; raises OSError where there is no room for it."""
    written = os.write(file, line)
    if written < len(line):  # a full disk: take the part back, so that the next line starts on its own
        os.ftruncate(file, os.fstat(file).st_size - written)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
