"""One process at a time trains a run: a second one is refused, by a sentence, and has changed nothing."""

import os
import subprocess
import sys

import pytest
from runner_helpers import files, folder_of, last, numbers, only_run

from ganflow.errors import GanflowError
from ganflow.packed.session import PackSession
from ganflow.recipe import read_recipe
from ganflow.runs.start import open_trial, resume

MEDDLING = '''
from ganflow import hookimpl, settings

GANFLOW_CONTRACT = 2
seen = []


@settings
class Meddling:
    """Tries once to train the run that is being trained, after its first checkpoint."""

    @hookimpl
    def checkpointed(self, path):
        from ganflow.errors import GanflowError
        from ganflow.runs.folders import RunFolder
        from ganflow.runs.start import resume

        if not seen:
            seen.append("")
            folder = RunFolder(path.parents[1])
            before = folder.read().raw, folder.journal.read_bytes()
            try:
                resume(folder, quiet=True)
            except GanflowError as error:
                seen[0] = str(error)
            assert (folder.read().raw, folder.journal.read_bytes()) == before


@hookimpl
def register(offer):
    offer("modifier", "meddling", Meddling)
'''
SHORT = ("train.rounds=2", "~metrics", "-q")


def test_a_run_in_training_is_refused_and_goes_on(work, ganflow, plugin):
    plugin("meddling", MEDDLING)
    code, _, err = ganflow("run", "tiny.yaml", "+modifiers={use: meddling}", *SHORT)
    assert code == 0, err
    from gf_meddling import seen

    run = only_run(work / "runs")
    assert seen == [f"run {run.id} is being trained by another process (pid {os.getpid()} on {os.uname().nodename})"]
    assert [round for round, _ in numbers(run)] == [1, 2]
    assert last(run).round == 2


def trial_of(work, number, *changes):
    """A sweep's trial, as `open_trial` wants it."""
    return read_recipe(work / "tiny.yaml", ["~metrics", *changes]), folder_of(work / "runs" / "sweep" / f"sweep-t{number:04}"), {}


@pytest.fixture
def session(work):
    """A trial after its first round of six, and what it was opened with."""
    trial = trial_of(work, 1, "train.keep=10")
    opened = open_trial(*trial)
    steps = iter(opened)
    assert next(steps).round == 1
    opened._run.loop.writer.wait()  # the checkpoint is written meanwhile
    yield trial, opened, steps
    steps.close()


def test_a_trial_in_training_is_refused(session):
    trial, opened, steps = session
    before = files(opened.folder.path)
    with pytest.raises(GanflowError, match="is being trained by another process"):
        open_trial(*trial)
    with pytest.raises(GanflowError, match="is being trained by another process"):
        resume(opened.folder, quiet=True, overrides=["train.rounds=7"])
    assert files(opened.folder.path) == before
    assert [step.round for step in steps] == [2, 3, 4, 5, 6]
    assert opened.outcome.status == "finished"


def test_a_pack_leaves_the_checkpoints_of_trials_in_training(session, work):
    """They are later than that from which all of a pack could go on together."""
    trial, opened, steps = session
    assert [next(steps).round for _ in range(3)] == [2, 3, 4]
    other = trial_of(work, 2)
    slower = iter(open_trial(*other))
    assert [next(slower).round for _ in range(2)] == [1, 2]
    pack = PackSession([trial, other])
    assert ["is being trained by another process" in str(pack.over[i]) for i in range(2)] == [True, True]
    assert (opened.folder.checkpoints / "round-00000003.safetensors").exists()
    slower.close()


@pytest.mark.parametrize("how", ["finished", "failed", "given up"])
def test_the_lock_goes_with_the_training(work, how):
    """However that ends: the run can be gone on with at once."""
    opened = open_trial(*trial_of(work, 1, "train.rounds=2"))
    steps = iter(opened)
    next(steps)
    if how == "finished":
        list(steps)
    elif how == "failed":
        with pytest.raises(ZeroDivisionError):
            steps.throw(ZeroDivisionError)
    else:
        steps.close()
    assert resume(opened.folder, quiet=True, overrides=["train.rounds=3"]).round == 3


def test_the_lock_goes_with_its_process(work, ganflow):
    """The file that a killed process leaves keeps nobody out."""
    assert ganflow("run", "tiny.yaml", *SHORT)[0] == 0
    run = only_run(work / "runs")
    hold = "import sys, time; from ganflow.runs.folders import RunFolder, locked; from pathlib import Path\n"
    hold += "with locked(RunFolder(Path(sys.argv[1]))): print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", hold, str(run.path)], stdout=subprocess.PIPE) as process:
        try:
            process.stdout.readline()
            refused = ganflow("run", "--resume", run.id, "train.rounds=3", "-q")
        finally:
            process.kill()
    assert refused[:2] == (2, "")
    assert f"run {run.id} is being trained by another process" in refused[2]
    assert last(run).round == 2
    assert ganflow("run", "--resume", run.id, "train.rounds=3", "-q")[0] == 0
    assert last(run).round == 3
