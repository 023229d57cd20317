"""Several workers that train one game together, each on its share of every batch.

Every worker has the same players in the same state. A batch of B examples is cut into equal shares; gradients are
averaged before they are used, so optimizers, clipping and averages do the same everywhere, and what comes out is what
one worker makes of the whole batch. Rank 0 decides when to stop; it alone touches files.

torch's process groups are used directly, not by `init_process_group`, which there can be only one of in a process.
"""

from __future__ import annotations

import hashlib
import random
import socket
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor

from ganflow.engine.compat import c10d, gloo_group, nccl_group
from ganflow.engine.rendezvous import CONNECT, Rendezvous
from ganflow.errors import GanflowError

SLICE = timedelta(seconds=0.5)  # signals are heard at least so often while a worker waits
DAY = timedelta(days=1)


class Group:
    """The workers of one run, as one of them sees them.

    Args:
        rank: of this worker, 0 … size − 1.
        size: number of workers.
        address: "host:port", where rank 0 is found.
        device: what this worker computes on ("cuda:1"); None for what the recipe says.
        threads: of this worker's CPU computations; 0 for what the recipe says.

    Rank 0 makes its own by `Group.host`.
    """

    def __init__(self, rank: int, size: int, address: str, *, device: str | None = None, threads: int = 0) -> None:
        self.rank, self.size, self.address, self.device, self.threads = rank, size, address, device, threads
        self.rendezvous = Rendezvous(rank, size, address)
        self._gloo: Any = None  # for what lies in main memory
        self._nccl: Any = None  # between GPUs

    @classmethod
    def host(cls, size: int, host: str = "127.0.0.1", *, device: str | None = None, threads: int = 0) -> Group:
        """Rank 0's, which the others find at `address` from now on.

        Args:
            host: an address of this machine that the others can reach.
        """
        rendezvous = Rendezvous.host(size, host)
        group = cls(0, size, rendezvous.address, device=device, threads=threads)
        group.rendezvous = rendezvous
        return group

    def __deepcopy__(self, memo: dict[int, Any]) -> Group:
        return self  # a copied network belongs to the same workers

    def share(self, n: int, parts: int = 1) -> list[int]:
        """This worker's of n examples, an equal share of each of so many micro-batches."""
        each = n // (self.size * parts)
        firsts = [(part * self.size + self.rank) * each for part in range(parts)]
        return [first + i for first in firsts for i in range(each)]

    def join(self, device: torch.device) -> None:
        """Connect to the others; waits until all are there.

        Raises:
            Lost: one did not come, or died on the way.
            Failed: one could not begin.
            GanflowError: the others compute on another kind of device.
        """
        devices = self.rendezvous.gather(_identity(device))
        types = [identity.split()[0] for identity in devices]
        if len(set(types)) > 1:
            listed = ", ".join(f"worker {rank} on {type}" for rank, type in enumerate(types))
            raise GanflowError(f"workers of one run must compute on the same kind of device, not {listed}")
        try:
            store = self.rendezvous.store(CONNECT)
            self._gloo = gloo_group(store, self.rank, self.size, self.rendezvous.local_address, CONNECT)
            if device.type == "cuda" and len(set(devices)) == self.size:  # NCCL wants a GPU for each
                torch.cuda.set_device(device)
                self._nccl = nccl_group(store, self.rank, self.size)
        except RuntimeError as error:
            raise self.rendezvous.explain(error)  # noqa: B904  (it has its cause)

    def mean(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The average over all workers of each tensor, which may be overwritten; the same bits everywhere."""
        line = tensors[0].reshape(-1) if len(tensors) == 1 else torch.cat([t.reshape(-1) for t in tensors])
        line = self._sum(line.contiguous()).div_(self.size)
        return [piece.view(t.shape) for piece, t in zip(line.split([t.numel() for t in tensors]), tensors, strict=True)]

    def rows(self, t: Tensor) -> Tensor:
        """Every worker's tensor: shape (size, *t.shape). As often differentiable as one likes: a gradient is that of the
        sum of all workers' objectives."""
        padded = [t if rank == self.rank else torch.zeros_like(t) for rank in range(self.size)]
        summed: Tensor = _Sum.apply(torch.stack(padded), self)  # type: ignore[no-untyped-call]
        return summed

    def first(self, number: int) -> int:
        """Rank 0's number, on every worker."""
        t = torch.tensor([number])
        self._broadcast(t)
        return int(t.item())

    def send(self, data: bytes) -> bytes:
        """Rank 0's bytes, on every worker."""
        length = torch.tensor([len(data)])
        self._broadcast(length)
        there = bytearray(data) if self.rank == 0 else bytearray(int(length))
        self._broadcast(torch.frombuffer(there, dtype=torch.uint8))
        return bytes(there)

    def gather(self, t: Tensor) -> list[Tensor]:
        """Every worker's tensor, all of one shape and dtype, in main memory: on rank 0; nothing on the others."""
        there, options = t.cpu().contiguous(), c10d.GatherOptions()
        options.rootRank, options.timeout = 0, DAY
        rows = [[torch.empty_like(there) for _ in range(self.size)]] if self.rank == 0 else []
        self._wait(self._gloo.gather(rows, [there], options))
        return rows[0] if rows else []

    def reseed(self, seed: int, round: int) -> None:
        """Begin a round's random numbers (dropout, ε, augmentation). Rank 0 goes on with the run's; every other
        worker's follow from (seed, round, rank), so that they differ, and are in no checkpoint."""
        if self.rank == 0:
            return
        import numpy as np

        digest = hashlib.blake2b(repr((seed, round, self.rank)).encode(), digest_size=4).digest()
        number = int.from_bytes(digest, "big")  # torch's CPU generator uses 32 bits of a seed
        torch.manual_seed(number)
        random.seed(number)
        np.random.seed(number)

    def close(self) -> None:
        """Leave. The others notice. Where one of them hangs and is waited for, it must be ended first."""
        for group in (self._gloo, self._nccl):
            if group is not None:
                with suppress(RuntimeError):
                    group.abort()
        self._gloo = self._nccl = None
        self.rendezvous.close()

    def _sum(self, t: Tensor) -> Tensor:
        """The sum over all workers; the tensor may be overwritten."""
        if self._nccl is not None and t.device.type == "cuda":
            self._nccl.allreduce([t]).wait()  # the GPU waits, not this thread
            return t
        there = t.cpu()
        options = c10d.AllreduceOptions()
        options.timeout = DAY
        self._wait(self._gloo.allreduce([there], options))
        return there.to(t.device)

    def _broadcast(self, t: Tensor) -> None:
        options = c10d.BroadcastOptions()
        options.rootRank, options.rootTensor, options.timeout = 0, 0, DAY  # as long as rank 0 evaluates and draws
        self._wait(self._gloo.broadcast([t], options))

    def _wait(self, work: Any) -> None:
        """Until it is done; in slices, so that signals are heard in between."""
        while True:
            over = work.is_completed()
            try:
                work.wait(SLICE)
                return
            except RuntimeError as error:
                if over:  # otherwise only the slice was
                    raise self.rendezvous.explain(error)  # noqa: B904  (it has its cause)


class _Sum(torch.autograd.Function):
    """The sum over all workers, of tensors and of gradients."""

    @staticmethod
    def forward(ctx: Any, t: Tensor, group: Group) -> Tensor:
        ctx.group = group
        return group._sum(t.clone(memory_format=torch.contiguous_format))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _Sum.apply(gradients[0], ctx.group), None  # type: ignore[no-untyped-call]


def _identity(device: torch.device) -> str:
    """A device's type, and its identity where several of that type can be."""
    if device.type != "cuda":
        return device.type
    return f"cuda {socket.gethostname()} {torch.cuda.get_device_properties(device).uuid}"
