"""Draws of packed trials from data and prior: each trial's from its generators, several rounds at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ganflow.engine.feed import ResidentFeed
from ganflow.engine.trainer import Trainer
from ganflow.recipe import Recipe

AHEAD = 8
"""Rounds that are drawn at a time: a draw costs more by being made than by its size."""


class StackedDraws:
    """The trials' draws, stacked. Trials whose generators stand alike share theirs.

    Attributes:
        ahead: rounds that may be drawn at a time. More than one only where that gives the same numbers.
    """

    def __init__(self, recipes: Sequence[Recipe], trainers: Sequence[Trainer]) -> None:
        self.trainers = list(trainers)
        self._leaders = _leaders(recipes, trainers)
        self._over: set[int] = set()
        self._distinct = sorted(set(self._leaders))
        self.ahead = AHEAD if all(_same_ahead(trainers[i], AHEAD) for i in self._distinct) else 1

    def next(self, rounds: int) -> list[dict[str, Tensor]]:
        """The draws of this many rounds: each name's has shape (trials, draws, m, …)."""
        stacked: dict[str, Tensor] = {}
        for row, i in enumerate(self._distinct):
            for name, t in self.trainers[i].draw(rounds).items():
                t = t.unflatten(0, (rounds, -1))
                if name not in stacked:
                    stacked[name] = torch.empty(rounds, len(self._distinct), *t.shape[1:], dtype=t.dtype, device=t.device)
                stacked[name][:, row] = t
        if len(self._distinct) < len(self.trainers):
            of = [self._distinct.index(leader) for leader in self._leaders]
            stacked = {name: t[:, of] for name, t in stacked.items()}
        return [{name: t[r] for name, t in stacked.items()} for r in range(rounds)]

    def peek(self, rounds: int) -> list[dict[str, Tensor]]:
        """The draws of the next rounds, which stay undrawn."""
        each = [trainer.peek(rounds) for trainer in self.trainers]
        return [{name: torch.stack([draws[r][name] for draws in each]) for name in each[0][r]} for r in range(rounds)]

    def drop(self, i: int) -> None:
        """Stop drawing for trial i, which is over: it gets another one's draws. Those that use its draws get another leader."""
        self._over.add(i)
        left = [j for j in range(len(self.trainers)) if j not in self._over]
        if not left:
            return
        sharing = [j for j in left if self._leaders[j] == i]
        for j in sharing:
            self.catch_up(j)
        successor = sharing[0] if sharing else self._leaders[left[0]]
        self._leaders = [successor if leader == i or j in self._over else leader for j, leader in enumerate(self._leaders)]
        self._distinct = sorted(set(self._leaders))

    def catch_up(self, i: int) -> None:
        """Bring trial i's generators to the state of those that it shares."""
        leader = self.trainers[self._leaders[i]]
        if leader is not self.trainers[i]:
            self.trainers[i].feed.load_state(leader.feed.state())
            self.trainers[i].prior_draws.set_state(leader.prior_draws.get_state())


def _leaders(recipes: Sequence[Recipe], trainers: Sequence[Trainer]) -> list[int]:
    """For each trial the first that draws the same."""
    leaders: list[int] = []
    for i, trainer in enumerate(trainers):
        same = (j for j in sorted(set(leaders)) if _draw_alike(recipes[i], trainer, recipes[j], trainers[j]))
        leaders.append(next(same, i))
    return leaders


def _draw_alike(recipe: Recipe, a: Trainer, other: Recipe, b: Trainer) -> bool:
    return (
        recipe.prior == other.prior
        and recipe.data == other.data
        and torch.equal(a.prior_draws.get_state(), b.prior_draws.get_state())
        and _equal(a.feed.state(), b.feed.state())
        and a.game.data.fingerprint() == b.game.data.fingerprint()
    )


def _same_ahead(trainer: Trainer, rounds: int) -> bool:
    """True where drawing for many rounds at once is drawing for one after another, to the bit."""
    if not isinstance(trainer.feed, ResidentFeed):
        return False
    feed, prior = trainer.feed.state(), trainer.prior_draws.get_state()
    ends, drawn = [], []
    for calls in (1, rounds):
        pieces = [trainer.draw(rounds // calls) for _ in range(calls)]
        drawn.append({name: torch.cat([piece[name] for piece in pieces]) for name in pieces[0]})
        ends.append({**trainer.feed.state(), "prior": trainer.prior_draws.get_state()})
        trainer.feed.load_state(feed)
        trainer.prior_draws.set_state(prior)
    return _equal(*drawn) and _equal(*ends)


def _equal(a: Any, b: Any) -> bool:
    """True for two nested states that are the same."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_equal(value, b[name]) for name, value in a.items())
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(_equal, a, b))
    return torch.equal(a, b) if isinstance(a, Tensor) else bool(a == b)
