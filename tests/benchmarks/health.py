"""What watching a run's health costs.

    python tests/benchmarks/health.py [ring wgan gan] [--rounds 300] [--times 3]  # with and without, in turn
    python tests/benchmarks/health.py ring --packed 16                            # trials in one pack, as a sweep plays them

Printed are the median CPU time of whole runs with and without, their ratio, and the share of the wall time that checks took
within the runs that were watched: the ratio swings with the neighbours of a shared machine, the share does not. A whole run
has fewer checks per round than one of 300 rounds; the last column is the share over the recipe's own rounds. Packed trials are
checked only where they are evaluated, sampled from or kept, here ten times.

Whether healthy recipes are left alone is measured by gallery.py, which trains them all and keeps their alarms.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ganflow.evaluation.health import Health
from ganflow.packed.session import PackSession
from ganflow.recipe import read_recipe
from ganflow.runs.alarms import Alarms
from ganflow.runs.folders import RunFolder
from ganflow.runs.start import open_trial

PLAIN = ["track.mlflow=false", "train.threads=1", "train.compile=never", "metrics=[]"]
SEEN = 10  # times that packed trials are kept, and so checked


def played(name: str, changes: list[str], packed: int) -> dict[str, Any]:
    """A run, or so many packed ones, to the end: its times, and that of its checks."""
    spent, checks, report = 0.0, 0, Alarms.report

    def timed(self: Alarms) -> None:
        nonlocal spent, checks
        due, began = self.health.due(self.trainer.round), time.perf_counter()
        report(self)
        spent, checks = spent + time.perf_counter() - began, checks + due

    Alarms.report = timed  # type: ignore[method-assign]
    try:
        with tempfile.TemporaryDirectory() as folder:
            trials = [
                (read_recipe(name, [*changes, f"train.seed={i}"]), RunFolder(Path(folder) / "runs" / "health" / f"run{i}"), {})
                for i in range(packed or 1)
            ]
            session: Iterable[Any] = PackSession(trials) if packed else open_trial(*trials[0])
            began, cpu = time.perf_counter(), time.process_time()
            for _ in session:
                pass
            return {"checks": checks, "spent": spent, "wall": time.perf_counter() - began, "cpu": time.process_time() - cpu}
    finally:
        Alarms.report = report  # type: ignore[method-assign]


def checks_of(rounds: int, every: int) -> int:
    """Checks in a whole run."""
    health, count = Health(rounds), 0
    for round in range(every, rounds + 1, every):
        count += health.due(round)
        health.checked = round
    return count


def costs(names: list[str], rounds: int, times: int, packed: int) -> None:
    for name in names:
        runs: dict[str, list[dict[str, Any]]] = {"never": [], "warn": []}
        kept = [f"train.checkpoint_every={max(1, rounds // SEEN)}", "train.sample_every=1000000"] if packed else []
        for _ in range(times):
            for mode, found in runs.items():
                found.append(played(name, [*PLAIN, *kept, f"train.rounds={rounds}", f"train.on_alarm={mode}"], packed))
        alone, watched = (statistics.median(run["cpu"] for run in found) for found in runs.values())
        spent, wall, checks = (sum(run[key] for run in runs["warn"]) for key in ("spent", "wall", "checks"))
        per_check, per_round = spent / checks, (wall - spent) / (rounds * times)
        both = f"{name:12} CPU {alone:6.2f} s without, {watched:6.2f} s with: {watched / alone:.3f}"
        each = f"round {1e3 * per_round:.1f} ms, check {1e3 * per_check:.1f} ms"
        share = f"{spent / wall:.2%} of the time"
        if packed:
            whole = f"{checks // times} checks of {packed} trials"
        else:
            of = read_recipe(name).train.rounds
            due = checks_of(of, min(100, max(1, of // 200))) * per_check
            whole = f"{due / (due + of * per_round):.2%} over {of} rounds"
        print(f"{both}; {each}: {share}, {whole}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--packed", type=int, default=0, metavar="TRIALS")
    options = parser.parse_args()
    costs(options.names or ["ring", "wgan", "gan"], options.rounds, options.times, options.packed)
