"""Temporary folders, of which none is left behind: those of killed processes are removed by the next one that needs any.

A folder is locked while it is in use, and so the system knows when its process has ended; a pid would be another container's
as well.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path

from ganflow.lock import is_locked, locked

PREFIX = "ganflow-"
LOCK = ".ganflow-lock"
"""File by which such a folder is known, and locked."""
FRESH = 60  # seconds in which a folder may have been made by somebody who is about to lock it


@contextmanager
def scratch_folder(kind: str = "", base: Path | None = None) -> Iterator[Path]:
    """A folder for as long as the context lasts; there is nothing in it but the file of its lock.

    Args:
        kind: a part of its name, "store-".
        base: where, if not among the system's temporary files.
    """
    base = base or Path(tempfile.gettempdir())
    _clean(base)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{kind}", dir=base))
    try:
        with ExitStack() as held:
            with suppress(OSError):  # a file system without locks
                held.enter_context(locked(folder / LOCK))
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@cache
def _clean(base: Path) -> None:
    """Remove, once in a process, what this user's killed processes left in a folder."""
    for left in base.glob(f"{PREFIX}*"):
        with suppress(OSError):
            about, lock = left.lstat(), (left / LOCK).lstat()
            ours = stat.S_ISDIR(about.st_mode) and stat.S_ISREG(lock.st_mode) and about.st_uid == lock.st_uid == _user(about)
            if ours and time.time() - lock.st_mtime > FRESH and not is_locked(left / LOCK):
                shutil.rmtree(left, ignore_errors=True)


def _user(about: os.stat_result) -> int:
    return os.getuid() if hasattr(os, "getuid") else about.st_uid
