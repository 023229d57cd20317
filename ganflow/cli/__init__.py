"""The command line: `main` finds a command's module, which adds arguments to a parser and returns an exit code."""

from ganflow.cli.main import main

__all__ = ["main"]
