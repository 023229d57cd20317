"""The folder of a run that starts or resumes: made, locked, filled; its commit recorded."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ganflow.addresses import recorded
from ganflow.advised import option
from ganflow.engine.feed import keyed_generator
from ganflow.errors import GanflowError, escaped
from ganflow.files import read_bytes, write_text
from ganflow.plugins import versions
from ganflow.recipe import Recipe
from ganflow.runs import folders
from ganflow.runs.checkpoints import Checkpoint, Damaged
from ganflow.runs.finding import new_id
from ganflow.runs.folders import RunFolder
from ganflow.runs.record import Amendment, RunRecord, is_newer
from ganflow.version import __version__

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REF = re.compile(r"refs(/(?!\.)[\w.+@#=,%()!-]+(?<!\.lock))+")
_SHORT, _PACKED = 4096, 2**26  # bytes that are read of a reference, and of all of them in one file


@dataclass(frozen=True)
class Position:
    """The position from which a run begins, or goes on.

    Attributes:
        checkpoint: to go on from; None for round 0.
        damaged: newer checkpoints, which are passed over.
        changed: the folder's recipe is another one.
        amended: all changes of the recipe, as its record is to have them.
        lines: what the run says of its changes.
        source: the checkpoint of another run whose weights the game has already; its average is taken along.
    """

    folder: RunFolder
    checkpoint: Checkpoint | None = None
    damaged: list[Damaged] = field(default_factory=list)
    changed: bool = False
    amended: Sequence[Amendment] = ()
    lines: Sequence[str] = ()
    source: Checkpoint | None = None

    @property
    def round(self) -> int:
        return self.checkpoint.round if self.checkpoint else 0

    def say(self, say: Callable[[str], None]) -> None:
        """Show the lines."""
        for line in self.lines:
            say(line)


class Copy(NamedTuple):
    """A trial that became a copy of another (population based training).

    Attributes:
        at: the round of the checkpoint that it goes on from: its optimizers' numbers are this recipe's, and so is everything
            random from there on, so that it does not repeat what its source plays.
        trial: its number.
        times: how often it became one, this time included.
    """

    at: int
    trial: int
    times: int

    def seed(self, of_recipe: int) -> int:
        """Seed of everything random: another one than its source's, and each time another."""
        return keyed_generator("copy", of_recipe, self.trial, self.times).initial_seed()


def create(root: Path, name: str) -> RunFolder:
    """A fresh folder for a run of this name. Ids sort by time.

    Raises:
        GanflowError: the folder cannot be written.
    """
    while True:
        with suppress(FileExistsError):  # another process's, of the same tenth of a millisecond
            return folders.make(RunFolder((root / name / new_id(root)).absolute()))


def git_commit(folder: Path | None = None) -> dict[str, Any] | None:
    """{"commit": …} of a folder's repository, the working folder's by default; None outside a repository, or where its files do
    not say."""
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
    for base in dict.fromkeys((folder, common)):
        file = base / name
        if file.exists() and file.resolve() == file:
            text = _line(file)
            return text if _COMMIT.fullmatch(text) else None
    packed = read_bytes(common / "packed-refs", _PACKED).decode().splitlines()
    found = (line.partition(" ")[0] for line in packed if line.partition(" ")[2] == name)
    return next((text for text in found if _COMMIT.fullmatch(text)), None)


def _line(file: Path) -> str:
    return read_bytes(file, _SHORT).decode().strip()


@contextmanager
def lock_folder(folder: RunFolder) -> Iterator[None]:
    """Hold the run's lock; what cannot be written in its folder meanwhile is raised as a sentence.

    Raises:
        GanflowError: another process trains this run, or something in the folder cannot be written.
    """
    try:
        with folders.locked(folder):
            yield
    except OSError as error:
        if error.filename is None or not Path(error.filename).is_relative_to(folder.path):
            raise
        raise GanflowError(f"run {folder.id}: cannot write {error.filename}: {error.strerror}") from error


def fill_folder(folder: RunFolder, recipe: Recipe, values: dict[str, Any], held: ExitStack) -> None:
    """Lock a fresh folder until `held` ends, and put the recipe and run.json into it. It is removed where that fails.

    Raises:
        GanflowError: it cannot be written.
    """
    try:
        held.enter_context(lock_folder(folder))
        write_recipe(folder, recipe)
        folder.update(id=folder.id, **values)
    except (OSError, GanflowError) as error:
        shutil.rmtree(folder.path, ignore_errors=True)
        cause = error if isinstance(error, OSError) else error.__cause__
        if not isinstance(cause, OSError):
            raise
        why = f"{cause.strerror}; choose another with " + option("--runs")
        raise GanflowError(f"cannot write in the run's folder {folder.path}: " + why) from cause


def clear_unfinished(folder: RunFolder) -> None:
    """Remove a folder that was being made when its process died: it has no run.json yet.

    Raises:
        GanflowError: the run was begun, and its run.json is lost.
    """
    if any(folder.checkpoints.glob("*.safetensors")) or folder.journal.exists():
        raise GanflowError(f"run {folder.id} cannot go on: its run.json is missing")
    shutil.rmtree(folder.path, ignore_errors=True)


def write_recipe(folder: RunFolder, recipe: Recipe) -> None:
    """Put the resolved recipe into the folder, atomically."""
    write_text(folder.recipe, f"# ganflow run {escaped(str(folder.recipe))}\n" + recipe.to_yaml())


def changes(before: RunRecord, now: dict[str, Any]) -> list[str]:
    """Differences between what a run is made of now and when it began."""
    found = []
    for name, was in before.plugins.items():
        plugin = now["plugins"].get(name, was)  # or it is a tracker's, which the recipe has no more
        if plugin != was:
            then = f"{was['distribution']} {was['version']}"
            found.append(f"plugin '{name}' was {then}, is now {plugin['distribution']} {plugin['version']}")
    for name, version in before.versions.items():
        if (new := now["versions"].get(name, version)) != version:
            older = ", an older one, to which what is new in that is unknown" if name == "ganflow" and is_newer(version) else ""
            found.append(f"{name} was {version}, is now {new}{older}")
    if before.device not in ("", now["device"]):
        found.append(f"device was {before.device}, is now {now['device']}")
    data, new = before.data, now["data"]
    if data and new["fingerprint"] != data["fingerprint"]:
        known = None not in (data["size"], new["size"])
        if known and data["size"] != new["size"]:
            numbers = f": {data['size']} examples then, {new['size']} now"
        else:
            numbers = f": what is in them, not their number ({new['size']} examples)" if known else ": what is in them"
        found.append(f"the data {data['name']} changed since the run began{numbers}")
    return found


def origin(recipe: Recipe) -> dict[str, Any]:
    """Time, recipe, versions and commit of a new run or sweep."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"ganflow": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "recipe_version": recipe.version,
        "plugins": versions(recipe.chosen()),
        "git": git_commit(),
    }


def tracking(recipe: Recipe, before: RunRecord | None = None) -> dict[str, Any]:
    """The destination of a recipe's run or sweep, for its record."""
    track, names = recipe.track, ("mlflow", "images", "log_model", "register", "system_metrics")
    values = {name: getattr(track, name) for name in names}
    for name, variable in (("experiment", "MLFLOW_EXPERIMENT_NAME"), ("run_name", "MLFLOW_RUN_NAME")):
        named = before.tracking.get(name) if before else os.environ.get(variable)
        values[name] = getattr(track, name) or named or None
    values["changed"] = [path for path in recipe.changed() if not path.startswith(("track", "tune."))]
    return {**values, **recorded(track.uri, before.tracking if before else {})}
