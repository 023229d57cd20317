"""Memory that is free, and what is refused because it is not: networks and tensors, before they are made."""

from __future__ import annotations

import copy
import logging
import math
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ganflow import machine
from ganflow.engine.compat import TO_COPY, DispatchMode, tree_leaves
from ganflow.errors import GanflowError
from ganflow.machine import size

LARGE = 2**26
"""Bytes: of one tensor, or of several together, for which the memory that is free is read."""


def free(device: torch.device) -> int | None:
    """Bytes that are free: of a GPU, or of the machine for others; None where that is not known."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + int(kept)
    return machine.available() if device.type == "cpu" else None


def check_room(wanted: int, what: str, advice: str, device: torch.device | str = "cpu") -> None:
    """Check that so many bytes are free.

    Args:
        what: is to be made, at the beginning of a sentence.
        advice: its end.

    Raises:
        GanflowError: they are not.
    """
    if wanted < LARGE or (room := free(torch.device(device))) is None or wanted <= room:
        return
    raise GanflowError(f"{what} would take {size(wanted)} of memory, and {size(room)} are free; {advice}")


@contextmanager
def counted_memory(what: str, advice: str) -> Iterator[None]:
    """While something is made: tensors for which there is no room are refused before they are made.

    Raises:
        GanflowError: one is larger than what is free, or nothing is left.
    """
    with _Guard(what, advice):
        yield


class Meter(DispatchMode):
    """Mode that counts the bytes of the tensors that are made while it lasts, and are alive.

    Args:
        known: tensors that were there before.

    Attributes:
        line: bytes after each operation.
    """

    def __init__(self, known: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.line: list[int] = []
        self._known = {t.untyped_storage()._cdata for t in known}
        self._alive: dict[int, int] = {}
        self._total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for t in tree_leaves(made):
            if isinstance(t, Tensor):
                self._count(t)
        self.line.append(self._total)
        return made

    def _count(self, t: Tensor) -> None:
        storage = t.untyped_storage()
        key = storage._cdata
        if key in self._known or key in self._alive:
            return
        self._alive[key] = storage.nbytes()
        self._total += self._alive[key]
        weakref.finalize(storage, self._forget, key).atexit = False

    def _forget(self, key: int) -> None:
        self._total -= self._alive.pop(key, 0)


def check_call(network: nn.Module, call: Callable[..., Tensor], inputs: dict[str, Tensor]) -> None:
    """Check that what a network makes of large inputs fits in the memory that is free, by a copy of it without numbers. One that
    reads numbers, or says where its tensors are, is not checked.

    Args:
        call: of a network and inputs.

    Raises:
        MemoryError: it does not.
    """
    device = next(network.parameters()).device
    if sum(t.numel() * t.element_size() for t in inputs.values()) < LARGE // 16 or (room := free(device)) is None:
        return
    try:
        probe = copy.deepcopy(network).to("meta")
        with torch.inference_mode(), Meter([*probe.parameters(), *probe.buffers()]) as meter:
            call(probe, {name: t.to("meta") for name, t in inputs.items()})
    except Exception as error:
        logging.getLogger("ganflow").info("the memory of a call is not estimated: %s", error)
        return
    if max(meter.line, default=0) > room:
        raise MemoryError


class _Guard(DispatchMode):
    def __init__(self, what: str, advice: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._what, self._advice, self._since = what, advice, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        wanted = _asked(func, args, kwargs)
        self._since += wanted
        if self._since >= LARGE:
            self._since = 0
            room = machine.available()
            if room is not None and wanted > room - machine.ROOM // 4:
                what = f"{self._what} would take {size(wanted)} of memory for one of its tensors"
                raise GanflowError(f"{what}, and this machine has {size(room)} free; {self._advice}")
        return func(*args, **kwargs)


def _asked(func: Any, args: Any, kwargs: Any) -> int:
    """Bytes of main memory that an operation is about to ask for, of those that make new tensors; 0 of others."""
    first, device = (args[0] if args else None), kwargs.get("device")
    if device is not None and torch.device(device).type != "cpu":
        return 0
    if isinstance(first, (list, tuple)) and first:
        if all(isinstance(n, int) for n in first):
            return math.prod(first) * (kwargs.get("dtype") or torch.get_default_dtype()).itemsize
        if all(isinstance(t, Tensor) for t in first) and func in (torch.ops.aten.cat.default, torch.ops.aten.stack.default):
            return sum(t.numel() * t.element_size() for t in first)
    if isinstance(first, Tensor) and func in _COPIES:
        return first.numel() * (kwargs.get("dtype") or first.dtype).itemsize
    return 0


_COPIES = frozenset(
    {
        torch.ops.aten.clone.default,
        torch.ops.aten.zeros_like.default,
        torch.ops.aten.ones_like.default,
        torch.ops.aten.empty_like.default,
        TO_COPY,
    }
)
