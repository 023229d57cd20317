"""Many trials at once: all room of a cluster is used. The trials sleep; they are those of tests/benchmarks/scale.py, which
prints the figures of larger clusters."""

import sys
from pathlib import Path

import pytest
from cluster_helpers import OwnCluster
from sweep_helpers import recipe

from ganflow.tune import driver, trial
from ganflow.tune.plan import begin, make_plan

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

import scale

ROOM = 12


@pytest.mark.rare
def test_all_room_is_used(tmp_path, monkeypatch):
    from ray import cloudpickle

    monkeypatch.setattr(trial, "Trial", scale.Sleeper)
    monkeypatch.setenv("SLEEP", "1")
    with OwnCluster(cpus=ROOM, before=scale.PATIENT, dashboard=False) as cluster:
        for name, value in cluster.environment().items():
            monkeypatch.setenv(name, value)
        cloudpickle.register_pickle_by_value(scale)  # its processes import nothing of the tests
        plan = make_plan(recipe(tmp_path), [*scale.CHANGES, f"tune.trials={4 * ROOM}", "tune.resources={cpus: 1}"])
        sweep = begin(plan, tmp_path / "runs", "many")
        assert driver.go(sweep, plan, cluster.head, quiet=True).status == "finished"
        cloudpickle.unregister_pickle_by_value(scale)
    assert {t.state for t in sweep.trials().values()} == {"finished"}
    spans = scale.spans_of(sweep.path)
    assert len(spans) == 4 * ROOM
    at_once = max(scale.at_once(spans, begun) for begun, _ in spans)
    assert scale.FULL * ROOM <= at_once <= ROOM  # on a busy machine one may always be between two trials
