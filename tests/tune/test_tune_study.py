"""The study of a sweep in Optuna's storage: that Optuna opens it, what it holds, and that it is written and never read."""

import json
import pickle
import warnings

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend

from ganflow.sweeps.records import TrialRecord
from ganflow.sweeps.study import Study, make_sampler

LINES = ("optimizer.lr: {loguniform: [1e-5, 1e-1]}", "loss: {choice: [{use: hinge}, {use: acme/tilted}]}",
         "loss.tilt: {uniform: [0, 1], when: {loss: tilted}}")  # fmt: skip


@pytest.fixture
def file(tmp_path):
    return tmp_path / "optuna.journal"


def opened(file):
    """The study as optuna-dashboard opens it, in another process's eyes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        storage = optuna.storages.JournalStorage(JournalFileBackend(str(file)))
    return optuna.load_study(study_name="tried", storage=storage)


def told(study, number, state, score=None, **more):
    study.tell(TrialRecord(number, {"optimizer.lr": 10.0 ** -(number + 1), "loss": {"use": "hinge"}}))
    study.tell(TrialRecord(number, {"optimizer.lr": 10.0 ** -(number + 1), "loss": {"use": "hinge"}}, state, score, **more))


@pytest.mark.parametrize("mode", ["min", "max"])
def test_optuna_opens_what_is_kept(sweep, file, mode):
    study = Study(sweep.keys(*LINES), mode, "tried", file)
    told(study, 0, "finished", 0.5, round=100)
    told(study, 1, "stopped", 0.25, round=30)
    told(study, 2, "diverged", error="nan")
    told(study, 3, "failed", cause="machine")
    told(study, 4, "failed")
    told(study, 1, "stopped", 0.75, round=60)  # again: nothing changes
    study.tell(TrialRecord(5, {"optimizer.lr": 1e-3, "loss": {"use": "acme/tilted"}, "loss.tilt": 0.5}, "running"))
    found = opened(file)
    assert found.direction.name == {"min": "MINIMIZE", "max": "MAXIMIZE"}[mode]
    of = [(t.user_attrs["ganflow.trial"], t.state.name, t.value) for t in found.trials]
    assert of == [
        (0, "COMPLETE", 0.5), (1, "PRUNED", 0.25), (2, "PRUNED", None),
        (3, "FAIL", None), (4, "PRUNED", None), (5, "RUNNING", None),
    ]  # fmt: skip
    assert found.trials[1].intermediate_values == {30: 0.25}
    assert found.trials[0].params == {"optimizer.lr": 0.1, "loss": "{use: hinge}"}
    assert set(found.trials[5].params) == {"optimizer.lr", "loss", "loss.tilt"}
    assert found.best_trial.number == 0
    lr = found.trials[0].distributions["optimizer.lr"]
    assert (lr.low, lr.high, lr.log) == (1e-5, 1e-1, True)


def test_what_a_sampler_asked_is_the_same_trial(sweep, file):
    space = sweep.keys(*LINES)
    study = Study(space, "min", "tried", file)
    for number in range(14):  # the sampler draws by itself from the eleventh on
        config = study.ask(number, make_sampler("tpe", number, []))
        assert all(space.keys[key].contains(value) for key, value in config.items())
        study.tell(TrialRecord(number, config, "finished", float(number)))
    assert [t.value for t in opened(file).trials] == [float(n) for n in range(14)]


@pytest.mark.parametrize("asked", [True, False])
def test_a_copys_score_is_of_the_values_that_it_ended_with(sweep, file, asked):
    """Population based training: with those that it began with, plots would blame the wrong ones."""
    study = Study(sweep.keys(*LINES), "min", "tried", file)
    if asked:
        study.ask(0, make_sampler("tpe", 0, []))
    else:
        study.tell(TrialRecord(0, {"optimizer.lr": 0.1, "loss": {"use": "hinge"}}))
    last = {"optimizer.lr": 1e-3, "loss": {"use": "acme/tilted"}, "loss.tilt": 0.5}
    study.tell(TrialRecord(0, last, "finished", 2.0, copied=[[1, 20]]))
    (found,) = opened(file).trials
    assert (found.value, found.params) == (2.0, study.frozen(TrialRecord(0, last)).params)


def test_a_strangers_file_is_not_read(sweep, file, tmp_path):
    """Samplers unpickle what is in a study: the file is made anew, and what it held has no effect."""

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    first = Study(sweep.keys(*LINES), "min", "tried", file)
    told(first, 0, "finished", 1.0)
    evil = pickle.dumps(Evil()).hex()
    line = {"op_code": 9, "worker_id": "x", "trial_id": 0, "system_attr": {"cma:optimizer": evil, "cma:optimizer:0": evil}}
    with file.open("a") as more:
        more.write(json.dumps(line) + "\n")
    file.with_name("optuna.journal.lock").write_text("left by a driver that was killed")
    study = Study(sweep.keys(*LINES), "min", "tried", file)
    study.tell(TrialRecord(7, {"optimizer.lr": 1e-3, "loss": {"use": "hinge"}}, "running"))
    assert [t.user_attrs["ganflow.trial"] for t in opened(file).trials] == [7]
    for number in range(4):
        study.tell(TrialRecord(number, study.ask(number, make_sampler("cmaes", number, [])), "finished", 1.0))
    assert len(opened(file).trials) == 5
    assert not (tmp_path / "executed").exists()
