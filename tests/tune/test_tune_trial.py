"""A trial in Ray's process, played by an executor of the test's own: what is told of it, when it ends, how it is taken off."""

import math
import os
from types import SimpleNamespace

import pytest

from ganflow.contract.roles import Executor
from ganflow.engine.trainer import Diverged
from ganflow.errors import GanflowError
from ganflow.recipe import read_recipe
from ganflow.runs import folders
from ganflow.runs.folders import RunFolder
from ganflow.runs.journal import Journal
from ganflow.runs.loop import Result
from ganflow.runs.workers import Lost
from ganflow.sweeps.records import SweepFolder
from ganflow.tune import trial as module
from ganflow.tune.executors import Alone, Packed
from ganflow.tune.trial import Trial, wait_for
from ganflow.tune.trials import TrialSpec, TrialState, as_config


class Scripted(Executor):
    """Reports what a test wants; afterwards how it was ended.

    Args:
        script: lists of (trial, step, or error), or an exception to raise.
    """

    def __init__(self, *script):
        self.script, self.ended, self.stopped = list(script), [], []

    def play(self, trials):
        self.trials = trials
        while self.script and not self.stopped:
            reported = self.script.pop(0)
            if isinstance(reported, BaseException):
                raise reported
            yield reported

    def finish(self, i):
        self.ended.append(i)

    def stop(self, status):
        self.stopped.append(status)


def steps(*rounds, i=0, **values):
    return [[(i, Result(round, dict(values)))] for round in rounds]


@pytest.fixture
def sweep(tmp_path):
    folder = SweepFolder(tmp_path / "runs" / "s")
    folder.path.mkdir(parents=True)
    folder.recipe.write_text("name: x\n")
    folder.update(kind="sweep", id="20260101-000000-0000", status="running")
    return folder


@pytest.fixture
def trial(sweep, monkeypatch):
    """trial(executor, count, …) → Ray's trial that it plays."""
    monkeypatch.setenv("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")

    def make(executor, count=1, **order):
        monkeypatch.setattr(module, "executor_of", lambda recipe, pack: executor)
        monkeypatch.setattr(TrialSpec, "sweep_recipe", None)
        common = {"metric": "m", "mode": "min", "stop": {}, **order}
        orders = [TrialSpec(n, str(sweep.recipe), [], str(sweep.trial(n).path), {}, **common) for n in range(count)]
        return Trial(config=as_config(orders))

    return make


def ended(sweep, number, round, *scores):
    """A run as one leaves it behind that finished."""
    run = folders.make(sweep.trial(number))
    run.update(status="finished", round=round)
    journal = Journal(run.journal)
    for n, score in enumerate(scores):
        journal.append(n, {"m": score})
    journal.close()


def test_a_trial_alone_tells_of_every_score_and_else_after_a_while(trial, sweep):
    ended(sweep, 0, 5, 9.0, 3.0)
    made = trial(Scripted(*steps(1, 2), *steps(3, m=3.0), *steps(4), [(0, None)]))
    told = made.step()
    assert (told["round"], told["score"], told["state"], told["done"]) == (3, 3.0, "running", False)
    told = made.step()
    assert (told["round"], told["score"], told["state"], told["done"]) == (5, 3.0, "finished", True)


def test_a_pack_is_told_together_and_done_with_its_last(trial, sweep):
    for n in range(2):
        ended(sweep, n, 9, float(n))
    made = trial(Scripted([(0, Result(1, {"m": 5.0})), (1, Result(1, {}))], [(0, Result(2, {}))], Lost("a worker died")), 2)
    with pytest.raises(Lost):  # Ray begins it again
        made.step()
    made = trial(Scripted([(0, Result(1, {"m": 5.0}))], [(0, Result(2, {}))], [(1, Result(1, {}))], [(1, None)], [(0, None)]), 2)
    told = made.step()
    assert [(one["trial"], one["state"], one["round"], one["score"]) for one in told["trials"]] == [
        (0, "finished", 9, 0.0), (1, "finished", 9, 1.0)
    ]  # fmt: skip
    assert told["done"]
    assert "round" not in told  # which schedulers would take for one trial's


def test_a_score_is_not_lost_behind_what_came_after_it(trial, monkeypatch):
    made = trial(Scripted([(0, Result(1, {"m": 5.0})), (0, Result(2, {}))], *[[(0, Result(3, {}))]] * 2), 2)
    told = made.step()
    assert (told["trials"][0]["round"], told["trials"][0]["score"]) == (3, 5.0)
    assert not told["done"]


def test_done_is_told_of_all_or_of_none(trial, sweep, monkeypatch):
    monkeypatch.setattr(module, "STEP", -1.0)
    ended(sweep, 0, 9, 1.0)
    made = trial(Scripted([(0, None)], *steps(2, i=1), [(1, GanflowError("no"))]), 2)
    assert [made.step()["done"] for _ in range(3)] == [False, False, True]


def test_trials_are_known_by_their_places_where_some_are_over(trial, sweep):
    sweep.record(0, config={}, state="diverged")
    sweep.record(1, config={}, state="running")
    executor = Scripted(*steps(7, m=1.0))
    made = trial(executor, 3, stop={"round": 5})
    told = made.step()
    assert [one["trial"] for one in told["trials"]] == [1]
    assert [run.number for run in executor.trials] == [1, 2]
    assert executor.ended == [0]  # by the executor's counting


def test_what_it_is_to_stop_at_ends_it_once(trial, sweep):
    ended(sweep, 0, 4, 1.0)
    executor = Scripted(*steps(1, m=9.0), *steps(2, m=4.0), *steps(3, m=3.0), [(0, None)])
    made = trial(executor, stop={"m": 4.0})
    assert made.step()["score"] == 9.0
    assert executor.ended == []
    told = made.step()  # to the end: nothing is left to decide
    assert (told["state"], told["done"]) == ("finished", True)
    assert executor.ended == [0]


@pytest.mark.parametrize("error", [GanflowError("cannot be built"), Diverged("m", math.nan, 3)])
def test_what_would_happen_again_is_no_reason_to_try_again(trial, error):
    made = trial(Scripted(error), 2)
    told = made.step()
    state = "diverged" if isinstance(error, Diverged) else "failed"
    assert [(one["state"], one["error"]) for one in told["trials"]] == [(state, str(error))] * 2
    assert told["done"]


def test_a_disk_that_failed_is_told_and_ends_no_trial(trial, monkeypatch):
    monkeypatch.setattr(module, "STEP", 0.0)
    executor = Scripted(OSError(28, "No space left on device", "/x"))
    made = trial(executor)
    for _ in range(2):
        told = made.step()
        assert (told["state"], told["done"], told["trials"], told["host"]) == ("broken", False, [], os.uname().nodename)
        assert "No space left on device" in told["broken"]
    made.cleanup()
    assert executor.stopped == ["interrupted"]
    with pytest.raises(ZeroDivisionError):
        trial(Scripted(ZeroDivisionError())).step()


@pytest.mark.parametrize(
    ("status", "ends", "config"),
    [
        ("running", "stopped", None),
        ("interrupted", "interrupted", None),
        ("running", "interrupted", {"optimizer.lr": 0.1}),  # population based training stops none: it becomes a copy
    ],
)
def test_ray_takes_a_trial_off(trial, sweep, monkeypatch, status, ends, config):
    monkeypatch.setattr(module, "STEP", -1.0)
    executor = Scripted(*steps(1, 2))
    made = trial(executor, config=config)
    made.step()
    sweep.update(status=status)
    made.cleanup()
    made.cleanup()
    assert executor.stopped == [ends]


def test_a_pause_is_an_interruption(trial, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "STEP", -1.0)
    executor = Scripted(*steps(1, 2))
    made = trial(executor)
    made.step()
    assert made.save_checkpoint(str(tmp_path)) == {}
    assert executor.stopped == ["interrupted"]


# How a trial stands.


def state(folder=".", **order):
    return TrialState(TrialSpec(0, "r", [], str(folder), {}, **{"metric": "m", "mode": "min", "stop": {}, **order}))


def test_what_is_seen_of_a_step():
    trial = state()
    assert not trial.update(Result(3, {"other": 1.0}))
    assert trial.update(Result(4, {"m": 2.0}))
    assert (trial.round, trial.score) == (4, 2.0)
    assert trial.update(Result(5, {"m": math.nan}))
    assert (trial.round, trial.score) == (5, None)


@pytest.mark.parametrize(
    ("mode", "stop", "step", "reached"),
    [
        ("min", {"m": 1.0}, Result(1, {"m": 1.1}), False),
        ("min", {"m": 1.0}, Result(1, {"m": 1.0}), True),
        ("max", {"m": 1.0}, Result(1, {"m": 0.9}), False),
        ("max", {"m": 1.0}, Result(1, {"m": 1.0}), True),
        ("min", {"loss": 1.0}, Result(1, {"m": 9.0, "loss": 0.5}), False),  # any other number from below
        ("min", {"loss": 1.0}, Result(1, {"loss": 1.5}), True),
        ("min", {"round": 5}, Result(4), False),
        ("min", {"round": 5}, Result(5), True),
        ("min", {"seconds": 9e9}, Result(5), False),
        ("min", {"seconds": 0}, Result(5), True),
        ("min", {"m": 1.0, "round": 5}, Result(5), True),  # one of several
        ("min", {"m": 1.0}, Result(5), False),  # not reported this time
        ("min", {"m": 1.0}, Result(5, {"m": math.nan}), False),
        ("min", {}, Result(5, {"m": 1.0}), False),
    ],
)
def test_when_a_value_is_reached(mode, stop, step, reached):
    trial = state(mode=mode, stop=stop)
    trial.update(step)
    assert trial.should_stop(step) is reached


def test_a_trial_that_goes_on_knows_its_last_score(sweep):
    """Of the rounds up to its checkpoint, and of its own values."""
    ended(sweep, 0, 40, 3.0, 2.0)
    known = state(sweep.trial(0).path)
    for copied_at, until, score in [(None, math.inf, 2.0), (None, 0, 3.0), (0, 40, 2.0), (0, 0, None), (1, 40, None)]:
        known.go_on(copied_at, until)
        assert known.score == score, (copied_at, until)


def test_how_an_end_is_told(sweep, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,2")
    ended(sweep, 0, 40, 3.0, 2.0)
    told = state(sweep.trial(0).path).finished()
    assert (told["state"], told["round"], told["score"], told["error"]) == ("finished", 40, 2.0, "")
    assert told["place"] == f"{os.uname().nodename}, GPU 1,2"
    ended(sweep, 1, 40, 3.0, math.inf)
    assert state(sweep.trial(1).path).finished()["score"] is None
    sweep.trial(0).update(status="stopped", copied_at=1)  # by an alarm, after it became a copy: no score since
    assert state(sweep.trial(0).path).finished()["score"] is None
    sweep.trial(0).update(copied_at=0)
    assert state(sweep.trial(0).path).finished()["score"] == 2.0
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    failed = state().failed(GanflowError("no such file"))
    assert (failed["state"], failed["error"], failed["place"]) == ("failed", "no such file", os.uname().nodename)
    assert "score" not in failed
    caused = GanflowError("m became nan; try a lower rate")
    caused.__cause__ = Diverged("m", math.nan, 3)
    assert state().failed(caused)["state"] == "diverged"
    assert state().failed(Diverged("m", math.nan, 3))["state"] == "diverged"


def test_a_recipes_relative_paths_mean_the_same_to_a_worker(tmp_path, monkeypatch):
    (tmp_path / "home" / "photos").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    file = tmp_path / "r.yaml"
    file.write_text(read_recipe("wgan", ["data={use: image_folder, path: photos}"]).to_yaml())
    order = TrialSpec(0, str(file), ["train.rounds=3"], "f", {}, "m", "min", {}, home=str(tmp_path / "home"))
    assert order.overrides[0] == "train.rounds=3"
    assert read_recipe(file, order.overrides).data.settings.path == str(tmp_path / "home" / "photos")
    assert order.sweep_recipe.data.settings.path == str(tmp_path / "home" / "photos")
    assert TrialSpec(0, str(file), ["train.rounds=3"], "f", {}, "m", "min", {}).overrides == ["train.rounds=3"]


# Waiting, and the executors.


def test_a_run_that_another_process_trains_is_waited_for(tmp_path, monkeypatch):
    run = folders.make(RunFolder(tmp_path / "r"))
    wait_for(run)  # nothing is in it yet
    run.update(status="running", pid=7, host="node3")
    now = [0.0]

    def sleep(seconds):
        now[0] += seconds
        assert now[0] < 1000, "it waits for ever"

    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    with folders.locked(run), pytest.raises(Lost, match=r"run r is being trained by another process \(pid 7 on node3\)"):
        wait_for(run)
    assert module.PATIENCE < now[0] < module.PATIENCE + 1
    wait_for(run)


class Waiting:
    """A trial that counts what is asked of it."""

    def __init__(self, number, *steps):
        self.number, self.steps, self.waited, self.ended = number, steps, 0, []

    def wait(self):
        self.waited += 1
        raise Lost("held")

    def open(self):
        return self

    def __iter__(self):
        for step in self.steps:
            if isinstance(step, Exception):
                raise step
            if self.ended:
                return
            yield step

    def stop(self, status):
        self.ended.append(status)


def test_one_after_the_other():
    error = GanflowError("no")
    trials = [Waiting(0, 1, 2), Waiting(1, 3, error, 4), Waiting(2, 5)]
    assert list(Alone().play(trials)) == [[(0, 1)], [(0, 2)], [(0, None)], [(1, 3)], [(1, error)], [(2, 5)], [(2, None)]]
    with pytest.raises(Lost):
        list(Alone().play([Waiting(0, Lost("died"))]))


def test_after_a_stop_none_is_begun():
    trials = [Waiting(0, 1, 2), Waiting(1, 3)]
    alone = Alone()
    play = alone.play(trials)
    next(play)
    alone.stop("interrupted")
    assert list(play) == [[(0, None)]]
    assert (trials[0].ended, trials[1].ended) == (["interrupted"], [])


def test_a_pack_waits_for_each_of_its_runs():
    with pytest.raises(Lost, match="held"):
        list(Packed(2).play([Waiting(0), Waiting(1)]))
