"""Runs folders whose names mean something in an address."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url
from tracking_helpers import SEARCHED, draw, history, report

from ganflow.runs.new import create
from ganflow.tracking.outbox import State, default_uri, sqlite_file, sqlite_uri
from ganflow.tracking.sync import sync

NOT_UTF8 = (
    "the path is not UTF-8, and checkpoints cannot be read there; rename the folder, or choose another one for runs with --runs"
)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # sqlalchemy's, about MLflow


@pytest.mark.parametrize("name", ["x#y", "x?y=z", "x%20y", "new\nline", "a b&c;d'e\"é"])
def test_everything_lands_in_the_folder(name: str, tmp_path: Path, template: Path) -> None:
    root = tmp_path / name
    folder = create(root, "ring")
    folder.recipe.write_text("name: ring\n")
    folder.update(status="finished", tracking={"mlflow": True, "log_model": False, "images": True})
    report(folder, 1, 3)
    draw(folder, 3)
    shutil.copyfile(template, root / "mlflow.db")
    result = sync(folder)
    assert (result.error, result.points, result.images) == ("", 3, 1)
    run_id = State.read(folder).run_id
    assert history(default_uri(root), run_id) == [(1, 1.0), (2, 2.0), (3, 3.0)]
    assert list((root / "mlartifacts").rglob("samples*.png"))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert sync(folder).points == 0


@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize("words", [("run",), ("run", "--seeds", "2"), ("tune",), ("tune", "--dry-run")], ids=" ".join)
def test_a_folder_that_is_not_utf8_is_refused_before_training(words, tracked, command, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(SEARCHED)
    runs, mlflow = os.fsdecode(b"x\xff\xfe"), f"track.mlflow={str(tracked).lower()}"
    said = command.refused(words[0], "r.yaml", *words[1:], "--runs", runs, mlflow)
    assert said == rf"ganflow: {tmp_path}/x\udcff\udcfe: {NOT_UTF8}"
    assert [path.name for path in tmp_path.iterdir()] == ["r.yaml"]


@pytest.mark.parametrize("words", [("sync",), ("sample",), ("report",), ("runs", "show"), ("run", "--resume")])
def test_a_run_that_lies_in_one_is_not_opened(words, command, make_run, tmp_path: Path) -> None:
    folder = make_run(points=1, status="finished")
    there = tmp_path / os.fsdecode(b"x\xff") / "ring" / folder.id
    shutil.copytree(folder.path, there)
    assert command.refused(*words, there) == rf"ganflow: {tmp_path}/x\udcff/ring/{folder.id}: {NOT_UTF8}"
    assert command.refused("ui", "--no-browser", "--runs", there.parents[1]) == rf"ganflow: {tmp_path}/x\udcff: {NOT_UTF8}"
    assert there.name in command("runs", "--runs", there.parents[1])[1]


def test_files_and_addresses() -> None:
    odd = Path(os.fsdecode(b"/x\xff/mlflow.db"))
    assert sqlite_file(sqlite_uri(odd)) == odd
    for path in ("/a b/c?d%20#e.db", "/plain/mlflow.db", "/new\nline é.db"):
        assert sqlite_file(sqlite_uri(Path(path))) == Path(path)
        assert make_url(sqlite_uri(Path(path))).database == path  # what MLflow opens
    assert sqlite_uri(Path("/plain/my runs/mlflow.db")) == "sqlite:////plain/my runs/mlflow.db"
    assert sqlite_file("sqlite:///a.db?timeout=60") == Path("a.db")
