"""A run folder from a stranger: nothing in it leads out of it."""

from __future__ import annotations

import os
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from safety_helpers import RECIPE, only_run

from ganflow.cli.main import main
from ganflow.errors import GanflowError
from ganflow.runs.folders import RunFolder, check, is_running, locked
from ganflow.runs.journal import Journal
from ganflow.tracking import store
from ganflow.tracking.outbox import default_uri
from ganflow.tracking.sync import sync

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # sqlalchemy's, about MLflow
SECRET = "S3CRET"
MORE = (".lock", ".run.json.lock", ".tracking.lock", "tracking.json", "tracking.log",
        "error.txt", "encoder.safetensors", f".run.json.{os.getpid()}",
        f".tracking.json.{os.getpid()}", "plots/more.png", "samples/round-00000099.png", "unknown")  # fmt: skip
"""What a run's folder may hold besides what the small run leaves there."""
COMMANDS = (
    ("runs",),
    ("runs", "--json"),
    ("runs", "show", "{run}"),
    ("sample", "{run}", "-o", "samples.npz"),
    ("animate", "{run}", "-o", "animation.gif"),
    ("sync", "{run}"),
    ("sync", "--all"),
    ("run", "--resume", "{run}", "train.rounds=6", "-q"),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run and an empty MLflow database, copied by each test."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "small.yaml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["run", "small.yaml", "-q", "track={mlflow: false, log_model: false}"]) == 0
    store.client(default_uri(folder / "runs"))
    return folder


class Stranger:
    """A copy of the run, of which one entry is a link to what is none of its business."""

    def __init__(self, folder: Path, trained: Path) -> None:
        self.folder, self.victim = folder / "work", folder / "victim"
        shutil.copytree(trained, self.folder)
        self.run = only_run(self.folder / "runs")
        self.victim.mkdir()
        for name in ("file.txt", "round-00000001.safetensors", "round-00000001.png", "more.png", "x.partial"):
            (self.victim / name).write_text(f"{SECRET}\n" * 50)

    def replace(self, entry: str, to: str) -> None:
        at = self.run.path / entry
        if at.is_dir():
            shutil.rmtree(at)
        at.unlink(missing_ok=True)
        at.symlink_to(self.victim / to)

    def harm(self, before: list[tuple[str, bytes]], printed: str) -> str:
        """What the stranger reached."""
        if contents(self.victim) != before:
            return "changed"
        sent = (self.folder / "runs" / "mlartifacts", self.folder / "runs" / "mlflow.db")
        uploaded = b"".join(data for place in sent if place.exists() for _, data in contents(place))
        return "sent" if SECRET.encode() in uploaded else "printed" if SECRET in printed else ""


def contents(place: Path) -> list[tuple[str, bytes]]:
    files = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
    return [(str(path), path.read_bytes()) for path in files]


def entries(run: RunFolder) -> list[str]:
    """Everything in a run's folder, and what else could be there."""
    found = [str(path.relative_to(run.path)) for path in run.path.rglob("*")]
    return sorted({*found, *MORE})


def attacks(run: RunFolder, seed: int, most: int) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """(entry, what it is a link to, command)"""
    every = [(e, to, c) for e in entries(run) for to in ("file.txt", "", "not/yet", "new") for c in COMMANDS]
    yield from random.Random(seed).sample(every, min(most, len(every)))


def tried(attack: tuple[str, str, tuple[str, ...]], folder: Path, trained: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Try one; what it came to: "" where nothing was reached."""
    entry, to, command = attack
    stranger = Stranger(folder, trained)
    stranger.replace(entry, to)
    before = contents(stranger.victim)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(stranger.folder)
        try:
            code = main([word.format(run=stranger.run.path) for word in command])
        except Exception as error:
            code, crash = 1, f"{type(error).__name__}: {error}"
        else:
            crash = ""
    out, err = capsys.readouterr()
    return stranger.harm(before, out + err) or crash or ("accepted" if code == 0 and command[0] not in ("runs", "sync") else "")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_links_lead_nowhere(tmp_path: Path, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = only_run(trained / "runs")
    reached = {}
    for number, attack in enumerate(attacks(run, seed=1, most=30)):
        if found := tried(attack, tmp_path / str(number), trained, capsys):
            reached[attack] = found
    assert not reached


class TestRefused:
    """By name, in one sentence, with exit code 2."""

    @pytest.fixture
    def stranger(self, tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch) -> Stranger:
        made = Stranger(tmp_path, trained)
        monkeypatch.chdir(made.folder)
        return made

    @pytest.mark.parametrize("words", COMMANDS[2:6] + COMMANDS[7:], ids=lambda words: words[0])
    def test_by_every_command(self, words: tuple[str, ...], stranger: Stranger, capsys: pytest.CaptureFixture[str]) -> None:
        stranger.replace("plots", "")
        code = main([word.format(run="latest") for word in words])
        out, err = capsys.readouterr()
        assert (code, out) == (2, "")
        leads = f"plots is a link to {stranger.victim}, and nothing in a run's folder may lead out of it"
        assert err.startswith(f"ganflow: run {stranger.run.id}: {leads}")
        assert len(err.splitlines()) == 1

    def test_the_others_are_sent(self, stranger: Stranger, capsys: pytest.CaptureFixture[str]) -> None:
        other = stranger.run.path.with_name("20200101-000000-0000")
        shutil.copytree(stranger.run.path, other)
        stranger.replace("plots/more.png", "file.txt")
        assert main(["sync", "--all"]) == 1
        out = capsys.readouterr().out
        assert re.search(rf"{other.name}: \d+ points.* sent to", out)
        assert f"{stranger.run.id}: not everything sent to" in out

    @pytest.mark.parametrize("entry", ["metrics.jsonl", "run.json"])
    def test_a_pipe_is_not_waited_for(self, entry: str, stranger: Stranger, capsys: pytest.CaptureFixture[str]) -> None:
        (stranger.run.path / entry).unlink()
        os.mkfifo(stranger.run.path / entry)
        assert main(["sample", str(stranger.run.path)]) == 2
        assert f"{entry} is neither a file nor a folder" in capsys.readouterr().err
        assert main(["runs"]) == 0
        assert "damaged" in capsys.readouterr().out

    def test_files_that_run_json_names(self, stranger: Stranger) -> None:
        above = os.path.relpath(stranger.victim / "file.txt", stranger.run.path)
        for name in (above, str(stranger.victim / "file.txt")):
            stranger.run.update(tracking={**stranger.run.read().tracking, "files": [name]})
            assert sync(stranger.run).error == f"run.json asks for {name} to be sent, which is not in the run's folder"
        assert stranger.harm(contents(stranger.victim), "") == ""


class TestAllowed:
    def test_a_runs_folder_that_is_a_link(self, tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        shutil.copytree(trained / "runs", tmp_path / "elsewhere")
        (tmp_path / "runs").symlink_to("elsewhere")
        monkeypatch.chdir(tmp_path)
        assert main(["sample", "latest", "-o", "x.npz"]) == 0
        assert main(["run", "--resume", "latest", "train.rounds=6", "-q", "track.mlflow=false"]) == 0
        assert main(["sync", "latest"]) == 0

    def test_a_link_within(self, tmp_path: Path, trained: Path) -> None:
        stranger = Stranger(tmp_path, trained)
        newest = max(stranger.run.samples.glob("*.png"))
        (stranger.run.samples / "newest.png").symlink_to(newest.name)
        (stranger.run.path / "pictures").symlink_to("samples")
        check(stranger.run)

    def test_links_of_a_tracker_in_its_folder(self, tmp_path: Path, trained: Path) -> None:
        stranger = Stranger(tmp_path, trained)
        (stranger.run.path / "wandb" / "logs").mkdir(parents=True)
        stranger.replace("wandb/logs/debug-core.log", "file.txt")
        check(stranger.run)
        assert sync(stranger.run).error == ""
        assert stranger.harm(contents(stranger.victim), "") == ""


class TestFilesThatAreOpened:
    """Each by itself is not followed, whoever opens it."""

    @pytest.fixture
    def victim(self, tmp_path: Path) -> Path:
        (tmp_path / "run").mkdir()
        victim = tmp_path / "victim"
        victim.write_text(SECRET)
        return victim

    def test_a_lock(self, tmp_path: Path, victim: Path) -> None:
        run = RunFolder(tmp_path / "run")
        (run.path / ".lock").symlink_to(victim)
        with pytest.raises(GanflowError, match=r"\.lock is a link"), locked(run):
            pass
        assert not is_running(run)
        assert victim.read_text() == SECRET

    def test_a_journal(self, tmp_path: Path, victim: Path) -> None:
        (tmp_path / "run" / "metrics.jsonl").symlink_to(victim)
        with pytest.raises(GanflowError, match="cannot write the journal"):
            Journal(tmp_path / "run" / "metrics.jsonl")
        assert victim.read_text() == SECRET

    def test_what_is_replaced(self, tmp_path: Path, victim: Path) -> None:
        (tmp_path / "run" / f".run.json.{os.getpid()}").symlink_to(victim)
        RunFolder(tmp_path / "run").update(status="running")
        assert victim.read_text() == SECRET
        assert RunFolder(tmp_path / "run").read().status == "running"

    def test_what_is_read(self, tmp_path: Path, victim: Path) -> None:
        victim.write_text('{"status": "S3CRET"}')
        (tmp_path / "run" / "run.json").symlink_to(victim)
        with pytest.raises(GanflowError, match="Too many levels of symbolic links"):
            RunFolder(tmp_path / "run").read()
