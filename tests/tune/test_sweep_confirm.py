"""The last stage of packed sweeps for real: the best trials again, each by itself, killed in the middle and resumed."""

import csv
import subprocess
import sys
from statistics import mean

import pytest
from sweep_helpers import Tuning, assert_same_run, recipe, resume, scores, tune

from ganflow.recipe import read_recipe
from ganflow.recipe.yaml import to_flow
from ganflow.runs.folders import RunFolder

pytestmark = pytest.mark.slow
METRIC = "sliced_w1_256"


def alone(folder, source, *changes):
    """`ganflow run` of a recipe: its run."""
    command = [sys.executable, "-m", "ganflow", "run", source, *changes, "train.threads=1", "-q", "--runs", "alone"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return RunFolder(max((folder / "alone").glob("*/*/run.json")).parent)


@pytest.mark.rare
def test_killed_in_the_last_stage_it_ends_with_the_scores_of_ganflow_run(tmp_path):
    recipe(tmp_path)
    changes = ("tune.pack=4", "tune.confirm=2", "train.rounds=3000", "train.keep=3")
    with Tuning.new(tmp_path, "packed", *changes) as process:
        number, _ = process.until(lambda: next(filter(None, (confirming(process, n) for n in (4, 5))), None))
        process.kill()
    before = process.sweep.trials()
    assert all(before[n].over for n in range(4))
    assert not before[number].over
    code, out, err = resume(tmp_path, "packed")
    assert code == 0, err
    sweep, trials = process.sweep, process.sweep.trials()
    assert [trials[n].score for n in range(4)] == [before[n].score for n in range(4)]
    packed = sorted(range(4), key=lambda n: trials[n].score)[:2]
    assert {n: trials[n].confirms for n in trials} == {**dict.fromkeys(range(4)), 4: packed[0], 5: packed[1]}
    assert [sweep.trial(n).read().packed for n in range(6)] == [True] * 4 + [False] * 2

    values = [f"{key}={to_flow(value)}" for key, value in trials[number].config.items()]
    assert_same_run(sweep.trial(number), alone(tmp_path, "tiny.yaml", *values, *changes[2:], "train.sample_every=3000", "~tune"))
    best = min((4, 5), key=lambda n: trials[n].score)
    assert scores(alone(tmp_path, sweep.best))[-1] == (3000, trials[best].score)

    known = sweep.read().best
    assert (known["trial"], known["run"], known["score"]) == (trials[best].confirms, best, trials[best].score)
    assert known["packed"] == trials[trials[best].confirms].score
    rows = list(csv.DictReader((sweep.path / "trials.csv").read_text().splitlines()))
    assert (int(rows[0]["trial"]), float(rows[0][METRIC])) == (known["trial"], known["score"])
    assert float(rows[0][f"{METRIC}_packed"]) == known["packed"]
    assert "packed" in out.splitlines()[0]
    assert "Of 2 trials the two lie" in sweep.best.read_text()


def confirming(process, number):
    """The number, and the process, of a run of the last stage that is in the middle of its training."""
    return process.playing(400, number) if number in process.sweep.trials() else None


@pytest.mark.rare
def test_a_packed_sweep_confirms_its_best_trial_with_every_seed(tmp_path):
    """By default."""
    recipe(tmp_path)
    code, _, err = tune(tmp_path, "seeded", "tune.pack=4", "tune.trials=2", "tune.seeds=[5, 2]", "train.rounds=500")
    assert code == 0, err
    with Tuning.new(tmp_path, "none", "tune.pack=4", "tune.confirm=0", "train.rounds=500") as process:
        code, _, err = process.end()
    assert code == 0, err
    assert len(process.sweep.trials()) == 4
    assert "A sweep with tune.confirm=1" in process.sweep.best.read_text()
    sweep = type(process.sweep)(process.sweep.path.parent / "seeded")
    trials = sweep.trials()
    first = min((0, 1), key=lambda t: mean(trials[n].score for n in (2 * t, 2 * t + 1)))
    assert [(n, trials[n].confirms) for n in sorted(trials)[4:]] == [(4, first), (5, first)]
    assert [read_recipe(sweep.trial(n).recipe).train.seed for n in (4, 5)] == [5, 2]
    assert sweep.read().best["score"] == pytest.approx(mean(trials[n].score for n in (4, 5)))
