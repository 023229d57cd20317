"""Protocols, and what `ganflow evaluate` has found, in a real MLflow store."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ganflow.runs import evaluations
from ganflow.runs.evaluations import Evaluation
from ganflow.runs.folders import RunFolder
from ganflow.sweeps.records import SweepFolder
from ganflow.tracking import store
from ganflow.tracking.sync import SyncResult, sync

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # sqlalchemy's, about MLflow
Make = Callable[..., RunFolder]


def found(name: str, value: float | str, round: int, digest: str = "d", **more: Any) -> Evaluation:
    return {"score": name, "value": value, "seeds": 1, "protocol": {"samples": 8}, "metric": {"use": "m/x"}, "checkpoint": "c",
            "round": round, "digest": digest, "time": 0.0, **more}  # type: ignore[typeddict-item]  # fmt: skip


def the_run(uri: str) -> Any:
    (run,) = store.client(uri).search_runs(["1"])
    return run


def history(uri: str, name: str) -> list[tuple[int, float]]:
    return [(m.step, m.value) for m in store.client(uri).get_metric_history(the_run(uri).info.run_id, name)]


def test_evaluations_are_sent_once(make_run: Make, database: str) -> None:
    folder = make_run(points=2, status="finished", protocols={"f_8": {"samples": 8}})
    assert sync(folder).points == 2
    evaluations.add(folder, [found("f_8", 1.5, 20, error=0.25, floor=1.0, floor_error=0.125), found("g", 3.0, 20)])
    assert sync(folder) == SyncResult(points=5, uri=database)
    assert history(database, "eval/f_8") == [(20, 1.5)]
    assert history(database, "eval/f_8_error") == [(20, 0.25)]
    assert history(database, "eval/f_8_floor") == [(20, 1.0)]
    assert history(database, "eval/f_8_floor_error") == [(20, 0.125)]
    assert sync(folder) == SyncResult(uri=database)
    folder.tracking.unlink()  # the store is asked what it has
    assert sync(folder) == SyncResult(uri=database)
    assert history(database, "eval/f_8") == [(20, 1.5)]

    evaluations.add(folder, [found("f_8", 2.5, 10, "other")])  # of an earlier checkpoint
    assert sync(folder).points == 1
    assert sorted(history(database, "eval/f_8")) == [(10, 2.5), (20, 1.5)]
    assert the_run(database).info.status == "FINISHED"
    tags = the_run(database).data.tags
    assert json.loads(tags["ganflow.protocol.f_8"]) == {"samples": 8}
    assert json.loads(tags["ganflow.protocol.eval/f_8"]) == {"samples": 8}


def test_protocols_of_a_run_that_goes_on(make_run: Make, database: str) -> None:
    folder = make_run(points=1)
    sync(folder)
    assert not [tag for tag in the_run(database).data.tags if tag.startswith("ganflow.protocol")]
    folder.update(protocols={"f_8": {"samples": 8}})
    sync(folder)
    assert json.loads(the_run(database).data.tags["ganflow.protocol.f_8"]) == {"samples": 8}


def test_what_is_not_finite_is_left_out(make_run: Make, database: str) -> None:
    folder = make_run(points=1, status="finished")
    evaluations.add(folder, [found("f", "nan", 5), found("g", 1.0, 5, error="inf")])
    assert sync(folder).points == 2
    assert history(database, "eval/g") == [(5, 1.0)]


def test_a_damaged_file_is_the_folders_fault(make_run: Make, database: str) -> None:
    folder = make_run(points=1, status="finished")
    (folder.path / "evaluations.json").write_text("[")
    result = sync(folder)
    assert "evaluations.json is damaged" in result.error
    assert result.points == 1  # all else is sent, and the run has ended there
    assert the_run(database).info.status == "FINISHED"
    (folder.path / "evaluations.json").unlink()
    assert sync(folder) == SyncResult(uri=database)


def test_what_was_asked_again_and_answered_alike_is_not_sent_again(make_run: Make, database: str) -> None:
    folder = make_run(points=1, status="finished")
    (first,) = evaluations.add(folder, [found("f_8", 1.5, 20, error=0.25)])
    evaluations.add(folder, [found("f_8", 2.5, 10, "other")])
    assert sync(folder).points == 4
    assert evaluations.add(folder, [found("f_8", 1.5, 20, error=0.25)]) == [first]
    assert [each["round"] for each in evaluations.read(folder)] == [10, 20]  # the latest last
    assert sync(folder) == SyncResult(uri=database)
    evaluations.add(folder, [found("f_8", 1.25, 20, error=0.25)])  # another answer
    assert sync(folder).points == 2
    assert sorted(history(database, "eval/f_8")) == [(10, 2.5), (20, 1.25), (20, 1.5)]


def test_changes_of_a_recipe_are_tags_of_the_rounds_after_which_they_were_made(make_run: Make, database: str) -> None:
    folder = make_run(points=1)
    changes = [("optimizer.critic.lr: 0.001 → 0.0005", 40), ("train.rounds: 100 → 200", 40), ("train.keep: 3 → 4", 80)]
    amended = [{"time": "2026-01-02T03:04:05+00:00", "changed": [line], "round": round} for line, round in changes]
    folder.update(amended=amended)
    sync(folder)
    tags = the_run(database).data.tags
    assert tags["ganflow.changes.40"] == f"{changes[0][0]}; {changes[1][0]}"
    assert tags["ganflow.changes.80"] == changes[2][0]
    folder.update(amended=[*amended[:2], {**amended[2], "round": 60}])  # as a run that goes on from round 60 does
    sync(folder)
    tags = the_run(database).data.tags
    assert sorted(tag for tag in tags if tag.startswith("ganflow.changes")) == ["ganflow.changes.40", "ganflow.changes.60"]


def test_tags_of_alarms_that_a_resumed_run_has_not_had_are_taken_back(make_run: Make, database: str) -> None:
    folder = make_run(points=1)
    early, late = ({"sign": sign, "round": round, "text": sign} for sign, round in (("collapse", 40), ("z ignored", 80)))
    folder.update(alarms=[early, late])
    sync(folder)
    tags = the_run(database).data.tags
    assert (tags["ganflow.alarms"], tags["ganflow.alarm.z ignored"]) == ("collapse, z ignored", "round 80: z ignored")
    folder.update(alarms=[early])  # as a run that goes on from round 60 does
    sync(folder)
    tags = the_run(database).data.tags
    assert tags["ganflow.alarms"] == "collapse"
    assert [tag for tag in tags if tag.startswith("ganflow.alarm.")] == ["ganflow.alarm.collapse"]
    folder.update(alarms=[])
    sync(folder)
    assert not [tag for tag in the_run(database).data.tags if tag.startswith("ganflow.alarm")]


SMALL = """\
name: small
data: {use: gaussians, layout: ring, samples: 100}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 4, depth: 1}
critic: {use: mlp, width: 4, depth: 1}
loss: wasserstein
optimizer: adam
metrics: [{use: sliced_wasserstein, samples: 16, projections: 4}]
train: {rounds: 2, batch_size: 4, threads: 1, compile: never, report_every: 1}
track: {mlflow: false, log_model: false, images: false}
"""


@pytest.mark.parametrize("tracked", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_seeds_have_one_parent(database: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, tracked: bool) -> None:
    """A real `ganflow run --seeds 2`, sent afterwards, or by its own process."""
    from ganflow.cli.main import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(SMALL)
    assert main(["run", "small.yaml", "--seeds", "2", "-q", f"track.mlflow={str(tracked).lower()}"]) == 0
    folder = SweepFolder(tmp_path / "runs" / "small-seeds-1")
    assert tracked or not sync(folder).error
    runs = store.client(database).search_runs(["1"])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if run not in parents]
    assert (len(parents), len(children)) == (1, 2)
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parents[0].info.run_id}
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert sorted(run.data.tags["ganflow.seed"] for run in children) == ["0", "1"]
    assert sorted(run.data.params.get("train.seed", "default") for run in children) == ["1", "default"]
    scores = [run.data.metrics["sliced_w1_16"] for run in children]
    assert parents[0].data.metrics["sliced_w1_16_mean"] == pytest.approx(sum(scores) / 2)
    assert parents[0].data.metrics["sliced_w1_16_sd"] == pytest.approx(abs(scores[0] - scores[1]) / 2**0.5)
    assert parents[0].data.tags["mlflow.source.name"] == "ganflow run small-seeds-1"
    assert all("ganflow.protocol.sliced_w1_16" in run.data.tags for run in children)
