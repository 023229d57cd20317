"""`ganflow completion`: a script by which a shell completes commands, options, recipes, runs and sweeps (by shtab)."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator

from ganflow.errors import PluginError
from ganflow.printing import say_text

SHELLS = ("bash", "zsh", "tcsh")

# The names of runs are a stranger's, perhaps: only plain ones are offered, and nothing is expanded or run.
_BASH = """
_ganflow_plain() {{  # the words that begin with the first one
  local begun="$1" word
  shift
  for word in "$@"; do
    case "$word" in *[!A-Za-z0-9._/-]*) continue ;; esac
    [[ "$word" == "$begun"* ]] && printf '%s\\n' "$word"
  done
}}
_ganflow_recipes() {{
  _ganflow_plain "$1" {recipes}
  compgen -f -X '!*.yaml' -- "$1"
  compgen -f -X '!*.yml' -- "$1"
  compgen -d -- "$1"
}}
_ganflow_changed() {{
  _ganflow_recipes "$1"
  [[ "$1" == *.* ]] && compgen -W {keys} -- "$1"
}}
_ganflow_shipped() {{ _ganflow_plain "$1" {recipes}; }}
_ganflow_sweeps() {{
  local file names=(latest)
  for file in "${{GANFLOW_RUNS:-runs}}"/*/run.json; do
    [[ -f "$file" ]] || continue
    file="${{file%/run.json}}"
    names+=("${{file##*/}}")
  done
  _ganflow_plain "$1" "${{names[@]}}"
}}
_ganflow_runs() {{
  local root="${{GANFLOW_RUNS:-runs}}" file names=(latest)
  for file in "$root"/*/run.json "$root"/*/*/run.json; do
    [[ -f "$file" ]] || continue
    file="${{file%/run.json}}"
    names+=("${{file##*/}}")
    file="${{file%/*}}"
    [[ "$file" == "$root" ]] || names+=("${{file##*/}}")
  done
  _ganflow_plain "$1" "${{names[@]}}" | sort -u
  compgen -d -- "$1"
}}
"""
_BASH_END = """
_ganflow() {  # each word once, and no space after "="
  _shtab_ganflow "$@"
  local word words=()
  for word in "${COMPREPLY[@]}"; do
    [[ " ${words[*]} " == *" $word "* ]] || words+=("$word")
  done
  COMPREPLY=("${words[@]}")
  [[ ${#words[@]} -eq 1 && "$word" == *= ]] && compopt -o nospace 2>/dev/null
  return 0
}
complete -o bashdefault -F _ganflow ganflow
"""
_ZSH = """
_ganflow_recipes() {{ compadd -- {recipes}; _files -g '*.(yaml|yml)' }}
_ganflow_changed() {{ _ganflow_recipes; compadd -S '' -- {keys} }}
_ganflow_shipped() {{ compadd -- {recipes} }}
_ganflow_sweeps() {{
  local file
  local -a names=(latest)
  for file in "${{GANFLOW_RUNS:-runs}}"/*/run.json(N); do names+=("${{file:h:t}}"); done
  compadd -- "${{(u)names[@]}}"
}}
_ganflow_runs() {{
  local root="${{GANFLOW_RUNS:-runs}}" file
  local -a names=(latest)
  for file in "$root"/*/run.json(N) "$root"/*/*/run.json(N); do
    names+=("${{file:h:t}}")
    [[ "${{file:h:h}}" == "$root" ]] || names+=("${{file:h:h:t}}")
  done
  compadd -- "${{(u)names[@]}}"
  _files -/
}}
"""
_REPEATED = re.compile(r'(?<=^  ")\(\*\)::?(?!:)', re.MULTILINE)
"""Arguments that may come several times, in shtab's script for zsh, which completes the first of them alone."""
_FILES = {"bash": "_shtab_compgen_files", "zsh": "_files", "tcsh": "f"}
_FOLDERS = {"bash": "_shtab_compgen_dirs", "zsh": "_files -/", "tcsh": "d"}
_COMPLETED = {
    "RECIPE": {"bash": "_ganflow_recipes", "zsh": "_ganflow_recipes", "tcsh": "f"},
    "RUN": {"bash": "_ganflow_runs", "zsh": "_ganflow_runs", "tcsh": "d"},
    "SWEEP": {"bash": "_ganflow_sweeps", "zsh": "_ganflow_sweeps", "tcsh": "d"},
    "NAME": {"bash": "_ganflow_shipped", "zsh": "_ganflow_shipped", "tcsh": "f"},
    "FILE": _FILES,
    "TARGET": _FILES,
    "DIR": _FOLDERS,
}
"""What an argument is, by its metavar → how each shell completes it."""
_CHANGED = {"bash": "_ganflow_changed", "zsh": "_ganflow_changed", "tcsh": "f"}
"""Recipes, or changes to them."""


def completion_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, help="which shell the script is for")


def completion_command(args: argparse.Namespace) -> int:
    import shtab

    from ganflow.recipe import shipped

    names = " ".join(shlex.quote(recipe.name) for recipe in shipped())
    preamble = {"bash": _BASH.format(recipes=names, keys=shlex.quote(" ".join(_keys()))),
                "zsh": _ZSH.format(recipes=names, keys=" ".join(_keys()))}  # fmt: skip
    script = shtab.complete(whole_parser(), args.shell, preamble=preamble.get(args.shell, ""))
    if args.shell == "zsh":
        script = _REPEATED.sub("*:", script)
    say_text(f"{script}\n{_BASH_END if args.shell == 'bash' else ''}")
    return 0


def _keys() -> list[str]:
    """The keys that recipes have whatever their components, as one begins an override."""
    from ganflow.contract.settings import keys
    from ganflow.recipe.sections import MANY, SECTIONS, Track, Train, Tune

    plain = {"train": Train, "track": Track, "tune": Tune}
    return [*(f"{section}=" for section in SECTIONS if section not in (*plain, *MANY)),
            *(f"{section}.{key.name}=" for section, cls in plain.items() for key in keys(cls))]  # fmt: skip


def _choices() -> dict[str, list[str]]:
    """Words to choose from, by an argument's metavar."""
    from ganflow.contract.hooks import ROLES
    from ganflow.export.formats import FORMATS
    from ganflow.plugins import load_catalogue

    catalogue = load_catalogue()
    return {
        "FORMAT": list(FORMATS),
        "WHICH": ["last", "best"],
        "METRIC": catalogue.names("metric"),
        "ROLE,…": [*ROLES, "all"],
        "key=value": _keys(),
        "KEY=VALUE": _keys(),
        "NAME": sorted({name for c in catalogue.components() for name in (c.name, c.plugin)}),
    }


def whole_parser() -> argparse.ArgumentParser:
    """One parser of all commands, plugins' included, that knows how each argument is completed."""
    from ganflow.cli.main import COMMANDS, load, plugin_commands

    whole = argparse.ArgumentParser(prog="ganflow", description="Adversarial-training experiments from recipes and plugins.")
    whole.add_argument("-V", "--version", action="store_true", help="print the version")
    commands = whole.add_subparsers(dest="command", metavar="COMMAND")
    for name in dict.fromkeys([*COMMANDS, *plugin_commands()]):
        try:
            command = load(name)
        except PluginError:
            continue
        parser = commands.add_parser(name, help=command.help, description=command.help, allow_abbrev=False)
        parser.add_argument("--debug", action="store_true", help="show the whole traceback of an error")
        command.arguments(parser)
    choices = _choices()
    for parser in _parsers(whole):
        for action in parser._actions:
            kind = action.metavar or action.dest.upper()
            if not isinstance(kind, str) or action.choices:
                continue
            if kind in choices and (kind != "NAME" or parser.prog == "ganflow plugins"):
                action.choices = choices[kind]
            elif kind in _COMPLETED and (kind != "NAME" or parser.prog.startswith("ganflow recipes")):
                way = _CHANGED if (parser.prog, kind) == ("ganflow check", "RECIPE") else _COMPLETED[kind]
                vars(action)["complete"] = way  # where shtab looks for it
    return whole


def _parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _parsers(below)
