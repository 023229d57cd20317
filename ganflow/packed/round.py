"""One round of many trials at once, on the game that stands for all of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn

from ganflow.contract.data import Data
from ganflow.contract.signature import Z
from ganflow.engine.build import built_round
from ganflow.engine.compat import Conv, compile_for
from ganflow.engine.compile import first_words
from ganflow.engine.game import Game
from ganflow.engine.player import parts_of
from ganflow.engine.round import Draws, Round
from ganflow.engine.speed import arithmetic, operations_of
from ganflow.engine.state import kept_random, load_torch_random, torch_random
from ganflow.errors import GanflowError
from ganflow.packed import functional
from ganflow.packed.functional import check_alike, leaves, stack, unstack
from ganflow.packed.numbers import NotPackable, Number, Watch, differing, keys_in, template
from ganflow.plugins import blame
from ganflow.printing import plural
from ganflow.recipe import Recipe, Train


def build_template(recipe: Recipe, numbers: Sequence[Number], data: Data, example: Draws) -> Round:
    """The template's round, ready to be traced.

    Raises:
        NotPackable: a component needs its numbers as Python's, or an optimizer cannot be traced.
    """
    with explained("the template of a pack cannot be built"), Watch(all=False):
        made = built_round(template(recipe, numbers), data)
        for name, part in parts_of(made.game.players).items():
            if not part.traceable:
                kind = type(part.optimizer).__name__
                raise NotPackable(f"the {name}'s optimizer ({kind}) is not one that a trace can follow")
            part.optimizer.traceable()  # type: ignore[attr-defined]
    if recipe.train.accumulate > 1 or not _each_alone(made.game, example):
        return made
    made.game.one_pass = made.game.together = True
    return Round(
        made.game, made.n_critic, precision=made.precision, one_batch=made.one_batch, critic_stepped=made.critic_stepped,
        generator_stepped=made.generator_stepped, settings=made.settings,
    )  # fmt: skip


def _each_alone(game: Game, example: Draws) -> bool:
    """True where both networks treat every example alone, without randomness or state: then several passes may go through in one.
    Tried, in double precision."""
    if game.critic is None or set(game.signatures[game.maker].inputs) != {Z} or game.condition or len(game.domains) > 1:
        return False
    z = example["z"][:2].double()
    try:
        with torch.no_grad():
            fakes = _alone(game.generator, z)
            return fakes is not None and _alone(game.critic, fakes) is not None
    except Exception:
        return False  # it wants other arguments: whatever it is, it is not the simple case


def _alone(network: nn.Module, x: Tensor) -> Tensor | None:
    """The results for a pair of batches, one by one; None where both at once give others."""
    network = copy.deepcopy(network).double()
    state = {name: t.clone() for name, t in network.state_dict().items()}
    randoms = torch.get_rng_state()
    one_by_one = torch.stack([network(batch) for batch in x])
    together = network(x.flatten(0, 1)).unflatten(0, x.shape[:2])
    same_state = all(torch.equal(t, state[name]) for name, t in network.state_dict().items())
    drew = not torch.equal(randoms, torch.get_rng_state())
    close = torch.allclose(one_by_one, together, rtol=1e-10, atol=1e-12)
    return one_by_one if close and same_state and not drew else None


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Whatever goes wrong inside is why trials cannot be packed; the plugin whose code it was is named."""
    try:
        yield
    except Exception as error:
        if isinstance(error, NotPackable | GanflowError):
            plugin = blame(error)
            raise NotPackable(f"{plugin} {error}" if plugin else str(error)) from error
        plugin = blame(error)
        raise NotPackable(f"{what}{f' ({plugin})' if plugin else ''}: {first_words(error)}") from error


Randoms = tuple[dict[str, Tensor], dict[str, Any]]
CACHE = 2**20
"""Bytes of state that trials which are computed together may have: what does not fit a core's cache is slower."""
SAVED, BEGINNING = 0.5, 20.0
"""What packing saves of the trials' time, about, and the seconds in which a pack is traced, verified and compiled."""


class PackedRound:
    """A round of many trials, whose games are not changed.

    Args:
        recipes, rounds: of each trial, in one order. The rounds are eager.
        randoms: what `random_state` gave for each trial.
        example: the draws of one round of one trial.

    Attributes:
        names: of the terms and logged numbers; `descended` those that a player descends.
        numbers: by which the trials differ.
        randoms: as given, moved on by every round.

    Raises:
        NotPackable: with the reason.
    """

    def __init__(self, recipes: Sequence[Recipe], rounds: Sequence[Round], randoms: Sequence[Randoms], example: Draws) -> None:
        self.rounds, self.randoms = list(rounds), list(randoms)
        game, count = rounds[0].game, len(rounds)
        self.device = game.device
        self.numbers = differing(recipes, next(game.generator.parameters()).dtype, self.device)
        with kept_random(self.device):
            made = build_template(recipes[0], self.numbers, game.data, example)
            graph = self._trace(made, example)
        self._state_names = list(self._template)
        members = [leaves(r.game) for r in rounds]
        state = [stack(name, self._template[name], members) for name in self._state_names]
        numbers = [torch.tensor(n.values, dtype=n.tensor.dtype, device=self.device) for n in self.numbers]
        size = _together(count, sum(t[0].numel() * t.element_size() for t in state))
        self._state = [list(ts) for ts in zip(*(t.split(size) for t in state), strict=True)]
        self._numbers = [list(ts) for ts in zip(*(t.split(size) for t in numbers), strict=True)] or [[] for _ in self._state]
        self._size = size
        self._graph = self._batch(graph, example)
        self._program: Callable[..., Any] = self._graph
        self.names, self.descended = made.names, made.descended

    def __call__(self, draws: Draws) -> Tensor:
        """The terms, shape (terms, trials), of one round on these draws, shape (trials, …) each."""
        inputs = [draws[name] for name in self._draw_names] + self._draw_random()
        terms: list[Tensor] = []
        with torch.no_grad():
            for g, cut in enumerate(zip(*(t.split(self._size) for t in inputs), strict=True)):
                made = self._program(*self._state[g], *self._numbers[g], *cut)
                for at, t in zip(self._changed, made, strict=False):
                    self._state[g][at] = t.contiguous()
                terms.append(torch.stack([t.to(self._dtype) for t in made[len(self._changed) :]]))
        return torch.cat(terms, 1)

    def set_rates(self, part: str, rates: Sequence[Sequence[float]]) -> None:
        """The learning rates of the next round: for each trial, of each of the optimizer's groups."""
        for group, column in enumerate(zip(*rates, strict=True)):
            at = self._rates[part][group]
            stacked = torch.tensor(column, dtype=self._state[0][at].dtype).to(self.device)
            for state, values in zip(self._state, stacked.split(self._size), strict=True):
                state[at] = values

    def set_round(self, number: int) -> None:
        """Begin a round, of so many played before."""
        at = self._state_names.index("game.round")
        for state in self._state:
            state[at] = torch.full_like(state[at], number)

    def rows(self) -> dict[str, Tensor]:
        """The trials' states, stacked, by name."""
        return {name: torch.cat([state[i] for state in self._state]) for i, name in enumerate(self._state_names)}

    def write(self, i: int) -> None:
        """Write trial i's state into its game."""
        g, row = divmod(i, self._size)
        rows = {name: self._state[g][at][row] for at, name in enumerate(self._state_names)}
        unstack(rows, leaves(self.rounds[i].game))

    def read(self, i: int) -> None:
        """Read trial i's state from its game."""
        g, row = divmod(i, self._size)
        member = leaves(self.rounds[i].game)
        for at, name in enumerate(self._state_names):
            tensor = self._state[g][at] = self._state[g][at].clone()
            tensor[row] = torch.as_tensor(member[name], dtype=tensor.dtype).detach()

    def compile(self) -> None:
        """Make one program of a round, when the next one is played."""
        programs: list[Callable[..., Any]] = []

        def program(*inputs: Tensor) -> Any:
            if not programs:
                programs.append(compile_for(self._graph, inputs))
            return programs[0](*inputs)

        self._program = program

    def decompile(self) -> None:
        """Play operation by operation again."""
        self._program = self._graph

    def would_be(self, examples: Sequence[Draws]) -> dict[str, Tensor]:
        """The rows to which rounds on these draws, shape (trials, …) each, would lead. Nothing is changed."""
        state, randoms = [list(ts) for ts in self._state], list(self.randoms)
        try:
            with kept_random(self.device):
                for draws in examples:
                    self(draws)
            return self.rows()
        finally:
            self._state, self.randoms = state, randoms

    def _trace(self, round: Round, example: Draws) -> fx.GraphModule:
        """One trial's round as a function of state, numbers, draws and random numbers that changes nothing."""
        game = round.game
        everything = leaves(game)
        check_alike(everything, [leaves(r.game) for r in self.rounds])
        lifted = {id(n.tensor) for n in self.numbers}
        self._template = {name: t for name, t in everything.items() if isinstance(t, Tensor) and id(t) not in lifted}
        at = {id(t): i for i, t in enumerate(self._template.values())}
        groups = {name: part.optimizer.param_groups for name, part in parts_of(game.players).items()}
        self._rates = {name: [at[id(g["lr"])] for g in gs if id(g.get("lr")) in at] for name, gs in groups.items()}
        self._draw_names = list(example)
        state, numbers = list(self._template.values()), [n.tensor for n in self.numbers]
        inputs = [*state, *numbers, *example.values()]

        def play(*values: Tensor) -> list[Tensor]:
            with ExitStack() as stack:
                for player in game.players.values():
                    stack.enter_context(player.traced())
                return round(dict(zip(example, values[len(state) + len(numbers) :], strict=True)))

        with explained("a packed round cannot be traced"):
            with Watch(all=True):
                round(example)
            graph = functional.trace(play, inputs)
            self._drawings = functional.lift_random(graph)
            inputs += [draw() for draw in self._drawings]
            graph = functional.functional(graph, len(state), inputs)
        passed, output = graph.graph.find_nodes(op="placeholder"), graph.graph.output_node()
        results: list[fx.Node] = list(output.args[0])  # type: ignore[arg-type]
        for number, node in zip(self.numbers, passed[len(state) :], strict=False):
            if not node.users and number.key not in keys_in(state):
                why = "whatever reads it does not compute with its tensor"
                raise NotPackable(f"{number.key} has no part in a traced round: {why}")
        self._changed = [i for i in range(len(state)) if results[i] is not passed[i]]
        output.args = ([results[i] for i in self._changed] + results[len(state) :],)
        graph.recompile()
        self._dtype = state[0].dtype
        return graph

    def _batch(self, graph: fx.GraphModule, example: Draws) -> fx.GraphModule:
        with explained("a round cannot be played for many trials at once"), kept_random(self.device):
            single = [*example.values(), *(draw() for draw in self._drawings)]
            stacked = [torch.stack([t] * self._size) for t in single]
            return functional.batched(graph, [*self._state[0], *self._numbers[0], *stacked])

    def _draw_random(self) -> list[Tensor]:
        """The round's random numbers, of every trial from its generators."""
        if not self._drawings:
            return []
        columns = []
        for i, (tensors, plain) in enumerate(self.randoms):
            load_torch_random(self.device, tensors)
            columns.append([draw() for draw in self._drawings])
            self.randoms[i] = ({**tensors, **torch_random(self.device)}, plain)
        return [torch.stack(column) for column in zip(*columns, strict=True)]


def worth_packing(game: Game, trials: int, train: Train, rounds: int) -> tuple[bool, str]:
    """True where so many trials, of so many rounds each, may be played as one, and the reason where they had better not: they are
    none the faster (then it is false), or too short for the time that a pack takes to begin."""
    if trials < 2:
        return False, "one trial is not a pack"
    networks = [m for m in (game.generator, game.critic) if m is not None]
    if game.device.type == "cpu" and any(isinstance(m, Conv) for n in networks for m in n.modules()):
        return False, "convolutions of many trials at once are no faster on a CPU than one after another"
    threads = torch.get_num_threads() if game.device.type == "cpu" else 1
    each = operations_of(game, train.n_critic) + threads * arithmetic(game, train.n_critic, train.batch_size)
    if SAVED * each * rounds * trials < BEGINNING:
        return True, (
            f"a pack takes about {BEGINNING:.0f} s to be made and checked, which is more than it saves of "
            f"{plural(rounds, 'round')} of its trials; tune.pack=1 may be faster"
        )
    return True, ""


def _together(trials: int, size: int) -> int:
    """The number of trials, of so many bytes of state each, that are computed at a time: as many as fit the cache."""
    fit = max(1, CACHE // max(size, 1))
    best = max(n for n in range(1, trials + 1) if trials % n == 0 and n <= fit)
    return best if best >= min(fit, trials) / 2 else trials
