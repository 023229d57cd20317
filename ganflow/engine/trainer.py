"""The loop: plays rounds and reports. No files, no network, no terminal."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from ganflow.contract.loss import Batch, Report
from ganflow.contract.signature import Z
from ganflow.engine.compat import BatchNorm
from ganflow.engine.compile import CompiledRound, compile_round
from ganflow.engine.distributed import Group
from ganflow.engine.feed import Feed, keyed_generator
from ganflow.engine.game import Game
from ganflow.engine.player import learning_rates
from ganflow.engine.round import Round, split
from ganflow.engine.state import (
    flatten,
    game_state,
    gathered,
    kept_random,
    load_game_state,
    load_random_state,
    load_rank,
    others_in,
    per_rank,
    random_state,
    seed_random,
    unflatten,
    workers_of,
)
from ganflow.errors import GanflowError

Tensors = dict[str, Tensor]
PLAY, PAUSE, GATHER, END = range(4)
"""What the first worker sends to the others, which wait for it in `Trainer.advance`: play another round; go on to the report;
send state that differs between workers, and wait again; nothing more will be played."""


class Diverged(GanflowError):
    """A term is not a finite number."""

    def __init__(self, term: str, value: float, round: int) -> None:
        self.term, self.value, self.round = term, value, round
        super().__init__(f"{term} became {value} in round {round}")


class Apart(GanflowError):
    """State of one run that must be the same on all of its workers, and is not."""


class Trainer:
    """Plays a game.

    Args:
        game: with its players.
        feed: draws real batches.
        round: the game's round.
        batch_size: of every draw; of all workers together.
        seed: of the prior's draws, and of those that follow from seed and round.
        group: the workers that train the game together; None for this one alone. They play in lock-step, each on its
            share of every draw, and all of them report the same.
    """

    def __init__(self, game: Game, feed: Feed, round: Round, batch_size: int, seed: int = 0, group: Group | None = None) -> None:
        self.game, self.feed, self.batch_size, self.seed, self.group = game, feed, batch_size, seed, group
        self.play: Round | CompiledRound = round
        self.round = 0
        self._sure = 0  # until which round the compiled ones were seen to be right
        self.stop = False  # set from a signal handler: `advance` returns after the round in hand
        share = group.share(batch_size, round.accumulate) if group else None
        self._share = torch.tensor(share, device=game.device) if share else None
        self._compared = False  # the workers' states, once at least
        self._ended = False  # all workers know that nothing more will be played
        self.drawn: Tensors = {}  # of the last round before a report
        self.unreported = Unreported()
        self._others: Tensors = {}  # of a checkpoint, until `share`
        self._dtype = next(game.generator.parameters()).dtype
        self.prior_draws = game.stream("prior", seed, game.device)

    def compile(self, whole: bool, copy: Callable[[], Round], rounds: int = 0) -> None:
        """Compile the rounds to come; raises NotCompilable. Draws nothing that training would miss.

        Args:
            whole: the round, not its steps.
            copy: makes the round of a copy of the game in double precision (ganflow.engine.build.twin).
            rounds: until which round the game is played: terms may take part in some of them.
        """
        assert isinstance(self.play, Round)
        self.play = compile_round(self.play, copy, self.peek(3), whole, self.play.phases(rounds, self.round))

    def changed(self, retrace: bool | None = None) -> str | None:
        """The reason why compiled rounds would not be what the eager ones are any more; None where they would, or are not
        compiled. See CompiledRound.changed.

        Args:
            retrace: trace a round again; None: check at all only where that takes little of the time.
        """
        if not isinstance(self.play, CompiledRound) or (retrace is None and not self.play.due):
            return None
        retrace = retrace is not False
        why = self.play.changed(retrace)
        if why is None and retrace:
            self._sure = self.round
        between = f"; it may have begun after round {self._sure}" if self._sure < self.round else ""
        return why and f"{why}{between}"

    def decompile(self) -> None:
        """Play the rounds to come eagerly."""
        if isinstance(self.play, CompiledRound):
            self.play = self.play.round

    def advance(self, until: int, reported: Callable[[int], bool] = lambda round: True) -> Report:
        """Play rounds until `until` of them are played (or `stop` is set).

        Args:
            reported: whether what was played up to a round is reported there. Where it is not, the report has no terms, and the
                next one is of these rounds, too.

        Raises:
            Diverged: a term was not finite. Nothing of these rounds should be kept.
            Apart: the workers' games keep different things.
        """
        started, first = time.perf_counter(), self.round
        rows: list[list[Tensor]] = []
        named: list[tuple[list[str], frozenset[str]]] = []
        while self.round < until and self._goes_on():
            self.play.begin(self.round)
            self.drawn = {}  # which makes room
            self.drawn = self.draw()
            rows.append(self.play(self.drawn))
            named.append((self.play.names, self.play.descended))
            self.round += 1
            if self.group and not self._compared:
                self._compare()
        if not rows:
            return Report(self.round)
        self.game.round.fill_(self.round)
        line = torch.stack([t for row in rows for t in row]).float()
        if self.group:
            self._compare()
            (line,) = self.group.mean([line])
        values = iter(line.tolist())  # the only read
        for i, (names, descended) in enumerate(named):
            row = dict(zip(names, values, strict=False))
            for name, value in row.items():
                if not math.isfinite(value):
                    raise Diverged(name, value, first + i + 1)
            self.unreported.add({**row, **sums(row, descended, self.game.players)})
        self.unreported.played(len(rows), time.perf_counter() - started)
        return self.report() if reported(self.round) else Report(self.round)

    def report(self) -> Report:
        """A report of all rounds that are not yet reported."""
        known, self.unreported = self.unreported, Unreported()
        terms = known.means()
        return Report(self.round, terms, self.game.estimates(terms), learning_rates(self.game.players), known.speed)

    def halt(self) -> None:
        """End the other workers, which wait for another round or checkpoint."""
        if self.group and not self._ended:
            self._ended = self.group.first(END) == END

    def share(self) -> None:
        """Load the first worker's state into all of them, and into each its part of the state that differs."""
        if not self.group:
            return
        tensors, plain = self._state(self._others)
        copies = {name: t.detach().cpu().clone(memory_format=torch.contiguous_format) for name, t in tensors.items()}
        text = self.group.send(json.dumps(plain).encode())
        data = self.group.send(save(copies) if self.group.rank == 0 else b"")
        if self.group.rank:
            self.load_state(load(data), json.loads(text))
            load_rank(self.game, self.group.rank, self._others)
        self._others = {}

    def _goes_on(self) -> bool:
        """True where another round is to be played, which the first worker decides: a signal may have stopped it."""
        if not self.group:
            return not self.stop
        while (word := self.group.first(PAUSE if self.stop else PLAY)) == GATHER:
            gathered(self.game, self.group)
        if word == END:
            self.stop = self._ended = True
        self.group.reseed(self.seed, self.round)
        return word == PLAY

    def _compare(self) -> None:
        """See that what modifiers and the loss keep is the same on all workers, but for modules that say `per_rank`: a
        checkpoint holds the first one's alone.

        By sums of each tensor, which differ where its numbers do by more than machines round. A batch norm's statistics, in an
        average of the generator, are each worker's own where it normalizes its share alone (`train.batch_norm: local`)."""
        assert self.group is not None
        self._compared = True
        norms = [m for m in self.game.extras.modules() if isinstance(m, BatchNorm)]
        aside = {id(buffer) for norm in norms for buffer in norm.buffers()}
        differing, state = per_rank(self.game), self.game.extras.state_dict(keep_vars=True)
        kept = {name: t for name, t in state.items() if id(t) not in aside and f"game.extras.{name}" not in differing}
        if not kept:
            return
        rows = self.group.rows(torch.stack([_sums(t.detach()) for t in kept.values()]))  # (workers, tensors, 3)
        apart = ((rows - rows[0]).abs() > 1e-3 * rows[0, :, :1] + 1e-30).any(2).any(0)
        for name, differs in zip(kept, apart.tolist(), strict=True):
            if differs:
                what = f"'{name}' follows from the examples of each worker and is not the same on all"
                raise Apart(f"--workers: {what}, and a checkpoint would keep the first one's alone; train with one")

    def draw(self, rounds: int = 1) -> Tensors:
        """Everything random that a round (or several, one after another) needs of data and prior, in one draw each; this
        worker's share of it."""
        draws: Tensors = {}
        if self.play.data_draws:
            draws = self.feed.draw(rounds * self.play.data_draws)
        if self.game.prior is not None:
            z = self.game.prior.sample(
                rounds * self.play.prior_draws, self.batch_size, generator=self.prior_draws, device=self.game.device
            )
            draws[Z] = self._mine(z)
        return draws

    def apart(self) -> AbstractContextManager[None]:
        """Random numbers drawn inside follow from seed and round, and are none of training's: a run that reports, draws or is
        tracked more often has the same weights."""
        return kept_random(self.game.device, keyed_generator("apart", self.seed, self.round).initial_seed())

    def settle(self) -> None:
        """Make the game ready to be sampled from, scored or kept (`Game.settle`). Draws nothing that training would miss."""
        with kept_random(self.game.device):
            self.game.settle(self._fresh)

    def _fresh(self, k: int) -> list[Batch]:
        """k batches for the generator: z from a stream that depends on seed and round alone; data, where the loss reads them in
        the generator's step, as the next rounds draw them."""
        draws: Tensors = {}
        if self.game.needs["generator"]:
            before = self.feed.state()
            draws = self.feed.draw(k)
            self.feed.load_state(before)
        if self.game.prior is not None:
            stream = keyed_generator("settle", self.seed, self.round, device=self.game.device)
            draws[Z] = self._mine(self.game.prior.sample(k, self.batch_size, generator=stream, device=self.game.device))
        return split(draws)

    def _mine(self, z: Tensor) -> Tensor:
        """This worker's share of draws from the prior (k, batch_size, …), in the networks' dtype."""
        z = z if self._share is None else z[:, self._share]
        return z if z.dtype == self._dtype else z.to(self._dtype)

    def peek(self, rounds: int) -> list[Tensors]:
        """The draws of the next rounds, which stay undrawn."""
        feed, prior = self.feed.state(), self.prior_draws.get_state()
        draws = [self.draw() for _ in range(rounds)]
        self.feed.load_state(feed)
        self.prior_draws.set_state(prior)
        return draws

    def reseed(self, seed: int) -> None:
        """Go on with another seed's random numbers: examples, latents and whatever is drawn from the generators of all."""
        self.seed, self.unreported = seed, Unreported()
        self.feed.reseed(seed)
        self.prior_draws = self.game.stream("prior", seed, self.game.device)
        seed_random(self.game.device, seed)

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Everything that the next round depends on: live tensors by name, and plain values. The first of several workers gathers
        the others' state where it differs; they must wait in `advance`."""
        others: Tensors = {}
        if self.group and not self.group.rank and not self._ended and per_rank(self.game):
            self.group.first(GATHER)
            others = gathered(self.game, self.group)
        return self._state(others)

    def _state(self, others: Tensors) -> tuple[Tensors, dict[str, Any]]:
        tensors, plain = game_state(self.game)
        randoms, plain_randoms = random_state(self.game.device)
        tensors |= randoms | others
        plain |= {"round": self.round, "random": plain_randoms, "feed": flatten(self.feed.state(), "feed", tensors)}
        plain["seed"] = self.seed
        if pending := self.unreported.state():
            plain["unreported"] = pending
        tensors["random.prior"] = self.prior_draws.get_state()
        return tensors, plain

    def load_state(self, tensors: Tensors, plain: dict[str, Any]) -> str | None:
        """Go on where `state` was taken. Raises ValueError where it is another game's.

        Returns:
            What is lost where there were more workers or fewer, in a sentence; else None.
        """
        load_game_state(self.game, tensors, plain)
        if (seed := plain.get("seed", self.seed)) != self.seed:  # of a run that was reseeded; absent from earlier checkpoints
            self.reseed(seed)
        self.feed.load_state(unflatten(plain["feed"], tensors))
        self.prior_draws.set_state(tensors["random.prior"])
        self.round = plain["round"]
        self.unreported = Unreported(plain.get("unreported"))
        self.game.round.fill_(self.round)
        load_random_state(self.game.device, tensors, plain["random"])
        self._others = others_in(tensors)
        had, size, differing = workers_of(self._others), self.group.size if self.group else 1, per_rank(self.game)
        if had == size or not differing:
            return None
        self._others = {}
        what = ", ".join(dict.fromkeys(name.removeprefix("game.extras.").rpartition(".")[0] for name in differing))
        if had > 1:
            return f"{what} differed between {had} workers; now all go on with the first one's"
        return f"{what} was one worker's; now all {size} go on with it"


class Unreported:
    """Terms of the rounds since the last report. They are added one by one, so that a run which goes on between two reports
    has the same sums.

    Args:
        state: of a checkpoint.
    """

    def __init__(self, state: Mapping[str, Sequence[float]] | None = None) -> None:
        self._sums = {name: float(total) for name, (total, _) in (state or {}).items()}
        self._counts = {name: int(count) for name, (_, count) in (state or {}).items()}
        self._rounds, self._seconds = 0, 0.0  # of this process

    def add(self, terms: Mapping[str, float], count: int = 1) -> None:
        """Add the terms that took part in a round, or their sums over `count` rounds."""
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + count

    def played(self, rounds: int, seconds: float) -> None:
        """Note the time that rounds took."""
        self._rounds, self._seconds = self._rounds + rounds, self._seconds + seconds

    def means(self) -> dict[str, float]:
        """The terms' means over the rounds in which they took part."""
        return {name: total / self._counts[name] for name, total in self._sums.items()}

    @property
    def speed(self) -> float:
        """Rounds per second."""
        return self._rounds / self._seconds if self._seconds else 0.0

    def state(self) -> dict[str, tuple[float, int]]:
        """Plain data for a checkpoint."""
        return {name: (total, self._counts[name]) for name, total in self._sums.items()}


def sums(values: Mapping[str, float], descended: Collection[str], players: Iterable[str]) -> dict[str, float]:
    """The sums that the players descend, "critic_loss" and "generator_loss", of their terms among these values."""
    return {f"{p}_loss": sum(v for name, v in values.items() if name in descended and name.startswith(f"{p}/")) for p in players}


def _sums(t: Tensor) -> Tensor:
    """The sums of a tensor's absolute values, of its numbers, and of its numbers weighted by position."""
    line = (t.cpu() if t.device.type == "mps" else t).double().flatten().nan_to_num()
    return torch.stack((line.abs().sum(), line.sum(), line @ torch.linspace(1, 2, len(line)).to(line)))
