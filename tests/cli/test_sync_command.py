"""ganflow sync, and what commands that draw have in common: arguments, files, ages. No MLflow is asked."""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from ganflow import GanflowError
from ganflow.api.drawing import Classes
from ganflow.cli.drawing import whole_number, write_output
from ganflow.cli.listing import age
from ganflow.files import check_output_path
from ganflow.runs import folders
from ganflow.runs.folders import RunFolder
from ganflow.runs.journal import TAIL, Journal, last_entries
from ganflow.tracking import sync as syncing
from ganflow.tracking.sync import SyncResult


@pytest.fixture
def results(monkeypatch, tmp_path):
    """What sync says of each folder, by its id: a result or an error; and the folders that it was called with."""
    answers, asked = {}, []

    def sync(folder, follow=False, **options):
        asked.append(folder.id)
        answer = answers.get(folder.id, SyncResult(uri="sqlite:///x.db"))
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(syncing, "sync", sync)
    return answers, asked


def make(root, name, id, **about):
    folder = folders.make(RunFolder(root / "runs" / name / id))
    folder.update(status="finished", **about)
    return folder


def test_for_programs(command, results, tmp_path):
    answers, _ = results
    make(tmp_path, "ring", "1")
    make(tmp_path, "ring", "2")
    answers["1"] = SyncResult(points=2, images=1, error="refused", uri="http://x")
    answers["2"] = GanflowError("damaged")
    code, out, err = command("sync", "--all", "--json")
    assert (code, err) == (1, "not sent: damaged\n")
    assert json.loads(out) == [
        {"name": "ring", "id": "1", "points": 2, "images": 1, "model": False, "error": "refused", "uri": "http://x"},
        {"name": "ring", "id": "2", "error": "damaged"},
    ]


def test_the_exit_code_says_whether_everything_was_sent(command, results, tmp_path):
    answers, asked = results
    make(tmp_path, "ring", "1")
    make(tmp_path, "ring", "2")
    nothing = "nothing to send; everything is in sqlite:///x.db\n"
    assert command("sync", "--all") == (0, f"ring/1: {nothing}ring/2: {nothing}", "")
    answers["1"] = SyncResult(points=2, images=1, model=True, error="refused", uri="http://x")
    code, out, _ = command("sync", "--all")
    assert code == 1
    assert out.splitlines()[:2] == [
        "ring/1: 2 points, 1 picture, the generator as a model sent to http://x",
        "ring/1: not everything sent to http://x: refused",
    ]
    answers["1"] = GanflowError("a stranger's address")
    asked.clear()
    code, out, _ = command("sync", "--all")
    assert (code, asked) == (1, ["1", "2"])  # the others are sent nevertheless
    assert out.splitlines()[0] == "not sent: a stranger's address"
    assert command.refused("sync", "1") == "ganflow: a stranger's address"


def test_several_runs_are_not_followed(command, results, tmp_path):
    for id in ("1", "2"):
        make(tmp_path, "ring", id)
    assert "--follow goes with one run or sweep" in command.refused("sync", "--all", "--follow")
    assert results[1] == []


def test_the_latest_run_of_a_sweep_means_the_sweep(command, results, tmp_path):
    sweep = RunFolder(tmp_path / "runs" / "rings")
    trial = folders.make(RunFolder(sweep.path / "20260102-t0000"))
    trial.update(status="finished")
    sweep.update(kind="sweep", id="20260102", status="finished", best={"trial": 0, "score": 1.0})
    assert command("sync", "latest")[0] == 0
    assert results[1] == ["rings"]
    assert command("sync", "20260102-t0000")[0] == 0
    assert results[1][1:] == [trial.id]


PARENT = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", {code!r}], stdout=open({said!r}, "w"))
while not open({said!r}).read():
    time.sleep(0.05)
"""
ATTACHED = """
import os, signal, sys
from ganflow.cli.tracking import _when_training_ends
before = os.getpriority(os.PRIO_PROCESS, 0)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may be run by nohup
over = _when_training_ends()
assert os.getpriority(os.PRIO_PROCESS, 0) == min(19, before + 10)
assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
print(os.getpid(), flush=True)
sys.exit(0 if over.wait(20) else 9)
"""


@pytest.mark.parametrize("way", ["closed", "orphaned"])
def test_the_process_beside_a_training_hears_of_its_end(way, tmp_path):
    """By the pipe that closes; or, where something else holds it open, by being nobody's child any more."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    if way == "closed":
        pipe = subprocess.PIPE
        process = subprocess.Popen([sys.executable, "-c", ATTACHED], stdin=pipe, stdout=pipe, env=env)
        with process:
            process.stdout.readline()
            process.stdin.close()
            assert process.wait(10) == 0
        return
    reading, writing = os.pipe()  # stays open here
    said = tmp_path / "said"
    parent = PARENT.format(code=ATTACHED, said=str(said))
    try:
        subprocess.run([sys.executable, "-c", parent], stdin=reading, env=env, check=True, timeout=20)
        child = int(said.read_text())
        deadline = time.monotonic() + 10
        while Path(f"/proc/{child}").exists() and not zombie(child):
            assert time.monotonic() < deadline, "it does not notice"
            time.sleep(0.05)
    finally:
        os.close(reading)
        os.close(writing)
        if said.exists() and said.read_text():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(said.read_text()), signal.SIGKILL)


def zombie(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


# What commands have in common.


def test_whole_numbers_within_bounds():
    parse = whole_number(2, 5)
    assert [parse(text) for text in ("2", "5")] == [2, 5]
    for text, why in (("1", "1 is not 2 or more"), ("6", "6 is not at most 5"), ("2.5", "not a whole number")):
        with pytest.raises(argparse.ArgumentTypeError, match=why):
            parse(text)


def test_labels_by_name_and_number():
    classes = Classes("label", SimpleNamespace(classes=("cat", "dog", "0")))
    assert classes.labels(["dog", "0", "1", "cat"]) == [1, 2, 1, 0]  # a name comes first
    for wrong in ("3", "bird", "-1", "1.0"):
        with pytest.raises(GanflowError, match=f"label {wrong}: there is no such class"):
            classes.labels([wrong])


def test_endings_of_files(tmp_path, capsys):
    assert check_output_path(tmp_path / "A.PNG", (".png",)) == tmp_path / "A.PNG"
    with pytest.raises(GanflowError, match=r"end its name in \.png or \.npy"):
        check_output_path(tmp_path / "a.jpg", (".png", ".npy"))
    with pytest.raises(GanflowError, match="there is no folder"):
        check_output_path(tmp_path / "none" / "a.png", (".png",))
    for verb in ("wrote", "replaced"):
        write_output(tmp_path / "a.png", lambda path: path.write_text(""), "9 samples")
        assert capsys.readouterr().out == f"{verb} {tmp_path}/a.png: 9 samples\n"


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "0 s"), (40, "40 s"), (119, "119 s"), (130, "2 min"), (7100, "118 min"), (7300, "2 h"),
                          (172_700, "47 h"), (173_000, "2 d")],
)  # fmt: skip
def test_ages(seconds, text):
    late = text.replace("40", "41").replace("119", "120")  # a second may pass
    assert age((datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()) in (text, late)
    assert age(None) == age("yesterday") == ""


def test_the_last_entries_of_a_long_journal(tmp_path):
    folder = folders.make(RunFolder(tmp_path / "ring" / "1"))
    assert last_entries(folder.journal) == (None, None)
    journal = Journal(folder.journal)
    for round in range(1, 2001):
        journal.append(round, {"critic/w": 1.0} if round % 2 else {"frechet": 2.0})
    journal.close()
    assert folder.journal.stat().st_size > TAIL
    report, evaluation = last_entries(folder.journal)
    assert (report.round, evaluation.round) == (1999, 2000)
