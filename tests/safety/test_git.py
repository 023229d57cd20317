"""A repository from a stranger: its commit is read, and none of the programs that it names is run."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from safety_helpers import RECIPE, ganflow, only_run

from ganflow.runs.new import git_commit

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *words: str) -> str:
    person = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "protocol.file.allow=always"]
    done = subprocess.run(["git", *person, *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def repository(folder: Path) -> Path:
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    (folder / "file.txt").write_text("one")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def program(folder: Path) -> Path:
    """One that leaves a file beside the repository's folder."""
    path = folder.parent / "program.sh"
    path.write_text(f'#!/bin/sh\necho run >> "{folder.parent / "was-run"}"\n')
    path.chmod(0o755)
    return path


def monitor(work: Path) -> None:
    git(work, "config", "core.fsmonitor", str(program(work)))


def filtered(kind: str) -> Callable[[Path], None]:
    def plant(work: Path) -> None:
        git(work, "config", f"filter.x.{kind}", str(program(work)))
        (work / ".gitattributes").write_text("* filter=x\n")
        (work / "file.txt").write_text("two")
        os.utime(work / "file.txt", (1, 1))

    return plant


def hook(work: Path) -> None:
    shutil.copy(program(work), work / ".git" / "hooks" / "post-index-change")
    os.utime(work / "file.txt", (1, 1))


def submodule(work: Path) -> None:
    other = repository(work.parent / "other")
    git(work, "submodule", "add", "-q", str(other), "part")
    git(work, "commit", "-q", "-m", "part")
    git(work / "part", "config", "core.fsmonitor", str(program(work)))


def file(work: Path) -> None:
    monitor(work)
    (work / ".git").rename(work / "settings")
    (work / ".git").write_text("gitdir: settings\n")


WAYS = {
    "monitor": monitor,
    "clean": filtered("clean"),
    "process": filtered("process"),
    "hook": hook,
    "submodule": submodule,
    "file": file,
}


@pytest.mark.parametrize("way", WAYS)
def test_no_program_of_a_repository_is_run(way: str, tmp_path: Path) -> None:
    work = repository(tmp_path / "work")
    WAYS[way](work)
    commit = git(work, "rev-parse", "HEAD")
    (tmp_path / "was-run").unlink(missing_ok=True)
    assert git_commit(work) == (None if way == "file" else {"commit": commit})
    assert not (tmp_path / "was-run").exists()
    subprocess.run(["git", "status"], cwd=work, capture_output=True)
    assert (tmp_path / "was-run").exists()  # it would have been run


@pytest.mark.slow
def test_a_run_in_such_a_repository(tmp_path: Path) -> None:
    work = repository(tmp_path / "work")
    commit = git(work, "rev-parse", "HEAD")
    monitor(work)
    hook(work)
    (work / "small.yaml").write_text(RECIPE)
    assert ganflow(work, "run", "small.yaml", "-q", "track.mlflow=false").returncode == 0
    assert only_run(work / "runs").read().git == {"commit": commit}
    assert not (tmp_path / "was-run").exists()
    assert f"{commit} (changes since are not known)" in ganflow(work, "runs", "show", "latest").stdout


class TestCommit:
    """What git itself says is HEAD."""

    def test_of_a_branch_in_a_folder_within(self, tmp_path: Path) -> None:
        work = repository(tmp_path / "work")
        git(work, "checkout", "-q", "-b", "feature/a-b.c")
        (work / "within").mkdir()
        assert git_commit(work / "within") == {"commit": git(work, "rev-parse", "HEAD")}

    def test_packed(self, tmp_path: Path) -> None:
        work = repository(tmp_path / "work")
        git(work, "tag", "-a", "-m", "tag", "v1")
        git(work, "pack-refs", "--all")
        assert not (work / ".git" / "refs" / "heads" / "main").exists()
        assert git_commit(work) == {"commit": git(work, "rev-parse", "HEAD")}

    def test_detached(self, tmp_path: Path) -> None:
        work = repository(tmp_path / "work")
        git(work, "checkout", "-q", "--detach")
        assert git_commit(work) == {"commit": git(work, "rev-parse", "HEAD")}

    def test_of_another_work_tree_and_of_a_submodule(self, tmp_path: Path) -> None:
        work = repository(tmp_path / "work")
        git(work, "worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
        (tmp_path / "side" / "more.txt").touch()
        git(tmp_path / "side", "add", ".")
        git(tmp_path / "side", "commit", "-q", "-m", "second")
        submodule(work)
        for folder in (tmp_path / "side", work / "part", work):
            assert git_commit(folder) == {"commit": git(folder, "rev-parse", "HEAD")}

    def test_none(self, tmp_path: Path) -> None:
        assert git_commit(tmp_path) is None
        git(tmp_path, "init", "-q")
        assert git_commit(tmp_path) is None  # nothing was committed

    @pytest.mark.parametrize("entry", ["HEAD", "refs/heads/main", "packed-refs"])
    @pytest.mark.parametrize("what", ["link", "pipe", "bytes", "long"])
    def test_nothing_else_is_told_as_a_commit_or_waited_for(self, entry: str, what: str, tmp_path: Path) -> None:
        work = repository(tmp_path / "work")
        secret = tmp_path / "secret"
        secret.write_text(f"{'5e' * 20}\n" if entry != "packed-refs" else f"{'5e' * 20} refs/heads/main\n")
        if entry == "packed-refs":
            (work / ".git" / "refs" / "heads" / "main").unlink()
        at = work / ".git" / entry
        at.unlink(missing_ok=True)
        if what == "link":
            at.symlink_to(secret)
        elif what == "pipe":
            os.mkfifo(at)
        else:
            at.write_bytes(b"\xff\x00" if what == "bytes" else b"5e" * 100_000)
        assert git_commit(work) is None

    @pytest.mark.parametrize("name", ["refs/../../../secret", "../secret", "/{0}/secret", "refs/heads/../../../../secret"])
    def test_references_do_not_lead_out(self, name: str, tmp_path: Path) -> None:
        work = repository(tmp_path / "work")
        (tmp_path / "secret").write_text("5e" * 20)
        (work / ".git" / "HEAD").write_text(f"ref: {name.format(tmp_path)}\n")
        assert git_commit(work) is None

    def test_folders_that_are_links(self, tmp_path: Path) -> None:
        work, other = repository(tmp_path / "work"), repository(tmp_path / "other")
        shutil.rmtree(work / ".git" / "refs" / "heads")
        (work / ".git" / "refs" / "heads").symlink_to(other / ".git" / "refs" / "heads")
        assert git_commit(work) is None

    def test_the_work_tree_of_another_folder(self, tmp_path: Path) -> None:
        work = repository(tmp_path / "work")
        git(work, "worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
        (tmp_path / "stranger").mkdir()
        shutil.copy(tmp_path / "side" / ".git", tmp_path / "stranger" / ".git")
        assert git_commit(tmp_path / "stranger") is None
