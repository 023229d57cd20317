"""Shuffled numbers of examples, of which a part can be had without the rest."""

from __future__ import annotations

import torch
from torch import Tensor

LISTED = 2**24
"""Examples up to which a permutation is drawn as a whole."""
_TURNS, _ODD = 6, 0x2545F4914F6CDD1D  # odd, so that no bits are lost by multiplication


class Permutation:
    """The numbers 0 … size − 1 in a random sequence that follows from the generator.

    Up to LISTED it is torch's `randperm`. Beyond, numbers go through a Feistel network of six turns, which is one to one on the
    next power of four, as often as it takes to be below `size` again; nothing is kept but its keys.
    """

    def __init__(self, size: int, generator: torch.Generator) -> None:
        self.size = size
        self._listed = torch.randperm(size, generator=generator) if size <= LISTED else None
        self._half = (max(2, (size - 1).bit_length()) + 1) // 2
        self._keys = [] if self._listed is not None else torch.randint(2**62, (_TURNS,), generator=generator).tolist()

    def part(self, first: int, last: int) -> Tensor:
        """The numbers at positions first … last − 1, at most all."""
        if self._listed is not None:
            return self._listed[first:last]
        numbers = self._mixed(torch.arange(first, min(last, self.size)))
        while len(outside := (numbers >= self.size).nonzero().flatten()):
            numbers[outside] = self._mixed(numbers[outside])
        return numbers

    def _mixed(self, numbers: Tensor) -> Tensor:
        mask = (1 << self._half) - 1
        left, right = numbers >> self._half, numbers & mask
        for key in self._keys:
            hashed = (right ^ (key & mask)) * _ODD + key
            hashed = (hashed ^ (hashed >> 29)) * _ODD
            left, right = right, left ^ ((hashed >> 31) & mask)
        return (left << self._half) | right


def shuffled(size: int, most: int, seed: int = 0) -> Tensor:
    """Numbers of at most so many of `size` examples, at random, the same at every call: (n,) int64."""
    return Permutation(size, torch.Generator().manual_seed(seed)).part(0, most)
