"""ganflow ui"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ganflow.printing import say

if TYPE_CHECKING:
    from ganflow.tracking.follower import Server

HELP = "open MLflow on the runs"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=5000, help="(default: 5000)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, for this machine only)")
    parser.add_argument("--runs", default="runs", metavar="DIR", help="where runs are kept (default: runs)")
    parser.add_argument("--uri", help="another MLflow store (default: MLFLOW_TRACKING_URI, else SQLite in the runs folder)")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")


def main(args: argparse.Namespace) -> int:
    import os
    from pathlib import Path

    from ganflow.addresses import is_http
    from ganflow.errors import GanflowError
    from ganflow.tracking.destination import Destination
    from ganflow.tracking.follower import Server
    from ganflow.tracking.outbox import absolute, default_uri

    if not 1 <= args.port <= 65535:
        raise GanflowError(f"--port {args.port}: ports are numbers from 1 to 65535")
    runs = Path(args.runs).absolute()
    uri = absolute(args.uri or os.environ.get("MLFLOW_TRACKING_URI") or default_uri(runs))
    Destination(uri, runs, trusted=True).check("")
    if is_http(uri):
        say(f"the runs are tracked by the MLflow server at {uri}")
        _browse(uri, args.no_browser)
        return 0
    server = Server(uri, runs, args.host, args.port)
    server.check_free()
    say(f"MLflow at {server.url} (Ctrl-C ends it)")
    if not any(runs.glob("*/*/run.json")):
        say(f"no runs in {args.runs}/ yet; start one with: ganflow run wgan")
    return _serve(server, args.no_browser)


def _serve(server: Server, no_browser: bool) -> int:
    import signal

    from ganflow.tracking.store import client

    for name in ("SIGTERM", "SIGHUP"):  # like Ctrl-C: the server is not left behind
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    try:
        client(server.uri, server.runs)  # makes the store if it is missing
        with server:
            server.wait_until_ready()
            _browse(server.url, no_browser)
            server.wait()
    except KeyboardInterrupt:
        say()
    return 0


def _browse(url: str, no_browser: bool) -> None:
    """Open the address, where there is a screen to show it on."""
    import os
    import sys
    import webbrowser

    seen = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if seen and not no_browser:
        webbrowser.open(url)
