"""Reaching MLflow's store: quickly giving up on one that is away, safely making one that is not there yet."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganflow.addresses import redacted
from ganflow.errors import GanflowError
from ganflow.lock import Held, locked
from ganflow.tracking.moves import follow_folder
from ganflow.tracking.pending import MISSING, absolute, artifacts, default_uri, sqlite_file

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


def client(uri: str, runs: Path | None = None) -> MlflowClient:
    """A client of the store. A SQLite file is made if it is missing, waits for other writers, and is set up by one
    process at a time: several at once break a fresh one.

    Args:
        runs: the runs folder; its own store is told where it is now, in case that it was moved.

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
    if not uri.startswith("sqlite:///"):
        return MlflowClient(uri)
    uri = absolute(uri)
    with _setting_up(uri):
        made = MlflowClient(uri if "?" in uri else f"{uri}?timeout=60")
        if runs is not None and uri == default_uri(runs):
            follow_folder(runs)
        return made


def experiment(client: MlflowClient, uri: str, name: str, runs: Path) -> str:
    """The id of the experiment of this name, which is made if it is missing. A database is given absolute paths for
    artifacts; a server knows its own place for them.

    Raises:
        GanflowError: the experiment was deleted.
    """
    from mlflow.exceptions import MlflowException

    found: Any = client.get_experiment_by_name(name)
    if found is None:
        place = None if uri.startswith(("http", "databricks")) else artifacts(runs).as_uri()
        try:
            made: str = client.create_experiment(name, artifact_location=place, tags=_KIND)
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


@contextmanager
def _setting_up(uri: str) -> Iterator[None]:
    file = sqlite_file(uri)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with locked(file.with_name(f".{file.name}.lock"), timeout=120), no_other_folder(uri):
            yield
    except Held:
        raise GanflowError(f"{file} is being set up by another process for two minutes already; is one stuck?") from None
    except OSError as error:
        raise GanflowError(f"cannot make MLflow's store {file}: {error.strerror}") from None


BARRED = "not allowed in"


@contextmanager
def no_other_folder(uri: str) -> Iterator[None]:
    """Remove the empty folder that MLflow makes beside that of a SQLite file, where the address of that is quoted."""
    written = Path(uri.removeprefix("sqlite:///").partition("?")[0]).parent
    made = [path for path in (written, *written.parents) if not path.exists()] if "%" in uri else []
    try:
        yield
    finally:
        for path in made:
            with suppress(OSError):
                path.rmdir()


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


def reason(error: BaseException) -> str:
    """Why MLflow could not be reached, in a few words. Its own texts are a page long."""
    text = f"{error}".strip()
    for signs, words in _REASONS:
        if re.search(signs, text, re.IGNORECASE):
            return words
    return redacted(text.splitlines()[0])[:200] if text else type(error).__name__
