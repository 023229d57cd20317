"""The feed for data that come one after another from an iterable: its own sequence, its own state, exact resume."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from ganflow.data.base import IterableData
from ganflow.data.drawing import Feed, drawn_fields, stacked
from ganflow.errors import GanflowError

_END = object()


class IterableFeed(Feed):
    """Draws the examples of an iterable in its sequence, which begins again where it ends: an epoch's last examples and the next
    one's first share a batch.

    The iterable's state is all the state there is. After an error while drawing, only `load_state` makes it draw again.

    Args:
        data, batch_size, device, dtype, channels_last, share, fields: as for `ganflow.data.feed.feed`.
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
