"""Rounds traced and compiled: the same operations in fewer kernels.

A round, gradients and updates included, is traced once into a graph of tensor operations (torch.fx.make_fx looks below
autograd, so any loss, penalty or network that keeps to tensors takes part), and torch.compile makes one program of it.
What a trace would silently freeze (a Python counter, a number read with .item()) shows when two compiled rounds are
compared with two eager ones: then the compiled round is not used.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ganflow.game.game import Game, evaluating, fork_rng
from ganflow.game.round import Draws, Round, split
from ganflow.game.state import game_state, kept_random

TOLERANCE = {"fp32": 0.05, "fp64": 0.05, "bf16": 0.25}
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
    before = _copy(game)
    with untouched(game):
        for draws in examples:
            round(draws)
        expected = _copy(game)
    with untouched(game), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the compiler's advice on how this could be faster still
        try:
            with untouched(game):
                compiled(examples[0])  # traces and compiles, playing the round on the way
            for draws in examples:
                compiled(draws)
        except Exception as error:
            raise NotCompilable(first_words(error)) from error
        found = _copy(game)
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


@contextmanager
def untouched(game: Game) -> Iterator[None]:
    """Whatever happens inside, game, optimizers and random numbers are afterwards what they were."""
    before = _copy(game)
    with kept_random(game.device):
        try:
            yield
        finally:
            with torch.no_grad():
                for name, t in game_state(game)[0].items():
                    t.copy_(before[name])


def worth_compiling(game: Game, n_critic: int, batch_size: int, rounds: int) -> tuple[str, str]:
    """What `compile: auto` chooses ("never", "step" or "round") for the work ahead, and why, in one sentence.

    An estimate from the networks alone, so that the choice is the same every time: a resumed run must go on exactly.
    """
    networks = [m for m in (game.generator, game.critic) if m is not None]
    leaves = [m for n in networks for m in n.modules() if not any(True for _ in m.children())]
    convolutional = any(isinstance(m, nn.modules.conv._ConvNd) for m in leaves)
    if not all(p.flat is not None and hasattr(p.optimizer, "traceable") for p in game.players.values()):
        return "never", "an optimizer is not one that a trace can follow"
    seconds = arithmetic(game, n_critic, batch_size) + (n_critic + 1) * len(leaves) * 40e-6
    mode, gain, cost = ("step", 0.25, 60.0) if convolutional else ("round", 0.5, 45.0)
    saved = gain * seconds * rounds
    text = f"compiling would save about {saved:.0f} s of {seconds * rounds:.0f} s and cost about {cost:.0f} s"
    return (mode, text) if saved > 1.5 * cost else ("never", text)


def arithmetic(game: Game, n_critic: int, batch_size: int) -> float:
    """About how many seconds the multiplications and additions of a round take: an estimate from the networks alone."""
    flops = _flops(game, batch_size)
    work = n_critic * (flops["generator"] + 6 * flops["critic"]) + 3 * flops["generator"] + 4 * flops["critic"]
    return work / (25e9 * torch.get_num_threads() if game.device.type == "cpu" else 10e12)


def _flops(game: Game, batch_size: int) -> dict[str, float]:
    """Floating-point operations of each network's forward pass over a batch; 0 where only the loss knows its inputs.

    Counted by hooks: torch's own counter imports torch._dynamo, a second of every start."""
    counts = {"generator": 0.0, "critic": 0.0}
    if game.prior is None or "real" not in game.data.fields:
        return counts
    parameter = next(game.generator.parameters())
    with torch.no_grad(), evaluating(game), fork_rng(game.device):
        x = game.latents(1).to(parameter.device, parameter.dtype)
        for name in counts:
            network = getattr(game, name)
            if network is not None:
                x, counts[name] = _count(network, x)
    return {name: batch_size * count for name, count in counts.items()}


def _count(network: nn.Module, x: Tensor) -> tuple[Tensor, float]:
    """The result for one example, and the multiplications and additions of its linear and convolutional layers."""
    total = 0.0

    def add(layer: nn.Module, inputs: tuple[Tensor, ...], result: Tensor) -> None:
        nonlocal total
        weight = layer.weight
        assert isinstance(weight, Tensor)
        turned = isinstance(layer, nn.modules.conv._ConvTransposeNd)  # there the weight is applied at every input place
        places = (inputs[0] if turned else result)[0, 0].numel() if weight.dim() > 2 else 1
        total += 2.0 * weight.numel() * places

    layers = [m for m in network.modules() if isinstance(m, (nn.Linear, nn.modules.conv._ConvNd))]
    hooks = [layer.register_forward_hook(add) for layer in layers]
    try:
        return network(x), total
    finally:
        for hook in hooks:
            hook.remove()


def _copy(game: Game) -> dict[str, Tensor]:
    return {name: t.clone() for name, t in game_state(game)[0].items()}


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
