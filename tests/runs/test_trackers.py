"""Trackers: fed from the journal, nothing double after a resume, nothing lost after a kill; a broken one stops no training."""

import json
import math
import struct
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from runner_helpers import Process, finished, last_round, only_run
from tensorboardX.proto.event_pb2 import Event

from ganflow.errors import GanflowError
from ganflow.packed.session import PackSession
from ganflow.recipe import read_recipe
from ganflow.runs.folders import RunFolder
from ganflow.runs.journal import entries
from ganflow.runs.start import open_trial, resume, start

RECIPE = """
name: tracked
data: {use: gaussians, layout: ring, samples: 500}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 8}
critic: {use: mlp, width: 8}
loss: wasserstein
optimizer: {use: rmsprop, lr: 1.0e-3}
modifiers: [{use: weight_clip, c: 0.05}]
metrics: [{use: modes, samples: 64}]
trackers: [tensorboard, jsonl]
train: {rounds: 8, batch_size: 8, threads: 1, compile: never, report_every: 2, sample_every: 4, checkpoint_every: 3,
        evaluate_every: 4}
track: {mlflow: false}
"""
PACKAGE = '''
"""Trackers in somebody else's package."""
from ganflow import hookimpl, key, settings
from ganflow.contract.roles import Tracker


class Fragile(Tracker):
    def __init__(self, where, at):
        self.where, self.at = where, at

    def begin(self, run):
        self.lines = open(run.folder / "fragile.txt", "w")
        self.do("begin", 0)

    def values(self, round, time, values):
        self.do("values", round)

    def picture(self, round, path):
        self.do("picture", round)

    def end(self, status):
        self.do("end", 0)
        self.lines.close()

    def do(self, what, round):
        print(what, round, file=self.lines, flush=True)
        if what == self.where and round == self.at:
            self.lines.close()
            raise ConnectionError("the server is away")


@settings
class FragileSettings:
    """Breaks where it is asked to."""

    where: str = key("never", "in which method")
    at: int = key(0, "in which round")

    @hookimpl
    def tracker(self):
        return Fragile(self.where, self.at)


GANFLOW_CONTRACT = 2


@hookimpl
def register(offer):
    offer("tracker", "fragile", FragileSettings)
'''


@pytest.fixture
def tracked(work):
    (work / "tracked.yaml").write_text(RECIPE)
    return work


def recipe(*changes):
    return read_recipe("tracked.yaml", list(changes))


def event_files(run):
    """What the run's event files say, by TensorBoard's own format: (round, name, value) of scalars, and rounds of pictures."""
    scalars, pictures = [], {}
    for path in sorted((run.path / "tensorboard").iterdir()):
        raw = path.read_bytes()
        while raw:
            (length,) = struct.unpack("<Q", raw[:8])  # then a checksum, the event, its checksum
            event, raw = Event.FromString(raw[12 : 12 + length]), raw[16 + length :]
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    scalars.append((event.step, value.tag, value.simple_value, event.wall_time))
                elif value.HasField("image"):
                    pictures[event.step] = (value.image.height, value.image.width)
    return scalars, pictures


def size(path):
    """Height and width of a picture."""
    with Image.open(path) as opened:
        return opened.size[::-1]


def lines(run, name="events.jsonl"):
    return [json.loads(line) for line in (run.path / name).read_text().splitlines()]


def check(run, status="finished"):
    """Both trackers have what the journal has, in its sequence and once, and every picture once."""
    journal = [(e.round, e.time, e.values) for e in entries(run.journal)]
    found = lines(run)
    assert found[0]["event"] == "begin"
    assert (found[0]["name"], found[0]["id"], found[0]["recipe"]["train"]["batch_size"]) == (run.name, run.id, 8)
    assert [(v["round"], v["time"], v["values"]) for v in found if v["event"] == "values"] == journal
    assert found[-1] == {"event": "end", "status": status}
    drawn = {int(path.stem[6:]): size(path) for path in run.samples.iterdir()}
    told = [line["round"] for line in found if line["event"] == "picture"]
    assert sorted(told) == sorted(drawn)
    scalars, pictures = event_files(run)
    flat = [(round, name, float(np.float32(value)), time) for round, time, values in journal for name, value in values.items()]
    assert Counter(scalars) == Counter(flat)
    assert pictures == drawn


def test_what_the_journal_says(tracked):
    run = start(recipe(), tracked / "runs", quiet=True).folder
    check(run)
    assert {"critic/wasserstein", "lr/critic", "modes_64"} <= {name for _, name, _, _ in event_files(run)[0]}


@pytest.mark.parametrize("rounds", [2, 6])
def test_nothing_is_double_after_a_resume(tracked, rounds):
    run = start(recipe(f"train.rounds={rounds}"), tracked / "runs", quiet=True).folder
    with (run.path / "events.jsonl").open("a") as file:  # what a killed process said of rounds that come again
        file.write('{"event": "values", "round": 99, "time": 0, "values": {}}\n{"torn')
    with run.journal.open("a") as file:
        file.write('{"round": 99, "time": 1.0, "values": {"critic/wasserstein": 1.0}}\n')
    resume(run, quiet=True, overrides=["train.rounds=8"])
    check(run)


def test_trackers_may_change_when_a_run_goes_on(tracked):
    run = start(recipe("train.rounds=4", "~trackers"), tracked / "runs", quiet=True).folder
    assert not (run.path / "events.jsonl").exists()
    resume(run, quiet=True, overrides=["train.rounds=8", "+trackers=jsonl", "+trackers=tensorboard"])
    check(run)
    resume(run, quiet=True, overrides=["train.rounds=10", "~trackers[0]"])
    assert lines(run)[-2]["round"] == 8


def test_numbers_that_json_has_not(tracked):
    from ganflow_trackers.lines import LinesTracker

    from ganflow.contract.roles import TrackedRun

    tracker = LinesTracker("x.jsonl")
    tracker.begin(TrackedRun("a", "b", tracked, {}))
    tracker.values(1, 2.0, {"a": math.nan, "b": -math.inf, "c": 1.5})
    tracker.end("failed")
    assert json.loads((tracked / "x.jsonl").read_text().splitlines()[1])["values"] == {"a": "nan", "b": "-inf", "c": 1.5}


@pytest.mark.parametrize("name", ["../x.jsonl", "/x.jsonl", "metrics.jsonl", "run.json", "samples/x.jsonl", ".jsonl"])
def test_no_file_but_a_new_one_in_the_runs_folder(tracked, ganflow, name):
    code, _, err = ganflow("run", "tracked.yaml", f"trackers[1]={{use: jsonl, file: {name}}}")
    assert code == 2
    assert "cannot be written to; use a plain name that ends in .jsonl" in err
    assert not (tracked / "runs").exists()


@pytest.mark.parametrize(
    ("where", "at", "last"), [("begin", 0, "begin 0"), ("values", 4, "values 4"), ("picture", 4, "picture 4")]
)
def test_one_that_raises_is_named_once_and_training_goes_on(tracked, plugin, ganflow, where, at, last):
    plugin("acme", PACKAGE)
    code, _, err = ganflow("run", "tracked.yaml", f"+trackers={{use: fragile, where: {where}, at: {at}}}", "-q")
    assert code == 0
    sentence = "tracker 'acme/fragile' (gf-acme 1.0) failed: ConnectionError: the server is away; training goes on without it"
    assert err.count(sentence) == 1
    run = only_run(tracked / "runs")
    assert (run.path / "fragile.txt").read_text().splitlines()[-1] == last
    assert run.read().untracked == [sentence]
    check(run)
    code, _, err = ganflow("run", "--resume", "latest", "train.rounds=10", "trackers[2].where=never", "-q")
    assert (code, run.read().untracked) == (0, [])


def test_how_a_run_ends(tracked):
    with pytest.raises(GanflowError, match="became"):
        start(recipe("optimizer.lr=1.0e30", "~modifiers", "train.rounds=100"), tracked / "runs", quiet=True)
    assert [line["status"] for line in lines(only_run(tracked / "runs")) if line["event"] == "end"] == ["failed"]


def test_every_trial_has_its_own(tracked):
    about = {"sweep": "s", "tracking": {"mlflow": False}}
    folders = [RunFolder(tracked / "runs" / "sweep" / f"s-t{i:04d}") for i in range(3)]
    for _ in open_trial(recipe(), folders[0], about):
        pass
    for _ in PackSession([(recipe(f"train.seed={i}"), folder, about) for i, folder in enumerate(folders[1:])]):
        pass
    for folder in folders:
        found = lines(folder)
        journal = [(e.round, e.values) for e in entries(folder.journal)]
        assert [(v["round"], v["values"]) for v in found if v["event"] == "values"] == journal
        assert found[-1]["event"] == "end"


def test_tensorboard_names_what_to_install(tracked, ganflow, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tensorboardX", None)
    code, _, err = ganflow("run", "tracked.yaml")
    assert code == 2
    assert "tracker 'tensorboard' needs the package tensorboardX: pip install tensorboardX" in err


@pytest.mark.slow
def test_a_kill_loses_nothing(tracked):
    command = ["run", "tracked.yaml", "train.rounds=2000", "train.report_every=1", "-q"]
    for _ in range(2):
        with Process(tracked, *command) as process:
            began = last_round(process.run) if process.run else 0
            process.until(lambda process=process, began=began: process.reached(began + 40))
            assert process.kill()
        command = ["run", "--resume", "latest", "-q"]
    run = only_run(tracked / "runs")
    assert finished(tracked, *command, "train.rounds=" + str(last_round(run) + 20))[0] == 0
    check(run)


class Sender:
    """Stands in for the process that sends a run's folder."""

    def __init__(self, folder, calls):
        self.folder, self.calls = folder, calls

    def start(self, say):
        self.calls.append(("start", self.folder.read().status))
        return "a note"

    def finish(self, timeout):
        self.calls.append(("finish", timeout, self.folder.read().status))

    def stop(self):
        self.calls.append(("stop",))


def test_a_runs_sender_is_the_callers(tracked, capsys):
    calls = []

    def send(recipe, runs):
        calls.append(("check", runs.exists()))
        return lambda folder: Sender(folder, calls)

    wanted = recipe("track.wait=7", "train.rounds=4")
    start(wanted, tracked / "runs", send=send)
    assert calls == [("check", False), ("start", "running"), ("finish", 7, "finished"), ("stop",)]
    assert "a note\n" in capsys.readouterr().err

    def refuse(recipe, runs):
        raise GanflowError("not there")

    with pytest.raises(GanflowError, match="not there"):
        start(wanted, tracked / "others", send=refuse)
    assert not (tracked / "others").exists()
