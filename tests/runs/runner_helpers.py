"""Real `ganflow run` processes, and what they leave behind."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from ganflow.runs.checkpoints import newest, read
from ganflow.runs.finding import all_runs
from ganflow.runs.folders import RunFolder
from ganflow.runs.journal import entries

# Every kind of state: batch norm's statistics, Adam's moments, a schedule, an average, ε from torch's generator, a best
# score. Small, and a checkpoint after every round.
TINY = """\
name: tiny
data: {use: digits, size: 16}
prior: {use: normal, dim: 16}
generator: {use: dcgan, width: 4}
critic: {use: dcgan, width: 4, norm: none}
loss: {use: wasserstein}
optimizer: {use: adam, lr: 1.0e-3, beta1: 0.5, beta2: 0.9}
schedule: {use: linear_decay, start: 0.5}
modifiers:
  - {use: gradient_penalty}
  - {use: ema, decay: 0.9}
metrics:
  - {use: frechet, samples: 64, pixels: 4}
train: {rounds: 6, n_critic: 2, batch_size: 8, threads: 1, compile: never, report_every: 1, checkpoint_every: 1,
        sample_every: 100000, evaluate_every: 5}
track: {mlflow: false}
"""


class Process:
    """A `ganflow` process of its own."""

    def __init__(self, folder, *arguments, path=()):
        self.folder = Path(folder)
        self.root = self.folder / "runs"
        self.out, self.err = self.folder / "stdout.txt", self.folder / "stderr.txt"
        search = [*map(str, path), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(search)}
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "ganflow", *map(str, arguments)], cwd=self.folder, stdout=out, stderr=err, env=environment
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.popen.kill()
        self.popen.wait()

    @property
    def run(self):
        """The newest run's folder, None while there is none."""
        return max(all_runs(self.root), key=lambda run: run.id, default=None)

    def until(self, happened, seconds=300):
        """Look for something again and again; False where the process ended first."""
        deadline = time.monotonic() + seconds
        while not (found := happened()):
            if self.popen.poll() is not None:
                return False
            assert time.monotonic() < deadline, f"nothing happened in {seconds} s:\n{self.err.read_text()}"
            time.sleep(0.0003)
        return found

    def reached(self, round):
        """Whether so many rounds are reported."""
        return self.run is not None and last_round(self.run) >= round

    def writing(self):
        """Whether a checkpoint is being written."""
        return self.run is not None and bool(unfinished(self.run))

    def kill(self):
        """SIGKILL; True if that was what ended it."""
        self.popen.kill()
        return self.popen.wait() == -signal.SIGKILL

    def end(self, seconds=300):
        """Wait; returns exit code, stdout and stderr."""
        code = self.popen.wait(seconds)
        return code, self.out.read_text(), self.err.read_text()


@contextlib.contextmanager
def process_kept():
    """Put back afterwards what a run sets for its whole process."""
    threads, states = torch.get_num_threads(), (random.getstate(), np.random.get_state())
    yield
    torch.set_num_threads(threads)
    random.setstate(states[0])
    np.random.set_state(states[1])


def finished(folder, *arguments, path=()):
    """Run a command to its end: exit code, stdout, stderr."""
    with Process(folder, *arguments, path=path) as process:
        return process.end()


def last_round(run):
    try:
        lines = list(entries(run.journal))
    except OSError:
        return 0
    return lines[-1].round if lines else 0


def unfinished(run):
    return [name for name in os.listdir(run.checkpoints) if name.startswith(".")] if run.checkpoints.exists() else []


def only_run(root):
    (run,) = all_runs(root)
    return run


def last(run):
    """The newest checkpoint, which must be whole."""
    found, damaged = newest(run.checkpoints)
    assert not damaged
    return found


def assert_same_state(run, other):
    """Everything in the last and the best checkpoints is the same, bit for bit: weights, averages, optimizers, random
    numbers, feed, best score."""
    pairs = [(last(run), last(other))]
    if (other.checkpoints / "best.safetensors").exists():
        pairs.append(tuple(read(r.checkpoints / "best.safetensors") for r in (run, other)))
    for a, b in pairs:
        assert a.plain == b.plain
        assert a.tensors.keys() == b.tensors.keys()
        for name, t in a.tensors.items():
            assert torch.equal(bits(t), bits(b.tensors[name])), name


def bits(tensor):
    return tensor.contiguous().view(-1).view(torch.uint8)


def numbers(run):
    """The journal without its clock: (round, values) of every line."""
    return [(e.round, {k: v for k, v in e.values.items() if k != "rounds_per_second"}) for e in entries(run.journal)]


def files(folder):
    """What a folder holds, to see that nothing was touched: path → bytes."""
    return {p.relative_to(folder): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file() and p.name != ".lock"}


def folder_of(path):
    return RunFolder(Path(path).absolute())
