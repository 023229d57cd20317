"""Run folders made by hand, and MLflow stores that are copied instead of made: a fresh one takes seconds."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from port_helpers import free_ports
from tracking_helpers import draw, report

from ganflow.runs.folders import RunFolder
from ganflow.runs.new import create

RECIPE = """\
name: ring
data: {use: digits, size: 16}
modifiers:
- {use: weight_clip, c: 0.01}
train: {rounds: 100, betas: [0.5, 0.9]}
"""
ABOUT: dict[str, Any] = {
    "status": "running",
    "created": "2026-01-02T03:04:05+00:00",
    "round": 0,
    "rounds": 100,
    "seed": 7,
    "versions": {"ganflow": "0.1.0", "torch": "2.13.0"},
    "plugins": {"wgan": {"distribution": "ganflow", "version": "0.1.0"}},
    "git": {"commit": "c0ffee" * 6, "dirty": False},
    "data": {
        "name": "digits",
        "fingerprint": "0123456789abcdef",
        "size": 1500,
        "source": "scikit-learn",
        "fields": {"real": [1, 16, 16]},
        "ranges": {"real": [-1, 1]},
    },
}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., RunFolder]:
    """A run's folder as the runner leaves it: `make_run(points, pictures, status=…, uri=…)`."""

    def make(points: int = 0, pictures: tuple[int, ...] = (), uri: str | None = None, **about: Any) -> RunFolder:
        folder = create(tmp_path / "runs", "ring")
        folder.recipe.write_text(RECIPE)
        tracking = {"mlflow": True, "uri": uri, "experiment": None, "run_name": None, "images": True, "log_model": False}
        folder.update(**{**ABOUT, "tracking": tracking, **about})
        report(folder, 1, points)
        for round in pictures:
            draw(folder, round)
        return folder

    return make


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database: of the 4 s that a first run takes, 2.5 s go into MLflow's 60 migrations of it."""
    from ganflow.tracking import store

    file = tmp_path_factory.mktemp("template") / "mlflow.db"
    store.client(f"sqlite:///{file}")
    return file


@pytest.fixture
def database(template: Path, tmp_path: Path) -> str:
    """A store where the runs of `make_run` look for theirs; its URI."""
    (tmp_path / "runs").mkdir(exist_ok=True)
    shutil.copyfile(template, tmp_path / "runs" / "mlflow.db")
    return f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}"


@pytest.fixture
def port() -> int:
    """A port that nothing listens on."""
    return free_ports(1)[0]
