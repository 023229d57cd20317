"""Addresses of MLflow stores as text: what in them is secret, and how they are shown without it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SQLITE = "sqlite:///"
_PORT = r"\d{1,5}(?:[/?#\"'<>),;\s]|$)"
_IPV6 = r"\[[0-9a-f:.]+\](?::\d+)?(?:[/?#\"'<>),;\s]|$)"
_WORD = r"[^\s/\\?#\"'<>@:%]*(?:%(?!3a)[^\s/\\?#\"'<>@:%]*)*"
_BEFORE = r"(?<![a-z0-9+.-])(?!sqlite|file:)(?:https?:[/\\]*|[a-z][a-z0-9+.-]*:[/\\]+)"
_PASSWORD = re.compile(rf"(?i)({_BEFORE})(?!{_IPV6}){_WORD}(?::|%3a)(?!{_PORT})\S*@")
_USER = re.compile(r"(?i)((?<![a-z])https?:[/\\]*)[^\s/\\?#\"'<>]*@")  # a token is often given as the user's name
_NAMES = "password|passwd|pwd|passphrase|sslpassword|secret|token|access_token|auth_token|api_key|apikey"
_QUERY = re.compile(rf"(?i)(?<=[?&;])((?:{_NAMES})=)[^&;#\s\"'<>]+")
_HIDDEN = "***"


def redacted(text: str) -> str:
    """A text without the passwords of the addresses in it: "http://***@host/…". One without any is left as it is."""
    if ":" not in text:
        return text
    return _QUERY.sub(rf"\1{_HIDDEN}", _USER.sub(rf"\1{_HIDDEN}@", _PASSWORD.sub(rf"\1{_HIDDEN}@", text)))


def shown(address: str) -> str:
    """An address for a message; of one that is none, what may be a password is left out, too."""
    hidden = redacted(address)
    if "@" in hidden and hidden == address and not address.startswith((SQLITE, "file:")):
        hidden = f"{_HIDDEN}@{address.rpartition('@')[2]}"
    return hidden


def without_secrets(value: Any) -> Any:
    """Plain data whose texts are all `redacted`."""
    return map_texts(value, redacted)


def map_texts(value: Any, change: Callable[[str], str]) -> Any:
    """Plain data with a function applied to every text in it, keys excepted."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: map_texts(item, change) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [map_texts(item, change) for item in value]
    return value


def bare(address: str) -> str:
    """The address alone, without user and password, also where they are hidden already."""
    return re.sub(rf"[?&;](?:{_NAMES})={re.escape(_HIDDEN)}", "", redacted(address)).replace(f"{_HIDDEN}@", "")


def password_problem(address: str) -> str | None:
    """The fault of an address that has a password in it, or had one, and what to do; None where it has none."""
    if bare(address) == address:
        return None
    scheme = address.partition("://")[0].partition("+")[0].lower()
    if scheme in ("http", "https"):
        instead = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, or use ~/.netrc"
    elif scheme in ("postgres", "postgresql"):
        instead = "set PGUSER and PGPASSWORD, or write it into ~/.pgpass"
    else:
        instead = "let an MLflow server keep the database, set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD for it"
    return f"a password in an address is kept in files and shown; use {shown(bare(address))} and {instead}"


def is_http(address: str) -> bool:
    """Tell a server's address from a database's or a file's."""
    return address.partition(":")[0].lower() in ("http", "https")


def plain_file(address: str) -> Path | None:
    """The file of a SQLite address that is nothing but a path."""
    path = address.removeprefix(SQLITE)
    plain = path != address and path and not path.startswith(("file:", ":")) and not set("?#%") & set(path)
    return Path(path) if plain else None


def normal(address: str) -> str:
    """One form for all ways to write an address: host in small letters, its usual port left out, no slash at the end; a file's
    path absolute."""
    file = plain_file(address)
    if file is not None:
        return f"{SQLITE}{file.absolute().as_posix()}"
    if not is_http(address):
        return address
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return address
    usual = {"http": 80, "https": 443}[parts.scheme]
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    where = host if port in (None, usual) else f"{host}:{port}"
    return f"{parts.scheme}://{where}{parts.path.rstrip('/')}" + (f"?{parts.query}" if parts.query else "")


def absolute(address: str) -> str:
    """The address with a SQLite file's path absolute."""
    if not address.startswith(SQLITE) or address == f"{SQLITE}:memory:":
        return address
    return f"{SQLITE}{Path(address.removeprefix(SQLITE)).absolute().as_posix()}"


def recorded(asked: str | None, before: Mapping[str, Any]) -> dict[str, str | None]:
    """The store in the "tracking" entry of run.json: as the recipe names it, and where that is. A SQLite file's relative path
    is one from where the run was begun, also when it goes on elsewhere.

    Args:
        before: the entry of a run that goes on.
    """
    same = asked is not None and before.get("asked") == asked and before.get("uri")
    return {"asked": asked, "uri": before["uri"] if same else absolute(asked) if asked else None}
