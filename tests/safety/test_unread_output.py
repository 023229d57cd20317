"""Output that nobody reads, or that cannot be written, does not end a training."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from safety_helpers import RECIPE, environment, ganflow, only_run

from ganflow.runs.checkpoints import newest
from ganflow.sweeps.records import SweepFolder

TALKATIVE = '''
"""Prints while it trains."""
from ganflow import hookimpl, settings

GANFLOW_CONTRACT = 2


@settings
class Talker:
    """Talks."""

    @hookimpl
    def round_reported(self, game, report):
        import sys
        print("x" * 10_000, flush=True)
        print("x" * 10_000, file=sys.stderr)


@hookimpl
def register(offer):
    offer("modifier", "talker", Talker)
'''
WAYS = {
    "stderr full": "2>/dev/full",
    "stdout closed": ">&-",
    "all closed": "<&- >&- 2>&-",
    "head": "2>&1 | head -1",
    "nobody": "2>&1 | true",
}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "small.yaml").write_text(RECIPE)
    return tmp_path


def shell(folder: Path, command: str, how: str, **env: str) -> int:
    """The exit code of a ganflow command with its streams as a shell has them; that of the first one of a pipeline."""
    line = f'"{sys.executable}" -P -m ganflow {command} {how}; exit "${{PIPESTATUS[0]}}"'
    return subprocess.run(["bash", "-c", line], cwd=folder, env=environment(**env), timeout=400, capture_output=True).returncode


def assert_trained(folder: Path, rounds: int) -> None:
    run = only_run(folder / "runs")
    assert (run.read().status, run.read().round) == ("finished", rounds)
    found, damaged = newest(run.checkpoints)
    assert (found and found.round, damaged) == (rounds, [])
    assert run.journal.read_bytes().count(b"\n") == rounds  # and nothing that was printed


@pytest.mark.parametrize("way", ["head", pytest.param("all closed", marks=pytest.mark.slow)])
def test_a_training_goes_on_to_its_end(way: str, work: Path) -> None:
    rounds = ["train.rounds=40", "train.report_every=1", "track.mlflow=false"]
    assert shell(work, f"run small.yaml {' '.join(rounds)}", WAYS[way]) == 0
    assert_trained(work, 40)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "more"), [("stderr full", ""), ("stdout closed", ""), ("nobody", ""), ("all closed", "--workers 2")]
)
def test_with_a_plugin_that_prints(way: str, more: str, work: Path) -> None:
    package = work / "site" / "gf_talker"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(TALKATIVE)
    info = work / "site" / "gf_talker-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gf-talker\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ganflow]\ntalker = gf_talker\n")
    search = os.pathsep.join(filter(None, [str(work / "site"), os.environ.get("PYTHONPATH")]))
    changes = "train.rounds=20 train.report_every=1 track.mlflow=false modifiers=[talker]"
    assert shell(work, f"run small.yaml {changes} {more}", WAYS[way], PYTHONPATH=search) == 0
    assert_trained(work, 20)
    again = shell(work, "run --resume latest train.rounds=30", WAYS[way], PYTHONPATH=search)
    assert again == 0
    assert_trained(work, 30)


@pytest.mark.slow
def test_what_is_sent_meanwhile(work: Path) -> None:
    assert shell(work, "run small.yaml train.report_every=1", WAYS["all closed"]) == 0
    assert_trained(work, 4)
    assert "nothing to send" in ganflow(work, "sync", "latest").stdout


@pytest.mark.slow
def test_a_sweep(work: Path) -> None:
    assert shell(work, "tune small.yaml --name sweep track.mlflow=false", WAYS["head"]) == 0
    sweep = SweepFolder(work / "runs" / "sweep")
    assert sweep.read().status == "finished"
    assert [trial.state for trial in sweep.trials().values()] == ["finished", "finished"]


@pytest.mark.parametrize(
    ("command", "how", "code"),
    [
        ("recipes", "| true", 141),  # as the shell has it for a program that a pipe ended
        ("recipes", ">/dev/full", 2),
        ("check nothing", "2>/dev/full", 2),
        ("check nothing", "2>&-", 2),
    ],
)
def test_of_what_does_nothing_but_print(command: str, how: str, code: int, work: Path) -> None:
    assert shell(work, command, how) == code


def test_it_is_said_why(work: Path) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-P", "-m", "ganflow", "recipes"]
        done = subprocess.run(command, cwd=work, env=environment(), stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.stderr == "ganflow: cannot write what is to be printed: No space left on device\n"


@pytest.mark.slow
def test_from_a_script_without_stderr(work: Path) -> None:
    script = (
        "from ganflow.recipe import read_recipe; from ganflow.runs.start import start; "
        "print(start(read_recipe('small.yaml', ['track.mlflow=false'])).status)"
    )
    line = f'"{sys.executable}" -P -c "{script}" 2>&-'
    done = subprocess.run(["bash", "-c", line], cwd=work, env=environment(), stdout=subprocess.PIPE, text=True, timeout=400)
    assert (done.returncode, done.stdout) == (0, "finished\n")
