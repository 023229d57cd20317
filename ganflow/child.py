"""Child processes: all of them are started here, so that none runs a module that happens to be in the working folder.

Python puts the working folder, or an empty entry of PYTHONPATH that means it, in front of everything that is installed: a
`yaml.py` in a folder from a stranger would be run. A child has the safe path (`-P`), which its own children inherit, and the
search path of this process without the working folder. A program that puts that folder back (uvicorn, which serves MLflow) is
started in an empty one (`ganflow.scratch`).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def start(arguments: Sequence[str], env: Mapping[str, str | None] | None = None, **options: Any) -> subprocess.Popen[Any]:
    """Start Python.

    Args:
        arguments: after the interpreter: `["-m", "ganflow", "sync"]`, or a file and its arguments.
        env: changes of the environment; None takes a variable out.
        options: those of `subprocess.Popen`, but for its environment.
    """
    changed = {**os.environ, **variables(), **(env or {})}
    kept = {name: value for name, value in changed.items() if value is not None}
    return subprocess.Popen([sys.executable, "-P", *arguments], env=kept, **options)


def output(arguments: Sequence[str], timeout: float) -> str:
    """Run Python; returns its stdout.

    Raises:
        subprocess.TimeoutExpired: it did not end within `timeout` seconds, and is ended.
    """
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    with start(arguments, stdin=nothing, stdout=pipe, stderr=nothing, text=True) as process:
        try:
            text: str = process.communicate(timeout=timeout)[0]
        except BaseException:
            process.kill()
            raise
    return text


def variables() -> dict[str, str]:
    """Environment variables of a child's search path."""
    return {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(search_path())}


def search_path() -> list[str]:
    """The folders in which this process finds modules. The working folder is among them only where it was chosen: it is in
    PYTHONPATH by its absolute path, or the running program, or ganflow itself, comes from there."""
    try:
        here = os.path.realpath(os.getcwd())
    except OSError:  # it was deleted
        here = ""
    program = getattr(sys.modules.get("__main__"), "__file__", None)
    chosen = [*os.environ.get("PYTHONPATH", "").split(os.pathsep), str(Path(__file__).parents[1])]
    chosen += [os.path.dirname(os.path.realpath(program))] if program else []
    wanted = here in {os.path.realpath(folder) for folder in chosen if os.path.isabs(folder)}
    return [entry for entry in sys.path if os.path.isabs(entry) and (wanted or os.path.realpath(entry) != here)]


@contextmanager
def applied(env: Mapping[str, str | None]) -> Iterator[None]:
    """Change this process's environment for a while, for children that a library starts."""
    before = {name: os.environ.get(name) for name in env}
    try:
        _change(env)
        yield
    finally:
        _change(before)


def _change(env: Mapping[str, str | None]) -> None:
    for name, value in env.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
