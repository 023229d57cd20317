"""A damaged newest checkpoint: nobody silently gets older weights."""

import shlex
from types import SimpleNamespace

import pytest
import torch
from runner_helpers import only_run

from ganflow.errors import NewestDamaged
from ganflow.runs.loading import load_game
from ganflow.sweeps.records import TrialRecord


def damage(run, round):
    """Turn one byte of the numbers around."""
    path = run.checkpoints / f"round-{round:08d}.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-9] ^= 0x40
    path.write_bytes(raw)
    return path


@pytest.fixture
def run(work, ganflow):
    """A run of six rounds whose newest checkpoint is damaged."""
    assert ganflow("run", "tiny.yaml", "-q", "~metrics")[0] == 0
    found = only_run(work / "runs")
    damage(found, 6)
    return found


def typed(err):
    """The line that a message gives to type."""
    line = err.strip().rpartition("to use that: ")[2]
    program, *arguments = shlex.split(line)
    assert program == "ganflow"
    return arguments


@pytest.mark.parametrize(
    "command",
    [
        ("sample", "tiny", "-n", "4"),
        ("sample", "tiny", "--checkpoint", "last", "-o", "a picture.png"),
        ("interpolate", "tiny", "--checkpoint=last", "--steps", "3"),
        ("inpaint", "tiny", "--held-out", "1", "--iterations", "2", "--starts", "1", "-n", "1"),
    ],
    ids=" ".join,
)
def test_commands_refuse_and_say_what_to_type(run, work, ganflow, command):
    before = sorted(work.rglob("*"))
    code, out, err = ganflow(*command)
    assert (code, out) == (2, "")
    assert err.startswith(f"ganflow: the newest checkpoint of run {run.id} is damaged: round-00000006.safetensors does not match")
    assert "the newest whole one is round-00000005.safetensors, of round 5; to use that: ganflow" in err
    assert sorted(work.rglob("*")) == before
    arguments = typed(err)
    assert arguments[1:3] == ["--checkpoint", f"runs/tiny/{run.id}/checkpoints/round-00000005.safetensors"]
    code, out, err = ganflow(*arguments)
    assert (code, err) == (0, "")
    assert "wrote " in out


@pytest.mark.parametrize("command", [("reconstruct", "tiny"), ("translate", "tiny"), ("translate", "tiny", "x.png", "--to", "b")])
def test_commands_for_other_runs_ask_for_it_too(run, ganflow, command):
    code, _, err = ganflow(*command)
    assert code == 2
    assert typed(err)[0] == command[0]
    assert "reconstructs nothing" in (said := ganflow(*typed(err))[2]) or "does not translate" in said  # the line is understood


def test_in_python(run):
    with pytest.raises(NewestDamaged) as caught:
        load_game(run)
    older = load_game(run, str(caught.value.instead))
    whole = load_game(run, str(run.checkpoints / "round-00000005.safetensors"))
    assert all(torch.equal(a, b) for a, b in zip(older.parameters(), whole.parameters(), strict=True))


def test_a_run_starts_from_it_only_when_told_to(run, work, ganflow):
    (work / "next.yaml").write_text((work / "tiny.yaml").read_text().replace("name: tiny", "name: next"))
    code, _, err = ganflow("run", "next.yaml", "-q", "~metrics", "train.start_from=tiny")
    assert code == 2
    assert not (work / "runs" / "next").exists()
    change = shlex.split(err.strip().rpartition("to start from that: ")[2])
    assert change == [f"train.start_from=runs/tiny/{run.id}/checkpoints/round-00000005.safetensors"]
    assert ganflow("run", "next.yaml", "-q", "~metrics", *change)[0] == 0
    (begun,) = (work / "runs" / "next").iterdir()
    assert '"round": 5' in (begun / "run.json").read_text()


def test_a_resumed_run_says_so_also_when_quiet_and_notes_it(run, ganflow):
    code, _, err = ganflow("run", "--resume", "latest", "-q")
    assert code == 0
    assert err.splitlines() == [
        "damaged checkpoint passed over: round-00000006.safetensors does not match its digest",
        "going on from round 5",
    ]
    noted = {"checkpoint": "round-00000006.safetensors", "why": "round-00000006.safetensors does not match its digest"}
    assert run.read().damaged == [{**noted, "gone_on_from": 5}]
    assert ganflow("sample", "tiny", "-n", "4")[0] == 0
    assert ganflow("run", "--resume", "latest", "-q")[2] == ""
    assert len(run.read().damaged) == 1


def test_a_trial_goes_on_notes_it_and_the_sweep_says_so(run, work):
    """Without Ray: the trial's run, and what the driver makes of it when it is over."""
    from ganflow.recipe import read_recipe
    from ganflow.runs.start import open_trial
    from ganflow.tune.watcher import Watcher

    session = open_trial(read_recipe(work / "tiny.yaml", ["~metrics"]), run, {})
    assert session.finish().round == 6
    assert [file["gone_on_from"] for file in run.read().damaged] == [5]

    said = []
    driver = SimpleNamespace(trial=lambda number: run, update=lambda **values: None)
    book = SimpleNamespace(folder=driver, trials={0: TrialRecord(0, {"a": 1}, "running")})
    book.repeats = SimpleNamespace(objectives={})
    journal = SimpleNamespace(rewind=lambda round: None, close=lambda: None)
    display = SimpleNamespace(warn=said.append, note=said.append, update=lambda trials: None)
    book.record = lambda number, **values: None
    book.pooled = book.searched = lambda: list(book.trials.values())
    Watcher(book, journal, "min", display).end()
    assert said == [
        "trial 0: damaged checkpoint passed over: round-00000006.safetensors does not match its digest; gone on from round 5"
    ]
