"""ganflow sweeps, ganflow sweeps show, and how runs and sweeps share a folder."""

import json
import math
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ganflow.errors import GanflowError
from ganflow.runs.finding import find_run
from ganflow.runs.folders import RunFolder, locked
from ganflow.sweeps.records import SweepFolder
from ganflow.tune.plan import find

ROOT = Path("runs")


def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def make_sweep(command):
    """Makes runs/NAME as a sweep leaves it; scores of trials, None for one that diverged. The trials have folders."""

    def make(name="wgan-sweep-1", scores=(3.0, 1.5, None), id="20260102-030405-0000", states=None, trials=None, **about):
        folder = SweepFolder(ROOT.absolute() / name)
        folder.plots.mkdir(parents=True)
        told = {
            "kind": "sweep", "id": id, "name": name, "recipe": "wgan", "status": "finished", "metric": "frechet_512",
            "mode": "min", "trials": trials or len(scores), "rounds": 200,
            "pid": os.getpid(), "host": socket.gethostname(), "address": "local",
            "created": (datetime.now(UTC) - timedelta(hours=3)).isoformat(timespec="seconds"),
        }  # fmt: skip
        folder.update(**{**told, **about})
        folder.recipe.write_text("name: wgan\n")
        for number, score in enumerate(scores):
            state = states[number] if states else "finished" if score is not None else "diverged"
            folder.record(number, config={"optimizer.lr": 10.0**-number, "loss": {"use": "wgan/wasserstein"}}, state="waiting")
            folder.record(number, state=state, score=score, round=200, error="" if score is not None else "w became nan")
            run = folder.trial(number)
            run.path.mkdir()
            run.update(status="finished", round=200, rounds=200, created=told["created"])
        sound = [(score, number) for number, score in enumerate(scores) if score is not None]
        if sound:
            folder.update(best={"trial": min(sound)[1], "score": min(sound)[0]})
        return folder

    return make


def make_run(name, id):
    folder = RunFolder(ROOT.absolute() / name / id)
    folder.path.mkdir(parents=True)
    folder.update(status="finished", round=10, rounds=10, created="2026-01-01T12:00:00+00:00")
    return folder


def cells(text):
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in text.splitlines()]


def test_a_table_with_the_newest_sweep_last(make_sweep, command):
    make_sweep("b-sweep", id="20260103-000000-0000", scores=(), trials=16, status="waiting")
    make_sweep()
    make_run("wgan", "20260101-000000-0000")
    code, out, _ = command("sweeps")
    assert code == 0
    assert cells(out) == [
        ["name", "status", "trials", "metric", "best", "age"],
        ["wgan-sweep-1", "finished", "3/3", "frechet_512", "1.5 (trial 1)", "3 h"],
        ["b-sweep", "waiting", "0/16", "frechet_512", "3 h"],
    ]


def test_latest_is_the_sweep_that_was_begun_last(make_sweep, command):
    make_sweep("b-sweep", id="20260103-000000-0000", scores=(), trials=16, status="interrupted")
    make_sweep("a-sweep", id="20260102-000000-0000")
    make_sweep("seeds", id="20260104-000000-0000", seeds=[1, 2])
    (make_sweep("broken", id="20260105-000000-0000").path / "run.json").write_text("{")
    make_run("wgan", "20260106-000000-0000")
    assert command("sweeps", "show", "latest")[1].startswith("seeds  20260104-000000-0000  ")
    assert "b-sweep" in str(find("latest", ROOT).path)  # what `ganflow tune --resume latest` means
    assert "b-sweep does not run (interrupted)" in command.refused("sweeps", "stop", "b-sweep")


def test_a_sweep_that_is_called_latest_is_meant_by_its_name(make_sweep, command):
    make_sweep("latest", id="20260101-000000-0000")
    make_sweep("b-sweep")
    assert command("sweeps", "show", "latest")[1].startswith("latest  20260101-000000-0000  ")


def test_no_sweeps_is_said(command):
    assert command("sweeps") == (0, "no sweeps in runs/ yet; start one with: ganflow tune wgan\n", "")
    assert command("sweeps", "--json")[1] == "[]\n"
    assert command.refused("sweeps", "show", "x") == "ganflow: no sweeps in runs/ yet; start one with: ganflow tune wgan"


def test_a_sweep_whose_process_is_gone_was_killed(make_sweep, command):
    make_sweep(status="running", pid=dead_pid(), states=["finished", "running", "waiting"])
    (found,) = json.loads(command("sweeps", "--json")[1])
    assert (found["status"], found["over"], found["trials"]) == ("killed", 1, 3)
    assert found["states"] == {"waiting": 2, "finished": 1}  # nothing runs
    assert found["best"]["trial"] == 0  # not the one that runs, with a better score, which is of fewer rounds
    assert "go on       ganflow tune --resume wgan-sweep-1" in command("sweeps", "show", "wgan-sweep-1")[1]


def test_damage_in_one_sweep_does_not_hide_the_others(make_sweep, command):
    torn, broken, gone = make_sweep("torn"), make_sweep("broken", id="20260101-000000-0000"), make_sweep("gone")
    torn.records.write_text("nonsense\n")
    (broken.path / "run.json").write_text("{")
    (gone.path / "run.json").unlink()
    make_sweep("whole")
    code, out, err = command("sweeps")
    assert code == 0
    assert all(f"{sweep.path}/" in err for sweep in (torn, broken, gone))
    assert {row[0]: row[1] for row in cells(out)[1:]} == {
        "torn": "damaged", "broken": "damaged", "gone": "damaged", "whole": "finished"
    }  # fmt: skip
    assert command("runs")[0] == 0
    assert "run.json is missing; restore it from a backup" in command.refused("sweeps", "show", "gone")
    assert "is damaged: not a trial's record" in command.refused("sweeps", "show", "torn")


def test_show_tells_all(make_sweep, command):
    folder = make_sweep()
    folder.best.write_text("name: wgan\n")
    (folder.plots / "history.png").write_bytes(b"")
    code, out, _ = command("sweeps", "show", "wgan-sweep-1")
    assert code == 0
    for text in (
        "wgan-sweep-1  20260102-030405-0000  finished",
        "folder      runs/wgan-sweep-1",
        "trials      3 of 3 are over: 2 finished, 1 diverged",
        "metric      frechet_512, less is better",
        "best        1.5 (trial 1): lr 0.1, loss wasserstein",
        "run it      ganflow run runs/wgan-sweep-1/best.yaml",
        "files       in runs/wgan-sweep-1/: best.yaml, recipe.yaml, plots/history.png",
    ):
        assert text in out
    assert cells(out)[-5:] == [
        ["trial", "state", "frechet_512", "round", "lr"],
        ["1", "finished", "1.5", "200/200", "0.1"],
        ["0", "finished", "3", "200/200", "1"],
        ["2", "diverged", "200/200", "0.01"],
        ["w became nan"],
    ]
    facts = json.loads(command("sweeps", "show", "runs/wgan-sweep-1", "--json")[1])
    assert [trial["number"] for trial in facts["results"]] == [1, 0, 2]
    assert facts["results"][0]["config"]["loss"] == {"use": "wgan/wasserstein"}
    assert facts["results"][0]["run"] == str(folder.trial(1).path)
    assert str(folder.best) in facts["files"]


def test_show_reads_the_journals_of_trials_that_run(make_sweep, command):
    folder = make_sweep(scores=(3.0, None), states=["finished", "running"], status="running")
    folder.record(1, round=0)
    entries = [{"round": 50, "values": {"frechet_512": 0.5}}, {"round": 60, "values": {"critic/w": 1.0}}]
    folder.trial(1).journal.write_text("".join(json.dumps({"time": 0.0, **entry}) + "\n" for entry in entries))
    with locked(folder):
        out = command("sweeps", "show", "wgan-sweep-1")[1]
    assert ["1", "running", "0.5", "60/200", "0.1"] in cells(out)
    assert "best        3 (trial 0): " in out  # the best of those that are finished


def test_show_says_who_leads_while_none_is_finished(make_sweep, command):
    folder = make_sweep(scores=(3.0, 1.5, 0.5), states=["running", "running", "stopped"], status="running")
    lines = cells(command("sweeps", "show", folder.sweep)[1])
    said = "trial 1, frechet_512 1.5 at round 200/200: lr 0.1, loss wasserstein (no trial is finished yet)"
    assert ["leading", said] in lines
    assert not any(line[:1] == ["best"] for line in lines)
    folder.record(0, state="finished")
    lines = cells(command("sweeps", "show", folder.sweep)[1])
    assert not any(line[:1] == ["leading"] for line in lines)
    assert any(line[:1] == ["best"] for line in lines)


@pytest.mark.parametrize(
    ("run", "score"),
    [
        ({"copies": 1, "copied_at": 120}, 0.5),  # of round 150
        ({"copies": 1, "copied_at": 150}, None),  # nothing of these values yet
        ({"copies": 0}, None),  # the copy is decided, and not begun
    ],
)
def test_a_score_of_values_that_a_trial_no_longer_has_is_not_shown_with_the_new_ones(make_sweep, command, run, score):
    """Population based training."""
    folder = make_sweep(scores=(2.0, 4.0), states=["finished", "running"], status="interrupted")
    folder.record(1, config={"optimizer.lr": 0.25}, copied=[(0, 120)], score=None)
    folder.trial(1).update(status="running", **run)
    entries = [{"round": r, "values": {"frechet_512": s}} for r, s in ((100, 3.0), (150, 0.5))]
    folder.trial(1).journal.write_text("".join(json.dumps({"time": 0.0, **entry}) + "\n" for entry in entries))
    _, out, _ = command("sweeps", "show", "wgan-sweep-1", "--json")
    (shown,) = [trial for trial in json.loads(out)["results"] if trial["number"] == 1]
    assert (shown["config"], shown["score"], shown["round"]) == ({"optimizer.lr": 0.25}, score, 200)


def test_a_name_that_is_not_there(make_sweep, command):
    make_sweep()
    make_sweep("other")
    refused = command.refused("sweeps", "show", "wgan-sweep-2")
    assert refused == "ganflow: no sweep 'wgan-sweep-2' in runs/; did you mean 'wgan-sweep-1'? (ganflow sweeps lists them)"
    assert "did you mean" not in command.refused("sweeps", "show", "zzz")
    assert "show which sweep?" in command.refused("sweeps", "show")
    assert "--write goes with show" in command.refused("sweeps", "--write")


def test_write_makes_what_there_is(make_sweep, command):
    folder = make_sweep(scores=())
    code, _, err = command("sweeps", "show", "wgan-sweep-1", "--write")
    assert (code, err) == (0, "ganflow: no best.yaml and no plots: no trial has a score\n")
    assert (folder.path / "trials.csv").exists()


def test_scores_that_are_no_numbers_are_no_best(make_sweep, command):
    make_sweep(scores=(math.nan, 2.0))
    (found,) = json.loads(command("sweeps", "--json")[1])
    assert found["best"]["trial"] == 1


def test_runs_folds_the_trials_of_a_sweep(make_sweep, command):
    make_sweep(trials=16)
    make_run("wgan", "20260101-000000-0000")
    make_run("gan", "20260103-000000-0000")
    rows = cells(command("runs")[1])
    assert [row[:4] for row in rows[1:]] == [
        ["wgan", "20260101-000000-0000", "finished", "10/10"],
        ["wgan-sweep-1", "20260102-030405-0000", "finished", "3/16 trials"],
        ["gan", "20260103-000000-0000", "finished", "10/10"],
    ]
    assert rows[2][-1] == "best frechet_512 1.5"
    assert len(cells(command("runs", "--all")[1])) == 1 + 2 + 3
    assert [run["id"] for run in json.loads(command("runs", "--json")[1])] == [row[1] for row in rows[1:]]


def test_what_means_a_sweep_means_its_best_trial(make_sweep):
    folder = make_sweep()
    best = folder.trial(1)
    for meant in ("wgan-sweep-1", "runs/wgan-sweep-1", str(folder.path), folder.id, "20260102-03", "latest"):
        assert find_run(meant, ROOT) == best
    assert find_run(folder.trial(2).id, ROOT) == folder.trial(2)
    assert find_run(str(folder.trial(0).path), ROOT) == folder.trial(0)
    newer = make_run("wgan", "20260103-000000-0000")
    assert find_run("latest", ROOT) == newer
    with pytest.raises(GanflowError, match=r"'2026010' is the beginning of 4 runs"):
        find_run("2026010", ROOT)


def test_many_runs_of_one_beginning_are_not_all_listed(make_sweep):
    make_sweep(scores=[1.0] * 30)
    with pytest.raises(GanflowError) as told:
        find_run("20260102-030405-0000-t00", ROOT)
    assert len(str(told.value)) < 300


def test_a_sweep_without_a_score_has_no_best(make_sweep):
    make_sweep(scores=(None,))
    with pytest.raises(GanflowError, match="no trial of the sweep wgan-sweep-1 is finished yet"):
        find_run("wgan-sweep-1", ROOT)


def test_hundreds_of_trials_are_listed_without_opening_their_folders(make_sweep, command, monkeypatch):
    folder = make_sweep(scores=[float(n) for n in range(400)])
    read = []
    real = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda self, *a, **k: read.append(self) or real(self, *a, **k))
    monkeypatch.setattr("ganflow.cli.runs.last_entries", lambda folder: pytest.fail(f"{folder} was opened"))
    for arguments in (("sweeps",), ("runs",)):
        assert command(*arguments)[0] == 0
    assert not [path for path in read if path.absolute().parent != folder.path]
    assert len(read) < 20


def test_listing_sweeps_imports_nothing_heavy(make_sweep):
    make_sweep()
    code = (
        "import sys; from ganflow.cli.main import main; main(['sweeps']); main(['sweeps', 'show', 'wgan-sweep-1'])\n"
        "heavy = {'torch', 'numpy', 'mlflow', 'ray', 'PIL', 'matplotlib', 'omegaconf', 'rich'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
