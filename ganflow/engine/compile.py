"""Rounds traced and compiled: the same operations in fewer kernels.

A round, gradients and updates included, is traced once into a graph of tensor operations, and torch.compile makes one program
of it. What Python decides, a trace freezes: a term that begins at round 1,000, a number read with .item(). So

- a copy of the game in double precision plays a few rounds: what is no tensor must not change between them (see
  ganflow.engine.attributes), nothing may be read out of tensors, no random numbers drawn but torch's;
- there the graph must do what the eager rounds do, to a millionth;
- while the run goes on, attributes are looked at again after every report, and the round is traced again now and then: the graph
  must still be the one that was compiled.

What none of this sees: global variables and class attributes, files, the clock, where they change after the first rounds and
between two tracings. Where a round depends on time, compute with tensors (buffers), or set `train.compile: never`.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ganflow.contract.loss import AddedTerms
from ganflow.engine.attributes import attributes, changes
from ganflow.engine.compat import compile_graph
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
    """Says why a round cannot be compiled."""


class CompiledRound:
    """A `Round` whose work is compiled. Made by `compile_round`."""

    def __init__(self, round: Round, whole: bool, *, plain: bool = False) -> None:
        self.round, self.whole, self.plain = round, whole, plain
        self._programs: dict[Key, Callable[[list[Tensor]], Any]] = {}
        self._traced: dict[Key, tuple[fx.GraphModule, Callable[[Draws], list[Tensor]], Draws, tuple[AddedTerms, ...]]] = {}
        self._named: dict[Key, tuple[list[str], frozenset[str]]] = {}
        self._seen = attributes(round)
        self._restless: set[str] = set()  # attributes that changed, and the graphs did not
        self._looked = -math.inf  # when the round was traced last
        self._cost = 0.0  # seconds that it took

    def begin(self, number: int) -> None:
        """As of Round."""
        self.round.begin(number)

    @property
    def names(self) -> list[str]:
        return self.round.names

    @property
    def descended(self) -> frozenset[str]:
        return self.round.descended

    @property
    def data_draws(self) -> int:
        return self.round.data_draws

    @property
    def prior_draws(self) -> int:
        return self.round.prior_draws

    def __call__(self, draws: Draws) -> list[Tensor]:
        if self.whole:
            values = self._run("round", self.round, draws)
            self.round.names, self.round.descended = self._named["round", *map(id, self.round.active)]
            return values
        steps, named, values = split(draws), [], []
        for i in range(self.round.n_critic):
            values = self._run("critic's step", self._critic_step, dict(steps[i]))
            named = [self._named["critic's step", *map(id, self.round.active)]]
        values = [*values, *self._run("generator's step", self._generator_step, dict(steps[self.round.generator_draw]))]
        named.append(self._named["generator's step", *map(id, self.round.active)])
        self.round.names = [name for names, _ in named for name in names]
        self.round.descended = frozenset[str]().union(*(descended for _, descended in named))
        return values

    def changed(self, look: bool) -> str | None:
        """Why rounds would not be the compiled ones any more, in words; None where they would, as far as was looked: attributes
        are compared, and where one has changed that has not before, the round is traced again. The game is left as it was.

        Args:
            look: trace again in any case.
        """
        now = attributes(self.round)
        moved = changes(self._seen, now)
        if not look and moved.keys() <= self._restless:
            return None
        new = [text for path, text in moved.items() if path not in self._restless]
        self._seen = now
        self._restless |= moved.keys()
        what = self._traced_again()
        if what is None:
            return None
        return f"{new[0]}, and with it what a round does ({what})" if new else f"traced again, a round is another one ({what})"

    @property
    def due(self) -> bool:
        """Whether tracing again would take little of the time since the last one."""
        return time.monotonic() - self._looked > self._cost / PART

    def _traced_again(self) -> str | None:
        began, active = time.monotonic(), self.round.active
        try:
            with untouched(self.round.game):
                for (name, *_), (graph, function, inputs, taking_part) in self._traced.items():
                    self.round.active = taking_part
                    if what := difference(graph, trace_step(self.round.game, function, inputs)):
                        return f"{name}: {what}"
            return None
        except Exception as error:
            return first_words(error)
        finally:
            self.round.active = active
            self._looked = time.monotonic()
            self._cost = self._looked - began

    def _critic_step(self, batch: Draws) -> list[Tensor]:
        return self._noted("critic", self.round.critic_step(batch))

    def _generator_step(self, batch: Draws) -> list[Tensor]:
        return self._noted("generator", self.round.generator_step(batch))

    def _noted(self, player: str, values: dict[str, Tensor]) -> list[Tensor]:
        self.round.names = [f"{player}/{name}" for name in values]
        self.round.descended = frozenset(f"{player}/{name}" for name in self.round.descends)
        return list(values.values())

    def _run(self, name: str, function: Callable[[Draws], list[Tensor]], inputs: Draws) -> list[Tensor]:
        """A program for each set of terms that take part together."""
        key: Key = (name, *map(id, self.round.active))
        if key not in self._programs:
            kept = {key: t.clone() for key, t in inputs.items()}
            with untouched(self.round.game):  # the step is played on the way, and not one of the run's
                graph = trace_step(self.round.game, function, inputs)
            self._traced[key] = graph, function, kept, self.round.active
            self._named[key] = self.round.names, self.round.descended
            self._programs[key] = graph if self.plain else compile_graph(graph, self.round.game.device.type == "cuda")
        with torch.no_grad():
            result: list[Tensor] = self._programs[key](list(inputs.values()))
        return [t.clone() for t in result] if self.round.game.device.type == "cuda" else result


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
    for part in parts_of(game.players).values():
        part.optimizer.traceable()  # type: ignore[attr-defined]
    before, compiled = copy_of_state(game), CompiledRound(round, whole)
    for number in rounds:
        round.begin(number)
        with untouched(game):
            for draws in examples:
                round(draws)
            expected = copy_of_state(game)
        with untouched(game), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the compiler's advice on how this could be faster still
            try:
                with untouched(game):
                    compiled(examples[0])  # traces and compiles
                for draws in examples:
                    compiled(draws)
            except Exception as error:
                raise NotCompilable(first_words(error)) from error
            found = copy_of_state(game)
        _compare(found, expected, before, TOLERANCE[round.precision], "compiled")
    round.begin(rounds[0])
    return compiled


def verify(copy: Round, examples: Sequence[Draws], whole: bool, rounds: Sequence[int] = (0,)) -> None:
    """Try on a copy in double precision what its graphs would freeze, and that they do what the eager rounds do, once for every
    set of terms.

    Raises:
        NotCompilable, Read: with the reason.
    """
    game, parts = copy.game, copy.accumulate
    for part in parts_of(game.players).values():
        part.optimizer.traceable()  # type: ignore[attr-defined]
    few = [{name: _few(t, parts).to(game.device) for name, t in draws.items()} for draws in examples]
    before = copy_of_state(game)
    for number in rounds:
        copy.begin(number)
        with untouched(game):
            expected = check_steady(copy, few, number)
        with untouched(game):
            graphs = CompiledRound(copy, whole, plain=True)
            with untouched(game):
                graphs(few[0])
            for draws in few[:2]:
                graphs(draws)
            found = copy_of_state(game)
        _compare(found, expected, before, SHARE, "traced")


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
        for i in range(3):
            player.start_round(number + i)
        player.start_round(number)
    seen.append(attributes(round))
    for changed in (changes(*seen[:2], but_made=True), changes(*seen[1:])):
        for text in changed.values():
            raise NotCompilable(f"{text} between rounds, and what a round does may depend on it")
    if random_state(game.device)[1] != plain:
        raise NotCompilable("a step draws random numbers from Python's or numpy's generators, which a trace would freeze")
    return state


def _few(draws: Tensor, parts: int) -> Tensor:
    """The first examples of each micro-batch, in double precision."""
    each = max(1, min(FEW, draws.shape[1] // parts))
    cut = torch.cat([t[:, :each] for t in draws.chunk(parts, 1)], 1)
    return cut.double() if cut.is_floating_point() else cut


def _compare(found: Draws, expected: Draws, before: Draws, share: float, how: str) -> None:
    for part, (off, way) in sorted(distances(found, expected, before).items()):
        if not off <= share * way + 1e-7:
            raise NotCompilable(f"two {how} rounds end elsewhere than two eager ones: {part}, {off:.2g} off after {way:.2g}")


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
