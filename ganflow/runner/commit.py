"""The commit of the working folder, read from the repository's files.

git itself is not run: a repository from a stranger names programs in its settings that `git status` would start (a file system
monitor, filters, hooks, those of submodules). So nothing is known of changes since the commit.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ganflow.inside import read_bytes

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REF = re.compile(r"refs(/(?!\.)[\w.+@#=,%()!-]+(?<!\.lock))+")
_SHORT, _PACKED = 4096, 2**26  # bytes that are read of a reference, and of all of them in one file


def git_commit(folder: Path | None = None) -> dict[str, Any] | None:
    """{"commit": …} of a folder's repository, the working folder's if not given; None outside a repository, or where its files do
    not tell."""
    try:
        here = (folder or Path.cwd()).resolve()
        found = next((path / ".git" for path in (here, *here.parents) if (path / ".git").exists()), None)
        commit = _head(*_repository(found)) if found else None
    except (OSError, ValueError):  # a link, a pipe, not text: no repository as git makes one
        return None
    return {"commit": commit} if commit else None


def _repository(found: Path) -> tuple[Path, Path]:
    """The folders of HEAD and of the references that it may name.

    A file `.git` is followed where that cannot lead to just any repository: to a work tree's, which names this file, or to a
    submodule's, within the repository above.

    Raises:
        ValueError: it is neither.
    """
    if found.is_symlink():
        raise ValueError("a link")
    if found.is_dir():
        return found, found
    folder = (found.parent / _line(found).removeprefix("gitdir: ")).resolve()
    if (folder / "gitdir").exists():
        if Path(_line(folder / "gitdir")).resolve() != found:
            raise ValueError("another work tree's")
        return folder, (folder / _line(folder / "commondir")).resolve()
    if not any(folder.is_relative_to(above / ".git" / "modules") for above in found.parent.parents):
        raise ValueError("elsewhere")
    return folder, folder


def _head(folder: Path, common: Path) -> str | None:
    """The commit that HEAD names, itself or by a reference."""
    text = _line(folder / "HEAD")
    if _COMMIT.fullmatch(text):
        return text
    name = text.removeprefix("ref: ")
    if not _REF.fullmatch(name):
        return None
    for place in dict.fromkeys((folder, common)):
        file = place / name
        if file.exists() and file.resolve() == file:
            text = _line(file)
            return text if _COMMIT.fullmatch(text) else None
    packed = read_bytes(common / "packed-refs", _PACKED).decode().splitlines()
    found = (line.partition(" ")[0] for line in packed if line.partition(" ")[2] == name)
    return next((text for text in found if _COMMIT.fullmatch(text)), None)


def _line(file: Path) -> str:
    return read_bytes(file, _SHORT).decode().strip()
