"""The step: one player's turn on one batch, as losses and added terms see it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

from torch import Tensor

from ganflow.contract.data import Data
from ganflow.contract.signature import Signature

T = TypeVar("T")
Scores = Tensor | Mapping[str, Tensor]
"""A critic's scores of shape (n,) or (n, …), high means real; or several by name."""


class Step(ABC):
    """One player's turn on one batch of m examples. Everything that is asked for is computed once.

    Attributes:
        player: "critic" (generated examples carry no graph) or "generator" (the critic's parameters get no gradient).
        round: rounds played before this one, a 0-dim int64 tensor, so that formulas may depend on time in compiled rounds too.
        batch: the data's fields and "z", shape (m, …) each; read-only.
        data: the real examples' shapes and ranges.
        domains: the fields that are generated, in the order of the generator's signatures; mostly one.
        condition: the fields that generator and critic get besides.
        signatures: of the generator, by name.
        makers: domain → the signature by which it is generated.
        judged: whether there is a critic.
        together: whether several batches may go through the generator in one pass (`train.one_pass`, no batch norm in it).
    """

    player: Literal["critic", "generator"]
    round: Tensor
    batch: Mapping[str, Tensor]
    data: Data
    domains: tuple[str, ...]
    condition: tuple[str, ...]
    signatures: Mapping[str, Signature]
    makers: Mapping[str, str]
    judged: bool
    together: bool

    @abstractmethod
    def real(self, domain: str | None = None) -> Tensor:
        """The real examples of a field; of the first domain by default, here and below."""

    @abstractmethod
    def fake(self, domain: str | None = None) -> Tensor:
        """Generated examples of a field: with graph in the generator's step; without, and as the loss shows them to the critic
        (out of a pool, say), in the critic's."""

    @abstractmethod
    def score(self, x: Tensor, domain: str | None = None, **condition: Tensor) -> Any:
        """The critic's scores of examples x, (k · m, *shape), under the batch's condition or another one. A tensor or a mapping,
        as the critic gives them, without auxiliary outputs; in single precision where the critic runs in half."""

    @abstractmethod
    def scores(self, domain: str | None = None) -> tuple[Any, Any]:
        """Scores of the real and of the generated examples, from one critic pass where the recipe says `train.one_pass`."""

    @abstractmethod
    def auxiliary(self, x: Tensor, name: str, domain: str | None = None) -> Tensor:
        """An output of the critic that is no score, named in its attribute `auxiliary`; of the pass that scores x."""

    @abstractmethod
    def features(self, x: Tensor, layer: str = "", domain: str | None = None, augmented: bool = True) -> Tensor:
        """The output of a module of the critic on the way to the scores of x, (n, features); for "" the input of its last layer
        with weights.

        Args:
            augmented: of the pass that scores x, under the same draw of whatever alters x in front of the critic. False: of a
                pass of its own, without that.
        """

    @abstractmethod
    def call(self, signature: str, *first: Any, **inputs: Any) -> Any:
        """The generator by one of its signatures, as it trains: with gradients. Inputs by position or by name."""

    @abstractmethod
    def over(self, formula: Callable[..., Tensor], *scores: Any) -> Tensor:
        """formula(*scores); of several named scores the sum over the names, weighted by the critic's `score_weights` (1 each)."""

    @abstractmethod
    def log(self, name: str, value: Tensor) -> None:
        """Report a 0-dim tensor beside the terms; nobody descends it. `critic_stepped` and `generator_stepped` get it."""

    @abstractmethod
    def once(self, name: str, make: Callable[[], T]) -> T:
        """The result of `make()`, called once in this step: codes that several terms share, say."""

    @abstractmethod
    def state(self, buffer: Tensor) -> Tensor:
        """The value of a buffer in this step, its changes by `change` included."""

    @abstractmethod
    def change(self, buffer: Tensor, value: Tensor) -> None:
        """Write a value into a buffer when the player has made its step. The next micro-batch of the step sees it already."""

    def named(self, name: str, domain: str) -> str:
        """A term's name in one of the domains: with the field's where there are several."""
        return f"{name}_{domain}" if len(self.domains) > 1 else name
