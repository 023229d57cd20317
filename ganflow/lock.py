"""The lock between processes: held through a file, released by the system when its holder ends, however that ends.

`is_locked` asks the system who holds it and holds nothing itself, so that asking never refuses anybody (`filelock` can only try
to acquire). On Linux these are record locks of an open file; elsewhere `flock`, which cannot be asked: there the question is a
shared lock of some microseconds, which `locked` waits for.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ganflow.errors import GanflowError, escaped
from ganflow.files import open_file

_ASKS = sys.platform == "linux"
_RECORD = "hhlli0l"  # struct flock: type, whence, start, length (0: to the end), pid
_BUSY = (errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK)


class Held(GanflowError):
    """Another process holds the lock, and did not release it in time."""


class Unopened(GanflowError, OSError):
    """The lock's file cannot be opened: a folder that cannot be written."""

    @property
    def lines(self) -> list[str]:
        return [escaped(f"cannot write {self.filename}: {self.strerror}")]


@contextmanager
def locked(path: Path, timeout: float = 0, shared: bool = False) -> Iterator[None]:
    """Hold the lock of this file, which is made where it is missing. Several processes may share it while none has it alone.

    Raises:
        Held: (a GanflowError) another process held it for `timeout` seconds.
        Unopened: (a GanflowError, and an OSError) the file cannot be opened.
        OSError: its file system has no locks.
    """
    try:
        file = open_file(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise Unopened(error.errno, error.strerror, str(path)) from error
    deadline = time.monotonic() + max(timeout, 0 if _ASKS else 0.2)
    try:
        while not _acquired(file, shared):
            if time.monotonic() > deadline:
                raise Held(f"another process holds {path}")
            time.sleep(0.01)
        yield
    finally:
        os.close(file)  # releases it


def is_locked(path: Path) -> bool:
    """Tell whether a process holds the lock. Nobody holds what is missing, a link, or not to be opened."""
    try:
        file = open_file(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        if not _ASKS:
            return not _acquired(file, shared=True)
        import fcntl

        answer = fcntl.fcntl(file, fcntl.F_OFD_GETLK, struct.pack(_RECORD, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        return bool(struct.unpack(_RECORD, answer)[0] != fcntl.F_UNLCK)
    finally:
        os.close(file)


def _acquired(file: int, shared: bool) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
            return True
        import fcntl

        if _ASKS:
            kind = fcntl.F_RDLCK if shared else fcntl.F_WRLCK
            fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack(_RECORD, kind, os.SEEK_SET, 0, 0, 0))
        else:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _BUSY:
            raise
        return False
    return True
