"""`ganflow runs rm`, and where runs are kept."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ganflow.runs.folders import locked
from ganflow.runs.new import create


class Terminal(io.StringIO):
    """Somebody who types an answer."""

    def isatty(self):
        return True


@pytest.fixture
def runs(command, tmp_path):
    """Two runs, a and b, of which the first was sent to MLflow, and the sweep s with two trials."""
    for name, tracking in (("a", {"mlflow": True}), ("b", {})):
        run = create(Path("runs"), name)
        run.update(id=run.id, name=name, status="finished", tracking=tracking)
        run.recipe.write_text("name: x\n")
        (run.checkpoints / "round-00000001.safetensors").write_bytes(b"x" * 12_000)
    for path in ("s", "s/20260101-000000-0000-t0000", "s/20260101-000000-0000-t0001"):
        folder = tmp_path / "runs" / path
        folder.mkdir()
        about = {"kind": "run" if "/" in path else "sweep", "status": "finished", "id": path.rpartition("/")[2]}
        (folder / "run.json").write_text(json.dumps(about))
        (folder / "recipe.yaml").write_text("name: x\n")
    return tmp_path / "runs"


def test_a_run_is_deleted_and_what_is_left_is_named(command, runs):
    code, out, err = command("runs", "rm", "a", "--yes")
    assert (code, out.startswith("deleted run runs/a/")) == (0, True)
    assert out.endswith(": 12.1 kB freed\n")
    assert err == "its entry in MLflow is still there, with what was sent; ganflow ui shows it\n"
    assert sorted(path.name for path in runs.iterdir()) == ["b", "s"]


def test_several_and_a_sweep_as_a_whole_for_a_script(command, runs):
    (b,) = (runs / "b").iterdir()
    code, out, err = command("runs", "rm", "b", b.name, "s", "--yes", "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert [(each["kind"], each["name"]) for each in found] == [("run", "b"), ("sweep", "s")]
    assert found[0]["folder"] == str(b)
    assert [path.name for path in runs.iterdir()] == ["a"]


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("YES\n", 0), ("n\n", 1), ("\n", 1), ("", 1)])
def test_on_a_terminal_it_asks(command, runs, monkeypatch, answer, code):
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    ended, _, err = command("runs", "rm", "b")
    assert ended == code
    assert "Delete 1 run (12" in err
    assert (runs / "b").exists() == bool(code)
    assert ("nothing is deleted" in err) == bool(code)


def refused(command, *names):
    before = sorted(Path("runs").rglob("*"))
    said = command.refused("runs", "rm", *names, "--yes")
    assert sorted(Path("runs").rglob("*")) == before
    return said


def test_without_a_terminal_it_wants_yes(command, runs, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert "to delete 1 run (12.1 kB) without being asked: --yes" in command.refused("runs", "rm", "b")
    assert "rm which run?" in command.refused("runs", "rm")


def test_one_that_is_trained_keeps_all_from_being_deleted(command, runs):
    from ganflow.runs.folders import RunFolder

    (a,) = (runs / "a").iterdir()
    with locked(RunFolder(a)):
        assert f"run {a.name} is being trained by another process" in refused(command, "b", "a")
    with locked(RunFolder(runs / "s" / "20260101-000000-0000-t0001")):
        assert "is being trained by another process" in refused(command, "s")
    RunFolder(a).update(status="running", host="elsewhere")
    assert "is being trained by another process (pid None on elsewhere)" in refused(command, "a")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("none", "no run 'none' in runs/"),
        ("runs", "no run 'runs' in runs/"),
        (".", "no run '.' in runs/"),
        ("runs/s/20260101-000000-0000-t0001", "t0001 is a trial; a sweep is removed as a whole: ganflow runs rm s"),
        ("project", "has a run.json and no recipe.yaml, so it may be no run; remove it by hand"),
        ("linked", "is a link, and nothing it leads to is removed"),
    ],
)
def test_what_is_no_run_stays(command, runs, name, sentence):
    Path("project").mkdir()
    Path("project/run.json").write_text("{}")
    Path("linked").symlink_to(next((runs / "a").iterdir()))
    assert sentence in refused(command, name)
    assert sorted(os.listdir("project")) == ["run.json"]


def test_not_the_folder_where_one_is(command, runs, monkeypatch):
    (a,) = (runs / "a").iterdir()
    monkeypatch.chdir(a / "samples")
    assert f"you are in {a}; leave it first" in command.refused("runs", "rm", str(a), "--yes")
    assert a.is_dir()


def test_links_are_deleted_and_not_followed(command, runs, tmp_path):
    (a,) = (runs / "a").iterdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.png").write_bytes(b"x" * 50_000)
    for at in (a, a / "samples"):
        (at / "out").symlink_to(tmp_path / "mine")
    (a / "photo.png").symlink_to(tmp_path / "mine" / "photo.png")
    os.link(tmp_path / "mine" / "photo.png", a / "samples" / "hard.png")
    code, out, _ = command("runs", "rm", a.name, "--yes")
    assert code == 0
    assert out.endswith(": 12.1 kB freed\n")  # what was linked is still there
    assert not a.exists()
    assert (tmp_path / "mine" / "photo.png").stat().st_size == 50_000


def test_a_damaged_run_can_be_deleted(command, runs):
    (a,) = (runs / "a").iterdir()
    (a / "run.json").write_text("{")
    assert command("runs", "rm", str(a), "--yes")[0] == 0
    assert not (runs / "a").exists()


def test_the_variable_says_where_runs_are(runs):
    (a,) = (runs / "a").iterdir()
    kept = runs.rename(runs.parent / "kept")
    code = """
import json, sys
import ganflow
from ganflow.cli.main import main
from ganflow.runs.finding import find_run
from ganflow.runs.folders import RunFolder
sys.argv = ["ganflow", "runs", "--json"]
main()
print(find_run(sys.argv.pop() and "a", __import__("ganflow.runs.folders").runs.folders.default_root()).reference())
print(ganflow.load("a").path.parent.parent.name, ganflow.load_sweep("latest").path.parent.name)
"""
    environment = {**os.environ, "GANFLOW_RUNS": "kept"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    listed, rest = done.stdout.rsplit("]", 1)
    assert [run["name"] for run in json.loads(f"{listed}]")] == ["a", "b", "s"]
    assert rest.split() == [a.name, "kept", "kept"]
    assert kept.is_dir()


def test_training_for_a_script(command, tmp_path):
    """On stdout there is JSON alone: of a run, and of three seeds."""
    quick = ("ring", "train.rounds=2", "~metrics", "track.mlflow=false", "--json")
    code, out, err = command("run", *quick)
    (run,) = json.loads(out)
    assert (code, run["status"], run["round"]) == (0, "finished", 2)
    assert Path(run["folder"], "run.json").is_file()
    assert f"runs/ring/{run['id']}: 2 rounds" in err
    code, out, _ = command("run", *quick, "--seeds", "2")
    (seeds,) = json.loads(out)
    assert (code, seeds["kind"], seeds["status"], seeds["over"]) == (0, "sweep", "finished", 2)
