"""The texts of `--help`: laid out for narrow terminals, with an example for each command."""

from __future__ import annotations

import argparse
import re
import shutil
import textwrap
from collections.abc import Iterable

from ganflow.errors import escaped

Example = tuple[str, str]
"""A command as one types it, and what it does."""

EXAMPLES: dict[str, tuple[Example, ...]] = {
    "run": (
        ("ganflow run wgan", "a recipe that comes with ganflow"),
        ("ganflow run mine.yaml train.rounds=200", "one of your own, with a change"),
        ("ganflow run wgan --seeds 3", "three times, for means and standard deviations"),
        ("ganflow run --resume latest", "go on after an interruption"),
    ),
    "check": (
        ("ganflow check --build wgan critic=mlp", "also what only shows when it is built"),
        ("ganflow check mine.yaml", "all mistakes, with their lines"),
    ),
    "show": (("ganflow show wgan", "the whole recipe"), ("ganflow show wgan critic=mlp", "with a change")),
    "recipes": (
        ("ganflow recipes", "all of them"),
        ("ganflow recipes show wgan_gp", "what one is about"),
        ("ganflow recipes cat wgan_gp", "its file"),
        ("ganflow recipes copy wgan mine.yaml", "one to edit"),
    ),
    "data": (("ganflow data wgan", "the data of a recipe"), ("ganflow data photos/", "a folder's images")),
    "plugins": (
        ("ganflow plugins --brief", "what there is to name in a recipe"),
        ("ganflow plugins show critic/dcgan", "the keys of a component"),
        ("ganflow plugins test wgan", "whether it keeps the contract"),
    ),
    "new-plugin": (("ganflow new-plugin acme --roles loss,critic", "a package with its tests"),),
    "tune": (
        ("ganflow tune wgan", "search the space of the recipe"),
        ("ganflow tune wgan tune.trials=8 --dry-run", "what would be tried"),
    ),
    "runs": (
        ("ganflow runs", "all of them"),
        ("ganflow runs show latest", "one in full"),
        ("ganflow runs rm 20261201-0930 --yes", "delete one"),
    ),
    "sweeps": (("ganflow sweeps show latest", "its trials, the best one first"), ("ganflow sweeps stop latest", "end it")),
    "sample": (("ganflow sample latest -n 64 -o grid.png", "64 samples in one picture"),),
    "interpolate": (("ganflow interpolate latest -o walk.gif", "a film from point to point"),),
    "animate": (("ganflow animate latest -o training.gif", "the samples of all rounds"),),
    "report": (("ganflow report latest", "in a browser"),),
    "export": (
        ("ganflow export latest --to pt2", "wgan-pt2/, for torch.export.load"),
        ("ganflow export wgan --to onnx -o served", "served/sample.onnx and its card"),
        ("ganflow export wgan --to hub --push ann/digits", "to the Hugging Face hub"),
    ),
    "evaluate": (("ganflow evaluate latest", "by the recipe's metrics"), ("ganflow evaluate wgan --metric frechet", "by one")),
    "compare": (("ganflow compare wgan gan", "the newest runs of two recipes"),),
    "sync": (("ganflow sync latest", "what could not be sent"), ("ganflow sync --all", "of every run")),
    "ui": (("ganflow ui", "in a browser"), ("ganflow ui --port 5001 --no-browser", "somewhere else")),
    "completion": (
        ("ganflow completion bash > ~/.local/share/bash-completion/completions/ganflow", "for new shells"),
        ("ganflow completion zsh > ~/.zfunc/_ganflow", "in a folder of $fpath"),
    ),
}


class Formatter(argparse.HelpFormatter):
    """Never breaks a word, keeps the lines of examples, and leaves help some room on narrow terminals."""

    def __init__(self, prog: str) -> None:
        width = shutil.get_terminal_size().columns - 2
        super().__init__(prog, max_help_position=24 if width >= 60 else 8, width=max(width, 20))

    def _split_lines(self, text: str, width: int) -> list[str]:
        return wrapped(" ".join(text.split()), width)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(line for each in text.splitlines() for line in wrapped(each, width, indent) or [""])


def wrapped(text: str, width: int, indent: str = "", further: str = "") -> list[str]:
    """Lines of a text, with no word broken; `further` is before all but the first."""
    return textwrap.wrap(text, max(width, 10), initial_indent=indent, subsequent_indent=indent + further, break_long_words=False,
                         break_on_hyphens=False)  # fmt: skip


def sentences(text: str, room: int, commands: Iterable[str] = ()) -> list[str]:
    """Lines of an error for a terminal, broken between words, but not within a command: one is to be copied whole.

    Args:
        commands: names of ganflow's commands.
    """
    names = [*(f"ganflow {re.escape(name)}" for name in commands), "pip install", "python -m", "mlflow (?:db|server)"]
    command = re.compile(rf"\b(?:{'|'.join(names)})(?![\w-])(?:'[^']*'|[^';,()`])*(?<! )")
    kept = command.sub(lambda found: found[0].replace(" ", _BLANK), escaped(text, keep="\n"))
    return [line.replace(_BLANK, " ") for each in kept.split("\n") for line in wrapped(each, room, further="  ") or [""]]


_BLANK = "\ue000"  # of nobody's use


def epilog(examples: Iterable[Example]) -> str:
    """The end of a command's help."""
    lines, room = example_lines(examples), shutil.get_terminal_size().columns - 1
    shown = ["examples:", *lines, ""] if lines else []
    return "\n".join([*shown, *wrapped("--debug shows the whole traceback of an error.", room)])


def example_lines(examples: Iterable[Example]) -> list[str]:
    """Commands and what they do in columns, or below each other where there is no room."""
    examples = list(examples)
    size = max((len(command) for command, _ in examples if len(command) <= 44), default=0)
    room = shutil.get_terminal_size().columns - 1
    lines = []
    for command, what in examples:
        line = f"  {command:{size}}   {what}"
        lines += [line] if len(line) <= room else [f"  {command}", *wrapped(what, room, "      ")]
    return lines
