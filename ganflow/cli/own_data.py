"""Data that are named by a folder or a file, not by a recipe: which component reads them."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

from ganflow.errors import GanflowError

ARRAYS, SHARDS = (".npy", ".npz", ".safetensors"), (".tar", ".parquet")
TWO = (("trainA", "trainB"), ("A", "B"))
"""Folders of two domains, as pix2pix and CycleGAN have them."""


def found_data(source: str) -> tuple[dict[str, Any] | None, str]:
    """A recipe's section for the data at a path, and a recipe that trains on such; None where it is no path of data, and so a
    recipe's.

    Raises:
        GanflowError: there is nothing of that name, or it is a single picture.
    """
    from ganflow.files import IMAGE_ENDINGS
    from ganflow.recipe.source import find_shipped, near_matches

    path = Path(source).expanduser()
    try:
        folder, there = path.is_dir(), os.path.lexists(path)
    except (OSError, ValueError):  # of a name that no file can have
        return None, ""
    if folder:
        return _of_folder(path)
    ending = path.suffix.lower()
    if ending in ARRAYS and there:
        return {"use": "tensor_file", "path": str(path)}, "photos"
    if ending in SHARDS and there:
        return {"use": "shards", "path": str(path)}, "photos"
    if ending in IMAGE_ENDINGS and there:
        where = shlex.quote(str(path.parent))
        raise GanflowError(f"{source} is a picture; name the folder that it lies in: ganflow data {where}")
    if not there and find_shipped(source) is None:
        raise GanflowError(f"there is no recipe, no folder and no file called {source!r}{near_matches(source)} "
                           "(`ganflow recipes` lists the recipes that come with ganflow)")  # fmt: skip
    return None, ""


def _of_folder(folder: Path) -> tuple[dict[str, Any], str]:
    images = {"use": "image_folder", "path": str(folder), "on_error": "skip"}
    try:
        below = {entry.name: entry.is_dir() for entry in os.scandir(folder) if not entry.name.startswith(".")}
    except OSError:  # which is said where the images are read
        return images, "photos"
    for names in TWO:
        if all(below.get(name) for name in names):
            paired = names == ("A", "B") or _stems(folder / names[0]) == _stems(folder / names[1])
            use, recipe = ("paired_folder", "pix2pix_paper") if paired else ("unpaired_folder", "cyclegan_paper")
            return {"use": use, "path": str(folder), "on_error": "skip"}, recipe
    endings = {Path(name).suffix.lower() for name in below}
    if endings & set(SHARDS) and not any(below.values()):
        return {"use": "shards", "path": str(folder)}, "photos"
    return images, "photos"


def _stems(folder: Path) -> set[str]:
    return {Path(name).stem for name in os.listdir(folder) if not name.startswith(".")}
