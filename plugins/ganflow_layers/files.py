"""The image files of a folder: which there are, and a digest of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from ganflow import GanflowError

RESIDENT_BYTES = 2**28
"""Images that take no more, and are not augmented, are kept in memory."""
CONTENT_BYTES = 2**28  # files up to here are fingerprinted by every byte


def find_images(folder: Path, extensions: list[str], recursive: bool) -> list[str]:
    """Relative paths of the images below `folder`, sorted, hidden ones left out, links followed."""
    wanted = {"." + e.lower().lstrip(".") for e in extensions}
    found, seen = [], set()

    def refuse(error: OSError) -> None:
        raise GanflowError(f"data.path: cannot read the folder {error.filename or folder}: {error.strerror}") from error

    try:
        os.scandir(folder).close()
    except FileNotFoundError as error:
        raise GanflowError(f"data.path: there is no folder {folder}") from error
    except OSError as error:  # a file, or no permission
        refuse(error)
    for parent, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        real = os.path.realpath(parent)
        folders[:] = [f for f in folders if not f.startswith(".")] if recursive and real not in seen else []
        if real in seen:  # a link that leads back
            continue
        seen.add(real)
        here = Path(parent).relative_to(folder)
        found += [(here / n).as_posix() for n in names if not n.startswith(".") and Path(n).suffix.lower() in wanted]
    if not found:
        where = f"in {folder} or below" if recursive else f"in {folder}"
        raise GanflowError(f"data.path: no images {where}; files that count: {', '.join(sorted(wanted))}")
    return sorted(found)


def digest_of_files(folder: Path, files: Sequence[str], treatment: str) -> str:
    """A short digest of the files' names, what is done to them and, up to 256 MiB, their bytes; beyond, sizes and times."""
    stats = [(folder / file).stat() for file in files]
    by_content = sum(s.st_size for s in stats) <= CONTENT_BYTES
    sha = hashlib.sha256(treatment.encode())
    for file, stat in zip(files, stats, strict=True):
        sha.update(f"\0{file}\0{stat.st_size}\0".encode())
        sha.update((folder / file).read_bytes() if by_content else str(stat.st_mtime_ns).encode())
    return sha.hexdigest()[:16]
