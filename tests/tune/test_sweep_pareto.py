"""A sweep by two metrics with real processes of Ray: killed, gone on with, and as Optuna sees it."""

import warnings

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend
from sweep_helpers import TINY, Tuning, recipe, records, resume

from ganflow.recipe import read_recipe
from ganflow.sweeps.ranking import front_of
from ganflow.sweeps.repeats import Repeats

pytestmark = pytest.mark.slow
OBJECTIVES = {"sliced_w1_256": "min", "critic/non_saturating": "max"}


def study_of(sweep):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        storage = optuna.storages.JournalStorage(JournalFileBackend(str(sweep.study)))
    return optuna.load_study(study_name=sweep.sweep, storage=storage)


@pytest.mark.rare
def test_a_sweep_by_two_metrics_that_is_killed_goes_on_to_its_front(tmp_path):
    recipe(tmp_path, TINY.replace("evaluate_every: 500", "evaluate_every: 200").replace("rounds: 6000", "rounds: 200"))
    changes = ["tune.metric=[sliced_wasserstein, critic/non_saturating]", "tune.mode=[min, max]", "tune.trials=3"]
    changes += ["tune.search=nsga2", "tune.population_size=2", "tune.seeds=2", "train.on_alarm=never"]
    with Tuning.new(tmp_path, "two", *changes) as process:
        process.until(lambda: process.sweep.is_run() and sum(t.over for t in process.sweep.trials().values()) >= 2)
        process.kill()
    before = {record["trial"]: record for record in records(process.sweep) if "config" in record}
    code, out, err = resume(tmp_path, "two")
    sweep = process.sweep
    assert code == 0, err
    assert {n: trial.config for n, trial in sweep.trials().items() if n in before} == {n: r["config"] for n, r in before.items()}
    trials = Repeats.of(sweep.read()).trials(sweep.trials().values())
    assert [trial.state for trial in trials] == ["finished"] * 3
    assert all(trial.scores.keys() == OBJECTIVES.keys() and trial.score == trial.scores["sliced_w1_256"] for trial in trials)
    assert all(n == 2 for trial in trials for _, _, n in trial.spreads.values())
    front = front_of(trials, OBJECTIVES)
    numbers = [trial.number for trial in front]
    assert {t.user_attrs["ganflow.trial"] for t in study_of(sweep).best_trials} == set(numbers)
    assert [each["trial"] for each in sweep.read().front] == numbers
    assert {path.name for path in sweep.pareto.iterdir()} == {f"{number}.yaml" for number in numbers}
    assert read_recipe(sweep.pareto / f"{numbers[0]}.yaml").train.rounds == 200
    size = f"{len(numbers)} trial{'s' if len(numbers) > 1 else ''}"
    assert f"3 trials are over; the Pareto front has {size} ({', '.join(map(str, numbers))}); train one of them in full" in out
    assert (sweep.plots / "pareto.png").exists()
