"""ganflow run --seeds: trainings of one recipe that differ in their seed."""

import json
import re
import shlex
import signal

import numpy as np
import pytest
from runner_helpers import Process, assert_same_state, files, finished, folder_of

from ganflow.runs.finding import all_runs
from ganflow.sweeps.records import SweepFolder

RECIPE = """\
name: small
data: {use: gaussians, layout: ring, samples: 200}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 4, depth: 1}
critic: {use: mlp, width: 4, depth: 1}
loss: wasserstein
optimizer: {use: rmsprop, lr: 5.0e-3}
metrics: [{use: sliced_wasserstein, samples: 32, projections: 8}]
train: {rounds: 6, batch_size: 8, compile: never, threads: 1, evaluate_every: 3, checkpoint_every: 100, sample_every: 100}
track: {mlflow: false}
"""
AFTER = "--seeds trains with one seed after the other; it goes with"
METRIC = '''
import os
import signal
from pathlib import Path

from ganflow import GanflowError, Metric, hookimpl, key, settings

GANFLOW_CONTRACT = 2


class Does(Metric):
    names = ("score",)

    def __init__(self, what, at):
        self.what, self.at, self.count = what, at, Path("evaluations")

    def evaluate(self, game):
        with self.count.open("a") as file:
            file.write("x")
        n = len(self.count.read_text())
        if self.what == "interrupts" and n == self.at:
            os.kill(os.getpid(), signal.SIGINT)
        if self.what == "fails" and n == 3:
            raise GanflowError("the third evaluation is one too many")
        return {"score": float(n)}


@settings
class Acts:
    """Counts evaluations, and does something at the third."""

    what: str = key("counts")
    at: int = key(3)

    @hookimpl
    def metric(self):
        return Does(self.what, self.at)


@hookimpl
def register(offer):
    offer("metric", "acts", Acts)
'''


@pytest.fixture
def recipe(work):
    (work / "small.yaml").write_text(RECIPE)
    return work


def sweep(work, number=1):
    return SweepFolder((work / "runs" / f"small-seeds-{number}").absolute())


def last_score(run, name="sliced_w1_32"):
    lines = [json.loads(line)["values"] for line in run.journal.read_text().splitlines()]
    return [values[name] for values in lines if name in values][-1]


def test_each_seed_is_the_run_that_it_would_be_alone(recipe, ganflow):
    code, out, err = ganflow("run", "small.yaml", "--seeds", "3")
    assert code == 0, err
    assert ganflow("run", "small.yaml", "train.seed=2", "name=alone", "-q")[0] == 0
    folder = sweep(recipe)
    (alone,) = [run for run in all_runs(recipe / "runs") if run.name == "alone"]
    assert_same_state(folder.trial(2), alone)
    scores = [last_score(folder.trial(number)) for number in range(3)]
    assert len(set(scores)) == 3
    head, line, last = out.splitlines()
    assert head.split() == ["score", "mean", "sd", "n"]
    assert line.split() == ["sliced_w1_32", f"{np.mean(scores):.4g}", f"{np.std(scores, ddof=1):.2g}", "3"]
    assert last == "runs/small-seeds-1: 3 of 3 seeds are trained"

    record = folder.read()
    assert (record.kind, record.status, record.seeds, record.over) == ("sweep", "finished", [0, 1, 2], 3)
    best = int(np.argmin(scores))
    assert record.best == {"trial": best, "score": min(scores), "config": {"train.seed": best}}
    assert [folder.trial(n).read().seed for n in range(3)] == [0, 1, 2]
    assert all((folder.trial(n).plots / "losses.png").exists() for n in range(3))  # shown as runs are, not as trials
    means = [json.loads(line) for line in folder.journal.read_text().splitlines()]
    assert [entry["round"] for entry in means] == [1, 2, 3]
    assert means[-1]["values"]["sliced_w1_32_mean"] == pytest.approx(np.mean(scores))
    assert means[-1]["values"]["sliced_w1_32_sd"] == pytest.approx(np.std(scores, ddof=1))

    assert " small-seeds-1 " in f" {ganflow('runs')[1]}".replace("\n", " ")
    assert f"sliced_w1_32  {np.mean(scores):.4g}" in ganflow("sweeps", "show", "small-seeds-1")[1]
    before = files(folder.path)
    assert ganflow("run", "--resume", "small-seeds-1")[1] == out  # there is nothing left to train
    assert files(folder.path) == before


def test_seeds_that_are_named(recipe, ganflow):
    code, out, _ = ganflow("run", "small.yaml", "--seeds", "7, 3", "train.rounds=2", "-q")
    assert (code, out) == (0, "runs/small-seeds-1: 2 of 2 seeds are trained\n")
    assert [sweep(recipe).trial(n).read().seed for n in range(2)] == [7, 3]
    assert ganflow("run", "small.yaml", "--seeds", "2", "train.seed=5", "train.rounds=2", "-q")[0] == 0
    assert sweep(recipe, 2).read().seeds == [5, 6]


def test_an_interrupted_seed_goes_on_and_finished_ones_stay(recipe, ganflow, plugin):
    plugin("acts", METRIC)
    assert ganflow("run", "small.yaml", "--seeds", "3", "name=whole", "metrics=[acts]", "-q")[0] == 0
    (recipe / "evaluations").unlink()
    code, out, _ = ganflow("run", "small.yaml", "--seeds", "3", "metrics=[{use: acts, what: interrupts}]")
    assert (code, out) == (128 + signal.SIGINT, "stopped; go on with: ganflow run --resume small-seeds-1\n")
    folder = sweep(recipe)
    assert folder.read().status == "interrupted"
    assert [trial.state for trial in folder.trials().values()] == ["finished", "waiting"]
    first = files(folder.trial(0).path)
    code, out, err = ganflow("run", "--resume", "latest")
    assert (code, out.splitlines()[-1]) == (0, "runs/small-seeds-1: 3 of 3 seeds are trained"), err
    assert files(folder.trial(0).path) == first
    assert [trial.state for trial in folder.trials().values()] == ["finished"] * 3
    whole = SweepFolder((recipe / "runs" / "whole-seeds-1").absolute())
    for number in (1, 2):
        mine, other = (f.trial(number).checkpoints / "round-00000006.safetensors" for f in (folder, whole))
        assert weights(mine) == weights(other)


def weights(path):
    from ganflow.runs.checkpoints import read

    return {name: t.tolist() for name, t in read(path).tensors.items() if name.startswith("game.")}


def test_a_signal_in_a_seeds_last_round_begins_no_other(recipe, ganflow, plugin):
    plugin("acts", METRIC)
    code, out, _ = ganflow("run", "small.yaml", "--seeds", "3", "metrics=[{use: acts, what: interrupts, at: 4}]", "-q")
    assert (code, out) == (130, "stopped; go on with: ganflow run --resume small-seeds-1\n")
    assert [trial.state for trial in sweep(recipe).trials().values()] == ["finished", "finished"]


STOPPED = ("optimizer.lr=100", "train.rounds=60", "train.report_every=5", "train.on_alarm=stop")


def test_a_seed_that_an_alarm_stops_is_not_trained_but_evaluated(recipe, ganflow):
    """It keeps its last score, and is evaluated and compared at its last checkpoint, which is said."""
    code, out, err = ganflow("run", "small.yaml", "--seeds", "2", *STOPPED, "-q")
    shown, failed = out.splitlines()
    assert (code, shown) == (1, "runs/small-seeds-1: 0 of 2 seeds are trained")
    assert failed == "2 stopped by an alarm; see: ganflow sweeps show small-seeds-1"
    assert re.match(r"(?s).*^seed 0: stopped in round \d+: .*exploded", err, re.MULTILINE)
    folder = sweep(recipe)
    trials = folder.trials().values()
    scores = [last_score(folder.trial(n)) for n in range(2)]
    assert [(trial.state, trial.score) for trial in trials] == [("stopped", score) for score in scores]
    assert folder.read().best["score"] == min(scores)
    assert f"best sliced_w1_32 {min(scores):.4g}" in ganflow("runs")[1]

    lines = [f"seed {n} of small-seeds-1 was stopped by an alarm in round {trial.round}; what it has until then is taken"
             for n, trial in enumerate(trials)]  # fmt: skip
    code, out, err = ganflow("evaluate", "small-seeds-1")
    assert (code, err.splitlines()) == (0, lines)
    assert [row.split()[2:4] for row in out.splitlines()[1:3]] == [[str(n), str(t.round)] for n, t in enumerate(trials)]
    assert all(trial.round < 60 for trial in trials)
    assert ganflow("run", "small.yaml", "--seeds", "2", "name=other", "-q")[0] == 0
    code, out, err = ganflow("compare", "small-seeds-1", "other-seeds-1")
    assert (code, err.splitlines()) == (0, lines)
    assert any(line.startswith("sliced_w1_32 ") and line.endswith(" noise") for line in out.splitlines())


@pytest.mark.rare
def test_seeds_that_failed_and_were_stopped_are_counted_apart(recipe, ganflow, plugin):
    plugin("acts", METRIC)
    changes = (*STOPPED, "metrics=[{use: acts, what: fails}]", "train.evaluate_every=10")
    code, out, err = ganflow("run", "small.yaml", "--seeds", "2", *changes, "-q")
    states = [trial.state for trial in sweep(recipe).trials().values()]
    assert (code, sorted(states)) == (1, ["failed", "stopped"]), err
    assert out.splitlines()[-1] == "1 failed, 1 stopped by an alarm; see: ganflow sweeps show small-seeds-1"


def test_where_all_seeds_failed_the_advice_is_to_see_why(recipe, ganflow, plugin):
    plugin("acts", METRIC.replace("n == 3", "n > 0"))
    assert ganflow("run", "small.yaml", "--seeds", "2", "metrics=[{use: acts, what: fails}]", "-q")[0] == 1
    refused = "no seed of small-seeds-1 is trained: seed 0 (failed), seed 1 (failed); see: ganflow sweeps show small-seeds-1"
    for command in (("evaluate", "small-seeds-1"), ("compare", "small-seeds-1", "small-seeds-1")):
        assert ganflow(*command) == (2, "", f"ganflow: {refused}\n")
    code, out, _ = ganflow(*refused.partition("see: ganflow ")[2].split())
    assert (code, out.count("the third evaluation is one too many")) == (0, 2)


def test_alarms_are_shown_with_their_seeds(recipe, ganflow):
    """They are warned of, at the end and wherever the seeds are listed."""
    changes = ("optimizer.lr=100", "train.rounds=60", "train.report_every=5", "train.on_alarm=warn")
    out = ganflow("run", "small.yaml", "--seeds", "2", *changes)[1]
    folder = sweep(recipe)
    alarms = [(seed, alarm) for seed in (0, 1) for alarm in folder.trial(seed).read().alarms]
    assert {seed for seed, _ in alarms} == {0, 1}
    lines = [f"alarm: seed {seed}, round {alarm['round']}: {alarm['text']}" for seed, alarm in alarms]
    assert [line for line in out.splitlines() if line.startswith("alarm")] == lines
    shown = ganflow("sweeps", "show", "small-seeds-1")[1]
    assert all(f"  alarm       {line.removeprefix('alarm: ')}" in shown.splitlines() for line in lines)
    facts = json.loads(ganflow("sweeps", "show", "small-seeds-1", "--json")[1])
    assert facts["alarms"] == [{"seed": seed, "trial": seed, **alarm} for seed, alarm in alarms]
    sign = alarms[0][1]["sign"]
    of = [str(seed) for seed in (0, 1) if any(n == seed and alarm["sign"] == sign for n, alarm in alarms)]
    assert f"{sign} (seed{'s' * (len(of) > 1)} {', '.join(of)})" in ganflow("runs")[1]
    assert json.loads(ganflow("runs", "--json")[1])[0]["alarms"] == facts["alarms"]


def test_what_is_asked_of_several_seeds(recipe, ganflow):
    """`evaluate` scores every one; `runs show` says which stands for them."""
    assert ganflow("run", "small.yaml", "--seeds", "4,5,9", "name=one", "-q")[0] == 0
    folder = SweepFolder((recipe / "runs" / "one-seeds-1").absolute())
    scores = [last_score(folder.trial(number)) for number in range(3)]
    best = int(np.argmin(scores))
    stands = f"one-seeds-1 is 3 seeds, for which seed {[4, 5, 9][best]} stands, the best by sliced_w1_32 ({min(scores):.4g});"
    every = "all of them: ganflow sweeps show one-seeds-1, ganflow evaluate one-seeds-1"

    code, out, err = ganflow("evaluate", "one-seeds-1")
    assert (code, err) == (0, "")
    head, *rows, last = out.splitlines()[:5]
    assert head.split()[:4] == ["name", "run", "train.seed", "round"]
    assert [row.split()[:3] for row in rows] == [["one-seeds-1", folder.trial(n).id, s] for n, s in enumerate("459")]
    mean, sd = np.mean(scores), np.std(scores, ddof=1)
    found = json.loads(ganflow("evaluate", "one-seeds-1", folder.trial(1).id, "--json", "--csv", "x.csv")[1])
    assert [row.get("train_seed") for row in found] == [4, 5, 9, None]
    floor, error = found[0]["floor"], found[0]["floor_error"]  # of the same real examples for every seed
    assert found[-1] == {"run": None, "name": "one-seeds-1", "score": "sliced_w1_32", "value": pytest.approx(mean),
                         "sd": pytest.approx(sd), "floor": floor, "floor_error": error, "trainings": 3}  # fmt: skip
    shown = f"one-seeds-1 mean ± sd n = 3 sliced_w1_32 {mean:.4g} ± {sd:.2g} {floor:.4g} ± {error:.2g}"
    assert re.sub(" +", " ", last) == shown
    assert "mean ± sd" in ganflow("evaluate", "one-seeds-1", "--markdown")[1]
    assert "mean ± sd" not in ganflow("evaluate", folder.trial(1).id)[1]

    code, out, err = ganflow("runs", "show", "one-seeds-1")
    assert (code, folder.trial(best).id in out, err) == (0, True, f"{stands} {every}\n")
    assert ganflow("runs", "show", folder.trial(best).id)[2] == ""

    folder.record(0, state="failed")
    code, out, err = ganflow("evaluate", "one-seeds-1")
    assert (code, err, "n = 2" in out) == (0, "not trained, and left out of one-seeds-1: seed 4 (failed)\n", True)
    for number in (1, 2):
        folder.record(number, state="running")
    refused = "no seed of one-seeds-1 is trained yet: seed 4 (failed), seed 5 (running), seed 9 (running); go on with: "
    assert ganflow("evaluate", "one-seeds-1") == (2, "", f"ganflow: {refused}ganflow run --resume one-seeds-1\n")


def test_several_seeds_are_compared_by_their_means(recipe, ganflow):
    """The errors are over the trainings: of three values sd/√3."""
    for name, width in (("one", 4), ("two", 6)):
        changes = (f"name={name}", f"generator.width={width}", "train.sample_every=6")
        assert ganflow("run", "small.yaml", "--seeds", "4,5,9", *changes, "-q")[0] == 0
    folders = [SweepFolder((recipe / "runs" / f"{name}-seeds-1").absolute()) for name in ("one", "two")]
    scores = np.array([[last_score(folder.trial(n)) for n in range(3)] for folder in folders])
    means, errors = scores.mean(axis=1), scores.std(axis=1, ddof=1) / np.sqrt(3)
    code, out, err = ganflow("compare", "one-seeds-1", "two-seeds-1", "-o", "both.png")
    assert (code, err) == (0, "")
    assert re.split("  +", out.splitlines()[0].strip()) == ["one-seeds-1 (3 seeds)", "two-seeds-1 (3 seeds)", "second − first"]
    (line,) = [line for line in out.splitlines() if line.startswith("sliced_w1_32")]
    for mean, error in zip(means, errors, strict=True):
        assert f"  {mean:.4g} ± {error:.2g} (floor " in line
    error = np.hypot(*errors)
    noise = "within" if abs(means[1] - means[0]) <= 2 * error else "beyond"
    assert line.endswith(f"  {means[1] - means[0]:+.3g} ± {error:.2g}, {noise} noise")
    terms = [np.mean([last_score(folder.trial(n), "critic_loss") for n in range(3)]) for folder in folders]
    (line,) = [line for line in out.splitlines() if line.startswith("critic_loss")]
    assert line.split()[1:] == [f"{term:.4g}" for term in terms]
    assert (recipe / "both.png").exists()
    found = json.loads(ganflow("compare", "one-seeds-1", "two-seeds-1", "--json")[1])
    assert [run["seeds"] for run in found["runs"]] == [3, 3]

    single = folders[1].trial(0).id
    assert json.loads(ganflow("compare", "one-seeds-1", single, "--json")[1])["runs"][1]["seeds"] is None
    assert ganflow("evaluate", single, "--metric", "{use: sliced_wasserstein, samples: 16}")[0] == 0
    (recipe / "runs" / "two-seeds-1" / single / "metrics.jsonl").write_text("")
    code, out, err = ganflow("compare", "one-seeds-1", single)
    assert (code, out) == (2, "")
    assert f"evaluate both alike: ganflow evaluate one-seeds-1 {single} --metric " in err
    assert ganflow(*shlex.split(err.partition("alike: ")[2])[1:])[0] == 0
    assert ganflow("compare", "one-seeds-1", single)[0] == 0


def test_trainings_offer_every_protocol_that_all_seeds_share(recipe, ganflow):
    """One was evaluated with two sampling seeds as well, the other has the scores of its training alone."""
    for name, width in (("one", 4), ("two", 6)):
        assert ganflow("run", "small.yaml", "--seeds", "2", f"name={name}", f"generator.width={width}", "-q")[0] == 0
    for seeds in ("1", "2"):
        assert ganflow("evaluate", "one-seeds-1", "--seeds", seeds)[0] == 0
    code, out, err = ganflow("compare", "one-seeds-1", "two-seeds-1")
    assert (code, err) == (0, "")
    (line,) = [line for line in out.splitlines() if line.startswith("sliced_w1_32")]
    trained = [SweepFolder((recipe / "runs" / f"{name}-seeds-1").absolute()) for name in ("one", "two")]
    for folder in trained:
        scores = [last_score(folder.trial(n)) for n in range(2)]
        assert f"  {np.mean(scores):.4g} ± {np.std(scores, ddof=1) / np.sqrt(2):.2g} (floor " in line
    assert ganflow("evaluate", "two-seeds-1", "--seeds", "2")[0] == 0  # the later one, which both have now
    found = json.loads(ganflow("compare", "one-seeds-1", "two-seeds-1", "--json")[1])
    assert found["scores"]["sliced_w1_32"]["protocol"]["seeds"] == 2


def test_a_seed_that_fails_does_not_end_the_others(recipe, ganflow, plugin):
    plugin("acts", METRIC)
    code, out, err = ganflow("run", "small.yaml", "--seeds", "3", "metrics=[{use: acts, what: fails}]", "-q")
    assert (code, err) == (1, "seed 1: the third evaluation is one too many\n")
    assert out.splitlines() == [
        "runs/small-seeds-1: 2 of 3 seeds are trained",
        "1 failed; see: ganflow sweeps show small-seeds-1",
    ]
    shown = ganflow("sweeps", "show", "small-seeds-1")[1]
    assert re.search(r"^ +1 +failed ", shown, re.MULTILINE)
    assert shown.splitlines()[-1].split() == ["score", "3.5", "2.1", "2"]  # 2 and 5: the last evaluations of seeds 0 and 2


def test_without_metrics_there_is_nothing_to_average(recipe, ganflow):
    code, out, _ = ganflow("run", "small.yaml", "--seeds", "1", "metrics=[]", "train.rounds=2")
    why = "the recipe has no metrics, whose scores could be averaged"
    assert (code, out) == (0, f"runs/small-seeds-1: 1 of 1 seeds are trained; {why}\n")
    assert "metric" not in ganflow("sweeps", "show", "small-seeds-1")[1].split()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("small.yaml", "--seeds", "0"), "--seeds: 0 seeds cannot be trained; give 1 to 1000, or seeds (1,2,3)"),
        (("small.yaml", "--seeds", "1,2,1"), "--seeds: 1 is named twice, and the same seed trains the same run; name each once"),
        (("small.yaml", "--seeds", "five"), "--seeds: 'five' is neither a number of seeds (5) nor seeds (1,2,3)"),
        (("small.yaml", "--seeds=-2"), "--seeds: '-2' is neither a number of seeds (5) nor seeds (1,2,3)"),
        (("small.yaml", "--seeds", "1,"), "--seeds: '1,' is neither a number of seeds (5) nor seeds (1,2,3)"),
        (("small.yaml", "--seeds", "1,9223372036854775808"), "--seeds: 9223372036854775808 is no seed; they are below 2^63"),
        (("small.yaml", "--seeds", "2", "--workers", "2"), f"{AFTER} one worker"),
        (("stackgan_birds", "--seeds", "2"), f"{AFTER} no stages"),
        (("--resume", "x", "--seeds", "2"), "--seeds begins new runs; to go on with those that there are: "
                                            "ganflow run --resume NAME"),
        (("small.yaml", "--seeds", "2", "train.best=x"), "train.best: there is no score 'x' (scores: sliced_w1_32)"),
    ],
)  # fmt: skip
def test_mistakes(recipe, ganflow, arguments, text):
    assert ganflow("run", *arguments) == (2, "", f"ganflow: {text}\n")
    assert not (recipe / "runs").exists()


def test_how_such_runs_go_on_is_named(recipe, ganflow):
    assert ganflow("run", "small.yaml", "--seeds", "1", "train.rounds=2", "-q")[0] == 0
    refused = "ganflow: small-seeds-1 was begun by `ganflow run --seeds`; go on with it: ganflow run --resume small-seeds-1\n"
    assert ganflow("tune", "--resume", "small-seeds-1") == (2, "", refused)
    code, _, err = ganflow("run", "--resume", "small-seeds-1", "train.rounds=9")
    assert (code, err) == (2, "ganflow: --resume goes on with small-seeds-1 as it is; leave out recipe, changes and --workers\n")


@pytest.mark.slow
def test_killed_in_the_second_seed(recipe):
    """SIGKILL: the finished seed is not touched, the second goes on from its checkpoint, the third begins."""
    changes = ("train.rounds=40", "train.report_every=1", "train.checkpoint_every=2")
    with Process(recipe, "run", "small.yaml", "--seeds", "3", "-q", *changes) as process:
        assert process.until(lambda: len(list(all_runs(process.root))) == 2 and process.reached(5))
        assert process.kill()
    folder = sweep(recipe)
    first = files(folder.trial(0).path)
    code, out, err = finished(recipe, "run", "--resume", "small-seeds-1")
    assert code == 0, err
    assert out.splitlines()[-1] == "runs/small-seeds-1: 3 of 3 seeds are trained"
    assert "going on from round" in err
    assert files(folder.trial(0).path) == first
    code, _, err = finished(recipe, "run", "small.yaml", "name=alone", "train.seed=1", "-q", *changes)
    assert code == 0, err
    (alone,) = [run for run in all_runs(recipe / "runs") if run.name == "alone"]
    assert_same_state(folder.trial(1), folder_of(alone.path))
