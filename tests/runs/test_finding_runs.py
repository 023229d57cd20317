"""Run folders: how a run is found among others, and what is left of those that nobody finished making."""

import os
import shlex
from datetime import datetime
from pathlib import Path

import pytest
from runner_helpers import files, folder_of

from ganflow.errors import GanflowError
from ganflow.files import append_line
from ganflow.recipe import read_recipe
from ganflow.runs.finding import all_runs, find_run
from ganflow.runs.new import create
from ganflow.runs.start import open_trial


@pytest.fixture
def root(work):
    """Three runs of two names, the oldest first: wgan, gan, wgan."""
    for name, id in (("wgan", "20260101-000000-0001"), ("gan", "20260101-000000-0002"), ("wgan", "20260103-000000-0001")):
        folder = folder_of(work / "runs" / name / id)
        folder.path.mkdir(parents=True)
        folder.update(id=id)
    return work / "runs"


@pytest.mark.parametrize(
    ("meant", "found"),
    [
        ("latest", "wgan/20260103-000000-0001"),
        ("wgan", "wgan/20260103-000000-0001"),  # the newest of the name
        ("gan", "gan/20260101-000000-0002"),
        ("20260101-000000-0001", "wgan/20260101-000000-0001"),
        ("20260103", "wgan/20260103-000000-0001"),
        ("runs/wgan/20260101-000000-0001", "wgan/20260101-000000-0001"),
    ],
)
def test_which_run_is_meant(root, meant, found):
    assert find_run(meant, root).path == root / found


def test_what_one_types_for_a_run(root, work, monkeypatch):
    """It means the run where it is typed: an id only where that is found."""
    run = find_run("20260103", root)
    gan = work / "runs" / "gan"
    for here, folder, name in ((work, "runs", run.id), (work / "runs", ".", run.id), (gan, "runs", str(run.path))):
        monkeypatch.chdir(here)
        assert run.reference(Path(folder)) == name
        assert find_run(name, Path(folder)) == run
    monkeypatch.chdir(work)
    other = folder_of(work / "runs" / "two words" / run.id)  # a copy
    other.path.mkdir(parents=True)
    other.update(id=run.id)
    assert (run.reference(), other.reference()) == (f"runs/wgan/{run.id}", f"'runs/two words/{run.id}'")
    assert find_run(*shlex.split(other.reference()), root) == other


@pytest.mark.parametrize(
    ("meant", "sentence"),
    [
        ("20260101", "'20260101' is the beginning of 2 runs: 20260101-000000-0001, 20260101-000000-0002; write more of it"),
        ("wga", "no run 'wga' in "),
        ("0001", "no run '0001' in "),  # the end of an id
    ],
)
def test_which_run_is_meant_is_not_clear(root, meant, sentence):
    with pytest.raises(GanflowError) as caught:
        find_run(meant, root)
    assert str(caught.value).startswith(sentence)


def test_a_file_in_the_place_of_a_folder(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(GanflowError, match=r"cannot make the run's folder .*/a/.*: File exists; choose another with runs=…"):
        create(tmp_path, "a")


def test_ids_sort_by_time(tmp_path):
    before = datetime.now().astimezone()
    made = [create(tmp_path, "a") for _ in range(20)]
    for folder in made:
        folder.update(status="running")
    ids = [folder.id for folder in made]
    assert ids == sorted(set(ids))
    assert [folder.id for folder in all_runs(tmp_path)] == ids
    assert before.year - 1 <= int(ids[0][:4]) <= before.year + 1
    assert all(path.is_dir() for path in (made[0].samples, made[0].plots, made[0].checkpoints))


def test_a_run_whose_run_json_is_lost_is_not_begun_again(work):
    recipe, folder = read_recipe(work / "tiny.yaml", ["~metrics", "train.rounds=1"]), folder_of(work / "runs" / "sweep" / "t1")
    folder.path.mkdir(parents=True)
    for kept in (folder.journal, folder.checkpoints / "round-00000001.safetensors"):
        kept.parent.mkdir(exist_ok=True)
        kept.write_bytes(b"x")
        before = files(folder.path)
        with pytest.raises(GanflowError, match=r"run t1 cannot go on: its run\.json is missing"):
            open_trial(recipe, folder, {})
        assert files(folder.path) == before
        kept.unlink()
    assert open_trial(recipe, folder, {}).finish().status == "finished"  # there was nothing to lose


def test_a_line_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    """Where there is room for a part of it only."""
    file = os.open(tmp_path / "lines", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    append_line(file, b"first\n")
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:3]))
    with pytest.raises(OSError, match="No space left on device"):
        append_line(file, b"second\n")
    monkeypatch.undo()
    append_line(file, b"third\n")
    os.close(file)
    assert (tmp_path / "lines").read_bytes() == b"first\nthird\n"
