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
    """Two players, what they descend, and whatever else has state. The attributes are those of ganflow.game.Game."""

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
    def extras(self) -> nn.ModuleDict: ...
    @property
    def maker(self) -> str: ...
    @property
    def loss(self) -> Loss: ...
    @property
    def parts(self) -> Sequence[AddedTerms]: ...
    @property
    def averaged(self) -> nn.Module: ...
    @property
    def device(self) -> torch.device: ...
    def parameters_of(self, player: str) -> list[nn.Parameter]: ...
    def latents(self, n: int, seed: int = 0) -> Tensor: ...
    def samples(self, n: int, seed: int = 0) -> Tensor: ...
    def conditions(self, n: int, seed: int = 0, balanced: bool = False) -> dict[str, Any]: ...
    def call(self, name: str, *first: Tensor, seed: int = 0, batch: int = 256, **inputs: Any) -> Tensor: ...
    def step(self, player: Any, batch: Mapping[str, Tensor], **arguments: Any) -> Any: ...
