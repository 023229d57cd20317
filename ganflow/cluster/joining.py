"""Connections to Ray: a cluster of this machine, or one that is joined, and whether it is still there."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, chdir, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ganflow import child, machine
from ganflow.cluster import compat
from ganflow.cluster.address import RAY, Address, check_cluster, connected, parse_address
from ganflow.cluster.nodes import Node
from ganflow.errors import GanflowError, first_line
from ganflow.scratch import scratch_folder

EVERY = 1.0
PATIENCE = 10.0
"""Seconds without an answer after which the head is gone: it may be restarted, or the network be slow. As long may the driver's
node be dead by what the head says."""
HEAD = "the Ray cluster is gone"
NODE = "Ray's process for this machine has ended, or was held for dead, as happens where a machine is very busy"
_LONGEST = 30  # characters of a folder under which a socket's path stays below the 107 that it may have
_STORE = 256 * 2**20  # bytes for objects in transit; trials pass their results by their folders


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
        raise ValueError(f"{address} is for jobs: see ganflow.cluster.submit")
    import ray

    if ray.is_initialized():
        yield
        return
    with ExitStack() as held:
        elsewhere = held.enter_context(scratch_folder("driver-"))
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
    """Temporary folder of Ray's sockets, whose paths must be short."""
    base = Path(tempfile.gettempdir())
    if len(str(base)) > _LONGEST:
        base = Path("/tmp")
    with scratch_folder(f"{RAY}{os.getpid()}-", base) as folder:
        yield folder


@contextmanager
def guarded(gone: Callable[[str], None], seen: Callable[[list[Node]], None] = lambda nodes: None) -> Iterator[None]:
    """Watch the connected cluster from a thread, for Ray waits for it without a word and without end.

    Args:
        gone: called with the reason, a part of a sentence, when the cluster can be used no more: its head does not answer, or
            holds this machine's node for dead, which then ends itself. It is to end the process: Ray cannot be left otherwise.
        seen: called with the nodes that are alive, whenever the head says so.
    """
    import ray

    context = ray.get_runtime_context()
    over = threading.Event()
    watch = partial(_watch, context.gcs_address, context.get_node_id(), over, gone, seen)
    thread = threading.Thread(target=watch, name="watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _watch(
    address: str, node: str, over: threading.Event, gone: Callable[[str], None], seen: Callable[[list[Node]], None]
) -> None:
    answered = alive = time.monotonic()
    while not over.wait(EVERY):
        if not answers(address):
            if time.monotonic() - answered > PATIENCE:
                gone(HEAD)
                return
            continue
        answered = time.monotonic()
        try:
            nodes = [Node(**values) for values in compat.living_nodes(PATIENCE / 2)]
        except Exception:  # of Ray's, which has many: the head is busy, and says nothing of any node
            continue
        if any(each.id == node for each in nodes):
            alive = time.monotonic()
            seen(nodes)
        elif time.monotonic() - alive > PATIENCE:
            gone(NODE)
            return


def answers(address: str) -> bool:
    """Return true if anybody listens at host:port."""
    try:
        connected(address, PATIENCE / 2)
        return True
    except OSError:
        return False
