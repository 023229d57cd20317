"""Sweeps whose trials are several seeds, for real: a run trains as it would alone, and a killed sweep ends as if it were not."""

import csv
import subprocess
import sys
from statistics import mean, stdev

import pytest
from sweep_helpers import Tuning, assert_same_run, assert_same_sweep, recipe, resume, scores, tune, values

from ganflow.recipe import read_recipe
from ganflow.recipe.yaml import to_flow
from ganflow.runs.folders import RunFolder

pytestmark = pytest.mark.slow
COMMON = ("tune.seeds=[5, 2]", "tune.trials=3", "train.rounds=1500", "train.keep=3")


def alone(folder, config, seed):
    """`ganflow run` of a trial's recipe with one of its seeds."""
    own = [f"{key}={to_flow(value)}" for key, value in config.items()]
    changes = [*own, f"train.seed={seed}", "train.rounds=1500", "train.sample_every=1500", "train.threads=1", "~tune"]
    command = [sys.executable, "-m", "ganflow", "run", "tiny.yaml", *changes, "-q"]
    done = subprocess.run([*command, "--runs", f"alone-{seed}"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (run,) = (folder / f"alone-{seed}").glob("*/*/run.json")
    return RunFolder(run.parent)


@pytest.fixture(scope="module")
def seeded(tmp_path_factory):
    """(changes, their sweep)."""
    folder = tmp_path_factory.mktemp("seeded")
    recipe(folder)
    changes = (*COMMON, "tune.scheduler=asha", "tune.grace=0.4", "tune.reduction=2", "tune.concurrency=1")
    with Tuning.new(folder, "seeded", *changes) as process:
        code, _, err = process.end()
        assert code == 0, err
        return changes, process.sweep


def test_every_seed_trains_as_it_would_alone(seeded, tmp_path):
    """Also those that take turns in one process: to the bit, as far as they were trained."""
    _, sweep = seeded
    recipe(tmp_path)
    trials = sweep.trials()
    whole = next(n for n in range(0, 6, 2) if trials[n].state == "finished")
    for number, seed in ((whole, 5), (whole + 1, 2)):
        assert_same_run(sweep.trial(number), alone(tmp_path, trials[number].config, seed))
    assert len({to_flow(trial.config) for trial in trials.values()}) == 3
    assert [read_recipe(sweep.trial(n).recipe).train.seed for n in range(6)] == [5, 2, 5, 2, 5, 2]


def test_the_mean_is_what_is_shown_and_kept(seeded):
    _, sweep = seeded
    rows = {int(row["trial"]): row for row in csv.DictReader((sweep.path / "trials.csv").read_text().splitlines())}
    for trial, row in rows.items():
        own = [scores(sweep.trial(n))[-1][1] for n in (2 * trial, 2 * trial + 1)]
        assert float(row["sliced_w1_256"]) == pytest.approx(mean(own))
        assert float(row["sliced_w1_256_sd"]) == pytest.approx(stdev(own))
        assert row["n"] == "2"
    best = sweep.read().best
    assert best["score"] == pytest.approx(float(rows[best["trial"]]["sliced_w1_256"]))
    assert best["run"] == 2 * best["trial"]
    text = sweep.best.read_text()
    assert "over 2 seeds" in text
    assert "--seeds 5,2" in text
    assert read_recipe(sweep.best).train.seed == 0  # the recipe's own
    assert {row["state"] for row in rows.values()} == {"finished", "stopped"}
    for number, trial in sweep.trials().items():  # both seeds of a trial end together
        assert (trial.state, trial.round) == (sweep.trials()[number ^ 1].state, sweep.trials()[number ^ 1].round)


def test_killed_and_resumed_it_ends_as_if_nothing_had_happened(seeded, tmp_path):
    changes, sweep = seeded
    recipe(tmp_path)
    with Tuning.new(tmp_path, "seeded", *changes) as process:
        process.playing(500)
        process.kill()
    with Tuning.resumed(tmp_path, "seeded") as process:
        process.playing(500)
        process.kill()
    code, _, err = resume(tmp_path, "seeded")
    assert code == 0, err
    assert_same_sweep(process.sweep, sweep)
    for number in sweep.trials():
        assert values(process.sweep.trial(number)) == values(sweep.trial(number))


@pytest.mark.rare
def test_a_pack_of_seeds(tmp_path):
    recipe(tmp_path)
    code, _, err = tune(tmp_path, "packed", *COMMON, "tune.pack=4", "train.rounds=500")
    assert code == 0, err
    with Tuning.new(tmp_path, "warm", *COMMON, "tune.search=tpe", "train.rounds=500", options=["--from", "packed"]) as process:
        code, out, err = process.end()
    assert code == 0, err
    assert "the searcher knows 3 trials of packed" in err
    assert "± sd (n)" in out
    assert len(process.sweep.trials(process.sweep.earlier)) == 3
