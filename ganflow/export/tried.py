"""Signatures of a trained game, tried: their inputs and outputs, with types, shapes and ranges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from ganflow.contract.signature import Z
from ganflow.engine.game import Game, fork_rng
from ganflow.version import __version__

NUMBER = 3
"""Examples that are tried."""


@dataclass(frozen=True)
class Port:
    """An input, or the output, of a signature, without the batch dimension.

    Attributes:
        source: the prior ("z"), a field of the data, or what another signature makes.
        kind: as of ganflow.Field; "z", or "tensor" where it is of no field.
        shape: None stands for a height or width that is free.
        low, high: the range of values, None where unbounded.
        classes: names of the classes 0, 1, …
        smallest: the smallest free height and width.
    """

    source: str
    kind: str
    dtype: str
    shape: tuple[int | None, ...]
    low: float | None = None
    high: float | None = None
    classes: tuple[str, ...] = ()
    smallest: int = 1

    @property
    def about(self) -> dict[str, Any]:
        """Plain data, for config.json."""
        return {**self.__dict__, "shape": list(self.shape), "classes": list(self.classes)}


@dataclass(frozen=True)
class Called:
    """A signature as it was tried.

    Attributes:
        inputs: by argument, in the signature's sequence.
        examples: inputs that were tried, and what the network makes of them.
        larger: the same with images of another size; None where there are none, or the network takes no other size.
        random: the network draws random numbers by itself, so that two calls differ.
    """

    name: str
    inputs: Mapping[str, Port]
    output: Port
    examples: Mapping[str, Tensor]
    made: Tensor
    larger: Mapping[str, Tensor] | None = None
    random: bool = False

    @property
    def about(self) -> dict[str, Any]:
        """Plain data, for config.json."""
        inputs = {name: port.about for name, port in self.inputs.items()}
        return {"inputs": inputs, "output": self.output.about, "random": self.random}


@dataclass(frozen=True)
class Exported:
    """An exported run.

    Attributes:
        round: of the checkpoint.
        files: of each signature, from `path`: "" where all are in the same ones.
        repository: of the hub, where it goes.
    """

    path: Path
    format: str
    round: int
    called: Mapping[str, Called]
    files: Mapping[str, str]
    repository: str = "NAME/REPO"

    @property
    def about(self) -> dict[str, Any]:
        """Plain data, for config.json and for programs."""
        signatures = {name: {"file": self.files[name], **called.about} for name, called in self.called.items()}
        return {"ganflow": __version__, "format": self.format, "round": self.round, "signatures": signatures}


def signatures_called(game: Game, only: str | None = None) -> dict[str, Called]:
    """The signatures of a trained game, the main one first, tried. One that makes no tensor of as many examples is left out.

    Args:
        only: as of `programs_of`.
    """
    names = [game.maker, *(name for name in game.signatures if name != game.maker)]
    found: dict[str, Called] = {}
    made: dict[str, Tensor] = {}
    waiting = [name for name in names if only in (None, name)]
    while waiting:  # what a signature takes, another may have to make first
        ready = [n for n in waiting if all(_known(game, source, made) for source in game.signatures[n].inputs.values())]
        if not ready:
            break
        for name in ready:
            waiting.remove(name)
            examples = {argument: _example(game, source, made) for argument, source in game.signatures[name].inputs.items()}
            images = _made(game, name, examples)
            if images is None:
                continue
            made.setdefault(game.signatures[name].output, images)
            found[name] = _called_with(game, name, examples, images)
    return {name: found[name] for name in names if name in found}


def _known(game: Game, source: str, made: Mapping[str, Tensor]) -> bool:
    return source in made or source in game.data.fields or (source == Z and game.prior is not None)


def _example(game: Game, source: str, made: Mapping[str, Tensor]) -> Tensor:
    """Inputs from one source: draws from the prior, classes in turn, values spread over the field's range."""
    n = NUMBER
    if source == Z and game.prior is not None:
        return game.latents(n)
    if source not in game.data.fields:
        return made[source]
    field = game.data.fields[source]
    if field.classes:
        return torch.arange(n) % len(field.classes)
    low, high = -1.0 if field.low is None else field.low, 1.0 if field.high is None else field.high
    return low + (high - low) * torch.rand(n, *field.shape, generator=torch.Generator().manual_seed(0))


def _made(game: Game, name: str, examples: Mapping[str, Tensor]) -> Tensor | None:
    """The tensor that a signature makes of examples; None where it makes none of as many."""
    signature, network = game.signatures[name], game.averaged
    tried = {argument: _prepared(t, network) for argument, t in examples.items()}
    with torch.no_grad(), fork_rng(game.device, 0):
        if not isinstance(signature(network, tried), Tensor):
            return None
    try:
        return game.call(name, *examples.values())
    except RuntimeError:  # one number for all of a batch: a term of a loss
        return None


def _prepared(t: Tensor, network: nn.Module) -> Tensor:
    return t.to(next(network.parameters()).dtype) if t.is_floating_point() else t


def _called_with(game: Game, name: str, examples: Mapping[str, Tensor], made: Tensor) -> Called:
    signature, larger = game.signatures[name], _larger(game, name, examples)
    inputs = {argument: _port(game, source, examples[argument], larger is not None, signature.smallest)
              for argument, source in signature.inputs.items()}  # fmt: skip
    output = _port(game, signature.output, made, larger is not None, 1)
    random = not torch.equal(made, game.call(name, *examples.values(), seed=1))
    return Called(name, inputs, output, examples, made, larger, random)


def _larger(game: Game, name: str, examples: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Inputs with images of another size; None where there are no images, or the network refuses other sizes."""
    signature = game.signatures[name]
    if not any(t.dim() == 4 for t in examples.values()):
        return None
    more, least = signature.multiple, max(signature.smallest, 4)

    def enlarged(t: Tensor) -> Tensor:
        if t.dim() != 4:
            return t
        height, width = (max(side, least) + 2 * more for side in t.shape[2:])
        spare = (0, width + 2 * more + 5 - t.shape[3], 0, height + 5 - t.shape[2])
        return pad(t, spare, mode="replicate")

    larger = {argument: enlarged(t) for argument, t in examples.items()}
    try:
        made = game.call(name, *larger.values())
    except (RuntimeError, ValueError, IndexError, AssertionError):
        return None
    return larger if made.dim() != 4 or made.shape[2:] != game.call(name, *examples.values()).shape[2:] else None


def _port(game: Game, source: str, example: Tensor, free: bool, smallest: int) -> Port:
    shape: tuple[int | None, ...] = tuple(example.shape[1:])
    free = free and example.dim() == 4
    shape = (shape[0], None, None) if free else shape
    dtype = str(example.dtype).removeprefix("torch.")
    port = Port(source, Z if source == Z else "tensor", dtype, shape, smallest=smallest if free else 1)
    if source == Z and game.prior is not None:
        low, high = game.prior.support or (None, None)
        return replace(port, low=low, high=high)
    if source in game.data.fields:
        field = game.data.fields[source]
        return replace(port, kind=field.kind, low=field.low, high=field.high, classes=field.classes)
    return port
