"""Recipe files: the shipped ones, a user's, a run's; and one pass through all that makes a recipe of them."""

from __future__ import annotations

import copy
import functools
import itertools
import logging
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ganflow.addresses import bare
from ganflow.errors import GanflowError, RecipeError
from ganflow.files import open_regular
from ganflow.plugins import Catalogue, load_catalogue
from ganflow.recipe import overrides as changes
from ganflow.recipe.build import RecipeBuilder
from ganflow.recipe.extends import merged
from ganflow.recipe.recipe import Recipe
from ganflow.recipe.sections import EXTENDS, RECIPE_VERSION
from ganflow.recipe.yaml import MAPPING, Node, Problems, Refused, node_of, read_yaml, shown, to_yaml
from ganflow.synonyms import RECIPES, near, normal

CLUSTER = "cluster"
"""The folder of files for Ray clusters, which are YAML and no recipes."""


@dataclass(frozen=True)
class Shipped:
    """A recipe of the library.

    Attributes:
        name: its path within the library, without ".yaml": "wgan", "translation/pix2pix".
        command: the one that runs it, from its first comment line.
        shows: what there is to see, the first sentence of the lines below it.
        about: all of these lines.
    """

    name: str
    path: Path
    command: str = ""
    shows: str = ""
    about: str = ""


def folder() -> Path:
    """The folder of the shipped recipes."""
    package = Path(__file__).parents[1]
    inside = package / "recipes"
    return inside if inside.is_dir() else package.parent / "recipes"


def shipped(root: Path | None = None) -> list[Shipped]:
    """Every shipped recipe, by name; or those of another folder."""
    root = root or folder()
    return [_about(path, root) for path in sorted(root.rglob("*.yaml")) if path.relative_to(root).parts[0] != CLUSTER]


def find_shipped(name: str) -> Shipped | None:
    """The shipped recipe called `name`, with or without its folder and ".yaml"; None if there is none, or several."""
    wanted = name.removesuffix(".yaml")
    recipes = shipped()
    found = [r for r in recipes if r.name == wanted] or [r for r in recipes if r.path.stem == wanted]
    return found[0] if len(found) == 1 else None


def near_matches(name: str) -> str:
    """'; did you mean …?' with the shipped recipes whose names resemble `name`, which may be a path; otherwise nothing."""
    by_stem, stem = {r.path.stem: r.name for r in shipped()}, Path(name).stem
    meant = [n for n in RECIPES.get(normal(stem), ()) if n in by_stem.values()] or [by_stem[s] for s in near(stem, by_stem, n=3)]
    close = list(map(repr, meant))
    return f"; did you mean {' or '.join(close)}?" if close else ""


def _about(path: Path, root: Path) -> Shipped:
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = [line.strip("# ") for line in itertools.takewhile(lambda line: line.strip("# ") and line.startswith("#"), lines)]
    command, text = comments[0] if comments else "", " ".join(comments[1:])
    shows = re.split(r"(?<=[.?!])\s+(?=[A-Z`])", text)[0]
    return Shipped(path.relative_to(root).with_suffix("").as_posix(), path, command, shows, text)


LARGEST = 2**18  # bytes; recipes have hundreds
OLDEST = 1  # the version of runs that were begun when recipes had none


Source = str | Path | Mapping[str, Any]
"""Where a recipe comes from: a path, the name of one that comes with ganflow ("wgan"), or its sections."""


def read_recipe(source: Source, overrides: Sequence[str] = (), catalogue: Catalogue | None = None) -> Recipe:
    """Read, change and check a recipe.

    Args:
        source: a path, the name of a recipe that comes with ganflow ("wgan"), or a recipe's sections.
        overrides: `key=value`, `+list=item` and `~key`: see ganflow.recipe.overrides.
        catalogue: what is installed, if not everything that `load_catalogue` finds.

    Raises:
        RecipeError: the recipe has problems; all of them, by line.
        GanflowError: there is no such recipe, or it cannot be read.
    """
    recipe = draft(source, overrides, catalogue).build(catalogue=catalogue)
    warn_of_broken(catalogue or load_catalogue())
    return recipe


def kept_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a run's folder, with changes, to be read and not to be trained. A password in its tracking address, which
    earlier versions kept, is left out. Raises as `read_recipe`."""
    kept = draft(path)
    _without_password(kept.root)
    recipe = kept.build(overrides)
    warn_of_broken(load_catalogue())
    return recipe


def warn_of_broken(catalogue: Catalogue) -> None:
    """Name the plugins that cannot be used, once, where a recipe does not need them."""
    for plugin in catalogue.broken:
        _warn(f"{plugin.error}; all others can be used")


@functools.cache
def _warn(text: str) -> None:
    logging.getLogger("ganflow").warning(text)


@dataclass(frozen=True)
class Draft:
    """A recipe that has been read but not checked; many recipes can be made of it that differ in some keys.

    Attributes:
        name: of the recipe if it does not state one.
        problems: those found so far.
        version: the meaning of the recipe if it does not state one.
    """

    root: Node
    name: str
    problems: Problems
    version: int = RECIPE_VERSION

    def build(
        self,
        overrides: Sequence[str] = (),
        catalogue: Catalogue | None = None,
        lines: Mapping[str, int] | None = None,
        *,
        together: bool = True,
    ) -> Recipe:
        """The recipe with these changes, too; the draft stays as it is.

        Args:
            lines: of overrides that are not of the command line.
            together: check what components need of each other, too; not for a change that others come with.

        Raises:
            RecipeError: it has problems; all of them, by line.
        """
        root, problems, catalogue = copy.deepcopy(self.root), copy.copy(self.problems), catalogue or load_catalogue()
        changes.apply(overrides, root, problems, lines, catalogue)
        recipe = RecipeBuilder(root, catalogue, problems, self.version).build(self.name, together)
        if recipe is None:
            raise RecipeError(problems)
        return recipe

    def to_yaml(self, catalogue: Catalogue | None = None) -> str:
        """The text of the recipe, changes included; references are kept, and nothing is filled in but its name."""
        with suppress(GanflowError):  # keys of text make known which changes are text
            self.build(catalogue=catalogue)
        return to_yaml({"name": self.name, "recipe_version": self.version, **self.root.plain()})


def recipe_of(plain: Mapping[str, Any], catalogue: Catalogue | None = None) -> Recipe:
    """The recipe of what `resolved()` returned. Raises as `read_recipe`."""
    root = node_of(dict(plain), 1)
    _without_password(root)
    return Draft(root, str(plain.get("name")), Problems("the recipe that was kept"), OLDEST).build(catalogue=catalogue)


def _without_password(root: Node) -> None:
    track: Node | None = root.value.get("track")
    uri: Node | None = track.value.get("uri") if track is not None and isinstance(track.value, dict) else None
    if uri is not None and isinstance(uri.value, str):
        uri.value = bare(uri.value)


def draft(source: Source, overrides: Sequence[str] = (), catalogue: Catalogue | None = None) -> Draft:
    """Read a recipe and change it, as `read_recipe` does, but check nothing yet.

    Raises:
        RecipeError: it is not a recipe's YAML.
        GanflowError: there is no such recipe, or it cannot be read.
    """
    if isinstance(source, Mapping):
        problems, sections = Problems(MAPPING), node_of(dict(source), 1)
        sections = extend(sections, problems, Path(), catalogue)
        changes.apply(overrides, sections, problems, catalogue=catalogue)
        return Draft(sections, str(source.get("name", "recipe")), problems)
    path, here = locate(source), Path.cwd()
    file = str(path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path)
    problems = Problems(file)
    root = extend(_read(path, file, problems), problems, path.parent, catalogue, (path.resolve(),))
    changes.apply(overrides, root, problems, catalogue=catalogue)
    # The recipe in a run's or a sweep's folder has a version, or was written before there was one.
    return Draft(root, path.stem, problems, OLDEST if _is_kept(path) else RECIPE_VERSION)


def _read(path: Path, file: str, problems: Problems) -> Node:
    """The tree of a file; raises RecipeError where it is no recipe's YAML, and says of a run's what helps."""
    root = read_yaml(_load(path, file), problems)
    if root is not None and not root.bad and root.value is None:
        how = "" if _is_kept(path) else "; `ganflow recipes copy wgan` gives one to start from"
        problems.add(1, f"the recipe is empty{how}")
    elif root is not None and not root.bad and not isinstance(root.value, dict):
        found = "a list" if isinstance(root.value, list) else f"the single value {root}"
        problems.add(root.line, f"a recipe is a mapping of sections (data: …, generator: …), not {found}")
    if root is None or not isinstance(root.value, dict):
        if _is_kept(path) and problems:
            problems[-1] = replace(problems[-1], text=f"{problems[-1].text}; {_PUT_BACK}")
        raise RecipeError(problems)
    return root


def _is_kept(path: Path) -> bool:
    """Tell whether it is the recipe in a run's, or a sweep's, folder."""
    return path.name == "recipe.yaml" and path.with_name("run.json").is_file()


STAGES = "stages"
_LONGEST_CHAIN = 20
_PUT_BACK = "put it back as it was, or take it from a backup"  # of a recipe in a run's folder


def extend(root: Node, problems: Problems, beside: Path, catalogue: Catalogue | None = None, chain: Sequence[Path] = ()) -> Node:
    """The tree of the recipe that another extends, changed as that one says; the tree itself where it extends none.

    Args:
        beside: the folder of its file: nothing outside is read but recipes that come with ganflow.
        chain: the files that have been read for it so far, the recipe's first.

    Raises:
        RecipeError: the other is not there, cannot be read, or extends this one.
    """
    name: Node | None = root.value.pop(EXTENDS, None)
    if name is None:
        return root
    try:
        path = _extended(name, beside)
        if path in chain or len(chain) == _LONGEST_CHAIN:
            around = " → ".join(each.name for each in (*chain[list(chain).index(path) if path in chain else 0 :], path))
            raise Refused(f"{around} is a circle" if path in chain else f"a chain of more than {_LONGEST_CHAIN} recipes")
    except Refused as refused:
        problems.add(name.line, f"{EXTENDS}: {refused}")
        raise RecipeError(problems) from None
    file = str(path.relative_to(here) if path.is_relative_to(here := Path.cwd()) else path)
    there = Problems(file)
    base = extend(_read(path, file, there), there, path.parent, catalogue, (*chain, path))
    if there:
        raise RecipeError(there)
    if STAGES in base.value or STAGES in root.value:
        text = "a recipe with stages neither extends another nor is extended; extend one of its stages"
        problems.add(name.line, f"{EXTENDS}: {text}")
        raise RecipeError(problems)
    return merged(base, root, file, problems, catalogue)


def _extended(name: Node, beside: Path) -> Path:
    """The file of the recipe that is named; raises Refused."""
    if not isinstance(name.value, str) or not name.value:
        raise Refused(f"{name} is not a recipe; name one that comes with ganflow, or a file beside this one")
    folder = beside.resolve()
    try:
        path = (folder / name.value).resolve()
        inside, there = path.is_relative_to(folder), (folder / name.value).is_file()
    except (OSError, ValueError, RuntimeError):  # too long, a NUL, links in a circle
        inside, there = True, False
    if inside and there:
        return path
    if inside and (found := find_shipped(name.value)):
        return found.path.resolve()
    if not inside:
        raise Refused(f"{shown(name.value)} is not in the recipe's folder or below it; put a copy there")
    ways = "(`ganflow recipes` lists those that come with ganflow; others lie in this one's folder, or below it)"
    raise Refused(f"no recipe {shown(name.value)}{near_matches(name.value)} {ways}")


def locate(source: str | Path) -> Path:
    """The file of a recipe: a path, or a shipped recipe's name.

    Raises:
        GanflowError: neither.
    """
    path = Path(source)
    try:
        if path.is_file():
            return path
        found = find_shipped(str(source)) if isinstance(source, str) else None
        if found:
            return found.path
        if path.is_dir():
            raise GanflowError(f"{source} is a folder, not a recipe; name a file in it")
        if path.exists():
            what = "is no file, but a pipe, a socket or a device"
            raise GanflowError(f"{shown(str(source))} {what}; write the recipe to a file, and name that")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise GanflowError(f"{shown(str(source))} cannot be a recipe's path: {why}") from None
    if _is_kept(path):
        raise GanflowError(f"{source} is missing; {_PUT_BACK}")
    hint = f"{near_matches(str(source))} (`ganflow recipes` lists those that come with ganflow)"
    raise GanflowError(f"no recipe {shown(str(source))}{hint}")


def _load(path: Path, file: str) -> str:
    try:
        with open_regular(path) as stream:
            data = stream.read(LARGEST + 1)
    except OSError as error:
        raise GanflowError(f"cannot read {file}: {error.strerror}") from None
    if len(data) > LARGEST:
        raise GanflowError(f"{file} is larger than {LARGEST // 1024} KiB; is it a recipe?")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problems = Problems(file)
        line = data[: error.start].count(b"\n") + 1
        how = _PUT_BACK if _is_kept(path) else "save the file as UTF-8"
        problems.add(line, f"not UTF-8 text (byte 0x{data[error.start]:02x}); {how}")
        raise RecipeError(problems) from None
