"""Packed trials: runs that differ in numbers only, played as one batched computation in one process."""

from ganflow.packed.numbers import NotPackable
from ganflow.packed.round import worth_packing
from ganflow.packed.trainer import Member, PackedTrainer

__all__ = ["Member", "NotPackable", "PackedTrainer", "worth_packing"]
