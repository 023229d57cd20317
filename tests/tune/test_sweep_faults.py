"""Sweeps that are hurt, for real: killed, interrupted, robbed of processes, nodes and servers."""

import os
import signal

import pytest
from sweep_helpers import (
    EVERY,
    REPORT,
    Tuning,
    assert_same_sweep,
    begun,
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
)

from ganflow.recipe import read_recipe
from ganflow.tune.memory import in_time, scored
from ganflow.tune.schedulers import make_scheduler

pytestmark = pytest.mark.slow
ALL = range(4)


def clocks(sweep):
    return {n: clock(sweep.trial(n)) for n in sweep.trials()}


def points(folder, metric):
    """(status, steps of a metric) of every run that MLflow has, by the run's name."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/runs/mlflow.db")
    (experiment,) = [e for e in client.search_experiments() if e.name == "ganflow"]
    found = {}
    for run in client.search_runs([experiment.experiment_id]):
        name = run.data.tags["mlflow.runName"]
        assert name not in found, "a run is there twice"
        found[name] = run.info.status, [m.step for m in client.get_metric_history(run.info.run_id, metric)], run
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
    assert sweep.about()["status"] == "interrupted"
    interrupted = [n for n, t in sweep.trials().items() if t.state == "waiting" and sweep.trial(n).is_run()]
    assert interrupted
    for n in interrupted:
        about = sweep.trial(n).about()
        assert about["status"] == "interrupted" or rounds_played_again(before[n], sweep.trial(n)) == 0  # or not begun again
        if about["status"] == "interrupted":
            assert about["round"] == last(sweep.trial(n)).round == played(sweep.trial(n))[-1]
    for n, at in before.items():
        again = rounds_played_again(at, sweep.trial(n))
        assert again <= (0 if n in over else EVERY + REPORT), f"trial {n}"
    before = clocks(sweep)

    # a trial's process dies; then Ctrl-C, which a terminal sends to everyone
    with Tuning.resumed(tmp_path, "hurt") as process:
        number, pid = process.playing()
        os.kill(pid, signal.SIGKILL)
        process.until(lambda: clock(sweep.trial(number)) and sweep.trial(number).about()["pid"] != pid)
        process.playing(number=number, further=400)
        os.killpg(process.popen.pid, signal.SIGINT)
        code, out, err = process.end()
    assert code == 130
    assert f"trial {number} waiting  its process died; it is begun again from its last checkpoint" in err

    code, out, err = resume(tmp_path, "hurt")
    assert code == 0, err
    assert "4 trials are over" in out
    assert_same_sweep(sweep, undisturbed)
    assert all(times <= 5 for times in begun(sweep).values())
    ends = [r["trial"] for r in records(sweep) if r.get("state") == "finished"]
    assert sorted(ends) == list(ALL)

    told = points(tmp_path, "critic/non_saturating")
    assert len(told) == 5
    for n in ALL:
        status, steps, run = told[f"tiny {sweep.trial(n).id}"]
        assert status == "FINISHED"
        assert steps == played(sweep.trial(n))


ASHA = (
    "tune.scheduler=asha",
    "tune.search=grid",
    "tune.concurrency=1",
    "tune.retries=0",
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
        number, pid = process.playing(number=4, further=300)
        os.kill(pid, signal.SIGKILL)
        code, out, err = process.end()
    assert code == 1
    trials = sweep.trials()
    assert [trials[n].state for n in range(6)] == ["finished", "diverged", "stopped", "stopped", "failed", "stopped"]
    assert trials[1].error.startswith("generator/non_saturating became nan in round 1;")
    assert trials[4].error == "its process died"
    assert trials[4].round >= 300
    assert sweep.about()["best"]["trial"] == 0
    assert "1 trial failed; see: ganflow sweeps show asha" in out
    assert "(raylet)" not in out
    assert "ERROR" not in err
    for n in range(3):  # over already: untouched
        assert clock(sweep.trial(n)) == before[n]
    assert begun(sweep) == {0: 1, 1: 1, 2: 1, 3: 2, 4: 1, 5: 1}
    assert rounds_played_again(before[3], sweep.trial(3)) <= EVERY + REPORT
    assert [sweep.trial(n).about()["status"] for n in range(6)] == [
        "finished", "failed", "stopped", "stopped", "failed", "stopped"
    ]  # fmt: skip

    # what a driver that goes on would know: the same verdicts, and the same rungs
    rule = make_scheduler(read_recipe(sweep.recipe).tune, "min", 6000)
    histories = {n: scored(sweep.trial(n), "sliced_w1_256") for n in trials}
    assert rule.remember(in_time(histories)) == {2, 3, 5}
    rungs = {round: set(map(int, seen)) for round, seen in rule.rule._brackets[0]._rungs}
    assert rungs == {600: {0, 2, 3, 5}, 1800: {0, 2, 3, 5} & rungs[1800], 5400: {0}}
