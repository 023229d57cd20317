"""The folder of a run that starts or goes on: made, locked, read."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from ganflow import runs
from ganflow.errors import GanflowError
from ganflow.plugins import versions
from ganflow.printing import escaped
from ganflow.recipe import Recipe
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


def noted(folder: RunFolder) -> dict[str, Any]:
    """What run.json says.

    Raises:
        GanflowError: it is damaged.
    """
    try:
        return folder.about()
    except ValueError as error:
        raise GanflowError(f"run {folder.id} cannot go on: its run.json is damaged ({error})") from None


def new_folder(recipe: Recipe, root: Path, about: dict[str, Any]) -> RunFolder:
    """The folder of a new run, with its recipe and run.json. Nothing is left of it where it cannot be written.

    Raises:
        GanflowError: it cannot be written.
    """
    folder = runs.create(root, recipe.name)
    fill_folder(folder, recipe, about)
    return folder


def fill_folder(folder: RunFolder, recipe: Recipe, about: dict[str, Any]) -> None:
    """Put the recipe and run.json into a fresh folder; it is removed where that fails.

    Raises:
        GanflowError: it cannot be written.
    """
    try:
        write_recipe(folder, recipe)
        folder.note(id=folder.id, **about)
    except OSError as error:
        shutil.rmtree(folder.path, ignore_errors=True)
        why = f"{error.strerror}; choose another with --runs"
        raise GanflowError(f"cannot write in the run's folder {folder.path}: {why}") from error


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
    runs.write_text(folder.recipe, f"# ganflow run {escaped(str(folder.recipe))}\n" + recipe.to_yaml())


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What a run is made of now that it was not made of when it began, from what run.json says of both."""
    told = []
    for name, was in before["plugins"].items():
        own = now["plugins"].get(name, was)  # or it is a tracker's, which the recipe has no more
        if own != was:
            then = f"{was['distribution']} {was['version']}"
            told.append(f"plugin '{name}' was {then}, is now {own['distribution']} {own['version']}")
    for name, was in before["versions"].items():
        if now["versions"][name] != was:
            told.append(f"{name} was {was}, is now {now['versions'][name]}")
    was, own = before["data"], now["data"]
    if own["fingerprint"] != was["fingerprint"]:
        known = None not in (was["size"], own["size"])
        numbers = f": {was['size']} examples then, {own['size']} now" if known else ""
        told.append(f"the data {was['name']} changed since the run began{numbers}")
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
