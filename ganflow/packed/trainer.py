"""The loop over the rounds of packed trials, verified in double precision before it begins."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ganflow.contract.hooks import hooks_of
from ganflow.contract.loss import Report
from ganflow.engine.attributes import attributes, changes, first_change
from ganflow.engine.build import twin
from ganflow.engine.compile import SHARE, TOLERANCE, NotCompilable, first_words, furthest
from ganflow.engine.player import parts_of
from ganflow.engine.round import Draws, Round
from ganflow.engine.state import kept_random, load_random_state, random_state, untouched
from ganflow.engine.trainer import Diverged, Trainer, sums
from ganflow.errors import GanflowError
from ganflow.packed.draws import StackedDraws
from ganflow.packed.functional import leaves
from ganflow.packed.numbers import NotPackable
from ganflow.packed.round import PackedRound
from ganflow.recipe import Recipe


def verify(packed: PackedRound, recipes: Sequence[Recipe], examples: Sequence[Draws]) -> None:
    """Compare packed rounds on these draws, shape (trials, …) each, with those of every trial alone. Nothing is changed.

    Raises:
        NotPackable: they end elsewhere.
    """
    with kept_random(packed.device):
        made = [recipe.copied() for recipe in recipes]
        twins = [twin(recipe, round.game) for recipe, round in zip(recipes, packed.rounds, strict=True)]
    for recipe in made:
        recipe.train.precision = "fp64"
    doubled = [{name: t.double() if t.is_floating_point() else t for name, t in draws.items()} for draws in examples]
    copies = PackedRound(made, twins, packed.randoms, _of(0, doubled[0]))
    for i, round in enumerate(twins):
        with untouched(round.game):
            _check_steady(i, round, [_of(i, draws) for draws in doubled])
    _compare(copies, doubled, SHARE)
    precision = packed.rounds[0].precision
    if precision == "bf16":  # its rounds have other operations
        _compare(packed, examples, TOLERANCE[precision])


def _check_steady(i: int, round: Round, examples: Sequence[Draws]) -> None:
    seen = [attributes(round)]
    for draws in examples:
        round(draws)
        seen.append(attributes(round))
    if text := first_change(seen):
        raise NotPackable(f"in trial {i} {text} between rounds, and what a round does may depend on it")


def _compare(packed: PackedRound, examples: Sequence[Draws], share: float) -> None:
    before, found = packed.rows(), packed.would_be(examples)
    keys = ", ".join(n.key for n in packed.numbers) or "none"
    for i, round in enumerate(packed.rounds):
        with untouched(round.game):
            load_random_state(packed.device, *packed.randoms[i])
            for draws in examples:
                round(_of(i, draws))
            alone = leaves(round.game)
            expected = {name: torch.as_tensor(alone[name]).detach().clone() for name in found}
        if off := furthest(_of(i, found), expected, _of(i, before), share, but_diverged=True):
            raise NotPackable(
                f"two packed rounds of trial {i} end elsewhere than two of its own ({off}): a component keeps something from "
                f"round to round outside of its tensors, or does not compute with a number's tensor (numbers: {keys})"
            )


def _of(i: int, stacked: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: t[i] for name, t in stacked.items()}


BETWEEN = ("round_reported", "evaluated", "checkpointed")
"""Events that are not part of a round."""
MISCOMPILED = 0.25
"""How far two compiled rounds may end from two eager ones, as a share of the way that these went. The eager ones are right:
they were compared in double precision. In single precision they are a tenth off that themselves where an adaptive optimizer
makes its first, whole steps of gradients that are nothing but rounding."""


@dataclass
class Member:
    """A trial that is to be packed. Make it right after the trainer was built, or its checkpoint loaded: torch's random
    numbers as they stand then are the trial's."""

    recipe: Recipe
    trainer: Trainer
    random: tuple[dict[str, Tensor], dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        self.random = random_state(self.trainer.game.device)


class PackedTrainer:
    """Loop over the games of several trials, played as one. Each trial's trajectory is that of a run alone, but for rounding.

    The trials' trainers stay behind until `member` brings one up to date.

    Attributes:
        round: rounds played.
        stop: set it, and `advance` returns after the rounds in hand.
        lost: by trial, why it is over: its terms were not finite. The others go on.

    Raises:
        NotPackable: with the reason. The members are as they were, and can be played one by one.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = list(members)
        self.trainers = [m.trainer for m in members]
        self.stop = False
        self.lost: dict[int, Diverged] = {}
        self._drawn: Draws = {}  # of the last round
        rounds = {t.round for t in self.trainers}
        if len(rounds) > 1:
            raise NotPackable(f"trials can be packed when they have played equally many rounds, not {sorted(rounds)}")
        self.round = rounds.pop()
        plays = [t.play for t in self.trainers if isinstance(t.play, Round)]
        if len(plays) < len(self.trainers):
            raise NotPackable("a trial's own rounds are compiled")
        recipes = [m.recipe for m in members]
        for recipe, play in zip(recipes, plays, strict=True):
            if not all(part.active(n) for n in play.phases(recipe.train.rounds, self.round) for part in play.game.parts):
                raise NotPackable("some terms take part in some rounds only")
        self.packed = PackedRound(recipes, plays, [m.random for m in members], self.trainers[0].peek(1)[0])
        self._check_draws()
        self._draws = StackedDraws(recipes, self.trainers)
        self._examples = self._draws.peek(2)
        verify(self.packed, recipes, self._examples)
        parts = [parts_of(play.game.players) for play in plays]
        self._scheduled = [name for name in parts[0] if any(each[name].schedule for each in parts)]

    def compile(self) -> None:
        """Compile the rounds to come.

        Raises:
            NotCompilable: with the reason. The rounds are then played as before.
        """
        before, expected = self.packed.rows(), self.packed.would_be(self._examples)
        self.packed.compile()
        try:
            off = furthest(self.packed.would_be(self._examples), expected, before, MISCOMPILED, but_diverged=True)
        except Exception as error:
            self.packed.decompile()
            raise NotCompilable(first_words(error)) from error
        if off:
            self.packed.decompile()
            raise NotCompilable(f"two compiled rounds end elsewhere than two eager ones: {off}")

    def advance(self, until: int, reported: Callable[[int], bool] = lambda round: True) -> list[Report | Diverged]:
        """Play rounds until `until` of them are played (or `stop` is set): what happened, for each trial. `reported` as of
        `Trainer.advance`."""
        started, first = time.perf_counter(), self.round
        rows: list[Tensor] = []
        while self.round < until and not self.stop:
            count = self._draws.ahead if until - self.round >= self._draws.ahead else 1
            for draws in self._draws.next(count):
                self._set_rates()
                self.packed.set_round(self.round)
                rows.append(self.packed(draws))
                self._drawn = draws
                self.round += 1
        if not rows:
            return [self.lost.get(i, Report(self.round)) for i in range(len(self.members))]
        terms = torch.stack(rows).float().cpu().double()  # the only read; shape (rounds, terms, trials)
        seconds = time.perf_counter() - started
        return [self._report(i, terms[..., i], first, seconds, reported(self.round)) for i in range(len(self.members))]

    @contextmanager
    def member(self, i: int) -> Iterator[Trainer]:
        """Trial i's trainer, up to date. While this lasts the process is the trial's: random numbers are drawn
        where its run would draw them, and what is changed in its game is changed.

        Raises:
            GanflowError: an event changed what is no tensor, which the packed rounds would not follow.
        """
        trainer, heard = self.trainers[i], self._hears(i)
        seen = attributes(trainer.play) if heard else {}  # type: ignore[arg-type]
        device = trainer.game.device
        self.packed.write(i)
        self._draws.catch_up(i)
        trainer.round = self.round
        trainer.game.round.fill_(self.round)
        before = random_state(device)
        load_random_state(device, *self.packed.randoms[i])
        trainer.drawn = _of(i, self._drawn)
        try:
            yield trainer
        finally:
            trainer.drawn = {}
            self.packed.randoms[i] = random_state(device)
            load_random_state(device, *before)
            self.packed.read(i)
        for text in changes(seen, attributes(trainer.play) if heard else {}, but_made=True).values():  # type: ignore[arg-type]
            raise GanflowError(f"{text} at a report, and packed rounds cannot follow it; set tune.pack=1")

    def drop(self, i: int) -> None:
        """Trial i is over: it is computed on, but nothing is drawn for it any more, and `member` must not be asked for it."""
        self._draws.drop(i)

    def _hears(self, i: int) -> bool:
        """True where a component of trial i is called between rounds."""
        chosen = self.members[i].recipe.played().values()
        return any(hook.name in BETWEEN for part in chosen for hook in hooks_of(type(part.settings)))

    def _report(self, i: int, terms: Tensor, first: int, seconds: float, reported: bool) -> Report | Diverged:
        names, trainer = self.packed.names, self.trainers[i]
        if i not in self.lost and not bool(terms.isfinite().all()):
            row, column = (~terms.isfinite()).nonzero()[0].tolist()
            self.lost[i] = Diverged(names[column], terms[row, column].item(), first + row + 1)
        if i in self.lost:
            return self.lost[i]
        totals = dict(zip(names, terms.sum(0).tolist(), strict=True))
        totals |= sums(totals, self.packed.descended, trainer.game.players)
        trainer.unreported.add(totals, len(terms))
        trainer.unreported.played(len(terms), seconds)
        trainer.round = self.round
        return trainer.report() if reported else Report(self.round)

    def _set_rates(self) -> None:
        for name in self._scheduled:
            parts = [parts_of(t.game.players)[name] for t in self.trainers]
            for part in parts:
                part.start_round(self.round)
            self.packed.set_rates(name, [[float(group["lr"]) for group in p.optimizer.param_groups] for p in parts])

    def _check_draws(self) -> None:
        shapes = [{name: tuple(t.shape) for name, t in trainer.peek(1)[0].items()} for trainer in self.trainers]
        for i, shape in enumerate(shapes):
            if shape != shapes[0]:
                raise NotPackable(f"trial {i} draws {shape} in a round, trial 0 {shapes[0]}")
