"""`ganflow COMMAND …`: finds the command, runs it, and turns a user's mistake into one sentence and exit code 2.

Packages add commands by entry points of the group "ganflow.commands":

    [project.entry-points."ganflow.commands"]
    inpaint = "ganflow_inpainting.command"

The module has HELP, one line; `arguments(parser)`; `main(args)`, which returns the exit code; and perhaps EXAMPLES, pairs of a
command line and what it does. It is imported for its command and for `ganflow --help`, so it imports what is heavy inside `main`.
"""

from __future__ import annotations

import argparse
import errno
import logging
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, NoReturn

from ganflow import printing, synonyms
from ganflow.cli.helping import EXAMPLES as EXAMPLES_OF
from ganflow.cli.helping import Example, Formatter, epilog, sentences, wrapped
from ganflow.errors import GanflowError, NewestDamaged, PluginError, in_shell_of
from ganflow.installed import about, entry_points, kept_off_stdout
from ganflow.printing import say, say_text
from ganflow.version import __version__

COMMANDS = {
    "run": ("train", "train a recipe, or go on with a run"),
    "check": ("recipes", "find every mistake in recipes, train nothing"),
    "show": ("recipes", "print a recipe with every default filled in"),
    "recipes": ("recipes", "list the recipes that come with ganflow, or copy one"),
    "data": ("data", "show what a recipe's data, or a folder's images, are"),
    "plugins": ("plugins", "list the installed plugins and their keys, or test one"),
    "new-plugin": ("new_plugin", "write the package of a new plugin, with its tests"),
    "tune": ("train", "search a recipe's keys over a Ray cluster"),
    "runs": ("runs", "list the runs, show one, or delete some"),
    "sweeps": ("sweeps", "list the sweeps, or show one"),
    "sample": ("sample", "draw samples from a run"),
    "interpolate": ("sample", "walk between latent points of a run"),
    "animate": ("sample", "a GIF of a run's samples over training"),
    "report": ("report", "a run's samples, curves and recipe as one HTML file, in a browser"),
    "evaluate": ("evaluate", "score runs' checkpoints, with errors and floors"),
    "compare": ("compare", "terms, scores and samples of runs side by side"),
    "export": ("export", "take a run's generator away: torch.export, ONNX, MLflow, Hugging Face"),
    "sync": ("tracking", "send to MLflow what could not be sent during a run or a sweep"),
    "ui": ("tracking", "open MLflow on the runs"),
    "completion": ("completion", "a script by which your shell completes what you type"),
}
"""Command → (module, help). The module, imported for its commands alone, has NAME_arguments(parser) and NAME_command(args)."""

EXAMPLES = (
    ("ganflow run wgan", "digits from a Wasserstein GAN"),
    ("ganflow recipes copy wgan", "a recipe to edit"),
    ("ganflow run wgan.yaml train.rounds=200", "with a change"),
    ("ganflow run --resume latest", "go on after an interruption"),
    ("ganflow tune wgan", "search for better learning rates"),
    ("ganflow sample latest -n 64 -o grid.png", "draw from the trained generator"),
)


class Command(NamedTuple):
    """A command's help, the function that adds its arguments to a parser, the one that runs it, and examples for its help."""

    help: str
    arguments: Callable[[argparse.ArgumentParser], None]
    main: Callable[[argparse.Namespace], int]
    examples: Sequence[Example] = ()


class Parser(argparse.ArgumentParser):
    """Errors are one sentence with a suggestion; no usage dump. No path is empty: that would be the working folder.

    Args:
        examples: of the command, for what is missing.
    """

    def __init__(self, *args: Any, examples: Sequence[Example] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register("type", Path, _path)
        self.examples = examples

    def error(self, message: str) -> NoReturn:
        hints: list[str] = []
        changes = ""
        for word in message.split():
            if message.startswith("unrecognized") and word.startswith("-"):
                option = word.partition("=")[0]  # which the command may have, and this action of it not
                hints += synonyms.near(option, [known for known in self._option_string_actions if known != option])
                if any(action.dest in ("overrides", "recipes") for action in self._actions):
                    from ganflow.recipe.build import elsewhere

                    changes = changes or synonyms.option_hint(word, elsewhere)
        choice = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        if choice:
            hints += synonyms.near(choice[1], re.findall(r"'(.*?)'", choice[2]))
            changes = "" if hints or not _shown(self.prog, choice[1]) else synonyms.action_hint(self.prog, choice[1])
        hint = changes or (f"; did you mean {' and '.join(hints)}?" if hints else "")
        if message.startswith("the following arguments are required") and self.examples:
            hint = f"; e.g. {self.examples[0][0]}"
        raise GanflowError(f"{message}{hint} ({self.prog} --help)")


def _path(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("a path is empty; leave it out, or write . for this folder")
    return Path(text)


def _shown(command: str, word: str) -> bool:
    """Return whether a command's action `show` can show what a word names."""
    try:
        if command == "ganflow recipes":
            from ganflow.recipe import find_shipped

            return find_shipped(word) is not None
        if command == "ganflow plugins":
            from ganflow.cli.plugins import matching
            from ganflow.plugins import load_catalogue

            return bool(matching(load_catalogue(), word))
        if command in ("ganflow runs", "ganflow sweeps"):
            from ganflow.runs.finding import find_any
            from ganflow.runs.folders import default_root

            return bool(find_any(word, default_root()))
    except GanflowError:
        pass
    return False


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 2 for a mistake in the input, 128 + n after a signal."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if argv is None:  # else this is somebody else's process
        sys.excepthook = _traceback
        logging.getLogger("ganflow").addHandler(_Printed(logging.WARNING))
    debug = "--debug" in arguments
    with printing.unread() as out:
        code = _answered([a for a in arguments if a != "--debug"], debug)
    if out.error is None or code or arguments[:1] in (["run"], ["tune"]):  # which have done more than print
        return code
    if isinstance(out.error, BrokenPipeError):  # `ganflow runs | head`
        return 141
    say(f"ganflow: cannot write what is to be printed: {getattr(out.error, 'strerror', None) or out.error}", err=True)
    return GanflowError.exit_code


class _Printed(logging.Handler):
    """Prints records as the commands' other messages: what a terminal would obey is escaped."""

    def emit(self, record: logging.LogRecord) -> None:
        say(f"ganflow: {record.getMessage()}", err=True)


def _answered(arguments: list[str], debug: bool) -> int:
    """Run a command, with a user's mistake in one sentence; returns the exit code."""
    try:
        return _run(arguments)
    except ModuleNotFoundError as error:
        if debug or (lacking := _lacking(error)) is None:
            raise
        say(f"ganflow: {lacking}", err=True)
        return GanflowError.exit_code
    except KeyboardInterrupt:
        say("", "ganflow: interrupted", err=True)
        return 130
    except (GanflowError, MemoryError, OSError, RuntimeError) as error:
        expected = isinstance(error, GanflowError)
        cause = error.__cause__ if expected else error
        # out of memory is no component's fault, whatever the sentence says
        exhausted = _exhausted(cause) if isinstance(cause, (MemoryError, RuntimeError)) or not expected else None
        if debug or not (expected or exhausted):
            raise
        message = exhausted or in_shell_of(error)
        say_sentences(message if "\n" in message else f"ganflow: {message}")
        return error.exit_code if isinstance(error, GanflowError) else GanflowError.exit_code


def say_sentences(text: str) -> None:
    """Print an error, or a note, on stderr: broken between words on a terminal, as it is in a pipe."""
    if sys.stderr.isatty():
        text = "\n".join(sentences(text, shutil.get_terminal_size().columns - 1, [*COMMANDS, *plugin_commands()]))
    say_text(f"{text}\n", err=True)


def _lacking(error: ModuleNotFoundError) -> str | None:
    """A sentence on a package of ganflow's requirements that is not installed; None for any other module."""
    from importlib.metadata import PackageNotFoundError, requires

    module = (error.name or "").partition(".")[0]
    package = {"PIL": "pillow", "ot": "pot", "yaml": "pyyaml"}.get(module, module).lower()
    try:
        wanted = requires("ganflow") or []
    except PackageNotFoundError:
        wanted = []
    for requirement in wanted:
        found = re.match(r"([\w.-]+)(\[[\w,-]+\])?", requirement)
        if found and found[1].lower().replace("-", "_") == package:
            return f"this needs {module}, which is not installed: pip install {shlex.quote(found[0])}"
    return None


def _traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    import traceback

    say_text("".join(traceback.format_exception(kind, error, trace)), file=printing.Unread(sys.stderr))


def _exhausted(error: BaseException | None) -> str | None:
    """A sentence on the memory or the disk that ran out; None for any other trouble."""
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return f"no file can have a name as long as {str(error.filename)[:50]!r} …; choose a shorter one"
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
        helps, room = {name: text for name, (_, text) in COMMANDS.items()}, shutil.get_terminal_size().columns
        listed = "\n".join(
            line
            for name, text in {**helps, **plugin_helps(), **helps}.items()
            for line in wrapped(f"{name:12} {text}", room, "  ", " " * 13)
        )
        what = "\n".join(wrapped("Adversarial-training experiments from recipes and plugins.", room))
        say_text(f"usage: ganflow COMMAND …\n\n{what}\n\ncommands:\n{listed}\n\n{epilog(EXAMPLES)}\n\n")
        return 0
    if arguments[0] in ("-V", "--version"):
        say(f"ganflow {__version__}")
        return 0
    name, *rest = arguments
    command = load(name)
    parser = Parser(
        prog=f"ganflow {name}",
        description=command.help[0].upper() + command.help[1:] + ".",
        epilog=epilog(command.examples),
        examples=command.examples,
        formatter_class=Formatter,
        allow_abbrev=False,
    )
    command.arguments(parser)
    subcommands = any(isinstance(a, argparse._SubParsersAction) for a in parser._actions)  # argparse cannot intermix these
    plain = subcommands or "--" in rest  # intermixed, what follows "--" would be options
    parsed = parser.parse_args(rest) if plain else parser.parse_intermixed_args(rest)
    try:
        return command.main(parsed)
    except NewestDamaged as error:
        if hasattr(parsed, "checkpoint"):
            raise GanflowError(error.text + f"; to use that: {with_checkpoint(arguments, error.instead)}") from None
        raise


def with_checkpoint(arguments: Sequence[str], file: Path) -> str:
    """The command line that does the same from another checkpoint."""
    from ganflow.runs.folders import here

    name, *rest = arguments
    named = [i for i, a in enumerate(rest) if a == "--checkpoint" or (i and rest[i - 1] == "--checkpoint")]
    left = [a for i, a in enumerate(rest) if i not in named and not a.startswith("--checkpoint=")]
    return shlex.join(["ganflow", name, "--checkpoint", str(here(file)), *left])


def load(name: str) -> Command:
    """A command of ganflow's or of a plugin.

    Raises:
        GanflowError: there is none of this name.
        PluginError: the plugin's cannot be used.
    """
    if name in COMMANDS:
        where, text = COMMANDS[name]
        module, function = import_module(f"ganflow.cli.{where}"), name.replace("-", "_")
        arguments, run = getattr(module, f"{function}_arguments"), getattr(module, f"{function}_command")
        return Command(text, arguments, run, EXAMPLES_OF.get(name, ()))
    found = plugin_commands()
    if name not in found:
        known = [*COMMANDS, *(other for other in found if other not in COMMANDS)]
        raise GanflowError(f"unknown command '{name}'{_command_hint(name, known)} (commands: {', '.join(known)})")
    return load_plugin_command(name, found[name])


def _command_hint(name: str, known: Sequence[str]) -> str:
    from ganflow.recipe import find_shipped

    if name.startswith("-"):
        return ""
    if name.endswith((".yaml", ".yml")) or find_shipped(name):
        return f"; did you mean '{shlex.join(['run', name])}'?"
    return synonyms.command_hint(name, known)


def plugin_commands() -> dict[str, list[tuple[str, str]]]:
    """By the command's name, (distribution, module) of each package that offers it."""
    found: dict[str, set[tuple[str, str]]] = {}
    for point in entry_points("ganflow.commands"):  # an editable install can be seen twice
        found.setdefault(point.name, set()).add((about(point.dist)[0], point.value))
    return {name: sorted(found[name]) for name in sorted(found)}


def load_plugin_command(name: str, claims: list[tuple[str, str]]) -> Command:
    """A plugin's command.

    Raises:
        PluginError: it cannot be imported, lacks one of the three parts, or several packages offer it.
    """
    if len(claims) > 1:
        raise PluginError(f"the command '{name}' is brought by {' and by '.join(who for who, _ in claims)}; uninstall one")
    who, value = claims[0]
    try:
        with kept_off_stdout():
            module = import_module(value)
    except (Exception, SystemExit) as error:
        raise PluginError(f"the command '{name}' of {who} cannot be used: {type(error).__name__}: {error}") from error
    missing = [part for part in ("HELP", "arguments", "main") if not hasattr(module, part)]
    if missing:
        raise PluginError(f"the command '{name}' of {who} cannot be used: {value} has no {' and no '.join(missing)}")
    return Command(str(module.HELP), module.arguments, module.main, getattr(module, "EXAMPLES", ()))


def plugin_helps() -> dict[str, str]:
    """The help of plugins' commands; of one that cannot be used, the reason."""
    helps = {}
    for name, claims in plugin_commands().items():
        try:
            helps[name] = load_plugin_command(name, claims).help
        except PluginError as error:
            helps[name] = f"({error})"
    return helps
