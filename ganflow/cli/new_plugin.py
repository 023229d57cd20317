"""`ganflow new-plugin`: a package with a component for each role, its tests and a recipe, to be changed."""

from __future__ import annotations

import argparse
import keyword
import os
import re
import shlex
import shutil
from collections.abc import Sequence
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import NamedTuple

from ganflow.cli.drawing import print_written
from ganflow.contract.hooks import ROLES
from ganflow.errors import GanflowError, origin
from ganflow.installed import about, entry_points
from ganflow.printing import say
from ganflow.synonyms import role_hint
from ganflow.version import __version__

_NAME = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
ALL = "all"


class Part(NamedTuple):
    """A component of the template: name, settings class in plugin_template/roles/ROLE.py.txt, and line of a recipe."""

    name: str
    settings: str
    use: str


PARTS = {
    "data": Part("moons", "Moons", "data: {use: $use, train: 1000}"),
    "prior": Part("sphere", "SpherePrior", "prior: {use: $use, dim: 4}"),
    "generator": Part("plain", "PlainGenerator", "generator: {use: $use, width: 64}"),
    "critic": Part("plain", "PlainCritic", "critic: {use: $use, width: 64}"),
    "loss": Part("absolute", "AbsoluteLoss", "loss: {use: $use}"),
    "optimizer": Part("momentum", "MomentumOptimizer", "optimizer: {use: $use, lr: 0.02}"),
    "schedule": Part("drop", "DropSchedule", "schedule: {use: $use}"),
    "modifier": Part("near", "NearModifier", "modifiers:\n  - {use: $use}"),
    "metric": Part("mean_distance", "MeanDistanceMetric", "metrics:\n  - {use: $use}"),
    "tracker": Part("lines", "LinesTracker", "trackers:\n  - {use: $use}"),
    "executor": Part("turns", "TurnsExecutor", "  executor: {use: $use}"),
    "encoder": Part("hashed", "HashedEncoder", "data: {use: birds, size: 16, train: 64, held_out: 16, encoder: {use: $use}}"),
}
BESIDE = {
    "data": "data: {use: gaussians, layout: ring}",
    "prior": "prior: {use: normal, dim: 4}",
    "generator": "generator: {use: mlp, width: 64, depth: 2}",
    "critic": "critic: {use: mlp, width: 64, depth: 2}",
    "loss": "loss: {use: hinge}",
    "optimizer": "optimizer: {use: adam, lr: 1.0e-3}",
    "metric": "metrics:\n  - {use: sliced_wasserstein}",
}
"""Lines of a recipe for the roles that the plugin does not have."""
TRAIN = "train: {rounds: 1000, batch_size: 64, seed: 0}"
SPACE = "tune:\n  trials: 4\n  space: {optimizer.lr: {loguniform: [1.0e-3, 1.0e-1]}}"


def new_plugin_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the plugin's, by which recipes name its components: acme")
    parser.add_argument("--roles", required=True, metavar="ROLE,…", help=f"a component for each of: {', '.join(ROLES)}; or {ALL}")
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="of the package, a new one (default: NAME)")
    parser.add_argument("--json", action="store_true", help="for programs: the files that were written")


def new_plugin_command(args: argparse.Namespace) -> int:
    roles, folder = chosen_roles(args.roles), args.output or Path(args.name)
    check_name(args.name)
    contents = package(args.name, roles)
    other = "name another folder with -o"
    try:
        if os.path.lexists(folder):
            raise GanflowError(f"{folder} is there already, and nothing is overwritten; {other}")
        if not folder.absolute().parent.is_dir():
            raise GanflowError(f"there is no folder {folder.parent}/ to write {folder.name}/ in; {other}")
        folder.mkdir()
    except (OSError, ValueError) as error:
        raise GanflowError(f"cannot make {folder}: {getattr(error, 'strerror', None) or error}; {other}") from None
    try:
        for path, text in contents.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise GanflowError(f"cannot write {folder}: {error.strerror}") from None
    if args.json:
        print_written([folder / path for path in contents], {"plugin": args.name, "roles": roles})
        return 0
    made = ", ".join(f"{role} '{args.name}/{PARTS[role].name}'" for role in roles)
    shown = shlex.quote(str(folder))
    say(f"wrote {folder}: {made}", "install and test it:", f"  pip install -e {shlex.quote(f'{folder}[test]')} && pytest {shown}")
    for path, text in contents.items():
        if path.endswith(".yaml"):
            say(f"  ganflow {verb(text)} {shlex.quote(str(folder / path))}")
    return 0


def chosen_roles(text: str) -> list[str]:
    """The roles that "loss,critic" or "all" means, in the contract's sequence.

    Raises:
        GanflowError: there is no such role, or none is named.
    """
    named = [word for word in re.split(r"[,\s]+", text) if word]
    for name in named:
        if name not in (*ROLES, ALL):
            raise GanflowError(f"--roles: unknown role '{name}'{role_hint(name, ROLES)} (roles: {', '.join(ROLES)}, or {ALL})")
    if not named:
        raise GanflowError(f"--roles: name one or more, with commas between them: {', '.join(ROLES)}, or {ALL}")
    return [role for role in ROLES if role in named or ALL in named]


def check_name(name: str) -> None:
    """Check that a new plugin can have this name.

    Raises:
        GanflowError: it is no identifier, or somebody else's.
    """
    if not _NAME.fullmatch(name):
        guess = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_0123456789")
        hint = f": {guess}" if _NAME.fullmatch(guess) else ""
        form = "lower-case letters, digits and underscores, a letter first"
        raise GanflowError(f"'{name}' cannot be a plugin's name: {form}{hint}")
    if keyword.iskeyword(name):
        raise GanflowError(f"'{name}' is a word of Python's; give the plugin another name")
    if name in ROLES:
        raise GanflowError(f"'{name}' is the name of a role; give the plugin another name")
    for point in entry_points("ganflow", name):
        who = origin(*about(point.dist)) if point.dist else "an installed package"
        raise GanflowError(f"there is a plugin '{name}' already, of {who}; choose another name (ganflow plugins lists all)")
    if (spec := find_spec(name)) is not None and spec.origin is not None:  # else it is a mere folder
        raise GanflowError(f"there is a Python package '{name}' already; give the plugin another name")
    if find_spec(module_of(name)) is not None:
        raise GanflowError(f"there is a module {module_of(name)} already; choose another name for the plugin")


def verb(recipe: str) -> str:
    """The command that a recipe is for."""
    return "tune" if "tune:" in recipe else "run"


def module_of(name: str) -> str:
    return f"gf_{name}"


def package(name: str, roles: Sequence[str]) -> dict[str, str]:
    """The files of a plugin: path → text."""
    module, parts = module_of(name), [(role, PARTS[role]) for role in roles]
    recipes = recipes_of(name, roles)
    about = [f"| {role} | `{name}/{part.name}` | `{module}/{role}.py` |" for role, part in parts]
    commands = [f"ganflow {verb(text)} {path}" for path, text in recipes.items()]
    values = {
        "name": name,
        "module": module,
        "distribution": module.replace("_", "-"),
        "version": __version__,
        "imports": "\n".join(f"from {module}.{role} import {part.settings}" for role, part in sorted(parts)),
        "offers": "\n".join(f'    offer("{role}", "{part.name}", {part.settings})' for role, part in parts),
        "table": "\n".join(["| Role | In a recipe | Code |", "|---|---|---|", *about]),
        "commands": "\n".join(commands),
    }

    def filled(file: str) -> str:
        text = files("ganflow.cli").joinpath("plugin_template", f"{file}.txt").read_text(encoding="utf-8")
        return Template(text).substitute(values)

    return {
        "pyproject.toml": filled("pyproject.toml"),
        "README.md": filled("README.md"),
        ".gitignore": filled("gitignore"),
        ".github/workflows/test.yml": filled("ci.yml"),
        f"{module}/__init__.py": filled("init.py"),
        **{f"{module}/{role}.py": filled(f"roles/{role}.py") for role in roles},
        f"tests/test_{name}.py": filled("test.py"),
        **recipes,
    }


def recipes_of(name: str, roles: Sequence[str]) -> dict[str, str]:
    """Recipes that use the components: path → text. An encoder is in one by itself, whose data are captioned pictures."""
    lines = {role: Template(PARTS[role].use).substitute(use=f"{name}/{PARTS[role].name}") for role in roles}
    found = {}
    played = {role: line for role, line in lines.items() if role not in ("executor", "encoder")}
    if played or "executor" in lines:
        tune = [f"{SPACE}\n{lines['executor']}"] if "executor" in lines else []
        every = [role for role in ROLES if role in played or role in BESIDE]
        body = [f"name: {name}", *(played.get(role) or BESIDE[role] for role in every), TRAIN, *tune]
        found["recipe.yaml"] = "\n".join([*body, ""])
    if "encoder" in lines:
        beside = {**BESIDE, "data": lines["encoder"]}
        found["text.yaml"] = "\n".join([f"name: {name}_text", *beside.values(), "condition: text", TRAIN, ""])
    return found
