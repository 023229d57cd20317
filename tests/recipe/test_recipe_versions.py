# ruff: noqa: E501 (the sentences that are expected stand on one line)
"""Defaults and bounds of keys: those of today, and of the version that a recipe was written for."""

from __future__ import annotations

import pytest

from ganflow import key, settings
from ganflow.plugins import Catalogue, Component, Plugin
from ganflow.recipe import Track, Train, kept_recipe
from ganflow.recipe.sections import RECIPE_VERSION, Tune

TRAIN = {
    "rounds": 1000, "n_critic": 1, "batch_size": 64, "seed": 0, "device": "auto", "precision": "fp32", "channels_last": False,
    "compile": "auto", "one_pass": False, "one_batch": False, "clip_grad": None, "accumulate": 1, "batch_norm": "local",
    "deterministic": False, "threads": 0, "report_every": 0, "sample_every": 0, "checkpoint_every": 0, "evaluate_every": 0, "keep": 3,
    "best": None, "best_mode": None,
    "start_from": None, "on_alarm": "auto", "schedule_rounds": 0,
}  # fmt: skip
TRACK = {"mlflow": True, "uri": None, "experiment": None, "run_name": None, "images": True, "log_model": True, "wait": 60.0,
         "register": None, "system_metrics": False}  # fmt: skip
TUNE = {
    "metric": None, "mode": None, "trials": 16, "rounds": 0, "space": {}, "points": [], "search": "random", "seed": 0,
    "grid_samples": 1, "population_size": 0, "seeds": 1, "quantile": None, "scheduler": "none", "grace": 0.1, "reduction": 3, "interval": 0.1,
    "resample_probability": 0.25, "perturbation_factors": [0.8, 1.2], "resources": {"cpus": 1.0, "gpus": 0.0}, "concurrency": 0,
    "retries": 2, "budget": {}, "stop": {}, "pack": 1, "confirm": None, "executor": None,
}  # fmt: skip


@pytest.mark.parametrize(("made", "defaults"), [(Train(), TRAIN), (Track(), TRACK), (Tune(), TUNE)])
def test_defaults(made, defaults):
    """One that changes gives old recipes another meaning: it needs a new RECIPE_VERSION, and `before=`."""
    assert vars(made) == defaults


@settings
class Changed:
    rate: float = key(3.0, before={2: 1.0, 3: 2.0})


@pytest.fixture
def versions(read, monkeypatch, good):
    """versions(text of the recipe's version, file): what a key is that had other defaults before versions 2 and 3."""
    monkeypatch.setattr("ganflow.recipe.sections.RECIPE_VERSION", 3)
    monkeypatch.setattr("ganflow.recipe.source.RECIPE_VERSION", 3)
    read.catalogue = Catalogue([*read.catalogue.plugins, Plugin("c", "c", "", "", None, (Component("modifier", "changed", "c", Changed),))])
    text = good.replace("  - ema\n", "  - changed\n")

    def rate(version, **where):
        return read(version + text, **where).modifiers[1].settings.rate

    return rate


def test_a_default_is_that_of_the_recipes_version(versions, tmp_path):
    assert [versions(f"recipe_version: {v}\n") for v in (1, 2, 3)] == [1.0, 2.0, 3.0]
    assert versions("") == 3.0
    (tmp_path / "run").mkdir()
    assert versions("", file="run/recipe.yaml") == 3.0
    (tmp_path / "run" / "run.json").touch()  # a run's recipe that says nothing was written before there were versions
    assert versions("", file="run/recipe.yaml") == 1.0
    assert versions("recipe_version: 2\n", file="run/recipe.yaml") == 2.0
    assert versions("", file="run/other.yaml") == 3.0


def test_a_newer_version_is_refused(read, good):
    newer = RECIPE_VERSION + 1
    problem = read.problem(f"recipe_version: {newer}\n{good}")
    assert problem.startswith(f"r.yaml:1: recipe_version: {newer} is a newer ganflow's; this one reads recipes up to {RECIPE_VERSION}")
    assert read(f"recipe_version: {RECIPE_VERSION}\n{good}").version == RECIPE_VERSION


def test_a_password_that_was_kept_is_left_out(tmp_path):
    kept = tmp_path / "recipe.yaml"
    parts = "data: digits\nprior: normal\ngenerator: dcgan\ncritic: dcgan\nloss: hinge\noptimizer: adam\n"
    kept.write_text(f"{parts}track: {{uri: 'http://user:secret@server:5000'}}\n")
    assert "secret" not in kept_recipe(kept).to_yaml()


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ("{resources: {gpus: 1.25}}", "tune.resources: 1.25 GPUs cannot be given to a trial; use a fraction up to 1, or a whole number"),
        ("{resources: {gpus: 2.5}}", "tune.resources: 2.5 GPUs cannot be given to a trial; use a fraction up to 1, or a whole number"),
        ("{resources: {gpus: -1}}", "tune.resources: -1 GPUs cannot be given to a trial; use a fraction up to 1, or a whole number"),
        ("{resources: {cpus: 0}}", "tune.resources: a trial needs CPUs, not 0"),
        ("{resources: {cpu: 1}}", "tune.resources: unknown key 'cpu' in tune.resources (keys: cpus, gpus)"),
        ("{pack: 2, scheduler: asha}", "tune.pack: packed trials play to their end together, which asha does not allow; use scheduler: none"),
        ("{confirm: -1}", "tune.confirm: -1 is below 0"),
        ("{confirm: 2}", "tune.confirm: trials that are not packed have the scores that they have by themselves; leave it out (tune.confirm=null), or set tune.pack"),
        ("{search: bayes}", "tune.search: unknown searcher 'bayes'; did you mean 'cmaes'? (searchers: random, grid, tpe, gp, cmaes, nsga2, hyperopt, optuna)"),
        ("{grace: 0}", "tune.grace: 0 is not above 0"),
        ("{grace: 1.01}", "tune.grace: 1.01 is above 1"),
        ("{interval: 0}", "tune.interval: 0 is not above 0"),
        ("{resample_probability: -0.1}", "tune.resample_probability: -0.1 is below 0"),
        ("{resample_probability: 1.1}", "tune.resample_probability: 1.1 is above 1"),
        ("{perturbation_factors: [0.8, 0]}", "tune.perturbation_factors: 0 is not above 0"),
        ("{perturbation_factors: [.inf]}", "tune.perturbation_factors[0]: .inf is not a finite number"),
        ("{perturbation_factors: []}", "tune.perturbation_factors: at least one factor is needed; [1] keeps the source's numbers"),
        ("{reduction: 1}", "tune.reduction: 1 is below 2"),
        ("{trials: 0}", "tune.trials: 0 is below 1"),
        ("{retries: -1}", "tune.retries: -1 is below 0"),
        ("{concurrency: -1}", "tune.concurrency: -1 is below 0"),
        ("{pack: 0}", "tune.pack: 0 is below 1"),
        ("{pack: 8, concurrency: 7}", "tune.pack: 8 trials train together, and tune.concurrency is 7; use as many, or less in a pack"),
    ],
)  # fmt: skip
def test_mistakes_in_tune(read, good, section, problem):
    assert read.problem(f"{good}tune: {section}\n") == f"r.yaml:15: {problem}"


@pytest.mark.parametrize(
    "section",
    ["train: {rounds: 1, n_critic: 1, batch_size: 1, seed: 0, accumulate: 1, threads: 0, keep: 1}", "train: {threads: 1024}", "track: {wait: 0}",
     "tune: {resources: {gpus: 1}}", "tune: {resources: {gpus: 0.5}}", "tune: {resources: {gpus: 2}}", "tune: {resources: {gpus: 0, cpus: 0.1}}",
     "tune: {grace: 1, interval: 1, reduction: 2, trials: 1, retries: 0, concurrency: 0, pack: 1}", "tune: {pack: 1, scheduler: asha}",
     "tune: {resample_probability: 0, perturbation_factors: [1]}", "tune: {resample_probability: 1, scheduler: asha}", "tune: {pack: 2}",

     "tune: {pack: 2, concurrency: 2}"],
)  # fmt: skip
def test_values_at_their_bounds(read, good, section):
    assert read(good.replace("train: {rounds: 1000, n_critic: 5, batch_size: 64, seed: 0}\n", "") + section)


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [("rounds", 0, "below 1"), ("n_critic", 0, "below 1"), ("batch_size", 0, "below 1"), ("seed", -1, "below 0"), ("accumulate", 0, "below 1"),
     ("threads", -1, "below 0"), ("threads", 1025, "above 1024"), ("keep", 0, "below 1"), ("clip_grad", 0, "not above 0"),
     *((f"{what}_every", -1, "below 0") for what in ("report", "sample", "checkpoint", "evaluate"))],
)  # fmt: skip
def test_values_out_of_bounds(read, good, key, value, problem):
    assert read.problem(good, f"train.{key}={value}") == f"command line: train.{key}: {value} is {problem}"
