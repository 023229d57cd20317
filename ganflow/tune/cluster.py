"""Ray clusters: addresses, whether one can be joined, and whether its head is still there."""

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
from contextlib import ExitStack, chdir, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from ganflow import child
from ganflow.errors import GanflowError, did_you_mean, first_line
from ganflow.runs.lock import is_locked, locked

TOKENS = "RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH with a file that holds it"


def check_cluster(address: str) -> dict[str, Any]:
    """What runs at an address, host:port or "auto": its `address` as host:port, its `ray` and `python`.

    Raises:
        GanflowError: nobody answers, it is not Ray, it wants another token, other versions run there, or this machine is no part
            of it.
    """
    if address != "auto":
        _answers(address)
    told = _asked(address)
    where = told.get("address") or address
    fault = told.get("fault")
    if fault == "nobody":
        raise GanflowError(
            "--address auto: no Ray cluster runs on this machine; start one with: ray start --head, or use --address local"
        )
    if fault == "silent":
        raise GanflowError(f"what answers at {where} is not the head of a Ray cluster; is it the right port? (Ray's own is 6379)")
    if fault == "no token":
        raise GanflowError(f"RAY_AUTH_MODE is 'token', and there is no token for the Ray cluster at {where}; set {TOKENS}")
    if fault == "mode":
        raise GanflowError(f"the Ray cluster at {where} asks for a token; set RAY_AUTH_MODE=token and {TOKENS}")
    if fault == "token":
        raise GanflowError(f"the Ray cluster at {where} does not accept the token; set the cluster's own in {TOKENS}")
    import ray

    for name, there, here in (("Ray", told["ray"], ray.__version__), ("Python", told["python"], platform.python_version())):
        if there and there != here:
            raise GanflowError(f"the Ray cluster at {where} has {name} {there}, and this machine has {here}; they must be equal")
    if not told["member"]:
        head = where.rpartition(":")[0]
        join = f"make it one with: ray start --address={where}, or submit a job with: --address http://{head}:8265"
        raise GanflowError(f"this machine is not part of the Ray cluster at {where}; {join}")
    return told


def _answers(text: str) -> None:
    host, _, port = text.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=3):
            return
    except socket.gaierror:
        why = "no machine of that name"
    except TimeoutError:
        why = "no answer within 3 seconds"
    except OSError as error:
        why = (error.strerror or str(error)).lower()
    raise GanflowError(f"no Ray cluster answers at {text}: {why}; is the port that of its head (ray start --head says it)?")


def _asked(address: str) -> dict[str, Any]:
    try:
        printed = child.output([str(Path(__file__).with_name("probe.py")), address], timeout=60)
        told: dict[str, Any] = json.loads(printed.splitlines()[-1])
        return told
    except (subprocess.TimeoutExpired, IndexError, ValueError):
        return {"fault": "silent"}


WAYS = "use local, auto, host:port of a Ray cluster, or http://host:8265 of its dashboard"
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
_PREFIX = "ganflow-ray-"
_LONGEST = 30  # characters of a folder under which a socket's path stays below the 107 that it may have
_STORE = 256 * 2**20  # bytes for objects in transit; trials pass their results by their folders


@dataclass(frozen=True)
class Address:
    """What `--address` means.

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
    """What an address means.

    Raises:
        GanflowError: it is none.
    """
    plain = text.strip()
    if plain in ("local", "auto"):
        return Address("local" if plain == "local" else "auto", plain)
    scheme, separator, _ = plain.partition("://")
    if separator:
        return _url(plain, scheme.lower())
    host, colon, port = plain.rpartition(":")
    if not colon:
        head = f"; for a cluster's head: {plain}:6379" if _HOST.fullmatch(plain) else ""
        hint = did_you_mean(plain, ("local", "auto")) or head
        raise GanflowError(f"--address: {text[:100]!r} is not an address{hint} ({WAYS})")
    if not _HOST.fullmatch(host):
        raise GanflowError(f"--address: {host[:100]!r} in {text[:100]!r} is not a host ({WAYS})")
    return Address("cluster", f"{host}:{_port(port, text)}")


def _url(text: str, scheme: str) -> Address:
    if scheme == "ray":
        host = text[6:].partition(":")[0] or "host"
        why = "Ray Client (ray://) is not made for Ray Tune, and loses its sweep when the connection breaks"
        raise GanflowError(f"--address: {why}; use http://{host}:8265, or {host}:6379 from a machine of the cluster")
    if scheme not in ("http", "https"):
        raise GanflowError(f"--address: {scheme[:30]}:// is not known ({WAYS})")
    parts = urlsplit(text)
    netloc = parts.netloc.rpartition("@")[2]
    host, colon, port = netloc.rpartition(":") if not netloc.endswith("]") else (netloc, "", "")
    if colon:
        _port(port, text)
    if not _HOST.fullmatch(host if colon else netloc):
        raise GanflowError(f"--address: {text[:100]!r} names no host ({WAYS})")
    if parts.query or parts.fragment:
        raise GanflowError(f"--address: {text[:100]!r} is more than the address of a dashboard; leave out what follows the path")
    return Address("job", text.rstrip("/"))


def _port(port: str, text: str) -> int:
    if not (port.isascii() and port.isdecimal()):
        raise GanflowError(f"--address: {port[:30]!r} in {text[:100]!r} is not a port ({WAYS})")
    if not 1 <= int(port) <= 65535:
        raise GanflowError(f"--address: ports are numbers from 1 to 65535, not {port[:30]} ({text[:100]})")
    return int(port)


@contextmanager
def connect(
    address: Address | str, plan: object = None, *, cpus: float | None = None, gpus: float | None = None
) -> Iterator[None]:
    """Ray, connected, and let go of afterwards. A process that is connected already stays so.

    Args:
        plan: of the sweep (Ray needs nothing of it).
        cpus, gpus: "local": what there is to share out, if not this machine's.

    Raises:
        GanflowError: nobody answers at the address, or lets us in; told within 5 seconds.
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
            _start(held.enter_context(_folder()), elsewhere, cpus, gpus)
        else:
            _join(address, elsewhere)
        held.callback(ray.shutdown)
        yield


def _start(folder: Path, elsewhere: Path, cpus: float | None, gpus: float | None) -> None:
    """A cluster of this machine alone, that nobody else can use: its token is known to this process and its children."""
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    if cpus is None and hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) != os.cpu_count():
        cpus = len(os.sched_getaffinity(0))  # Ray itself looks at the container's share, not at this
    try:
        _init(
            elsewhere,
            address="local",
            num_cpus=cpus,
            num_gpus=gpus,
            include_dashboard=False,
            object_store_memory=_STORE,
            _temp_dir=str(folder),
        )
    except Exception as error:
        raise GanflowError(f"Ray does not start on this machine: {first_line(error)[:300]}") from error


def _join(address: Address, elsewhere: Path) -> None:
    """Become a driver of a cluster that is known to answer."""
    told = check_cluster(address.text)
    try:
        _init(elsewhere, address="auto" if address.kind == "auto" else told["address"])
    except Exception as error:
        raise GanflowError(f"the Ray cluster at {told['address']} cannot be joined: {first_line(error)[:300]}") from error


def _init(elsewhere: Path, **options: Any) -> None:
    """ray.init, quietly. It takes SIGTERM for itself, and ends the process at once: whoever had the signal gets it back.

    Workers have the driver's working folder in their search path, and here as their own: they are to run no module that happens
    to be there. A trial's relative paths are made absolute (see ganflow.recipe.recipe).

    Args:
        elsewhere: an empty folder to be that instead.
    """
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    logging.getLogger("ray").setLevel(logging.ERROR)
    for part in ("ray.tune", "ray.train"):  # the sweep itself says which trials failed, and that a disk did
        logging.getLogger(part).setLevel(logging.CRITICAL)
    _hush()
    before = signal.getsignal(signal.SIGTERM)
    try:
        with child.applied({"PYTHONPATH": child.variables()["PYTHONPATH"]}), chdir(elsewhere):
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _hush() -> None:
    """Ray prints a paragraph on stdout about every process that dies, whatever it is told about logging."""
    from ray._private import worker

    printing: Any = worker
    printing.listen_error_messages = lambda *arguments: None


@contextmanager
def _folder() -> Iterator[Path]:
    """Where Ray keeps its sockets, whose paths must be short. What earlier sweeps left behind that were killed goes, too."""
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


EVERY = 1.0
PATIENCE = 10.0
"""Seconds without an answer after which the head is gone: it may be restarted, or the network be slow."""


@contextmanager
def guarded(gone: Callable[[], None]) -> Iterator[None]:
    """Call `gone`, in a thread, when the head of the cluster that Ray is connected to does not answer any more. It is to end
    the process: Ray cannot be left in another way."""
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
    """Whether anybody listens at host:port."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE / 2):
            return True
    except OSError:
        return False
