"""Data that are named by a folder or a file, not by a recipe: which component reads them."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ganflow.errors import GanflowError
from ganflow.printing import say

ARRAYS, SHARDS = (".npy", ".npz", ".safetensors"), (".tar", ".parquet")
RECIPES = (".yaml", ".yml", ".json")
TWO = (("trainA", "trainB"), ("A", "B"))
"""Folders of two domains, as pix2pix and CycleGAN have them."""
TABLES, NAMED_TABLES = (".csv", ".tsv", ".jsonl"), (".csv", ".tsv", ".jsonl", ".txt", ".json")
SPLITS = ("dataset_coco.json", "dataset_flickr8k.json", "dataset_flickr30k.json")
_SENTENCES = re.compile(r"""(^|[,|\t{])\s*["']?(captions?|text|sentence|comment)["']?\s*($|[,|\t:])""", re.IGNORECASE)
"""The first line of a table of captions: the names of its columns, or an object with a key of that name."""


def found_data(source: str, overrides: Sequence[str] = ()) -> tuple[dict[str, Any] | None, str]:
    """A recipe's section for the data at a path, and a recipe that trains on such; None where it is no path of data, and so a
    recipe's. Where there are a folder and a recipe of that name, a line says which is meant.

    Args:
        overrides: where they say where the data are, a recipe is meant.

    Raises:
        GanflowError: there is nothing of that name, or it is a single picture, or no recipe.
    """
    from ganflow.files import IMAGE_ENDINGS
    from ganflow.recipe.source import find_shipped, near_matches

    path = Path(source).expanduser()
    try:
        folder, there = path.is_dir(), os.path.lexists(path)
    except (OSError, ValueError):  # of a name that no file can have
        return None, ""
    if folder and find_shipped(source) is not None:
        if any(override.startswith(("data=", "data.path=", "data.use=")) for override in overrides):
            say(f"ganflow: {source} is the recipe; the folder of that name: ganflow data ./{source}", err=True)
            return None, ""
        say(f"ganflow: {source} is the folder; the recipe of that name: ganflow data {source}.yaml", err=True)
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
    if there and path.is_file() and ending not in (*RECIPES, ""):
        raise GanflowError(f"{source} is neither a recipe ({', '.join(RECIPES)}) nor pictures: a folder of images or shards, or "
                           f"a file of arrays ({', '.join(ARRAYS + SHARDS)})")  # fmt: skip
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
    if _captioned(folder, below):
        shown = {"use": "captioned_folder", "path": str(folder), "encoder": {"use": "bag_of_words"}}  # which learns at once
        return shown, "stackgan_stage1_birds 'metrics=[]'"
    return images, "photos"


def _captioned(folder: Path, below: Mapping[str, bool]) -> bool:
    """Return whether a table of captions lies among a folder's images, or a text beside each, as far as names and first lines
    tell."""
    from ganflow.files import IMAGE_ENDINGS

    if below.get("images") and below.get("text"):  # as CUB has them
        return True
    files = [Path(name) for name, is_folder in below.items() if not is_folder]
    pictures = {file.stem for file in files if file.suffix.lower() in IMAGE_ENDINGS}
    if pictures and pictures <= {file.stem for file in files if file.suffix == ".txt"}:
        return True
    for file in files:
        name, ending = file.name.lower(), file.suffix.lower()
        named = ending in NAMED_TABLES and "caption" in name and file.stem not in pictures
        if named or ending == ".token" or name in SPLITS or (ending in TABLES and _SENTENCES.search(_first_line(folder / file))):
            return any(below.values()) or bool(pictures)
    return False


def _first_line(file: Path) -> str:
    from ganflow.files import open_regular

    try:
        with open_regular(file) as opened:
            return opened.readline(4096).decode("utf-8-sig", errors="replace").strip()
    except OSError:
        return ""


def _stems(folder: Path) -> set[str]:
    return {Path(name).stem for name in os.listdir(folder) if not name.startswith(".")}
