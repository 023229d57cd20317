"""Pages and frames of image files that have several."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ganflow import IMAGE_ERRORS, in_threads, open_image, print_lines

_SEVERAL = (".gif", ".tif", ".tiff", ".webp")
"""Endings of files that may have several pages or frames."""
COUNTED = 1000
KEPT = 16
"""Pictures that stay open, at the frames that were read last."""


@dataclass(frozen=True)
class _Picture:
    """Open picture of several frames; `about` says of which file, as it was then."""

    about: tuple[Any, ...]
    image: Image.Image
    closing: ExitStack


class _Pool:
    """Pictures that stay open, and that nobody reads at the moment; the one that was read last is at the end.

    Most formats say what differs from the frame before, so that a frame costs all that come before it. A picture that was left at
    one of them goes on from there. Frames in sequence are decoded once, or once by each thread; frames that are drawn at random
    cost a ninth of what they cost from the first one on.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free: list[_Picture] = []

    def open(self, file: Path, frame: int) -> _Picture:
        """A picture at this frame, or at one before it."""
        found = os.stat(file)
        about = (os.getpid(), str(file), found.st_mtime_ns, found.st_size, found.st_ino)
        with self._lock:
            before = [each for each in self._free if each.about == about and each.image.tell() <= frame]
            if before:
                nearest = max(before, key=lambda each: each.image.tell())
                self._free.remove(nearest)
                return nearest
        with ExitStack() as closing:
            return _Picture(about, closing.enter_context(open_image(file)), closing.pop_all())

    def give_back(self, picture: _Picture) -> None:
        """Keep a picture open, and close the one that was not read for the longest time if they are too many."""
        with self._lock:
            self._free.append(picture)
            closed = self._free.pop(0) if len(self._free) > KEPT else None
        if closed:
            closed.closing.close()


_POOL = _Pool()


@contextmanager
def opened(file: Path | bytes, frame: int = 0) -> Iterator[Image.Image]:
    """Open a picture as it is, at one of its frames. It is not to be changed, nor used after the block.

    Raises:
        one of IMAGE_ERRORS: it is no image, or a damaged one.
    """
    if not frame or isinstance(file, bytes):
        with open_image(file) as image:
            image.seek(frame)
            yield image
        return
    picture = _POOL.open(file, frame)
    try:
        picture.image.seek(frame)
        yield picture.image
    except BaseException:
        picture.closing.close()
        raise
    _POOL.give_back(picture)


def further_frames(folder: Path, files: Sequence[str], used: bool, remedy: str = "data.frames=all") -> dict[str, int]:
    """Pages or frames after the first, by file; none where they are not used: then a line is printed that says how many there
    are in up to COUNTED files."""
    several = [file for file in files if Path(file).suffix.lower() in _SEVERAL]
    examined = several if used else several[:COUNTED]
    counts = in_threads(lambda file: frames_in(folder / file) - 1, examined)
    more = {file: count for file, count in zip(examined, counts, strict=True) if count > 0}
    if not more or used:
        return more
    files_have = "1 file has" if len(more) == 1 else f"{len(more)} files have"
    left = f"{sum(more.values())} pages or frames after the first are left out; {remedy} uses them"
    print_lines(f"ganflow: {files_have} several: {left}", err=True)
    return {}


def frames_in(file: Path) -> int:
    """The number of pages or frames in an image file; 1 where it cannot be read: that shows when it is."""
    try:
        with open_image(file) as image:
            return int(getattr(image, "n_frames", 1))
    except IMAGE_ERRORS:
        return 1
