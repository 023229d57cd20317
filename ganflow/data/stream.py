"""The feed for data that is loaded item by item: background threads, one permutation per epoch, exact resume."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from ganflow.data.base import Field, StreamData
from ganflow.data.drawing import Feed, drawn_fields, generator, stacked
from ganflow.errors import GanflowError
from ganflow.processors import cores

Item = dict[str, Tensor]
_AHEAD_BYTES = 2**28  # what items loaded in advance may take


class StreamFeed(Feed):
    """Walks through an endless row of positions: epoch by epoch, each epoch a permutation of the examples.

    Where the walk stands is all the state there is. The permutation depends on (seed, epoch), an item's augmentation
    on (seed, epoch, index), and batches are filled in the order of positions, so neither the threads nor a resume can
    change what is drawn. An epoch's last examples and the next one's first share a batch: no example is dropped.

    Args:
        data, batch_size, seed, device, dtype, channels_last, share, fields: as for `ganflow.data.feed.feed`. Where several
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
