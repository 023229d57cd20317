"""Runs of a few rounds, played with any of the switches."""

import copy
import json
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import torch
from matrix_noise import NUMBER, Noise
from safetensors.torch import load, save
from torch import nn

from ganflow.engine.compile import CompiledRound
from ganflow.engine.distributed import Group
from ganflow.engine.player import parts_of
from ganflow.engine.state import game_state, untouched
from ganflow.runs.run import Parts

ROUNDS, DRAWS, BATCH = 3, 3, 8
BUILDING = Lock()  # weights come from torch's generator, which threads share


def together(size, work):
    """What `work(group)` gives for each worker."""
    if size == 1:
        return [work(None)]
    groups = [first := Group.host(size), *(Group(rank, size, first.address) for rank in range(1, size))]
    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(work, groups))


def built(recipe, group=None):
    """A run's parts. Batch norm, if any, works by its running statistics, as it must where batches are cut; examples have
    numbers."""
    with BUILDING:
        parts = Parts(recipe, group)
        parts.composition.begin(parts.game)
    for norm in parts.game.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            norm.eval()
    share = group.share(BATCH, recipe.train.accumulate) if group else list(range(BATCH))
    trainer, draw = parts.trainer, parts.trainer.draw

    def numbered(rounds=1):
        draws = draw(rounds)
        first = DRAWS * trainer.round + torch.arange(max(map(len, draws.values())))
        return {**draws, NUMBER: first[:, None] * BATCH + torch.tensor(share)}

    trainer.draw = numbered
    return parts


def traced(parts, whole, plain):
    """Play the rounds to come as graphs, or (not plain) as inductor's programs."""
    trainer = parts.trainer
    for part in parts_of(parts.game.players).values():
        part.optimizer.traceable()
    trainer.play = CompiledRound(parts.round, whole, plain=plain)
    draws = trainer.peek(1)[0]
    with untouched(parts.game):
        trainer.play.begin(trainer.round)
        trainer.play(draws)


def played(recipe, row):
    """The state of the game after three rounds, and the report of the last two: of each worker.

    Args:
        row: the switches.
    """
    kept = []

    def work(group, start=None, rounds=(1, ROUNDS)):
        parts = built(recipe, group)
        trainer = parts.trainer
        if start and not (group and group.rank):
            tensors, plain = start
            trainer.load_state(load(tensors), json.loads(plain))
        if row["traced"]:
            traced(parts, row["traced"] != "step", row["traced"] != "compiled")
        if group:
            group.join(parts.game.device)
            trainer.share()
        for until in rounds:
            report = trainer.advance(until)
        if rounds[-1] < ROUNDS and group and group.rank:
            trainer.advance(ROUNDS)  # waits, for the first worker's checkpoint
        elif rounds[-1] < ROUNDS:
            tensors, plain = trainer.state()
            kept.append((save({k: t.clone() for k, t in tensors.items()}), json.dumps(plain)))
            trainer.halt()
        state = {name: t.clone() for name, t in game_state(parts.game)[0].items()}
        parts.feed.close()
        if group:
            group.close()
        return state, report

    with Noise(ROUNDS * DRAWS * BATCH).instead():
        if not row["resume"]:
            return together(row["workers"], work)
        together(row["workers"], lambda group: work(group, rounds=(1,)))
        return together(row["workers"], lambda group: work(group, kept[0], (ROUNDS,)))


def start(recipe):
    """The state before the first round."""
    return copy.deepcopy(game_state(built(recipe).game)[0])
