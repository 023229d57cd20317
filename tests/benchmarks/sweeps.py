"""What a sweep costs besides its training, and what packing gains: ganflow tune against a bare Ray Tune script, as ratios.

    python tests/benchmarks/sweeps.py [--times 3] [--trials 8] [--rounds 2000]
    python tests/benchmarks/sweeps.py --short 200 [--times 3]     that many trials of 20 rounds of recipes/ring.yaml, instead
    python tests/benchmarks/sweeps.py --resume 500      seconds from `ganflow tune --resume` to the first round
    python tests/benchmarks/sweeps.py --memory 500      the driver's memory and CPU seconds, by the trials recorded before

Both train the game of recipes/sweeps/packed.yaml, one trial per core. The bare script builds the same game by ganflow,
plays the same rounds with its trainer, evaluates as often, and reports with tune.report; it keeps no checkpoints, journals
or pictures. Everything is interleaved; the figures are medians. (Trials that are not packed are extrapolated to a packed
sweep's number.) Short trials are nearly all cost: of Ray, of processes, of files. The bare script's go on in the process of
another (`reuse_actors`), as ganflow's do. CPU seconds are those of all processes, Ray's too.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RECIPE = Path(__file__).parents[2] / "recipes" / "sweeps" / "packed.yaml"
RING = Path(__file__).parents[2] / "recipes" / "ring.yaml"
SHORT = 20  # rounds
PACK = 32
RATE = "optimizer.generator.lr"
BARE = "bare Ray Tune, processes reused"
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
    from ganflow.runs.folders import RunFolder
    from ganflow.runs.journal import entries

    command = [sys.executable, "-m", "ganflow", "tune", RECIPE, "--runs", folder, "--name", "s", "-q"]
    common = (f"tune.trials={trials}", "tune.seeds=1", "track.mlflow=false", "train.compile=never")
    started, seconds = timed([*command, *changes, *common])
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


@dataclass
class Many:
    """Of a sweep of short trials: seconds from the process's start to its end, and between the first and the last trial's ends;
    CPU seconds of all its processes, and those between these ends; processes that trained; trials."""

    seconds: float
    between: float
    cpu: float
    cpu_between: float
    processes: int
    trials: int

    @property
    def figures(self) -> list[float]:
        """Trials per minute, in all and once they run; CPU seconds per trial, likewise; processes."""
        n = self.trials
        return [60 * n / self.seconds, 60 * (n - 1) / self.between, self.cpu / n, self.cpu_between / (n - 1), self.processes]


def many(command: list[object], folder: Path) -> Many:
    """Short trials by a process; files in the folder, its own or its runs', say when each ended, and in which process."""
    used: dict[tuple[int, int], float] = {}
    course: list[tuple[float, float]] = []  # time, CPU seconds so far
    over = threading.Event()

    def sample() -> None:
        while not over.wait(0.1):
            used.update(descendants())
            course.append((time.time(), sum(used.values())))

    watch = threading.Thread(target=sample)
    watch.start()
    _, seconds = timed(command)
    over.set()
    watch.join()
    ends = [path for path in folder.rglob("run.json") if "-t" in path.parent.name] or list(folder.glob("ended-*"))
    times = [path.stat().st_mtime for path in ends]
    pids = {json.loads(path.read_text())["pid"] for path in ends}
    first, last = (next(cpu for at, cpu in course if at >= end) for end in (min(times), max(times)))
    return Many(seconds, max(times) - min(times), sum(used.values()), last - first, len(pids), len(ends))


def descendants() -> dict[tuple[int, int], float]:
    """CPU seconds of this process's children, their children, …, by process id and time of start. Ray's belong to them: this
    process has those that lost their parents."""
    about: dict[int, tuple[int, int, float]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = entry.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        ticks = int(words[11]) + int(words[12])
        about[int(entry.parent.name)] = int(words[1]), int(words[19]), ticks / os.sysconf("SC_CLK_TCK")
    found, more = set(), {os.getpid()}
    while more:
        more = {pid for pid, (parent, _, _) in about.items() if parent in more} - found
        found |= more
    return {(pid, about[pid][1]): about[pid][2] for pid in found}


def short(root: Path, trials: int, times: int) -> None:
    """Print the table of short trials."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    recipe = root / "ring.yaml"
    tune = f"tune: {{trials: {trials}, rounds: {SHORT}, space: {{{RATE}: {{loguniform: [1.0e-4, 1.0e-2]}}}}}}"
    quick = RING.read_text().replace("  - {use: emd, repeats: 10}\n", "")  # whose evaluation is as long as many rounds
    recipe.write_text(f"{quick}\n{tune}\n")
    own = [sys.executable, "-m", "ganflow", "tune", recipe, "--name", "s", "-q"]
    script = [sys.executable, __file__, "--recipe", recipe, "--trials", trials, "--rounds", SHORT, "--bare-short"]
    alone = "track.mlflow=false"
    ways = {
        BARE: lambda folder: [*script, folder],
        "ganflow tune": lambda folder: [*own, alone, "--runs", folder],
        "ganflow tune, sent to MLflow": lambda folder: [*own, "--runs", folder],
        f"ganflow tune, {PACK} packed": lambda folder: [*own, alone, f"tune.pack={PACK}", "--runs", folder],
    }
    found: dict[str, list[list[float]]] = {name: [] for name in ways}
    for i in range(times):
        for j, (name, command) in enumerate(random.Random(i).sample(list(ways.items()), len(ways))):
            folder = root / f"{i}-{j}"
            folder.mkdir()
            found[name].append(many(command(folder), folder).figures)
    print(f"{trials} trials of {SHORT} rounds of {RING.name}, {times} times, {len(os.sched_getaffinity(0))} cores")
    print(f"{'':32} trials per minute      once they run          CPU s per trial     once they run      processes")
    for name, figures in found.items():
        cells = []
        for k in range(4):
            ratio = statistics.median(ours[k] / theirs[k] for ours, theirs in zip(figures, found[BARE], strict=True))
            cells.append(f"{statistics.median(of[k] for of in figures):8.{1 if k < 2 else 2}f} {ratio:5.2f} ×")
        print(f"  {name:30} {'     '.join(cells)}     {statistics.median(of[4] for of in figures):4.0f}", flush=True)


def bare_short(folder: Path, recipe: Path, rounds: int, trials: int) -> None:
    """Short trials as a script would have them."""
    import ray
    from ray import tune

    def train(config: dict[str, Any]) -> None:
        from ganflow.recipe import read_recipe
        from ganflow.runs.run import Parts

        parts = Parts(read_recipe(recipe, [f"{RATE}={config['lr']}", f"train.rounds={rounds}", "train.threads=1"]))
        for listener in parts.composition.listeners("game_built"):
            listener(game=parts.game)
        parts.trainer.advance(rounds)
        (metric,) = parts.composition.build_metrics(parts.data)
        tune.report({"round": rounds, **metric.evaluate(parts.trainer.game)})
        (folder / f"ended-{config['lr']}").write_text(json.dumps({"pid": os.getpid()}))

    ray.init(include_dashboard=False, log_to_driver=False)
    tuner = tune.Tuner(
        tune.with_resources(train, {"cpu": 1}),
        param_space={"lr": tune.loguniform(1e-4, 1e-2)},
        tune_config=tune.TuneConfig(num_samples=trials, reuse_actors=True),
        run_config=tune.RunConfig(storage_path=str(folder / "ray"), verbose=0),
    )
    assert not tuner.fit().errors


def recorded(root: Path, trials: int, more: int, search: str) -> Path:
    """A runs folder with a sweep of which so many trials are over, by the folder of one that was
    played, and `more` are to be played. Their scores fall slowly, so that a searcher has something to learn."""
    from ganflow.runs import record
    from ganflow.sweeps.records import SweepFolder

    runs, recipe = root / f"{search}-{trials}", root / "ring.yaml"
    quick = RING.read_text().replace("  - {use: emd, repeats: 10}\n", "")
    tune = f"tune: {{trials: TRIALS, rounds: {SHORT}, search: {search}, space: {{{RATE}: {{loguniform: [1.0e-4, 1.0e-2]}}}}}}"
    recipe.write_text(f"{quick}\ntrack: {{mlflow: false}}\n{tune.replace('TRIALS', '1')}\n")
    timed([sys.executable, "-m", "ganflow", "tune", recipe, "--name", "s", "-q", "--runs", runs])
    sweep = SweepFolder(runs / "s")
    first, score = sweep.trial(0), sweep.trials()[0].score
    for number in range(1, trials):
        copied = sweep.trial(number)
        shutil.copytree(first.path, copied.path)
        record.update(copied.path, {"id": copied.id, "trial": number})
        config = {RATE: 10 ** random.Random(number).uniform(-4, -2)}
        over = {"score": (score or 0.0) + 1 / number, "round": SHORT, "state": "finished"}
        sweep.record(number, config=config)
        sweep.record(number, **over)
    sweep.recipe.write_text(sweep.recipe.read_text().replace("trials: 1\n", f"trials: {trials + more}\n", 1))
    sweep.update(trials=trials + more, status="interrupted")
    return runs


def resumed(root: Path, trials: int, times: int) -> None:
    """Print how long it takes until a sweep with so many recorded trials plays on."""
    from ganflow.runs.folders import RunFolder
    from ganflow.runs.journal import entries

    print(f"seconds from --resume to the first round, {times} times, {len(os.sched_getaffinity(0))} cores")
    for search, many in (("random", 1), ("random", trials), ("optuna", trials)):
        seconds = []
        for i in range(times):
            (root / str(i)).mkdir(exist_ok=True)
            runs = recorded(root / str(i), many, 2, search)
            command = [sys.executable, "-m", "ganflow", "tune", "--resume", "s", "-q", "--runs", runs]
            started, _ = timed(command)
            new = [path for path in (runs / "s").glob("*-t*") if int(path.name.rpartition("-t")[2]) >= many]
            seconds.append(min(next(iter(entries(RunFolder(path).journal))).time for path in new) - started)
        print(f"  {search:8} {many:5} trials recorded   {statistics.median(seconds):6.2f}", flush=True)


def memory(root: Path, trials: int) -> None:
    """Print the driver's memory and CPU time while it plays 40 trials, with few and with many before them."""
    print("driver: most memory (MiB), and CPU seconds of a sweep of 40 more trials")
    for many in (1, trials):
        runs = recorded(root, many, 40, "random")
        command = [sys.executable, "-m", "ganflow", "tune", "--resume", "s", "-q", "--runs", str(runs)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        assert status == 0
        print(f"  {many:5} trials recorded   {used.ru_maxrss / 1024:7.0f}   {used.ru_utime + used.ru_stime:6.2f}", flush=True)


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
        from ganflow.runs.loop import Cadence
        from ganflow.runs.run import Parts

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
    from ganflow.runs.journal import Journal
    from ganflow.runs.start import start

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
    parser.add_argument("--short", type=int, metavar="TRIALS", help="short trials instead, so many")
    parser.add_argument("--resume", type=int, metavar="TRIALS", help="time to resume a sweep with so many instead")
    parser.add_argument("--memory", type=int, metavar="TRIALS", help="the driver's memory with so many instead")
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--bare-short", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--recipe", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.bare_short:
        bare_short(args.bare_short, args.recipe, args.rounds, args.trials)
        return
    if args.short or args.resume or args.memory:
        with tempfile.TemporaryDirectory() as temporary:
            root = Path(temporary)
            if args.short:
                short(root, args.short, args.times)
            if args.resume:
                resumed(root, args.resume, args.times)
            if args.memory:
                memory(root, args.memory)
        return
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
