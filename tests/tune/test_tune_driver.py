"""A sweep's frame: its lock, its status, its signals and its end, without Ray; and the watch over the cluster's head."""

import errno
import os
import signal
import socket
import threading
from types import SimpleNamespace

import pytest
from sweep_helpers import recipe

from ganflow.cli import main
from ganflow.cluster import joining
from ganflow.cluster.nodes import Node
from ganflow.errors import GanflowError
from ganflow.machine import Broken
from ganflow.recipe import Tune
from ganflow.runs import folders
from ganflow.runs.interruption import Interruption
from ganflow.sweeps.records import BUDGET, MACHINE
from ganflow.tune import driver, preflight
from ganflow.tune.amend import amend
from ganflow.tune.budget import Spent
from ganflow.tune.plan import begin, find, in_common, make_plan, rounds_of
from ganflow.tune.preflight import pack_of
from ganflow.tune.watcher import Stopper


@pytest.fixture
def planned(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = make_plan(recipe(tmp_path))
    return plan, begin(plan, tmp_path / "runs")


@pytest.fixture
def go(planned, monkeypatch):
    """go(instead of Ray's part) → the outcome."""

    def run(act=lambda folder, interruption: None):
        plan, folder = planned
        def tuned(folder, plan, records, address, display, stop, begins, retry):
            return act(folder, stop)

        monkeypatch.setattr(driver, "_tune", tuned)
        return driver.go(folder, plan, quiet=True)

    return run


def test_a_sweep_that_ends(go, planned):
    def play(folder, interruption):
        assert folder.read().raw["status"] == "running"
        assert folder.read().raw["pid"] == os.getpid()
        assert folders.is_running(folder)
        folder.record(0, config={"optimizer.lr": 1e-3}, state="failed", cause=MACHINE)
        folder.record(1, config={"optimizer.lr": 1e-3}, state="failed")
        folder.record(2, config={"optimizer.lr": 1e-3}, state="diverged")

    outcome = go(play)
    assert (outcome.status, outcome.signal, outcome.failed, outcome.retriable) == ("finished", 0, 2, 1)
    assert planned[1].read().raw["status"] == "finished"
    assert (planned[1].path / "trials.csv").exists()
    assert not folders.is_running(planned[1])


def test_one_whose_budget_is_used_up_says_so_until_it_goes_on(go, planned, capsys):
    """Of four trials one is finished and two were begun; the advice is accepted as it is."""
    folder = planned[1]

    def play(folder, interruption):
        folder.record(0, config={"optimizer.lr": 1e-3}, state="finished", score=1.0, round=60)
        folder.record(1, config={"optimizer.lr": 2e-3}, state="stopped", cause=BUDGET, round=20)
        folder.record(2, config={"optimizer.lr": 3e-3}, state="waiting", round=20)
        folder.update(trials=4)
        return Spent("hours", 2, 2.01)

    outcome = go(play)
    assert (outcome.status, str(outcome.spent)) == ("stopped", "the sweep's budget of 2 hours is used up")
    assert (folder.path / "trials.csv").exists()
    assert main(["sweeps", "show", folder.sweep]) == 0
    shown = capsys.readouterr().out
    again = f"ganflow tune --resume {folder.sweep} tune.budget.hours=3"
    for line in (
        f"{folder.sweep}  {folder.id}  stopped\n",
        "  trials      1 of 4 are over: 2 waiting, 1 finished, 1 stopped\n",
        "  stopped     the sweep's budget of 2 hours is used up; 3 trials are left, 2 of them begun\n",
        f"  go on       {again}\n",
    ):
        assert line in shown
    assert amend(folder, again.split()[4:])
    assert go(lambda folder, interruption: None).status == "finished"
    assert folder.read().ended is None


def test_a_budget_that_is_used_up_with_the_last_trial_ended_nothing(go, planned):
    def play(folder, interruption):
        for number in range(4):
            folder.record(number, config={"optimizer.lr": 1e-3}, state="finished", score=1.0, round=60)
        return Spent("hours", 2, 2.01)

    assert go(play).status == planned[1].read().status == "finished"


def test_one_that_is_interrupted_is_not_summed_up(go, planned):
    outcome = go(lambda folder, interruption: os.kill(os.getpid(), signal.SIGTERM))
    assert (outcome.status, outcome.signal) == ("interrupted", signal.SIGTERM)
    assert planned[1].read().raw["status"] == "interrupted"
    assert not (planned[1].path / "trials.csv").exists()


@pytest.mark.parametrize(
    ("error", "raised", "status"),
    [
        (GanflowError("no cluster"), GanflowError, "interrupted"),
        (KeyboardInterrupt(), KeyboardInterrupt, "interrupted"),
        (OSError(errno.ENOSPC, "No space left on device", "x"), Broken, "interrupted"),
        (ZeroDivisionError(), ZeroDivisionError, "failed"),
    ],
)
def test_what_ends_a_sweep_otherwise(go, planned, error, raised, status):
    def play(folder, interruption):
        raise error

    with pytest.raises(raised):
        go(play)
    assert planned[1].read().raw["status"] == status


def test_two_drivers_of_one_sweep(go, planned):
    refused = pytest.raises(GanflowError, match=r"another process runs the sweep tiny-sweep-1 already \(pid")
    with folders.locked(planned[1]), refused:
        go()


def test_names_are_counted(planned, tmp_path):
    plan, first = planned
    assert first.sweep == "tiny-sweep-1"
    assert begin(plan, tmp_path / "runs").sweep == "tiny-sweep-2"
    assert find("tiny-sweep-2", tmp_path / "runs").read().raw["trials"] == 4


def test_the_cluster_is_gone(planned, monkeypatch, capsys):
    ended = []
    monkeypatch.setattr(driver.os, "_exit", ended.append)
    display = SimpleNamespace(__exit__=lambda *error: None)
    for number in (0, signal.SIGTERM):
        driver._abandon(planned[1], display, Interruption(number), joining.HEAD)
    assert ended == [1, 143]
    assert planned[1].read().raw["status"] == "interrupted"
    assert "go on with: ganflow tune --resume tiny-sweep-1" in capsys.readouterr().err


def test_when_ray_is_to_stop_all(planned):
    notes = []
    interruption = SimpleNamespace(signal=0)
    table = SimpleNamespace(folder=planned[1])
    watcher = SimpleNamespace(table=table, broken="", spent=None, stopping=False, display=SimpleNamespace(note=notes.append))
    stopper = Stopper(watcher, interruption)
    assert not stopper.stop_all()
    assert planned[1].read().raw["status"] == "waiting"
    interruption.signal = signal.SIGINT
    assert stopper.stop_all()
    assert stopper.stop_all()
    assert planned[1].read().raw["status"] == "interrupted"  # by which the trials know that they are to go on
    assert notes == ["stopping: every trial keeps a checkpoint (Ctrl-C again: at once, without)"]
    broken = SimpleNamespace(table=table, broken="a full disk", spent=None, stopping=False, display=watcher.display)
    assert Stopper(broken, SimpleNamespace(signal=0)).stop_all()


def test_when_a_budget_is_used_up_ray_is_to_stop_all_for_good(planned):
    notes = []
    watcher = SimpleNamespace(
        table=SimpleNamespace(folder=planned[1]), broken="", spent=Spent("hours", 8, 8.01), stopping=False,
        display=SimpleNamespace(note=notes.append),
    )  # fmt: skip
    stopper = Stopper(watcher, SimpleNamespace(signal=0))
    assert stopper.stop_all()
    assert stopper.stop_all()
    assert planned[1].read().raw["status"] == "waiting"  # not "interrupted": the trials' runs are to end as stopped
    assert notes == ["stopping: the sweep's budget of 8 hours is used up; every trial keeps a checkpoint"]


@pytest.mark.parametrize(
    ("wanted", "pays", "why", "pack", "said"),
    [
        (1, False, "no", 1, []),
        (4, True, "", 4, []),
        (4, True, "slow", 4, ["slow"]),
        (4, False, "no", 1, ["trials are not packed: no"]),
    ],
)
def test_what_is_packed(planned, monkeypatch, wanted, pays, why, pack, said):
    monkeypatch.setattr("ganflow.packed.worth_packing", lambda game, pack, train, rounds: (pays, why))
    notes = []
    plan = SimpleNamespace(recipe=planned[0].recipe, tune=SimpleNamespace(pack=wanted, rounds=20))
    assert pack_of(plan, notes.append) == pack
    assert notes == said


def changes(tmp_path, *overrides):
    plan = make_plan(recipe(tmp_path), overrides)
    return rounds_of(plan), sorted(in_common(plan))


def test_what_trials_have_in_common(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert changes(tmp_path) == (6000, ["train.threads=1"])  # its pictures and checkpoints are the recipe's
    assert changes(tmp_path, "tune.rounds=300") == (300, ["train.rounds=300", "train.threads=1"])
    auto = ["tune.resources={cpus: 3}", "train.sample_every=0", "train.checkpoint_every=0"]
    pbt = ["tune.scheduler=pbt", "tune.interval=0.2", "train.evaluate_every=60"]
    assert changes(tmp_path, *auto, *pbt, "tune.rounds=300") == (
        300, ["train.checkpoint_every=60", "train.rounds=300", "train.sample_every=300", "train.threads=3"]
    )  # fmt: skip
    assert changes(tmp_path, *auto)[1] == ["train.sample_every=6000", "train.threads=3"]
    searched = "tune.space={train.sample_every: {choice: [10, 20]}}"
    written = recipe(tmp_path)
    written.write_text(written.read_text().replace("sample_every: 100000", "sample_every: 0"))
    assert sorted(in_common(make_plan(written, [searched]))) == ["train.threads=1"]


def watch(monkeypatch, looks, patience):
    """Why the cluster is given up, or "", and how often nodes were seen, where the head answers so, a look each: None for not at
    all, "busy", or the nodes that are alive."""
    left, over, gone, seen = iter(looks), threading.Event(), [], []
    now = [None]

    def answer(address):
        now[0] = next(left, over)
        if now[0] is over:
            over.set()
        return now[0] is not None

    def living(timeout):
        if now[0] in ("busy", over):
            raise TimeoutError("the head is busy")
        return [{"id": node, "name": node, "cpus": 1.0, "gpus": 0.0} for node in now[0]]

    monkeypatch.setattr(joining, "answers", answer)
    monkeypatch.setattr(joining.compat, "living_nodes", living)
    monkeypatch.setattr(joining, "EVERY", 0.01)
    monkeypatch.setattr(joining, "PATIENCE", patience)
    joining._watch("127.0.0.1:1", "mine", over, gone.append, lambda nodes: seen.append([node.id for node in nodes]))
    assert len(gone) <= 1
    return "".join(gone), seen


def test_a_head_that_is_away_for_a_moment_is_waited_for(monkeypatch):
    there = ["mine"]
    assert watch(monkeypatch, [there, None, there] * 20, 0.2) == ("", [there] * 40)
    assert watch(monkeypatch, [None] * 3, 60) == ("", [])
    assert watch(monkeypatch, [there, *[None] * 60], 0.1) == ("the Ray cluster is gone", [there])


def test_a_node_of_ours_that_is_dead_ends_the_sweep(monkeypatch):
    """Whatever other nodes are alive; not where the head says nothing of nodes, nor where ours was dead for a moment."""
    words = "Ray's process for this machine has ended, or was held for dead"
    for left in ([], ["other"]):
        why, seen = watch(monkeypatch, [["mine"], *[left] * 60], 0.1)
        assert why.startswith(words)
        assert seen == [["mine"]]
    assert watch(monkeypatch, [["mine"], *["busy"] * 60], 0.1) == ("", [["mine"]])
    assert watch(monkeypatch, [["mine"], [], [], ["mine", "other"]] * 10, 0.2)[0] == ""


def test_nodes_without_room_are_noted_once_for_each_time(stopped_clock):
    clock, notes = stopped_clock(preflight), []
    lacking = preflight.Lacking(Tune(resources={"cpus": 2}), notes.append)
    room, none = [Node("a", "a", 0.0, 0.0), Node("b", "b", 2.0, 0.0)], [Node("a", "a", 0.0, 0.0)]
    said = "1 node of the cluster is left, without room for a trial: the sweep waits for others"
    for nodes, seconds, count in [
        (room, 60, 0), (none, 9, 0), (room, 5, 0), (none, 9, 0), (none, 2, 0), (none, 1, 1), (none, 90, 1), (room, 1, 1),
        (none, 11, 1), (none, 1, 2),
    ]:  # fmt: skip
        lacking(nodes)
        clock.now += seconds
        assert len(notes) == count, (nodes, seconds)
    assert all(note.startswith(said) for note in notes)


def test_who_answers():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert joining.answers(address)
    assert not joining.answers(address)
