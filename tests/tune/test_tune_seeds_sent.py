"""What MLflow has of a sweep whose trials are several seeds: each run by its trial and seed, and the trials' means."""

from statistics import mean, stdev

import pytest
from sweep_helpers import recipe, scores, tune

from ganflow.sweeps.records import SweepFolder
from ganflow.tracking import store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # sqlalchemy's, about MLflow
]


@pytest.mark.rare
def test_runs_have_their_trials_means(tmp_path):
    recipe(tmp_path)
    changes = ("tune.seeds=[5, 2]", "tune.trials=2", "train.rounds=500", "track.mlflow=true")
    code, _, err = tune(tmp_path, "seeded", *changes)
    assert code == 0, err
    sweep = SweepFolder(tmp_path / "runs" / "seeded")
    client = store.client(f"sqlite:///{tmp_path}/runs/mlflow.db")
    experiment = client.get_experiment_by_name("ganflow")
    assert experiment.tags["mlflow.experiment.primaryMetric.name"] == "trial/sliced_w1_256"
    assert experiment.tags["mlflow.experiment.primaryMetric.greaterIsBetter"] == "False"
    found = {run.data.tags["mlflow.runName"]: run for run in client.search_runs([experiment.experiment_id])}
    assert sorted(found) == ["seeded", *(f"seeded trial {t} seed {s}" for t in (0, 1) for s in (2, 5))]
    for trial in (0, 1):
        own = [scores(sweep.trial(n))[-1][1] for n in (2 * trial, 2 * trial + 1)]
        for seed in (5, 2):
            run = found[f"seeded trial {trial} seed {seed}"]
            assert run.data.metrics["trial/sliced_w1_256"] == pytest.approx(mean(own))
            assert run.data.metrics["trial/sliced_w1_256_sd"] == pytest.approx(stdev(own))
            assert run.data.metrics["trial/n"] == 2
            assert run.data.metrics["sliced_w1_256"] == pytest.approx(own[0 if seed == 5 else 1])
            assert (run.data.tags["ganflow.trial"], run.data.params["train.seed"]) == (str(trial), str(seed))
            assert run.data.tags["ganflow.searched"] == "optimizer.lr"
            assert float(run.data.params["searched/optimizer.lr"]) == sweep.trials()[2 * trial].config["optimizer.lr"]
    best = found["seeded"].data.tags
    assert best["ganflow.best.trial"] == str(sweep.read().best["trial"])
    assert found["seeded"].data.metrics["best"] == pytest.approx(sweep.read().best["score"])
