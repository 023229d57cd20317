"""Files of a folder that may come from a stranger: nothing in it leads out of it, and nothing in it waits for ever."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

_SAFELY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


def open_file(path: Path | str, flags: int) -> int:
    """Open a regular file, as `os.open` does; a link is not followed, a pipe or a device not waited for.

    Raises:
        OSError: the file cannot be opened, is a link, or is no file.
    """
    file = os.open(path, flags | _SAFELY, 0o666)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return file


def read_bytes(path: Path, most: int = -1) -> bytes:
    """The bytes of a regular file, or the first `most` of them; raises OSError as `open_file`."""
    with os.fdopen(open_file(path, os.O_RDONLY), "rb") as file:
        return file.read(most)


def foreign(folder: Path, passed_over: Callable[[str], bool] = lambda name: False) -> str | None:
    """What in a folder does not belong to it, in a few words: "samples is a link to …"; None where there is nothing.

    That is a link that leads out of the folder, and what is neither a file nor a folder.

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
