"""Runs of several workers: the same as one worker's, and ended cleanly by whatever ends them."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from runner_helpers import Process, assert_same_state, finished, last, last_round, numbers, only_run

from ganflow.recipe import read_recipe
from ganflow.runs.folders import RunFolder
from ganflow.runs.start import open_trial, resume, start
from ganflow.runs.workers import Group, Lost

PLAIN = """\
name: plain
data: {use: gaussians, layout: ring, samples: 2000}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 16}
critic: {use: mlp, width: 16}
loss: wasserstein
optimizer: {use: rmsprop, lr: 1.0e-3}
modifiers:
  - {use: weight_clip, c: 0.05}
train: {rounds: 20, n_critic: 5, batch_size: 24, seed: 3, precision: fp64, threads: 1, report_every: 1,
        checkpoint_every: 1, sample_every: 100000, keep: 100}
track: {mlflow: false}
"""
POOLED = """\
name: pooled
data: {use: street, size: 16, train: 24, held_out: 2}
generator: {use: resnet_translator, width: 2, blocks: 1, downs: 1}
critic: {use: patch, receptive_field: 7, width: 2, norm: none}
loss: {use: cycle, pool: 6}
optimizer: {use: adam}
train: {rounds: 6, batch_size: 4, seed: 3, threads: 1, report_every: 1, checkpoint_every: 3, sample_every: 100000, keep: 100}
track: {mlflow: false}
"""
ENDLESS = ("train.rounds=100000", "~schedule", "~metrics", "train.checkpoint_every=10", "-q")
FAULTY = '''
from ganflow import hookimpl, key, settings


@settings
class Faulty:
    """Goes wrong in the second worker, in the third round."""

    how: str = key(doc="what goes wrong")

    @hookimpl
    def run_started(self, game):
        self.steps = 0
        if self.how == "start" and self.second(game):
            raise ValueError("no start for me")

    @hookimpl
    def generator_stepped(self, game):
        import time
        from pathlib import Path

        self.steps += 1
        if self.steps == 3 and self.second(game):
            if self.how == "raise":
                raise ZeroDivisionError("the third is too much")
            if self.how == "sleep":
                Path("hangs").touch()
                time.sleep(100_000)
            if self.how == "nan":
                game.players["generator"].updated[0].data.fill_(float("nan"))

    def second(self, game):
        group = game.players["generator"].group
        return group is not None and group.rank == 1


GANFLOW_CONTRACT = 2


@hookimpl
def register(offer):
    offer("modifier", "faulty", Faulty)
'''


@pytest.fixture
def plain(work):
    (work / "plain.yaml").write_text(PLAIN)
    return work


def others(pid):
    """The worker processes of a run's first."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            command, stat = (folder / "cmdline").read_bytes(), (folder / "stat").read_text()
        except OSError:
            continue
        if b"ganflow.runs.worker" in command and int(stat.rpartition(")")[2].split()[1]) == pid:
            found.append(int(folder.name))
    return found


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def all_gone(pids, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not all(map(gone, pids)):
        time.sleep(0.05)
    return all(map(gone, pids))


def assert_close(run, other):
    a, b = last(run), last(other)
    assert a.round == b.round
    for name, t in b.tensors.items():
        if t.is_floating_point():
            assert (a.tensors[name] - t).abs().max() <= 1e-10, name
        else:
            assert torch.equal(a.tensors[name], t), name
    for (_, mine), (_, theirs) in zip(numbers(run), numbers(other), strict=True):
        assert mine == pytest.approx(theirs, abs=1e-6)


def test_two_workers_do_what_one_does_and_leave_nothing_behind(plain, capsys):
    recipe = read_recipe(plain / "plain.yaml")
    two = start(recipe, plain / "two", workers=2)
    assert "2 workers, 12 examples each" in capsys.readouterr().err
    assert not others(os.getpid())
    assert two.folder.read().workers == 2
    assert_close(two.folder, start(recipe, plain / "one", quiet=True).folder)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--workers", "0"], "--workers: 0 workers cannot train anything; use 1 or more"),
        (["--workers", "-3"], "--workers: -3 workers cannot train anything; use 1 or more"),
        (["--workers", "5"], "train.batch_size: 24 examples cannot be shared evenly by 5 workers; use a multiple of 5"),
        (
            ["--workers", "2", "train.accumulate=8"],
            "train.batch_size: 24 examples cannot be shared evenly by 2 workers in 8 micro-batches each; use a multiple of 16",
        ),
    ],
)
def test_what_cannot_be_shared_is_said_before_anything_begins(plain, ganflow, arguments, said):
    assert ganflow("run", "plain.yaml", *arguments) == (2, "", f"ganflow: {said}\n")
    assert not (plain / "runs").exists()


def test_rounds_of_several_workers_are_not_compiled(plain, ganflow):
    code, _, err = ganflow("run", "plain.yaml", "--workers", "2", "train.compile=round", "-q")
    said = "train.compile: rounds that several workers play cannot be compiled; set train.compile=never"
    assert (code, err) == (2, f"ganflow: {said}\n")
    assert not (plain / "runs").exists()


@pytest.mark.slow
def test_a_run_goes_on_with_any_number_of_workers(plain):
    """One, then three: the same as one to the end."""
    root = plain / "runs"
    start(read_recipe(plain / "plain.yaml", ["train.rounds=6"]), root, quiet=True)
    code, _, err = finished(plain, "run", "--resume", "latest", "train.rounds=20", "--workers", 3, "-q")
    assert code == 0, err
    assert only_run(root).read().workers == 3
    alone = start(read_recipe(plain / "plain.yaml"), plain / "one", quiet=True).folder
    assert_close(only_run(root), alone)


@pytest.mark.slow
def test_every_worker_goes_on_with_state_of_its_own(work, capsys):
    """A pool of earlier fakes, which follows from a worker's examples: bit for bit, with the number of workers that it had."""
    (work / "pooled.yaml").write_text(POOLED)
    whole = start(read_recipe(work / "pooled.yaml"), work / "whole", quiet=True, workers=2).folder
    begun = start(read_recipe(work / "pooled.yaml", ["train.rounds=3"]), work / "begun", quiet=True, workers=2).folder
    kept = last(begun).tensors
    pools = [name for name in kept if name.startswith("game.") and name.endswith(".kept")]
    assert len(pools) == 2
    for name in pools:
        assert kept[name].any()
        assert not torch.equal(kept[name], kept[f"rank1.{name}"])
    assert not any(name.startswith("rank") and "kept" not in name and "count" not in name for name in kept)
    copied = RunFolder(Path(shutil.copytree(begun.path, work / "alone" / begun.path.name)))
    resume(begun, overrides=["train.rounds=6"], quiet=True)
    assert_same_state(begun, whole)
    capsys.readouterr()
    resume(copied, overrides=["train.rounds=6"], workers=1)
    assert "b differed between 2 workers; now all go on with the first one's" in capsys.readouterr().err
    assert not any(name.startswith("rank") for name in last(copied).tensors)


@pytest.mark.slow
def test_kills_of_either_worker_change_nothing(work):
    """With an own ε in each worker, batch norm, a schedule and scores: bit for bit, with the number of workers it had."""
    rounds = "train.rounds=30"
    command = ["run", "tiny.yaml", rounds, "--workers", "2", "-q"]
    for kill_first in (False, True):
        with Process(work, *command) as process:
            began = last_round(process.run) if process.run else 0
            assert process.until(lambda process=process, began=began: process.reached(began + 4))
            (worker,) = others(process.popen.pid)
            os.kill(process.popen.pid if kill_first else worker, signal.SIGKILL)
            code, out, err = process.end()
            assert all_gone([worker])
        run = process.run
        if not kill_first:
            how = f"worker 1 of 2 (pid {worker}) was ended by SIGKILL; was there too little memory?"
            said = f"{how}; go on from the last checkpoint with: ganflow run --resume {run.id}"
            assert (code, out, err) == (1, "", f"ganflow: {said}\n")
            assert run.read().status == "failed"
            assert last(run).round >= 4
        command = ["run", "--resume", "latest", "-q"]
    assert code == -signal.SIGKILL
    code, _, err = finished(work, *command)
    assert code == 0, err
    (work / "alone").mkdir()
    code, _, err = finished(work / "alone", "run", work / "tiny.yaml", rounds, "--workers", "2", "-q")
    assert code == 0, err
    run, alone = only_run(work / "runs"), only_run(work / "alone" / "runs")
    assert run.read().workers == 2
    assert_same_state(run, alone)
    assert numbers(run) == numbers(alone)


@pytest.mark.slow
def test_a_signal_to_everybody_keeps_the_round_in_hand(work):
    with Process(work, "run", "tiny.yaml", *ENDLESS, "--workers", "2") as process:
        assert process.until(lambda: process.reached(3))
        workers = others(process.popen.pid)
        for pid in (*workers, process.popen.pid):
            os.kill(pid, signal.SIGTERM)
        code, out, err = process.end()
    assert (code, err) == (143, "")
    assert all_gone(workers)
    run = process.run
    round = last(run).round
    assert round == last_round(run)
    assert out.startswith(f"stopped after round {round} of runs/tiny/{run.id}")
    code, _, err = finished(work, "run", "--resume", "latest", f"train.rounds={round + 2}", "-q")
    assert code == 0, err
    assert last(run).round == round + 2


@pytest.mark.rare
def test_ctrl_c_twice_ends_workers_that_hang(work, plugin):
    site = plugin("faulty", FAULTY)
    with Process(work, "run", "tiny.yaml", *ENDLESS, "+modifiers={use: faulty, how: sleep}", "--workers", "2", path=[site]) as p:
        assert p.until((work / "hangs").exists)
        workers = others(p.popen.pid)
        p.popen.send_signal(signal.SIGINT)
        time.sleep(1)
        assert p.popen.poll() is None  # waits for the round in hand
        p.popen.send_signal(signal.SIGINT)
        code, _, err = p.end()
    assert (code, err) == (130, "\nganflow: interrupted\n")
    assert len(workers) == 1
    assert all_gone(workers)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("raise", "worker 1 of 2: plugin 'faulty' (gf-faulty 1.0) failed after 2 rounds: ZeroDivisionError: the third is too"),
        ("start", "worker 1 of 2: plugin 'faulty' (gf-faulty 1.0) failed after 0 rounds: ValueError: no start for me"),
        ("nan", "became nan in round 4; there is no checkpoint yet"),
    ],
)
def test_what_goes_wrong_in_another_worker_is_said(work, plugin, how, said):
    site = plugin("faulty", FAULTY)
    change = f"+modifiers={{use: faulty, how: {how}}}"
    with Process(work, "run", "tiny.yaml", *ENDLESS, change, "--workers", "2", path=[site]) as process:
        process.until(lambda: others(process.popen.pid))
        workers = others(process.popen.pid)
        code, out, err = process.end()
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert all_gone(workers)
    assert process.run.read().status == "failed"
    trace = (process.run.path / "error.txt").read_text()
    assert {"raise": "in generator_stepped", "start": "in run_started", "nan": "Diverged"}[how] in trace


@pytest.mark.slow
def test_nobody_survives_a_first_worker_killed_while_all_begin(work):
    with Process(work, "run", "tiny.yaml", *ENDLESS, "--workers", "3", "train.batch_size=9") as process:
        assert process.until(lambda: len(others(process.popen.pid)) == 2)
        workers = others(process.popen.pid)
        assert process.kill()
    assert all_gone(workers)


SERVE = """
import sys
from ganflow.recipe import read_recipe
from ganflow.runs.workers import Group, Lost, serve
try:
    print(serve(read_recipe(sys.argv[1]), Group(1, 2, sys.argv[2])))
except Lost as error:
    print("lost:", error)
"""


@pytest.mark.rare
def test_a_trials_workers_come_from_anywhere(plain):
    """What a sweep does: it makes the processes itself, steps through the trial, and stops it when it likes."""
    recipe = read_recipe(plain / "plain.yaml")

    def worker(group):
        command = [sys.executable, "-c", SERVE, str(plain / "plain.yaml"), group.address]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    folder = RunFolder(plain / "sweep" / "trial-00000")
    folder.path.parent.mkdir()
    group = Group.host(2)
    with worker(group) as process:
        session = open_trial(recipe, folder, {}, group=group)
        for step in session:
            if step.round == 9:
                session.stop()
        assert (session.outcome.status, session.outcome.round) == ("stopped", 9)
        assert process.communicate(timeout=120)[0] == "9\n"
    group = Group.host(2)
    with worker(group) as process:
        session = open_trial(recipe, folder, {}, group=group)
        assert session.finish().status == "finished"
        assert process.communicate(timeout=120)[0] == "20\n"
    assert_close(folder, start(recipe, plain / "one", quiet=True).folder)


@pytest.mark.slow
def test_a_trials_worker_that_dies_is_named(plain):
    recipe = read_recipe(plain / "plain.yaml", ["train.rounds=100000"])
    (plain / "long.yaml").write_text(recipe.to_yaml())
    folder = RunFolder(plain / "sweep" / "trial-00000")
    folder.path.parent.mkdir()
    group = Group.host(3)
    codes = [SERVE.replace("Group(1, 2", f"Group({rank}, 3") for rank in (1, 2)]
    command = [str(plain / "long.yaml"), group.address]
    processes = [subprocess.Popen([sys.executable, "-c", c, *command], stdout=subprocess.PIPE, text=True) for c in codes]
    try:
        session = open_trial(recipe, folder, {}, group=group)
        with pytest.raises(Lost, match=r"^worker 2 of 3 died, or cannot be reached any more$"):
            [processes[1].kill() for step in session if step.round == 5]
        assert processes[0].communicate(timeout=120)[0] == "lost: the connection to the other workers broke\n"
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert folder.read().status == "failed"
