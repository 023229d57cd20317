"""Feeds: what the trainer draws real batches from."""

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

from ganflow.contract.data import Data, IterableData, StreamData, TensorData
from ganflow.contract.examples import StoredExamples
from ganflow.engine.permutation import Permutation
from ganflow.errors import GanflowError
from ganflow.machine import readers

Item = Mapping[str, Tensor]


class Feed(ABC):
    """Endless, reproducible source of real batches.

    Args:
        data: what is drawn from.
        batch_size: examples per batch.
        seed: fixes the sequence of examples and their augmentation; an iterable has its own.
        device: where batches are wanted.
        dtype: of floating-point fields; others keep theirs.
        channels_last: whether every drawn batch (draw["real"][i]) of images lies channels-last in memory.
        share: positions in every batch whose examples are drawn, the others being other workers'; None for all.
        fields: names of the fields that are drawn; None for all. The others change nothing of what is drawn of these.

    Raises:
        KeyError: the data have no such field.
    """

    def __init__(
        self,
        data: Data,
        batch_size: int,
        seed: int = 0,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        channels_last: bool = False,
        share: Sequence[int] | None = None,
        fields: Collection[str] | None = None,
    ) -> None:
        if unknown := set(fields or ()) - set(data.fields):
            raise KeyError(f"data {data.name} has no field {', '.join(sorted(unknown))}; it has {', '.join(data.fields)}")
        self.fields = {name: field for name, field in data.fields.items() if fields is None or name in fields}
        self.batch_size, self.seed, self.device, self.dtype = batch_size, seed, torch.device(device), dtype
        self.channels_last, self.share = channels_last, range(batch_size) if share is None else share
        # a range is never listed: the batch may be far too large
        self._name, self._mine = data.name, self.share if isinstance(self.share, range) else frozenset(self.share)

    @abstractmethod
    def draw(self, k: int) -> dict[str, Tensor]:
        """k independent batches: one tensor (k, batch_size, *shape) per field, on the feed's device, in its dtype. Where
        the feed is one of several workers', only its share of every batch.

        Raises:
            GanflowError: no example can be loaded, or one does not fit the fields.
        """

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

    def reseed(self, seed: int) -> None:
        """Go on with the sequence of another seed, from its beginning. An iterable, which this seed does not shuffle, goes on."""
        self.seed = seed

    def close(self) -> None:  # noqa: B027  (most feeds hold nothing)
        """Let go of threads. Nothing can be drawn afterwards."""

    def _stack(self, items: Sequence[Item], k: int) -> dict[str, Tensor]:
        """k batches of examples that were loaded one by one, (k, n, *shape)."""
        batches, cuda = {}, self.device.type == "cuda"
        for name, field in self.fields.items():
            for item in items:
                if problem := _misfit(item, name, field.shape, items[0]):
                    raise GanflowError(f"data {self._name} loaded an example {problem}")
            first = items[0][name]
            host = torch.empty(len(items), *field.shape, dtype=first.dtype, pin_memory=cuda)
            torch.stack([item[name] for item in items], out=host)
            batch = host.to(self.device, self.dtype if first.is_floating_point() else None, non_blocking=cuda)
            if self.channels_last and field.is_image:
                batch = batch.contiguous(memory_format=torch.channels_last)
            batches[name] = batch.view(k, -1, *field.shape)
        return batches


def _misfit(item: Any, name: str, shape: tuple[int, ...], first: Any) -> str | None:
    """The problem with an example's field `name`; `first`: the example whose dtype all have."""
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


def keyed_generator(*key: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator that depends on `key` alone, and shares no stream with one that is seeded plainly
    with the run's seed (the prior's), so that examples and z are independent."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=4).digest()  # torch's CPU generator uses 32 bits of a seed
    return torch.Generator(device).manual_seed(int.from_bytes(digest, "big"))


class ResidentFeed(Feed):
    """Samples of tensors that live on the device, uniform with replacement, as Algorithm 1 of WGAN draws them.

    One draw is one `randint` (one per field, where they are not paired) and one `index_select` per drawn field, whatever k: a
    few microseconds on a CPU. The indices come from a generator of this feed's, on the device, so the sequence is the same on
    every run on that kind of device.
    """

    def __init__(self, data: TensorData, *arguments: Any, **named: Any) -> None:
        super().__init__(data, *arguments, **named)
        self._size, self._paired = data.size, data.paired
        whole = len(self._mine) == self.batch_size
        self._columns = None if whole else torch.tensor(list(self.share), device=self.device)
        self._generator = keyed_generator(self.seed, device=self.device)
        self._permuted = {name for name, field in self.fields.items() if self.channels_last and field.is_image}
        self._sizes = {name: len(tensor) for name, tensor in data.train.items()}
        self._tensors: dict[str, Tensor] = {}
        self._stored: dict[str, StoredExamples] = {}
        for name in self.fields:
            train = data.train[name]
            if isinstance(train, StoredExamples):
                self._stored[name] = train.to(self.device) if self._has_room(train.stored) else train
                continue
            moved = train.to(self.device, self.dtype if train.is_floating_point() else None)
            # Stored with channels last as its last dimension: rows are picked whole, and a view turns them round.
            self._tensors[name] = (moved.permute(0, 2, 3, 1) if name in self._permuted else moved).contiguous()

    def draw(self, k: int) -> dict[str, Tensor]:
        batches: dict[str, Tensor] = {}
        shared = self._rows(k, self._size) if self._paired else None
        for name, size in self._sizes.items():
            rows = self._rows(k, size) if shared is None else shared  # of fields that are not drawn, too: for the rest's sake
            if (stored := self._stored.get(name)) is not None:
                batches[name] = self._made(stored, rows, k)
            if (tensor := self._tensors.get(name)) is None:
                continue
            picked = tensor.index_select(0, rows).view(k, len(rows) // k, *tensor.shape[1:])
            batches[name] = picked.permute(0, 1, 4, 2, 3) if name in self._permuted else picked
        return batches

    def _made(self, stored: StoredExamples, rows: Tensor, k: int) -> Tensor:
        """k batches of examples that stay in their type until they are drawn."""
        made = stored.read(rows)
        made = made.to(self.device, self.dtype if made.is_floating_point() else None)
        if self.channels_last and made.dim() == 4:
            made = made.contiguous(memory_format=torch.channels_last)
        return made.view(k, len(rows) // k, *made.shape[1:])

    def _has_room(self, stored: Tensor) -> bool:
        """True where a GPU has room for a tensor twice; for others rows are picked on the CPU. What is on the CPU stays where it
        is, in a file if it is mapped from one."""
        return self.device.type == "cuda" and 2 * stored.nbytes <= torch.cuda.mem_get_info(self.device)[0]

    def reseed(self, seed: int) -> None:
        super().reseed(seed)
        self._generator = keyed_generator(seed, device=self.device)

    def _rows(self, k: int, size: int) -> Tensor:
        """Indices of this worker's examples in k batches out of `size`."""
        rows = torch.randint(size, (k * self.batch_size,), generator=self._generator, device=self.device)
        return rows if self._columns is None else rows.view(k, -1)[:, self._columns].reshape(-1)

    def state(self) -> dict[str, Any]:
        return {"generator": self._generator.get_state()}

    def load_state(self, state: dict[str, Any]) -> None:
        try:
            self._generator.set_state(state["generator"].cpu())
        except (KeyError, RuntimeError) as error:
            raise GanflowError(
                "the checkpoint's data order cannot be continued here: it was saved for data of another kind (not in "
                f"memory), or on another kind of device than {self.device.type}; resume with the data and device it had"
            ) from error


_END = object()


class IterableFeed(Feed):
    """Examples of an iterable in its sequence, which begins again where it ends: an epoch's last examples and the next
    one's first share a batch.

    The iterable's state is all the state there is. After an error while drawing, only `load_state` makes it draw again.
    """

    def __init__(self, data: IterableData, *arguments: Any, **named: Any) -> None:
        super().__init__(data, *arguments, **named)
        self._data = data
        self._iterator: Iterator[Item] | None = None

    def draw(self, k: int) -> dict[str, Tensor]:
        drawn = ((i, self._next()) for i in range(k * self.batch_size))
        return self._stack([item for i, item in drawn if i % self.batch_size in self._mine], k)

    def _next(self) -> Item:
        """The next example, of the next iteration where one ends. What `load_state` went on with may have been at its end."""
        for _ in range(2):
            if self._iterator is None:
                self._iterator = iter(self._data)
            item: Any = next(self._iterator, _END)
            if item is not _END:
                found: Item = item
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


_AHEAD_BYTES = 2**28  # what items loaded in advance may take
_BLOCK = 4096  # positions of an epoch whose examples are worked out at once


class StreamFeed(Feed):
    """Walk through an endless row of positions: epoch by epoch, each epoch a permutation of the examples.

    Where the walk stands is all the state there is. The permutation depends on (seed, epoch), an item's augmentation
    on (seed, epoch, index), and batches are filled in the order of positions, so neither the threads nor a resume can
    change what is drawn. An epoch's last examples and the next one's first share a batch: no example is dropped.

    Where several workers share the batches, nobody waits for what others load: an example that cannot be loaded is replaced
    by another one of this worker's, not by the row's next.

    Args:
        threads: how many load; by default one per core that this process may use, 16 at most.
    """

    def __init__(self, data: StreamData, *arguments: Any, threads: int | None = None, **named: Any) -> None:
        super().__init__(data, *arguments, **named)
        self._data = data
        self._pool = ThreadPoolExecutor(threads or readers(), thread_name_prefix="ganflow-data")
        self._position = self._began = 0  # of the next item to be drawn, and of a draw's first
        # (example, its item; None for another worker's) at _position, _position + 1, …
        self._ahead: deque[tuple[int, Future[Any] | None]] = deque()
        self._epoch, self._permutation, self._block = -1, Permutation(0, torch.Generator()), (0, torch.empty(0))
        self._left_out: set[int] = set()  # examples that could not be loaded
        item_bytes = sum(field.blank(1).nbytes for field in data.fields.values())
        self._most_ahead = max(self.batch_size, _AHEAD_BYTES // max(item_bytes, 1))

    def draw(self, k: int) -> dict[str, Tensor]:  # an error of `data.load` leaves the feed where it was before
        start, wanted = self._position, k * self.batch_size
        try:
            ahead = min(wanted, self._most_ahead)
            if len(self._mine) < self.batch_size:
                items = self._shared([self._advance(ahead) for _ in range(wanted)])
            else:
                items = [self._next(ahead) for _ in range(wanted)]
        except BaseException:  # Ctrl-C too: what was taken from the row is drawn again
            self._go_to(start)
            raise
        return self._stack(items, k)

    def _next(self, ahead: int) -> Item:
        """The next item that can be loaded; as many as `ahead` are then on their way."""
        while len(self._left_out) < self._data.size:
            item = self._advance(ahead)
            if item is not None:
                return item
        raise self._none()

    def _advance(self, ahead: int) -> Item | None:
        """The next position's item; None where it cannot be loaded or is another worker's."""
        while len(self._ahead) <= ahead:
            position = self._position + len(self._ahead)
            epoch, row = divmod(position, self._data.size)
            if epoch != self._epoch:
                self._epoch = epoch
                self._permutation = Permutation(self._data.size, keyed_generator(self.seed, epoch))
                self._block = (row, torch.empty(0))
            if not self._block[0] <= row < self._block[0] + len(self._block[1]):
                self._block = (row, self._permutation.part(row, row + _BLOCK))
            index, future = int(self._block[1][row - self._block[0]]), None
            if (position - self._began) % self.batch_size in self._mine:
                future = self._pool.submit(self._data.load, index, keyed_generator(self.seed, epoch, index))
            self._ahead.append((index, future))
        index, future = self._ahead.popleft()
        item = future.result() if future else None
        self._position += 1
        if future and item is None:
            self._left_out.add(index)
        return item

    def _shared(self, items: list[Item | None]) -> list[Item]:
        """This worker's of all items of a draw, those that could not be loaded replaced by others."""
        mine = [item for i, item in enumerate(items) if i % self.batch_size in self._mine]
        loaded = [item for item in mine if item is not None]
        if not loaded:
            raise self._none()
        return [item if item is not None else loaded[i % len(loaded)] for i, item in enumerate(mine)]

    def _none(self) -> GanflowError:
        return GanflowError(f"none of the {self._data.size} examples of data {self._data.name} can be loaded")

    def state(self) -> dict[str, Any]:
        return {"position": torch.tensor(self._position)}

    def load_state(self, state: dict[str, Any]) -> None:
        if "position" not in state:
            raise GanflowError("the checkpoint was saved with data of another kind (in memory, or of an iterable) and cannot go "
                               "on with data that is streamed")  # fmt: skip
        position = int(state["position"])
        if not 0 <= position < 2**62:
            raise ValueError(f"the data's position is {position}")
        self._go_to(position)

    def reseed(self, seed: int) -> None:
        super().reseed(seed)
        self._epoch = -1
        self._go_to(0)

    def _go_to(self, position: int) -> None:
        for _, future in self._ahead:
            if future:
                future.cancel()
        self._ahead.clear()
        self._position = self._began = position

    def close(self) -> None:
        self._go_to(self._position)
        self._pool.shutdown(wait=True, cancel_futures=True)


def feed(data: Data, *arguments: Any, **named: Any) -> Feed:
    """The feed for this kind of data; arguments as of `Feed`.

    A TensorData is sampled on the device, with replacement; of a StreamData each example is drawn once per epoch; an IterableData
    is drawn in its sequence.

    Raises:
        GanflowError: there are no training examples.
        KeyError: the data have no such field.
    """
    if data.size is not None and data.size < 1:
        raise GanflowError(f"data {data.name} has no training examples")
    if isinstance(data, TensorData):
        return ResidentFeed(data, *arguments, **named)
    if isinstance(data, StreamData):
        return StreamFeed(data, *arguments, **named)
    if isinstance(data, IterableData):
        return IterableFeed(data, *arguments, **named)
    raise TypeError(f"data {data.name} is a {type(data).__name__}, neither a TensorData, a StreamData nor an IterableData")
