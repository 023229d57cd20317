"""A working folder from a stranger is data: nothing in it is run, and nothing in it is obeyed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from safety_helpers import RECIPE, environment, ganflow, installed, only_run, plant, shown, standard

from ganflow import child
from ganflow.recipe import read_recipe
from ganflow.recipe.recipe import anchored
from ganflow.sweeps.records import SweepFolder

PHOTOS = """\
name: photos
data: {use: image_folder, path: photos, size: 32}
prior: {use: normal, dim: 4}
generator: {use: dcgan, width: 4}
critic: {use: dcgan, width: 4, norm: none}
loss: {use: wasserstein}
optimizer: {use: adam}
train: {rounds: 2, batch_size: 4, compile: never}
track: {mlflow: false}
tune:
  trials: 1
  metric: generator/wasserstein
  mode: min
  space: {optimizer.lr: {loguniform: [1.0e-4, 1.0e-2]}}
"""


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A working folder with a recipe."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "small.yaml").write_text(RECIPE)
    return folder


def photos(folder: Path) -> None:
    folder.mkdir(parents=True)
    for i in range(8):
        image = Image.new("RGB", (32, 32), (i * 30, 90, 20))
        image.paste((20, 90, i * 30), (4 * (i % 4), 8, 20, 24))
        image.save(folder / f"{i}.png")


@pytest.mark.slow
def test_no_module_of_the_working_folder_is_run(work: Path) -> None:
    log = plant(work, installed() | standard())
    for command in (
        ("run", "small.yaml"),  # and its sender
        ("run", "small.yaml", "--workers", "2", "track.mlflow=false"),
        ("tune", "small.yaml", "--name", "sweep"),  # and its Ray workers
        ("sync", "--all"),
        ("sample", "small", "-o", "samples.npz"),
    ):
        done = ganflow(work, *command)
        assert done.returncode == 0, done.stderr
        assert log.read_text() == "", command
    shown(work)
    assert log.read_text() == "", "ui"


@pytest.mark.slow
def test_no_module_of_the_working_folder_is_run_by_the_sender(work: Path) -> None:
    log = plant(work, installed() | standard())
    done = ganflow(work, "run", "small.yaml", "-q", "track.log_model=false")
    assert done.returncode == 0, done.stderr
    assert (work / "runs" / "mlflow.db").exists()
    assert log.read_text() == ""


def test_without_the_safe_path_only_what_python_itself_imports_is_run(work: Path) -> None:
    """`python -m` imports modules of the working folder before anything of ganflow's is run."""
    log = plant(work, installed() | standard())
    (work / "nothing").mkdir()
    (work / "nothing" / "__init__.py").touch()
    (work / "nothing" / "__main__.py").touch()
    subprocess.run([sys.executable, "-m", "nothing"], cwd=work, check=True, env=environment())
    before = set(log.read_text().split())
    log.write_text("")
    (work / "matplotlibrc").write_text("text.usetex: true\n")
    done = ganflow(work, "run", "small.yaml", "-q", "track.mlflow=false", safely=False)
    assert done.returncode == 0, done.stderr
    assert set(log.read_text().split()) <= before
    assert before & installed() == set()
    assert (only_run(work / "runs").plots / "losses.png").exists()  # drawn without TeX


class TestSearchPath:
    """Of a child: what this process has, without the working folder that Python put there by itself."""

    @pytest.fixture(autouse=True)
    def _elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PYTHONPATH", "")

    def test_an_empty_entry_and_the_folder_itself(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "path", ["", str(tmp_path), ".", "plugins", *sys.path])
        assert not {"", ".", "plugins", str(tmp_path)} & set(child.search_path())

    def test_a_link_to_the_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "link").symlink_to(tmp_path)
        monkeypatch.syspath_prepend(tmp_path / "link")
        assert str(tmp_path / "link") not in child.search_path()

    def test_a_folder_that_the_user_names(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.syspath_prepend(tmp_path)
        assert child.search_path()[0] == str(tmp_path)

    def test_other_folders_in_their_sequence(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "path", [f"{tmp_path}/a", "", f"{tmp_path}/b"])
        assert child.search_path() == [f"{tmp_path}/a", f"{tmp_path}/b"]

    def test_what_a_child_and_its_own_child_find(self, tmp_path: Path) -> None:
        (tmp_path / "planted.py").touch()
        find = "import importlib.util as u; print(u.find_spec('planted'))"
        again = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {find!r}])"
        assert child.output(["-c", find], 60) == child.output(["-c", again], 60) == "None\n"

    def test_a_folder_that_was_deleted(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        gone = tmp_path / "gone"
        gone.mkdir()
        monkeypatch.chdir(gone)
        gone.rmdir()
        assert child.search_path() == [entry for entry in sys.path if os.path.isabs(entry)]


def test_variables_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANFLOW_ONE", "1")
    with child.applied({"GANFLOW_ONE": None, "GANFLOW_TWO": "2"}):
        assert (os.environ.get("GANFLOW_ONE"), os.environ["GANFLOW_TWO"]) == (None, "2")
    assert (os.environ["GANFLOW_ONE"], os.environ.get("GANFLOW_TWO")) == ("1", None)


class TestRelativePaths:
    """They are made absolute for workers, which have another working folder."""

    @pytest.mark.slow
    def test_a_sweep_over_a_folder_of_photos(self, work: Path) -> None:
        photos(work / "photos")
        (work / "photos.yaml").write_text(PHOTOS)
        done = ganflow(work, "tune", "photos.yaml", "--name", "sweep")
        assert done.returncode == 0, done.stderr
        sweep = SweepFolder(work / "runs" / "sweep")
        assert sweep.trials()[0].state == "finished"
        assert sweep.trial(0).read().data["source"] == str(work / "photos")
        assert read_recipe(sweep.trial(0).recipe).data.settings.path == str(work / "photos")

    def test_which_texts_are_paths(self, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(work)
        photos(work / "my #1: photos")
        (work / "runs" / "one").mkdir(parents=True)
        (work / "runs" / "one" / "run.json").touch()
        for name in ("none", "dcgan", "wasserstein", "latest"):  # words that are no paths, whatever is there
            (work / name).mkdir()
        (work / "photos.yaml").write_text(PHOTOS.replace("photos, size", "'my #1: photos', size"))
        start = "train.start_from=runs/one"
        there = anchored(read_recipe("photos.yaml", [start]), work)
        moved = read_recipe("photos.yaml", [start, *there])
        assert moved.data.settings.path == str(work / "my #1: photos")
        assert moved.train.start_from == str(work / "runs" / "one")
        assert len(there) == 2
        assert anchored(read_recipe("photos.yaml", ["train.start_from=latest", "data.path=~/x"]), work) == []
        assert anchored(moved, work) == []


class TestMatplotlibrc:
    """Of the working folder. The user's own is obeyed."""

    @pytest.mark.parametrize("text", [b"text.usetex: true\nbackend: module://planted\n\x1b[31m: red\n", b"\xff\xfe"])
    @pytest.mark.parametrize("first", ["", "import matplotlib; "], ids=["ours", "imported before"])
    def test_it_is_not_obeyed(self, work: Path, text: bytes, first: str) -> None:
        if first and text == b"\xff\xfe":
            pytest.skip("that import fails by itself")
        (work / "matplotlibrc").write_bytes(text)
        log = plant(work, {"planted"})
        draw = (
            f"{first}from ganflow.pictures.figure import *; import matplotlib; f = new_figure(90, 90); "
            "add_axes(f, 20, 20, 50, 50, 'a_b'); figure_image(f); print(matplotlib.rcParams['text.usetex'])"
        )
        done = subprocess.run([sys.executable, "-P", "-c", draw], cwd=work, capture_output=True, text=True, env=environment())
        assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr
        assert first or not done.stderr
        assert log.read_text() == ""

    def test_of_the_user(self, work: Path) -> None:
        (work / "own").mkdir()
        (work / "own" / "matplotlibrc").write_text("lines.linewidth: 7\n")
        show = "import ganflow.pictures.figure, matplotlib; print(matplotlib.rcParams['lines.linewidth'])"
        env = environment(MATPLOTLIBRC=str(work / "own"))
        done = subprocess.run([sys.executable, "-c", show], cwd=work, capture_output=True, text=True, env=env)
        assert done.stdout == "7.0\n", done.stderr
