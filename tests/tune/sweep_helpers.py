"""Real `ganflow tune` processes, what they leave behind, and ways to hurt them."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from ganflow.errors import GanflowError
from ganflow.recipe import differences, read_recipe
from ganflow.runs.checkpoints import newest
from ganflow.runs.journal import entries
from ganflow.sweeps.records import SweepFolder

# Small and quick, with all that a checkpoint holds, and slow enough that a trial can be met in the middle.
TINY = """\
name: tiny
data: {use: gaussians, layout: ring}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 8, depth: 1}
critic: {use: mlp, width: 8, depth: 1}
loss: {use: non_saturating}
optimizer: {use: adam, lr: 1.0e-3, beta1: 0.5, beta2: 0.9}
modifiers:
  - {use: ema, decay: 0.9}
metrics:
  - {use: sliced_wasserstein, samples: 256}
train: {rounds: 6000, batch_size: 16, compile: never, report_every: 20, checkpoint_every: 200, evaluate_every: 500,
        sample_every: 100000}
track: {mlflow: false}
tune:
  trials: 4
  resources: {cpus: 0.5}
  space:
    optimizer.lr: {loguniform: [1.0e-4, 1.0e-2]}
"""
EVERY, REPORT = 200, 20  # rounds between its checkpoints, and between its reports


def recipe(folder, text=TINY):
    """The recipe's file in a folder."""
    path = Path(folder) / "tiny.yaml"
    path.write_text(text)
    return path


class Tuning:
    """A `ganflow tune` process of its own, in a process group of its own, as a shell would start it.

    Args:
        name: of the sweep.
        arguments: after `ganflow tune`.
    """

    def __init__(self, folder, name, *arguments, **env):
        self.cwd = Path(folder)
        self.sweep = SweepFolder(self.cwd / "runs" / name)
        self.out, self.err = (self.cwd / f"{name}-{os.urandom(3).hex()}.{end}" for end in ("out", "err"))
        command = [sys.executable, "-m", "ganflow", "tune", *map(str, arguments)]
        with self.out.open("wb") as out, self.err.open("wb") as err:
            environment = {**os.environ, "OMP_NUM_THREADS": "1", **env}
            self.popen = subprocess.Popen(
                command, cwd=folder, stdout=out, stderr=err, env=environment, start_new_session=True
            )

    @classmethod
    def new(cls, folder, name, *changes, options=(), **env):
        return cls(folder, name, "tiny.yaml", "--name", name, *changes, *options, **env)

    @classmethod
    def resumed(cls, folder, name, *options, **env):
        return cls(folder, name, "--resume", name, *options, **env)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.popen.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()

    def until(self, happened, seconds=300):
        """Wait for something to happen while the sweep runs; returns what it was."""
        deadline = time.monotonic() + seconds
        while not (found := happened()):
            assert self.popen.poll() is None, f"the sweep ended before that:\n{self.said()}"
            assert time.monotonic() < deadline, f"nothing happened in {seconds} s:\n{self.said()}"
            time.sleep(0.02)
        return found

    def playing(self, further=1000, number=None):
        """(number, process id) of a trial that is in the middle of its training and played so many rounds since this was
        asked, or since it began."""
        began = {n: played(self.sweep.trial(n))[-1:] for n in self.sweep.trials()} if self.sweep.is_run() else {}

        def found():
            for n in sorted(self.sweep.trials()) if self.sweep.is_run() else ():
                pid = middle(self.sweep, n, sum(began.get(n, [])) + further) if number in (None, n) else None
                if pid:
                    return n, pid
            return None

        return self.until(found)

    def send(self, number):
        """A signal to the driver alone; None for one by Ctrl-C, which the terminal sends to the whole process group."""
        self.popen.send_signal(number)

    def kill(self):
        self.popen.kill()
        assert self.popen.wait() == -signal.SIGKILL

    def said(self):
        return self.out.read_text() + self.err.read_text()

    def end(self, seconds=400):
        """Wait; exit code, stdout and stderr, which has no traceback."""
        try:
            code = self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not over in {seconds} s:\n{self.said()}") from None
        assert "Traceback" not in self.said(), self.said()
        return code, self.out.read_text(), self.err.read_text()


def tune(folder, name, *changes, options=(), **env):
    """A sweep from its beginning to its end: exit code, stdout and stderr."""
    with Tuning.new(folder, name, *changes, options=options, **env) as process:
        return process.end()


def resume(folder, name, *options, **env):
    with Tuning.resumed(folder, name, *options, **env) as process:
        return process.end()


def middle(sweep, number, rounds=1):
    """The process id of a trial that has played so many rounds and is not over; None where that is not so."""
    try:
        run = sweep.trial(number)
        about = run.read()
    except GanflowError:
        return None
    reported = played(run)
    going = about.status == "running" and reported and rounds <= reported[-1] < about.rounds
    return about.pid if going else None


def played(run):
    """The rounds after which its terms were reported, in order."""
    return [e.round for e in entries(run.journal) if "critic/non_saturating" in e.values]


def scores(run, metric="sliced_w1_256"):
    """(round, score) of every evaluation."""
    return [(e.round, e.values[metric]) for e in entries(run.journal) if metric in e.values]


def values(run):
    """A journal but for its clock."""
    return [(e.round, {k: v for k, v in e.values.items() if k != "rounds_per_second"}) for e in entries(run.journal)]


def last(run):
    """The newest checkpoint, which must be whole."""
    found, damaged = newest(run.checkpoints)
    assert found is not None
    assert not damaged
    return found


def assert_same_run(run, other):
    """Weights, averages, optimizers, random numbers, best score: all the same, bit for bit, and so is what was reported."""
    a, b = last(run), last(other)
    assert a.plain == b.plain
    assert a.tensors.keys() == b.tensors.keys()
    for name, tensor in a.tensors.items():
        assert torch.equal(bits(tensor), bits(b.tensors[name])), name
    assert values(run) == values(other)


def assert_same_sweep(sweep, other):
    """Records, final weights of every trial and best.yaml."""
    trials, others = sweep.trials(), other.trials()
    assert trials.keys() == others.keys()
    for number, trial in trials.items():
        facts = [(t.config, t.state, t.score, t.round, t.error) for t in (trial, others[number])]
        assert facts[0] == facts[1]
        assert_same_run(sweep.trial(number), other.trial(number))
    assert differences(read_recipe(sweep.best), read_recipe(other.best)) in ([], ["track.mlflow: true → false"])
    assert sweep.read().best == other.read().best


def bits(tensor):
    return tensor.contiguous().view(-1).view(torch.uint8)


def records(sweep):
    return [json.loads(line) for line in sweep.records.read_text().splitlines()]


def begun(sweep):
    """How often each trial was begun, as the records tell."""
    told = [r["trial"] for r in records(sweep) if r.get("state") == "running"]
    return {number: told.count(number) for number in sorted(set(told))}


def rounds_played_again(before, run):
    """How many of the rounds that a trial had played were played again since.

    Args:
        before: `clock` of its run then.
    """
    after = clock(run)
    return REPORT * sum(after.get(round) != at for round, at in before.items())


def clock(run):
    """Round → when it was reported."""
    return {e.round: e.time for e in entries(run.journal) if "critic/non_saturating" in e.values}


def processes(word):
    """Process ids whose command line or environment names this."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(word.encode() in (entry / part).read_bytes() for part in ("cmdline", "environ")):
                found.append(int(entry.name))
    return found


def ray_folders(pid):
    """Folders of the Ray that a driver started."""
    return list(Path(tempfile.gettempdir()).glob(f"ganflow-ray-{pid}-*"))


def gone(pids, seconds=100):
    """Wait until these processes have ended; those that have not."""
    deadline = time.monotonic() + seconds
    while (left := [pid for pid in pids if alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
