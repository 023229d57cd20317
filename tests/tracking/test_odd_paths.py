"""Runs folders whose names mean something in an address."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url
from tracking_helpers import draw, history, report

from ganflow.runs import folders
from ganflow.tracking.outbox import State, default_uri, sqlite_file, sqlite_uri
from ganflow.tracking.sync import sync

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # sqlalchemy's, about MLflow


@pytest.mark.parametrize("name", ["x#y", "x?y=z", "x%20y", "new\nline", "a b&c;d'e\"é"])
def test_everything_lands_in_the_folder(name: str, tmp_path: Path, template: Path) -> None:
    root = tmp_path / name
    folder = folders.create(root, "ring")
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


def test_files_and_addresses() -> None:
    for path in ("/a b/c?d%20#e.db", "/plain/mlflow.db", "/new\nline é.db"):
        assert sqlite_file(sqlite_uri(Path(path))) == Path(path)
        assert make_url(sqlite_uri(Path(path))).database == path  # what MLflow opens
    assert sqlite_uri(Path("/plain/my runs/mlflow.db")) == "sqlite:////plain/my runs/mlflow.db"
    assert sqlite_file("sqlite:///a.db?timeout=60") == Path("a.db")
