"""How the workers of one run find each other, and learn who has left and why: a small store of words at rank 0."""

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
LAST_WORDS = 5.0  # seconds in which workers say why they left
LOST = "lost"  # the last word of a worker that left because another one had


class Lost(GanflowError):
    """A worker died or cannot be reached. Nothing is wrong with the recipe: the run can go on from its checkpoint."""

    exit_code = 1


class Failed(GanflowError):
    """Something went wrong in another worker, which said what."""


class Elsewhere(Exception):
    """A traceback in another process, as text."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class Meeting:
    """The place where workers meet, as one of them sees it.

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
    def host(cls, size: int, host: str) -> Meeting:
        """Rank 0's, which is open to the others from now on."""
        family = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, 0), family=family)
        port = listening.getsockname()[1]
        meeting = cls(0, size, f"{host}:{port}")
        fd = listening.detach()
        meeting._store = c10d.TCPStore(host, port, None, True, CONNECT, wait_for_workers=False, master_listen_fd=fd)
        return meeting

    def gather(self, word: str) -> list[str]:
        """Wait until all have come; returns the word that each brought.

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

    def store(self, patience: timedelta) -> Any:
        """The connection to rank 0's words; RuntimeError where there is none."""
        if self._store is None:
            host, _, port = self.address.rpartition(":")
            self._store = c10d.TCPStore(host, int(port), None, False, patience, wait_for_workers=False)
        return self._store

    def tell(self, said: str, trace: str = "") -> None:
        """Last words, for rank 0 to pass on."""
        with suppress(RuntimeError):  # it is gone, too
            self.store(timedelta(seconds=5)).set(f"end/{self.rank}", json.dumps([said, trace]))

    def explain(self, error: RuntimeError) -> GanflowError:
        """Why a connection broke: rank 0 looks who has died, and listens to what the others have to say."""
        why = self._why(error)
        why.__cause__ = why.__cause__ or error
        return why

    def close(self) -> None:
        self._store = None

    @property
    def own_address(self) -> str:
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
            gone = self._gone() if self.rank == 0 else None
            if gone:
                raise gone
            if time.monotonic() > deadline:
                raise Lost(f"worker {missing[0]} of {self.size} did not come within {ARRIVAL:.0f} seconds")
            time.sleep(0.02)

    def _why(self, error: RuntimeError) -> GanflowError:
        if self.rank:
            self.tell(LOST)
            return Lost("the connection to the other workers broke")
        deadline = time.monotonic() + LAST_WORDS
        while time.monotonic() < deadline:
            gone = self._gone()
            if gone:
                return gone
            time.sleep(0.05)
        words = self._words()
        silent = [f"worker {rank}" for rank in range(1, self.size) if rank not in words]
        if not silent:
            return Lost(f"the connection between the workers broke: {first_line(error)}")
        return Lost(f"{' and '.join(silent)} of {self.size} died, or cannot be reached any more")

    def _gone(self) -> GanflowError | None:
        """Who has left for a reason of its own."""
        died = self.watch()  # before the words: who has died by now has said them
        for rank, (said, trace) in self._words().items():
            if said != LOST:
                error = Failed(f"worker {rank} of {self.size}: {said}")
                error.__cause__ = Elsewhere(trace) if trace else None
                return error
        for rank, how in died.items():
            return Lost(f"worker {rank} of {self.size} {how}")
        return None

    def _words(self) -> dict[int, tuple[str, str]]:
        ranks = [rank for rank in range(1, self.size) if self._store.check([f"end/{rank}"])]
        return {rank: tuple(json.loads(self._store.get(f"end/{rank}"))) for rank in ranks}
