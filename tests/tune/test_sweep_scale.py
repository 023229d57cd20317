"""Many trials at once: all room of a large cluster is used. The trials sleep; they are those of tests/benchmarks/scale.py, which
prints figures of larger clusters."""

import sys
from pathlib import Path

import pytest
from cluster_helpers import OwnCluster
from sweep_helpers import recipe

from ganflow.tune import driver, trial
from ganflow.tune.plan import begin, make_plan

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

from scale import CHANGES, PATIENT, Sleeper, at_once, spans_of


@pytest.mark.slow
@pytest.mark.parametrize(
    ("nodes", "resources", "room"),
    [(["--num-cpus", 24], "{cpus: 1}", 24), (["--num-cpus", 8, "--num-gpus", 4], "{cpus: 0.1, gpus: 0.25}", 16)],
)
def test_all_room_is_used(nodes, resources, room, tmp_path, monkeypatch):
    monkeypatch.setattr(trial, "Trial", Sleeper)
    with OwnCluster(cpus=0, before=PATIENT, dashboard=False) as cluster:
        cluster.add(*nodes)
        for name, value in cluster.environment().items():
            monkeypatch.setenv(name, value)
        plan = make_plan(recipe(tmp_path), [*CHANGES, f"tune.trials={4 * room}", f"tune.resources={resources}"])
        sweep = begin(plan, tmp_path / "runs", "many")
        assert driver.go(sweep, plan, cluster.head, quiet=True).status == "finished"
    assert {t.state for t in sweep.trials().values()} == {"finished"}
    spans = spans_of(sweep.path)
    assert len(spans) == 4 * room
    assert max(at_once(spans, begun) for begun, _ in spans) == room
