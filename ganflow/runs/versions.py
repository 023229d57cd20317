"""Runs that another version of ganflow, or of a plugin, has written: who, and what to do where they cannot be read here."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ganflow.errors import GanflowError, RecipeError
from ganflow.plugins import load_catalogue
from ganflow.recipe import Recipe, kept_recipe
from ganflow.runs.folders import RunFolder
from ganflow.runs.record import is_newer
from ganflow.version import __version__

_VERSION = re.compile(r"[0-9][\w.+!-]{0,30}")
_DISTRIBUTION = re.compile(r"[A-Za-z0-9][\w.-]{0,60}")


def run_recipe(folder: RunFolder, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of a run, with changes, to be read and not to be trained.

    Raises:
        GanflowError: it cannot be read; also says which versions have written it, where these are not those of here.
    """
    try:
        return kept_recipe(folder.recipe, overrides)
    except GanflowError as error:
        if overrides:
            run_recipe(folder)  # else the overrides are what is wrong
            raise
        about = writers(folder)
        if not about:
            raise
        joint = "\n" if isinstance(error, RecipeError) else "; "
        raise GanflowError(f"{error}{joint}{about}") from error


def writers(folder: RunFolder) -> str:
    """Sentence about the versions that have written a run, with what helps where it cannot be read; empty where these are all
    those of here, or nothing says which they were."""
    try:
        record = folder.read()
    except GanflowError:
        return ""
    found = []
    version = record.versions.get("ganflow", "")
    if version != __version__ and _VERSION.fullmatch(version):
        if is_newer(version):
            how = "which is newer than this one: pip install --upgrade ganflow"
        else:
            how = f"an earlier one, which reads it: pip install ganflow=={version}, in an environment of its own"
        found.append(f"the run was written by ganflow {version}, and this is {__version__}: {how}")
    there = {plugin.name: plugin for plugin in load_catalogue().plugins}
    for name, was in record.plugins.items():
        known = _DISTRIBUTION.fullmatch(was["distribution"]) and _VERSION.fullmatch(was["version"])
        if not known or was["distribution"] == "ganflow":
            continue
        source = f"{was['distribution']}=={was['version']}"
        if name not in there:
            found.append(f"plugin '{name}' is not installed; it was of {was['distribution']} {was['version']}, for which you "
                         f"answer yourself: pip install {source}")  # fmt: skip
        elif there[name].version != was["version"]:
            found.append(f"plugin '{name}' was {was['distribution']} {was['version']}, and is {there[name].version}: pip install "
                         f"{source}, if the run is to be read as it was")  # fmt: skip
    return "; ".join(found)
