"""Sick runs are caught within fifty rounds, healthy ones left alone, and nothing of training changes."""

import json

import pytest
import torch
from runner_helpers import last, numbers, only_run

from ganflow.recipe import read_recipe
from ganflow.runs.finding import all_runs
from ganflow.runs.folders import RunFolder
from ganflow.runs.start import open_trial

POINTS = """\
name: points
data: {use: gaussians, layout: ring}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 128, depth: 3}
critic: {use: mlp, width: 128, depth: 3}
loss: {use: non_saturating}
optimizer: {use: adam, lr: 1.0e-3, beta1: 0.0, beta2: 0.9}
modifiers: []
train: {rounds: 50, batch_size: 64, threads: 1, compile: never, sample_every: 1000}
track: {mlflow: false}
"""
DIGITS = """\
name: digits
condition: label
data: {use: digits, size: 16}
prior: {use: normal, dim: 8}
generator: {use: deaf}
critic: {use: dcgan, width: 4, norm: none}
loss: {use: hinge}
optimizer: {use: adam, lr: 1.0e-2}
train: {rounds: 50, batch_size: 32, threads: 1, compile: never, sample_every: 1000}
track: {mlflow: false}
"""
DEAF = '''
from torch import nn

from ganflow import hookimpl, settings

GANFLOW_CONTRACT = 2


class Net(nn.Module):
    """A picture for each class, whatever z is."""

    def __init__(self, classes, shape):
        super().__init__()
        self.pictures, self.shape = nn.Embedding(classes, shape.numel()), shape

    def forward(self, z, label):
        return self.pictures(label).tanh().view(len(z), *self.shape)


@settings
class Deaf:
    """Hears of the label alone."""

    @hookimpl
    def generator(self, data, prior, condition):
        import torch

        return Net(len(data.fields["label"].classes), torch.Size(data.shape))


@hookimpl
def register(offer):
    offer("generator", "deaf", Deaf)
'''
SICK = {
    "collapse": ["optimizer={generator: {use: adam, lr: 0.02}, critic: {use: adam, lr: 3.0e-3}}"],
    "saturated": ["loss=minimax",
                  "optimizer={generator: {use: adam, lr: 2.0e-4}, critic: {use: adam, lr: 0.01}}", "train.n_critic=10"],
    "clipped": ["loss=wasserstein", "modifiers=[{use: weight_clip, c: 1.0e-5}]"],
    "clipped half": ["loss=wasserstein", "modifiers=[{use: weight_clip, c: 0.001}]", "optimizer={use: rmsprop, lr: 5.0e-5}"],
    "clipped dcgan": ["data={use: digits, size: 16}", "prior.dim=8", "generator={use: dcgan, width: 4}",
                      "critic={use: dcgan, width: 4, norm: none}", "loss=wasserstein",
                      "modifiers=[{use: weight_clip, c: 1.0e-4}]"],
    "far away": ["loss=minimax", "optimizer={generator: {use: adam, lr: 1.0e-6}, critic: {use: adam, lr: 4.0e-3}}",
                 "critic={use: mlp, width: 128, depth: 3, fourier: 32, wavelengths: [0.06, 6.0]}", "train.report_every=14"],
    "exploded": ["loss=wasserstein", "optimizer.lr=1"],
    "slow critic": ["optimizer={generator: {use: adam, lr: 0.01}, critic: {use: adam, lr: 1.0e-6}}"],
    "blank": ["data={use: digits, size: 16}", "prior.dim=16", "critic=null", "loss={use: reconstruction}",
              "generator={use: conv_autoencoder, width: 8, variational: false}", "optimizer={use: adam, lr: 1}"],
}  # fmt: skip
SIGNS = {
    "collapse": ["collapse"],
    "saturated": ["critic saturated"],
    "clipped": ["clip saturation"],
    "clipped half": ["clip saturation"],
    "clipped dcgan": ["clip saturation"],
    "far away": ["critic saturated"],
    "exploded": ["scores exploded", "gradient exploded (generator)", "gradient exploded (critic)"],
    "slow critic": ["critic under-trained"],
    "blank": ["blank pictures"],
}


@pytest.fixture
def points(work):
    (work / "points.yaml").write_text(POINTS)
    return work


@pytest.mark.parametrize("run", [pytest.param(run, marks=pytest.mark.slow if "critic" in SIGNS[run][0] else ()) for run in SICK])
def test_a_sick_run_is_caught_within_fifty_rounds(points, ganflow, run):
    code, _, err = ganflow("run", "points.yaml", "-q", *SICK[run])
    alarms = {alarm["sign"]: alarm for alarm in only_run(points / "runs").read().alarms}
    assert code == 0
    assert alarms.keys() >= set(SIGNS[run])
    assert err.splitlines() == [f"round {alarm['round']}: {alarm['text']}" for alarm in alarms.values()]
    assert all(alarm["round"] <= 50 and "; what helps: " in alarm["text"] for alarm in alarms.values())


def test_a_generator_that_does_not_hear_z_is_caught(work, ganflow, plugin):
    plugin("deaf", DEAF)
    (work / "digits.yaml").write_text(DIGITS)
    _, _, err = ganflow("run", "digits.yaml", "-q")
    (alarm,) = [alarm for alarm in only_run(work / "runs").read().alarms if alarm["sign"] == "z ignored"]
    assert alarm["value"] == 0
    assert alarm["text"] in err


def test_a_run_that_diverges_has_an_alarm_and_advice_that_works(points, ganflow):
    """Before its first checkpoint: going on would end as it did."""
    code, _, err = ganflow("run", "points.yaml", "-q", "optimizer.lr=1e19")
    assert code == 2
    run = only_run(points / "runs")
    (alarm,) = run.read().alarms
    what, _, advice = alarm["text"].removeprefix("not finite: ").partition("; what helps: ")
    assert alarm["sign"] == "not finite"
    assert advice == "a lower learning rate (optimizer.lr=0.001), or shorter gradients (train.clip_grad=1)"
    anew = f"ganflow run runs/points/{run.id}/recipe.yaml optimizer.lr=0.001"
    assert err == f"ganflow: {what}; there is no checkpoint yet. Try {advice}: {anew}\n"
    code, _, err = ganflow("sample", run.id)
    assert (code, err.count("\n")) == (2, 1)
    told, _, again = err.rstrip().partition("; train anew, with a change: ganflow ")
    assert told == f"ganflow: run {run.id} diverged in round {alarm['round']}, and has no checkpoint"
    assert again == f"run runs/points/{run.path.name}/recipe.yaml optimizer.lr=0.001"
    code, _, err = ganflow(*again.split(), "-q", "train.rounds=10")
    assert (code, err) == (0, "")


@pytest.mark.slow
def test_a_healthy_run_has_no_alarm(points, ganflow):
    _, _, err = ganflow("run", "points.yaml", "-q", "+modifiers={use: r1, weight: 0.1}", "train.rounds=300")
    assert err == ""
    assert only_run(points / "runs").read().alarms == []


@pytest.mark.slow
def test_training_is_the_same_to_the_bit_whether_it_is_watched_or_not(work, ganflow):
    for name, mode in (("alone", "never"), ("watched", "warn")):
        changes = ["train.rounds=45", "train.checkpoint_every=45", f"train.on_alarm={mode}", f"name={name}"]
        ganflow("run", "tiny.yaml", "-q", *changes)
    alone, watched = sorted(all_runs(work / "runs"), key=lambda run: run.name)
    a, b = last(alone), last(watched)
    assert a.plain == {key: value for key, value in b.plain.items() if key != "health"}
    assert b.plain["health"]["most"]["real"] > 0
    assert all(torch.equal(t, b.tensors[name]) for name, t in a.tensors.items())
    assert numbers(alone) == numbers(watched)


STOP = [*SICK["exploded"], "train.on_alarm=stop"]


def test_an_alarm_stops_a_run_that_says_so(points, ganflow):
    code, out, _ = ganflow("run", "points.yaml", "-q", *STOP)
    run = only_run(points / "runs")
    record = run.read()
    assert (code, record.status, record.round) == (1, "stopped", 40)
    assert last(run).round == 40
    assert f"stopped after round 40 of runs/points/{run.id} by an alarm: {record.error}" in out
    assert "scores exploded" in ganflow("runs")[1]
    (facts,) = json.loads(ganflow("runs", "--json")[1])
    assert facts["alarms"] == record.alarms
    assert ganflow("runs", "show", run.id)[1].count("  alarm       round 40: ") == len(record.alarms)
    again = out.partition("to go on all the same: ganflow ")[2].split()  # the advice works
    code, _, err = ganflow(*again, "-q")
    assert (code, err) == (0, "")
    assert (run.read().status, run.read().alarms) == ("finished", record.alarms)  # and nothing was warned of twice


def test_an_alarm_in_the_last_round_stops_nothing(points, ganflow):
    code, out, err = ganflow("run", "points.yaml", "-q", *STOP, "train.rounds=40")
    run = only_run(points / "runs")
    record = run.read()
    assert (code, record.status, record.round, record.error) == (0, "finished", 40, "")
    assert record.alarms
    assert {alarm["round"] for alarm in record.alarms} == {40}
    assert all(f"round 40: {alarm['text']}" in err for alarm in record.alarms)
    assert "by an alarm" not in out
    assert "scores exploded" in ganflow("runs")[1]


@pytest.mark.slow
def test_a_run_that_goes_on_warns_where_it_would_have(points, ganflow):
    """Seen once before it is resumed (with more rounds), and once after."""
    for name, rounds in (("whole", 50), ("cut", 30)):
        changes = ["train.report_every=10", "train.checkpoint_every=30", f"train.rounds={rounds}", f"name={name}"]
        ganflow("run", "points.yaml", "-q", *SICK["exploded"], *changes)
    cut, whole = sorted(all_runs(points / "runs"), key=lambda run: run.name)
    ganflow("run", "--resume", cut.id, "-q", "train.rounds=50")
    assert sorted(alarm["sign"] for alarm in cut.read().alarms) == sorted(alarm["sign"] for alarm in whole.read().alarms)


@pytest.mark.slow
def test_alarms_after_the_checkpoint_come_again_once(points, ganflow):
    ganflow("run", "points.yaml", "-q", *SICK["exploded"], "train.checkpoint_every=30")
    run = only_run(points / "runs")
    expected = run.read().alarms
    (run.checkpoints / "round-00000050.safetensors").unlink()
    (run.checkpoints / "best.safetensors").unlink(missing_ok=True)
    run.update(status="interrupted")
    _, _, err = ganflow("run", "--resume", run.id, "-q")
    assert run.read().alarms == expected
    assert len(err.splitlines()) == len(expected)


@pytest.mark.parametrize(
    ("sick", "mode", "status"),
    [
        ("exploded", "auto", "stopped"),
        ("exploded", "warn", "finished"),
        ("collapse", "auto", "finished"),  # from which trainings recover
        ("collapse", "stop", "stopped"),
    ],
)
def test_a_trial_is_stopped_where_nothing_more_is_learnt_or_the_recipe_says_so(points, sick, mode, status):
    recipe = read_recipe("points.yaml", [*SICK[sick], f"train.on_alarm={mode}"])
    session = open_trial(recipe, RunFolder(points / "runs" / "s" / f"{mode}-t0000"), {"sweep": "s"})
    rounds = [step.round for step in session]
    about = session.folder.read()
    assert session.outcome.status == about.status == status
    assert (rounds[-1] < 50) == (status == "stopped")
    assert about.alarms


def test_a_part_that_cannot_be_looked_at_leaves_the_run_alone(points, ganflow, monkeypatch):
    from ganflow.evaluation import health

    def fail(*_):
        raise ValueError("no")

    monkeypatch.setattr(health, "measure", fail)
    code, _, err = ganflow("run", "points.yaml", "-q")
    assert (code, err) == (0, "health is not watched any more: ValueError: no\n")
