"""Executors: how a sweep's trials are played is a component's to say; what the trials are stays the same."""

import os

import pytest
import torch
from sweep_helpers import recipe, tune

from ganflow.errors import GanflowError
from ganflow.plugins import load_catalogue
from ganflow.recipe import read_recipe
from ganflow.runs.checkpoints import newest
from ganflow.runs.folders import RunFolder
from ganflow.runs.start import open_trial
from ganflow.sweeps.records import SweepFolder
from ganflow.tune.executors import Alone, Packed, executor_of
from ganflow.tune.plan import make_plan
from ganflow.tune.trial import Trial
from ganflow.tune.trials import TrialSpec, as_config

PACKAGE = '''
"""Trials in turns."""
from ganflow import hookimpl, key, settings
from ganflow.errors import GanflowError
from ganflow.contract.roles import Executor

GANFLOW_CONTRACT = 2


class Turns(Executor):
    """Several trials in one process, a step of each after the other."""

    note = "in turns"

    def __init__(self, together):
        self.together, self.sessions = together, []

    def play(self, trials):
        self.sessions = [trial.open() for trial in trials]
        steps = {i: iter(session) for i, session in enumerate(self.sessions)}
        while steps:
            for i in list(steps):
                try:
                    yield [(i, next(steps[i]))]
                except StopIteration:
                    del steps[i]
                    yield [(i, None)]
                except GanflowError as error:
                    del steps[i]
                    yield [(i, error)]

    def finish(self, i):
        self.sessions[i].stop("finished")

    def stop(self, status):
        for session in self.sessions:
            session.stop(status)


@settings
class TurnsSettings:
    """Plays trials in turns."""

    together: int = key(2, "how many", ge=1)

    @hookimpl
    def executor(self):
        return Turns(self.together)


@settings
class NoneSettings:
    """Builds something else."""

    @hookimpl
    def executor(self):
        return "nobody"


@hookimpl
def register(offer):
    offer("executor", "turns", TurnsSettings)
    offer("executor", "nobody", NoneSettings)
'''
RECIPE = """\
name: several
recipe_version: 2
data: {use: gaussians, layout: ring, samples: 500}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 8, depth: 1}
critic: {use: mlp, width: 8, depth: 1}
loss: wasserstein
optimizer: {use: rmsprop, lr: 5.0e-4}
metrics:
  - {use: sliced_wasserstein, samples: 64}
train: {rounds: 40, batch_size: 16, compile: never, threads: 1, report_every: 10, checkpoint_every: 20, evaluate_every: 20,
        sample_every: 100}
track: {mlflow: false}
tune: {executor: {use: turns, together: 3}, trials: 3, space: {optimizer.lr: {loguniform: [1.0e-4, 1.0e-3]}}}
"""


@pytest.fixture
def turns(workshop, tmp_path, monkeypatch):
    workshop.install("acme", PACKAGE)
    workshop.catalogue()
    monkeypatch.setenv("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "several.yaml").write_text(RECIPE)
    return tmp_path


def trainable(root, trials, **more):
    sweep = SweepFolder(root / "runs" / "s")
    if not sweep.path.exists():
        sweep.path.mkdir(parents=True)
        sweep.recipe.write_text(RECIPE)
        sweep.update(kind="sweep", id="20260101-000000-0000", status="running")
    common = {"recipe": str(sweep.recipe), "about": {"sweep": sweep.id, "tracking": {}}, "metric": "sliced_w1_64", "mode": "min"}
    common |= {"stop": {}, **more}
    folders = [str(sweep.trial(i).path) for i in range(len(trials))]
    specs = [TrialSpec(number=i, changes=[*trials[i], "~tune"], folder=folder, **common) for i, folder in enumerate(folders)]
    return sweep, Trial(config=as_config(specs))


def played(trial):
    found, notes = {}, set()
    for _ in range(100):
        told = trial.step()
        found |= {one["trial"]: {**found.get(one["trial"], {}), **one} for one in told["trials"]}
        notes.add(told["note"])
        if told["done"]:
            trial.cleanup()
            return found, notes
    raise AssertionError(found)


RATES = [[f"optimizer.lr={n}e-4"] for n in (5, 6, 7)]


def test_its_trials_are_the_runs_that_they_are_alone(turns):
    sweep, trial = trainable(turns, RATES)
    found, notes = played(trial)
    assert notes == {"in turns"}
    assert [(found[i]["state"], found[i]["round"]) for i in range(3)] == [("finished", 40)] * 3
    for i, changes in enumerate(RATES):
        alone = RunFolder(turns / "alone" / "x" / str(i))
        alone.path.parent.mkdir(parents=True, exist_ok=True)
        for _ in open_trial(read_recipe("several.yaml", changes), alone, {"tracking": {}}):
            pass
        (a, _), (b, _) = newest(alone.checkpoints), newest(sweep.trial(i).checkpoints)
        played_alone = {name: t for name, t in a.tensors.items() if not name.startswith("random.")}
        assert all(torch.equal(t, b.tensors[name]) for name, t in played_alone.items())


def test_stops_failures_and_interruptions(turns, monkeypatch):
    sweep, trial = trainable(turns, [RATES[0], ["optimizer.lr=1e30"], RATES[2]], stop={"round": 20.0})
    found, _ = played(trial)
    assert [(found[i]["state"], found[i]["round"]) for i in (0, 2)] == [("finished", 20)] * 2
    assert found[1]["state"] == "diverged"
    monkeypatch.setattr("ganflow.tune.trial.STEP", 0.0)
    sweep, trial = trainable(turns / "other", RATES)
    for _ in range(4):
        trial.step()
    sweep.update(status="interrupted")
    trial.cleanup()
    assert [sweep.trial(i).read().status for i in range(3)] == ["interrupted"] * 3
    found, _ = played(trainable(turns / "other", RATES)[1])
    assert [found[i]["state"] for i in range(3)] == ["finished"] * 3


def test_a_trial_that_an_alarm_stops_is_over_with_its_score_and_its_reason(turns):
    """Scores explode; without a metric's score a trial has none, and in a sweep nothing needs to be said for it to be stopped."""
    sick = ["optimizer.lr=100", "loss=wasserstein", "modifiers=[]", "train.rounds=60", "train.report_every=10"]
    sweep, trial = trainable(turns, [sick, [*sick, "train.on_alarm=never"]])
    found, _ = played(trial)
    assert [(found[i]["state"], found[i]["round"]) for i in range(2)] == [("stopped", 40), ("finished", 60)]
    assert found[0]["error"] == sweep.trial(0).read().error
    assert found[0]["error"].startswith(("scores exploded: ", "gradient exploded"))
    assert sweep.trial(0).read().status == "stopped"
    assert found[1]["error"] == ""


def test_which_executor(turns):
    assert type(executor_of(read_recipe("several.yaml"), 1)).__name__ == "Turns"
    without = read_recipe("several.yaml", ["tune.executor=null"])
    assert isinstance(executor_of(without, 1), Alone)
    assert isinstance(executor_of(without, 4), Packed)
    assert executor_of(without, 4).together == 4


def test_the_recipe_keeps_it(turns):
    read = read_recipe("several.yaml")
    assert read.resolved()["tune"]["executor"] == {"use": "acme/turns", "together": 3}
    (turns / "again.yaml").write_text(read.to_yaml())
    assert read_recipe("again.yaml") == read
    assert "acme" in {chosen.component.plugin for chosen in read.chosen()}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("tune.scheduler=asha", "tune.executor: it plays 3 trials together to their end, which asha does not allow; use "),
        ("tune.pack=2", "tune.pack: an executor decides by itself what trains together; remove one of the two"),
        ("tune.executor=nobody", r"executor 'acme/nobody' \(gf-acme 1.0\): its hook 'executor' returned a str, not an Executor"),
        ("tune.executor=turn", "unknown executor 'turn'; did you mean 'turns'"),
    ],
)
def test_what_is_refused(turns, change, sentence):
    with pytest.raises(GanflowError, match=sentence):
        make_plan("several.yaml", [change])


def test_it_is_listed(turns, command):
    load_catalogue.cache_clear()
    code, out, _ = command("plugins", "show", "executor/turns")
    assert code == 0
    assert "in a recipe:  tune: {executor: {use: turns}}" in out


@pytest.mark.slow
def test_a_sweep_with_it(workshop, tmp_path):
    site = workshop.install("acme", PACKAGE)
    recipe(tmp_path)
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    changes = ("tune.executor=turns", "train.rounds=400", "train.evaluate_every=200")
    code, out, err = tune(tmp_path, "turns", *changes, PYTHONPATH=path)
    assert code == 0, err
    assert "in turns" in out + err
    sweep = SweepFolder(tmp_path / "runs" / "turns")
    assert [t.state for t in sweep.trials().values()] == ["finished"] * 4
    assert len({sweep.trial(n).read().pid for n in (0, 1)}) == 1
