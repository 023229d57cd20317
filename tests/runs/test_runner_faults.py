"""Whatever goes wrong: one sentence, exit code 2, no traceback, and nothing that was trained is lost."""

import re
import shlex
from pathlib import Path

import pytest
import torch
from runner_helpers import assert_same_state, files, finished, last, only_run

from ganflow.runs.checkpoints import BEST, read
from ganflow.runs.folders import RunFolder
from ganflow.runs.loading import load_game

FAULTY = '''
from typing import Literal

from ganflow import hookimpl, key, settings

Kind = Literal["nan", "inf", "raise", "exit", "vector", "weights", "none"]


@settings
class Faulty:
    """Goes wrong in round `at`."""

    kind: Kind = key("none", "how")
    at: int = key(4, "when, counted from where the process begins")

    @hookimpl
    def terms(self):
        from gf_faulty.terms import FaultyTerms

        return FaultyTerms(self)

    @hookimpl
    def generator_stepped(self, game):
        if self.kind == "weights":
            self.at -= 1
            if self.at == 0:
                game.parameters_of("generator")[0].data[-1] = float("nan")


@settings
class Events:
    """Raises in an event."""

    event: str = key("run_started", "which")

    @hookimpl
    def run_started(self, game):
        self.maybe("run_started")

    @hookimpl
    def round_reported(self, game, report):
        self.maybe("round_reported", report.round == 2)

    @hookimpl
    def checkpointed(self, game, round, path):
        self.maybe("checkpointed", round == 2)

    @hookimpl
    def run_ended(self, game, status):
        self.maybe("run_ended")

    def maybe(self, event, now=True):
        if event == self.event and now:
            raise LookupError(f"{event} is too much")


@settings
class Patchy:
    """A score that cannot always be computed."""

    @hookimpl
    def metric(self, data):
        from gf_faulty.terms import PatchyMetric

        return PatchyMetric()


@settings
class Critic:
    """Cannot be built."""

    @hookimpl
    def critic(self, data):
        raise KeyError("width")


@settings
class Big:
    """Made for 64 pixels."""

    @hookimpl
    def critic(self, data):
        from torch import nn

        return nn.Sequential(nn.Flatten(), nn.Linear(64 * 64, 1))


@settings
class Strict:
    """Checks what it is given."""

    @hookimpl
    def critic(self, data):
        from gf_faulty.terms import StrictCritic

        return StrictCritic()


GANFLOW_CONTRACT = 2


@hookimpl
def register(offer):
    offer("modifier", "faulty", Faulty)
    offer("modifier", "events", Events)
    offer("metric", "patchy", Patchy)
    offer("critic", "broken", Critic)
    offer("critic", "big", Big)
    offer("critic", "strict", Strict)
'''
TERMS = '''
import math

import torch
from torch import nn

from ganflow import AddedTerms, Metric


class FaultyTerms(AddedTerms):
    def __init__(self, settings):
        self.kind, self.at = settings.kind, settings.at
        self.rounds = 0

    def generator_terms(self, step):
        self.rounds += 1
        term = torch.zeros(())
        if self.rounds == self.at:
            if self.kind == "raise":
                raise ZeroDivisionError("half a batch")
            if self.kind == "exit":
                raise SystemExit(0)
            term = {"nan": term / 0, "inf": 1 / term, "vector": torch.zeros(3)}.get(self.kind, term)
        return {"faulty": term}


class PatchyMetric(Metric):
    goal = "max"

    def __init__(self):
        self.scores = iter([math.nan, 1.0, 3.0, math.nan, 2.0])

    def evaluate(self, game):
        return {"patchy": next(self.scores)}


class StrictCritic(nn.Linear):
    def __init__(self):
        super().__init__(64 * 64, 1)

    def forward(self, x):
        if x.shape[-1] != 64:
            raise ValueError(f"64 pixels, not {x.shape[-1]}")
        return super().forward(x.flatten(1))
'''


@pytest.fixture
def faulty(plugin):
    site = plugin("faulty", FAULTY)
    (site / "gf_faulty" / "terms.py").write_text(TERMS)
    return site


def played(run):
    return sorted(int(p.stem.removeprefix("round-")) for p in run.checkpoints.glob("round-*.safetensors"))


@pytest.mark.parametrize(("kind", "number"), [("nan", "nan"), ("inf", "inf")])
def test_a_term_that_is_not_finite(work, ganflow, faulty, kind, number):
    code, out, err = ganflow("run", "tiny.yaml", "-q", f"+modifiers={{use: faulty, kind: {kind}}}")
    run = only_run(work / "runs")
    assert (code, out, err.count("\n")) == (2, "", 1)
    good = run.checkpoints / "round-00000003.safetensors"
    assert err.startswith(f"ganflow: generator/faulty became {number} in round 4; the last good checkpoint is {good}. Try")
    assert played(run) == [1, 2, 3]
    assert run.read().status == "failed"
    assert "generator/faulty became" in run.read().error
    assert all(torch.isfinite(p).all() for p in load_game(run).generator.parameters())


def test_the_round_is_found_between_reports(work, ganflow, faulty):
    every = ("train.rounds=20", "train.report_every=10", "train.checkpoint_every=10")
    err = ganflow("run", "tiny.yaml", "~metrics", "-q", "+modifiers={use: faulty, kind: nan, at: 14}", *every)[2]
    run = only_run(work / "runs")
    assert f"generator/faulty became nan in round 14; the last good checkpoint is {run.checkpoints}/round-00000010" in err
    assert played(run) == [10]


def test_before_the_first_checkpoint(work, ganflow, faulty):
    err = ganflow("run", "tiny.yaml", "-q", "+modifiers={use: faulty, kind: nan, at: 1}")[2]
    assert "generator/faulty became nan in round 1; there is no checkpoint yet. Try" in err


def test_a_learning_rate_that_is_far_too_large(work, ganflow):
    code, _, err = ganflow("run", "tiny.yaml", "optimizer.lr=1e30", "-q", "train.rounds=20")
    assert code == 2
    assert re.match(r"ganflow: (critic|generator)/\w+ became (nan|-?inf) in round \d+; the", err)
    run = only_run(work / "runs")
    for round in played(run):
        weights = last(run).tensors
        assert all(torch.isfinite(t).all() for name, t in weights.items() if name.startswith("game.")), round


def test_weights_that_are_not_finite_are_not_kept(work, ganflow, faulty):
    code, _, err = ganflow("run", "tiny.yaml", "-q", "+modifiers={use: faulty, kind: weights}")
    assert code == 2
    assert "a weight of the generator became nan in round 4; the last good checkpoint is" in err
    assert played(only_run(work / "runs")) == [1, 2, 3]


def test_a_score_that_is_not_a_number_is_never_the_best(work, ganflow, faulty):
    scored = ("metrics=[{use: patchy}]", "train.rounds=5", "train.evaluate_every=1")
    assert ganflow("run", "tiny.yaml", "-q", *scored)[0] == 0
    run = only_run(work / "runs")
    assert run.read().best == {"metric": "patchy", "score": 3.0, "round": 3}
    assert read(run.checkpoints / BEST).round == 3


def test_a_plugin_that_raises_in_the_middle_of_a_run(work, ganflow, faulty):
    code, out, err = ganflow("run", "tiny.yaml", "-q", "+modifiers={use: faulty, kind: raise}")
    run = only_run(work / "runs")
    what = "plugin 'faulty' (gf-faulty 1.0) failed after 3 rounds: ZeroDivisionError: half a batch"
    told = run.read().error
    place = told.removeprefix(f"{what} (").removesuffix(f"); the traceback is in {run.path}/error.txt")
    assert (code, out, err) == (2, "", f"ganflow: {told}\n")
    file, _, line = place.rpartition(":")
    assert "half a batch" in Path(file).read_text().splitlines()[int(line) - 1]
    assert run.read().status == "failed"
    trace = (run.path / "error.txt").read_text()
    assert "Traceback" in trace
    assert "terms.py" in trace
    assert played(run) == [1, 2, 3]

    code, _, err = ganflow("run", "--resume", "latest", "-q")  # the fault comes in a process's fourth round: not this time
    assert code == 0, err
    assert run.read().status == "finished"
    assert run.read().error == ""
    assert not (run.path / "error.txt").exists()
    assert ganflow("run", "tiny.yaml", "-q", "+modifiers={use: faulty, kind: raise, at: 99}", "--runs", "alone")[0] == 0
    assert_same_state(run, only_run(work / "alone"))


def test_a_plugin_that_wants_to_end_the_process(work, ganflow, faulty):
    code, _, err = ganflow("run", "tiny.yaml", "-q", "+modifiers={use: faulty, kind: exit}")
    assert code == 2
    assert "plugin 'faulty' (gf-faulty 1.0) failed after 3 rounds: SystemExit" in err


def test_a_term_that_is_no_scalar(work, ganflow, faulty):
    code, _, err = ganflow("run", "tiny.yaml", "-q", "+modifiers={use: faulty, kind: vector, at: 1}")
    assert code == 2
    assert "faulty" in err
    assert "(3,)" in err


@pytest.mark.parametrize(
    ("event", "rounds", "kept"),
    [("run_started", 0, []), ("round_reported", 2, [1]), ("checkpointed", 2, [1, 2]), ("run_ended", 6, [4, 5, 6])],
)
def test_a_plugin_that_raises_in_an_event(work, ganflow, faulty, event, rounds, kept):
    code, _, err = ganflow("run", "tiny.yaml", "-q", f"+modifiers={{use: events, event: {event}}}")
    run = only_run(work / "runs")
    assert (code, err.count("\n")) == (2, 1)
    assert f"plugin 'faulty' (gf-faulty 1.0) failed after {rounds} rounds: LookupError: {event} is too much (" in err
    assert run.read().status == "failed"
    assert played(run) == kept


def test_debug_shows_the_traceback(work, faulty):
    command = ("run", "tiny.yaml", "-q", "+modifiers={use: faulty, kind: raise}")
    code, out, err = finished(work, *command, path=[faulty])
    assert (code, out) == (2, "")
    assert err.startswith("ganflow: plugin 'faulty'")
    assert err.count("\n") == 1
    code, _, err = finished(work, *command, "--debug", path=[faulty])
    assert code != 0
    assert "Traceback" in err
    assert "ZeroDivisionError: half a batch" in err
    assert "terms.py" in err


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (["critic={use: broken}"], "plugin 'faulty' (gf-faulty 1.0) failed when the run was built: KeyError: 'width' (/"),
        (["critic={use: strict}"], "does not take examples of shape (1, 32, 32), which data 'digits' has: ValueError: 64 p"),
        (["critic={use: big}"], "critic 'big' does not take examples of shape (1, 32, 32), which data 'digits' has"),
        (["train.start_from=latest"], "no runs in"),
        (["train.batch_size=0"], "train.batch_size"),
        (["train.device=cuda:99"], "train.device: this machine has no cuda:99; use auto or cpu"),
        (["data={use: image_folder, path: nowhere}"], "data.path: there is no folder nowhere"),
    ],
)
def test_nothing_is_written_for_a_recipe_that_does_not_fit(work, ganflow, faulty, changes, told):
    before = sorted(work.rglob("*"))
    code, out, err = ganflow("run", "tiny.yaml", "-q", "data.size=32", *changes)
    assert (code, out) == (2, "")
    assert told in err
    assert [p for p in sorted(work.rglob("*")) if "__pycache__" not in p.parts] == before


def test_a_plugin_of_an_earlier_contract_is_refused_in_one_sentence(work, ganflow, plugin):
    plugin("earlier", FAULTY.replace("GANFLOW_CONTRACT = 2", ""))
    code, out, err = ganflow("run", "tiny.yaml", "-q", "+modifiers={use: faulty}")
    assert (code, out, err.count("\n")) == (2, "", 1)
    wanted = "plugin 'earlier' (gf-earlier 1.0): it was written for version 1 of the plugin contract, and this ganflow has"
    assert f"{wanted} version 2; docs/porting.md says how to port it" in err


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_device_that_is_not_there(work, ganflow):
    code, _, err = ganflow("run", "tiny.yaml", "train.device=cuda")
    assert (code, err) == (2, "ganflow: train.device: this machine has no cuda; use auto or cpu\n")
    assert not (work / "runs").exists()


def test_a_file_in_place_of_the_runs_folder(work, ganflow):
    (work / "runs").write_text("mine")
    before = files(work)
    code, _, err = ganflow("run", "tiny.yaml")
    assert (code, err.count("\n")) == (2, 1)
    assert f"cannot make the run's folder {work}/runs/tiny/" in err
    assert "choose another with --runs" in err
    assert files(work) == before
    assert RunFolder(work / "runs").path.is_file()


MORE = "train.rounds=1000"


def test_a_recipe_that_was_changed_afterwards_does_not_fit_the_checkpoint(work, ganflow):
    assert ganflow("run", "tiny.yaml", "-q", "~metrics")[0] == 0
    kept = only_run(work / "runs").recipe
    kept.write_text(re.sub(r"(generator:\s+use: \S+\s+width: )\d+", r"\g<1>13", kept.read_text()))
    found = set()
    for command in (["sample", "latest"], ["evaluate", "latest", "--metric", "emd"], ["run", "-q", "--resume", "latest", MORE]):
        code, _, err = ganflow(*command)
        assert code == 2
        assert "does not fit the run's recipe, which was changed afterwards" in err
        assert len(err.splitlines()) == 1
        assert len(err) < 500
        found.add(err)
    assert len(found) == 1
    assert re.search(r"generator\.\S+ has shape \(.+\) there, and \(.+\) by the recipe, and \d+ more differ; ", err)
    assert only_run(work / "runs").read().status == "finished"
    command = shlex.split(err.partition("train the changed one anew: ganflow ")[2])
    assert ganflow(*command, "-q", "~metrics")[0] == 0
