"""Measure the recipes of the gallery, docs/gallery.md: its scores, seconds and pictures.

    python tests/benchmarks/gallery.py [RECIPE …] [--seeds 3]      # trains what is missing, and writes the page after every seed
    python tests/benchmarks/gallery.py --dry-run                   # says what is missing, and about how long it takes
    python tests/benchmarks/gallery.py --page                      # writes the page of what is known
    python tests/benchmarks/gallery.py RECIPE … --again            # forgets what is known of these first

Every training is `ganflow run RECIPE train.seed=…` in a process of its own, on one thread of the CPU and without MLflow, below
build/gallery. The command may be interrupted, or killed, at any moment: started again, it goes on by `ganflow run --resume` from
the last checkpoint of the training in hand, and trains no seed twice. `depends` in gallery_page.py says what a result depends on.
"""

from __future__ import annotations

import argparse
import os
import select
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from statistics import mean
from typing import Any

from gallery_page import ROOT, Entry, file_of, read_entries, read_result, spreads_of, write_page, write_result
from PIL import Image

from ganflow import child
from ganflow.contract.game import ERROR, FLOOR, FLOOR_ERROR
from ganflow.errors import GanflowError, did_you_mean
from ganflow.files import replacing
from ganflow.printing import finite, say, say_text
from ganflow.recipe.yaml import to_flow
from ganflow.runs.finding import all_runs
from ganflow.runs.folders import RunFolder, is_running
from ganflow.sweeps.report import newest_samples
from ganflow.tune.seeds import parse_seeds, scores_of

FIXED = ("train.threads=1", "train.device=cpu", "track.mlflow=false")
LARGEST = 60_000  # bytes of a picture
SIZES = ((640, 256), (640, 64), (480, 64), (360, 64), (360, 32), (240, 32), (160, 16))  # its longer side in pixels, its colours
CHILD = "--child"
Train = Callable[[Sequence[str], Path], int]
"""Plays `ganflow` with these arguments, keeps its CPU seconds in a new file cpu-… of a folder, returns the exit code."""


@dataclass(frozen=True)
class Job:
    """A training with one seed, in a folder of its own; `after`: the one from whose weights it starts."""

    entry: Entry
    seed: int
    folder: Path
    after: Job | None = None

    def __str__(self) -> str:
        return f"{self.entry.name}, seed {self.seed}"

    @property
    def run(self) -> RunFolder | None:
        """Its run; None where there is none yet."""
        return next(reversed(list(all_runs(self.folder))), None)

    @property
    def trained(self) -> bool:
        """Tell whether its run came to its end, or diverged, which it would again."""
        run = self.run
        try:
            return run is not None and (run.read().status == "finished" or diverged(run))
        except GanflowError as error:
            raise GanflowError(f"{error}. To train {self} anew, delete {self.folder}") from None

    @property
    def seconds(self) -> float:
        """CPU seconds that its processes took so far."""
        return sum(float(file.read_text() or 0) for file in self.folder.glob("cpu-*"))


def diverged(run: RunFolder) -> bool:
    """Tell whether a run ended since a term was not finite."""
    record = run.read()
    return record.status == "failed" and any(alarm["sign"].startswith("not finite") for alarm in record.alarms)


def missing(entries: Mapping[str, Entry], names: Sequence[str], seeds: Sequence[int], results: Path, runs: Path) -> list[Job]:
    """The trainings whose results are missing; one that another starts from comes before that."""

    def job(name: str, seed: int) -> Job:
        entry = entries[name]
        folder = (runs / name / entry.key / str(seed)).absolute()
        return Job(entry, seed, folder, job(entry.after, seed) if entry.after else None)

    found: dict[Path, Job] = {}
    for name in names:
        result = read_result(name, results)
        measured = [kept["seed"] for kept in result["seeds"]] if entries[name].is_that_of(result) else []
        for seed in [seed for seed in seeds if seed not in measured]:
            chain = [job(name, seed)]
            while (first := chain[0]).after and not (first.trained or first.after.trained):
                chain.insert(0, first.after)
            found |= {each.folder: each for each in chain}
    return list(found.values())


def arguments_of(job: Job) -> list[str]:
    """The command that begins the training, or goes on with it."""
    if run := job.run:
        return ["run", "--resume", str(run.path), "-q"]
    earlier = job.after.run if job.after else None
    start = [f"train.start_from={to_flow(str(earlier.path))}"] if earlier else []
    return ["run", str(job.entry.path), f"train.seed={job.seed}", *FIXED, *start, "--runs", str(job.folder), "-q"]


def measure(jobs: Sequence[Job], entries: Mapping[str, Entry], docs: Path, train: Train) -> int:
    """Make these trainings, and keep each result as soon as there is one; returns how many failed."""
    failed: list[Job] = []
    for number, job in enumerate(jobs):
        say(f"[{number + 1}/{len(jobs)}] {job}: {lasting(jobs[number:], docs / 'gallery')}")
        if job.after in failed:
            failed.append(job)
            say("  left out: what it starts from failed")
            continue
        if not job.trained:
            job.folder.mkdir(parents=True, exist_ok=True)
            wait_for(job)
            code = train(arguments_of(job), job.folder)
            if not job.trained:
                failed.append(job)
                say(f"  failed with exit code {code}")
                continue
        kept = keep(job, docs / "gallery")
        write_page(entries, docs)
        found = ", ".join(f"{spread.name} {spread}" for spread in spreads_of([kept])[:3])
        say(f"  {kept['cpu']:.0f} s of one core" + (f": {found}" if found else ""))
    if failed:
        say(f"{len(failed)} of {len(jobs)} trainings failed: {'; '.join(map(str, failed))}", err=True)
    return len(failed)


def lasting(jobs: Sequence[Job], results: Path) -> str:
    """About how long these trainings take, by those that were measured, of earlier recipes, too."""
    times = {job.entry.name: [seed["cpu"] for seed in read_result(job.entry.name, results).get("seeds", [])] for job in jobs}
    known = [max(0.0, mean(times[job.entry.name]) - job.seconds) for job in jobs if times[job.entry.name]]
    unknown = len(jobs) - len(known)
    parts = [f"about {sum(known) / 60:.0f} min of one core"] if known else []
    parts += [f"{unknown} training{'s' if unknown > 1 else ''} of unknown length"] if unknown else []
    return f"{' and '.join(parts)} to go"


def wait_for(job: Job) -> None:
    """Wait until a process that trained when the command was killed has kept its checkpoint.

    Raises:
        GanflowError: it goes on training.
    """
    for _ in range(300):
        if not ((run := job.run) and is_running(run)):
            return
        time.sleep(0.2)
    raise GanflowError(f"{job} is being trained by another process, in {job.folder}")


def keep(job: Job, results: Path) -> dict[str, Any]:
    """Keep the result of a training, and the picture of the first seed; returns what is kept of this seed."""
    run, name = job.run, job.entry.name
    assert run is not None
    record, values = run.read(), scores_of(run)
    names = [f"{score}{ending}" for score in record.protocols for ending in ("", ERROR, FLOOR, FLOOR_ERROR)]
    found: dict[str, Any] = {
        "seed": job.seed, "cpu": round(job.seconds, 1), "rounds": record.round,
        "scores": finite({score: float(f"{values[score]:.6g}") for score in names if score in values}),
        "alarms": sorted({alarm["sign"] for alarm in record.alarms}),
        "versions": {name: version for name, version in record.versions.items() if name in ("ganflow", "torch")},
        **({"diverged": True} if diverged(run) else {}),
    }  # fmt: skip
    result, picture = read_result(name, results), file_of(name, results, ".png")
    if not job.entry.is_that_of(result):
        picture.unlink(missing_ok=True)
        result = {"depends": dict(job.entry.depends), "picture": "", "seeds": []}
    result["seeds"] = sorted([*(s for s in result["seeds"] if s["seed"] != job.seed), found], key=lambda seed: int(seed["seed"]))
    sheet = newest_samples(run) if result["seeds"][0] is found else None
    if sheet:
        data = small_png(sheet)
        results.mkdir(parents=True, exist_ok=True)
        with replacing(picture) as scratch:
            scratch.write_bytes(data)
        result["picture"] = sha256(data).hexdigest()[:16]
    write_result(name, result, results)
    return found


def small_png(sheet: Path) -> bytes:
    """A sheet as a PNG with a palette, smaller and with fewer colours until it has few enough bytes."""
    with Image.open(sheet) as opened:
        whole = opened.convert("RGB")
    for side, colours in SIZES:
        image, data = whole.copy(), BytesIO()
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        image.quantize(colours, dither=Image.Dither.NONE).save(data, format="PNG", optimize=True)
        if data.tell() < LARGEST:
            break
    return data.getvalue()


# Processes.


def spawned(arguments: Sequence[str], folder: Path) -> int:
    """Train in a process of its own, which is interrupted when this one ends, in whatever way, and keeps a checkpoint then."""
    command = [str(Path(__file__).resolve()), CHILD, str(folder), *arguments]
    process = child.start(command, {"OMP_NUM_THREADS": "1"}, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                          start_new_session=True)  # fmt: skip
    assert process.stdin is not None
    try:
        return process.wait()
    finally:
        process.stdin.close()
        process.wait()


def be_child(folder: Path, arguments: Sequence[str]) -> int:
    """Play `ganflow` for a parent at the other end of stdin."""
    with spent_in(folder):
        from ganflow.cli.main import main as ganflow

        return ganflow(list(arguments))


@contextmanager
def spent_in(folder: Path) -> Iterator[None]:
    """Keep this process's CPU seconds in a file, every second and at the end, and interrupt it when stdin is closed."""
    file, over = folder / f"cpu-{time.time_ns()}", threading.Event()

    def note() -> None:
        with replacing(file, durable=False) as scratch:
            scratch.write_text(f"{sum(os.times()[:4]):.2f}")  # its own and its children's

    def watch() -> None:
        while not over.is_set():
            note()
            if select.select([0], [], [], 1.0)[0]:
                os.kill(os.getpid(), signal.SIGTERM)
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        note()


# The command.


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="gallery.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                   allow_abbrev=False)  # fmt: skip
    made.add_argument("names", nargs="*", metavar="RECIPE", help="names as of `ganflow recipes` (default: all that are trained)")
    made.add_argument("--seeds", default="3", metavar="N", help="a number of seeds, from 0 on, or seeds (0,1,2); default: 3")
    made.add_argument("--page", action="store_true", help="write the page, and train nothing")
    made.add_argument("--dry-run", action="store_true", help="say what is missing, and train nothing")
    made.add_argument("--again", action="store_true", help="forget what is known of these recipes first: measure them anew")
    made.add_argument("--runs", type=Path, default=ROOT / "build" / "gallery", help="where runs are (default: build/gallery)")
    made.add_argument("--recipes", type=Path, help="another folder of recipes")
    made.add_argument("--docs", type=Path, default=ROOT / "docs", help="another folder with gallery.md, and gallery/ for results")
    return made


def chosen(names: Sequence[str], entries: Mapping[str, Entry]) -> list[str]:
    """The recipes to train.

    Raises:
        GanflowError: there is no such recipe, or it is not trained.
    """
    for name in names:
        if name not in entries:
            raise GanflowError(f"there is no recipe '{name}'{did_you_mean(name, entries)} (`ganflow recipes` lists them)")
        if entries[name].why:
            raise GanflowError(f"{name} is not trained here: {entries[name].why}")
    return list(dict.fromkeys(names)) or [entry.name for entry in entries.values() if not entry.why]


def main(arguments: Sequence[str], train: Train = spawned) -> int:
    """The command; returns its exit code."""
    args = parser().parse_args(arguments)
    try:
        seeds, entries, results = parse_seeds(args.seeds, 0), read_entries(args.recipes), args.docs / "gallery"
        names = chosen(args.names, entries)
        if args.again and (not args.names or args.page or args.dry_run):
            raise GanflowError("--again measures recipes anew: name them, and leave out --page and --dry-run")
        for name in names if args.again else ():
            for file in (file_of(name, results), file_of(name, results, ".png")):
                file.unlink(missing_ok=True)
            shutil.rmtree(args.runs / name, ignore_errors=True)
        jobs = [] if args.page else missing(entries, names, seeds, results, args.runs)
        if args.dry_run:
            say(*(str(job) for job in jobs), lasting(jobs, results) if jobs else "nothing is missing")
            return 0
        write_page(entries, args.docs)
        failed = measure(jobs, entries, args.docs, train)
        say(f"{args.docs / 'gallery.md'} has what is known")
        return 1 if failed else 0
    except GanflowError as error:
        say_text(f"gallery.py: {error}\n", err=True)
        return error.exit_code
    except KeyboardInterrupt:
        again = [argument for argument in arguments if argument != "--again"]
        say(f"stopped; go on with: {shlex.join(['python', 'tests/benchmarks/gallery.py', *again])}", err=True)
        return 130


if __name__ == "__main__":
    if sys.argv[1:2] == [CHILD]:
        sys.exit(be_child(Path(sys.argv[2]), sys.argv[3:]))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
