"""Damaged and hostile folders of runs and sweeps, by seed: every command ends in 0, 1 or 2, and in no exception."""

import random
import shutil

import pytest
from damages import copied, damage

from ganflow.cli.main import main

SMALL = ("generator=mlp", "critic=mlp", "data.size=8", "track.mlflow=false", "train.rounds=2", "metrics=[]")
COMMANDS = [
    "runs", "runs --json", "runs show RUN", "sample RUN", "evaluate RUN", "compare RUN RUN", "interpolate RUN", "animate RUN",
    "run --resume RUN", "run --resume RUN train.rounds=3", "sync RUN", "sweeps", "sweeps show SWEEP", "run --resume SWEEP",
]  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    small = [*SMALL, "--runs", str(folder), "-q"]
    assert main(["run", "wgan", "train.checkpoint_every=1", "train.sample_every=1", *small]) == 0
    assert main(["run", "wgan", "--seeds", "1", *small]) == 0
    return folder


@pytest.mark.parametrize("seed", range(1000, 1024))
def test_no_command_ends_in_an_exception(source, tmp_path, monkeypatch, capsys, seed):
    monkeypatch.chdir(tmp_path)
    runs, rng = copied(source, tmp_path / "runs"), random.Random(seed)
    run = next((runs / "wgan").iterdir())
    sweep = next(path for path in runs.iterdir() if "seeds" in path.name)
    command = rng.choice(COMMANDS)
    what = damage(sweep if "SWEEP" in command or command == "sweeps" else run, seed)
    words = [str({"RUN": run, "SWEEP": sweep}.get(word, word)) for word in command.split()]
    code = main([*words, "--runs", str(runs)])
    out, err = capsys.readouterr()
    assert code in (0, 1, 2), f"{what}: {command}"
    assert "Traceback" not in out + err
    shutil.rmtree(runs)


def test_a_folder_whose_lock_cannot_be_made(source, tmp_path, command):
    """Whatever holds it says which file, without a traceback; nothing is trained or sent."""
    runs = copied(source, tmp_path / "runs")
    run = next((runs / "wgan").iterdir())
    sweep = next(path for path in runs.iterdir() if "seeds" in path.name)
    for folder, lock in ((run, ".tracking.lock"), (sweep, ".lock")):
        (folder / lock).unlink(missing_ok=True)
        (folder / lock).mkdir()
    assert f"cannot write {run / '.tracking.lock'}: " in command.refused("sync", run, "--runs", runs)
    assert f"cannot write {sweep / '.lock'}: " in command.refused("run", "--resume", sweep, "--runs", runs)
