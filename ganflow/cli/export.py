"""`ganflow export`: a run's generator for other programs."""

from __future__ import annotations

import argparse
from pathlib import Path

from ganflow.api.meant import found_run
from ganflow.cli.drawing import add_runs_argument, shown_path
from ganflow.printing import say, say_json


def export_arguments(parser: argparse.ArgumentParser) -> None:
    from ganflow.export.formats import FORMATS

    formats = "; ".join(f"{name}: {text}" for name, text in FORMATS.items())
    parser.add_argument("run", metavar="RUN", help="a path, an id or its beginning, a name, SWEEP/TRIAL, or 'latest'")
    parser.add_argument("--to", required=True, metavar="FORMAT", help=formats)
    parser.add_argument("-o", "--output", metavar="PATH", type=Path, help="the folder that is written (default: NAME-FORMAT)")
    parser.add_argument("--checkpoint", default="last", metavar="WHICH", help="last, best, or a file (default: last)")
    parser.add_argument("--force", action="store_true", help="replace an earlier export, add a commit to a repository")
    parser.add_argument("--push", metavar="NAME/REPO", help="with --to hub: send it to the hub, to this repository")
    parser.add_argument("--private", action="store_true", help="with --push: a repository that nobody else sees")
    parser.add_argument("--json", action="store_true", help="for programs")
    add_runs_argument(parser)


def export_command(args: argparse.Namespace) -> int:
    from ganflow.api.exporting import export
    from ganflow.export.formats import check_format
    from ganflow.export.options import COMMAND

    check_format(args.to, bool(args.push))
    folder = found_run(args.run, args.runs)
    exported, address = export(
        folder, args.to, args.output, args.checkpoint, COMMAND, force=args.force, push=args.push, private=args.private
    )
    to = exported.path
    if args.json:
        say_json({"run": str(folder.path), "path": str(to), **exported.about, "pushed": address})
        return 0
    signatures = ", ".join(exported.called)
    say(f"wrote {shown_path(to)}/: {folder.name} ({folder.id}), round {exported.round}, {signatures}; "
        f"what it is and how it is loaded: {shown_path(to / 'README.md')}")  # fmt: skip
    if address:
        say(f"sent to {address}")
    return 0
