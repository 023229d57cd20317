"""A small recipe, and a run of it."""

import pytest

TINY = {
    "name": "tiny",
    "data": {"use": "gaussians"},
    "prior": {"use": "normal", "dim": 2},
    "generator": {"use": "mlp", "width": 8},
    "critic": {"use": "mlp", "width": 8},
    "loss": "wasserstein",
    "modifiers": [{"use": "ema"}],
    "optimizer": {"use": "adam", "lr": 1e-3},
    "train": {"rounds": 6, "batch_size": 16, "compile": "never"}
    | {"report_every": 2, "sample_every": 6, "evaluate_every": 6, "checkpoint_every": 2},
    "track": {"mlflow": False},
}


@pytest.fixture
def tiny():
    return TINY


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A folder to work in, whose runs folder is the default one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"
