"""`ganflow COMMAND …`: finds the command, runs it, and turns a user's mistake into one sentence and exit code 2."""

from __future__ import annotations

import argparse
import difflib
import re
import shlex
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType, TracebackType
from typing import NoReturn

from ganflow import printing
from ganflow.errors import GanflowError, NewestDamaged
from ganflow.printing import say, say_text
from ganflow.version import __version__

COMMANDS = {
    "run": "train a recipe, or go on with a run",
    "check": "find every mistake in recipes, train nothing",
    "show": "print a recipe with every default filled in",
    "recipes": "list the recipes that come with ganflow, or copy one",
    "plugins": "list the installed plugins, their components and keys",
    "tune": "search a recipe's keys over a Ray cluster",
    "runs": "list the runs, or show one",
    "sweeps": "list the sweeps, or show one",
    "sample": "draw samples from a run",
    "interpolate": "walk between latent points of a run",
    "animate": "a GIF of a run's samples over training",
    "sync": "send to MLflow what could not be sent during a run or a sweep",
    "ui": "open MLflow on the runs",
}
"""Commands and what they do, kept here so that `ganflow --help` imports none of them; a test compares with HELP."""

EXAMPLES = """\
examples:
  ganflow run wgan                          digits from a Wasserstein GAN in two minutes
  ganflow recipes copy wgan                 a recipe to edit
  ganflow run wgan.yaml train.rounds=200    with a change
  ganflow run --resume latest               go on after an interruption
  ganflow tune wgan                         search for better learning rates
  ganflow sample latest -n 64 -o grid.png   draw from the trained generator
"""


class Parser(argparse.ArgumentParser):
    """Errors are one sentence with a suggestion; no usage dump."""

    def error(self, message: str) -> NoReturn:
        hints = []
        for word in message.split():
            if message.startswith("unrecognized") and word.startswith("-"):
                hints += difflib.get_close_matches(word.partition("=")[0], self._option_string_actions, n=1)
        hint = f"; did you mean {' and '.join(hints)}?" if hints else ""
        raise GanflowError(f"{message}{hint} ({self.prog} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 2 for a mistake in the input, 128 + n after a signal."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if argv is None:  # else this is somebody else's process
        sys.excepthook = _traceback
    debug = "--debug" in arguments
    with printing.unread() as out:
        code = _answered([a for a in arguments if a != "--debug"], debug)
    if out.error is None or code or arguments[:1] in (["run"], ["tune"]):  # which have done more than print
        return code
    if isinstance(out.error, BrokenPipeError):  # `ganflow runs | head`
        return 141
    say(f"ganflow: cannot write what is to be printed: {getattr(out.error, 'strerror', None) or out.error}", err=True)
    return GanflowError.exit_code


def _answered(arguments: list[str], debug: bool) -> int:
    """Run a command, with a user's mistake in one sentence; returns the exit code."""
    try:
        return _run(arguments)
    except GanflowError as error:
        if debug:
            raise
        said = str(error)
        if isinstance(error.__cause__, (MemoryError, RuntimeError)):  # out of memory is no part's own fault
            said = _exhausted(error.__cause__) or said
        say_text(f"ganflow: {said}\n" if "\n" not in said else f"{said}\n", err=True)
        return error.exit_code
    except KeyboardInterrupt:
        say("", "ganflow: interrupted", err=True)
        return 130
    except (MemoryError, OSError, RuntimeError) as error:
        exhausted = _exhausted(error)
        if debug or not exhausted:
            raise
        say(f"ganflow: {exhausted}", err=True)
        return GanflowError.exit_code


def _traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    import traceback

    say_text("".join(traceback.format_exception(kind, error, trace)), file=printing.Unread(sys.stderr))


def _exhausted(error: BaseException) -> str | None:
    """What the machine has too little of for what was asked; None where that is not the trouble."""
    if isinstance(error, OSError):
        from ganflow.machine import broken

        fault = broken(error)
        return f"{fault}, and try again" if fault else None
    if isinstance(error, MemoryError) or "allocate" in str(error):  # torch has no class for it on a CPU
        amount = re.search(r"allocate ([\d.]+ \w+)", str(error))
        wanted = f" ({amount[1]} more were wanted)" if amount else ""
        return f"this does not fit in memory{wanted}; make the batches, the data or the networks smaller"
    return None


def _run(arguments: list[str]) -> int:
    if len(arguments) > 1 and arguments[0] == "help":  # `ganflow help run`
        arguments = [arguments[1], "--help"]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        say_text(f"{_help()}\n")
        return 0
    if arguments[0] in ("-V", "--version"):
        say(f"ganflow {__version__}")
        return 0
    name, *rest = arguments
    command = import_module(f"ganflow.cli.{name}") if name in COMMANDS else _brought(name)
    parser = Parser(
        prog=f"ganflow {name}",
        description=command.HELP[0].upper() + command.HELP[1:] + ".",
        epilog="--debug shows the whole traceback of an error.",
        allow_abbrev=False,
    )
    command.arguments(parser)
    parsed = parser.parse_intermixed_args(rest) if _mixes(parser) else parser.parse_args(rest)
    try:
        code: int = command.main(parsed)
    except NewestDamaged as error:
        if hasattr(parsed, "checkpoint"):
            raise GanflowError(f"{error}; to use that: {with_checkpoint(arguments, error.instead)}") from None
        raise
    return code


def with_checkpoint(arguments: Sequence[str], file: Path) -> str:
    """What to type to have a command take this checkpoint."""
    from ganflow.runs.folders import here

    name, *rest = arguments
    named = [i for i, a in enumerate(rest) if a == "--checkpoint" or (i and rest[i - 1] == "--checkpoint")]
    left = [a for i, a in enumerate(rest) if i not in named and not a.startswith("--checkpoint=")]
    return shlex.join(["ganflow", name, "--checkpoint", str(here(file)), *left])


def _brought(name: str) -> ModuleType:
    """A command that a plugin brings."""
    from ganflow.cli.brought import commands, load

    found = commands()
    if name not in found:
        known = [*COMMANDS, *(other for other in found if other not in COMMANDS)]
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean '{close[0]}'?" if close else ""
        raise GanflowError(f"unknown command '{name}'{hint} (commands: {', '.join(known)})")
    return load(name, found[name])


def _mixes(parser: argparse.ArgumentParser) -> bool:
    """Whether options may stand between the positional arguments (argparse cannot do that with subcommands)."""
    return not any(isinstance(a, argparse._SubParsersAction) for a in parser._actions)


def _help() -> str:
    from ganflow.cli.brought import helps

    commands = "\n".join(f"  {name:12} {text}" for name, text in {**COMMANDS, **helps(), **COMMANDS}.items())
    what = "Adversarial-training experiments from recipes and plugins."
    return f"usage: ganflow COMMAND …\n\n{what}\n\ncommands:\n{commands}\n\n{EXAMPLES}"
