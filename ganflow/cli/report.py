"""`ganflow report`: a run as one HTML file that any browser shows."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ganflow.api.meant import found_run
from ganflow.cli.drawing import add_run_arguments, shown_path
from ganflow.files import check_output_path
from ganflow.printing import say, say_json


def report_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-open", action="store_true", help="write the file, and open no browser")
    file = "the .html file (default: report.html in the run's folder, which follows the run)"
    add_run_arguments(parser, file, latent=False, facts="print what the report shows, for programs, and write nothing")


def report_command(args: argparse.Namespace) -> int:
    from ganflow.runs.report import report_data, write_report

    if args.output:
        check_output_path(args.output, (".html",))
    folder = found_run(args.run, args.runs)
    if args.json:
        data = report_data(folder)
        say_json({**data, "pictures": [picture["round"] for picture in data["pictures"]]})
        return 0
    path = write_report(folder, args.output)
    opened = not args.no_open and _can_open() and _open(path)
    say(f"{shown_path(path)}: {'opened' if opened else 'open it'} in a browser")
    return 0


def _can_open() -> bool:
    """Return whether somebody sees a browser: on a terminal, with a display."""
    display = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return sys.stdout.isatty() and bool(display)


def _open(path: Path) -> bool:
    import webbrowser

    return webbrowser.open(path.absolute().as_uri())
