"""How sweeps start, or do not, with real Ray and a real store of MLflow; and what the best so far was meanwhile."""

import itertools
import os
import signal
import subprocess
import sys
import time

import pytest
from cluster_helpers import OwnCluster
from sweep_helpers import Tuning, recipe, resume, tune

from ganflow.runs.journal import entries
from ganflow.sweeps import table
from ganflow.sweeps.records import SweepFolder
from ganflow.tracking import store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # sqlalchemy's, about MLflow
]
TRACKED = ("track.mlflow=true", "track.wait=120")


def client_of(folder):
    return store.client(f"sqlite:///{folder}/runs/mlflow.db")


def parents(client):
    """The runs of sweeps themselves, by name."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    found = client.search_runs(experiments)
    return {run.info.run_name: run for run in found if "mlflow.parentRunId" not in run.data.tags}


def test_a_sweep_that_does_not_start_leaves_nothing_in_mlflow(tmp_path):
    recipe(tmp_path)
    with OwnCluster(cpus=1, dashboard=False) as cluster:
        options, env = ["--address", cluster.head], cluster.environment()
        code, _, err = tune(tmp_path, "big", *TRACKED, "tune.resources={cpus: 64}", options=options, **env)
        assert (code, err.splitlines()[-1]) == (
            2, "ganflow: command line: tune.resources: a trial wants 64 CPUs; this machine has 1"
        )  # fmt: skip
        assert not (tmp_path / "runs" / "mlflow.db").exists()
        assert not (tmp_path / "runs" / "big").exists()
        # and one that goes on: MLflow says of it what it said before
        with Tuning.new(tmp_path, "s", *TRACKED, "tune.trials=2", "train.rounds=1000000") as process:
            process.playing(200)
            process.send(signal.SIGTERM)
            assert process.end()[0] == 143
        client = client_of(tmp_path)
        deadline = time.monotonic() + 60
        while (before := parents(client)["s"].info).status == "RUNNING" and time.monotonic() < deadline:
            time.sleep(0.5)
        assert before.status == "KILLED"
        log = (tmp_path / "runs" / "s" / "tracking.log").read_bytes()
        code, _, err = resume(tmp_path, "s", "--address", f"127.0.0.1:{cluster.port + 1}", **env)
        assert code == 2
        assert "no Ray cluster answers at 127.0.0.1:" in err
        after = parents(client)["s"].info
        assert (after.status, after.end_time) == (before.status, before.end_time)
        assert (tmp_path / "runs" / "s" / "tracking.log").read_bytes() == log


ASHA = ("tune.scheduler=asha", "tune.grace=0.1", "tune.reduction=2", "tune.trials=6", "train.rounds=1500",
        "train.evaluate_every=100")  # fmt: skip


@pytest.mark.rare
def test_the_best_so_far_never_gets_worse_where_trials_are_stopped_early(tmp_path):
    recipe(tmp_path)
    code, _, err = tune(tmp_path, "a", *TRACKED, *ASHA)
    assert code == 0, err
    sweep = SweepFolder(tmp_path / "runs" / "a")
    trials = sweep.trials()
    assert {"finished", "stopped"} <= {trial.state for trial in trials.values()}
    noted = [(entry.round, entry.values["best"]) for entry in entries(sweep.journal)]
    scores = [score for _, score in noted]
    assert all(b <= a for a, b in itertools.pairwise(scores))
    finished = {number: trial.score for number, trial in trials.items() if trial.state == "finished"}
    number = min(finished, key=lambda n: (finished[n], n))
    assert set(scores) <= set(finished.values())
    assert (sweep.read().best["trial"], sweep.read().best["score"], scores[-1]) == (number, finished[number], finished[number])
    assert f"trial {number}, with sliced_w1_256" in sweep.best.read_text()
    assert f"best {table.number(finished[number])} (trial {number})" in err.splitlines()[-1]
    client = client_of(tmp_path)
    parent = parents(client)["a"]
    assert [(m.step, m.value) for m in client.get_metric_history(parent.info.run_id, "best")] == noted
    assert parent.data.tags["ganflow.best.trial"] == str(number)


KILLED = """
import os, sys, threading, time
from pathlib import Path
from ganflow.errors import GanflowError
from ganflow.cluster.joining import connect

def children():
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            name = (entry / "cmdline").read_bytes().decode()
        except OSError:
            continue
        if parent == os.getpid():
            yield int(entry.name), name

def killer(times):
    killed = set()
    while len(killed) < times:
        for pid, name in children():
            if name.partition("\\0")[0].endswith("/raylet") and pid not in killed:
                os.kill(pid, 9)
                killed.add(pid)
        time.sleep(0.01)

threading.Thread(target=killer, args=(int(sys.argv[1]),), daemon=True).start()
try:
    with connect("local"):
        import ray
        print("up", ray.get(ray.remote(num_cpus=0)(lambda: 7).remote()), sum("/gcs_server" in name for _, name in children()))
except GanflowError as error:
    print("REFUSED", error)
print("left", sum("/gcs_server" in name or "/raylet" in name for _, name in children()))
"""


def started(times, *before):
    env = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    done = subprocess.run(
        [*before, sys.executable, "-c", KILLED, str(times)], capture_output=True, text=True, timeout=400, env=env
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_ray_whose_node_died_at_once_is_started_again():
    assert started(1) == ["up 7 1", "left 0"]  # of the first start nothing is left
