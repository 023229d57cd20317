"""Feeds of streamed and iterable data, and what all feeds share."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from ganflow.contract.data import Data, Field, IterableData, StreamData
from ganflow.errors import GanflowError
from ganflow.machine import cores


class Feed(ABC):
    """An endless, reproducible source of real batches."""

    @abstractmethod
    def draw(self, k: int) -> dict[str, Tensor]:
        """k independent batches: one tensor (k, batch_size, *shape) per field, on the feed's device, in its dtype. Where
        the feed is one of several workers', only its share of every batch."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """All that is needed to go on bit for bit: small CPU tensors and plain values, nested as `ganflow.engine.state.flatten`
        takes them. Later draws leave it as it is."""

    @abstractmethod
    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from where `state()` was taken.

        Raises:
            GanflowError: the state is of another kind of feed or of another kind of device.
        """

    def close(self) -> None:  # noqa: B027  (most feeds hold nothing)
        """Let go of threads. Nothing can be drawn afterwards."""


def drawn_fields(data: Data, fields: Collection[str] | None) -> dict[str, Field]:
    """The fields that are drawn, in the data's order; None means all."""
    if unknown := set(fields or ()) - set(data.fields):
        raise KeyError(f"data {data.name} has no field {', '.join(sorted(unknown))}; it has {', '.join(data.fields)}")
    return {name: field for name, field in data.fields.items() if fields is None or name in fields}


def stacked(
    data: Data,
    name: str,
    items: Sequence[Mapping[str, Tensor]],
    device: torch.device,
    dtype: torch.dtype,
    channels_last: bool,
) -> Tensor:
    """One field of examples that were loaded one by one, (n, *shape): arguments as those of `feed`.

    Raises:
        GanflowError: an example lacks the field, or what it has is no tensor, or has another shape or dtype.
    """
    field = data.fields[name]
    for item in items:
        if problem := _misfit(item, name, field.shape, items[0]):
            raise GanflowError(f"data {data.name} loaded an example {problem}")
    first, cuda = items[0][name], device.type == "cuda"
    host = torch.empty(len(items), *field.shape, dtype=first.dtype, pin_memory=cuda)
    torch.stack([item[name] for item in items], out=host)
    batch = host.to(device, dtype if first.is_floating_point() else None, non_blocking=cuda)
    return batch.contiguous(memory_format=torch.channels_last) if channels_last and field.is_image else batch


def _misfit(item: Any, name: str, shape: tuple[int, ...], first: Any) -> str | None:
    """What is wrong with an example's field `name`, in words; `first`: the example whose dtype all have."""
    if not isinstance(item, Mapping):
        return f"that is a {type(item).__name__}, not a mapping from the names of the fields to tensors"
    if name not in item:
        return f"without the field '{name}' (it has: {', '.join(map(str, item)) or 'nothing'})"
    value = item[name]
    if not isinstance(value, Tensor):
        return f"whose '{name}' is a {type(value).__name__}, not a tensor"
    if tuple(value.shape) != shape:
        return f"whose '{name}' has shape {tuple(value.shape)}; the field has {shape}"
    if value.dtype != first[name].dtype:
        return f"whose '{name}' is {value.dtype}; another one's is {first[name].dtype}"
    return None


def generator(*key: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator that depends on `key` alone, and shares no stream with one that is seeded plainly
    with the run's seed (the prior's), so that examples and z are independent."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=4).digest()  # torch's CPU generator uses 32 bits of a seed
    return torch.Generator(device).manual_seed(int.from_bytes(digest, "big"))


_END = object()


class IterableFeed(Feed):
    """Draws the examples of an iterable in its sequence, which begins again where it ends: an epoch's last examples and the next
    one's first share a batch.

    The iterable's state is all the state there is. After an error while drawing, only `load_state` makes it draw again.

    Args:
        data, batch_size, device, dtype, channels_last, share, fields: as for `ganflow.engine.feed.feed`.
    """

    def __init__(
        self,
        data: IterableData,
        batch_size: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        channels_last: bool = False,
        share: Sequence[int] | None = None,
        fields: Collection[str] | None = None,
    ) -> None:
        self._data, self._batch_size, self._fields = data, batch_size, drawn_fields(data, fields)
        self._made = torch.device(device), dtype, channels_last
        self._share = frozenset(range(batch_size) if share is None else share)
        self._iterator: Iterator[Mapping[str, Tensor]] | None = None

    def draw(self, k: int) -> dict[str, Tensor]:
        """k batches.

        Raises:
            GanflowError: the iteration gives no examples, or one that does not fit the fields.
        """
        items = []
        for i in range(k * self._batch_size):
            item = self._next()
            if i % self._batch_size in self._share:
                items.append(item)
        return {
            name: stacked(self._data, name, items, *self._made).view(k, -1, *field.shape)
            for name, field in self._fields.items()
        }

    def _next(self) -> Mapping[str, Tensor]:
        """The next example, of the next iteration where one ends. What `load_state` went on with may have been at its end."""
        for _ in range(2):
            if self._iterator is None:
                self._iterator = iter(self._data)
            item: Any = next(self._iterator, _END)
            if item is not _END:
                found: Mapping[str, Tensor] = item
                return found
            self._iterator = None
        raise GanflowError(f"data {self._data.name} gives no examples: its iteration ends at once, and does so again")

    def state(self) -> dict[str, Any]:
        return {"iterable": deepcopy(self._data.state_dict())}

    def load_state(self, state: dict[str, Any]) -> None:
        if "iterable" not in state:
            raise GanflowError("the checkpoint was saved with data of another kind and cannot go on with those of an iterable")
        self.close()  # first: what a generator does when it is closed must not change what is loaded
        self._data.load_state_dict(deepcopy(state["iterable"]))

    def close(self) -> None:
        self._iterator = None


Item = dict[str, Tensor]
_AHEAD_BYTES = 2**28  # what items loaded in advance may take


class StreamFeed(Feed):
    """Walks through an endless row of positions: epoch by epoch, each epoch a permutation of the examples.

    Where the walk stands is all the state there is. The permutation depends on (seed, epoch), an item's augmentation
    on (seed, epoch, index), and batches are filled in the order of positions, so neither the threads nor a resume can
    change what is drawn. An epoch's last examples and the next one's first share a batch: no example is dropped.

    Args:
        data, batch_size, seed, device, dtype, channels_last, share, fields: as for `ganflow.engine.feed.feed`. Where several
            workers share the batches, nobody waits for what others load: the place of an example that cannot be loaded is taken
            by another one of this worker's, not by the row's next.
        threads: how many load; by default one per core that this process may use, eight at most.
    """

    def __init__(
        self,
        data: StreamData,
        batch_size: int,
        seed: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        channels_last: bool = False,
        threads: int | None = None,
        share: Sequence[int] | None = None,
        fields: Collection[str] | None = None,
    ) -> None:
        self._data, self._batch_size, self._seed = data, batch_size, seed
        self._fields = drawn_fields(data, fields)
        self._device, self._dtype, self._channels_last = torch.device(device), dtype, channels_last
        self._pool = ThreadPoolExecutor(threads or min(8, cores()), thread_name_prefix="ganflow-data")
        self._share = frozenset(range(batch_size) if share is None else share)
        self._position = self._began = 0  # of the next item to be drawn, and of a draw's first
        # (example, its item; None for another worker's) at _position, _position + 1, …
        self._ahead: deque[tuple[int, Future[Item | None] | None]] = deque()
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)
        self._left_out: set[int] = set()  # examples that could not be loaded
        item_bytes = sum(field.blank(1).nbytes for field in data.fields.values())
        self._most_ahead = max(batch_size, _AHEAD_BYTES // max(item_bytes, 1))

    def draw(self, k: int) -> dict[str, Tensor]:
        """k batches. Errors of `data.load` surface here, and leave the feed where it was before the draw.

        Raises:
            GanflowError: none of the examples can be loaded.
        """
        start, wanted = self._position, k * self._batch_size
        try:
            ahead = min(wanted, self._most_ahead)
            if len(self._share) < self._batch_size:
                items = self._shared([self._take(ahead) for _ in range(wanted)])
            else:
                items = [self._next(ahead) for _ in range(wanted)]
        except BaseException:  # Ctrl-C too: what was taken from the row is drawn again
            self._go_to(start)
            raise
        return {name: self._stack(name, field, items, k) for name, field in self._fields.items()}

    def _next(self, ahead: int) -> Item:
        """The next item that can be loaded; as many as `ahead` are then on their way."""
        while len(self._left_out) < self._data.size:
            item = self._take(ahead)
            if item is not None:
                return item
        raise self._none()

    def _take(self, ahead: int) -> Item | None:
        """The next position's item; None where it cannot be loaded or is another worker's."""
        while len(self._ahead) <= ahead:
            position = self._position + len(self._ahead)
            index, rng = self._at(position)
            mine = (position - self._began) % self._batch_size in self._share
            self._ahead.append((index, self._pool.submit(self._data.load, index, rng) if mine else None))
        index, future = self._ahead.popleft()
        item = future.result() if future else None
        self._position += 1
        if future and item is None:
            self._left_out.add(index)
        return item

    def _shared(self, items: list[Item | None]) -> list[Item]:
        """This worker's of all items of a draw, those that could not be loaded replaced by others."""
        mine = [item for place, item in enumerate(items) if place % self._batch_size in self._share]
        loaded = [item for item in mine if item is not None]
        if not loaded:
            raise self._none()
        return [item if item is not None else loaded[place % len(loaded)] for place, item in enumerate(mine)]

    def _none(self) -> GanflowError:
        return GanflowError(f"none of the {self._data.size} examples of data {self._data.name} can be loaded")

    def _at(self, position: int) -> tuple[int, torch.Generator]:
        """The example at a position of the endless row, and the source of its augmentation."""
        epoch, place = divmod(position, self._data.size)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, torch.randperm(self._data.size, generator=generator(self._seed, epoch))
        index = int(self._order[place])
        return index, generator(self._seed, epoch, index)

    def _stack(self, name: str, field: Field, items: list[Item], k: int) -> Tensor:
        batch = stacked(self._data, name, items, self._device, self._dtype, self._channels_last)
        return batch.view(k, -1, *field.shape)

    def state(self) -> dict[str, Any]:
        return {"position": torch.tensor(self._position)}

    def load_state(self, state: dict[str, Any]) -> None:
        if "position" not in state:
            raise GanflowError(
                "the checkpoint was saved with data of another kind (in memory, or of an iterable) and cannot go on with data "
                "that is streamed"
            )
        self._go_to(int(state["position"]))

    def _go_to(self, position: int) -> None:
        for _, future in self._ahead:
            if future:
                future.cancel()
        self._ahead.clear()
        self._position = self._began = position

    def close(self) -> None:
        self._go_to(self._position)
        self._pool.shutdown(wait=True, cancel_futures=True)
