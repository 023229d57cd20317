"""What a sweep costs besides its training, and what packing gains: ganflow tune against a bare Ray Tune script, as ratios.

    python tests/benchmarks/sweeps.py [--times 3] [--trials 8] [--rounds 2000]

Both train the game of recipes/sweeps/packed.yaml, one trial per core. The bare script builds the same game by ganflow,
plays the same rounds with its trainer, evaluates as often, and reports with tune.report; it keeps no checkpoints, journals
or pictures. Everything is interleaved; the figures are medians. (Trials that are not packed are extrapolated to a packed
sweep's number.)
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RECIPE = Path(__file__).parents[2] / "recipes" / "sweeps" / "packed.yaml"
PACK = 32
POINTS = 2000  # reported by the run whose reports are timed


@dataclass
class Sweep:
    """Seconds from a process's start: to the first rounds of the first trial, to its end; and trials played."""

    first: float
    end: float
    trials: int

    @property
    def each(self) -> float:
        """Seconds per trial after the first round."""
        return (self.end - self.first) / self.trials


def by_ganflow(folder: Path, changes: list[str], trials: int) -> Sweep:
    """`ganflow tune` as a process."""
    from ganflow.runs import RunFolder
    from ganflow.tracking import entries

    command = [sys.executable, "-m", "ganflow", "tune", RECIPE, "--runs", folder, "--name", "s", "-q"]
    started, seconds = timed([*command, *changes, f"tune.trials={trials}", "track.mlflow=false", "train.compile=never"])
    journals = [RunFolder(path.parent).journal for path in folder.glob("s/*-t*/run.json")]
    assert len(journals) == trials
    return Sweep(min(next(iter(entries(j))).time for j in journals) - started, seconds, trials)


def by_ray(folder: Path, rounds: int, trials: int) -> Sweep:
    """The bare script as a process."""
    folder.mkdir()
    started, seconds = timed([sys.executable, __file__, "--bare", folder, "--rounds", rounds, "--trials", trials])
    marks = list(folder.glob("first-*"))
    assert len(marks) == trials
    return Sweep(min(float(mark.read_text()) for mark in marks) - started, seconds, trials)


def timed(command: list[object]) -> tuple[float, float]:
    """When a process was started, and how many seconds it took."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    started = time.time()
    subprocess.run(list(map(str, command)), check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return started, time.time() - started


def bare(folder: Path, rounds: int, trials: int) -> None:
    """What somebody would write who has the game and Ray Tune."""
    import ray
    from ray import tune

    def train(config: dict[str, Any]) -> None:
        from ganflow.recipe import read_recipe
        from ganflow.runner.cadence import Cadence
        from ganflow.runner.parts import Parts

        own = [f"optimizer.lr={config['lr']}", f"modifiers[0].c={config['c']}", f"train.seed={config['seed']}"]
        parts = Parts(read_recipe(RECIPE, [*own, f"train.rounds={rounds}", "train.threads=1"]))
        parts.composition.begin(parts.game)
        metrics = parts.composition.build_metrics(parts.data)
        trainer, cadence = parts.trainer, Cadence.of(parts.recipe.train)
        trainer.advance(cadence.report)
        (folder / f"first-{config['seed']}").write_text(str(time.time()))
        while trainer.round < rounds:
            trainer.advance((trainer.round // cadence.report + 1) * cadence.report)
            if trainer.round % cadence.evaluate == 0:
                tune.report({"round": trainer.round, **metrics[0].evaluate(trainer.game)})

    ray.init(include_dashboard=False, log_to_driver=False)
    space = {"lr": tune.loguniform(1e-4, 1e-2), "c": tune.loguniform(0.01, 1.0), "seed": tune.randint(0, 1_000_000)}
    tuner = tune.Tuner(
        tune.with_resources(train, {"cpu": 1}),
        param_space=space,
        tune_config=tune.TuneConfig(num_samples=trials),
        run_config=tune.RunConfig(storage_path=str(folder), verbose=0),
    )
    results = tuner.fit()
    assert not results.errors


def cost_of_a_point(folder: Path) -> list[float]:
    """Seconds that each report of a run takes in the training process, while the run is sent to MLflow."""
    from ganflow.recipe import read_recipe
    from ganflow.runner import start
    from ganflow.tracking import Journal

    seconds: list[float] = []
    append = Journal.append

    def timed_append(self: Journal, round: int, values: Any) -> None:
        started = time.perf_counter()
        append(self, round, values)
        seconds.append(time.perf_counter() - started)

    Journal.append = timed_append  # type: ignore[method-assign]
    try:
        changes = [f"train.rounds={POINTS}", "train.report_every=1", "train.compile=never", "train.threads=1"]
        start(read_recipe(RECIPE, changes), folder, quiet=True)
    finally:
        Journal.append = append  # type: ignore[method-assign]
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--trials", type=int, default=8, help="of the sweeps that are not packed")
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.bare:
        bare(args.bare, args.rounds, args.trials)
        return
    rounds = f"train.rounds={args.rounds}"
    found: dict[str, list[Sweep]] = {"bare Ray Tune": [], "ganflow tune": [], f"ganflow tune, {PACK} packed": []}
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        for i in range(args.times):
            ways = [
                lambda i=i: by_ray(root / f"bare{i}", args.rounds, args.trials),
                lambda i=i: by_ganflow(root / f"own{i}", [rounds, "tune.pack=1"], args.trials),
                lambda i=i: by_ganflow(root / f"packed{i}", [rounds], PACK),
            ]
            for name, way in random.Random(i).sample(list(zip(found, ways, strict=True)), len(ways)):
                found[name].append(way())
        points = cost_of_a_point(root / "points")
    show(found, args.rounds)
    mean, top = statistics.mean(points), statistics.quantiles(points, n=100)[-1]
    print(f"journal, followed by MLflow: {mean * 1e6:.0f} µs per reported point in the training process (99 %: {top * 1e6:.0f})")


def show(found: dict[str, list[Sweep]], rounds: int) -> None:
    """Print the medians, and ratios to the bare script's."""
    theirs = found["bare Ray Tune"]
    print(f"{RECIPE.name}: {rounds} rounds, {len(theirs)} times, {len(os.sched_getaffinity(0))} cores")
    print(f"{'':26} first round            per trial after it     trials per minute, {PACK} trials")
    speeds = {}
    for name, sweeps in found.items():
        first, each = (statistics.median(getattr(s, what) for s in sweeps) for what in ("first", "each"))
        speeds[name] = [60 * PACK / (s.first + PACK * s.each) for s in sweeps]
        ratios = [
            statistics.median(getattr(s, what) / getattr(t, what) for s, t in zip(sweeps, theirs, strict=True))
            for what in ("first", "each")
        ]
        faster = statistics.median(a / b for a, b in zip(speeds[name], speeds["bare Ray Tune"], strict=True))
        print(
            f"  {name:24} {first:6.2f} s  {ratios[0]:5.2f} ×       {each:6.2f} s  {ratios[1]:5.2f} ×      "
            f"{statistics.median(speeds[name]):6.1f}  {faster:5.2f} ×"
        )


if __name__ == "__main__":
    main()
