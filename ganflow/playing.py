"""What plugins may use of a game: the engine's (ganflow.game) is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ganflow.data import Data
from ganflow.loss import AddedTerms, Loss
from ganflow.prior import Prior
from ganflow.signature import Signature


class Game(Protocol):
    """Two players, what they descend, and whatever else has state.

    Attributes:
        data, prior: what the game is played on; `prior` is None where nothing is drawn.
        generator, critic: the networks, in training; `critic` is None in critic-free recipes.
        condition: the data's fields that generator and critic get besides.
        domains: the fields that are generated; mostly one.
        signatures: of the generator, by name.
        makers: domain → the signature by which it is generated.
        round: rounds played, a 0-dim int64 tensor.
        auxiliary: the critic's outputs that are no scores.
    """

    data: Data
    prior: Prior | None
    generator: nn.Module
    critic: nn.Module | None
    condition: tuple[str, ...]
    domains: tuple[str, ...]
    signatures: dict[str, Signature]
    makers: dict[str, str]
    round: Tensor
    auxiliary: frozenset[str]

    @property
    def extras(self) -> nn.ModuleDict:
        """Modules with state besides the networks, by key: what `game_built` puts here is in every checkpoint."""

    @property
    def maker(self) -> str:
        """The signature by which the first domain is generated."""

    @property
    def loss(self) -> Loss:
        """What the players descend."""

    @property
    def parts(self) -> Sequence[AddedTerms]:
        """The loss, and what modifiers add to it."""

    @property
    def averaged(self) -> nn.Module:
        """The generator's moving average where the recipe keeps one, else the generator."""

    @property
    def device(self) -> torch.device:
        """The generator's device."""

    def parameters_of(self, player: str) -> list[nn.Parameter]:
        """All parameters of "generator" or "critic", as few tensors as possible; in a run that trains."""

    def latents(self, n: int, seed: int = 0) -> Tensor:
        """n draws from the prior, (n, *prior.shape), on the CPU: none that the run trains on.

        Raises:
            ValueError: there is no prior.
        """

    def samples(self, n: int, seed: int = 0) -> Tensor:
        """n generated examples of the first domain on the CPU, float32, (n, *shape), under conditions as of `conditions`."""

    def conditions(self, n: int, seed: int = 0, balanced: bool = False) -> dict[str, Any]:
        """What n samples are conditioned on, by the argument of `maker`: classes as often as the training examples have them, or
        all equally often (`balanced`); anything else of held-out examples.

        Raises:
            GanflowError: there are no held-out examples to take it from.
        """

    def call(self, name: str, *first: Tensor, seed: int = 0, batch: int = 256, **inputs: Any) -> Tensor:
        """What the averaged generator makes by one of its signatures, in evaluation mode, on the CPU in float32; `batch` examples
        at a time. Its inputs, (n, …) each, are given by position or by name. Torch's random numbers stay untouched.

        Raises:
            ValueError: there is no such signature, or images are too small for it.
        """

    def step(self, player: Any, batch: Mapping[str, Tensor]) -> Any:
        """A ganflow.Step of "critic" or "generator" on a batch, outside a round: for terms of one's own and for tests."""
