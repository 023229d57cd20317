"""Weights & Biases, offline: nothing leaves the machine."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path
from typing import Any

import pytest

from ganflow.errors import GanflowError
from ganflow.recipe import read_recipe
from ganflow.runs.folders import RunFolder
from ganflow.runs.journal import entries
from ganflow.runs.start import resume, start
from ganflow.tracking.follower import follower_of, unsent
from ganflow.tracking.outbox import State

RECIPE = """
name: tracked
data: {use: gaussians, layout: ring, samples: 500}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 8}
critic: {use: mlp, width: 8}
loss: wasserstein
optimizer: {use: rmsprop, lr: 1.0e-3}
trackers: [{use: wandb, project: rings}]
train: {rounds: 4, batch_size: 8, threads: 1, compile: never, report_every: 2, sample_every: 4}
track: {mlflow: false}
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    path = tmp_path / "tracked.yaml"
    path.write_text(RECIPE)
    return path


def records(run: RunFolder) -> list[Any]:
    """The records of the one offline run in the folder, by W&B's own format: blocks of a log as LevelDB has them."""
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = (run.path / "wandb").glob("offline-run-*/*.wandb")
    raw, at, found = file.read_bytes(), 7, []
    assert len(raw) < 32_768  # one block
    while at + 7 <= len(raw):
        _, length, _ = struct.unpack("<IHB", raw[at : at + 7])
        found.append(Record.FromString(raw[at + 7 : at + 7 + length]))
        at += 7 + length
    return found


def test_it_has_what_the_journal_has(recipe: Path, tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed: pip install 'ganflow[wandb]'")
    run = start(read_recipe(str(recipe)), tmp_path / "runs", quiet=True).folder
    resume(run, quiet=True, overrides=["train.rounds=6"])
    found = records(run)
    about = next(record.run for record in found if record.WhichOneof("record_type") == "run")
    assert (about.run_id, about.project, about.display_name) == (run.id, "rings", f"tracked {run.id}")
    assert {item.key for item in about.config.update} >= {"generator", "loss", "train"}
    rows = [
        {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
        for record in found
        if record.WhichOneof("record_type") == "history"
    ]
    values = [{k: v for k, v in row.items() if not k.startswith("_")} for row in rows if "samples/path" not in row]
    assert values == [{**entry.values, "round": entry.round} for entry in entries(run.journal)]
    pictures = [row["round"] for row in rows if "samples/path" in row]
    assert pictures == sorted(int(path.stem.removeprefix("round-")) for path in run.samples.glob("*.png"))


@pytest.mark.slow
def test_it_runs_beside_mlflow(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """W&B links to its logs in the user's cache while it runs, where the process beside the training looks."""
    pytest.importorskip("wandb", reason="wandb is not installed: pip install 'ganflow[wandb]'")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    wanted = read_recipe(str(recipe), ["track.mlflow=true", "track.log_model=false"])
    run = start(wanted, tmp_path / "runs", quiet=True, send=follower_of).folder
    assert any(path.is_symlink() for path in (run.path / "wandb").rglob("*"))
    assert unsent(run) is None
    assert State.read(run).steps.keys() >= {name for entry in entries(run.journal) for name in entry.values}
    resume(run, quiet=True, overrides=["train.rounds=6"], send=follower_of)
    assert unsent(run) is None


def test_without_the_package(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(GanflowError, match=r"tracker 'wandb' needs the package wandb: pip install 'ganflow\[wandb\]'"):
        start(read_recipe(str(recipe)), tmp_path / "runs", quiet=True)
    assert not (tmp_path / "runs").exists()
