"""What is still to be sent, known without MLflow."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ganflow.runs.folders import RunFolder
from ganflow.runs.journal import Entry
from ganflow.tracking.destination import store_uri
from ganflow.tracking.follower import Unsent, unsent
from ganflow.tracking.outbox import ENDS, Point, State, default_uri, metric_name, points, samples, seen


def test_mlflow_is_not_imported() -> None:
    code = "import sys, ganflow.tracking; sys.exit(sum(m in sys.modules for m in ('mlflow', 'torch', 'PIL', 'yaml')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_points_are_new_finite_and_once() -> None:
    reported = [
        Entry(1, 1.5, {"a": 1.0, "b": math.nan}),
        Entry(2, 2.5, {"a": 2.0, "b": math.inf}),
        Entry(2, 2.6, {"a": 2.1, "c": 7.0}),
        Entry(3, 3.5, {"a": 3.0, "b": 3.0}),
    ]
    steps = {"a": 1}
    assert list(points(reported, steps)) == [
        Point("a", 2.0, 2500, 2),
        Point("c", 7.0, 2600, 2),
        Point("a", 3.0, 3500, 3),
        Point("b", 3.0, 3500, 3),
    ]
    assert steps == {"a": 1}


@pytest.mark.parametrize(
    ("key", "name"),
    [("critic/loss", "critic/loss"), ("fid@2048", "fid_2048"), ("a//b", "a/b"), ("../σ", "_"), ("/x/", "x"), ("", "_")],
)
def test_metric_names_are_ones_that_mlflow_allows(key: str, name: str) -> None:
    from mlflow.utils.validation import _validate_metric_name

    assert metric_name(key) == name
    _validate_metric_name(name)


def test_round_0_is_a_round() -> None:
    assert list(points([Entry(0, 0.5, {"a": 7.0})], {})) == [Point("a", 7.0, 500, 0)]


@pytest.mark.parametrize("name", ["run.json", "recipe.yaml", "metrics.jsonl", "samples", "plots"])
def test_a_file_that_takes_the_place_of_another_is_seen(make_run: Callable[..., RunFolder], name: str) -> None:
    """As large and as old as the one before: a journal that was rewound, and then reported the same again."""
    folder = make_run(points=1)
    file = folder.path / name
    before, times = seen(folder), file.stat()
    new = file.with_name("new")
    new.mkdir() if file.is_dir() else new.write_bytes(file.read_bytes())
    file.rename(folder.path / "old")  # kept, so that its inode is not given out again
    new.rename(file)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert file.stat().st_size == times.st_size
    assert seen(folder) != before


def test_samples_come_in_order(make_run: Callable[..., RunFolder]) -> None:
    folder = make_run(pictures=(100, 0, 50))
    (folder.samples / "notes.png").write_text("")
    (folder.samples / ".round-00000200.png").write_text("")
    assert [round for round, _ in samples(folder)] == [0, 50, 100]


def test_unsent_counts_and_reads_as_a_sentence(make_run: Callable[..., RunFolder]) -> None:
    folder = make_run(points=5, pictures=(0, 5), uri="http://nowhere:1", status="finished")
    State(uri="http://nowhere:1", steps={"critic/loss": 2}, images=[0], error="connection refused").write(folder)
    left = unsent(folder)
    beside = f"; elsewhere, where that is gone: ganflow sync {folder.path} --uri {default_uri(folder.path.parents[1])}"
    assert left == Unsent(3, 1, "http://nowhere:1", "connection refused", folder.reference(), beside)
    assert str(left) == (
        f"3 points and 1 picture not sent to http://nowhere:1: connection refused; "
        f"send later with: ganflow sync {folder.path}{beside}"
    )
    State(uri="http://nowhere:1", steps={"critic/loss": 2}, images=[0], error="it says something odd").write(folder)
    assert str(unsent(folder)).endswith(f"; send later with: ganflow sync {folder.path}")
    State(steps={"critic/loss": 5}, images=[0, 5], status="finished").write(folder)
    assert unsent(folder) is None
    State(steps={"critic/loss": 5}, images=[0, 5], status="", uri="http://nowhere:1").write(folder)
    assert str(unsent(folder)).startswith("the end of the run not sent to http://nowhere:1")


def test_an_error_is_told_also_where_nothing_has_changed_since(make_run: Callable[..., RunFolder]) -> None:
    folder = make_run(points=2, status="finished")
    State(steps={"critic/loss": 2}, status="finished", seen=seen(folder), error="no space left on the disk").write(folder)
    left = unsent(folder)
    assert left is not None
    assert left.why == "no space left on the disk"


def test_every_end_has_a_word_of_mlflows() -> None:
    assert ENDS == {"finished": "FINISHED", "stopped": "FINISHED", "interrupted": "KILLED", "killed": "KILLED",
                    "failed": "FAILED", "diverged": "FAILED"}  # fmt: skip


def test_where_points_go(make_run: Callable[..., RunFolder], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = make_run()
    assert store_uri(folder) == f"sqlite:///{tmp_path}/runs/mlflow.db"
    State(uri="http://before").write(folder)
    assert store_uri(folder) == "http://before"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://environment")
    assert store_uri(folder) == "http://environment"
    folder.update(tracking={"uri": "sqlite:///mine.db"})
    monkeypatch.chdir(tmp_path)
    assert store_uri(folder) == f"sqlite:///{tmp_path}/mine.db"
    assert store_uri(folder, "http://asked") == "http://asked"


def test_a_damaged_state_is_no_state(make_run: Callable[..., RunFolder]) -> None:
    folder = make_run()
    folder.tracking.write_text('{"uri": "http')
    assert State.read(folder) == State()
    folder.tracking.write_text('{"from": "another version"}')
    assert State.read(folder) == State()
