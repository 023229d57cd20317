"""What a generator of translation recipes is: it turns an image of one domain into one of another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn

PAIRED: Mapping[str, str] = {"target": "source"}
UNPAIRED: Mapping[str, str] = {"b": "a", "a": "b"}


class Translator(nn.Module, ABC):
    """A network, or several, that translate between the fields of the data.

    Attributes:
        ways: what can be asked for, and what it is made from: {"target": "source"} for paired data, {"b": "a", "a": "b"}
            for unpaired. The first is the usual way.
        multiple: heights and widths have to be multiples of this.
        smallest: the smallest height and width that it takes.
    """

    ways: Mapping[str, str]
    multiple: int = 1
    smallest: int = 1

    @abstractmethod
    def forward(self, x: Tensor, to: str) -> Tensor:
        """Images of the domain ways[to], shape (n, channels, height, width), as images of the domain `to`, with the same
        n, height and width. Both in [-1, 1]."""

    @property
    def usual(self) -> str:
        """The domain that is translated to where nobody says."""
        return next(iter(self.ways))


def ways_of(fields: Mapping[str, object]) -> Mapping[str, str] | None:
    """The ways between the fields of paired or of unpaired data; None where the data are neither."""
    for ways in (PAIRED, UNPAIRED):
        if set(fields) == set(ways) | set(ways.values()):
            return ways
    return None
