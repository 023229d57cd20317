"""Sweeps to read, in a folder of their own; and one that was run and left alone, to compare with."""

from __future__ import annotations

from pathlib import Path

import pytest
from space_helpers import Sweep
from sweep_helpers import recipe, tune

from ganflow.sweeps.records import SweepFolder


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    monkeypatch.chdir(tmp_path)
    return Sweep(tmp_path)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> SweepFolder:
    """The tiny recipe's sweep, one trial at a time."""
    folder = tmp_path_factory.mktemp("undisturbed")
    recipe(folder)
    code, _, err = tune(folder, "alone", "tune.concurrency=1")
    assert code == 0, err
    return SweepFolder(folder / "runs" / "alone")
