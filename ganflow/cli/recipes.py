"""`ganflow recipes`: what comes with ganflow, and a copy of it to edit."""

from __future__ import annotations

import argparse

from ganflow.printing import escaped, say, say_json

HELP = "list the recipes that come with ganflow, or copy one"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", title="actions")
    copy = actions.add_parser("copy", help="copy a recipe to a file of your own")
    copy.add_argument("name", metavar="NAME", help="as `ganflow recipes` lists it")
    copy.add_argument("target", metavar="TARGET", nargs="?", default=".", help="file or folder (default: NAME.yaml here)")
    copy.add_argument("--force", action="store_true", help="overwrite the target")


def main(args: argparse.Namespace) -> int:
    if args.action == "copy":
        return _copy(args.name, args.target, args.force)
    return _list(args.json)


def _list(as_json: bool) -> int:

    from ganflow.recipe import shipped

    recipes = shipped()
    if as_json:
        listed = [{"name": r.name, "path": str(r.path), "command": r.command, "shows": r.shows} for r in recipes]
        say_json(listed)
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
