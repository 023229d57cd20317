"""Calls of a generator's signatures with tensors or arrays, whose shapes and types are checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    signature = game.signature(name)
    sources = signature.inputs
    wanted = ", ".join(f"{argument} {described(game, source)}" for argument, source in sources.items())
    first = dict(zip(sources, inputs, strict=False))
    if len(inputs) > len(sources) or {*first, *named} != set(sources) or first.keys() & named.keys():
        found = " and ".join([*([f"{len(inputs)} by position"] if inputs else []), *named])
        raise ValueError(f"'{name}' takes {wanted}, and is called with {found or 'nothing'}")
    tensors = {argument: as_tensor(argument, each) for argument, each in {**first, **named}.items()}
    for argument, source in sources.items():
        if not suits(game, source, tensors[argument]):
            raise ValueError(f"{argument}: {described(game, source)} is wanted, not {_shown(tensors[argument])}")
    if len({len(t) for t in tensors.values()}) > 1:
        counts = ", ".join(f"{len(t)} of {argument}" for argument, t in tensors.items())
        raise ValueError(f"'{name}' takes as many of each, not {counts}")
    try:
        return game.call(name, *(tensors[argument] for argument in sources), seed=seed)
    except (RuntimeError, TypeError, IndexError, AssertionError) as error:
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
    return t


def suits(game: Game, source: str, t: Tensor) -> bool:
    """Return whether a tensor can be an input from this source, as far as that is known: an image may have another size, classes
    may be shares of each, and what another signature makes may be anything."""
    if source == Z and game.prior is not None:
        return tuple(t.shape[1:]) == game.prior.shape and t.is_floating_point()
    if source not in game.data.fields:
        return True
    field = game.data.fields[source]
    if field.classes and not t.is_floating_point():
        return t.dim() == 1 and not t.is_complex() and bool(((t >= 0) & (t < len(field.classes))).all())
    if not t.is_floating_point():
        return False
    if field.classes:
        return tuple(t.shape[1:]) == (len(field.classes),)
    return tuple(t.shape[1:2]) == field.shape[:1] and t.dim() == 4 if field.is_image else tuple(t.shape[1:]) == field.shape


def described(game: Game, source: str) -> str:
    """The shape and type of inputs from a source, as far as they are known: (n, 2), floats."""
    if source == Z and game.prior is not None:
        return _shape(game.prior.shape)
    if source not in game.data.fields:
        return f"(n, …), as '{source}' is made"
    field = game.data.fields[source]
    if field.classes:
        return f"(n) whole numbers from 0 to {len(field.classes) - 1}"
    bounded = field.low is not None and field.high is not None
    return _shape(field.shape) + (f" in [{field.low:g}, {field.high:g}]" if bounded else "")


def _shape(shape: Sequence[int]) -> str:
    return f"({', '.join(map(str, ('n', *shape)))}) floats"


def _shown(t: Tensor) -> str:
    return f"({', '.join(map(str, t.shape))}) {str(t.dtype).removeprefix('torch.')}"
