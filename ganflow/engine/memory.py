"""Memory of a round, before it is played: what does not fit is a sentence, and no kill."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ganflow.contract.signature import Z
from ganflow.engine.allocation import Meter, free
from ganflow.engine.build import DTYPES, copied, settled
from ganflow.engine.game import Game
from ganflow.engine.speed import Gradients
from ganflow.engine.state import kept_random
from ganflow.errors import GanflowError
from ganflow.machine import size
from ganflow.recipe import Recipe

TRIED = (4, 8, 12)
"""Examples of the rounds that are played: the bytes after each operation are a polynomial of their number, of degree 2 at most
(distances between all pairs of a batch). Multiples of 4, which critics compare with each other."""
OF_PARAMETERS = 4
"""Bytes per byte of parameters besides these and what the round makes: two moments, a gradient, an update."""

STEPS = 8
"""Critic steps that are played at most: of others the draws are counted, and what is generated for them."""
MARGIN = 1.75
"""For what the allocator and the kernels of a round need besides its tensors: 5 to 60 percent where they were measured. A round
is refused whose tensors alone do not fit."""


@dataclass(frozen=True)
class Estimate:
    """Bytes of a round by the number of examples in a piece of its batch.

    Attributes:
        fixed: whatever the batch is.
        lines: (sizes, bytes after each operation), of rounds on so many examples.
        drawn: bytes per example of the whole batch that a round draws beforehand.
    """

    fixed: int
    lines: Sequence[tuple[int, Sequence[int]]]
    drawn: int

    def bytes(self, examples: int, pieces: int = 1) -> int:
        """Bytes at the peak of a round on a batch of so many examples, in pieces."""
        piece = max(1, math.ceil(examples / pieces))
        return math.ceil(MARGIN * (self.fixed + self.drawn * examples + self._played(piece)))

    def _played(self, piece: int) -> int:
        (_, line), *more = self.lines
        if not more or any(len(other) != len(line) for _, other in more):  # other operations: no way from one to the other
            return math.ceil(max(max(line) / n for n, line in self.lines) * piece)
        xs, rows = [n for n, _ in self.lines], [torch.tensor(row, dtype=torch.float64) for _, row in self.lines]
        weights = [math.prod((piece - x) / (xs[i] - x) for x in xs if x != xs[i]) for i in range(len(xs))]
        peak = sum((weight * row for weight, row in zip(weights, rows, strict=True)), torch.zeros(len(line), dtype=torch.float64))
        return math.ceil(float(peak.max()))

    def largest(self, room: float, pieces: int = 1) -> int:
        """The largest batch with a round in so many bytes; 0 where there is none."""
        low, high = 0, 1
        while self.bytes(high, pieces) <= room and high < 2**62:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.bytes(middle, pieces) <= room else (low, middle)
        return low


def bound(recipe: Recipe, game: Game, piece: int, batch: int) -> float:
    """Upper bound of a round's bytes.

    From the peak of the game's steps on two examples: as if all of it grew with the batch, a backward pass needed as much again,
    and so did the examples that are generated for each of the critic's steps."""
    wide = torch.finfo(DTYPES[recipe.train.precision]).bits / 32
    each = wide * game.made / 2 * (2 + recipe.train.n_critic)
    drawn = (recipe.train.n_critic + 1) * sum(t[0].numel() * t.element_size() for t in game.blank(1).values())
    return MARGIN * (OF_PARAMETERS * _trained(game) + each * piece + drawn * batch)


def _trained(game: Game) -> int:
    return sum(p.numel() * p.element_size() for p in game.parameters() if p.requires_grad)


def estimate(recipe: Recipe, game: Game) -> Estimate:
    """The memory of a round of a game, besides what the game has already: of rounds of a copy on a few blank examples, which are
    not computed where the parts allow that.

    Raises:
        Exception: whatever a part raises that wants other examples.
    """
    with kept_random(game.device):
        try:
            return _played(recipe, game, copied(game).to("meta"))
        except Exception as error:  # something reads numbers, or keeps tensors that are no state
            logging.getLogger("ganflow").info("the memory of a round is found by playing some: %s", error)
            return _played(recipe, game, copied(game))


def _played(recipe: Recipe, game: Game, probe: Game) -> Estimate:
    train, lines, drawn, more = recipe.train, [], 0, max(0, recipe.train.n_critic - STEPS)
    for n in TRIED:
        precision, steps = settled(train.precision, game.device), min(train.n_critic, STEPS)
        round = Gradients(probe, steps, precision=precision, one_batch=train.one_batch)
        with Meter([*probe.parameters(), *probe.buffers()]) as meter:
            batch = probe.blank(n)
            counts = {name: round.prior_draws if name == Z else round.data_draws for name in batch}
            draws = {name: t.expand(counts[name], *t.shape) for name, t in batch.items() if counts[name]}
            round(draws)
        sizes = {name: t[0].numel() * t.element_size() for name, t in batch.items()}
        made = sum(sizes[domain] for domain in probe.domains)
        drawn = sum((counts[name] + more) * sizes[name] for name in sizes) + more * made
        lines.append((n, meter.line))
    return Estimate(OF_PARAMETERS * _trained(game), lines, drawn)


def check_memory(recipe: Recipe, game: Game, *, workers: int = 1) -> None:
    """See that a round of a recipe's game fits in the memory that is free.

    Args:
        workers: processes that share the batch.

    Raises:
        GanflowError: it does not.
    """
    if found := doubtful(recipe, game, workers=workers):
        check_estimate(recipe, found, game.device, workers=workers)


def doubtful(recipe: Recipe, game: Game, *, workers: int = 1, alike: int = 1) -> Estimate | None:
    """The memory of a round of a recipe's game, where it is not plain that it fits in what is free.

    Args:
        workers: as of `check_memory`.
        alike: trials that play such a game at the same time.

    Returns:
        None, too, where it cannot be estimated.
    """
    room, batch = free(game.device), math.ceil(recipe.train.batch_size / workers)
    together = _together(game.device, workers, alike)
    if room is None or together * bound(recipe, game, math.ceil(batch / recipe.train.accumulate), batch) < room:
        return None
    try:
        return estimate(recipe, game)
    except Exception as error:  # a part that wants other examples: a fault of it shows in training
        logging.getLogger("ganflow").info("the memory of a round is not estimated: %s", error)
        return None


def check_estimate(recipe: Recipe, found: Estimate, device: torch.device, *, workers: int = 1, alike: int = 1) -> None:
    """See that a round fits in the memory that is free on `device`. Arguments and errors as of `check_memory` and `doubtful`."""
    room, train, pieces = free(device), recipe.train, recipe.train.accumulate
    together, batch = _together(device, workers, alike), math.ceil(train.batch_size / workers)
    wanted = together * found.bytes(batch, pieces)
    if room is None or wanted <= MARGIN * room:
        return
    largest, cut = found.largest(room / together, pieces) * workers, _pieces(found, batch, room / together) if pieces == 1 else 0
    ways = [f"tune.concurrency={many}"] if alike > 1 and (many := int(alike * room / wanted)) else []
    ways += [f"train.batch_size={largest} or less"] if largest else []
    ways += [f"train.n_critic={STEPS} or less"] if train.n_critic > STEPS else []
    ways += [f"the same batch in pieces, train.accumulate={cut}"] if cut else []
    what = f"{alike} trials at a time, each with rounds on" if alike > 1 else "a round on"
    where = "this machine" if device.type == "cpu" else str(device)
    text = f"{what} {train.batch_size} examples would take about {size(wanted)} of memory, and {where} has {size(room)} free"
    raise GanflowError(f"train.batch_size: {text}; use {', or '.join(ways) or 'smaller networks, or smaller examples'}")


def _together(device: torch.device, workers: int, alike: int) -> int:
    """Such rounds that are in one memory at a time."""
    return alike * (workers if device.type == "cpu" else 1)


def _pieces(found: Estimate, batch: int, room: float) -> int:
    """The smallest divisor of a batch by which it is cut into pieces that fit; 0 where none of the first thousand is."""
    return next((n for n in range(2, 1025) if batch % n == 0 and found.bytes(batch, n) <= room), 0)
