"""Ray clusters: addresses, joining them, and whether the head still answers."""

from __future__ import annotations

import json
import logging
import os
import platform
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, chdir, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from ganflow import child, machine
from ganflow.errors import GanflowError, did_you_mean, first_line
from ganflow.runs.lock import is_locked, locked
from ganflow.tune import compat

TOKENS = "RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH with a file that holds it"
WAYS = "use local, auto, host:port of a Ray cluster, or http://host:8265 of its dashboard"
EVERY = 1.0
PATIENCE = 10.0
"""Seconds without an answer after which the head is gone: it may be restarted, or the network be slow."""
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
_PREFIX = "ganflow-ray-"
_LONGEST = 30  # characters of a folder under which a socket's path stays below the 107 that it may have
_STORE = 256 * 2**20  # bytes for objects in transit; trials pass their results by their folders


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
    raise GanflowError("\n".join([f"--address auto: {none}; {start}", *(f"  {closed[head]}" for head in heads)]))


def _sweep_of(socket_file: str) -> str:
    """The process id of the sweep that started a node for itself; "" where it was no sweep."""
    found = re.search(rf"/{_PREFIX}(\d+)-", socket_file)
    return found[1] if found else ""


def _listed() -> list[tuple[str, str]]:
    """(head, socket) of every node's process on this machine."""
    try:
        found: list[tuple[str, str]] = json.loads(child.output(["-m", "ganflow.tune.compat"], timeout=60).splitlines()[-1])
        return found
    except (subprocess.TimeoutExpired, IndexError, ValueError):
        return []


def _answers(text: str) -> None:
    try:
        _connect(text, 3)
        return
    except socket.gaierror:
        why = "no machine of that name"
    except TimeoutError:
        why = "no answer within 3 seconds"
    except OSError as error:
        why = (error.strerror or str(error)).lower()
    raise GanflowError(f"no Ray cluster answers at {text}: {why}; is the port that of its head (ray start --head says it)?")


def _connect(address: str, timeout: float) -> None:
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout).close()


def _probe(address: str) -> dict[str, Any]:
    """Description of the cluster at host:port, as `compat.probe` has it; on a busy machine a slow answer is waited for."""
    for patience in (compat.PATIENCE, *([5 * compat.PATIENCE] if machine.is_busy() else [])):
        with suppress(subprocess.TimeoutExpired, IndexError, ValueError):
            printed = child.output(["-m", "ganflow.tune.compat", address, str(patience)], timeout=60)
            found: dict[str, Any] = json.loads(printed.splitlines()[-1])
            return found
    return {"fault": "silent"}


@contextmanager
def connect(address: Address | str, *, cpus: float | None = None, gpus: float | None = None) -> Iterator[None]:
    """Connect to Ray, and disconnect afterwards. A process that is connected already stays so.

    Args:
        cpus, gpus: "local": resources to share out, if not this machine's.

    Raises:
        GanflowError: nobody answers at the address, or lets us in; raised within 5 seconds.
    """
    if isinstance(address, str):
        address = parse_address(address)
    if address.kind == "job":
        raise ValueError(f"{address} is for jobs: see ganflow.tune.submit")
    import ray

    if ray.is_initialized():
        yield
        return
    with ExitStack() as held:
        elsewhere = held.enter_context(child.empty_folder())
        if address.kind == "local":
            _start(held, elsewhere, cpus, gpus)
        else:
            _join(address, elsewhere)
        held.callback(ray.shutdown)
        yield


def _start(held: ExitStack, elsewhere: Path, cpus: float | None, gpus: float | None) -> None:
    """Start a cluster of this machine that nobody else can use: its token is known to this process and its children. Where Ray
    does not start, as on a busy machine, where it waits for no more than half a minute, it is tried once more.

    Args:
        held: what keeps the cluster's folder.
    """
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    sizes: dict[str, Any] = {"num_cpus": cpus or machine.cores(), "num_gpus": gpus, "object_store_memory": _STORE}
    failed: Exception | None = None
    for _ in range(2):
        with ExitStack() as trying:
            folder = trying.enter_context(_folder())
            try:
                _init(elsewhere, address="local", include_dashboard=False, _temp_dir=str(folder), **sizes)
            except Exception as error:
                failed, short = error, machine.shortages(folder.parent)
                compat.end_processes(str(folder))
            else:
                held.push(trying.pop_all())
                return
    assert failed is not None
    helps = "; ".join(short) or "nothing that it needs is short: end other programs, and try again"
    why = first_line(failed)[:300].rstrip(". ")
    raise GanflowError(f"Ray does not start on this machine, tried twice: {why}; {helps}") from failed


def _join(address: Address, elsewhere: Path) -> None:
    """Become a driver of a cluster that is known to answer."""
    head = check_cluster(address.text)["address"]
    try:
        _init(elsewhere, address=head)
    except Exception as error:
        raise GanflowError(f"the Ray cluster at {head} cannot be joined: {first_line(error)[:300]}") from error


def _init(elsewhere: Path, **options: Any) -> None:
    """Call ray.init quietly. It catches SIGTERM, and ends the process at once: the former handler is put back.

    Workers have the driver's working folder in their search path, and as their working folder: they are to run no module that
    happens to be there. A trial's relative paths are made absolute (see ganflow.recipe.recipe).

    Args:
        elsewhere: an empty folder to be that instead.
    """
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    logging.getLogger("ray").setLevel(logging.ERROR)
    for part in ("ray.tune", "ray.train"):  # the sweep itself says which trials failed, and that a disk did
        logging.getLogger(part).setLevel(logging.CRITICAL)
    compat.silence_error_messages()
    before = signal.getsignal(signal.SIGTERM)
    try:
        with child.applied({"PYTHONPATH": child.variables()["PYTHONPATH"]}), chdir(elsewhere):
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


@contextmanager
def _folder() -> Iterator[Path]:
    """Temporary folder of Ray's sockets, whose paths must be short. Those that killed sweeps left behind are removed."""
    base = Path(tempfile.gettempdir())
    if len(str(base)) > _LONGEST:
        base = Path("/tmp")
    for left in base.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            about = left.stat()
            fresh = time.time() - about.st_mtime < 60  # made by somebody who is about to lock it
            if about.st_uid == os.getuid() and not fresh and not is_locked(left / ".lock"):
                shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=base))
    try:
        with locked(folder / ".lock"):  # a pid would be another container's as well
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def guarded(gone: Callable[[], None]) -> Iterator[None]:
    """Call `gone`, in a thread, when the head of the connected cluster does not answer any more. It is to end the process: Ray
    cannot be left in another way."""
    import ray

    address = ray.get_runtime_context().gcs_address
    over = threading.Event()
    thread = threading.Thread(target=_watch, args=(address, over, gone), name="watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _watch(address: str, over: threading.Event, gone: Callable[[], None]) -> None:
    answered = time.monotonic()
    while not over.wait(EVERY):
        if answers(address):
            answered = time.monotonic()
        elif time.monotonic() - answered > PATIENCE:
            gone()
            return


def answers(address: str) -> bool:
    """Return true if anybody listens at host:port."""
    try:
        _connect(address, PATIENCE / 2)
        return True
    except OSError:
        return False
