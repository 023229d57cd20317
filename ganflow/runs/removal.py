"""Removal of runs and sweeps from the disk, whole folders at a time."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ganflow.errors import GanflowError
from ganflow.runs import finding, folders
from ganflow.runs.folders import RunFolder
from ganflow.runs.record import FILE, RunRecord


@dataclass(frozen=True)
class Removable:
    """A run, or a sweep with all its trials, that nothing speaks against removing.

    Attributes:
        bytes: that its files have on the disk, without what links in it lead to.
        tracked: it has an entry in MLflow, which stays.
    """

    folder: RunFolder
    kind: str
    bytes: int
    tracked: bool


def removable(names: Iterable[str], root: Path) -> list[Removable]:
    """The runs and sweeps that these names mean, each once.

    Raises:
        GanflowError: one is not there, is no run, is being trained, or is a part of a sweep.
    """
    found = {folder.path: folder for folder in (finding.find_unchecked(name, root) for name in names)}
    return [_examined(folder) for folder in found.values()]


def remove(found: Removable) -> None:
    """Delete the folder, and the one of its name where that is empty then. Links are deleted, never followed.

    Raises:
        GanflowError: it is being trained, or a file cannot be deleted.
    """
    path = found.folder.path
    try:
        with folders.locked(found.folder, checked=False):
            last = (FILE, found.folder.recipe.name)  # so that what is left of a removal that failed can be removed
            for entry in sorted(os.scandir(path), key=lambda entry: last.index(entry.name) if entry.name in last else -1):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    os.unlink(entry.path)
            path.rmdir()
    except OSError as error:
        what = error.filename or path
        raise GanflowError(f"cannot remove {what}: {error.strerror}; the rest of {path} may be gone") from None
    if found.kind == "run" and not any(path.parent.iterdir()):
        path.parent.rmdir()


def _examined(folder: RunFolder) -> Removable:
    path, sweep = folder.path, folders.is_sweep(folder)
    if path.is_symlink():
        raise GanflowError(f"{path} is a link, and nothing it leads to is removed; remove the link by hand")
    if not folder.recipe.is_file():
        raise GanflowError(f"{path} has a {FILE} and no {folder.recipe.name}, so it may be no run; remove it by hand")
    if path == Path.cwd() or path in Path.cwd().parents:
        raise GanflowError(f"you are in {path}; leave it first, and try again")
    above = RunFolder(path.parent)
    if not sweep and folders.is_sweep(above):
        raise GanflowError(f"{folder.id} is a trial; a sweep is removed as a whole: ganflow runs rm {above.reference()}")
    record = _record(folder)
    parts = [folder, *(RunFolder(each.parent) for each in path.glob(f"*/{FILE}"))] if sweep else [folder]
    for part in parts:
        if folders.is_running(part):
            raise folders.Running(part)
    if record and folders.status(folder, record) == "running":  # on another machine, as far as can be seen from here
        raise folders.Running(folder)
    tracked = any(each is not None and bool(each.tracking.get("mlflow")) for each in map(_record, parts))
    return Removable(folder, "sweep" if sweep else "run", _size(path), tracked)


def _record(folder: RunFolder) -> RunRecord | None:
    try:
        return folder.read()
    except GanflowError:  # damaged: it can be removed all the same
        return None


def _size(path: Path) -> int:
    files = (os.lstat(os.path.join(at, name)) for at, _, names in os.walk(path) for name in names)
    return sum(each.st_size for each in files if stat.S_ISREG(each.st_mode) and each.st_nlink == 1)
