"""The recipes that come with ganflow: in `ganflow/recipes/` where it is installed, in `recipes/` in a checkout."""

from __future__ import annotations

import difflib
import itertools
import re
from dataclasses import dataclass
from pathlib import Path

CLUSTER = "cluster"
"""The folder of files for Ray clusters, which are YAML and no recipes."""


@dataclass(frozen=True)
class Shipped:
    """A recipe of the library.

    Attributes:
        name: its path within the library, without ".yaml": "wgan", "translation/pix2pix".
        command: the one that runs it, from its first comment line.
        shows: what there is to see, the first sentence of the lines below it.
    """

    name: str
    path: Path
    command: str = ""
    shows: str = ""


def folder() -> Path:
    """Where the shipped recipes are."""
    package = Path(__file__).parents[1]
    inside = package / "recipes"
    return inside if inside.is_dir() else package.parent / "recipes"


def shipped() -> list[Shipped]:
    """Every shipped recipe, by name."""
    root = folder()
    found = sorted(root.rglob("*.yaml"))
    return [_about(path, root) for path in found if path.relative_to(root).parts[0] != CLUSTER]


def find_shipped(name: str) -> Shipped | None:
    """The shipped recipe called `name`, with or without its folder and ".yaml"; None if there is none, or several."""
    wanted = name.removesuffix(".yaml")
    recipes = shipped()
    exact = [r for r in recipes if r.name == wanted]
    found = exact or [r for r in recipes if r.path.stem == wanted]
    return found[0] if len(found) == 1 else None


def near_matches(name: str) -> list[str]:
    """Names of shipped recipes that resemble `name`, which may be a path."""
    stem = Path(name).stem
    by_stem = {r.path.stem: r.name for r in shipped()}
    return [by_stem[close] for close in difflib.get_close_matches(stem, by_stem, n=3)]


def _about(path: Path, root: Path) -> Shipped:
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = [line.strip("# ") for line in itertools.takewhile(lambda line: line.strip("# ") and line.startswith("#"), lines)]
    command, text = comments[0] if comments else "", " ".join(comments[1:])
    shows = re.split(r"(?<=[.?!])\s+(?=[A-Z])", text)[0]
    return Shipped(path.relative_to(root).with_suffix("").as_posix(), path, command, shows)
