"""Rendezvous of the workers of one run: a store at rank 0, where they find each other and leave the reason why they ended.

torch's TCPStore holds the words; `torch.distributed.rendezvous` would choose the port beforehand, and tells no reasons.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from ganflow.engine.compat import c10d
from ganflow.errors import GanflowError, first_line

ARRIVAL = 300.0  # seconds in which all workers must have come
CONNECT = timedelta(seconds=60)
PARTING = 5.0  # seconds in which workers report why they left
LOST = "lost"  # reported by a worker that left because another one had


class Lost(GanflowError):
    """A worker died or cannot be reached. Nothing is wrong with the recipe: the run can go on from its checkpoint."""

    exit_code = 1


class Failed(GanflowError):
    """Something went wrong in another worker, which reported it."""


class Elsewhere(Exception):
    """A traceback in another process, as text."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class Rendezvous:
    """One worker's side of the store.

    Args:
        rank, size, address: as for Group.

    Attributes:
        watch: on rank 0, says of workers that are known to have died how they did, by rank.
    """

    def __init__(self, rank: int, size: int, address: str) -> None:
        self.rank, self.size, self.address = rank, size, address
        self.watch: Callable[[], dict[int, str]] = dict
        self._store: Any = None

    @classmethod
    def host(cls, size: int, host: str) -> Rendezvous:
        """Rank 0's, which is open to the others from now on."""
        family = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, 0), family=family)
        port = listening.getsockname()[1]
        made = cls(0, size, f"{host}:{port}")
        fd = listening.detach()
        made._store = c10d.TCPStore(host, port, None, True, CONNECT, wait_for_workers=False, master_listen_fd=fd)
        return made

    def gather(self, word: str) -> list[str]:
        """Wait until all have come; returns every worker's word.

        Raises:
            Lost, Failed: one did not come, died, or could not begin.
        """
        try:
            store = self.store(CONNECT)
            store.set(f"here/{self.rank}", word)
            self._wait()
            return [store.get(f"here/{rank}").decode() for rank in range(self.size)]
        except RuntimeError as error:
            raise Lost(f"worker {self.rank} cannot reach worker 0 at {self.address}: {first_line(error)}") from error

    def store(self, timeout: timedelta) -> Any:
        """The connection to rank 0's store; RuntimeError where there is none."""
        if self._store is None:
            host, _, port = self.address.rpartition(":")
            self._store = c10d.TCPStore(host, int(port), None, False, timeout, wait_for_workers=False)
        return self._store

    def report(self, reason: str, trace: str = "") -> None:
        """Leave the reason for ending, for rank 0 to pass on."""
        with suppress(RuntimeError):  # it is gone, too
            self.store(timedelta(seconds=5)).set(f"end/{self.rank}", json.dumps([reason, trace]))

    def explain(self, error: RuntimeError) -> GanflowError:
        """The reason why a connection broke: rank 0 asks who has died, and reads what the others have reported."""
        why = self._why(error)
        why.__cause__ = why.__cause__ or error
        return why

    def close(self) -> None:
        self._store = None

    @property
    def local_address(self) -> str:
        """The address by which this machine is known to rank 0's."""
        host, _, port = self.address.rpartition(":")
        family = socket.getaddrinfo(host, int(port), type=socket.SOCK_DGRAM)[0][0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((host, int(port)))  # sends nothing
            name: str = probe.getsockname()[0]
            return name

    def _wait(self) -> None:
        deadline = time.monotonic() + ARRIVAL
        missing = list(range(self.size))
        while missing := [rank for rank in missing if not self._store.check([f"here/{rank}"])]:
            if self.rank == 0 and (gone := self._gone()):
                raise gone
            if time.monotonic() > deadline:
                raise Lost(f"worker {missing[0]} of {self.size} did not come within {ARRIVAL:.0f} seconds")
            time.sleep(0.02)

    def _why(self, error: RuntimeError) -> GanflowError:
        if self.rank:
            self.report(LOST)
            return Lost("the connection to the other workers broke")
        deadline = time.monotonic() + PARTING
        while time.monotonic() < deadline:
            if gone := self._gone():
                return gone
            time.sleep(0.05)
        reports = self._reports()
        silent = [f"worker {rank}" for rank in range(1, self.size) if rank not in reports]
        if not silent:
            return Lost(f"the connection between the workers broke: {first_line(error)}")
        return Lost(f"{' and '.join(silent)} of {self.size} died, or cannot be reached any more")

    def _gone(self) -> GanflowError | None:
        """The error of a worker that ended because of an error, not because another one did."""
        died = self.watch()  # before the reports: who has died by now has left one
        for rank, (reason, trace) in self._reports().items():
            if reason != LOST:
                error = Failed(f"worker {rank} of {self.size}: {reason}")
                error.__cause__ = Elsewhere(trace) if trace else None
                return error
        return next((Lost(f"worker {rank} of {self.size} {how}") for rank, how in died.items()), None)

    def _reports(self) -> dict[int, tuple[str, str]]:
        ranks = [rank for rank in range(1, self.size) if self._store.check([f"end/{rank}"])]
        return {rank: tuple(json.loads(self._store.get(f"end/{rank}"))) for rank in ranks}
