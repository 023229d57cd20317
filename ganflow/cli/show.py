"""`ganflow show`: a recipe with everything that it leaves unsaid."""

from __future__ import annotations

import argparse

from ganflow.printing import say, say_json, say_text

HELP = "print a recipe with every default filled in"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", metavar="RECIPE", help="a file, or the name of a recipe that comes with ganflow")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="changes, for example train.rounds=50")
    parser.add_argument("--json", action="store_true", help="JSON instead of YAML")


def main(args: argparse.Namespace) -> int:
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
