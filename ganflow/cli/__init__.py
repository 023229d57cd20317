"""The command line. Every command is a module here with HELP, arguments(parser) and main(args) → exit code."""

from ganflow.cli.main import main

__all__ = ["main"]
