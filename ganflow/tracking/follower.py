"""Processes: the follower, which sends a training's folder to MLflow, and MLflow's server. Without them training goes on."""

from __future__ import annotations

import errno
import importlib.util
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ganflow import child
from ganflow.addresses import absolute
from ganflow.errors import GanflowError
from ganflow.files import open_file, read_bytes
from ganflow.recipe import Recipe
from ganflow.runs.folders import RunFolder, here, is_sweep
from ganflow.runs.journal import entries
from ganflow.scratch import scratch_folder
from ganflow.tracking.destination import ENVIRONMENT, bar_of, check_recipe, no_other_folder, store_uri, typed
from ganflow.tracking.outbox import (
    MISSING,
    State,
    artifacts,
    default_uri,
    noted,
    points,
    root,
    samples,
    seen,
    settings,
    trials,
)
from ganflow.tracking.store import is_away

LOG = "tracking.log"
POLL = 1.0
"""Seconds between looks at what the process has noted."""


class Follower:
    """Starts and ends the process. It learns that training is over by a pipe closing, which also happens when training
    is killed; it runs in a session of its own, so that Ctrl-C does not end it, at low priority and without a GPU.

    Args:
        uri: the store's address, where the user typed it himself.

    Raises:
        GanflowError: MLflow is not installed.
    """

    def __init__(self, folder: RunFolder, uri: str | None = None) -> None:
        check_installed()
        self.folder, self.uri = folder, uri
        self._process: subprocess.Popen[bytes] | None = None
        self._logged = 0  # bytes of the log that earlier processes have written
        self._over = threading.Event()

    def start(self, say: Callable[[str], None] | None = None) -> str | None:
        """Begin to send. This costs milliseconds; MLflow is imported by the new process.

        Args:
            say: shows a line when something keeps points from being sent, each reason once.

        Returns:
            A note for the user where his credentials are not used.
        """
        command = ["-m", "ganflow", "sync", "--follow", "--attached", str(self.folder.path)]
        if self.uri:
            command += ["--uri", absolute(self.uri)]
        quiet = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        with os.fdopen(open_file(self.folder.path / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab") as log:
            self._logged = log.seek(0, os.SEEK_END)
            pipe = subprocess.PIPE
            self._process = child.start(command, quiet, stdin=pipe, stdout=log, stderr=log, start_new_session=True)
        if say is not None:
            threading.Thread(target=self._watch, args=(self._process, say, self._over), daemon=True).start()
        return bar_of(self.folder, self.uri)

    def _watch(self, process: subprocess.Popen[bytes], say: Callable[[str], None], over: threading.Event) -> None:
        """Tell what the process has noted until training is over."""
        noted = {State.read(self.folder).error}  # a run that goes on has an earlier attempt's
        while not over.wait(POLL):
            state = State.read(self.folder)
            why = state.error or (self._ended_early(process.returncode) if process.poll() is not None else "")
            if why and why not in noted and not over.is_set():
                noted.add(why)
                say(f"not sent to {state.uri or 'MLflow'} so far: {why}; {self._later(process)}")

    def _later(self, process: subprocess.Popen[bytes]) -> str:
        tried = "" if process.poll() is not None else "it is tried again while training lasts, "
        return f"{tried}afterwards: ganflow sync {self.folder.reference()}"

    def _ended_early(self, code: int) -> str:
        """The end of the process, with the last line that it has printed, if it was not killed."""
        log, lines = here(self.folder.path / LOG), list[str]()
        if code > 0:
            with suppress(OSError):
                lines = read_bytes(self.folder.path / LOG)[self._logged :].decode(errors="replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "").strip().removeprefix("ganflow: ")
        return f"the tracking process ended early: {last} (see {log})" if last else (
            f"the tracking process ended early (code {code}; see {log})")  # fmt: skip

    def finish(self, timeout: float) -> Unsent | None:
        """End the run for the process (run.json says how, so note that first) and wait for it to send the rest.

        Returns:
            What could not be sent within `timeout` seconds, and why; None when MLflow has everything. A process that is
            still sending then goes on to the end by itself.
        """
        process, self._process = self._process, None
        self._over.set()
        if process is None:
            return None
        assert process.stdin is not None
        process.stdin.close()
        try:
            why = self._ended_early(process.wait(timeout))
        except subprocess.TimeoutExpired:
            why = f"still being sent after {timeout:g} s"
            _forget(process)
        left = unsent(self.folder)
        return replace(left, why=left.why or why) if left else None

    def stop(self) -> None:
        """Wait no longer: it sends what there is, and how the run ended, and ends by itself."""
        process, self._process = self._process, None
        self._over.set()
        if process is not None and process.stdin is not None:
            process.stdin.close()
            _forget(process)


def _forget(process: subprocess.Popen[bytes]) -> None:
    """Let a process go on by itself: Python warns of one that nobody waits for."""
    process.returncode = 0


def check_installed() -> None:
    """Raises GanflowError: MLflow is not installed."""
    if importlib.util.find_spec("mlflow") is None:
        raise GanflowError(MISSING)


def follower_of(recipe: Recipe, runs: Path) -> Callable[[RunFolder], Follower] | None:
    """Check where a recipe's run under `runs` may be sent; returns what makes its follower, None where it is not sent.

    Raises:
        GanflowError: as `Destination.check`.
    """
    if recipe.track.mlflow:
        check_installed()
    check_recipe(recipe, runs)
    return (lambda folder: Follower(folder, typed(recipe))) if recipe.track.mlflow else None


@dataclass(frozen=True)
class Unsent:
    """The part that MLflow has not got, and why. As text: "120 points not sent to http://…: connection refused; send …"."""

    points: int
    images: int
    uri: str
    why: str
    run: str  # as one types it
    elsewhere: str = ""  # as of `elsewhere`

    def __str__(self) -> str:
        counts = [f"{n} {word}{'' if n == 1 else 's'}" for n, word in ((self.points, "point"), (self.images, "picture")) if n]
        what = " and ".join(counts) or "the end of the run"
        return f"{what} not sent to {self.uri}: {self.why}; send later with: ganflow sync {self.run}{self.elsewhere}"


def unsent(folder: RunFolder) -> Unsent | None:
    """The part still to be sent of a run that is over, or of a sweep and all its trials; None when MLflow has everything."""
    if not is_sweep(folder):
        return _unsent(folder)
    left = [part for part in map(_unsent, (folder, *map(RunFolder, trials(folder)))) if part]
    if not left:
        return None
    why = next((part.why for part in left if part.why), "")
    counts = sum(part.points for part in left), sum(part.images for part in left)
    return Unsent(*counts, left[0].uri, why, folder.reference(), elsewhere(folder, why))


def _unsent(folder: RunFolder) -> Unsent | None:
    state = State.read(folder)
    if state.seen == seen(folder) and not state.error:
        return None
    status = folder.read().status
    left = sum(1 for _ in points([*noted(folder), *entries(folder.journal)], state.steps))
    pictures = len({round for round, _ in samples(folder)} - set(state.images)) if settings(folder)["images"] else 0
    ended = state.status == status or (state.status == "killed" and status == "running")
    if not left and not pictures and ended and not state.error:
        return None
    to = state.uri or store_uri(folder)
    return Unsent(left, pictures, to, state.error, folder.reference(), elsewhere(folder, state.error))


def elsewhere(folder: RunFolder, why: str) -> str:
    """The command that sends a folder to the store beside the runs, to end a sentence with; empty unless another is away.

    Args:
        why: the reason why it was not sent.
    """
    to = shlex.quote(default_uri(root(folder)))
    return f"; elsewhere, where that is gone: ganflow sync {folder.reference()} --uri {to}" if is_away(why) else ""


class Server:
    """`mlflow server` with one worker, its output kept for when it fails. A context manager: leaving it ends the server.

    Args:
        uri: the store, a database.
        runs: the runs folder, whose artifacts it serves.
        host, port: the address to listen on.
    """

    def __init__(self, uri: str, runs: Path, host: str = "127.0.0.1", port: int = 5000) -> None:
        self.uri, self.runs, self.host, self.port = uri, runs, host, port
        inside = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        self.url = f"http://[{inside}]:{port}" if ":" in inside else f"http://{inside}:{port}"

    def check_free(self) -> None:
        """Raises GanflowError where the port is in use, or the address is not this machine's."""
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                why = f"port {self.port} on {self.host} cannot be used ({error.strerror}); choose another: --port {self.port + 1}"
            else:
                why = f"cannot listen on {self.host} ({error.strerror}); leave --host out to listen on this machine only"
            raise GanflowError(why) from None

    def __enter__(self) -> Server:
        self._output, self._held = tempfile.TemporaryFile(), ExitStack()
        self._held.enter_context(no_other_folder(self.uri))
        environment = {
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # six more processes, for things that we have not got
            "MLFLOW_DISABLE_TELEMETRY": os.environ.get("MLFLOW_DISABLE_TELEMETRY", "true"),
            ENVIRONMENT: None,
        }
        listen = ["--host", self.host, "--port", str(self.port), "--workers", "1"]
        store = ["--backend-store-uri", self.uri, "--artifacts-destination", str(artifacts(self.runs))]
        self._process = child.start(
            ["-m", "mlflow", "server", *listen, *store],
            environment,
            cwd=self._held.enter_context(scratch_folder("server-")),  # uvicorn runs modules of its working folder
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us; then the server and its worker are ended together
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()
        self._output.close()
        self._held.close()

    def kill(self) -> None:
        """End it without asking."""
        self._signal(signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)
        self._process.wait()

    def _signal(self, number: int) -> None:
        if sys.platform == "win32":
            self._process.terminate()
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def wait_until_ready(self, timeout: float = 60) -> None:
        """Wait until it answers.

        Raises:
            GanflowError: it ended, or does not answer in time; with the last lines of its output.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                self.wait()
            with suppress(OSError), urllib.request.urlopen(f"{self.url}/health", timeout=2):
                return
            time.sleep(0.1)
        raise self._failed(f"does not answer after {timeout:g} s")

    def wait(self) -> None:
        """Wait until it ends by itself, which is an error.

        Raises:
            GanflowError: it ended.
        """
        raise self._failed(f"ended with code {self._process.wait()}")

    def _failed(self, how: str) -> GanflowError:
        self._output.seek(0)
        last = self._output.read().decode(errors="replace").strip().splitlines()[-5:]
        return GanflowError(f"MLflow's server {how}" + (", saying:" if last else ""), *(f"  {line}" for line in last))
