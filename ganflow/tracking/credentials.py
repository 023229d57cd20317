"""Stores that the user named himself: only they get his credentials."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from ganflow.addresses import normal, shown
from ganflow.files import write_text
from ganflow.runs.lock import Held, locked

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


def known(address: str) -> bool:
    """Whether the user has given this address, now or once before."""
    named = os.environ.get(ENVIRONMENT)
    return normal(address) in [*([normal(named)] if named else []), *_kept()]


def remember(address: str) -> None:
    """Keep an address that the user gave. Where his state folder cannot be written, he has to give it each time."""
    if normal(address) in _kept():
        return
    file = _file()
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(file.with_name(f".{file.name}.lock"), timeout=5):
            write_text(file, json.dumps([*_kept(), normal(address)][-_MOST:], indent=2) + "\n")
    except (OSError, Held) as error:
        logging.getLogger("ganflow").warning("the address %s is not remembered: %s", shown(address), error)


def _file() -> Path:
    """In $GANFLOW_STATE, else in ganflow/ in the user's state folder."""
    given = os.environ.get("GANFLOW_STATE")
    if given:
        return Path(given) / "addresses.json"
    from platformdirs import user_state_path

    return user_state_path("ganflow", appauthor=False) / "addresses.json"


def _kept() -> list[str]:
    try:
        kept = json.loads(_file().read_text())
    except (OSError, ValueError):
        return []
    return [address for address in kept if isinstance(address, str)] if isinstance(kept, list) else []


def has_credentials() -> bool:
    """Whether there are any that MLflow would send."""
    home = Path(os.path.expanduser("~"))
    files = [Path(os.environ["NETRC"])] if os.environ.get("NETRC") else []
    return any(os.environ.get(name) for name in _CREDENTIALS) or any(f.exists() for f in [*files, *(home / f for f in _FILES)])


@contextmanager
def without_credentials() -> Iterator[None]:
    """While this lasts, nothing that is sent from this process carries any: neither those of the environment nor what is in
    files of the home folder (~/.netrc with its default entry, ~/.mlflow/credentials)."""
    empty = mkdtemp(prefix="ganflow-")
    hidden = {"NETRC": os.devnull, "HOME": empty, "USERPROFILE": empty}
    before = {name: os.environ.get(name) for name in (*_CREDENTIALS, *hidden)}
    for name in _CREDENTIALS:
        os.environ.pop(name, None)
    os.environ.update(hidden)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        shutil.rmtree(empty, ignore_errors=True)
