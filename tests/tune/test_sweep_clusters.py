"""Sweeps on clusters: GPUs that are shared out, nodes that go, ranks that die."""

import os
import signal
import time
from pathlib import Path

import pytest
from cluster_helpers import OwnCluster
from sweep_helpers import EVERY, REPORT, Tuning, clock, gone, recipe, rounds_played_again

pytestmark = pytest.mark.slow

WITNESS = """
import os
from pathlib import Path
from ganflow import hookimpl, key, settings

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
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    with OwnCluster(cpus=0, dashboard=False) as cluster:
        cluster.site(site, gf_witness="1.0")
        (site / "gf_witness.py").write_text(WITNESS)
        cluster.add("--num-cpus", 8, "--num-gpus", 4, PYTHONPATH=path)
        yield cluster, cluster.environment(PYTHONPATH=path)


def on(cluster, folder, name, seen, *changes):
    cluster, env = cluster
    recipe(folder)
    seen.mkdir()
    more = f"+modifiers={{use: witness, folder: {seen}}}"
    return Tuning.new(folder, name, "train.device=cpu", more, *changes, options=["--address", cluster.head], **env)


def said_by(seen):
    """Process id → what it sees."""
    return {int(file.name): text for file in seen.iterdir() if (text := file.read_text())}


def test_half_a_gpu_for_each_of_four_trials(four_gpus, tmp_path):
    seen = tmp_path / "seen"
    changes = ("tune.resources={cpus: 1, gpus: 0.5}", "train.rounds=1000000")
    with on(four_gpus, tmp_path, "halves", seen, *changes) as process:
        process.until(lambda: len(said_by(seen)) == 4)
        process.send(signal.SIGTERM)
        assert process.end()[0] == 143
    gpus = sorted(said_by(seen).values())
    assert len(gpus) == 4
    assert len(set(gpus)) == 2
    assert gpus[0] == gpus[1]
    assert all(gpu in "0123" for gpu in gpus)


def test_two_gpus_for_each_of_two_trials_and_a_rank_that_is_killed(four_gpus, tmp_path):
    seen = tmp_path / "seen"
    changes = ("tune.resources={cpus: 1, gpus: 2}", "tune.trials=2", "train.rounds=3000")
    with on(four_gpus, tmp_path, "pairs", seen, *changes) as process:
        process.until(lambda: len(said_by(seen)) == 4)
        assert sorted(said_by(seen).values()) == list("0123")
        number, pid = process.playing(800)
        leaders = {process.sweep.trial(n).about()["pid"] for n in range(2)}
        rank = next(p for p in said_by(seen) if p not in leaders and same_trial(p, pid, seen))
        os.kill(rank, signal.SIGKILL)
        before = clock(process.sweep.trial(number))
        code, out, err = process.end()
    print(out, err)
    assert code == 0
    assert 0
    assert "2 trials are over" in out
    assert rounds_played_again(before, process.sweep.trial(number)) <= EVERY + REPORT
    assert process.sweep.trial(number).about()["workers"] == 2


def same_trial(rank, leader, seen):
    return True


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
            t = time.time()
            assert gone([pid]) == []
            print("gone after", time.time() - t)
            before = clock(process.sweep.trial(number))
            code, out, err = process.end()
        print(out, err)
        print(process.sweep.records.read_text())
        assert code == 0
    assert rounds_played_again(before, process.sweep.trial(number)) <= EVERY + REPORT
    assert 0


def ancestors(pid):
    """A process, its parent, its parent's parent, …"""
    found = []
    while pid > 1:
        found.append(pid)
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return found
