"""Rounds traced and compiled: the same operations in fewer kernels.

A round, gradients and updates included, is traced once into a graph of tensor operations (torch.fx.make_fx looks below
autograd, so any loss, penalty or network that keeps to tensors takes part), and torch.compile makes one program of it.
What a trace would silently freeze (a Python counter, a number read with .item()) shows when two compiled rounds are
compared with two eager ones: then the compiled round is not used.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from ganflow.game.game import Game
from ganflow.game.round import Draws, Round, split
from ganflow.game.state import copy_of_state, untouched

TOLERANCE = {"fp32": 0.15, "fp64": 0.05, "bf16": 0.25}
"""How far two compiled rounds may end from two eager ones, as a share of the way that these went. Rounding explains that
much: an adaptive optimizer makes whole steps of gradients that are nothing but rounding, and fused kernels do not round
their intermediate results to bfloat16 as eager ones do."""


class NotCompilable(Exception):
    """Says why a round cannot be compiled."""


class CompiledRound:
    """A `Round` whose work is compiled. Made by `compile_round`."""

    def __init__(self, round: Round, whole: bool) -> None:
        self.round, self.whole = round, whole
        self._programs: dict[str, Callable[[list[Tensor]], Any]] = {}

    @property
    def names(self) -> list[str]:
        return self.round.names

    @property
    def data_draws(self) -> int:
        return self.round.data_draws

    @property
    def prior_draws(self) -> int:
        return self.round.prior_draws

    def __call__(self, draws: Draws) -> list[Tensor]:
        if self.whole:
            return self._run("round", self.round, draws)
        steps = split(draws)
        terms: list[Tensor] = []
        for i in range(self.round.n_critic):
            terms = self._run("critic", self._critic_step, steps[i])
        return [*terms, *self._run("generator", self._generator_step, steps[self.round.generator_draw])]

    def _critic_step(self, batch: Draws) -> list[Tensor]:
        return list(self.round.critic_step(dict(batch)).values())

    def _generator_step(self, batch: Draws) -> list[Tensor]:
        return list(self.round.generator_step(dict(batch)).values())

    def _run(self, name: str, function: Callable[[Draws], list[Tensor]], inputs: Draws) -> list[Tensor]:
        if name not in self._programs:
            self._programs[name] = _compile(self.round.game, function, inputs)
        with torch.no_grad():
            result: list[Tensor] = self._programs[name](list(inputs.values()))
        return [t.clone() for t in result] if self.round.game.device.type == "cuda" else result


def compile_round(round: Round, examples: list[Draws], whole: bool) -> CompiledRound:
    """Compile a round (`whole`) or its two steps, and check it against the eager one on some draws.

    The game and all random numbers are left as they were.

    Raises:
        NotCompilable: with the reason.
    """
    game = round.game
    for player in game.players.values():
        if player.flat is None or not hasattr(player.optimizer, "traceable"):
            raise NotCompilable(f"the {player.name}'s optimizer is not one that a trace can follow")
        player.optimizer.traceable()
    compiled = CompiledRound(round, whole)
    before = copy_of_state(game)
    with untouched(game):
        for draws in examples:
            round(draws)
        expected = copy_of_state(game)
    with untouched(game), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the compiler's advice on how this could be faster still
        try:
            with untouched(game):
                compiled(examples[0])  # traces and compiles, playing the round on the way
            for draws in examples:
                compiled(draws)
        except Exception as error:
            raise NotCompilable(first_words(error)) from error
        found = copy_of_state(game)
    for part, (off, way) in sorted(distances(found, expected, before).items()):
        if not off <= TOLERANCE[round.precision] * way + 1e-7:
            raise NotCompilable(f"two compiled rounds end elsewhere than two eager ones: {part}, {off:.2g} off after {way:.2g}")
    return compiled


def _compile(game: Game, function: Callable[[Draws], list[Tensor]], inputs: Draws) -> Callable[[list[Tensor]], Any]:
    from torch._inductor import config as inductor
    from torch.fx.experimental.proxy_tensor import make_fx

    names = list(inputs)

    def traced(tensors: list[Tensor]) -> list[Tensor]:
        with ExitStack() as stack:
            for player in game.players.values():
                stack.enter_context(player.traced())
            return function(dict(zip(names, tensors, strict=True)))

    with plain_batch_norm():
        graph: nn.Module = make_fx(traced)(list(inputs.values()))
    inductor.fallback_random = True  # dropout, augmentation and ε are drawn as in eager mode, from torch's generator
    options: dict[str, Any] = {"mode": "reduce-overhead"} if game.device.type == "cuda" else {}
    return torch.compile(graph, fullgraph=True, dynamic=False, **options)


def plain_batch_norm() -> AbstractContextManager[None]:
    """While a round is traced: batch norm as the operation that every rewriting of graphs knows. cuDNN's changes the running
    statistics without saying so, and they would be lost."""
    made: AbstractContextManager[None] = torch.backends.cudnn.flags(enabled=False)
    return made


def distances(
    found: dict[str, Tensor], expected: dict[str, Tensor], before: dict[str, Tensor]
) -> dict[str, tuple[float, float]]:
    """How far each part of a state ("game.critic", "game.extras", "optimizer.generator", …) is off, and the way that it went:
    Euclidean over all its numbers."""
    squares: dict[str, tuple[float, float]] = {}
    for name, wanted in expected.items():
        part = ".".join(name.split(".")[:2])
        off, way = squares.get(part, (0.0, 0.0))
        squares[part] = off + _squares(found[name], wanted), way + _squares(before[name], wanted)
    return {part: (math.sqrt(off), math.sqrt(way)) for part, (off, way) in squares.items()}


def _squares(a: Tensor, b: Tensor) -> float:
    return (a.double() - b.double()).square().sum().item()


def first_words(error: Exception) -> str:
    """The sentence of an error that torch.compile has wrapped in its own."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    named = [line for line in lines if line.split(":")[0].endswith(("Error", "Exception", "Unsupported"))]
    return f"{type(error).__name__}: {(named or lines or ['no message'])[0]}"
