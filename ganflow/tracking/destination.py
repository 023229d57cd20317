"""Destinations: where a run's points go, and whether they may."""

from __future__ import annotations

import os
import re
import shlex
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ganflow.addresses import SQLITE, absolute, is_http, password_problem, plain_file, shown
from ganflow.errors import GanflowError
from ganflow.runs.folders import RunFolder
from ganflow.runs.lock import Held, locked
from ganflow.tracking import outbox
from ganflow.tracking.credentials import ENVIRONMENT, has_credentials, known
from ganflow.tracking.outbox import STORE, default_uri, inside, sqlite_file, store_uri

if TYPE_CHECKING:
    from ganflow.recipe import Recipe

_TABLES = {"alembic_version", "experiments", "runs", "metrics", "params", "tags"}
"""Some that every MLflow database has."""


@dataclass(frozen=True)
class Destination:
    """A store.

    Attributes:
        uri: its address, a SQLite file's absolute.
        runs: the runs folder of what is sent.
        given: by the user himself, or the runs folder's own store; otherwise by a recipe, or by a run's folder.
    """

    uri: str
    runs: Path
    given: bool

    @property
    def own(self) -> bool:
        """Whether it is the store that a runs folder has when no other is named."""
        return self.uri == default_uri(self.runs)

    def check(self, remedy: str) -> None:
        """See that it may be used, before anything is written.

        Args:
            remedy: what the user types where he means it.

        Raises:
            GanflowError: it has a password in it, or is no address; it is another program's database; it is one that only the
                user himself may name.
        """
        if self.own and not inside(self.runs / STORE, self.runs):
            raise GanflowError(f"{self.runs / STORE} is a link out of the runs folder; if you mean it, set {ENVIRONMENT} to "
                               f"{SQLITE}{os.path.realpath(self.runs / STORE)}")  # fmt: skip
        if not self.own:
            check_address(self.uri)
        if self.uri.startswith(SQLITE):
            check_file(self.uri, self.runs)
        if self.given or is_http(self.uri):
            return
        file = plain_file(self.uri)
        if file is None:
            raise GanflowError(f"the MLflow store {shown(self.uri)} comes from a recipe, which may name a server (http, https), "
                               f"or a SQLite file in the runs folder; if you mean it: {remedy}")  # fmt: skip
        if not inside(file, self.runs):
            raise GanflowError(f"the MLflow store {shown(self.uri)} comes from a recipe, and is not in the runs folder "
                               f"{self.runs}; if you mean it: {remedy}")  # fmt: skip

    def barred(self) -> str | None:
        """Why it gets no credentials; None where it does, where there are none, or where none are wanted."""
        if self.given or not is_http(self.uri) or not has_credentials():
            return None
        return f"your MLflow credentials do not go to {shown(self.uri)}, which comes from a recipe; if it is yours"


def of_folder(folder: RunFolder, uri: str | None = None) -> Destination:
    """Where a folder's points go: see `store_uri`."""
    to, runs = store_uri(folder, uri), outbox.root(folder)
    return Destination(to, runs, bool(uri) or to == default_uri(runs) or known(to))


def of_recipe(recipe: Recipe, runs: Path) -> Destination | None:
    """Where the points of a recipe's run go that is begun under `runs`; None where nothing is tracked."""
    if not recipe.track.mlflow:
        return None
    runs, said, named = runs.absolute(), recipe.track.uri, os.environ.get(ENVIRONMENT)
    if said:
        to = absolute(said)
        return Destination(to, runs, typed(recipe) is not None or to == default_uri(runs) or known(to))
    return Destination(absolute(named) if named else default_uri(runs), runs, True)


def typed(recipe: Recipe) -> str | None:
    """The address that the command line gave, and not the recipe's file."""
    return recipe.track.uri if recipe.lines.get("track.uri") == 0 else None


def bar_of(folder: RunFolder, uri: str | None) -> str | None:
    """Why a training's points go where they go without the user's credentials, and what to type; None where they do not.

    Args:
        uri: what the user typed.
    """
    to = of_folder(folder, uri)
    barred = to.barred()
    return f"{barred}, set {ENVIRONMENT}={to.uri}, or type track.uri={shlex.quote(to.uri)} once" if barred else None


def check_recipe(recipe: Recipe, runs: Path) -> None:
    """See that a recipe's run may be sent where it says.

    Raises:
        GanflowError: as `Destination.check`.
    """
    to = of_recipe(recipe, runs)
    if to is not None:
        to.check(f"type track.uri={shlex.quote(recipe.track.uri or to.uri)}, or set {ENVIRONMENT}")


def check_address(uri: str) -> None:
    """Raises GanflowError: a password, or no host, or a character that no address has."""
    problem = password_problem(uri)
    if problem:
        raise GanflowError(f"MLflow's address: {problem}")
    # also what only looks like a password
    odd = r"[\x00-\x1f\x7f]|^(?!sqlite|file)[^:/]*:[/\\]*[^/?#@]*(:|%3a)(?!\d+([/?#]|$))[^@]*@"
    if re.search(odd, uri, re.IGNORECASE) or (is_http(uri) and re.search(r"[\s\\]", uri.partition("?")[0])):
        raise GanflowError(f"{shown(uri)!a} is not the address of an MLflow store; use http(s)://host:port or sqlite:///file")
    if not is_http(uri):
        return
    try:
        parts = urlsplit(uri)
        sound = bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise GanflowError(f"MLflow's address {shown(uri)!r} names no host, or no port from 1 to 65535")


def check_file(uri: str, runs: Path) -> None:
    """Raises GanflowError: a SQLite file is there that MLflow has not made."""
    file = sqlite_file(uri)
    if uri.removeprefix(SQLITE).startswith("file:") or not file.is_file() or not file.stat().st_size:
        return
    tables = _tables(file)
    if tables is None:
        raise GanflowError(f"{file} is not a database; give MLflow another file")
    if tables and not tables >= _TABLES:
        raise GanflowError(f"{file} is another program's database, MLflow's tables do not go into it; give MLflow another file")


def _tables(file: Path) -> set[str] | None:
    """The names of a database's tables; None where it is none."""
    import sqlite3

    lock = file.with_name(f".{file.name}.lock")
    held = locked(lock, timeout=120) if lock.exists() else nullcontext()  # while MLflow's tables are made it is held
    try:
        with held, closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=60)) as database:
            return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.DatabaseError:
        return None
    except Held:
        raise GanflowError(f"{file} is being set up by another process for two minutes already; is one stuck?") from None
