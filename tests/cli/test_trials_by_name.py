"""Trials of a sweep by their names, "SWEEP/3", for `ganflow evaluate`, `ganflow compare` and others."""

import json
import shutil
import statistics

import pytest

from ganflow.files import write_text
from ganflow.recipe import read_recipe
from ganflow.runs.run import RunOptions
from ganflow.runs.start import open_trial
from ganflow.sweeps.records import SweepFolder

RECIPE = """\
name: tiny
data: {use: gaussians, layout: ring, samples: 500}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 4, depth: 1}
critic: {use: mlp, width: 4, depth: 1}
loss: wasserstein
optimizer: {use: rmsprop, lr: 5.0e-4}
metrics:
  - {use: sliced_wasserstein, samples: 64}
train: {rounds: 4, batch_size: 16, compile: never, threads: 1, report_every: 2, sample_every: 100}
track: {mlflow: false}
"""
SEEDS = [4, 9]


ID = "20260101-000000-0000"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Four runs: two rates with two seeds each."""
    folder = SweepFolder(tmp_path_factory.mktemp("trained") / "s")
    folder.path.mkdir(parents=True)
    write_text(folder.recipe, RECIPE)
    folder.update(kind="sweep", id=ID, status="finished", metric="sliced_w1_64", mode="min")
    for number in range(4):
        changes = [f"train.seed={SEEDS[number % 2]}", f"optimizer.lr={1e-4 * (1 + number // 2)}"]
        recipe = read_recipe(folder.recipe, changes)
        open_trial(recipe, folder.trial(number), {"sweep": ID}, options=RunOptions(True)).finish()
        folder.record(number, config={"optimizer.lr": recipe.resolved()["optimizer"]["critic"]["lr"]})
        folder.record(number, state="finished", round=4, score=0.5)
    return folder


@pytest.fixture
def sweep(trained, tmp_path, monkeypatch):
    """sweep(seeds of each trial) → a copy whose trial 1 is the best."""
    monkeypatch.chdir(tmp_path)

    def make(seeds):
        shutil.copytree(trained.path, tmp_path / "runs" / "s")
        folder = SweepFolder(tmp_path / "runs" / "s")
        folder.update(trial_seeds=seeds, best={"trial": 1, "score": 0.5, "config": {}, "run": max(1, len(seeds))})
        return folder

    return make


def scores(folder, *numbers):
    lines = [folder.trial(n).journal.read_text().splitlines() for n in numbers]
    return [[v for v in (json.loads(line)["values"].get("sliced_w1_64") for line in of) if v is not None][-1] for of in lines]


def test_all_seeds_of_a_trial_are_evaluated_with_their_mean(sweep, command):
    sweep(SEEDS)
    code, out, err = command("evaluate", "s/1", "--json")
    assert (code, err) == (0, "")
    first, second, mean = json.loads(out)
    assert [(row["name"], row["run"][-6:], row["train_seed"]) for row in (first, second)] == [
        ("s/1", "-t0002", 4), ("s/1", "-t0003", 9)
    ]  # fmt: skip
    values = [first["value"], second["value"]]
    assert (mean["name"], mean["run"], mean["trainings"]) == ("s/1", None, 2)
    assert mean["value"] == pytest.approx(statistics.mean(values))
    assert mean["sd"] == pytest.approx(statistics.stdev(values))


def test_trials_are_compared_by_the_means_over_their_seeds(sweep, command):
    folder = sweep(SEEDS)
    code, out, err = command("compare", "s/0", "runs/s/1", "--json")
    assert (code, err) == (0, "")
    facts = json.loads(out)
    assert [(run["name"], run["id"], run["seeds"]) for run in facts["runs"]] == [("s/0", "s/0", 2), ("s/1", "s/1", 2)]
    (row,) = facts["scores"].values()
    for found, numbers in zip(row["runs"], ((0, 1), (2, 3)), strict=True):
        of = scores(folder, *numbers)
        assert found["value"] == pytest.approx(statistics.mean(of))
        assert found["error"] == pytest.approx(statistics.stdev(of) / 2**0.5)
    head = command("compare", "s/0", "s/1")[1].splitlines()[0].split("  ")
    assert [word.strip() for word in head if word.strip()] == ["s/0 (2 seeds)", "s/1 (2 seeds)", "second − first"]
    assert command.refused("compare", "s/1", "runs/s/1") == (
        "ganflow: two of these names mean the same run (s/1, s/1); name different ones"
    )


def test_a_sweep_means_its_best_trial_with_all_its_seeds(sweep, command):
    sweep(SEEDS)
    code, out, err = command("evaluate", "s", "--json")
    assert [(row["name"], row.get("train_seed")) for row in json.loads(out)] == [("s/1", 4), ("s/1", 9), ("s/1", None)]
    assert (code, err) == (
        0, "s is a sweep, for which trial 1 stands, the best by sliced_w1_64 (0.5); all of them: ganflow sweeps show s\n"
    )  # fmt: skip


def test_the_command_that_evaluates_them_alike_names_trials(sweep, command):
    folder = sweep(SEEDS)
    for number in (2, 3):
        folder.trial(number).update(protocols={"sliced_w1_64": {"samples": 65}})
    refused = command.refused("compare", "s/0", "s/1")
    assert "ganflow evaluate s/0 s/1 --metric " in refused


def test_seeds_that_are_not_trained_are_left_out(sweep, command):
    folder = sweep(SEEDS)
    folder.record(1, state="stopped", round=2)
    folder.record(3, state="failed")
    _, out, err = command("evaluate", "s/0", "s/1", "--json")
    assert [(row["name"], row.get("trainings")) for row in json.loads(out)][-2:] == [("s/0", 2), ("s/1", 1)]
    assert err.splitlines() == [
        "seed 9 of s/0 was stopped in round 2; what it has until then is taken",
        "not trained, and left out of s/1: seed 9 (failed)",
    ]
    folder.record(2, state="waiting")
    assert command.refused("evaluate", "s/1") == (
        "ganflow: no seed of s/1 is trained yet: seed 4 (waiting), seed 9 (failed); go on with: ganflow tune --resume s"
    )


def test_trials_of_one_run(sweep, command):
    folder = sweep([])
    _, out, _ = command("evaluate", "s/1", "--json")
    (row,) = json.loads(out)
    assert (row["run"], row["name"]) == (folder.trial(1).id, "s")
    assert folder.trial(1).id in command("compare", "s/0", "s/1")[1]
    assert command("runs", "show", "s/1")[1].startswith(f"s  {folder.trial(1).id}  finished")
    assert command.refused("evaluate", "s/4") == (
        "ganflow: there is no trial 4 of s, which has the trials 0 to 3 (ganflow sweeps show s)"
    )
    assert command.refused("runs", "show", "s/4") == "ganflow: no trial 4 of s was begun (ganflow sweeps show s)"
    folder.record(4, config={}, state="waiting")
    assert command.refused("evaluate", "s/4") == "ganflow: trial 4 of s was not begun yet (ganflow sweeps show s)"


def test_a_confirmed_trial_is_as_it_trained_by_itself(sweep, command):
    folder = sweep([])
    folder.record(2, confirms=0)
    (row,) = json.loads(command("evaluate", "s/0", "--json")[1])
    assert row["run"] == folder.trial(2).id


def test_the_first_seed_stands_for_a_trial_where_one_run_is_meant(sweep, command):
    folder = sweep(SEEDS)
    assert command("runs", "show", "s/1")[1].startswith(f"s  {folder.trial(2).id}")
