"""`ganflow sync` and `ganflow ui`: runs in MLflow."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganflow.cli.drawing import add_runs_argument
from ganflow.errors import GanflowError
from ganflow.printing import say, say_json

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from ganflow.runs.folders import RunFolder
    from ganflow.tracking.follower import Server


def sync_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="*", metavar="RUN", help="a path, an id or its beginning, a name (also a sweep's), 'latest'")
    parser.add_argument("--all", action="store_true", help="every run and sweep in the runs folder")
    parser.add_argument("--follow", action="store_true", help="go on sending until the run is over")
    parser.add_argument("--uri", help="send to this MLflow server or store instead of the run's own; it gets your credentials, "
                                      "and is remembered as yours")  # fmt: skip
    which = "log this checkpoint's generator as a model, also of a run that was interrupted: last, best, or a file (default: " \
            "the last one's of a run that has finished)"  # fmt: skip
    parser.add_argument("--checkpoint", metavar="WHICH", help=which)
    parser.add_argument("--json", action="store_true", help="for programs: what was sent of each run, and what was not")
    add_runs_argument(parser)
    parser.add_argument("--attached", action="store_true", help=argparse.SUPPRESS)  # started by the training process


def sync_command(args: argparse.Namespace) -> int:
    from ganflow.tracking import outbox

    root = args.runs
    folders = list(outbox.everything(root)) if args.all else [_meant(run, root) for run in args.run]
    if not folders:
        raise GanflowError(f"no runs in {root}/" if args.all else "which run? e.g. ganflow sync latest, or ganflow sync --all")
    if args.follow and len(folders) > 1:
        raise GanflowError("--follow goes with one run or sweep")

    from ganflow.tracking.follower import elsewhere
    from ganflow.tracking.sync import sync

    over = _when_training_ends() if args.attached else None
    failed, found = False, list[dict[str, Any]]()
    for folder in folders:
        try:
            result = sync(folder, args.follow, uri=args.uri, over=over, checkpoint=args.checkpoint)
        except GanflowError as error:
            if len(folders) == 1:
                raise
            failed = True
            found.append({"name": folder.name, "id": folder.id, "error": error.in_shell})
            say(f"not sent: {error.in_shell}", err=args.json)
            continue
        if args.json:
            failed = failed or bool(result.error)
            found.append({"name": folder.name, "id": folder.id, **asdict(result)})
            continue
        sent = [f"{n} {word}{'' if n == 1 else 's'}" for n, word in ((result.points, "point"), (result.images, "picture")) if n]
        sent += ["the generator as a model"] if result.model else []
        if sent or not result.error:
            what = f"{', '.join(sent)} sent to" if sent else "nothing to send; everything is in"
            say(f"{outbox.title(folder)}: {what} {result.uri}")
        if result.error:
            failed = True
            why = f"{result.error}{elsewhere(folder, result.error)}"
            say(why if args.attached else f"{outbox.title(folder)}: not everything sent to {result.uri}: {why}")
    if args.json:
        say_json(found)
    return 1 if failed else 0


def _meant(name: str, root: Path) -> RunFolder:
    """A sweep by its name or path, also where its trials are the latest runs; else a run."""
    from ganflow.runs.finding import find_run, find_sweep
    from ganflow.tracking.outbox import sweep_of

    sweep = find_sweep(name, root)
    run = sweep or find_run(name, root)
    return sweep_of(run) or run if name == "latest" else run


def _when_training_ends() -> threading.Event:
    """An event that is set when the process that started this one closes our standard input, or dies."""
    with contextlib.suppress(OSError, AttributeError):
        os.nice(10)  # training comes first
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    over, parent = threading.Event(), os.getppid()

    def listen() -> None:
        with contextlib.suppress(OSError):
            os.read(0, 1)
        over.set()

    def watch() -> None:  # a worker forked by the training process can hold the pipe open after it was killed
        while os.getppid() == parent and not over.wait(1.0):
            pass
        over.set()

    for task in (listen, watch):
        threading.Thread(target=task, daemon=True).start()
    return over


def ui_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=5000, help="(default: 5000)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, for this machine only)")
    add_runs_argument(parser)
    parser.add_argument("--uri", help="another MLflow store (default: MLFLOW_TRACKING_URI, else SQLite in the runs folder)")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")


def ui_command(args: argparse.Namespace) -> int:
    from ganflow.addresses import absolute, is_http
    from ganflow.tracking.destination import Destination
    from ganflow.tracking.follower import Server
    from ganflow.tracking.outbox import default_uri
    from ganflow.tracking.store import client

    if not 1 <= args.port <= 65535:
        raise GanflowError(f"--port {args.port}: ports are numbers from 1 to 65535")
    runs = args.runs.absolute()
    uri = absolute(args.uri or os.environ.get("MLFLOW_TRACKING_URI") or default_uri(runs))
    Destination(uri, runs, trusted=True).check("")
    if is_http(uri):
        say(f"the runs are tracked by the MLflow server at {uri}")
        _browse(_say_links(uri, client(uri)) or uri, args.no_browser)
        return 0
    server = Server(uri, runs, args.host, args.port)
    server.check_free()
    return _serve(server, args)


def _say_links(url: str, client: MlflowClient) -> str | None:
    """Say where the runs are; returns the address of those that were begun last."""
    from ganflow.tracking.store import pages, reason

    try:
        found, more = pages(client, url)
    except Exception as error:  # whatever MLflow raises
        say(f"it does not say which runs it has: {reason(error)}")
        return None
    for name, page in found:
        say(f"  {name}: {page}")
    if more:
        say(f"  and {more} more experiment{'s' if more > 1 else ''}")
    return found[0][1] if found else None


def _serve(server: Server, args: argparse.Namespace) -> int:
    from ganflow.tracking.store import client

    for name in ("SIGTERM", "SIGHUP"):  # like Ctrl-C: the server is not left behind
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    try:
        store = client(server.uri, server.runs)  # makes the store if it is missing
        with server:
            server.wait_until_ready()
            say(f"MLflow at {server.url} (Ctrl-C ends it)")
            if not any(server.runs.glob("*/*/run.json")):
                say(f"no runs in {args.runs}/ yet; start one with: ganflow run wgan")
            _browse(_say_links(server.url, store) or server.url, args.no_browser)
            server.wait()
    except KeyboardInterrupt:
        say()
    return 0


def _browse(url: str, no_browser: bool) -> None:
    """Open the address, where there is a screen to show it on."""
    import webbrowser

    seen = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if seen and not no_browser:
        webbrowser.open(url)
