"""The image files of a folder: which there are, and a digest of them."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ganflow import IMAGE_ENDINGS, GanflowError, open_regular, print_lines

_HEIF = (".heic", ".heif")  # of telephones; Pillow reads them by a package of its own
EXTENSIONS = (*IMAGE_ENDINGS, *_HEIF)
"""Files that count as images where a recipe does not say which."""
_DRAWN = ".svg"  # which Pillow does not read
_OTHERS = {
    ".apng", ".arw", ".cr2", ".dds", ".dng", ".eps", ".exr", ".hdr", ".ico", ".j2k", ".jp2", ".jxl", ".nef", ".pcx", ".pgm",
    ".pnm", ".ppm", ".psd", ".raw", ".svg", ".tga",
}  # fmt: skip
"""Files that seem to be images, and are left out where a recipe does not name them."""
_SHARDS, _ARRAYS = {".tar", ".parquet"}, {".npy", ".npz", ".safetensors"}
"""Files that other components read."""
RESIDENT_BYTES = 2**28
"""Examples that take no more in float32, and are not augmented, are kept in memory, where a recipe does not say otherwise."""
BUDGET = "MiB that decoded examples for training may take in memory; more are decoded when they are drawn"
CONTENT_BYTES = 2**28  # files up to here are fingerprinted by every byte


def find_images(folder: Path, extensions: Sequence[str], recursive: bool, key: str | None = "data.path") -> list[str]:
    """Relative paths of the images below `folder`, sorted, hidden ones left out, links followed. Others that seem images are
    counted in a line that is printed.

    Args:
        key: of a recipe, that names the folder; None where none does.

    Raises:
        GanflowError: the folder is missing, cannot be read, or has no images.
    """
    wanted = {"." + e.lower().lstrip(".") for e in extensions}
    unreadable = set(_HEIF) if wanted & set(_HEIF) and not _reads_heif() else set()
    found, seen, others, endings = [], set(), Counter[str](), set()
    says = f"{key}: " if key else ""

    def refuse(error: OSError) -> None:
        raise GanflowError(f"{says}cannot read the folder {error.filename or folder}: {error.strerror}") from error

    try:
        os.scandir(folder).close()
    except FileNotFoundError as error:
        how = f"; name yours: {key}=FOLDER" if key else ""
        raise GanflowError(f"{says}there is no folder {folder}{how}") from error
    except NotADirectoryError as error:
        another = f": {key}={shlex.quote(str(folder.parent))}" if Path(folder).suffix.lower() in EXTENSIONS and key else ""
        if key and folder.suffix.lower() in _ARRAYS:
            another = f"; {_other('tensor_file', folder)} reads arrays"
        elif key and folder.suffix.lower() in _SHARDS:
            another = f"; {_other('shards', folder)} streams it"
        raise GanflowError(f"{says}{folder} is a file; name the folder of the images{another}") from error
    except OSError as error:  # no permission
        refuse(error)
    for parent, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        real = os.path.realpath(parent)
        folders[:] = [f for f in folders if not f.startswith(".")] if recursive and real not in seen else []
        if real in seen:  # a link that leads back
            continue
        seen.add(real)
        here = Path(parent).relative_to(folder)
        for name in names:
            suffix = Path(name).suffix.lower()
            if name.startswith("."):
                continue
            if suffix in wanted - unreadable:
                found.append((here / name).as_posix())
                endings.add(suffix)
            else:
                others[suffix] += 1
    if not found:
        where = f"in {folder} or below" if recursive else f"in {folder}"
        there = f"there are {_counted(others)}" if others else "there are no files"
        count = f"files that count: {', '.join(sorted(wanted))}{_how(others, wanted, set(), key, folder)}"
        raise GanflowError(f"{says}no images {where}, {there}; {count}")
    if left := Counter({suffix: n for suffix, n in others.items() if suffix in (*_HEIF, *_OTHERS)}):
        print_lines(f"ganflow: left out of {folder}: {_counted(left)}{_how(left, wanted, endings, key, folder)}", err=True)
    return sorted(found)


def _other(use: str, path: Path) -> str:
    """Override that reads the file by another component."""
    return shlex.quote(f"data={{use: {use}, path: {json.dumps(str(path), ensure_ascii=False)}}}")


def _counted(files: Counter[str]) -> str:
    """ "3 .heic, 1 .txt"."""
    return ", ".join(f"{count} {suffix or 'without an ending'}" for suffix, count in files.most_common(8))


def _how(files: Counter[str], wanted: set[str], used: set[str], key: str | None, folder: Path) -> str:
    """Ways to use files that were left out, where there are any, beside those with the endings `used`."""
    ways = []
    if any(suffix in wanted for suffix in files):
        ways.append("pip install 'ganflow[heif]' reads .heic")
    more = sorted(suffix for suffix in files if suffix in _OTHERS and suffix != _DRAWN)
    if key and (shards := sorted(_SHARDS & set(files))):
        ways.append(f"{_other('shards', folder)} streams {' or '.join(shards)}")
    if key and (arrays := sorted(_ARRAYS & set(files))):
        ways.append(f"'data={{use: tensor_file, path: FILE}}' reads {' or '.join(arrays)}")
    if more and key:
        every = shlex.quote(f"data.extensions=[{', '.join([*sorted(used), *more])}]")
        ways.append(f"{every} takes {', '.join(more)}, too, if Pillow reads it")
    elif more:
        ways.append("named one by one, what Pillow reads of these is taken")
    return "".join(f"; {way}" for way in ways)


def _reads_heif() -> bool:
    """Teach Pillow to read HEIF, where the package for that is installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def digest_of_files(folder: Path, files: Sequence[str], treatment: str) -> str:
    """A short digest of the files' names, what is done to them and, up to 256 MiB, their bytes; beyond, sizes and times."""
    sizes = [_size_and_time(folder / file) for file in files]
    by_content = sum(size for size, _ in sizes) <= CONTENT_BYTES
    sha = hashlib.sha256(treatment.encode())
    for file, (size, time) in zip(files, sizes, strict=True):
        sha.update(b"\0" + os.fsencode(file) + f"\0{size}\0".encode())  # a name may be no text
        sha.update(_content(folder / file) if by_content else str(time).encode())
    return sha.hexdigest()[:16]


def _size_and_time(file: Path) -> tuple[int, int]:
    """Bytes and nanoseconds; zeros of a link that leads nowhere."""
    try:
        stat = file.stat()
    except OSError:
        return 0, 0
    return stat.st_size, stat.st_mtime_ns


def _content(file: Path) -> bytes:
    """The bytes of a file; none of what is no regular one, such as a named pipe."""
    try:
        with open_regular(file) as opened:
            return opened.read()
    except OSError:
        return b""
