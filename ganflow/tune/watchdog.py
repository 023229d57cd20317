"""A look, all the time, whether the cluster's head is still there. Where it is not, Ray waits for a minute and then ends the
process without a word: a scheduler that ends all of a job's processes together (SLURM) is not that patient."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
