"""Rounds traced and compiled: the same operations in fewer kernels.

A round, gradients and updates included, is traced once into a graph of tensor operations, and torch.compile makes one program
of it. What Python decides, a trace freezes: a term that begins at round 1,000, a number read with .item(). So

- a copy of the game in double precision plays a few rounds: what is no tensor must not change between them (see
  ganflow.engine.attributes), nothing may be read out of tensors, no random numbers drawn but torch's;
- there the graph must do what the eager rounds do, to a millionth;
- while the run goes on, attributes are compared again after every report, and the round is traced again now and then: the graph
  must still be the one that was compiled.

What none of this sees: global variables and class attributes, files, the clock, where they change after the first rounds and
between two tracings. Where a round depends on time, compute with tensors (buffers), or set `train.compile: never`.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ganflow.contract.loss import AddedTerms
from ganflow.engine.attributes import attributes, changes, first_change
from ganflow.engine.compat import compile_graph
from ganflow.engine.game import Game
from ganflow.engine.player import parts_of
from ganflow.engine.round import Draws, Round, split
from ganflow.engine.state import copy_of_state, kept_random, random_state, untouched
from ganflow.engine.tracing import Read, Unread, difference, trace_step

if TYPE_CHECKING:
    from torch import fx

SHARE = 1e-6
"""How far two rounds of a graph, in double precision, may end from two eager ones, as a share of the way that these went."""
TOLERANCE = {"fp32": 0.15, "fp64": 0.05, "bf16": 0.25}
"""The same for the compiled program in the run's precision. Rounding explains that much: an adaptive optimizer makes whole steps
of gradients that are nothing but rounding, and fused kernels do not round their intermediate results to bfloat16 as eager ones
do."""
FEW = 8
"""Examples of each micro-batch that the copy in double precision plays with."""
PART = 0.01
"""Share of the time since the last tracing that the next one may take."""

Key = tuple[Any, ...]
"""What is traced, and the ids of the terms that take part."""


class NotCompilable(Exception):
    """The reason why a round cannot be compiled."""


@dataclass
class Program:
    """A step or a round, traced, for one set of terms that are active together."""

    function: Callable[[Draws], list[Tensor]]
    inputs: Draws
    graph: fx.GraphModule
    active: tuple[AddedTerms, ...]
    names: list[str]
    descended: frozenset[str]
    run: Callable[[list[Tensor]], Any]


class CompiledRound:
    """A `Round` whose work is compiled, with the round's attributes. Made by `compile_round`.

    Args:
        whole: compile the round, not its steps.
        plain: play the graphs as they were traced.
    """

    def __init__(self, round: Round, whole: bool, *, plain: bool = False) -> None:
        self.round, self.whole, self.plain = round, whole, plain
        self._programs: dict[Key, Program] = {}
        self._seen = attributes(round)
        self._restless: set[str] = set()  # attributes that changed, and the graphs did not
        self._traced_at = -math.inf
        self._cost = 0.0  # seconds that it took

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["round"], name)

    def __call__(self, draws: Draws) -> list[Tensor]:
        if self.whole:
            program, values = self._run("round", self.round, draws)
            self.round.names, self.round.descended = program.names, program.descended
            return values
        steps, values, programs = split(draws), [], []
        for i in range(self.round.n_critic):
            program, values = self._run("critic's step", partial(self._step, "critic"), dict(steps[i]))
            programs = [program]
        last = dict(steps[self.round.generator_draw])
        program, more = self._run("generator's step", partial(self._step, "generator"), last)
        programs.append(program)
        self.round.names = [name for program in programs for name in program.names]
        self.round.descended = frozenset[str]().union(*(program.descended for program in programs))
        return [*values, *more]

    def changed(self, retrace: bool) -> str | None:
        """The reason why rounds would not be the compiled ones any more; None where they would, as far as was tried: attributes
        are compared, and where one has changed that has not before, the round is traced again. The game is left as it was.

        Args:
            retrace: trace again in any case.
        """
        now = attributes(self.round)
        moved = changes(self._seen, now)
        if not retrace and moved.keys() <= self._restless:
            return None
        new = [text for path, text in moved.items() if path not in self._restless]
        self._seen = now
        self._restless |= moved.keys()
        what = self._retrace()
        if what is None:
            return None
        return f"{new[0]}, and with it what a round does ({what})" if new else f"tracing again gave other operations ({what})"

    @property
    def due(self) -> bool:
        """True where tracing again would cost little of the time since the last one."""
        return time.monotonic() - self._traced_at > self._cost / PART

    def _retrace(self) -> str | None:
        began, active = time.monotonic(), self.round.active
        try:
            with untouched(self.round.game):
                for (name, *_), program in self._programs.items():
                    self.round.active = program.active
                    if what := difference(program.graph, trace_step(self.round.game, program.function, program.inputs)):
                        return f"{name}: {what}"
            return None
        except Exception as error:
            return first_words(error)
        finally:
            self.round.active = active
            self._traced_at = time.monotonic()
            self._cost = self._traced_at - began

    def _step(self, player: str, batch: Draws) -> list[Tensor]:
        values = self.round.critic_step(batch) if player == "critic" else self.round.generator_step(batch)
        self.round.names = [f"{player}/{name}" for name in values]
        self.round.descended = frozenset(f"{player}/{name}" for name in self.round.descends)
        return list(values.values())

    def _run(self, name: str, function: Callable[[Draws], list[Tensor]], inputs: Draws) -> tuple[Program, list[Tensor]]:
        """Play the program for the active terms, which is made the first time."""
        round, key = self.round, (name, *map(id, self.round.active))
        cuda = round.game.device.type == "cuda"
        if key not in self._programs:
            kept = {key: t.clone() for key, t in inputs.items()}
            with untouched(round.game):  # the step is played on the way, and not one of the run's
                graph = trace_step(round.game, function, inputs)
            run = graph if self.plain else compile_graph(graph, cuda)
            self._programs[key] = Program(function, kept, graph, round.active, round.names, round.descended, run)
        program = self._programs[key]
        with torch.no_grad():
            result: list[Tensor] = program.run(list(inputs.values()))
        return program, [t.clone() for t in result] if cuda else result


def compile_round(
    round: Round, copy: Callable[[], Round], examples: Sequence[Draws], whole: bool, rounds: Sequence[int] = (0,)
) -> CompiledRound:
    """Compile a round (`whole`) or its two steps, and check it against the eager one on some draws.

    The game and all random numbers are left as they were.

    Args:
        copy: makes the same round of another game, in the same state and in double precision, to be tried on.
        examples: the draws of two rounds or more.
        rounds: one for every set of terms that take part together, the next to be played first (`Round.phases`).

    Raises:
        NotCompilable: with the reason.
    """
    game = round.game
    for name, part in parts_of(game.players).items():
        if not part.traceable:
            raise NotCompilable(f"the {name}'s optimizer is not one that a trace can follow")
    with kept_random(game.device), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            verify(copy(), examples, whole, rounds)
        except (NotCompilable, Read) as error:
            raise NotCompilable(str(error)) from error
        except Exception as error:
            raise NotCompilable(first_words(error)) from error
    make_traceable(game)
    before, compiled = copy_of_state(game), CompiledRound(round, whole)
    for number in rounds:
        round.begin(number)
        expected = _after(game, round, examples)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the compiler's advice on how this could be faster still
            try:
                _after(game, compiled, examples[:1])  # traces and compiles
                found = _after(game, compiled, examples)
            except Exception as error:
                raise NotCompilable(first_words(error)) from error
        if off := furthest(found, expected, before, TOLERANCE[round.precision]):
            raise NotCompilable(f"two compiled rounds end elsewhere than two eager ones: {off}")
    round.begin(rounds[0])
    return compiled


def make_traceable(game: Game) -> None:
    """Make the optimizers ones that a trace can follow."""
    for part in parts_of(game.players).values():
        part.optimizer.traceable()  # type: ignore[attr-defined]


def _after(game: Game, play: Callable[[Draws], Any], examples: Sequence[Draws]) -> dict[str, Tensor]:
    """The state of a game after these rounds, which change nothing."""
    with untouched(game):
        for draws in examples:
            play(draws)
        return copy_of_state(game)


def verify(copy: Round, examples: Sequence[Draws], whole: bool, rounds: Sequence[int] = (0,)) -> None:
    """Try on a copy in double precision what its graphs would freeze, and that they do what the eager rounds do, once for every
    set of terms.

    Raises:
        NotCompilable, Read: with the reason.
    """
    game, parts = copy.game, copy.accumulate
    make_traceable(game)
    few = [{name: _few(t, parts).to(game.device) for name, t in draws.items()} for draws in examples]
    before = copy_of_state(game)
    for number in rounds:
        copy.begin(number)
        with untouched(game):
            expected = check_steady(copy, few, number)
        graphs = CompiledRound(copy, whole, plain=True)
        _after(game, graphs, few[:1])
        if off := furthest(_after(game, graphs, few[:2]), expected, before, SHARE):
            raise NotCompilable(f"two traced rounds end elsewhere than two eager ones: {off}")


def check_steady(round: Round, examples: Sequence[Draws], number: int = 0) -> dict[str, Tensor]:
    """Play two rounds and more, and see that nothing but tensors changes from one to the next.

    Returns:
        The game's state after two rounds.

    Raises:
        NotCompilable, Read: something does, and is named; or a value is read out of a tensor.
    """
    game = round.game
    plain = random_state(game.device)[1]
    seen = [attributes(round)]
    with Unread():  # type: ignore[no-untyped-call]
        round(examples[0])
    seen.append(attributes(round))
    round(examples[1])
    state = copy_of_state(game)
    round(examples[-1])
    for player in game.players.values():
        for i in (0, 1, 2, 0):
            player.start_round(number + i)
    seen.append(attributes(round))
    if text := first_change(seen):
        raise NotCompilable(f"{text} between rounds, and what a round does may depend on it")
    if random_state(game.device)[1] != plain:
        raise NotCompilable("a step draws random numbers from Python's or numpy's generators, which a trace would freeze")
    return state


def _few(draws: Tensor, parts: int) -> Tensor:
    """The first examples of each micro-batch, in double precision."""
    each = max(1, min(FEW, draws.shape[1] // parts))
    cut = torch.cat([t[:, :each] for t in draws.chunk(parts, 1)], 1)
    return cut.double() if cut.is_floating_point() else cut


def furthest(found: Draws, expected: Draws, before: Draws, share: float, *, but_diverged: bool = False) -> str | None:
    """A part of a state ("game.critic", "game.extras", "optimizer.generator", …) that is further off than this share of the way
    that it went, in words: both Euclidean over all its numbers.

    Args:
        but_diverged: leave out what went no finite way.
    """
    squares: dict[str, tuple[float, float]] = {}
    for name, wanted in expected.items():
        part = ".".join(name.split(".")[:2])
        off, way = squares.get(part, (0.0, 0.0))
        squares[part] = off + _squares(found[name], wanted), way + _squares(before[name], wanted)
    for part, (off, way) in sorted(squares.items()):
        off, way = math.sqrt(off), math.sqrt(way)
        if not off <= share * way + 1e-7 and not (but_diverged and not math.isfinite(way)):
            return f"{part}, {off:.2g} off after {way:.2g}"
    return None


def _squares(a: Tensor, b: Tensor) -> float:
    return (a.double() - b.double()).square().sum().item()


def first_words(error: Exception) -> str:
    """The sentence of an error, which torch.compile may have wrapped in another one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    named = [line for line in lines if line.split(":")[0].endswith(("Error", "Exception", "Unsupported"))]
    return f"{type(error).__name__}: {(named or lines or ['no message'])[0]}"
