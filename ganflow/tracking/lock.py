"""A lock between processes: held through a file, let go by the operating system when its holder dies."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ganflow.inside import open_file


class Held(Exception):
    """Another process holds the lock, and did not let go in time."""


@contextmanager
def locked(path: Path, timeout: float, shared: bool = False) -> Iterator[None]:
    """Hold the lock of this file, waiting for it up to `timeout` seconds; raises Held. Several may share it, where the
    system can (not Windows), while nobody has it alone."""
    file = open_file(path, os.O_RDWR | os.O_CREAT)
    deadline = time.monotonic() + timeout
    try:
        while not _take(file, shared):
            if time.monotonic() > deadline:
                raise Held(str(path))
            time.sleep(0.05)
        yield
    finally:
        os.close(file)  # lets go


if sys.platform == "win32":
    import msvcrt

    def _take(file: int, shared: bool) -> bool:
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _take(file: int, shared: bool) -> bool:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
