"""Sweeps on clusters: GPUs that are shared out, nodes that go, ranks that die."""

import os
import re
import signal
from pathlib import Path

import pytest
from cluster_helpers import OwnCluster
from sweep_helpers import EVERY, REPORT, Tuning, begun, clock, gone, recipe, rounds_played_again

pytestmark = pytest.mark.slow

WITNESS = """
import os
from pathlib import Path
from ganflow import hookimpl, key, settings

GANFLOW_CONTRACT = 2

@settings
class Witness:
    folder: str = key("", "where to write which GPUs each process sees")

    @hookimpl
    def run_started(self, game):
        (Path(self.folder) / str(os.getpid())).write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "none"))

@hookimpl
def register(offer):
    offer("modifier", "witness", Witness)
"""


@pytest.fixture(scope="module")
def four_gpus(tmp_path_factory):
    """A cluster with four GPUs that are not there, and a plugin of ours."""
    site = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)
        with OwnCluster(cpus=0, dashboard=False) as cluster:
            cluster.site(site, gf_witness="1.0")
            (site / "gf_witness.py").write_text(WITNESS)
            cluster.add("--num-cpus", 8, "--num-gpus", 4)
            yield cluster, cluster.environment()


def on(cluster, folder, name, seen, *changes):
    cluster, env = cluster
    recipe(folder)
    seen.mkdir()
    more = f"+modifiers={{use: witness, folder: {seen}}}"
    return Tuning.new(folder, name, "train.device=cpu", more, *changes, options=["--address", cluster.head], **env)


def said_by(seen):
    """Process id → what it sees."""
    return {int(file.name): text for file in seen.iterdir() if (text := file.read_text())}


@pytest.mark.rare
def test_two_gpus_for_each_of_two_trials_and_a_rank_that_is_killed(four_gpus, tmp_path):
    seen = tmp_path / "seen"
    changes = ("tune.resources={cpus: 1, gpus: 2}", "tune.trials=2", "train.rounds=3000")
    with on(four_gpus, tmp_path, "pairs", seen, *changes) as process:
        process.until(lambda: len(said_by(seen)) == 4)
        assert sorted(said_by(seen).values()) == list("0123")
        process.playing(800)
        runs = [process.sweep.trial(n) for n in range(2)]
        leaders = {run.read().pid for run in runs}
        os.kill(next(pid for pid in said_by(seen) if pid not in leaders), signal.SIGKILL)
        before = list(map(clock, runs))
        code, out, err = process.end()
    assert code == 0, err
    assert "2 trials are over" in out
    (hurt,) = re.findall(r"trial (\d) waiting  worker 1 of 2 died.*; it is begun again from its last checkpoint", err)
    assert begun(process.sweep) == {int(hurt): 2, 1 - int(hurt): 1}
    assert "ganflow run --resume" not in err
    for run, at in zip(runs, before, strict=True):
        assert rounds_played_again(at, run) <= EVERY + REPORT
        assert run.read().workers == 2


def test_a_node_is_lost(tmp_path):
    recipe(tmp_path)
    with OwnCluster(cpus=0, dashboard=False) as cluster:
        cluster.add("--num-cpus", 1)
        cluster.add("--num-cpus", 1)
        options, env = ["--address", cluster.head], cluster.environment()
        with Tuning.new(tmp_path, "nodes", "tune.trials=2", "tune.resources={cpus: 1}", options=options, **env) as process:
            number, pid = process.playing(1500)
            node = next(p for p in cluster.processes[1:] if p.pid in ancestors(pid))
            os.killpg(node.pid, signal.SIGKILL)
            assert gone([pid]) == []
            before = clock(process.sweep.trial(number))
            code, out, err = process.end()
    assert code == 0, err
    assert "2 trials are over" in out
    assert f"trial {number} waiting  its process" in err
    assert "it is begun again from its last checkpoint" in err
    assert not any(word in out + err for word in ("Actor", "Socket", "raylet", "ERROR", "WARN"))
    assert rounds_played_again(before, process.sweep.trial(number)) <= EVERY + REPORT
    assert begun(process.sweep) == {number: 2, 1 - number: 1}


def ancestors(pid):
    """A process, its parent, its parent's parent, …"""
    found = []
    while pid > 1:
        found.append(pid)
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return found
