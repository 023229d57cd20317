"""The machine: its processors and load, and what of it failed under a run (disk, mount, memory)."""

from __future__ import annotations

import errno
import math
import os
import re
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ganflow.errors import GanflowError

ROOM = 512 * 2**20
"""Bytes of disk, of shared and of other memory with less of which Ray is not sure to start."""
Item = TypeVar("Item")
Made = TypeVar("Made")
_GROUPS = Path("/sys/fs/cgroup")


def cores() -> int:
    """Cores that this process may use: its affinity, and what a container's limit leaves of it."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *(math.ceil(limit) for limit in _limits(_GROUPS, _group()))]))


def readers() -> int:
    """Threads that read and decode files, 16 at most: Pillow lets go of Python's lock while it decodes, and what is left needs
    it, so that more would wait for each other."""
    return min(16, cores())


def in_threads(make: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
    """Results of `make` for each item, in their sequence, made by several threads, which are a few items ahead at most.

    Raises:
        what `make` raises for the first item, in their sequence, for which it does.
    """
    count = readers()
    ahead: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(count, thread_name_prefix="ganflow-read") as pool:
        try:
            for item in items:
                ahead.append(pool.submit(make, item))
                if len(ahead) > 4 * count:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def load() -> tuple[float, int]:
    """Processes that wanted a core over the last minute, on average, and the number of the machine's cores."""
    average = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return average, os.cpu_count() or 1


def is_busy() -> bool:
    """Return true if more processes wanted a core over the last minute than there are cores."""
    average, there = load()
    return average > there


def shortages(folder: Path) -> list[str]:
    """Shortages of this machine, for a program that does not start on it, and what helps, in a few words each.

    Args:
        folder: that the program writes in.
    """
    found, (average, there) = [], load()
    base = next(path for path in (folder, *folder.parents) if path.exists())
    for path, name in ((base, "TMPDIR"), (Path("/dev/shm"), "")):
        if path.exists() and (free := shutil.disk_usage(path).free) < ROOM:
            elsewhere = f", or set {name} to a folder with room, its name of 30 letters at most" if name else ""
            found.append(f"{path} has {free / 2**20:.0f} MB free, of {ROOM / 2**20:.0f} that it needs: make room{elsewhere}")
    memory = available()
    if memory is not None and memory < ROOM:
        found.append(f"{memory / 2**20:.0f} MB of memory are free, of {ROOM / 2**20:.0f} that it needs: end other programs")
    if is_busy():
        found.append(f"{average:.0f} processes want the {there} cores of this machine: end some, or wait until they are over")
    return found


def available() -> int | None:
    """Bytes of memory that a program can have, of the machine and of what a container's limit leaves of it; None where that is
    not known."""
    kib = dict(re.findall(r"^(\w+):\s+(\d+) kB", _read(Path("/proc/meminfo")), re.MULTILINE))
    if "MemAvailable" not in kib:
        return None
    whole = 1024 * (int(kib["MemAvailable"]) + int(kib.get("SwapFree", 0)))
    return max(0, min([whole, *_memory_left(_GROUPS, _group(), _group("memory"))]))


def size(count: float) -> str:
    """Bytes in words: "3.5 GB"."""
    for unit in ("bytes", "kB", "MB", "GB", "TB", "PB", "EB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return "more than any machine has"


def _group(controller: str = "") -> str:
    """The path of this process's control group: of version 2, or that of a controller of version 1."""
    fields = [line.split(":", 2) for line in _read(Path("/proc/self/cgroup")).splitlines()]
    return next((path.strip("/") for _, names, path in fields if controller in names.split(",")), "")


def _limits(root: Path, group: str) -> list[float]:
    """The limits in cores of a control group and of those above it, of either version of the interface."""
    found = []
    for folder in [root / group, *(root / group).parents]:
        if not folder.is_relative_to(root):
            break
        found.append(_ratio(_read(folder / "cpu.max").split()))
    found.append(_ratio([_read(root / "cpu" / f"cpu.cfs_{name}_us") for name in ("quota", "period")]))
    return [limit for limit in found if limit]


def _memory_left(root: Path, group: str, older: str) -> list[int]:
    """Bytes that a control group and those above it have left of their limits, of either version; the pages of files that were
    read are given up when others are wanted."""
    left = []
    for top, below, names in ((root, group, ("max", "current")), (root / "memory", older, ("limit_in_bytes", "usage_in_bytes"))):
        for folder in [top / below, *(top / below).parents]:
            if not folder.is_relative_to(top):
                break
            most, now = (_read(folder / f"memory.{name}") for name in names)
            if not (most.isdigit() and now.isdigit()):
                continue
            files = dict(line.split(" ", 1) for line in _read(folder / "memory.stat").splitlines() if line.count(" ") == 1)
            inactive = files.get("total_inactive_file") or files.get("inactive_file") or "0"
            left.append(int(most) - int(now) + int(inactive))
    return left


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _ratio(words: list[str]) -> float | None:
    """Quota over period; None where there is no limit ("max", −1) or nothing that can be read."""
    return int(words[0]) / int(words[1]) if len(words) == 2 and all(word.isdigit() and word != "0" for word in words) else None


_MOUNT = "see to that disk or mount"
_REMEDIES = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room, or have the quota raised",
    errno.EROFS: "see to it that it can be written",
    **dict.fromkeys((errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.EREMOTEIO, errno.EUCLEAN), _MOUNT),
}
"""Numbers of the system's errors that are a disk's or a mount's, and what to do."""
_OF_FILES = {errno.ENODEV: _MOUNT, errno.ENXIO: _MOUNT, errno.ETIMEDOUT: _MOUNT, errno.EHOSTDOWN: _MOUNT, errno.ENOENT: _MOUNT}
"""Those that are a mount's where a folder cannot be found that was there before."""
_IN_WORDS = {os.strerror(number): number for number in _REMEDIES if number != errno.ENOTCONN}  # which sockets say, too
_NUMBER = re.compile(r"\[Errno (\d+)\] [^'\n]*?(?:: '([^'\n]+)')?(?:\n|;|$)")
"""An OSError as text: of another process, or in a traceback."""
_MEMORY = re.compile(r"MemoryError\b|[Cc]an(?:not|'t) allocate memory|Unable to allocate|bad_alloc")
_OF_A_GPU = re.compile(r"CUDA out of memory|torch(?:\.cuda)?\.OutOfMemoryError|CUDA error: out of memory|HIP out of memory")


class Broken(GanflowError):
    """A disk or a mount failed under a run: what, where, and what to do before going on."""


def broken(error: BaseException, *folders: Path) -> Broken | None:
    """The disk's or the mount's failure that an exception comes of; None where it comes of something else.

    Args:
        folders: that were there when the run began: the run's, the data's. One that is gone now is the machine's failure, and
            where the exception does not say what failed, one that cannot be used is named.
    """
    if isinstance(error, Broken):
        return error
    sentence = ""
    for each in _causes(error):
        number, file = _number(each)
        if isinstance(each, GanflowError) and not sentence:
            sentence = str(each)
        if number:
            return Broken(f"{_sentence(number, sentence, file, folders)}; {_REMEDIES[number]}")
    for folder in folders:
        number = _trouble(folder)
        if number:
            return Broken(f"{folder}: {os.strerror(number)}; {(_REMEDIES | _OF_FILES)[number]}")
    return None


def of_memory(text: str) -> bool:
    """Tell from an error's text that the machine, not a GPU, had too little memory."""
    return bool(_MEMORY.search(text)) and not _OF_A_GPU.search(text)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, what it was raised from or while handling, and so on."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _number(error: BaseException) -> tuple[int, str]:
    """(number, file) of a disk's failure; (0, "") for another error."""
    if isinstance(error, OSError) and error.errno in _REMEDIES:
        return error.errno, str(error.filename or "")
    text = str(error)
    for found in _NUMBER.finditer(text):
        if int(found[1]) in _REMEDIES:
            return int(found[1]), found[2] or ""
    for words, number in _IN_WORDS.items():
        if words in text:
            return number, ""
    return 0, ""


def _sentence(number: int, sentence: str, file: str, folders: tuple[Path, ...]) -> str:
    """The failure, and where: a sentence that says so already, or one about the file, or about a folder."""
    words = os.strerror(number)
    if words in sentence and "\n" not in sentence:
        return sentence
    if not file and folders:
        file = str(next((folder for folder in folders if _trouble(folder)), folders[0]))
    return f"{file}: {words}" if file else words


def _trouble(folder: Path) -> int:
    """The number of the error of asking for a folder, where that is a mount's; 0 where it is there."""
    try:
        os.stat(folder)
    except OSError as error:
        return error.errno if error.errno in _REMEDIES | _OF_FILES else 0
    return 0
