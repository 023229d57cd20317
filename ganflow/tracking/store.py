"""MLflow's store: set up, opened or given up on quickly, served, and followed when its folder is moved."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ganflow import child
from ganflow.addresses import SQLITE, redacted
from ganflow.errors import GanflowError
from ganflow.runs.lock import Held, locked
from ganflow.tracking.destination import ENVIRONMENT, setup_lock, setup_stuck
from ganflow.tracking.outbox import MISSING, STORE, absolute, artifacts, default_uri, sqlite_file

if TYPE_CHECKING:
    from mlflow import MlflowClient

_KIND = {"mlflow.experimentKind": "custom_model_development"}  # its pages for training, not those for language models
_HABITS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # we retry ourselves; MLflow's own 7 retries block for minutes
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
BARRED = "not allowed in"
_REASONS = (
    ("connection refused", "connection refused"),
    ("name or service not known|name resolution|nameresolution|failed to resolve", "no machine of that name"),
    ("timed out", "no answer in time"),
    ("no route to host|network is unreachable", "no route to it"),
    ("remote end closed|connection reset|connection aborted", "connection lost"),
    ("unauthorized", f"{BARRED}; set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"),
    ("database is locked", "the database is busy"),
    ("no space left", "no space left on the disk"),
)
_COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""The columns in which MLflow keeps paths of artifacts."""


def client(uri: str, runs: Path | None = None) -> MlflowClient:
    """A client of the store. A SQLite file is made if it is missing, waits for other writers, and is set up by one
    process at a time: several at once break a fresh one.

    Args:
        runs: the runs folder, whose default store follows it where it was moved.

    Raises:
        GanflowError: MLflow is not installed.
    """
    for name, value in _HABITS.items():
        os.environ.setdefault(name, value)
    try:
        from mlflow import MlflowClient
    except ModuleNotFoundError as error:
        if error.name != "mlflow":
            raise
        raise GanflowError(MISSING) from None
    if not uri.startswith(SQLITE):
        return MlflowClient(uri)
    uri = absolute(uri)
    file = sqlite_file(uri)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with locked(setup_lock(file), timeout=120), no_other_folder(uri):
            made = MlflowClient(uri if "?" in uri else f"{uri}?timeout=60")
            if runs is not None and uri == default_uri(runs):
                follow_folder(runs)
            return made
    except Held:
        raise setup_stuck(file) from None
    except OSError as error:
        raise GanflowError(f"cannot make MLflow's store {file}: {error.strerror}") from None


@contextmanager
def no_other_folder(uri: str) -> Iterator[None]:
    """Remove the empty folder that MLflow makes beside that of a SQLite file, where the address of that is quoted."""
    written = Path(uri.removeprefix(SQLITE).partition("?")[0]).parent
    made = [path for path in (written, *written.parents) if not path.exists()] if "%" in uri else []
    try:
        yield
    finally:
        for path in made:
            with suppress(OSError):
                path.rmdir()


def experiment(client: MlflowClient, uri: str, name: str, runs: Path) -> str:
    """The id of the experiment of this name, which is made if it is missing. A database gets absolute paths for
    artifacts; a server has its own.

    Raises:
        GanflowError: the experiment was deleted.
    """
    from mlflow.exceptions import MlflowException

    found: Any = client.get_experiment_by_name(name)
    if found is None:
        location = None if uri.startswith(("http", "databricks")) else artifacts(runs).as_uri()
        try:
            made: str = client.create_experiment(name, artifact_location=location, tags=_KIND)
            return made
        except MlflowException:  # another process was faster
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        raise GanflowError(
            f"MLflow's experiment '{name}' was deleted; bring it back with: mlflow experiments restore "
            f"--experiment-id {found.experiment_id}, or choose another with track.experiment"
        )
    return str(found.experiment_id)


def reason(error: BaseException) -> str:
    """The reason of a failure of MLflow's in a few words; its texts are a page long."""
    text = f"{error}".strip()
    for signs, words in _REASONS:
        if re.search(signs, text, re.IGNORECASE):
            return words
    return redacted(text.splitlines()[0])[:200] if text else type(error).__name__


# Artifacts, and a runs folder that is moved.


def follow_folder(runs: Path) -> None:
    """Let a runs folder's default store find its artifacts where they are now. Nothing is written where nothing was moved;
    others may read and write the database meanwhile.

    Raises:
        GanflowError: it cannot be written.
    """
    here = artifacts(runs)
    try:
        with closing(sqlite3.connect(runs / STORE, timeout=60, isolation_level=None)) as database:
            if not _gone(database, here):
                return
            database.execute("BEGIN IMMEDIATE")
            for before in _gone(database, here):
                _replace(database, before, here.as_uri())
            database.execute("COMMIT")
    except sqlite3.Error as error:
        raise GanflowError(f"the runs folder was moved, and MLflow's store {runs / STORE} cannot be told so: {error}") from None


def _gone(database: sqlite3.Connection, here: Path) -> list[str]:
    """Addresses of artifact folders that experiments have, and that are this one where it was before: they are not there any
    more, or what they hold is here, too. Another runs folder's, which shares the database, is left alone."""
    found = {str(uri).rstrip("/") for (uri,) in database.execute("SELECT artifact_location FROM experiments") if uri}
    local = {uri: path for uri in sorted(found) if (path := local_path(uri)) is not None and path.name == here.name}
    return [uri for uri, path in local.items() if path != here and (not path.exists() or _copied(database, uri, path, here))]


def _copied(database: sqlite3.Connection, uri: str, path: Path, here: Path) -> bool:
    try:
        if os.path.samefile(path, here):  # by another name: a link
            return False
    except OSError:
        return False
    under = database.execute("SELECT run_uuid FROM runs WHERE substr(artifact_uri, 1, ?) = ?", (len(uri) + 1, f"{uri}/"))
    return any((here / str(run)).is_dir() for (run,) in under)


def _replace(database: sqlite3.Connection, before: str, now: str) -> None:
    """Replace one folder's address by another's, also at the beginning of longer ones."""
    for table, column in _COLUMNS:
        try:
            database.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                (now, len(before) + 1, before, len(before) + 1, f"{before}/"),
            )
        except sqlite3.OperationalError as error:  # another version of MLflow has no such table, or column
            if "no such" not in str(error):
                raise


def local_path(uri: str) -> Path | None:
    """The path of a "file:" address, or of one that is a path; None for any other."""
    parts = urlsplit(uri)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(url2pathname(parts.path))
    return Path(uri) if not parts.scheme and uri.startswith("/") else None


def check_artifacts(uri: str, id: str, server: bool) -> None:
    """See that a run's, or a model's, artifacts go where they may, in a store that is not known to be the user's: through the
    server itself, or into a folder that is the run's alone, and in which no link leads out of it.

    Args:
        uri: what the store says.
        id: of the run or the model, by which MLflow names the folder.
        server: whether the store is a server.

    Raises:
        GanflowError: they would go elsewhere.
    """
    if server:
        parts = urlsplit(uri)
        if parts.scheme == "mlflow-artifacts" and not parts.netloc:
            return
        raise GanflowError(f"the server wants the artifacts at {uri!a}, and not at the server itself")
    path = local_path(uri)
    ends = [] if path is None else [path.parts[-2:], Path(os.path.realpath(path)).parts[-2:]]
    if path is None or any(end != (id, "artifacts") for end in ends):
        raise GanflowError(f"MLflow's store wants the artifacts at {uri!a}, which is not a folder of run {id} alone")
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            if os.path.islink(os.path.join(folder, name)):
                raise GanflowError(f"{Path(folder, name)} is a link: artifacts are not written through it; remove it")


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
            cwd=self._held.enter_context(child.empty_folder()),  # uvicorn runs modules of its working folder
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
        return GanflowError("\n  ".join([f"MLflow's server {how}" + (", saying:" if last else ""), *last]))
