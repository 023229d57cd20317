"""Sweeps to read, in a folder of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from space_helpers import Sweep


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    monkeypatch.chdir(tmp_path)
    return Sweep(tmp_path)
