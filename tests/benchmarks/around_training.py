"""What everything around the training costs: tracking, progress, pictures, checkpoints, as a share of a run's wall time.

    python tests/benchmarks/around_training.py [--rounds 1400] [--times 3] [recipe]

Plays the recipe's rounds bare (a trainer alone) and as a whole run with MLflow, in turn, and prints the medians. The run's
own end (the last points and the model sent to MLflow) is printed apart: it does not grow with the run.

On a shared machine that ratio swings by more than what it measures. So each run also says how much of its own wall time the
trainer did not have, and how much CPU time the process that sends to MLflow took beside it: neither depends on neighbours.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from ganflow.engine.build import build_game
from ganflow.engine.feed import feed
from ganflow.engine.round import Round
from ganflow.engine.trainer import Report, Trainer
from ganflow.plugins import Composition
from ganflow.recipe import Recipe, read_recipe
from ganflow.runs.loop import Loop, Result
from ganflow.runs.start import start
from ganflow.tracking.follower import follower_of


def bare(recipe: Recipe) -> float:
    composition = Composition(recipe.slots(), recipe.modifiers, recipe.metrics)
    data = composition.build("data")
    game = build_game(recipe, composition, data)
    composition.begin(game)
    steps = {event: composition.listeners(event) for event in ("critic_stepped", "generator_stepped")}
    m = recipe.train.batch_size
    trainer = Trainer(game, feed(data, m, 0), Round(game, recipe.train.n_critic, **steps), m)
    started = time.perf_counter()
    trainer.advance(recipe.train.rounds)
    return time.perf_counter() - started


def whole(recipe: Recipe, root: Path) -> tuple[float, float, float, float]:
    """Seconds of the training part of a run, of its end, of the training part that the trainer had, and of CPU time of
    the processes beside it."""
    marks: list[float] = []
    rounds = 0.0
    results, end, advance = Loop.results, Loop.end, Trainer.advance

    def timed_advance(self: Trainer, until: int) -> Report:
        nonlocal rounds
        started = time.perf_counter()
        report = advance(self, until)
        rounds += time.perf_counter() - started
        return report

    def timed_results(self: Loop) -> Iterator[Result]:
        marks.append(time.perf_counter())
        return results(self)

    def timed_end(self: Loop, early: str) -> str:
        marks.append(time.perf_counter())
        status = end(self, early)
        marks.append(time.perf_counter())
        return status

    Loop.results, Loop.end, Trainer.advance = timed_results, timed_end, timed_advance  # type: ignore[method-assign]
    before = os.times()
    try:
        start(recipe, root, quiet=False, send=follower_of)
    finally:
        Loop.results, Loop.end, Trainer.advance = results, end, advance  # type: ignore[method-assign]
    after = os.times()
    beside = after.children_user + after.children_system - before.children_user - before.children_system
    return marks[1] - marks[0], marks[2] - marks[1], rounds, beside


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="?", default="wgan")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--times", type=int, default=3)
    args = parser.parse_args()
    changes = ["train.compile=never", *([f"train.rounds={args.rounds}"] if args.rounds else [])]
    alone, training, ending, shares, besides = [], [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(args.times):
            alone.append(bare(read_recipe(args.recipe, changes)))
            played, ended, rounds, beside = whole(read_recipe(args.recipe, changes), Path(folder))
            training.append(played)
            ending.append(ended)
            shares.append(1 - rounds / played)
            besides.append(beside)
    ratios = sorted(b / a for a, b in zip(alone, training, strict=True))
    print(f"{args.recipe}, {args.rounds or 'all its'} rounds, {torch.get_num_threads()} threads, {args.times} times")
    print(f"  bare trainer       {statistics.median(alone):7.1f} s")
    spread = f"({ratios[0]:.3f} … {ratios[-1]:.3f})"
    print(f"  run, until the end {statistics.median(training):7.1f} s   {statistics.median(ratios):.3f} ×  {spread}")
    print(f"  not the trainer's  {100 * statistics.median(shares):7.1f} % of that run's own time until the end")
    print(f"  beside it          {statistics.median(besides):7.1f} s   of CPU time, sending to MLflow, its end included")
    print(f"  its end            {statistics.median(ending):7.1f} s   last pictures, MLflow's last points and model")


if __name__ == "__main__":
    main()
