"""Sweeps that nothing happens to: what they leave, and that their trials are runs like any other."""

import itertools
import subprocess
import sys

import pytest
from sweep_helpers import assert_same_run, played, recipe, records, resume, tune

from ganflow.recipe import read_recipe
from ganflow.runs.finding import all_runs
from ganflow.sweeps.records import SweepFolder

pytestmark = pytest.mark.slow


def test_trials_take_turns_in_one_process_and_are_what_they_would_be_alone(undisturbed, tmp_path):
    spans = []
    for n in range(4):
        lines = [r for r in records(undisturbed) if r["trial"] == n]
        assert [r.get("state") for r in lines] == [None, "running", "finished"]
        spans.append([i for i, r in enumerate(records(undisturbed)) if r["trial"] == n and r.get("state")])
    assert all(a[-1] < b[0] for a, b in itertools.pairwise(spans))  # concurrency: 1
    assert len({undisturbed.trial(n).read().pid for n in range(4)}) == 1
    last = undisturbed.trial(3)
    command = [sys.executable, "-m", "ganflow", "run", last.recipe, "--runs", tmp_path, "-q"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (alone,) = all_runs(tmp_path)
    assert_same_run(last, alone)


def test_what_is_over_is_not_begun_again(undisturbed):
    before = undisturbed.records.read_bytes()
    code, out, _ = resume(undisturbed.path.parent.parent, "alone")
    assert code == 0
    assert "4 trials are over" in out
    assert undisturbed.records.read_bytes() == before
    assert undisturbed.read().status == "finished"


@pytest.mark.rare
def test_values_at_which_a_trial_ends_and_one_that_cannot_be_trained(tmp_path):
    recipe(tmp_path)
    space = "tune.space={optimizer.lr: {choice: [3.0e-3, 1.0e+30, 1.0e-3]}}"
    grid = ("tune.search=grid", "tune.stop={round: 1000}", "tune.concurrency=1", space)
    code, out, err = tune(tmp_path, "ends", *grid)
    assert code == 0, err
    sweep = SweepFolder(tmp_path / "runs" / "ends")
    trials = sweep.trials()
    assert [trials[n].state for n in range(3)] == ["finished", "diverged", "finished"]
    for n, trial in trials.items():
        about = sweep.trial(n).read()
        if trial.state == "finished":
            assert about.round == trial.round == played(sweep.trial(n))[-1] == 1000
            assert trial.score is not None
        else:
            assert (about.status, trial.score) == ("failed", None)
            assert trial.error.startswith("generator/non_saturating became nan in round 1;")
            assert "became nan in round 1" in out
    assert trials[sweep.read().best["trial"]].state == "finished"
    assert sweep.read().status == "finished"
    read_recipe(sweep.best)


@pytest.mark.rare
def test_what_no_machine_has_is_refused_before_anything_is_begun(tmp_path):
    recipe(tmp_path)
    code, out, err = tune(tmp_path, "greedy", "tune.resources={gpus: 8}", options=["-q"])
    assert (code, out) == (2, "")
    assert "tune.resources: a trial wants 8 GPUs; this machine has " in err
    assert list((tmp_path / "runs").iterdir()) == []
