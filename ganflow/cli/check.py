"""`ganflow check`: is a recipe right? Every problem of every recipe, with its line."""

from __future__ import annotations

import argparse

from ganflow.printing import say, say_text

HELP = "find every mistake in recipes, train nothing"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "recipes",
        nargs="+",
        metavar="RECIPE",
        help="files, names of recipes that come with ganflow, or changes to all of them: train.rounds=50, +metrics=NAME, ~critic",
    )


def main(args: argparse.Namespace) -> int:

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
                from ganflow.tune.reading import read_space

                read_space(read, recipe, overrides)
        except GanflowError as error:
            say_text(f"{error}\n", err=True)
            code = error.exit_code
        else:
            for note in read.notes:
                say(f"{recipe}: {note}", err=True)
            say(f"{recipe}: ok")
    return code
