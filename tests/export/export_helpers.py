"""Runs to export, and the process in which there is no ganflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ganflow.recipe import read_recipe
from ganflow.runs.folders import RunFolder
from ganflow.runs.start import start

QUICK = ("train.rounds=1", "train.compile=never", "train.device=cpu", "track.mlflow=false", "metrics=[]")
STRANGER = Path(__file__).with_name("stranger.py")


def trained(recipe: str, runs: Path, *overrides: str) -> RunFolder:
    """A run of one round."""
    return start(read_recipe(recipe, [*QUICK, *overrides]), runs, quiet=True).folder


def apart(*folders: Path) -> dict[str, dict[str, float]]:
    """How far exports are from their networks, in a process without ganflow; see stranger.py."""
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    done = subprocess.run(
        [sys.executable, str(STRANGER), *map(str, folders)], capture_output=True, text=True, env=environment, timeout=500
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def config(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return found
