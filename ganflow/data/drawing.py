"""What all feeds share: the contract, batches out of single examples, and random streams."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ganflow.data.base import Data, Field
from ganflow.errors import GanflowError


class Feed(ABC):
    """An endless, reproducible source of real batches."""

    @abstractmethod
    def draw(self, k: int) -> dict[str, Tensor]:
        """k independent batches: one tensor (k, batch_size, *shape) per field, on the feed's device, in its dtype. Where
        the feed is one of several workers', only its share of every batch."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """All that is needed to go on bit for bit: small CPU tensors and plain values, nested as `ganflow.game.state.flatten`
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
