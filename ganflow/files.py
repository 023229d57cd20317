"""Files: safely opened in a folder that may be a stranger's, and atomically replaced."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ganflow.advised import option
from ganflow.errors import GanflowError

_AT_ONCE = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_SAFELY = getattr(os, "O_NOFOLLOW", 0) | _AT_ONCE
_IRREGULAR = "not a regular file"
IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff")


def open_file(path: Path | str, flags: int) -> int:
    """Open a regular file, as `os.open` does; a link is not followed, a pipe or a device not waited for.

    Raises:
        OSError: the file cannot be opened, is a link, or is no file.
    """
    return _regular(path, os.open(path, flags | _SAFELY, 0o666))


def open_regular(path: Path | str) -> BinaryIO:
    """Open a file of the user's to read its bytes, never waiting for a named pipe or a device.

    Links are followed, as to data that lie elsewhere. In a folder that may be a stranger's, `open_file` follows none.

    Raises:
        OSError: the file cannot be opened; with EINVAL, it is a folder, a pipe, a socket or a device ("not a regular file"), or
            no file can have such a name.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # to open a device may already move it
            raise OSError(errno.EINVAL, _IRREGULAR, str(path))
        return open(path, "rb", opener=lambda name, flags: _regular(name, os.open(name, flags | _AT_ONCE)))
    except ValueError as error:  # a NUL in it
        raise OSError(errno.EINVAL, f"no file has such a name ({error})", str(path)) from None


def _regular(path: Path | str, file: int) -> int:
    """The open file, closed and refused unless it is a regular one."""
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, _IRREGULAR, str(path))
    return file


def user_path(key: str, text: str, folder: Path | None = None) -> Path:
    """The path of the user's that a key of a recipe names, below `folder` if it is relative; "~" in front is a user's folder.
    There need be nothing, but of another user's.

    Raises:
        GanflowError: it can be no path: there is no such user, it is too long, holds a NUL, or is a link that leads to itself; or
            ~user/x leads to nothing, where most likely a folder here is meant that is called so.
    """
    text_shown = repr(text) if len(text) <= 70 else f"{text[:50]!r} … ({len(text)} characters)"
    expanded = os.path.expanduser(text)
    user = text.partition("/")[0]
    if user.startswith("~") and user != "~" and not os.path.lexists(expanded):
        known = expanded != text
        what = f"it means {expanded}, which is not there" if known else f"there is no user {user[1:]!r}"
        raise GanflowError(f"{key}: {text_shown}: {what}; for a folder here that is called so, write ./{user}")
    path = Path(expanded) if folder is None else folder / expanded
    try:
        os.stat(path)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno not in (errno.ENAMETOOLONG, errno.ELOOP):
            return path  # whoever reads it says what is missing
        why = error.strerror if isinstance(error, OSError) else "it holds a NUL, or half a character"
        raise GanflowError(f"{key}: {text_shown} cannot be a path: {why}") from None
    return path


def check_output_path(path: Path, endings: tuple[str, ...]) -> Path:
    """A file that is to be written, checked before anything is computed.

    Raises:
        GanflowError: its ending is none of these, or its folder is not there.
    """
    if path.suffix.lower() not in endings:
        how = f"put a name before {path.name}" if path.name.lower() in endings else f"end its name in {' or '.join(endings)}"
        raise GanflowError(f"what should {path} be? {how}")
    if not path.parent.is_dir():
        raise GanflowError(f"there is no folder {path.parent}/ to write {path.name} in")
    return path


def check_readable(*folders: Path) -> None:
    """Check that folders, where they are there, can be read: what is in others seems not to be there.

    Raises:
        GanflowError: one cannot.
    """
    for folder in folders:
        if os.path.isdir(folder) and not os.access(folder, os.R_OK | os.X_OK):
            raise GanflowError(f"cannot read the folder {folder}: {os.strerror(errno.EACCES)}")


def check_utf8(folder: Path) -> None:
    """Raises GanflowError: the path of a folder is not UTF-8. Python opens it, and safetensors and MLflow do not."""
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise GanflowError(f"{folder}: the path is not UTF-8, and checkpoints cannot be read there; rename the folder, or choose "
                           "another one for runs with " + option("--runs")) from None  # fmt: skip


def read_bytes(path: Path, most: int = -1) -> bytes:
    """The bytes of a regular file, or the first `most` of them; raises OSError as `open_file`."""
    with os.fdopen(open_file(path, os.O_RDONLY), "rb") as file:
        return file.read(most)


def foreign(folder: Path, passed_over: Callable[[str], bool] = lambda name: False) -> str | None:
    """Something in a folder that does not belong to it, in a few words: "samples is a link to …"; None where there is nothing.

    That is a link that leads out of the folder, or neither a file nor a folder.

    Args:
        passed_over: whether what is in a folder of this name is left to others.
    """
    root = os.path.realpath(folder)
    within = [""]
    while within:
        name = within.pop()
        with os.scandir(os.path.join(root, name)) as entries:
            for entry in entries:
                inner = os.path.join(name, entry.name)
                if entry.is_symlink():
                    to = os.path.realpath(entry.path)
                    if to != root and not to.startswith(os.path.join(root, "")):
                        return f"{inner} is a link to {to}"
                elif entry.is_dir():
                    if not passed_over(inner):
                        within.append(inner)
                elif not entry.is_file() and os.path.lexists(entry.path):  # it may be removed meanwhile
                    return f"{inner} is neither a file nor a folder"
    return None


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
