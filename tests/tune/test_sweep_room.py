"""How many trials run at once, counted by their own processes and journals; and what a searcher knows when it is asked."""

import json
import os
import signal
import subprocess
import sys

import pytest
from cluster_helpers import OwnCluster
from sweep_helpers import TINY, Tuning, middle, recipe, records, tune

from ganflow.runs.journal import entries
from ganflow.sweeps.records import SweepFolder

FOREVER = "train.rounds=100000000"


def at_once(sweep):
    """The trials that are playing, by their processes."""
    if not sweep.is_run():
        return {}
    pids = {n: middle(sweep, n) for n in sweep.trials()}
    return {n: pid for n, pid in pids.items() if pid is not None and os.path.exists(f"/proc/{pid}")}


def most_at_once(sweep):
    """How many trials reported within the same time, at most."""
    spans = [[e.time for e in entries(sweep.trial(n).journal)] for n in sweep.trials()]
    return max(sum(min(span) <= at <= max(span) for span in spans) for at in map(min, spans))


def processes_of(sweep):
    return {sweep.trial(n).read().pid for n in sweep.trials() if sweep.trial(n).is_run()}


@pytest.fixture(scope="module")
def two_cores():
    """A cluster on which nothing else goes on."""
    with OwnCluster(cpus=2, dashboard=False) as cluster:
        yield cluster


@pytest.mark.rare
def test_short_trials_run_on_both_cores(two_cores, tmp_path):
    recipe(tmp_path)
    changes = ("tune.trials=10", "tune.resources={cpus: 1}", "train.rounds=600")
    code, _, err = tune(tmp_path, "two", *changes, options=["--address", two_cores.head, "-q"], **two_cores.environment())
    assert code == 0, err
    sweep = SweepFolder(tmp_path / "runs" / "two")
    assert len(sweep.trials()) == 10
    assert most_at_once(sweep) == 2
    assert len(processes_of(sweep)) == 2


@pytest.mark.rare
def test_packed_ones_too(two_cores, tmp_path):
    recipe(tmp_path)
    changes = ("tune.resources={cpus: 1}", "tune.pack=2", "tune.trials=8", "train.rounds=1500")
    code, _, err = tune(tmp_path, "more", *changes, options=["--address", two_cores.head, "-q"], **two_cores.environment())
    assert code == 0, err
    sweep = SweepFolder(tmp_path / "runs" / "more")
    assert len(processes_of(sweep)) == 2
    assert most_at_once(sweep) == 4


@pytest.mark.slow
def test_nodes_that_join_are_used_and_one_that_goes_is_waited_for(tmp_path):
    recipe(tmp_path)
    with OwnCluster(cpus=0, dashboard=False) as cluster:
        cluster.add("--num-cpus", 1)
        changes = ("tune.resources={cpus: 1}", "tune.trials=7", "tune.retries=5", "tune.search=optuna", FOREVER)
        with Tuning.new(tmp_path, "j", *changes, options=["--address", cluster.head], **cluster.environment()) as process:
            sweep = process.sweep

            def playing(count, proposed):
                found = process.until(lambda: len(at_once(sweep)) == count and len(sweep.trials()) >= proposed and at_once(sweep))
                assert len(sweep.trials()) == proposed
                return found

            playing(1, 2)
            cluster.add("--num-cpus", 2)
            before = playing(3, 4)
            node = cluster.processes[-1]
            os.killpg(node.pid, signal.SIGKILL)
            left = playing(1, 4)
            assert left.items() <= before.items()
            cluster.add("--num-cpus", 3)
            again = playing(4, 5)
            assert set(before) <= set(again)  # those that were lost go on before any that is new
            process.send(signal.SIGTERM)
            assert process.end()[0] == 143


ASKED = """
import json, sys
from ganflow.cli.main import main
from ganflow.tune.search import OptunaSearch

propose = OptunaSearch.propose

def noted(self, number, passed=0):
    with open("asked.jsonl", "a") as file:
        known = self.study.study.get_trials(deepcopy=False)
        print(json.dumps([number, sorted(t.user_attrs["ganflow.trial"] for t in known if t.state.is_finished())]), file=file)
    return propose(self, number, passed)

OptunaSearch.propose = noted
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.rare
def test_what_optuna_knows_when_it_is_asked(two_cores, tmp_path):
    """A proposal is made as soon as all trials before it have got resources or are over: all but those that play are known."""
    recipe(tmp_path, TINY.replace("rounds: 6000", "rounds: 600"))
    script = tmp_path / "asked.py"
    script.write_text(ASKED)
    slots = 4
    changes = ["tune.search=optuna", "tune.trials=16", "tune.resources={cpus: 0.5}"]
    command = [sys.executable, script, "tune", "tiny.yaml", "--name", "o", "-q", "--address", two_cores.head, *changes]
    subprocess.run(list(map(str, command)), cwd=tmp_path, check=True, env=two_cores.environment(), stdout=subprocess.DEVNULL)
    asked = dict(json.loads(line) for line in (tmp_path / "asked.jsonl").read_text().splitlines())
    assert sorted(asked) == [*range(16), 16] or sorted(asked) == list(range(16))
    for number in range(16):
        assert number - slots <= len(asked[number]) <= number, asked
    # by the sweep's records, too: what was over when each was written down
    over = 0
    for line in records(SweepFolder(tmp_path / "runs" / "o")):
        if "config" in line:
            assert over == len(asked[line["trial"]])
        over += line.get("state") == "finished"
    assert over == 16
