"""Sweeps that are hurt, for real: killed, interrupted, robbed of processes, nodes and servers."""

import contextlib
import os
import re
import signal
from pathlib import Path

import pytest
import torch
from port_helpers import free_ports
from sweep_helpers import (
    EVERY,
    REPORT,
    Tuning,
    assert_same_sweep,
    begun,
    bits,
    clock,
    gone,
    last,
    played,
    processes,
    ray_folders,
    recipe,
    records,
    resume,
    rounds_played_again,
    values,
)

from ganflow.recipe import read_recipe
from ganflow.runs.checkpoints import read
from ganflow.sweeps.repeats import scored
from ganflow.tracking import store
from ganflow.tracking.follower import Server
from ganflow.tracking.outbox import State
from ganflow.tune.driver import in_time
from ganflow.tune.schedulers import make_scheduler

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # sqlalchemy's, about MLflow
]
ALL = range(4)


def clocks(sweep):
    return {n: clock(sweep.trial(n)) for n in sweep.trials()}


def points(uri, metric="critic/non_saturating"):
    """(status, steps of a metric, id of the run above or else its own) of every run that MLflow has, by the run's name."""
    client = store.client(uri)
    experiment = client.get_experiment_by_name("ganflow")
    found = {}
    for run in client.search_runs([experiment.experiment_id]):
        name, above = run.data.tags["mlflow.runName"], run.data.tags.get("mlflow.parentRunId", run.info.run_id)
        assert name not in found, "a run is there twice"
        found[name] = run.info.status, [m.step for m in client.get_metric_history(run.info.run_id, metric)], above
    return found


def test_killed_interrupted_and_robbed_of_a_process_a_sweep_ends_as_if_nothing_had_happened(tmp_path, undisturbed):
    recipe(tmp_path)

    # SIGKILL: nothing of it is left; another driver cannot begin before
    with Tuning.new(tmp_path, "hurt", "track.mlflow=true") as process:
        sweep = process.sweep
        _, pid = process.playing(1500)
        code, out, err = resume(tmp_path, "hurt")
        assert (code, out) == (2, "")
        assert err == f"ganflow: another process runs the sweep hurt already (pid {process.popen.pid} on {os.uname().nodename})\n"
        of_ray = [p for folder in ray_folders(process.popen.pid) for p in processes(str(folder))]
        assert len(of_ray) > 2
        process.kill()
        assert gone([pid, *of_ray]) == []
    over = {n for n, t in sweep.trials().items() if t.over}
    before = clocks(sweep)

    # SIGTERM: each trial is kept where it is
    with Tuning.resumed(tmp_path, "hurt") as process:
        process.playing()
        process.send(signal.SIGTERM)
        code, out, err = process.end()
    assert code == 143
    assert out == "stopped; go on with: ganflow tune --resume hurt\n"
    assert "stopping: every trial keeps a checkpoint" in err
    assert sweep.read().status == "interrupted"
    interrupted = [n for n, t in sweep.trials().items() if t.state == "waiting" and sweep.trial(n).is_run()]
    assert interrupted
    for n in interrupted:
        about = sweep.trial(n).read()
        assert about.status == "interrupted" or rounds_played_again(before[n], sweep.trial(n)) == 0  # or not begun again
        if about.status == "interrupted":
            assert about.round == last(sweep.trial(n)).round == played(sweep.trial(n))[-1]
    for n, at in before.items():
        again = rounds_played_again(at, sweep.trial(n))
        assert again <= (0 if n in over else EVERY + REPORT), f"trial {n}"
    before = clocks(sweep)

    # a trial's process dies; then Ctrl-C, which a terminal sends to everyone
    with Tuning.resumed(tmp_path, "hurt") as process:
        number, pid = process.playing()
        os.kill(pid, signal.SIGKILL)
        process.until(lambda: clock(sweep.trial(number)) and sweep.trial(number).read().pid != pid)
        process.playing(number=number, further=400)
        os.killpg(process.popen.pid, signal.SIGINT)
        code, out, err = process.end()
    assert code == 130
    assert re.search(rf"trial {number} waiting  its process died[^\n]*; it is begun again from its last checkpoint", err)

    code, out, err = resume(tmp_path, "hurt")
    assert code == 0, err
    assert "4 trials are over" in out
    assert_same_sweep(sweep, undisturbed)
    assert all(times <= 5 for times in begun(sweep).values())
    ends = [r["trial"] for r in records(sweep) if r.get("state") == "finished"]
    assert sorted(ends) == list(ALL)

    told = points(f"sqlite:///{tmp_path}/runs/mlflow.db")
    assert len(told) == 5
    for n in ALL:
        status, steps, parent = told[f"hurt trial {n}"]
        assert status == "FINISHED"
        assert steps == played(sweep.trial(n))
        assert parent == told["hurt"][2]


def test_sigterm_for_all_processes_at_once_as_slurm_sends_it(tmp_path):
    recipe(tmp_path)
    with Tuning.new(tmp_path, "job", "tune.trials=2") as process:
        number, pid = process.playing(1000)
        of_ray = [p for folder in ray_folders(process.popen.pid) for p in processes(str(folder))]
        for each in {process.popen.pid, pid, *of_ray}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGTERM)
        code, out, err = process.end()
        assert gone([pid, *of_ray]) == []
    sweep = process.sweep
    assert (code, out) == (143, "")
    assert err.endswith("ganflow: the Ray cluster is gone; go on with: ganflow tune --resume job\n")
    assert sweep.read().status == "interrupted"
    before = clock(sweep.trial(number))
    code, out, err = resume(tmp_path, "job")
    assert code == 0, err
    assert "2 trials are over" in out
    assert rounds_played_again(before, sweep.trial(number)) <= EVERY + REPORT


def test_a_node_that_is_held_for_dead(tmp_path):
    """As on a very busy machine, where Ray's head hears nothing of its node; it is to hear of it more often here."""
    recipe(tmp_path)
    often = {"initial_delay_ms": 0, "period_ms": 500, "timeout_ms": 500, "failure_threshold": 4}
    env = {f"RAY_health_check_{name}": str(value) for name, value in often.items()}
    with Tuning.new(tmp_path, "deaf", "tune.trials=2", "tune.concurrency=1", "train.rounds=1000000", **env) as process:
        number, pid = process.playing(200)
        (folder,) = ray_folders(process.popen.pid)
        (node,) = [p for p in processes(str(folder)) if Path(f"/proc/{p}/exe").resolve().name == "raylet"]
        os.kill(node, signal.SIGSTOP)
        code, out, err = process.end(100)
        assert gone([pid, node]) == []
    why = "Ray's process for this machine has ended, or was held for dead, as happens where a machine is very busy"
    assert (code, out) == (1, "")
    assert err.endswith(f"\nganflow: {why}; go on with: ganflow tune --resume deaf\n")
    assert process.sweep.read().status == "interrupted"
    assert not process.sweep.trials()[number].over
    assert last(process.sweep.trial(number)).round >= EVERY


ASHA = (
    "tune.scheduler=asha",
    "tune.search=grid",
    "tune.concurrency=1",
    "tune.retries=0",
    "train.rounds=6000",
    "tune.space={optimizer.lr: {choice: [3.0e-3, 1.0e+30, 1.0e-4, 1.0e-5, 2.0e-5, 3.0e-5]}}",
)


def test_asha_knows_after_a_kill_what_it_decided_and_a_trial_that_may_not_be_retried_fails_alone(tmp_path):
    recipe(tmp_path)
    with Tuning.new(tmp_path, "asha", *ASHA) as process:
        sweep = process.sweep
        process.playing(number=3, further=300)
        process.kill()
    was, before = sweep.trials(), clocks(sweep)
    assert [was[n].state for n in ALL] == ["finished", "diverged", "stopped", "running"]
    with Tuning.resumed(tmp_path, "asha") as process:
        _, pid = process.playing(number=4, further=300)
        os.kill(pid, signal.SIGKILL)
        code, out, err = process.end()
    assert code == 1
    trials = sweep.trials()
    assert [trials[n].state for n in range(6)] == ["finished", "diverged", "stopped", "stopped", "failed", "stopped"]
    assert trials[1].error.startswith("generator/non_saturating became nan in round 1;")
    assert trials[4].error == "its process died at once; was it killed, for want of memory?"
    assert trials[4].cause == "machine"
    assert trials[4].round >= 300
    assert sweep.read().best["trial"] == 0
    assert "1 trial failed; see: ganflow sweeps show asha" in out
    assert "(raylet)" not in out
    assert "ERROR" not in err
    for n in range(3):  # over already: untouched
        assert clock(sweep.trial(n)) == before[n]
    assert begun(sweep) == {0: 1, 1: 1, 2: 1, 3: 2, 4: 1, 5: 1}
    assert rounds_played_again(before[3], sweep.trial(3)) <= EVERY + REPORT
    assert [sweep.trial(n).read().status for n in range(6)] == [
        "finished", "failed", "stopped", "stopped", "failed", "stopped"
    ]  # fmt: skip

    # what a driver that goes on would know: the same verdicts, and the same rungs
    rule = make_scheduler(read_recipe(sweep.recipe).tune, "min", 6000)
    histories = {n: scored(sweep.trial(n), "sliced_w1_256") for n in trials}
    assert rule.remember(in_time(histories)) == {2, 3, 5}
    rungs = {round: set(map(int, seen)) for round, seen in rule.rules[0]._brackets[0]._rungs}
    assert rungs == {600: {0, 2, 3, 5}, 1800: {0, 2, 3, 5} & rungs[1800], 5400: {0}}


@pytest.mark.rare
def test_a_copy_is_the_sources_checkpoint_with_other_numbers_and_a_kill_does_not_make_it_again(tmp_path):
    recipe(tmp_path)
    changes = ("tune.scheduler=pbt", "tune.interval=0.2", "train.keep=1000", "train.evaluate_every=400")
    with Tuning.new(tmp_path, "copies", *changes) as process:
        sweep = process.sweep
        (number,) = process.until(lambda: copied(sweep))
        pids = {sweep.trial(n).read().pid for n in sweep.trials() if sweep.trial(n).is_run()}
        for pid in pids:  # at once: before it has a checkpoint of its own
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.kill()
        first = process.said()
        assert gone(pids) == []
    target, record, about = sweep.trial(number), sweep.trials()[number], sweep.trial(number).read()
    source, at = sweep.trial(record.copied[-1][0]), about.copied_at
    assert at <= record.copied[-1][1]
    assert last(target).round == at
    copy, original = (read(run.checkpoints / f"round-{at:08d}.safetensors") for run in (target, source))
    assert copy.plain == original.plain  # random numbers, the feed's place, the optimizers' numbers
    assert all(torch.equal(bits(t), bits(original.tensors[name])) for name, t in copy.tensors.items())
    with Tuning.resumed(tmp_path, "copies") as process:
        process.playing(number=number, further=EVERY)
        code, _, err = process.end()
    assert code == 0, err
    # it may have become another trial's copy since; this copy was not made again, and its numbers were played with
    again = sweep.trials()[number].copied
    assert again[: len(record.copied)] == record.copied
    assert all(again.count(copy) == 1 for copy in record.copied)
    assert f"trial {number} copies trial {record.copied[-1][0]} at round {record.copied[-1][1]}" in first + err
    for n, trial in sweep.trials().items():
        run = sweep.trial(n)
        assert run.read().copies == len(trial.copied)
        rounds = played(run)
        assert rounds == sorted(set(rounds))
        assert rounds[-1] == 6000
        lr = trial.config["optimizer.lr"]
        assert 1e-4 <= lr <= 1e-2
        assert rates(run) == {lr}, f"trial {n}"


def rates(run):
    """The learning rates that were played with since a trial became a copy."""
    return {v["lr/generator"] for r, v in values(run) if r > (run.read().copied_at or 0) and "lr/generator" in v}


def copied(sweep):
    """A trial that has just become a copy, according to its own folder: (number,), which is true for trial 0, too."""
    if not sweep.is_run():
        return None
    runs = {n: sweep.trial(n) for n in sweep.trials()}
    return next(((n,) for n, run in runs.items() if run.is_run() and run.read().copies), None)


@pytest.mark.rare
def test_mlflows_server_goes_and_comes_back(tmp_path):
    recipe(tmp_path)
    (tmp_path / "runs").mkdir()
    (port,) = free_ports(1)
    database, uri = f"sqlite:///{tmp_path}/mlflow.db", f"http://127.0.0.1:{port}"
    with Server(database, tmp_path / "runs", port=port) as server:
        server.wait_until_ready()
        changes = ("track.mlflow=true", f"track.uri={uri}", "track.wait=120", "tune.concurrency=1")
        with Tuning.new(tmp_path, "away", *changes, MLFLOW_TRACKING_URI=uri) as process:
            process.playing(1000)
            process.until(lambda: State.read(process.sweep.trial(0)).steps)
            server.kill()
            process.until(lambda: any(t.over for t in process.sweep.trials().values()))
            with Server(database, tmp_path / "runs", port=port) as again:
                again.wait_until_ready()
                code, out, err = process.end()
    assert code == 0, err
    assert "not sent" not in out + err
    told = points(database)
    assert set(told) == {"away", *(f"away trial {n}" for n in ALL)}
    for n in ALL:
        status, steps, parent = told[f"away trial {n}"]
        assert (status, parent) == ("FINISHED", told["away"][2])
        assert steps == played(process.sweep.trial(n))
