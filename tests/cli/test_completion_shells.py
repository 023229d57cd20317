"""`ganflow completion` for zsh and tcsh, in the shells themselves, where they are installed."""

import os
import re
import select
import shutil
import subprocess
import sys
import time

import pytest

if sys.platform == "win32":
    pytest.skip("no terminals of Unix", allow_module_level=True)
import pty

ZSH = r"""
PS1=; fpath=({folder} $fpath); autoload -Uz compinit; compinit -u -D
compadd() {{
  local -a offered
  [[ "${{@[1,(i)(-|--)]}}" == *-(O|A|D)\ * ]] || {{ builtin compadd -A offered "$@"; print -rl -- $offered >> {out} }}
  builtin compadd "$@"
}}
offer() {{ zle list-choices; print DONE >> {out} }}
zle -N offer; bindkey '^I' offer; print DONE >> {out}
"""
"""It writes down what is offered."""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """A folder with the script of each shell."""
    import contextlib
    import io

    from ganflow.cli.main import main

    folder = tmp_path_factory.mktemp("scripts")
    for shell, name in (("zsh", "_ganflow"), ("tcsh", "ganflow.tcsh")):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            assert main(["completion", shell]) == 0
        (folder / name).write_text(out.getvalue())
    return folder


@pytest.fixture
def folder(tmp_path):
    """One with two recipes, runs, a sweep, and runs of a stranger's."""
    for path in ("wgan/20261201-000000-0001", "sweep", "$(touch harm)/20261202", "wgan/`touch harm`", "a\x1b[31mb"):
        (tmp_path / "runs" / path).mkdir(parents=True)
        (tmp_path / "runs" / path / "run.json").touch()
    for file in ("mine.yaml", "other.yml", "notes.txt"):
        (tmp_path / file).touch()
    yield tmp_path
    assert not (tmp_path / "harm").exists()


class Shell:
    """An interactive shell in a terminal."""

    def __init__(self, folder, *command):
        if not shutil.which(command[0]):
            pytest.skip(f"no {command[0]}")
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execvpe(command[0], command, {"PATH": "/usr/bin:/bin", "TERM": "xterm", "HOME": str(folder)})

    def __enter__(self):
        return self

    def __exit__(self, *error):
        os.close(self.terminal)
        os.waitpid(self.pid, 0)

    def type(self, text, until):
        """Type something; what is on screen once `until` says that it is all."""
        os.write(self.terminal, text.encode())
        seen, deadline = "", time.monotonic() + 60
        while not until(seen):
            assert time.monotonic() < deadline, seen
            if select.select([self.terminal], [], [], 0.05)[0]:
                seen += os.read(self.terminal, 2**16).decode(errors="replace")
        return seen


@pytest.fixture
def zsh(scripts, folder, tmp_path_factory):
    """The words that zsh offers for the last one."""
    beside = tmp_path_factory.mktemp("zsh")
    out = beside / "offered"
    (beside / "setup.zsh").write_text(ZSH.format(folder=scripts, out=out))

    def done(_):
        return out.exists() and "DONE\n" in out.read_text()

    with Shell(folder, "zsh", "-f", "-i") as shell:
        shell.type(f"source {beside / 'setup.zsh'}\n", done)

        def offered(line):
            out.unlink()
            shell.type(f"\x15{line}\t", done)
            return [word for word in out.read_text().split("\n")[:-2] if word]

        yield offered


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh")
def test_zsh_understands_its_script(scripts):
    done = subprocess.run(["zsh", "-n", scripts / "_ganflow"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_zsh_offers(zsh):
    assert zsh("ganflow ru") == ["run", "runs"]
    assert zsh("ganflow run wgan --re") == ["--resume"]
    assert zsh("ganflow runs ") == ["show", "rm"]
    assert zsh("ganflow run wg") == ["wgan", "wgan_gp", "wgan_paper"]
    assert zsh("ganflow recipes c") == ["cat", "copy"]
    assert zsh("ganflow export latest --checkpoint ") == ["last", "best"]
    assert zsh("ganflow plugins show wga") == ["wgan"]
    assert zsh("ganflow sample 2") == ["20261202", "20261201-000000-0001"]
    assert {"latest", "sweep"} <= {*zsh("ganflow tune --resume ")}
    assert zsh("ganflow check mine.yaml o") == ["other.yml", "optimizer="]


def test_what_may_come_several_times_in_zsh(zsh):
    """It was completed once."""
    assert "20261201-000000-0001" in zsh("ganflow compare wgan ")
    assert "sweep" in zsh("ganflow runs rm wgan sw")
    for words in ("run wgan train.seed=1", "check wgan", "tune wgan train.seed=1 train.n_critic=2"):
        assert zsh(f"ganflow {words} train.r") == ["train.rounds=", "train.report_every="]


def test_runs_of_a_strangers_in_zsh(zsh):
    offered = zsh("ganflow runs show ")
    assert r"\$\(touch\ harm\)" in offered  # as one would type it: nothing in it is run
    assert not any("\x1b" in word for word in offered)


@pytest.fixture
def tcsh(scripts, folder):
    """The words that tcsh offers for the last one."""
    with Shell(folder, "tcsh", "-f") as shell:
        shell.type(f"set prompt='> '; set edit; stty cols 400; source {scripts / 'ganflow.tcsh'}; echo DO''NE\n",
                   lambda seen: re.search(r"DONE\s+> $", seen))  # fmt: skip

        def offered(line):
            seen = shell.type(f"\x15{line}\x04", lambda seen: seen.count(line) >= 2 and seen.endswith(f"> {line}"))
            return seen.split(line)[1].removesuffix("> ").split()

        yield offered


def test_what_tcsh_offers(tcsh):
    assert tcsh("ganflow ru") == ["run", "runs"]
    assert tcsh("ganflow runs ") == ["rm", "show"]
    assert tcsh("ganflow recipes c") == ["cat", "copy"]
    assert tcsh("ganflow export latest --checkpoint ") == ["best", "last"]
    assert tcsh("ganflow check m") == ["mine.yaml"]
    assert tcsh("ganflow run wgan train.r") == ["train.report_every=", "train.rounds="]
    assert tcsh("ganflow run --runs ") == ["runs/"]
