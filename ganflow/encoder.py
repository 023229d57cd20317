"""Text encoders: what turns a caption into the numbers that networks take."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from torch import Tensor

Pictures = Callable[[int], Tensor]
"""The training pictures, reduced to so many pixels a side: (n, channels, side, side) in [-1, 1]."""


class TextEncoder(ABC):
    """Turns sentences into vectors. Data with captions have one; it is learnt, where it learns, before the game is played, and
    is kept in the run's folder, so that sentences can be drawn wherever the run is.

    Attributes:
        dim: numbers of a vector; known once it has learnt.
    """

    dim: int

    @abstractmethod
    def encode(self, sentences: Sequence[str]) -> Tensor:
        """(n, dim) float32 on the CPU, coordinates of about unit size. A sentence's vector does not depend on the others."""

    @abstractmethod
    def unknown(self, sentence: str) -> list[str]:
        """The sentence's words that mean nothing to it, so that they can be said."""

    def learn(self, captions: Sequence[Sequence[str]], pictures: Pictures) -> None:  # noqa: B027  (some are learnt already)
        """Learn from the training part alone: captions[i] are said of picture i. The same examples give the same encoder."""

    def state(self) -> dict[str, Tensor]:
        """What was learnt, in a few tensors; nothing where it is at hand anyway."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:  # noqa: B027
        """Be the encoder that `state` was taken from."""

    @abstractmethod
    def about(self) -> str:
        """What it is, in a few words that differ for encoders that differ before they learn: the key of what is kept of it."""

    def match(self, pictures: Tensor, text: Tensor) -> Tensor:
        """How badly pictures (n, channels, height, width) and vectors (n, dim) that belong together find each other: a scalar
        through which gradients flow to the pictures.

        Raises:
            NotImplementedError: it knows nothing of pictures; `matches` says so beforehand.
        """
        raise NotImplementedError(f"{type(self).__name__} knows sentences, and no pictures")

    @property
    def matches(self) -> bool:
        return type(self).match is not TextEncoder.match
