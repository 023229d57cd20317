"""The folder of a run that starts or goes on: made, locked, read."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from ganflow import runs
from ganflow.atomic import write_text
from ganflow.errors import GanflowError
from ganflow.plugins import versions
from ganflow.printing import escaped
from ganflow.recipe import Recipe
from ganflow.record import RunRecord
from ganflow.runner.commit import git_commit
from ganflow.runs import RunFolder
from ganflow.version import __version__


@contextmanager
def alone(folder: RunFolder) -> Iterator[None]:
    """Hold the run's lock. What cannot be written in its folder is the user's to mend, so it is said in a sentence.

    Raises:
        GanflowError: another process trains this run, or something in the folder cannot be written.
    """
    try:
        with runs.locked(folder):
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
        held.enter_context(alone(folder))
        write_recipe(folder, recipe)
        folder.update(id=folder.id, **values)
    except (OSError, GanflowError) as error:
        shutil.rmtree(folder.path, ignore_errors=True)
        cause = error if isinstance(error, OSError) else error.__cause__
        if not isinstance(cause, OSError):
            raise
        why = f"{cause.strerror}; choose another with --runs"
        raise GanflowError(f"cannot write in the run's folder {folder.path}: {why}") from cause


def clear_unfinished(folder: RunFolder) -> None:
    """Take away a folder that was being made when its process died: it has no run.json yet.

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
    told = []
    for name, was in before.plugins.items():
        own = now["plugins"].get(name, was)  # or it is a tracker's, which the recipe has no more
        if own != was:
            then = f"{was['distribution']} {was['version']}"
            told.append(f"plugin '{name}' was {then}, is now {own['distribution']} {own['version']}")
    for name, version in before.versions.items():
        if (new := now["versions"].get(name, version)) != version:
            told.append(f"{name} was {version}, is now {new}")
    data, new = before.data, now["data"]
    if data and new["fingerprint"] != data["fingerprint"]:
        known = None not in (data["size"], new["size"])
        numbers = f": {data['size']} examples then, {new['size']} now" if known else ""
        told.append(f"the data {data['name']} changed since the run began{numbers}")
    return told


def origin(recipe: Recipe) -> dict[str, Any]:
    """When, from what and by which versions a run or a sweep of a recipe was made."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"ganflow": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "recipe_version": recipe.version,
        "plugins": versions(recipe.chosen()),
        "git": git_commit(),
    }
