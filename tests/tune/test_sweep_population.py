"""Population based training by real processes, sent to MLflow: all that shows a trial's configuration shows its last one."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sweep_helpers import Tuning, recipe, scores, tune

from ganflow.recipe import read_recipe
from ganflow.runs.journal import entries
from ganflow.sweeps.records import SweepFolder
from ganflow.tracking import store

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]  # sqlalchemy's, about MLflow
PBT = ("tune.scheduler=pbt", "tune.interval=0.2", "train.rounds=3000", "train.evaluate_every=300")
PARTS = ("optimizer.generator.lr", "optimizer.critic.lr")


def in_mlflow(sweep: SweepFolder) -> dict[str, Any]:
    """Every MLflow run by our id."""
    client = store.client(f"sqlite:///{sweep.path.parent / 'mlflow.db'}")
    found = list(client.search_runs([e.experiment_id for e in client.search_experiments()]))
    runs = {run.data.tags["ganflow.run_id"]: run for run in found}
    assert len(runs) == len(found)
    return runs


def points(sweep: SweepFolder, run: Any) -> list[tuple[int, float]]:
    client = store.client(f"sqlite:///{sweep.path.parent / 'mlflow.db'}")
    return sorted((m.step, m.value) for m in client.get_metric_history(run.info.run_id, "config/optimizer.lr"))


def shown(sweep: SweepFolder) -> dict[int, dict[str, Any]]:
    """What `ganflow sweeps show` says of each trial."""
    command = [sys.executable, "-m", "ganflow", "sweeps", "show", sweep.path.name, "--json", "--runs", str(sweep.path.parent)]
    said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {trial["number"]: trial for trial in said["results"]}


@pytest.mark.rare
def test_an_interrupted_sweep_ends_with_the_last_configurations_everywhere(tmp_path: Path) -> None:
    recipe(tmp_path)
    with Tuning.new(tmp_path, "pop", *PBT, "track.mlflow=true") as process:
        sweep = process.sweep
        process.until(lambda: sweep.is_run() and any(trial.copied for trial in sweep.trials().values()))
        process.playing(200)
        process.send(signal.SIGTERM)
        code, _, err = process.end()
    assert code == 128 + signal.SIGTERM, err
    runs, copied = in_mlflow(sweep), {n: list(trial.copied) for n, trial in sweep.trials().items()}
    for number, trial in sweep.trials().items():
        if not trial.over and sweep.trial(number).is_run():
            assert not set(PARTS) & set(runs[sweep.trial(number).id].data.params), number
    for number, trial in shown(sweep).items():  # a score belongs to the values beside it
        if trial["copied"] and trial["score"] is not None:
            run = sweep.trial(number)
            assert (run.read().copies, scores(run)[-1][0] > (run.read().copied_at or 0)) == (len(trial["copied"]), True)
    with Tuning.resumed(tmp_path, "pop") as process:
        code, _, err = process.end()
    assert code == 0, err

    runs, rows = in_mlflow(sweep), {}
    with (sweep.path / "trials.csv").open() as file:
        rows = {int(row["trial"]): row for row in csv.DictReader(file)}
    for number, trial in sweep.trials().items():
        run, record = runs[sweep.trial(number).id], sweep.trial(number).read()
        assert trial.copied[: len(copied[number])] == copied[number]
        lr, values = trial.config["optimizer.lr"], [each["config"]["optimizer.lr"] for each in record.values]
        assert trial.state == "finished"
        assert {run.data.params[name] for name in PARTS} == {json.dumps(lr)}
        assert float(rows[number]["optimizer.lr"]) == shown(sweep)[number]["config"]["optimizer.lr"] == lr
        assert read_recipe(sweep.trial(number).recipe).resolved()["optimizer"]["critic"]["lr"] == lr
        assert run.data.metrics["config/optimizer.lr"] == lr == values[-1]
        assert [value for _, value in points(sweep, run)] == values
        assert len(values) == 1 + len(trial.copied) == 1 + record.copies
        assert run.data.tags.get("ganflow.copies", "0") == str(record.copies)
        assert not [tag for tag in run.data.tags if tag.startswith("ganflow.resumed_with")]
        assert float(rows[number]["sliced_w1_256"]) == scores(sweep.trial(number))[-1][1]
        assert scores(sweep.trial(number))[-1][0] == 3000
    assert sum(len(trial.copied) for trial in sweep.trials().values()) > 1
    best = sweep.read().best
    assert best is not None
    last = sweep.trials()[best["trial"]].config
    assert best["config"] == json.loads(runs[sweep.id].data.tags["ganflow.best.config"]) == last
    assert {part["lr"] for part in read_recipe(sweep.best).resolved()["optimizer"].values()} == {last["optimizer.lr"]}


@pytest.mark.rare
def test_a_copy_with_the_same_values_repeats_none_of_its_sources_rounds(tmp_path: Path) -> None:
    recipe(tmp_path)
    code, _, err = tune(tmp_path, "same", *PBT, "tune.resample_probability=0", "tune.perturbation_factors=[1]")
    assert code == 0, err
    sweep = SweepFolder(tmp_path / "runs" / "same")
    journals = {n: list(entries(sweep.trial(n).journal)) for n in sweep.trials()}
    lines = [json.dumps([e.round, {k: v for k, v in e.values.items() if k.startswith(("critic/", "generator/"))}])
             for entries_ in journals.values() for e in entries_ if "critic_loss" in e.values]  # fmt: skip
    assert len(set(lines)) == len(lines)
    found = sweep.trials().values()
    assert sum(len(trial.copied) for trial in found) > 1
    assert len({trial.config["optimizer.lr"] for trial in found}) < len(found)
