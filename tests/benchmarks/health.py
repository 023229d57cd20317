"""What watching a run's health costs, and whether healthy recipes are left alone.

    python tests/benchmarks/health.py [ring wgan gan] [--rounds 300] [--times 3]     # with and without, in turn
    python tests/benchmarks/health.py --recipes [NAME …] [--seconds 60] [--kept FILE]  # alarms of the shipped recipes: none

The first prints the median CPU time of whole runs with and without, their ratio, and the share of the wall time that checks took
within the runs that were watched: the ratio swings with the neighbours of a shared machine, the share does not. A whole run
has fewer checks per round than one of 300 rounds; the last column is the share over the recipe's own rounds.

The second plays each shipped recipe that needs no folder of the user's for so many seconds, or to its end, and prints its
alarms. What was found is kept in a file, by the recipe and the code of ganflow/evaluation, and not played again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from ganflow.evaluation.health import Health
from ganflow.recipe import Recipe, read_recipe
from ganflow.runs.alarms import Alarms
from ganflow.runs.folders import RunFolder
from ganflow.runs.start import open_trial

ROOT = Path(__file__).parents[2]
PLAIN = ["track.mlflow=false", "train.threads=1", "metrics=[]"]


def played(recipe: Recipe, seconds: float = float("inf")) -> dict[str, Any]:
    """A run of so many seconds at most: its rounds, its alarms, its time and that of its checks."""
    spent, checks, report = 0.0, 0, Alarms.report

    def timed(self: Alarms) -> None:
        nonlocal spent, checks
        due, began = self.health.due(self.trainer.round), time.perf_counter()
        report(self)
        spent, checks = spent + time.perf_counter() - began, checks + due

    Alarms.report = timed  # type: ignore[method-assign]
    try:
        with tempfile.TemporaryDirectory() as folder:
            session = open_trial(recipe, RunFolder(Path(folder) / "runs" / "health" / "run"), {})
            began, cpu, round = time.perf_counter(), time.process_time(), 0
            for step in session:
                round = step.round
                if time.perf_counter() - began > seconds:
                    session.stop()
            found: dict[str, Any] = {
                "rounds": round, "of": recipe.train.rounds, "checks": checks, "spent": spent, "wall": time.perf_counter() - began,
                "cpu": time.process_time() - cpu, "alarms": [alarm["text"] for alarm in session.folder.read().alarms],
            }  # fmt: skip
            return found
    finally:
        Alarms.report = report  # type: ignore[method-assign]


def checks_of(rounds: int, every: int) -> int:
    """Checks in a whole run."""
    health, count = Health(rounds), 0
    for round in range(every, rounds + 1, every):
        count += health.due(round)
        health.checked = round
    return count


def costs(names: list[str], rounds: int, times: int) -> None:
    for name in names:
        runs: dict[str, list[dict[str, Any]]] = {"never": [], "warn": []}
        for _ in range(times):
            for mode, found in runs.items():
                changes = [*PLAIN, f"train.rounds={rounds}", f"train.on_alarm={mode}", "train.compile=never"]
                found.append(played(read_recipe(name, changes)))
        alone, watched = (statistics.median(run["cpu"] for run in found) for found in runs.values())
        spent, wall, checks = (sum(run[key] for run in runs["warn"]) for key in ("spent", "wall", "checks"))
        whole = read_recipe(name).train.rounds
        per_check, per_round = spent / checks, (wall - spent) / (rounds * times)
        share = checks_of(whole, min(100, max(1, whole // 200))) * per_check / (whole * per_round)
        both = f"{name:12} CPU {alone:6.2f} s without, {watched:6.2f} s with: {watched / alone:.3f}"
        each = f"round {1e3 * per_round:.1f} ms, check {1e3 * per_check:.1f} ms"
        print(f"{both}; {each}: {spent / wall:.2%} of the time, {share:.2%} over {whole} rounds", flush=True)


def shipped() -> list[str]:
    """Recipes that need nothing of the user's."""
    return [path.stem for path in sorted((ROOT / "recipes").glob("*.yaml"))
            if "stages:" not in path.read_text() and "data.path=" not in path.read_text().splitlines()[0]
            and "start_from=" not in path.read_text().splitlines()[0]]  # fmt: skip


def alarms(names: list[str], seconds: float, kept: Path) -> int:
    code = b"".join(path.read_bytes() for path in sorted((ROOT / "ganflow" / "evaluation").glob("*.py")))
    known = dict(json.loads(line) for line in kept.read_text().splitlines()) if kept.exists() else {}
    count = 0
    for name in names or shipped():
        rare = ["train.sample_every=1000000", "train.checkpoint_every=1000000"]
        recipe = read_recipe(name, [*PLAIN, *rare, "train.on_alarm=warn"])
        digest = hashlib.sha256(code + f"{recipe.to_yaml()}{seconds}".encode()).hexdigest()[:16]
        if digest not in known:
            known[digest] = played(recipe, seconds)
            with kept.open("a") as file:
                file.write(json.dumps([digest, known[digest]]) + "\n")
        found = known[digest]
        count += bool(found["alarms"])
        done = f"{name:24} {found['rounds']:>5} of {found['of']:>6} rounds, {found['checks']:>3} checks"
        texts = "; ".join(found["alarms"]) or "none"
        print(f"{done}, {found['spent'] / found['wall']:.2%} of the time, alarms: {texts}", flush=True)
    return count


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--recipes", action="store_true")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--kept", type=Path, default=Path("health.jsonl"))
    options = parser.parse_args()
    if options.recipes:
        raise SystemExit(alarms(options.names, options.seconds, options.kept) and 1)
    costs(options.names or ["ring", "wgan", "gan"], options.rounds, options.times)
