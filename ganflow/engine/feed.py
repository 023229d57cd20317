"""Feeds: what the trainer draws real batches from."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor

from ganflow.contract.data import Data, IterableData, StreamData, TensorData
from ganflow.engine.stream import Feed, IterableFeed, StreamFeed, drawn_fields, generator
from ganflow.errors import GanflowError


def feed(
    data: Data,
    batch_size: int,
    seed: int,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    channels_last: bool = False,
    share: Sequence[int] | None = None,
    fields: Collection[str] | None = None,
) -> Feed:
    """The feed for this kind of data.

    Args:
        data: a TensorData (sampled on the device, with replacement), a StreamData (each example once per epoch) or an
            IterableData (in its own sequence).
        batch_size: examples per batch.
        seed: fixes the order of examples and their augmentation.
        device: where batches are wanted.
        dtype: of floating-point fields; others keep theirs.
        channels_last: whether every drawn batch (draw["real"][i]) of images lies channels-last in memory.
        share: places in every batch whose examples are drawn, the others being other workers'; None for all.
        fields: which fields are drawn; None for all. The others change nothing of what is drawn of these.

    Raises:
        GanflowError: there are no training examples.
        KeyError: the data have no such field.
    """
    if data.size is not None and data.size < 1:
        raise GanflowError(f"data {data.name} has no training examples")
    if isinstance(data, TensorData):
        return ResidentFeed(data, batch_size, seed, device, dtype, channels_last, share, fields)
    if isinstance(data, StreamData):
        return StreamFeed(data, batch_size, seed, device, dtype, channels_last, share=share, fields=fields)
    if isinstance(data, IterableData):
        return IterableFeed(data, batch_size, device, dtype, channels_last, share, fields)
    raise TypeError(f"data {data.name} is a {type(data).__name__}, neither a TensorData, a StreamData nor an IterableData")


class ResidentFeed(Feed):
    """Samples tensors that live on the device, uniformly with replacement, as Algorithm 1 of WGAN draws them.

    One draw is one `randint` (one per field, where they are not paired) and one `index_select` per drawn field, whatever k: a
    few microseconds on a CPU. The indices come from a generator of this feed's own, on the device, so the order is the same on
    every run on that kind of device.
    """

    def __init__(
        self,
        data: TensorData,
        batch_size: int,
        seed: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        channels_last: bool = False,
        share: Sequence[int] | None = None,
        fields: Collection[str] | None = None,
    ) -> None:
        self._device, self._batch_size = torch.device(device), batch_size
        self._size, self._paired = data.size, data.paired
        self._share = None if share is None else torch.tensor(list(share), device=self._device)
        self._generator = generator(seed, device=self._device)
        drawn = drawn_fields(data, fields)
        self._permuted = {name for name, field in drawn.items() if channels_last and field.is_image}
        self._sizes = {name: len(tensor) for name, tensor in data.train.items()}
        self._tensors = {name: self._resident(name, data.train[name], dtype) for name in drawn}

    def _resident(self, name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
        moved = tensor.to(self._device, dtype if tensor.is_floating_point() else None)
        # Stored with channels last as its last dimension: rows are picked whole, and a view turns them round.
        return (moved.permute(0, 2, 3, 1) if name in self._permuted else moved).contiguous()

    def draw(self, k: int) -> dict[str, Tensor]:
        batches: dict[str, Tensor] = {}
        shared = self._rows(k, self._size) if self._paired else None
        for name, size in self._sizes.items():
            rows = self._rows(k, size) if shared is None else shared  # of fields that are not drawn, too: for the rest's sake
            if (tensor := self._tensors.get(name)) is None:
                continue
            picked = tensor.index_select(0, rows).view(k, len(rows) // k, *tensor.shape[1:])
            batches[name] = picked.permute(0, 1, 4, 2, 3) if name in self._permuted else picked
        return batches

    def _rows(self, k: int, size: int) -> Tensor:
        """This worker's places in k batches out of `size` examples."""
        rows = torch.randint(size, (k * self._batch_size,), generator=self._generator, device=self._device)
        return rows if self._share is None else rows.view(k, -1)[:, self._share].reshape(-1)

    def state(self) -> dict[str, Any]:
        return {"generator": self._generator.get_state()}

    def load_state(self, state: dict[str, Any]) -> None:
        try:
            self._generator.set_state(state["generator"].cpu())
        except (KeyError, RuntimeError) as error:
            raise GanflowError(
                "the checkpoint's data order cannot be continued here: it was saved for data of another kind (not in "
                f"memory), or on another kind of device than {self._device.type}; resume with the data and device it had"
            ) from error
