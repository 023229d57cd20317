"""`ganflow recipes`, `ganflow check` and `ganflow show`: the recipes that come with ganflow, their mistakes, their defaults."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ganflow.printing import escaped, say, say_json, say_text

if TYPE_CHECKING:
    from ganflow.recipe import Recipe

UNBUILT = "read, and not built: ganflow check --build also tries data, networks and metrics, on blank examples"


def recipes_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", title="actions")
    copy = actions.add_parser("copy", help="copy a recipe to a file of your own")
    copy.add_argument("name", metavar="NAME", help="as `ganflow recipes` lists it")
    copy.add_argument("target", metavar="TARGET", nargs="?", default=".", help="file or folder (default: NAME.yaml here)")
    copy.add_argument("--force", action="store_true", help="overwrite the target")


def recipes_command(args: argparse.Namespace) -> int:
    if args.action == "copy":
        return _copy(args.name, args.target, args.force)

    from ganflow.recipe import shipped

    recipes = shipped()
    if args.json:
        say_json([{"name": r.name, "path": str(r.path), "command": r.command, "shows": r.shows} for r in recipes])
        return 0
    width = max((len(r.name) for r in recipes), default=0)
    for recipe in recipes:
        say(f"{recipe.name:{width}}  {recipe.shows}".rstrip())
    return 0


def _copy(name: str, target: str, force: bool) -> int:
    from pathlib import Path

    from ganflow.errors import GanflowError
    from ganflow.recipe import find_shipped
    from ganflow.recipe.source import near_matches

    recipe = find_shipped(name)
    if recipe is None:
        raise GanflowError(f"no recipe '{name}' comes with ganflow{near_matches(name)} (`ganflow recipes` lists them)")
    path = Path(target)
    if path.is_dir() or target.endswith("/"):
        path = path / recipe.path.name
    first, *rest = recipe.path.read_text(encoding="utf-8").splitlines(keepends=True)
    # The comment's command runs the shipped recipe; in the copy it should run the copy.
    first = first.replace(f"recipes/{recipe.name}.yaml", escaped(str(path)))
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write("".join([first, *rest]))
    except FileExistsError:
        raise GanflowError(f"{path} exists; choose another name, or overwrite it with --force") from None
    except OSError as error:
        raise GanflowError(f"cannot write {path}: {error.strerror}") from None
    say(f"{path}: edit it, then: ganflow run {path}")
    return 0


def check_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "recipes",
        nargs="+",
        metavar="RECIPE",
        help="files, names of recipes that come with ganflow, or changes to all of them: train.rounds=50, +metrics=NAME, ~critic",
    )


    parser.add_argument("--build", action="store_true",
                        help="also build the data, the networks and the metrics, and try them on blank examples: finds folders "
                             "that are missing, shapes that do not fit, a batch too small, data without labels")  # fmt: skip


def check_command(args: argparse.Namespace) -> int:
    from ganflow.errors import GanflowError
    from ganflow.recipe import Recipe, read_recipe, split
    from ganflow.recipe.stages import read_stages

    recipes, overrides = split(args.recipes)
    if not recipes:
        raise GanflowError("no recipe to check; write one before the overrides: ganflow check wgan train.rounds=50")
    code = 0
    for recipe in recipes:
        try:
            read = read_stages(recipe, overrides) or read_recipe(recipe, overrides)
            if isinstance(read, Recipe) and read.tune is not None:
                from ganflow.space.reading import read_space

                read_space(read, recipe, overrides)
            recipes_of = [read] if isinstance(read, Recipe) else read.recipes
            built = _built(recipes_of) if args.build else []
        except GanflowError as error:
            say_text(f"{error}\n", err=True)
            code = error.exit_code
        else:
            for note in read.notes:
                say(note if note.startswith(f"{recipe}:") else f"{recipe}: {note}", err=True)
            say(f"{recipe}: ok{''.join(f'; {text}' for text in built)}")
    if not args.build and not code:
        say(UNBUILT, err=True)
    return code


def _built(recipes: Sequence[Recipe]) -> list[str]:
    """The sizes of recipes' networks, built for their data as runs would build them.

    Args:
        recipes: stages, each of which starts from the one before it.

    Raises:
        GanflowError: they cannot be built, or do not fit each other.
    """
    from ganflow.runs.folders import DEFAULT_ROOT
    from ganflow.runs.trying import tried

    found: list[str] = []
    for game in tried(recipes, DEFAULT_ROOT):
        networks = {"generator": game.generator, "critic": game.critic}
        counts = {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items() if network is not None}
        sizes = [f"{name} {count:,} parameters" for name, count in counts.items()]
        examples = f"{game.data.size} examples" if game.data.size is not None else "examples"
        found.append(f"{examples} of shape {'×'.join(map(str, game.data.shape))}, {', '.join(sizes)}")
    return found


def show_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", metavar="RECIPE", help="a file, or the name of a recipe that comes with ganflow")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="changes, for example train.rounds=50")
    parser.add_argument("--json", action="store_true", help="JSON instead of YAML")


def show_command(args: argparse.Namespace) -> int:
    import sys

    from ganflow.recipe import read_recipe
    from ganflow.recipe.stages import read_stages

    recipe = read_stages(args.recipe, args.overrides) or read_recipe(args.recipe, args.overrides)
    for note in recipe.notes:
        say(note, err=True)
    if args.json:
        say_json(recipe.resolved())
    elif sys.stdout.isatty():
        from rich.console import Console
        from rich.syntax import Syntax

        Console().print(Syntax(recipe.to_yaml(), "yaml", background_color="default"))
    else:
        say_text(recipe.to_yaml())
    return 0
