"""`ganflow recipes`, `ganflow check` and `ganflow show`: the recipes that come with ganflow, their mistakes, their defaults."""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ganflow.advised import in_shell
from ganflow.cli.helping import example_lines, wrapped
from ganflow.printing import say, say_json, say_text

if TYPE_CHECKING:
    from ganflow.recipe import Recipe, Shipped

UNBUILT = "read, and not built: ganflow check --build also tries data, networks, metrics, sizes and memory, on blank examples"


def recipes_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", title="actions")
    for action, does in (("show", "tell all about a recipe"), ("cat", "print a recipe's file")):
        chosen = actions.add_parser(action, help=does)
        chosen.add_argument("name", metavar="NAME", help="as `ganflow recipes` lists it")
        if action == "show":
            chosen.add_argument("--json", action="store_true", dest="shown_json", help="for programs")
    copy = actions.add_parser("copy", help="copy a recipe to a file of your own")
    copy.add_argument("name", metavar="NAME", help="as `ganflow recipes` lists it")
    copy.add_argument("target", metavar="TARGET", nargs="?", default=".", help="file or folder (default: NAME.yaml here)")
    copy.add_argument("--force", action="store_true", help="overwrite the target")
    copy.add_argument("--json", action="store_true", dest="shown_json", help="for programs: the file that was written")


def recipes_command(args: argparse.Namespace) -> int:
    if args.action == "copy":
        return _copy(args.name, args.target, args.force, args.json or args.shown_json)
    if args.action == "cat":
        say_text(_found(args.name).path.read_text(encoding="utf-8"))
        return 0
    if args.action == "show":
        return _shown(args.name, args.json or args.shown_json)

    from ganflow.recipe import shipped

    recipes = shipped()
    if args.json:
        say_json([{"name": r.name, "path": str(r.path), "command": r.command, "shows": r.shows} for r in recipes])
        return 0
    width = max((len(r.name) for r in recipes), default=0)
    for recipe in recipes:
        line = f"{recipe.name:{width}}  {recipe.shows}".rstrip()
        room = shutil.get_terminal_size().columns - 1
        say(*(wrapped(line, room, further=" " * (width + 2 if room > 2 * width else 4)) if sys.stdout.isatty() else [line]))
    return 0


def _found(name: str) -> Shipped:
    from ganflow.errors import GanflowError
    from ganflow.recipe import find_shipped
    from ganflow.recipe.source import near_matches

    if (recipe := find_shipped(name)) is None:
        raise GanflowError(f"no recipe '{name}' comes with ganflow{near_matches(name)} (`ganflow recipes` lists them)")
    return recipe


def _shown(name: str, as_json: bool) -> int:
    """Print what a recipe is about: what there is to see, its components and its rounds."""
    from ganflow.cli.listing import row
    from ganflow.recipe import Recipe, read_recipe
    from ganflow.recipe.stages import read_stages

    found = _found(name)
    read = read_stages(found.path) or read_recipe(found.path)
    facts = {"name": found.name, "path": str(found.path), "command": found.command, "shows": found.shows}
    if as_json:
        say_json({**facts, "about": found.about, "recipe": read.resolved()})
        return 0
    say(found.name, *wrapped(found.about, shutil.get_terminal_size().columns - 1, "  "), row("file", found.path))
    for recipe in [read] if isinstance(read, Recipe) else read.recipes:
        say("" if read is recipe else f"  {recipe.name}:")
        named: dict[str, list[str]] = {}
        for slot, chosen in recipe.slots().items():
            named.setdefault(slot.partition(".")[0], []).append(chosen.component.name)
        for section in ("modifiers", "metrics", "trackers"):
            named[section] = [chosen.component.name for chosen in getattr(recipe, section)]
        say(*(row(section, ", ".join(dict.fromkeys(names))) for section, names in named.items() if names))
        say(row("rounds", f"{recipe.train.rounds}, batches of {recipe.train.batch_size}"))
    ways = {found.command: "search" if found.command.startswith("ganflow tune ") else "train it"}
    ways |= {f"ganflow recipes cat {found.name}": "its file", f"ganflow recipes copy {found.name}": "one to edit"}
    say("", *example_lines(ways.items()))
    return 0


def _copy(name: str, target: str, force: bool, as_json: bool) -> int:
    from pathlib import Path

    from ganflow.cli.drawing import print_written
    from ganflow.errors import GanflowError, escaped

    recipe = _found(name)
    path = Path(target)
    if path.is_dir() or target.endswith("/"):
        path = path / recipe.path.name
    first, *rest = recipe.path.read_text(encoding="utf-8").splitlines(keepends=True)
    # The comment's command runs the shipped recipe; in the copy it should run the copy.
    command = " ".join(escaped(shlex.quote(str(path))) if word == recipe.name else word for word in recipe.command.split(" "))
    first = first.replace(recipe.command, command)
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write("".join([first, *rest]))
    except FileExistsError:
        raise GanflowError(f"{path} exists; choose another name, or overwrite it with --force") from None
    except OSError as error:
        raise GanflowError(f"cannot write {path}: {error.strerror}") from None
    if as_json:
        print_written([path], {"recipe": recipe.name, "command": command})
    else:
        say(f"{path}: edit it, then: {command}")
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
    parser.add_argument("--json", action="store_true", help="for programs: problems with their lines, on stdout")


def check_command(args: argparse.Namespace) -> int:
    from ganflow.cli.main import say_sentences
    from ganflow.errors import GanflowError, RecipeError
    from ganflow.recipe import Recipe, read_recipe, split
    from ganflow.recipe.stages import read_stages
    from ganflow.tracking.destination import check_written

    recipes, overrides = split(args.recipes)
    if not recipes:
        raise GanflowError("no recipe to check; write one before the overrides: ganflow check wgan train.rounds=50")
    code, found = 0, []
    for recipe in recipes:
        facts: dict[str, Any] = {"recipe": recipe, "ok": True, "problems": [], "notes": [], "built": []}
        found.append(facts)
        try:
            read = read_stages(recipe, overrides) or read_recipe(recipe, overrides)
            recipes_of = [read] if isinstance(read, Recipe) else read.recipes
            for each in recipes_of:
                check_written(each)
            notes = [*read.notes, *(_of_tune(read, recipe, overrides) if isinstance(read, Recipe) else ())]
            notes += [] if args.build else _of_devices(recipes_of)
            built = _built(recipes_of) if args.build else []
            if args.build and isinstance(read, Recipe) and read.tune is not None:
                from ganflow.tune.objectives import find_objectives

                find_objectives(read)
        except GanflowError as error:
            problems = error.problems if isinstance(error, RecipeError) else []
            facts |= {"ok": False, "problems": [vars(p) | {"text": in_shell(p.text)} for p in problems] or
                      [{"line": 0, "text": error.in_shell, "file": ""}]}  # fmt: skip
            code = error.exit_code
            if not args.json:
                say_sentences(error.in_shell)
        else:
            facts |= {"notes": [in_shell(note) for note in notes], "built": built}
            for note in [] if args.json else map(in_shell, notes):
                say_sentences(note if note.startswith(f"{recipe}:") else f"{recipe}: {note}")
            if not args.json:
                say(f"{recipe}: ok{''.join(f'; {text}' for text in built)}")
    if args.json:
        say_json(found)
    elif not args.build and not code:
        say_sentences(UNBUILT)
    return code


def _of_tune(recipe: Recipe, source: str, overrides: Sequence[str]) -> Iterator[str]:
    """A note where `ganflow run` trains what `ganflow tune` refuses, because of the overrides.

    Raises:
        GanflowError: the space has mistakes of its own, or trials are judged by a metric that the recipe has not.
    """
    if recipe.tune is None:
        return
    from ganflow.errors import GanflowError
    from ganflow.recipe import read_recipe
    from ganflow.space.fixing import read_searched, sound_without
    from ganflow.tune.asked import check_asked

    try:
        check_asked(recipe)
        read_searched(source, overrides)
    except GanflowError as error:
        if not sound_without(source, overrides):
            raise
        of_tune = [override for override in overrides if override.startswith(("tune", "+tune", "~tune"))]
        check_asked(read_recipe(source, of_tune))
        without = "" if of_tune else " (or leave the search out: ~tune)"  # which those would contradict
        yield f"ganflow tune refuses this, and ganflow run does not: {error.in_shell}{without}"


def _of_devices(recipes: Sequence[Recipe]) -> list[str]:
    """A note on each device that this machine has not: the recipe may be for another one."""
    from ganflow.errors import GanflowError

    notes = []
    for name in {recipe.train.device for recipe in recipes} - {"auto", "cpu"}:  # for these torch need not be imported
        from ganflow.engine.build import pick_device

        try:
            pick_device(name)
        except GanflowError as error:
            notes.append(f"ganflow run would refuse this here: {error.in_shell}")
    return notes


def _built(recipes: Sequence[Recipe]) -> list[str]:
    """The sizes of recipes' networks, built for their data as runs would build them.

    Args:
        recipes: stages, each of which starts from the one before it.

    Raises:
        GanflowError: they cannot be built, or do not fit each other.
    """
    from ganflow.engine.build import pick_device
    from ganflow.runs.folders import default_root
    from ganflow.runs.trying import tried

    for recipe in recipes:
        pick_device(recipe.train.device)
    found: list[str] = []
    for game in tried(recipes, default_root()):
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
    from ganflow.recipe import read_recipe
    from ganflow.recipe.stages import read_stages

    recipe = read_stages(args.recipe, args.overrides) or read_recipe(args.recipe, args.overrides)
    for note in map(in_shell, recipe.notes):
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
