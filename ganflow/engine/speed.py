"""Choice of what is fast on this machine: compiled or eager rounds, threads, bf16."""

from __future__ import annotations

import copy
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from ganflow.contract.loss import Batch, Terms
from ganflow.engine.build import settled
from ganflow.engine.compat import Conv, ConvTranspose
from ganflow.engine.compile import first_words
from ganflow.engine.game import Game, evaluating
from ganflow.engine.player import parts_of
from ganflow.engine.round import Player, Round, total
from ganflow.engine.state import kept_random, untouched
from ganflow.engine.step import PlayedStep
from ganflow.machine import cores, load
from ganflow.recipe import Recipe

TRIED = 2  # examples whose way through the networks is counted: one alone is too few for some norms


def worth_compiling(game: Game, n_critic: int, batch_size: int, rounds: int) -> tuple[str, str]:
    """The choice of `compile: auto` ("never", "step" or "round") for the work ahead, and its reason, in one sentence.

    An estimate from the networks alone, so that the choice is the same every time: a resumed run must go on exactly.
    """
    convolutional = any(isinstance(m, Conv) for m in layers(game))
    if not all(part.traceable for part in parts_of(game.players).values()):
        return "never", "an optimizer is not one that a trace can follow"
    seconds = arithmetic(game, n_critic, batch_size) + operations_of(game, n_critic)
    mode, gain, cost = ("step", 0.25, 60.0) if convolutional else ("round", 0.5, 45.0)
    saved = gain * seconds * rounds
    text = f"compiling would save about {saved:.0f} s of {seconds * rounds:.0f} s and cost about {cost:.0f} s"
    return (mode, text) if saved > 1.5 * cost else ("never", text)


def layers(game: Game) -> list[nn.Module]:
    """The networks' innermost modules."""
    networks = [m for m in (game.generator, game.critic) if m is not None]
    return [m for n in networks for m in n.modules() if not any(True for _ in m.children())]


def operations_of(game: Game, n_critic: int) -> float:
    """Seconds, about, of a round's operations besides their arithmetic."""
    return (n_critic + 1) * len(layers(game)) * 40e-6


def arithmetic(game: Game, n_critic: int, batch_size: int) -> float:
    """Seconds, about, of the multiplications and additions of a round: an estimate from the networks alone."""
    step = counted(game, "generator")
    work = 3 * step["generator"] + 4 * step["critic"]
    if game.critic is not None:
        step = counted(game, "critic")
        work += n_critic * (step["generator"] + 3 * step["critic"])
    return batch_size * work / (25e9 * torch.get_num_threads() if game.device.type == "cpu" else 10e12)


def counted(game: Game, step: Literal["critic", "generator"]) -> dict[str, float]:
    """Floating-point operations per example of each network's forward passes in a player's step.

    Counted by hooks while the loss plays: torch's own counter imports torch._dynamo, a second of every start."""
    networks = {"generator": game.generator, "critic": game.critic}
    playing = {name: network for name, network in networks.items() if network is not None}
    with untouched(game), evaluating(game), torch.enable_grad(), operations(playing) as counts:
        game.terms_of(game.step(step, game.blank(TRIED)))
    return {name: counts[name] / TRIED for name in networks}


@contextmanager
def operations(networks: Mapping[str, nn.Module]) -> Iterator[Counter[str]]:
    """Counts the multiplications and additions of the networks' linear and convolutional layers while it lasts, by name."""
    counts: Counter[str] = Counter()

    def add(name: str, layer: nn.Module, inputs: tuple[Tensor, ...], result: Tensor) -> None:
        weight = layer.weight
        assert isinstance(weight, Tensor)
        applied = inputs[0] if isinstance(layer, ConvTranspose) else result  # at each of whose positions
        counts[name] += 2 * len(result) * weight.numel() * (applied[0, 0].numel() if weight.dim() > 2 else 1)

    hooks = [
        layer.register_forward_hook(partial(add, name))
        for name, network in networks.items()
        for layer in network.modules()
        if isinstance(layer, (nn.Linear, Conv))
    ]
    try:
        yield counts
    finally:
        for hook in hooks:
            hook.remove()


BUDGET, FIRST = 0.6, 0.15
"""Seconds that are spent on trying rounds, and on trying products of matrices before that; what is tried once to begin with comes
on top."""
SLICE = 0.03
"""Seconds for which one way is tried before it is the next one's turn: several of the kernel's turns, so that each way meets
the same neighbours."""
GAIN = 0.9
"""What more threads, or bf16, must bring: at most this share of the time."""
PRODUCT = 384
"""Rows and columns of the matrices."""
WORTH = 20.0
"""Seconds of work, on one thread, below which a run is too short for trying its rounds."""
LONGEST = 0.05
"""Seconds of a tried round on one thread: larger batches are cut."""
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")

T = TypeVar("T")
Clock = Callable[[], float]


@dataclass(frozen=True)
class Choice:
    """Threads and precision chosen for a run.

    Attributes:
        threads: of CPU computations.
        precision: "fp32", "bf16" or "fp64".
        notes: what is worth saying of it; a sentence each.
    """

    threads: int
    precision: str
    notes: tuple[str, ...] = ()


class Gradients(Round):
    """A round as far as its gradients: nothing is updated, and no event is called."""

    def _play(self, name: Player, steps: Sequence[PlayedStep] | Batch) -> Terms:
        assert not isinstance(steps, Mapping)
        with self._autocast:
            terms = self.game.terms_of(steps[0])
        parameters = [p for p in self.game.get_submodule(name).parameters() if p.requires_grad]
        torch.autograd.grad(total(name, terms, self.game), parameters, allow_unused=True)
        return {}


class Rehearsal:
    """Rounds of one critic step of a copy of the game on made-up examples.

    Cut to a few where they would take long; a product of matrices where rounds cannot be tried, or take long all the same.

    Not the game's tensors, nor what its parts keep in Python, nor its data's row of examples is changed.

    Args:
        worth: seconds of work below which no round is tried.

    Attributes:
        batch: that is played; empty where matrices are.
        seconds: of the whole run, about, on one thread.
    """

    def __init__(self, recipe: Recipe, game: Game, worth: float = WORTH) -> None:
        self.train = train = recipe.train
        self.batch: Batch = {}
        self.seconds = WORTH
        self._matrix = torch.ones(PRODUCT, PRODUCT)
        shared = [part for part in (game.data, game.prior) if part is not None]
        batch = train.batch_size // train.accumulate
        try:
            self.game: Game = copy.deepcopy(game, {**{id(part): part for part in shared}, id(game.players): {}})
            work = arithmetic(self.game, train.n_critic, batch) * torch.get_num_threads()
            self.seconds = (work + operations_of(self.game, train.n_critic)) * train.accumulate * train.rounds
            examples = max(2, min(batch, int(batch * LONGEST / max(work, 1e-9))))
            if self.seconds >= worth and work * examples / batch < 10 * LONGEST:
                self.batch = self._examples(examples)
                self.play()
        except Exception as error:  # a part that wants other examples, or cannot be copied: a fault of it shows in training
            self.batch = {}
            logging.getLogger("ganflow").info("rounds are not tried beforehand: %s", first_words(error))

    def _examples(self, n: int) -> Batch:
        batch = self.game.blank(n)
        for name, part in batch.items():
            if name in self.game.data.fields and part.is_floating_point():
                part.uniform_(-1, 1)
            if self.train.channels_last and part.dim() == 4:
                batch[name] = part.contiguous(memory_format=torch.channels_last)
        return batch

    def play(self, precision: str = "fp32") -> None:
        if not self.batch:
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                self._matrix @ self._matrix
            return
        round = Gradients(self.game, 1, precision=precision, one_batch=self.train.one_batch)
        draws = {name: [part] * (round.prior_draws if name == "z" else round.data_draws) for name, part in self.batch.items()}
        round({name: torch.stack(parts) for name, parts in draws.items() if parts})


def choose(recipe: Recipe, game: Game, *, measure: bool = True, clock: Clock = time.perf_counter) -> Choice:
    """Choose threads and precision of a run that begins; what the recipe sets is left alone.

    Args:
        measure: whether this process is alone with its run, and may try what is fast.
    """
    train, device = recipe.train, game.device
    threads, precision = torch.get_num_threads(), settled(train.precision, device)
    if device.type != "cpu":
        slow = precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)
        note = "precision bf16 is slow on this GPU, which has no such arithmetic; to switch it off: train.precision=fp32"
        return Choice(threads, precision, (note,) if slow else ())
    if not measure:
        return Choice(threads, precision)
    free = not train.threads and not any(os.environ.get(name) for name in VARIABLES)
    most = min(threads, cores()) if free else threads
    half = train.precision in ("auto", "bf16")
    if most == 1 and not half:
        return Choice(most, precision)
    notes: list[str] = []
    with kept_random(device):
        threads = most
        if free and most > 1:
            threads, notes = _threads(recipe, game, most, clock)
        torch.set_num_threads(threads)
        if half:
            worth = 0.0 if train.precision == "auto" else WORTH  # products of matrices do not say what small networks gain
            precision, more = _precision(Rehearsal(recipe, game, worth), train.precision, clock)
            notes = [*notes, *more]
    return Choice(threads, precision, tuple(notes))


def _threads(recipe: Recipe, game: Game, most: int, clock: Clock) -> tuple[int, list[str]]:
    """A number of threads, `most` at most, and the reason where it is fewer.

    Products of matrices are tried before rounds: where threads must share a core they wait for each other, and a round of many
    operations could take many seconds; what does not even make products faster is not tried any further."""
    candidates = [n for n in (2**i for i in range(most.bit_length())) if n < most] + [most]
    matrix = torch.ones(PRODUCT, PRODUCT)

    def play_with(n: int, play: Callable[[], object]) -> None:
        torch.set_num_threads(n)
        play()

    products = seconds = timed({n: partial(play_with, n, lambda: matrix @ matrix) for n in candidates}, clock, FIRST)
    hopeful = [n for n in candidates if all(seconds[n] <= GAIN * seconds[m] for m in candidates if m < n)]
    if len(hopeful) > 1:
        torch.set_num_threads(fewest(seconds))
        rehearsal = Rehearsal(recipe, game)
        if rehearsal.batch:
            seconds = timed({n: partial(play_with, n, rehearsal.play) for n in hopeful}, clock)
    best = fewest({n: seconds[n] for n in hopeful})
    if best == most:
        return most, []
    average, machine = load()
    tried = seconds if most in seconds else products
    times = tried[most] / tried[best]
    how = f"{most} would take {times:.1f} times as long" if times > 1.05 else f"{most} would hardly be faster"
    return best, [f"{best} of {most} threads: now {how} (the load is {average:.1f} on {machine} cores)"]


def fewest(seconds: Mapping[int, float]) -> int:
    """The number of threads to compute with, by the seconds of a round: more of them only where that is clearly faster."""
    best = min(seconds)
    for n in sorted(seconds):
        if seconds[n] <= GAIN * seconds[best]:
            best = n
    return best


def _precision(rehearsal: Rehearsal, asked: str, clock: Clock) -> tuple[str, list[str]]:
    """"fp32" or "bf16" for `auto`; a warning for a bf16 that is slower."""
    if not rehearsal.batch and (asked == "auto" or rehearsal.seconds < WORTH):
        return "fp32" if asked == "auto" else asked, []
    seconds = timed({name: partial(rehearsal.play, name) for name in ("fp32", "bf16")}, clock)
    ratio = seconds["bf16"] / seconds["fp32"]
    if asked == "auto":
        chosen = "bf16" if ratio <= GAIN else "fp32"
        how = f"{ratio:.1f} times as long" if ratio >= 1 else f"{ratio:.2f} of the time"
        return chosen, [f"precision {chosen}: bf16 takes {how} on this CPU"]
    if ratio <= 1 / GAIN:
        return asked, []
    return asked, [f"precision bf16 takes {ratio:.1f} times as long as fp32 on this CPU; to switch it off: train.precision=fp32"]


def timed(ways: Mapping[T, Callable[[], object]], clock: Clock = time.perf_counter, budget: float = BUDGET) -> dict[T, float]:
    """Seconds of each way, on average, tried in turns until the budget is spent; once before that, as memory and kernels are made
    then."""
    for play in ways.values():
        play()
    spent, played = dict.fromkeys(ways, 0.0), dict.fromkeys(ways, 0)
    start = clock()
    while True:
        for way, play in ways.items():
            begin = now = clock()
            while now - begin < SLICE:
                play()
                played[way] += 1
                now = clock()
            spent[way] += now - begin
        if clock() - start >= budget:
            return {way: spent[way] / played[way] for way in ways}
