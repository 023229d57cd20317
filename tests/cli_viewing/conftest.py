"""A folder as a run leaves it, and a small trained game in place of its checkpoint's."""

import json
import os
import socket

import pytest
import torch
from ganflow_layers.of_runs import Reading
from PIL import Image
from torch import nn

from ganflow.cli.main import main
from ganflow.contract.data import Prior, TensorData
from ganflow.contract.loss import Loss
from ganflow.contract.signature import Signature
from ganflow.engine.game import Game
from ganflow.runs.folders import RunFolder


class Straight(Prior):
    """Uniform in [0, 1]; ways are straight lines."""

    def __init__(self, dim):
        self.shape, self.support = (dim,), (0.0, 1.0)

    def sample(self, *lead, generator=None, device="cpu"):
        return torch.rand(*lead, *self.shape, generator=generator, device=device)

    def between(self, a, b, t):
        return a + t[:, None] * (b - a)


class Nothing(Loss):
    def generator_terms(self, step):
        return {}


class Spread(nn.Module):
    """z twice over, as an example of the wanted shape: what comes out is known."""

    def __init__(self, shape):
        super().__init__()
        self.shape, self.weight = shape, nn.Parameter(torch.tensor(2.0))

    def forward(self, z, label=None):
        return (self.weight * z).reshape(len(z), *self.shape)


@pytest.fixture
def tidy(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def make_run(tidy):
    """Makes runs/NAME/ID with a journal and some pictures."""

    def make(name="wgan", id="20260101-120000-abcd", pictures=3, fields=None, entries=None, **about):
        folder = RunFolder(tidy / "runs" / name / id)
        for path in (folder.samples, folder.plots, folder.checkpoints):
            path.mkdir(parents=True)
        folder.recipe.write_text("name: wgan\n")
        told = {
            "status": "finished",
            "round": 300,
            "rounds": 300,
            "created": "2026-01-01T12:00:00+00:00",
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "data": {"name": "digits", "size": 10, "fingerprint": "f00", "fields": fields or {"real": [1, 4, 4]}},
            "plugins": {"wgan": {"distribution": "ganflow", "version": "0.1.0"}},
        }
        folder.update(**{**told, **about})
        if entries is None:
            entries = [{"round": r, "time": 0.0, "values": {"critic/wasserstein": -1.0 / r, "generator/wasserstein": 0.5,
                        "w_estimate": 1.0 / r, "rounds_per_second": 9.0}} for r in (100, 200, 300)]  # fmt: skip
        folder.journal.write_text("".join(json.dumps(e) + "\n" for e in entries))
        for i in range(pictures):
            Image.new("L", (40, 40), 80 * i).save(folder.samples / f"round-{100 * i:08}.png")
        return folder

    return make


@pytest.fixture
def trained(monkeypatch):
    """Puts a game in place of the checkpoint's; returns the (folder, checkpoint) pairs that were asked for."""

    def put(shape, prior=True, condition=()):
        size = torch.Size(shape).numel()
        labels = torch.zeros(5, dtype=torch.int64)
        conditions = {name: labels if name == "label" else torch.zeros(5, *shape) for name in condition}
        classes = {"label": ("no", "yes")} if "label" in conditions else {}
        data = TensorData("toy", {"real": torch.zeros(5, *shape), **conditions}, classes=classes)
        generator = Spread(shape)
        if not prior:
            generator.signatures = {"to_real": Signature({"x": "real"}, "real")}
        game = Game(data, Straight(size) if prior else None, generator, None, Nothing(), condition=condition)
        asked = []

        def load_game(folder, which="last"):
            asked.append((folder.id, which))
            return game

        monkeypatch.setattr("ganflow.runs.loading.load_game", load_game)
        monkeypatch.setattr("ganflow_layers.of_runs.reading_of", lambda folder: Reading())  # the recipe is no whole one
        monkeypatch.setattr("ganflow.api.drawing.data_of_run", lambda folder: data)
        return asked

    return put


@pytest.fixture
def ganflow(capsys):
    """Runs a command; returns its exit code, and what it wrote to stdout or, where it failed, to stderr."""

    def run(*arguments):
        code = main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, err if code else out

    return run
