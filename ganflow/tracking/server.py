"""MLflow's own server as a child process, on a store of ours."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType

from ganflow import child
from ganflow.errors import GanflowError
from ganflow.tracking.pending import artifacts
from ganflow.tracking.store import no_other_folder


class Server:
    """`mlflow server` with one worker, its output kept for when it fails. A context manager: leaving it ends the server.

    Args:
        uri: the store, a database.
        runs: the runs folder, whose artifacts it serves.
        host, port: where it listens.
    """

    def __init__(self, uri: str, runs: Path, host: str = "127.0.0.1", port: int = 5000) -> None:
        self.uri, self.runs, self.host, self.port = uri, runs, host, port
        inside = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        self.url = f"http://[{inside}]:{port}" if ":" in inside else f"http://{inside}:{port}"

    def check_free(self) -> None:
        """Raises GanflowError where the port is taken, or the address is not this machine's."""
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
        self._output, self._held = tempfile.TemporaryFile(), contextlib.ExitStack()
        environment: dict[str, str | None] = {
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # six more processes, for things that we have not got
            "MLFLOW_DISABLE_TELEMETRY": os.environ.get("MLFLOW_DISABLE_TELEMETRY", "true"),
            "MLFLOW_TRACKING_URI": None,
        }
        where = ["--host", self.host, "--port", str(self.port), "--workers", "1"]
        store = ["--backend-store-uri", self.uri, "--artifacts-destination", str(artifacts(self.runs))]
        self._held.enter_context(no_other_folder(self.uri))
        self._process = child.start(
            ["-m", "mlflow", "server", *where, *store],
            environment,
            cwd=self._held.enter_context(child.empty_folder()),  # uvicorn runs modules of its working folder
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us; then the server and its worker are ended together
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
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
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def wait_until_ready(self, timeout: float = 60) -> None:
        """Until it answers.

        Raises:
            GanflowError: it ended, or does not answer in time; with the last of what it said.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise self._failed(f"ended with code {self._process.returncode}")
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise self._failed(f"does not answer after {timeout:g} s")

    def wait(self) -> None:
        """Until it ends by itself, which is an error.

        Raises:
            GanflowError: it ended.
        """
        self._process.wait()
        raise self._failed(f"ended with code {self._process.returncode}")

    def _failed(self, how: str) -> GanflowError:
        self._output.seek(0)
        said = self._output.read().decode(errors="replace").strip().splitlines()[-5:]
        return GanflowError("\n  ".join([f"MLflow's server {how}" + (", saying:" if said else ""), *said]))
