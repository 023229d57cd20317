"""`ganflow completion`, as a shell uses it."""

import shutil
import subprocess

import pytest

from ganflow.cli.completion import SHELLS
from ganflow.cli.main import COMMANDS
from ganflow.export.formats import FORMATS


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """The script for bash."""
    import contextlib
    import io

    from ganflow.cli.main import main

    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(["completion", "bash"]) == 0
    path = tmp_path_factory.mktemp("completion") / "ganflow.bash"
    path.write_text(out.getvalue())
    return path


@pytest.fixture
def completed(script, tmp_path):
    """The words that bash offers for the last one, in a folder with two recipes, a run, a sweep, and a run of a stranger's."""
    if not shutil.which("bash"):
        pytest.skip("no bash")
    for path in ("wgan/20261201-000000-0001", "sweep", "$(touch harm)/20261202", "wgan/`touch harm`"):
        (tmp_path / "runs" / path).mkdir(parents=True)
        (tmp_path / "runs" / path / "run.json").touch()
    for file in ("mine.yaml", "other.yml", "notes.txt"):
        (tmp_path / file).touch()

    def complete(*words, **environment):
        code = f'source "{script}"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _ganflow; printf "%s\\n" "${{COMPREPLY[@]}}"'
        done = subprocess.run(["bash", "-c", code, "bash", "ganflow", *words], cwd=tmp_path, capture_output=True, text=True,
                              env={"PATH": "/usr/bin:/bin", **environment})  # fmt: skip
        assert done.stderr == ""
        assert not (tmp_path / "harm").exists()
        return done.stdout.split()

    return complete


def test_commands_and_options(completed):
    assert completed("ru") == ["run", "runs"]
    assert set(completed("")) >= {*COMMANDS, "translate"}
    assert completed("run", "wgan", "--re") == ["--resume"]
    assert completed("runs", "") == ["show", "rm"]
    assert completed("completion", "") == list(SHELLS)
    assert completed("recipes", "c") == ["cat", "copy"]


def test_recipes(completed):
    assert completed("run", "wg") == ["wgan", "wgan_gp", "wgan_paper"]
    assert "theory/collapse" in completed("tune", "theory/")
    assert set(completed("check", "")) >= {"mine.yaml", "other.yml", "runs", "gan"}
    assert "notes.txt" not in completed("check", "")
    assert completed("recipes", "cat", "mi") == []  # a file of the user's is none of ganflow's


def test_runs(completed):
    assert completed("sample", "2") == ["20261201-000000-0001", "20261202"]
    assert completed("run", "--resume", "la") == ["latest"]
    assert completed("sweeps", "show", "sw") == ["sweep"]
    assert completed("runs", "show", "wg", GANFLOW_RUNS="elsewhere") == []


def test_sweeps(completed):
    for words in (["sweeps", "show"], ["tune", "--resume"], ["tune", "--from"]):
        assert completed(*words, "") == ["latest", "sweep"]


def test_what_there_is_to_choose_from(completed):
    assert completed("export", "latest", "--to", "") == list(FORMATS)
    assert completed("export", "latest", "--checkpoint", "") == ["last", "best"]
    assert completed("new-plugin", "acme", "--roles", "l") == ["loss"]
    assert completed("evaluate", "latest", "--metric", "fr") == ["frechet"]
    assert completed("plugins", "show", "wga") == ["wgan"]
    assert completed("plugins", "test", "weight_") == ["weight_clip"]


def test_keys_of_recipes(completed):
    for words in (["run", "wgan"], ["check", "wgan"], ["tune", "wgan", "train.seed=1"], ["show", "wgan"]):
        assert completed(*words, "train.r") == ["train.rounds=", "train.report_every="]
    assert completed("run", "wgan", "crit") == ["critic="]
    assert "train.rounds=" not in completed("check", "")


def test_each_word_once(completed):
    offered = completed("runs", "show", "")
    assert len(offered) == len(set(offered))
    assert completed("check", "theory").count("theory") <= 1


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_has_a_script(command, shell):
    code, out, err = command("completion", shell)
    assert (code, err) == (0, "")
    assert all(name in out for name in COMMANDS)
    assert "wgan_paper" in out or shell == "tcsh"


def test_another_shell(command):
    assert "argument shell: invalid choice: 'fish' (choose from 'bash', 'zsh', 'tcsh')" in command.refused("completion", "fish")
