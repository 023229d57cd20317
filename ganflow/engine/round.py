"""The round: Algorithm 1's outer iteration, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import reduce
from typing import Any, Literal

import torch
from torch import Tensor

from ganflow.contract.loss import AddedTerms, Batch, Loss, Terms
from ganflow.engine.game import Game
from ganflow.engine.losses import gives, losses_in
from ganflow.engine.step import PlayedStep
from ganflow.errors import GanflowError

Listener = Callable[..., None]
Draws = dict[str, Tensor]
Player = Literal["critic", "generator"]


class Round:
    """`n_critic` critic steps, each on a fresh draw, then one generator step.

    Args:
        game: with its players.
        n_critic: critic steps per generator step (none in a critic-free game).
        accumulate: micro-batches per update; the batch is cut into so many, their gradients averaged.
        precision: "bf16" runs the networks under autocast.
        one_batch: the generator's step plays on the critic's last batch, and on what was generated for it.
        critic_stepped, generator_stepped: called after the steps, with `game`.
        settings: of the components that play, by slot of the recipe; for messages on what changes in them.

    Attributes:
        active: the loss and the added terms that take part in the round that `begin` began.
        names: of the terms and logged numbers that the last call returned: the critic's of its last step, then the generator's.
        descended: those of them that a player descends; `descends` the same of the last step, without the player.

    A call takes the round's draws, one tensor (`draws`, m, …) per name, "z" among them, and returns the values of `names`.
    """

    def __init__(
        self,
        game: Game,
        n_critic: int,
        *,
        accumulate: int = 1,
        precision: str = "fp32",
        one_batch: bool = False,
        critic_stepped: list[Listener] | None = None,
        generator_stepped: list[Listener] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        if not game.needs:
            game.discover()
        self.game, self.accumulate, self.precision = game, accumulate, precision
        self.settings = dict(settings or {})
        self.n_critic = n_critic if game.critic is not None else 0
        self.one_batch = one_batch and self.n_critic > 0
        self.critic_stepped, self.generator_stepped = critic_stepped or [], generator_stepped or []
        self.active: tuple[AddedTerms, ...] = game.parts
        self.names: list[str] = []
        self.descended: frozenset[str] = frozenset()
        self.descends: frozenset[str] = frozenset()
        self._names: dict[tuple[Any, ...], frozenset[str]] = {}  # of terms, by player and the ids of those that take part
        self._keeping = {  # what changes state after a step, by event and by the part that holds it
            event: [(outer, part) for outer in game.parts for part in losses_in([outer]) if gives(part, event)]
            for event in ("critic_stepped", "generator_stepped")
        }
        half = precision == "bf16"
        self._autocast: AbstractContextManager[object] = (
            torch.autocast(game.device.type, dtype=torch.bfloat16) if half else nullcontext()
        )
        several = self.n_critic > 0 and not self.one_batch
        self._one_generator_pass = game.together and several and generates_row_by_row(game.loss)

    def begin(self, number: int) -> None:
        """Begin a round, of so many played before: learning rates, the game's clock, and the terms that are active."""
        self.game.round.fill_(number)
        for player in self.game.players.values():
            player.start_round(number)
        self.active = tuple(part for part in self.game.parts if part.active(number))

    def phases(self, rounds: int, first: int = 0) -> list[int]:
        """For each set of terms that are active together in one of the rounds first … rounds − 1, the first such round."""
        seen: dict[tuple[bool, ...], int] = {}
        spans = any(part.every > 1 or part.begin or part.end is not None for part in self.game.parts)
        for number in range(first, rounds if spans else first + 1):
            seen.setdefault(tuple(part.active(number) for part in self.game.parts), number)
        return list(seen.values())

    @property
    def data_draws(self) -> int:
        """Real batches that a round draws."""
        return self.n_critic + int(bool(self.game.needs["generator"]) and not self.one_batch)

    @property
    def prior_draws(self) -> int:
        """Prior batches that a round draws: one per critic step, and one for the generator's step."""
        return self.n_critic + int(not self.one_batch)

    @property
    def generator_draw(self) -> int:
        """The index, among the round's draws, of the generator's step."""
        return self.n_critic - int(self.one_batch)

    def __call__(self, draws: Draws) -> list[Tensor]:
        batches = split(draws)
        values: Terms = {}
        descended: set[str] = set()
        fakes = self._generated_at_once(draws) if self._one_generator_pass else [None] * len(batches)
        last: PlayedStep | None = None
        for i in range(self.n_critic):
            shared = fakes[i]
            if self.one_batch and i == self.generator_draw and self.accumulate == 1:
                last = self.game.step("generator", batches[i])
                with self._autocast:  # the critic's step does not change the generator: its pass serves both
                    shared = {domain: last.generated(domain).detach() for domain in self.game.domains}
            values = self.critic_step(batches[i], shared)
            descended = {f"critic/{name}" for name in self.descends}
        named = {f"critic/{name}": t for name, t in values.items()}
        named |= {f"generator/{name}": t for name, t in self.generator_step(batches[self.generator_draw], last).items()}
        self.descended = frozenset({*descended, *(f"generator/{name}" for name in self.descends)})
        self.names = list(named)
        return list(named.values())

    def critic_step(self, batch: Batch, fakes: Mapping[str, Tensor] | None = None) -> Terms:
        """One descent of the critic; then whoever listens (clipping)."""
        return self._play("critic", [self.game.step("critic", batch, fakes=fakes)] if self.accumulate == 1 else batch)

    def generator_step(self, batch: Batch, step: PlayedStep | None = None) -> Terms:
        """One descent of the generator; then whoever listens (averaging)."""
        whole = step or self.game.step("generator", batch)
        return self._play("generator", [whole] if self.accumulate == 1 else batch)

    def _play(self, name: Player, steps: Sequence[PlayedStep] | Batch) -> Terms:
        """Terms and logged numbers of a player's step, from one PlayedStep or a batch that is cut."""
        player = self.game.players[name]
        gradients: list[Tensor] = []
        values: Terms = {}
        parts = self._micro_steps(name, steps) if isinstance(steps, Mapping) else iter(steps)
        for step in parts:
            with self._autocast:
                terms = self.game.terms_of(step, self.active)
            if alike := terms.keys() & step.logged.keys():
                raise GanflowError(f"a number is logged as '{min(alike)}', which is the name of a term: use another name")
            self.descends = frozenset(terms)
            taking_part = (name, *map(id, self.active))
            if odd := self.descends ^ self._names.setdefault(taking_part, self.descends):
                raise GanflowError(f"the {name}'s term '{min(odd)}' takes part in some steps and not in others, and nothing says "
                                   "when: give it each time, or say it by every, begin and end")  # fmt: skip
            found = {**{key: t.detach() for key, t in terms.items()}, **step.logged}
            if self.accumulate == 1:
                player.descend(total(name, terms, self.game))
                values = found
                break
            new = player.gradients(total(name, terms, self.game) / self.accumulate)
            gradients = [a + b for a, b in zip(gradients, new, strict=True)] if gradients else [g.clone() for g in new]
            values = {key: values.get(key, 0) + t / self.accumulate for key, t in found.items()}
        if gradients:
            player.update(gradients)
        step.write()
        self._notify(name, values)
        player.forget()
        return values

    def _notify(self, name: Player, values: Terms) -> None:
        """Call what keeps state, and whoever listens."""
        event = f"{name}_stepped"
        keeping = [part for outer, part in self._keeping[event] if outer in self.active]
        if keeping:
            group = self.game.players[name].group
            means = values
            if group is not None:
                dtype = reduce(torch.promote_types, (t.dtype for t in values.values()), torch.float32)
                (line,) = group.mean([torch.stack([t.to(dtype) for t in values.values()])])
                means = dict(zip(values, line.unbind(), strict=True))
            with torch.no_grad():
                for part in keeping:
                    getattr(part, event)(means)
        for listener in getattr(self, event):
            listener(game=self.game)

    def _micro_steps(self, name: Player, batch: Batch) -> Iterator[PlayedStep]:
        cut = {key: t.chunk(self.accumulate) for key, t in batch.items()}
        pending: dict[int, tuple[Tensor, Tensor]] = {}
        for i in range(self.accumulate):
            yield self.game.step(name, {key: ts[i] for key, ts in cut.items()}, pending=pending)

    def _generated_at_once(self, draws: Draws) -> Sequence[Mapping[str, Tensor] | None]:
        """The fakes of all critic steps in one generator pass: the generator does not change between them."""
        flat = {name: t[: self.n_critic].flatten(0, 1) for name, t in draws.items() if len(t) >= self.n_critic}
        step = self.game.step("critic", flat)
        with self._autocast:
            made = {domain: step.generated(domain).unflatten(0, (self.n_critic, -1)).unbind() for domain in self.game.domains}
        return [{domain: fakes[i] for domain, fakes in made.items()} for i in range(self.n_critic)]


def generates_row_by_row(loss: Loss) -> bool:
    """True for a loss that generates from each row of a batch alone: batches which are put together give the same fakes."""
    return type(loss).generate is Loss.generate or (loss.row_by_row and not loss.whole_batch)


def total(player: str, terms: Terms, game: Game) -> Tensor:
    """The sum that a player descends."""
    if not terms:
        advice = "take the critic out of the recipe" if player == "critic" else "use another loss"
        raise GanflowError(f"the {game.called[0]} gives the {player} nothing to descend: {advice}")
    summed = reduce(torch.add, terms.values())
    if not summed.requires_grad:
        what = f"no gradient of the {player}'s terms ({', '.join(terms)}) arrives at it in this round"
        raise GanflowError(f"{game.called[0]}: {what}; compute them without detach")
    return summed


def split(draws: Draws) -> list[Batch]:
    """One batch per step; a name with fewer draws than there are steps is missing in the last ones."""
    unbound = {name: t.unbind() for name, t in draws.items()}
    steps = max(map(len, unbound.values()))
    return [{name: ts[i] for name, ts in unbound.items() if i < len(ts)} for i in range(steps)]
