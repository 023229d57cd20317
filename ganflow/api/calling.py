"""Calls of a generator's signatures with tensors or arrays, whose shapes and types are checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ganflow.contract.signature import Z
from ganflow.errors import first_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ganflow.engine.game import Game

    ArrayLike = Tensor | NDArray[Any] | Sequence[Any]


def call(game: Game, name: str, inputs: Sequence[Any], named: Mapping[str, Any], seed: int = 0) -> Tensor:
    """Call a signature; arguments as of `TrainedRun.call`.

    Raises:
        ValueError: there is no such signature, or inputs do not suit it.
    """
    sources = game.signature(name).inputs
    ports = {argument: port_of(game, source) for argument, source in sources.items()}
    wanted = ", ".join(f"{argument} {port}" for argument, port in ports.items())
    first = dict(zip(sources, inputs, strict=False))
    if len(inputs) > len(sources) or {*first, *named} != set(sources) or first.keys() & named.keys():
        found = " and ".join([*([f"{len(inputs)} by position"] if inputs else []), *named])
        raise ValueError(f"'{name}' takes {wanted}, and is called with {found or 'nothing'}")
    tensors = {argument: as_tensor(argument, each) for argument, each in {**first, **named}.items()}
    for argument, port in ports.items():
        if not port.suits(tensors[argument]):
            raise ValueError(f"{argument}: {port} is wanted, not {_shown(tensors[argument])}{port.beyond(tensors[argument])}")
    if len({len(t) for t in tensors.values()}) > 1:
        counts = ", ".join(f"{len(t)} of {argument}" for argument, t in tensors.items())
        raise ValueError(f"'{name}' takes as many of each, not {counts}")
    try:
        return game.call(name, *(tensors[argument] for argument in sources), seed=seed)
    except (RuntimeError, TypeError, IndexError, AttributeError, AssertionError) as error:
        if "allocate" in str(error):
            raise
        found = ", ".join(f"{argument} {_shown(t)}" for argument, t in tensors.items())
        raise ValueError(f"'{name}' takes {wanted}, and cannot be called with {found}: {first_line(error)}") from error


def as_tensor(name: str, value: Any) -> Tensor:
    """A tensor of a tensor, an array or a list of numbers; raises ValueError where it is none of these, or has no examples."""
    try:
        t = value if isinstance(value, Tensor) else torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{name}: a tensor or an array of numbers is wanted, not a {type(value).__name__}") from None
    if t.dim() == 0:
        raise ValueError(f"{name}: several examples are wanted, (n, …), not a single number")
    if not len(t):
        raise ValueError(f"{name}: an example or more is wanted, not none: {_shown(t)}")
    return t


@dataclass(frozen=True)
class Port:
    """Meaning of an input of a signature.

    Attributes:
        shape: of an example; None where it is not known.
        picture: its sides may be others: only channels count.
        bounds: of its numbers, as they are in training.
        classes: how many there are, where an input is one of them, or shares of each; else 0.
        maker: the signature that makes such an input, where neither the prior nor the data have it.
    """

    shape: Sequence[int] | None
    picture: bool = False
    bounds: tuple[float, float] | None = None
    classes: int = 0
    maker: str = ""

    def suits(self, t: Tensor) -> bool:
        """Return whether a tensor can be such an input: shape, type, and finite numbers in float32."""
        if t.is_complex() or self.beyond(t) or (not self.classes and not t.is_floating_point()):
            return False
        if self.classes:
            return tuple(t.shape[1:]) == ((self.classes,) if t.is_floating_point() else ())
        if self.shape is None:
            return True
        if self.picture:
            return t.dim() == 4 and t.shape[1] == self.shape[0]
        return tuple(t.shape[1:]) == tuple(self.shape)

    def beyond(self, t: Tensor) -> str:
        """The first number that cannot be taken, for a message: " with nan"; empty where there is none."""
        if t.is_complex():
            return ""
        wrong = ~t.float().isfinite() if t.is_floating_point() else (t.long() < 0) | (t.long() >= (self.classes or torch.inf))
        return f" with {t[wrong][0].item():g}" if wrong.any() else ""

    def __str__(self) -> str:
        """Shape and type, as far as they are known: (n, 2) floats."""
        if self.classes:
            return f"(n) whole numbers from 0 to {self.classes - 1}"
        made = f", as '{self.maker}' makes" if self.maker else ""
        if self.shape is None:
            return f"(n, …) floats{made}"
        return _shape(self.shape) + (f" in [{self.bounds[0]:g}, {self.bounds[1]:g}]" if self.bounds else made)


def port_of(game: Game, source: str) -> Port:
    """The meaning of inputs from a source: the prior's draws, a field, or what another signature makes."""
    if source == Z and game.prior is not None:
        return Port(game.prior.shape)
    if source in game.data.fields:
        field = game.data.fields[source]
        bounds = None if field.low is None or field.high is None else (field.low, field.high)
        return Port(field.shape, field.is_image, bounds, len(field.classes))
    for name, each in game.signatures.items():
        if each.output == source and source not in each.inputs.values():
            with suppress(KeyError, RuntimeError, TypeError, ValueError):  # it takes what yet another one makes
                blank = game.blank(1)
                made = game.call(name, *(blank[of] for of in each.inputs.values()))
                return Port(tuple(made.shape[1:]), made.dim() == 4, maker=name)
            return Port(None, maker=name)
    return Port(None)


def _shape(shape: Sequence[int]) -> str:
    return f"({', '.join(map(str, ('n', *shape)))}) floats"


def _shown(t: Tensor) -> str:
    return f"({', '.join(map(str, t.shape))}) {str(t.dtype).removeprefix('torch.')}"
