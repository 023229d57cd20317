"""Runs whose rounds are compiled: what a trace would freeze is found and named, before a round is played or when it begins."""

import pytest
import torch
from runner_helpers import last, numbers, only_run

from ganflow.recipe import read_recipe
from ganflow.runs import run as runs_module
from ganflow.runs.start import start

LATE = '''
import random

import torch
from ganflow import AddedTerms, ScoreLoss, hookimpl, key, settings

PHASE = {"on": False}


class Late(ScoreLoss):
    """A term that begins late, by a counter of its own; or decides by a value, by chance, or by a global."""

    name = "late"

    def __init__(self, how):
        self.how, self.n, self.cache = how, 0, None

    def critic_loss(self, real, fake):
        if self.cache is None:
            self.cache = [1.0, 2.0]
        return fake.mean() - real.mean()

    def generator_loss(self, fake, real=None):
        return -fake.mean()

    def critic_terms(self, step):
        terms = super().critic_terms(step)
        if self.how == "counter":
            self.n += 1
            if self.n > 1000:
                terms["late"] = terms["late"] * 0.5
        if self.how == "value" and step.real().sum().item() > 1000:
            terms["more"] = terms["late"] * 0.5
        if self.how == "chance":
            terms["more"] = terms["late"] * random.random()
        if PHASE["on"]:
            terms["late"] = terms["late"] * 1.5
        return terms


class Phase(AddedTerms):
    def __init__(self, settings):
        self.settings = settings

    def critic_terms(self, step):
        more = step.score(step.real()).square().mean()
        return {"phase": more if self.settings.on else more * 0}


@settings
class LateSettings:
    """A loss."""

    how: str = key("plain", "what")

    @hookimpl
    def loss(self):
        return Late(self.how)


@settings
class PhaseSettings:
    """A term that a counter begins, in steps or in reports."""

    when: str = key("rounds", "what is counted")

    @hookimpl
    def terms(self):
        self.on, self.rounds, self.seen = False, 0, []
        return Phase(self)

    @hookimpl
    def generator_stepped(self, game):
        if self.when == "rounds":
            self.rounds += 1
            self.on = self.rounds > 1000

    @hookimpl
    def round_reported(self, game, report):
        self.seen.append(report.round)
        if self.when == "reports":
            self.on = report.round >= 6
        if self.when == "global":
            PHASE["on"] = report.round >= 6


GANFLOW_CONTRACT = 2


@hookimpl
def register(offer):
    offer("loss", "late", LateSettings)
    offer("modifier", "phase", PhaseSettings)
'''
RECIPE = """
name: late
data: {use: gaussians, layout: ring, samples: 200}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 8, depth: 1}
critic: {use: mlp, width: 8, depth: 1}
loss: {use: late}
optimizer: {use: adam, lr: 1.0e-3}
schedule: {use: cosine, warmup: 0.2}
modifiers: [{use: weight_clip, c: 0.2}, {use: ema, decay: 0.9}]
train: {rounds: 12, n_critic: 2, batch_size: 16, compile: round, precision: fp64, threads: 1, report_every: 2, sample_every: 100,
        checkpoint_every: 2, keep: 100}
track: {mlflow: false}
"""


@pytest.fixture
def late(work, plugin, monkeypatch):
    """The recipe; graphs are played as they are, without the compiler, and `auto` chooses them."""
    monkeypatch.setattr(torch, "compile", lambda graph, **options: graph)
    monkeypatch.setattr(runs_module, "worth_compiling", lambda *arguments: ("round", "it pays"))
    plugin("late", LATE)
    (work / "late.yaml").write_text(RECIPE)
    return work


def assert_same(run, other, tolerance=1e-9):
    expected, found = last(other).tensors, last(run).tensors
    for name, t in expected.items():
        if name.startswith("game."):
            torch.testing.assert_close(found[name], t, rtol=tolerance, atol=tolerance, msg=name)


@pytest.mark.parametrize("mode", ["step", "round"])
@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (["loss.how=counter"], "loss.n changed from 0 to 2 between rounds, and what a round does may depend on it"),
        (["+modifiers={use: phase}"], "modifiers[2].rounds changed from 0 to 1 between rounds, and"),
        (["loss.how=value"], "a step decides in Python by the values of tensors (aten._local_scalar_dense.default)"),
        (["loss.how=chance"], "a step draws random numbers from Python's or numpy's generators, which a trace would freeze"),
    ],
)
def test_what_a_trace_would_freeze_is_refused_by_name(late, ganflow, mode, changes, text):
    code, out, err = ganflow("run", "late.yaml", "-q", f"train.compile={mode}", *changes)
    assert (code, out) == (2, "")
    assert err.startswith(f"ganflow: train.compile: {text}")
    assert err.endswith("; set compile: never\n")
    assert not list(only_run(late / "runs").checkpoints.glob("*.safetensors"))


@pytest.mark.parametrize("changes", [["loss.how=counter"], ["+modifiers={use: phase}"]])
def test_auto_plays_it_eagerly_and_says_so(late, ganflow, changes):
    """As if it had never been tried: bit for bit."""
    code, _, err = ganflow("run", "late.yaml", "train.compile=auto", *changes)
    assert code == 0
    assert "eager rounds after all: " in err
    run = only_run(late / "runs")
    assert run.read().compile["mode"] == "never"
    eager = start(read_recipe(late / "late.yaml", ["train.compile=never", *changes]), late / "eager", quiet=True).folder
    assert numbers(run) == numbers(eager)
    assert_same(run, eager, 0)


@pytest.mark.parametrize("mode", ["step", "round"])
def test_schedules_and_reports_do_not_keep_rounds_from_being_compiled(late, mode):
    """Learning rates are tensors; what a report changes may be looked at, and leave the round as it is."""
    changes = ["+modifiers={use: phase, when: nothing}"]
    compiled = start(read_recipe(late / "late.yaml", [f"train.compile={mode}", *changes]), late / "runs", quiet=True).folder
    assert compiled.read().compile["mode"] == mode
    eager = start(read_recipe(late / "late.yaml", ["train.compile=never", *changes]), late / "eager", quiet=True).folder
    assert_same(compiled, eager)


def test_a_phase_that_a_report_begins(late, ganflow):
    """Seen before the next round is played: an explicit mode stops, auto goes on eagerly and is right from there on."""
    changes = ["+modifiers={use: phase, when: reports}"]
    code, _, err = ganflow("run", "late.yaml", "-q", *changes)
    assert code == 2
    changed = "modifiers[2].on changed from False to True, and with it what a round does (round:"
    assert err.startswith(f"ganflow: train.compile: {changed}")
    assert last(only_run(late / "runs")).round == 6
    auto = start(read_recipe(late / "late.yaml", ["train.compile=auto", *changes]), late / "auto", quiet=True).folder
    assert auto.read().compile["mode"] == "never"
    eager = start(read_recipe(late / "late.yaml", ["train.compile=never", *changes]), late / "eager", quiet=True).folder
    assert_same(auto, eager)


def test_what_a_global_begins_is_seen_when_the_round_is_traced_again(late, ganflow):
    changes = ["+modifiers={use: phase, when: global}"]
    code, _, err = ganflow("run", "late.yaml", "-q", *changes)
    assert code == 2
    assert err.startswith("ganflow: train.compile: tracing again gave other operations (round: ")
    assert "; it may have begun after round " in err
    assert err.endswith("; start again with train.compile=never\n")
    assert last(only_run(late / "runs")).round < 12
