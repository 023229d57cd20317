"""The store of a runs folder that was moved, or renamed: MLflow keeps absolute paths of artifacts in its database."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ganflow.errors import GanflowError
from ganflow.tracking.pending import STORE, artifacts

_COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Where MLflow keeps paths of artifacts."""


def follow_folder(runs: Path) -> None:
    """Let a runs folder's own store find its artifacts where they are now. Nothing is written where nothing was moved; others
    may read and write the database meanwhile.

    Raises:
        GanflowError: it cannot be written.
    """
    here = artifacts(runs)
    try:
        with closing(sqlite3.connect(runs / STORE, timeout=60, isolation_level=None)) as database:
            gone = _gone(database, here)
            if not gone:
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
    """Put one folder's address in the place of another's, also at the beginning of longer ones."""
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
