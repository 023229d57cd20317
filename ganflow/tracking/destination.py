"""Destinations: the store that a run's points go to, if they may, and with whose credentials.

Only stores that the user named himself, now or once before, get his credentials.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import shlex
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ganflow import child
from ganflow.addresses import SQLITE, absolute, is_http, normal, password_problem, plain_file, shown
from ganflow.errors import GanflowError, RecipeError
from ganflow.files import check_readable, check_utf8, write_text
from ganflow.installed import entry_points
from ganflow.lock import Held, locked
from ganflow.recipe.yaml import Problems
from ganflow.runs.folders import RunFolder
from ganflow.scratch import scratch_folder
from ganflow.tracking import outbox
from ganflow.tracking.outbox import STORE, State, default_uri, sqlite_file

if TYPE_CHECKING:
    from ganflow.recipe import Recipe

ENVIRONMENT = "MLFLOW_TRACKING_URI"
_MOST = 1000  # addresses kept
_CREDENTIALS = (
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_AUTH",
    "MLFLOW_TRACKING_AWS_SIGV4",
    "MLFLOW_TRACKING_CLIENT_CERT_PATH",
    "MLFLOW_WORKSPACE",
)
_FILES = (".netrc", "_netrc", ".mlflow/credentials")  # below the home folder
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_SERVICES = ("http", "https", "databricks", "databricks-uc", "uc")
_WAYS = "use http(s)://host:port or sqlite:///file.db"
_TABLES = {"alembic_version", "experiments", "runs", "metrics", "params", "tags"}
"""Some that every MLflow database has."""


@dataclass(frozen=True)
class Destination:
    """A store.

    Attributes:
        uri: its address, a SQLite file's absolute.
        runs: the runs folder of what is sent.
        trusted: named by the user himself, or the runs folder's default store; otherwise by a recipe, or by a run's folder.
    """

    uri: str
    runs: Path
    trusted: bool

    @property
    def is_default(self) -> bool:
        """True for the store that a runs folder has when no other is named."""
        return self.uri == default_uri(self.runs)

    def check(self, remedy: str) -> None:
        """See that it may be used, before anything is written.

        Args:
            remedy: what the user types where he means it.

        Raises:
            GanflowError: it has a password in it, or is no address; it is another program's database; it is one that only the
                user himself may name.
        """
        check_utf8(self.runs)
        if self.is_default and not inside(self.runs / STORE, self.runs):
            raise GanflowError(f"{self.runs / STORE} is a link out of the runs folder; if you mean it, set {ENVIRONMENT} to "
                               f"{SQLITE}{os.path.realpath(self.runs / STORE)}")  # fmt: skip
        if not self.is_default:
            check_address(self.uri)
        if self.uri.startswith(SQLITE):
            if not self.is_default:
                _check_possible(self.uri)
            _check_file(self.uri)
        if self.trusted or is_http(self.uri):
            return
        file = plain_file(self.uri)
        if file is None:
            raise GanflowError(f"the MLflow store {shown(self.uri)} comes from a recipe, which may name a server (http, https), "
                               f"or a SQLite file in the runs folder; if you mean it: {remedy}")  # fmt: skip
        if not inside(file, self.runs):
            raise GanflowError(f"the MLflow store {shown(self.uri)} comes from a recipe, and is not in the runs folder "
                               f"{self.runs}; if you mean it: {remedy}")  # fmt: skip

    def barred(self) -> str | None:
        """The reason why it gets no credentials; None where it does, where there are none, or where none are wanted."""
        if self.trusted or not is_http(self.uri) or not _has_credentials():
            return None
        return f"your MLflow credentials do not go to {shown(self.uri)}, which comes from a recipe; if it is yours"


def store_uri(folder: RunFolder, uri: str | None = None) -> str:
    """The store of a run's points: `uri`, the one that its recipe names, MLFLOW_TRACKING_URI's, the one that they went to
    before, or a SQLite file beside the runs. A SQLite file's path is made absolute."""
    runs = outbox.root(folder)
    named = uri or outbox.settings(folder)["uri"] or os.environ.get(ENVIRONMENT)
    if not named and (before := State.read(folder).uri):
        # the default store of a runs folder that was moved, or copied, is the one that is in it now
        file = sqlite_file(before) if before.startswith(SQLITE) and "?" not in before else None
        moved = file is not None and file.name == STORE and not inside(file, runs) and not known(before)
        named = None if moved else before
    return absolute(named or default_uri(runs))


def of_folder(folder: RunFolder, uri: str | None = None) -> Destination:
    """The destination of a folder's points: see `store_uri`."""
    to, runs = store_uri(folder, uri), outbox.root(folder)
    return Destination(to, runs, bool(uri) or to == default_uri(runs) or known(to))


def typed(recipe: Recipe) -> str | None:
    """The address that the command line named, and not the recipe's file."""
    return recipe.track.uri if recipe.lines.get("track.uri") == 0 else None


def bar_of(folder: RunFolder, uri: str | None) -> str | None:
    """The reason why a training's points go to their store without the user's credentials, and what to type; None where
    they do not.

    Args:
        uri: what the user typed.
    """
    to = of_folder(folder, uri)
    barred = to.barred()
    return f"{barred}, set {ENVIRONMENT}={to.uri}, or type track.uri={shlex.quote(to.uri)} once" if barred else None


def check_recipe(recipe: Recipe, runs: Path) -> None:
    """See that a recipe's run, begun under `runs`, may be sent where it says.

    Raises:
        GanflowError: as `Destination.check`, or `runs` is a folder in which checkpoints cannot be read.
    """
    if not recipe.track.mlflow:
        check_utf8(runs.absolute())
        return
    check_written(recipe)
    runs, asked = runs.absolute(), recipe.track.uri
    to = absolute(asked or os.environ.get(ENVIRONMENT) or default_uri(runs))
    trusted = not asked or typed(recipe) is not None or to == default_uri(runs) or known(to)
    Destination(to, runs, trusted).check(f"type track.uri={shlex.quote(asked or to)}, or set {ENVIRONMENT}")


def check_written(recipe: Recipe) -> None:
    """See that the store that a recipe, or else the environment, names is one; raises GanflowError, in the recipe's line."""
    uri, lines = tracking_uri(recipe), recipe.lines
    try:
        if uri:
            check_address(uri)
    except GanflowError as error:
        if not recipe.track.uri:
            raise GanflowError(f"{ENVIRONMENT}: {error}") from None
        line = lines.get("track.uri", lines.get("track", 0))
        raise RecipeError([Problems(recipe.file).problem(line, f"track.uri: {error}")]) from None


def check_address(uri: str) -> None:
    """Raises GanflowError: a password, no host, a character that no address has, or no store that MLflow knows."""
    problem = password_problem(uri)
    if problem:
        raise GanflowError(f"MLflow's address: {problem}")
    # also what only looks like a password
    odd = r"[\x00-\x1f\x7f\ud800-\udfff]|^(?!sqlite|file)[^:/]*:[/\\]*[^/?#@]*(:|%3a)(?!\d+([/?#]|$))[^@]*@"
    if re.search(odd, uri, re.IGNORECASE) or (is_http(uri) and re.search(r"[\s\\]", uri.partition("?")[0])):
        raise GanflowError(f"{shown(uri)!a} is not the address of an MLflow store; {_WAYS}")
    if not is_http(uri):
        _check_scheme(uri)
        return
    try:
        parts = urlsplit(uri)
        sound = bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise GanflowError(f"MLflow's address {shown(uri)!r} names no host, or no port from 1 to 65535")


def _check_scheme(uri: str) -> None:
    """Raises GanflowError: the address is no server's, and MLflow has no store of its kind."""
    scheme, colon, _ = uri.partition(":")
    kind = scheme.lower().partition("+")[0]
    if uri in _SERVICES:
        return
    if kind == "file" or not colon or re.match(r"[./~]|[a-z]:\\", uri, re.IGNORECASE):
        if os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() in ("true", "1"):
            return
        file = Path(urlsplit(uri).path if kind == "file" else uri) / STORE
        raise GanflowError(f"MLflow does not take the folder {shown(uri)!a} as a store; use {SQLITE}{file.as_posix()}")
    if scheme.lower() == "sqlite" and not uri.startswith(SQLITE):
        raise GanflowError(f"{shown(uri)!a} is not the address of a SQLite file; use {SQLITE}file.db, or with the whole path "
                           f"{SQLITE}/folder/file.db")  # fmt: skip
    if kind not in (*_DATABASES, *_SERVICES, *(point.name for point in entry_points("mlflow.tracking_store"))):
        ways = f"use http://{shown(uri)}" if re.fullmatch(r"[\w.-]+:\d+(/.*)?", uri) else _WAYS
        raise GanflowError(f"{shown(uri)!a} is not the address of an MLflow store; {ways}")


def _check_possible(uri: str) -> None:
    """Raises GanflowError: a SQLite address names a folder, or a file that cannot be made."""
    file = sqlite_file(uri)
    if uri.removeprefix(SQLITE).startswith(("file:", ":")):
        return
    if os.path.isdir(file):
        raise GanflowError(f"{file} is a folder, and a SQLite store is a file; use {SQLITE}{(file / STORE).as_posix()}")
    there = next(folder for folder in file.absolute().parents if os.path.exists(folder))
    if not os.path.exists(file) and not (there.is_dir() and os.access(there, os.W_OK)):
        why = "cannot be written" if there.is_dir() else "is no folder"
        raise GanflowError(f"cannot make MLflow's store {file}: {there} {why}")


def _check_file(uri: str) -> None:
    """Raises GanflowError: a SQLite file is there that MLflow has not made, or not to the end."""
    import sqlite3

    file = sqlite_file(uri)
    check_readable(file.parent)
    if os.path.isfile(file) and not os.access(file, os.R_OK):
        why = os.strerror(errno.EACCES)
        how = f"keep MLflow's data elsewhere, e.g. track.uri={SQLITE}mlflow-2.db"
        raise GanflowError(f"cannot read MLflow's database {file}: {why}; {how}")
    if uri.removeprefix(SQLITE).startswith("file:") or not file.is_file() or not file.stat().st_size:
        return
    lock = lock_beside(file)
    held = locked(lock, timeout=120) if lock.exists() else nullcontext()  # while MLflow's tables are made it is held
    try:
        with held, closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=60)) as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            begun = "experiments" in tables and not database.execute("SELECT 1 FROM experiments LIMIT 1").fetchone()
    except sqlite3.DatabaseError:
        raise GanflowError(f"{file} is not a database: move it away, or keep MLflow's data elsewhere, e.g. track.uri={SQLITE}"
                           f"{file.with_name('mlflow-2.db')}") from None
    except Held:
        raise setup_stuck(file) from None
    if begun:  # the first one is made last
        raise GanflowError(f"{file} was left half made by a process of MLflow's that was killed, and nothing is in it: remove it")
    if tables and not tables >= _TABLES:
        raise GanflowError(f"{file} is another program's database, MLflow's tables do not go into it; give MLflow another file")


def lock_beside(file: Path) -> Path:
    """The file whose lock is held while `file` is set up or changed."""
    return file.with_name(f".{file.name}.lock")


def setup_stuck(file: Path) -> GanflowError:
    return GanflowError(f"{file} is being set up by another process for two minutes already; is one stuck?")


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


def inside(file: Path, runs: Path) -> bool:
    """True for a file below the runs folder, links followed."""
    return Path(os.path.realpath(file)).is_relative_to(os.path.realpath(runs))


# The user's addresses and credentials.


def known(address: str) -> bool:
    """True for an address that the user named, now or once before."""
    named = os.environ.get(ENVIRONMENT)
    return normal(address) in [*([normal(named)] if named else []), *_kept()]


def remember(address: str) -> None:
    """Keep an address that the user named. Where his state folder cannot be written, he has to name it each time."""
    if normal(address) in _kept():
        return
    file = _file()
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(lock_beside(file), timeout=5):
            write_text(file, json.dumps([*_kept(), normal(address)][-_MOST:], indent=2) + "\n")
    except (OSError, Held) as error:
        logging.getLogger("ganflow").warning("the address %s is not remembered: %s", shown(address), error)


def _file() -> Path:
    """The file of the user's addresses: in $GANFLOW_STATE, else in ganflow/ in his state folder."""
    state = os.environ.get("GANFLOW_STATE")
    if state:
        return Path(state) / "addresses.json"
    from platformdirs import user_state_path

    return user_state_path("ganflow", appauthor=False) / "addresses.json"


def _kept() -> list[str]:
    try:
        kept = json.loads(_file().read_text())
    except (OSError, ValueError):
        return []
    return [address for address in kept if isinstance(address, str)] if isinstance(kept, list) else []


def _has_credentials() -> bool:
    """Tell whether there are any that MLflow would send."""
    home, netrc = Path(os.path.expanduser("~")), os.environ.get("NETRC")
    files = [*([Path(netrc)] if netrc else []), *(home / name for name in _FILES)]
    return any(os.environ.get(name) for name in _CREDENTIALS) or any(file.exists() for file in files)


@contextmanager
def without_credentials() -> Iterator[None]:
    """While this lasts, nothing that is sent from this process carries any: neither those of the environment nor what is in
    files of the home folder (~/.netrc with its default entry, ~/.mlflow/credentials)."""
    with scratch_folder("home-") as empty:
        hidden = {"NETRC": os.devnull, "HOME": str(empty), "USERPROFILE": str(empty)}
        with child.applied({**dict.fromkeys(_CREDENTIALS), **hidden}):
            yield


def tracking_uri(recipe: Recipe) -> str | None:
    """The MLflow store that the recipe or the environment names; None for the SQLite file beside the runs, or for none."""
    return (recipe.track.uri or os.environ.get("MLFLOW_TRACKING_URI") or None) if recipe.track.mlflow else None
