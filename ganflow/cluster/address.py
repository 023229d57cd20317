"""Addresses of Ray clusters, and which of these can be entered."""

from __future__ import annotations

import json
import logging
import os
import platform
import re
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from ganflow import child, machine
from ganflow.cluster import compat
from ganflow.errors import GanflowError, did_you_mean
from ganflow.scratch import PREFIX

TOKENS = "RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH with a file that holds it"
WAYS = "use local, auto, host:port of a Ray cluster, or http://host:8265 of its dashboard"
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
RAY = "ray-"
"""In the name of the folder of a Ray that a sweep started for itself."""


@dataclass(frozen=True)
class Address:
    """Parsed `--address`.

    Attributes:
        kind: "local" (Ray is started for this sweep), "auto" (the cluster that runs on this machine), "cluster" (by the address
            of its head) or "job" (by the address of its dashboard).
        text: "local", "auto", "host:port", or the URL without a slash at its end.
    """

    kind: Literal["local", "auto", "cluster", "job"]
    text: str

    def __str__(self) -> str:
        return self.text


def parse_address(text: str) -> Address:
    """Parse `--address`.

    Raises:
        GanflowError: it is none.
    """
    plain = text.strip()
    if plain in ("local", "auto"):
        return Address("local" if plain == "local" else "auto", plain)
    scheme, separator, rest = plain.partition("://")
    if separator:
        return _url(plain, scheme.lower(), rest)
    host, colon, port = plain.rpartition(":")
    if not colon:
        head = f"; for a cluster's head: {plain}:6379" if _HOST.fullmatch(plain) else ""
        hint = did_you_mean(plain, ("local", "auto")) or head
        raise _no_address(f"{text[:100]!r} is not an address{hint} ({WAYS})")
    if not _HOST.fullmatch(host):
        raise _no_address(f"{host[:100]!r} in {text[:100]!r} is not a host ({WAYS})")
    return Address("cluster", f"{host}:{_port(port, text)}")


def _no_address(why: str) -> GanflowError:
    return GanflowError(f"--address: {why}")


def _url(text: str, scheme: str, rest: str) -> Address:
    if scheme == "ray":
        host = rest.partition(":")[0] or "host"
        why = "Ray Client (ray://) is not made for Ray Tune, and loses its sweep when the connection breaks"
        raise _no_address(f"{why}; use http://{host}:8265, or {host}:6379 from a machine of the cluster")
    if scheme not in ("http", "https"):
        raise _no_address(f"{scheme[:30]}:// is not known ({WAYS})")
    parts = urlsplit(text)
    netloc = parts.netloc.rpartition("@")[2]
    host, colon, port = netloc.rpartition(":") if not netloc.endswith("]") else (netloc, "", "")
    if colon:
        _port(port, text)
    if not _HOST.fullmatch(host if colon else netloc):
        raise _no_address(f"{text[:100]!r} names no host ({WAYS})")
    if parts.query or parts.fragment:
        raise _no_address(f"{text[:100]!r} is more than the address of a dashboard; leave out what follows the path")
    return Address("job", text.rstrip("/"))


def _port(port: str, text: str) -> int:
    if not (port.isascii() and port.isdecimal()):
        raise _no_address(f"{port[:30]!r} in {text[:100]!r} is not a port ({WAYS})")
    if not 1 <= int(port) <= 65535:
        raise _no_address(f"ports are numbers from 1 to 65535, not {port[:30]} ({text[:100]})")
    return int(port)


def check_cluster(address: str) -> dict[str, Any]:
    """Description of the cluster at host:port or "auto": its `address` as host:port, its `ray` and `python`.

    Raises:
        GanflowError: nobody answers, it is not Ray, it wants another token, other versions run there, this machine is no part of
            it, or it is another user's; "auto": none on this machine can be entered, or several can.
    """
    if address == "auto":
        return _on_this_machine()
    _answers(address)
    found = _probe(address)
    if why := _closed(found, address):
        raise GanflowError(why)
    return found


def _closed(found: dict[str, Any], where: str) -> str:
    """Reason why a cluster cannot be entered, with what to do; "" where it can."""
    import ray

    if fault := found.get("fault"):
        return {
            "silent": f"what answers at {where} is not the head of a Ray cluster; is it the right port? (Ray's own is 6379)",
            "no token": f"RAY_AUTH_MODE is 'token', and there is no token for the Ray cluster at {where}; set {TOKENS}",
            "mode": f"the Ray cluster at {where} asks for a token; set RAY_AUTH_MODE=token and {TOKENS}",
            "token": f"the Ray cluster at {where} does not accept the token; set the cluster's own in {TOKENS}",
        }[fault]
    for name, there, here in (("Ray", found["ray"], ray.__version__), ("Python", found["python"], platform.python_version())):
        if there and there != here:
            return f"the Ray cluster at {where} has {name} {there}, and this machine has {here}; they must be equal"
    if not found["member"]:
        head = where.rpartition(":")[0]
        join = f"make it one with: ray start --address={where}, or submit a job with: --address http://{head}:8265"
        return f"this machine is not part of the Ray cluster at {where}; {join}"
    if found["owner"]:
        how = f"run as {found['owner']}, or start one of your own with: ray start --head --port=0"
        return f"the Ray cluster at {where} is of the user {found['owner']}, whose files let nobody else in; {how}"
    return ""


def _on_this_machine() -> dict[str, Any]:
    """Description of the one cluster on this machine that can be entered; of that in RAY_ADDRESS where it is set.

    Raises:
        GanflowError: there is none, or there are several.
    """
    named = os.environ.get("RAY_ADDRESS", "").strip()
    if named not in ("", "auto", "local"):
        try:
            meant = parse_address(named)
            if meant.kind == "job":
                raise GanflowError(f"{meant} is a dashboard's address; submit a job with: --address {meant}")
            return check_cluster(meant.text)
        except GanflowError as error:
            raise GanflowError(f"RAY_ADDRESS: {str(error).removeprefix('--address: ')}") from None
    logging.getLogger("ray").setLevel(logging.ERROR)
    compat.use_token()
    heads: dict[str, list[str]] = {}
    for head, socket_file in _listed():
        heads.setdefault(head, []).append(socket_file)
    private = {head: found[0] for head, files in heads.items() if (found := [pid for file in files if (pid := _sweep_of(file))])}
    others = [head for head in heads if head not in private]
    with ThreadPoolExecutor(max_workers=4) as pool:
        found_there = dict(zip(others, pool.map(_probe, others), strict=True))
    closed = {head: _closed(found, head) for head, found in found_there.items()}
    open_ = [head for head in others if not closed[head]]
    if len(open_) == 1:
        return found_there[open_[0]]
    if open_:
        there = f"{len(open_)} Ray clusters on this machine can be entered, {', '.join(open_[:-1])} and {open_[-1]}"
        raise GanflowError(f"--address auto: {there}; choose one with: --address {open_[0]}")
    if not heads:
        start = "start one with: ray start --head, or use --address local"
        raise GanflowError(f"--address auto: no Ray cluster runs on this machine; {start}")
    ends = "and ends with it"
    closed |= {head: f"the Ray cluster at {head} is a sweep's own (process {pid}), {ends}" for head, pid in private.items()}
    none = "the Ray cluster on this machine cannot be entered" if len(heads) == 1 else (
        f"none of the {len(heads)} Ray clusters on this machine can be entered")  # fmt: skip
    start = "start one with: ray start --head --port=0, or use --address local"
    raise GanflowError(f"--address auto: {none}; {start}", *(f"  {closed[head]}" for head in heads))


def _sweep_of(socket_file: str) -> str:
    """The process id of the sweep that started a node for itself; "" where it was no sweep."""
    found = re.search(rf"/{PREFIX}{RAY}(\d+)-", socket_file)
    return found[1] if found else ""


def _listed() -> list[tuple[str, str]]:
    """(head, socket) of every node's process on this machine."""
    try:
        found: list[tuple[str, str]] = json.loads(child.output(["-m", "ganflow.cluster.compat"], timeout=60).splitlines()[-1])
        return found
    except (subprocess.TimeoutExpired, IndexError, ValueError):
        return []


def _answers(text: str) -> None:
    try:
        connected(text, 3)
        return
    except socket.gaierror:
        why = "no machine of that name"
    except TimeoutError:
        why = "no answer within 3 seconds"
    except OSError as error:
        why = (error.strerror or str(error)).lower()
    raise GanflowError(f"no Ray cluster answers at {text}: {why}; is the port that of its head (ray start --head says it)?")


def connected(address: str, timeout: float) -> None:
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout).close()


def _probe(address: str) -> dict[str, Any]:
    """Description of the cluster at host:port, as `compat.probe` has it; on a busy machine a slow answer is waited for."""
    for patience in (compat.PATIENCE, *([5 * compat.PATIENCE] if machine.is_busy() else [])):
        with suppress(subprocess.TimeoutExpired, IndexError, ValueError):
            printed = child.output(["-m", "ganflow.cluster.compat", address, str(patience)], timeout=60)
            found: dict[str, Any] = json.loads(printed.splitlines()[-1])
            return found
    return {"fault": "silent"}
