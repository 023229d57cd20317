"""Sweeps that are controlled while they run, extended, cut off by their budget, and robbed of a trial that kills its process."""

import os
import re
import shlex
import signal
import subprocess
import sys

import pytest
from cluster_helpers import OwnCluster
from sweep_helpers import EVERY, REPORT, TINY, Tuning, clock, last, played, recipe, records, resume, rounds_played_again, tune

from ganflow.recipe import read_recipe
from ganflow.sweeps.records import SweepFolder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # sqlalchemy's, about MLflow
]
LR = "optimizer.lr"
LONG = "train.rounds=1000000"
WIDE = TINY.replace("{cpus: 0.5}", "{cpus: 1}")
EXITS = """
import os
from pathlib import Path
from ganflow import hookimpl, key, settings

GANFLOW_CONTRACT = 2

@settings
class Exits:
    file: str = key("", "while it is there, the process ends in round 300")

    @hookimpl
    def round_reported(self, game, report):
        if self.file and report.round >= 300 and os.path.exists(self.file):
            os._exit(1)

@hookimpl
def register(offer):
    offer("modifier", "exits", Exits)
"""
KILLED_AT_REMOVAL = """
import os, pathlib, signal
unlink = pathlib.Path.unlink

def killed(path, *arguments, **more):
    if path.parent.name == "requests" and path.suffix == ".json":
        os.kill(os.getpid(), signal.SIGKILL)
    return unlink(path, *arguments, **more)

pathlib.Path.unlink = killed
"""
KILLED_AT_READING = """
import os, signal
scandir = os.scandir

def killed(path="."):
    if os.path.basename(path) == "requests" and any(name.endswith(".json") for name in os.listdir(path)):
        os.kill(os.getpid(), signal.SIGKILL)
    return scandir(path)

os.scandir = killed
"""


def sweeps(folder, *arguments):
    """`ganflow sweeps …` in another process: its output, which is of one line."""
    command = [sys.executable, "-m", "ganflow", "sweeps", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def left(sweep):
    return [path.name for path in (sweep.path / "requests").glob("*.json")]


def site(folder, text):
    """Environment of a process with a changed standard library."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(text)
    return {"PYTHONPATH": f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}


def test_trials_are_stopped_and_added_and_the_sweep_is_ended_from_another_terminal_then_extended(tmp_path):
    recipe(tmp_path, WIDE)
    with Tuning.new(tmp_path, "s", LONG, "tune.concurrency=1") as process:
        sweep = process.sweep
        process.playing(number=0)
        assert sweeps(tmp_path, "add", "s", f"{LR}=5e-3") == "s will try it next\n"
        assert "trial 0 of s will stop" in sweeps(tmp_path, "stop", "s", 0)
        process.until(lambda: sweep.trials()[0].state == "stopped")
        process.playing(number=1)  # before those that the searcher has in mind
        assert sweeps(tmp_path, "stop", "s") == (
            "s will stop, every trial with a checkpoint; go on with: ganflow tune --resume s\n"
        )
        code, out, err = process.end()
    assert (code, out) == (130, "stopped; go on with: ganflow tune --resume s\n")
    assert left(sweep) == []
    trials, record = sweep.trials(), sweep.read()
    assert (trials[0].state, trials[0].error) == ("stopped", "by hand")
    assert sweep.trial(0).read().status == "stopped"
    assert last(sweep.trial(0)).round == sweep.trial(0).read().round == trials[0].round
    assert (trials[1].config, trials[1].state) == ({LR: 5e-3}, "waiting")
    assert sweep.trial(1).read().status == "interrupted"
    assert (record.status, record.trials, record.over) == ("interrupted", 5, 1)
    assert "4 waiting, 1 stopped" in sweeps(tmp_path, "show", "s")

    for number in sorted(trials):  # while nobody runs it
        if not trials[number].over:
            assert "is stopped" in sweeps(tmp_path, "stop", "s", number)
    before = clock(sweep.trial(0))
    with Tuning.resumed(tmp_path, "s", "tune.trials=7") as process:
        process.playing()
        assert sweep.read().trials == 8  # with the one that was added
        new = set(sweep.trials()) - set(trials)
        assert new.isdisjoint({0, 1})
        assert sweeps(tmp_path, "stop", "s")
        code, _, err = process.end()
    assert code == 130
    assert "tune.trials: 4 → 7\n" in err
    assert clock(sweep.trial(0)) == before
    assert sweep.read().amended[0]["changed"] == ["tune.trials: 4 → 7"]
    assert read_recipe(sweep.recipe).tune.trials == 7


@pytest.mark.rare
@pytest.mark.parametrize(("what", "when"), [("add", KILLED_AT_REMOVAL), ("stop", KILLED_AT_READING)])
def test_a_driver_killed_in_the_middle_of_a_request_loses_nothing_and_does_nothing_twice(what, when, tmp_path):
    recipe(tmp_path, WIDE)
    changes = (LONG, "tune.trials=2")
    with Tuning.new(tmp_path, "s", *changes, **site(tmp_path / "site", when)) as process:
        sweep = process.sweep
        number, _ = process.playing()
        sweeps(tmp_path, *(["add", "s", f"{LR}=5e-3"] if what == "add" else ["stop", "s", number]))
        assert process.popen.wait(120) == -signal.SIGKILL
    assert len(left(sweep)) == 1
    recorded = 2 in sweep.trials() if what == "add" else sweep.trials()[number].state == "stopped"
    assert recorded == (when == KILLED_AT_REMOVAL)
    with Tuning.resumed(tmp_path, "s") as process:
        process.playing()
        sweeps(tmp_path, "stop", "s")
        assert process.end()[0] == 130
    assert left(sweep) == []
    trials = sweep.trials()
    if what == "add":
        assert sorted(trials) == [0, 1, 2]
        assert trials[2].config == {LR: 5e-3}
        assert sweep.read().trials == 3
    else:
        assert (trials[number].state, trials[number].error) == ("stopped", "by hand")
        assert [r["state"] for r in records(sweep) if r["trial"] == number and "state" in r][-1] == "stopped"
        assert sweep.trial(number).read().status == "stopped"


@pytest.fixture
def exits(tmp_path):
    """A file while which is there the second of three trials kills its process; changes, and an environment."""
    plugin, file = tmp_path / "site", tmp_path / "exits"
    OwnCluster.site(None, plugin, gf_exits="1.0")
    (plugin / "gf_exits.py").write_text(EXITS)
    file.touch()
    recipe(tmp_path, WIDE)
    changes = (
        "+modifiers={use: exits}", f"tune.space={{'modifiers[1].file': {{grid: ['', {file}, 'no such file']}}}}",
        "tune.search=grid", "train.rounds=1000",
    )  # fmt: skip
    return file, changes, {"PYTHONPATH": f"{plugin}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}


@pytest.mark.rare
def test_a_trial_that_kills_its_process_again_and_again_is_given_up_and_tried_when_asked(exits, tmp_path):
    file, changes, env = exits
    died = "its process died"
    code, out, err = tune(tmp_path, "x", *changes, "tune.retries=1", **env)
    sweep = SweepFolder(tmp_path / "runs" / "x")
    assert code == 1, err
    assert [t.state for t in sweep.trials().values()] == ["finished", "failed", "finished"]
    assert (sweep.trials()[1].crashes, sweep.trials()[1].cause) == (2, "machine")
    assert sweep.trials()[1].error.startswith(died)
    assert "(2 times)" in sweep.trials()[1].error
    assert out.endswith("1 for no reason of its own; try again: ganflow tune --resume x\n")

    code, out, _ = resume(tmp_path, "x", "-q", **env)  # once more, and then no more
    trial = sweep.trials()[1]
    assert code == 1
    assert (trial.state, trial.crashes, trial.cause) == ("failed", 3, "")
    assert "(3 times)" in trial.error
    assert out.endswith("go on with all that failed: ganflow tune --resume x --retry-failed\n")
    assert "try again" not in out
    before = sweep.records.read_text()
    assert resume(tmp_path, "x", "-q", **env)[0] == 1
    assert sweep.records.read_text() == before

    code, _, _ = resume(tmp_path, "x", "-q", "--retry-failed", **env)  # as often as at first
    assert code == 1
    assert (sweep.trials()[1].crashes, sweep.trials()[1].cause) == (2, "machine")
    file.unlink()
    at = clock(sweep.trial(1))
    code, out, err = resume(tmp_path, "x", "-q", "--retry-failed", **env)
    assert code == 0, err
    trial = sweep.trials()[1]
    assert (trial.state, trial.error, trial.cause, trial.round) == ("finished", "", "", 1000)
    assert rounds_played_again(at, sweep.trial(1)) <= EVERY + REPORT  # from its last checkpoint


@pytest.mark.rare
def test_a_budget_of_hours_ends_the_sweep_and_with_more_it_goes_on_from_there(tmp_path):
    recipe(tmp_path, WIDE)
    with Tuning.new(tmp_path, "h", LONG, "tune.trials=3", "tune.concurrency=1") as process:
        sweep = process.sweep
        process.playing(number=0)
        sweeps(tmp_path, "stop", "h")
        assert process.end()[0] == 130
    used, before = sweep.read().seconds, clock(sweep.trial(0))
    hours = f"{3 * used / 3600:.6f}".rstrip("0")  # so that a slow machine, too, has time to begin a trial
    code, out, err = resume(tmp_path, "h", f"tune.budget.hours={hours}")
    assert code == 0, err
    spent = f"the sweep's budget of {float(hours):g} hours is used up"
    assert f"stopping: {spent}; every trial keeps a checkpoint\n" in err
    found = re.findall(rf"^{spent}; 3 trials are left(, \d of them begun)?; go on with more: (.*)$", out, re.MULTILINE)
    ((begun, again),) = found
    assert begun
    record, trials = sweep.read(), sweep.trials()
    assert record.status == "stopped"
    assert record.seconds >= 3600 * float(hours) > used
    assert {t.state for t in trials.values()} <= {"stopped", "waiting"}
    assert (trials[0].state, trials[0].error, trials[0].cause) == ("stopped", spent, "budget")
    run = sweep.trial(0)
    assert rounds_played_again(before, run) == 0
    assert run.read().status == "stopped"
    assert last(run).round == played(run)[-1] == run.read().round >= trials[0].round > max(before)

    lines = sweep.records.read_text()
    code, out, err = resume(tmp_path, "h")  # nothing is left
    assert (code, sweep.read().seconds, sweep.records.read_text()) == (0, record.seconds, lines)
    assert spent in out

    before = clock(run)
    words = shlex.split(again)
    assert words[:4] == ["ganflow", "tune", "--resume", "h"]
    with Tuning(tmp_path, "h", *words[2:]) as process:
        process.playing(number=0)
        code, out, err = process.end()
    assert code == 0
    more = float(words[4].partition("=")[2])
    assert f"the sweep's budget of {more:g} hours is used up; 3 trials are left" in out
    assert "go on with more: ganflow tune --resume h tune.budget.hours=" in out
    assert played(run)[-1] > max(before)
    assert rounds_played_again(before, run) == 0
    assert sweep.read().seconds > record.seconds
