"""The loop: plays rounds and reports. No files, no network, no terminal."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ganflow.data import Feed
from ganflow.errors import GanflowError
from ganflow.game import Game, Round
from ganflow.game.compiled import CompiledRound, compile_round
from ganflow.game.state import flatten, game_state, load_game_state, load_random_state, random_state, unflatten

Tensors = dict[str, Tensor]


class Diverged(GanflowError):
    """A term is not a finite number."""

    def __init__(self, term: str, value: float, round: int) -> None:
        self.term, self.value, self.round = term, value, round
        super().__init__(f"{term} became {value} in round {round}")


@dataclass
class Report:
    """What happened since the last report.

    Attributes:
        round: rounds played so far.
        terms: means of the terms over the rounds since the last report, "critic/wasserstein", …
        estimates: what the loss derives from them ("w_estimate").
        rates: learning rates, by player.
        rounds_per_second: since the last report.
    """

    round: int
    terms: dict[str, float] = field(default_factory=dict)
    estimates: dict[str, float] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)
    rounds_per_second: float = 0.0

    @property
    def values(self) -> dict[str, float]:
        """Everything with a curve of its own."""
        rates = {f"lr/{player}": rate for player, rate in self.rates.items()}
        return {**self.terms, **self.estimates, **rates, "rounds_per_second": self.rounds_per_second}


class Trainer:
    """Plays a game.

    Args:
        game: with its players.
        feed: draws real batches.
        round: the game's round.
        batch_size: of every draw.
        seed: of the prior's draws.
    """

    def __init__(self, game: Game, feed: Feed, round: Round, batch_size: int, seed: int = 0) -> None:
        self.game, self.feed, self.batch_size = game, feed, batch_size
        self.play: Round | CompiledRound = round
        self.round = 0
        self.stop = False  # set from a signal handler: `advance` returns after the round in hand
        self._dtype = next(game.generator.parameters()).dtype
        self._prior_draws = torch.Generator(device=game.device).manual_seed(seed)

    def compile(self, whole: bool) -> None:
        """Compile the rounds to come; raises NotCompilable. Draws nothing that training would miss."""
        assert isinstance(self.play, Round)
        feed, prior = self.feed.state(), self._prior_draws.get_state()
        examples = [self._draw() for _ in range(2)]
        self.feed.load_state(feed)
        self._prior_draws.set_state(prior)
        self.play = compile_round(self.play, examples, whole)

    def advance(self, until: int) -> Report:
        """Play rounds until `until` of them are played (or `stop` is set).

        Raises:
            Diverged: a term was not finite. Nothing of these rounds should be kept.
        """
        started, first = time.perf_counter(), self.round
        rows: list[list[Tensor]] = []
        while self.round < until and not self.stop:
            for player in self.game.players.values():
                player.start_round(self.round)
            rows.append(self.play(self._draw()))
            self.round += 1
        if not rows:
            return Report(self.round)
        table = torch.stack([t for row in rows for t in row]).float().view(len(rows), -1).tolist()  # the only read
        names = self.play.names
        for i, values in enumerate(table):
            for name, value in zip(names, values, strict=True):
                if not math.isfinite(value):
                    raise Diverged(name, value, first + i + 1)
        terms = {name: sum(column) / len(rows) for name, column in zip(names, zip(*table, strict=True), strict=True)}
        rates = {name: rate for name, p in self.game.players.items() if (rate := p.learning_rate) is not None}
        seconds = time.perf_counter() - started
        return Report(self.round, terms, self.game.loss.estimates(terms), rates, len(rows) / seconds)

    def _draw(self) -> Tensors:
        """Everything random that a round needs of data and prior, in one draw each."""
        draws: Tensors = {}
        if self.play.data_draws:
            draws = self.feed.draw(self.play.data_draws)
        if self.game.prior is not None:
            z = self.game.prior.sample(
                self.play.prior_draws, self.batch_size, generator=self._prior_draws, device=self.game.device
            )
            draws["z"] = z if z.dtype == self._dtype else z.to(self._dtype)
        return draws

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Everything that the next round depends on: live tensors by name, and plain values."""
        tensors, plain = game_state(self.game)
        randoms, plain_randoms = random_state(self.game.device)
        tensors |= randoms
        plain |= {"round": self.round, "random": plain_randoms, "feed": flatten(self.feed.state(), "feed", tensors)}
        tensors["random.prior"] = self._prior_draws.get_state()
        return tensors, plain

    def load_state(self, tensors: Tensors, plain: dict[str, Any]) -> None:
        """Go on where `state` was taken. Raises ValueError where it is another game's."""
        load_game_state(self.game, tensors, plain)
        self.feed.load_state(unflatten(plain["feed"], tensors))
        self._prior_draws.set_state(tensors["random.prior"])
        self.round = plain["round"]
        load_random_state(self.game.device, tensors, plain["random"])
