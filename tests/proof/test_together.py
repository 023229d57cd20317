"""Packages of several authors in one recipe: nothing of one hides or doubles what another does."""

import pytest
import torch
from facts import SOME_ROUNDS
from proof_helpers import BUILDING, together
from runner_helpers import Process, assert_same_state, last
from test_ways import assert_close, noise_of, states

from ganflow.engine.build import twin
from ganflow.engine.compile import verify
from ganflow.packed import Member, NotPackable, PackedTrainer
from ganflow.recipe import read_recipe
from ganflow.runs.run import Parts
from ganflow.runs.start import resume, start

RECIPE = """\
name: together
data: {use: henon, buffer: 16, held_out: 32}
prior: {use: coded, codes: 3, noise: 2}
generator: {use: mapped, width: 8}
critic: {use: autoencoding, width: 8, code: 1}
loss: {use: weighed, first: hinge, second: {use: relativistic}}
optimizer:
  generator: {use: adam, lr: 1.0e-3}
  generator.mapping: {use: adam, lr: 1.0e-4}
  critic: {use: rmsprop, lr: 1.0e-3}
  loss: {use: sgd, lr: 0.05}
  loss.q: {use: adam, lr: 1.0e-2}
schedule:
  generator: {use: linear_decay, start: 0.5}
modifiers:
  - {use: information, width: 8}
  - {use: path_length, every: 3, decay: 0.5}
  - {use: instance_noise, sigma: 0.5, rounds: 8}
  - {use: r1, weight: 0.5}
  - gradient_norm
  - {use: ema, decay: 0.9}
trackers:
  - {use: textlog, file: numbers.txt}
train: {rounds: 12, n_critic: 2, batch_size: 8, seed: 3, precision: fp64, threads: 1, compile: never, report_every: 1,
        checkpoint_every: 1, sample_every: 100000, keep: 3}
track: {mlflow: false}
"""
WAYS = {
    "plain": [],
    "micro-batches, clipped": ["train.accumulate=2", "train.clip_grad=0.5"],
    "one pass, micro-batches, one critic step": ["train.one_pass=true", "train.accumulate=2", "train.n_critic=1"],
}


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "together.yaml").write_text(RECIPE)
    return lambda *changes: read_recipe(tmp_path / "together.yaml", list(changes))


def built(recipe, group=None):
    parts = Parts(recipe, group)
    parts.composition.begin(parts.game)
    return parts


@pytest.mark.parametrize("changes", WAYS.values(), ids=WAYS)
def test_graphs_and_two_workers(recipe, changes, monkeypatch):
    monkeypatch.setattr(torch, "randn_like", noise_of)
    whole = recipe(*changes)
    parts = built(whole)
    phases = parts.round.phases(12)
    assert len(phases) == 2
    verify(twin(whole, parts.game), parts.trainer.peek(3), True, phases)
    report = parts.trainer.advance(6)
    assert {"generator/information", "generator/path_length", "critic/r1", "generator/weighed"} <= report.terms.keys()

    def shared(group):
        with BUILDING:
            theirs = built(whole, group)
        group.join(theirs.game.device)
        theirs.trainer.share()
        found = theirs.trainer.advance(6)
        group.close()
        return states(theirs.trainer), found

    for found, theirs in together(2, shared):
        assert_close(found, states(parts.trainer))
        assert theirs.terms == pytest.approx(report.terms, abs=1e-5)


def test_micro_batches_are_the_whole_batch(recipe, monkeypatch):
    monkeypatch.setattr(torch, "randn_like", noise_of)
    whole, cut = (built(recipe(f"train.accumulate={parts}")) for parts in (1, 4))
    reports = [parts.trainer.advance(6).terms for parts in (whole, cut)]
    assert reports[0] == pytest.approx(reports[1], abs=1e-5)
    assert_close(states(cut.trainer), states(whole.trainer))


def test_packs_say_why_not(recipe):
    with pytest.raises(NotPackable, match=SOME_ROUNDS):
        PackedTrainer([Member(p.recipe, p.trainer) for p in (built(recipe(f"modifiers[0].weight={w}")) for w in (1, 2))])


@pytest.mark.slow
def test_packs_without_what_takes_part_in_some_rounds_only(recipe):
    """Trials that differ in numbers of the packages' components."""
    recipes = [recipe("~modifiers[1]", f"modifiers[0].weight={w}", f"modifiers[1].sigma={s}") for w, s in ((1, 0.5), (2, 0.3))]
    packed = PackedTrainer([Member(parts.recipe, parts.trainer) for parts in map(built, recipes)])
    packed.advance(5)
    for i, alone in enumerate(map(built, recipes)):
        alone.trainer.advance(5)
        with packed.member(i) as trainer:
            assert_close(states(trainer), states(alone.trainer), 1e-9)


@pytest.mark.rare
def test_a_kill_changes_nothing(recipe, tmp_path):
    changes = ["train.rounds=400", "train.checkpoint_every=7"]
    with Process(tmp_path, "run", "together.yaml", *changes, "-q") as process:
        assert process.until(lambda: process.reached(30)), process.err.read_text()
        assert process.kill()
    run = process.run
    assert last(run).round < 400
    resume(run, quiet=True)
    alone = start(recipe(*changes), tmp_path / "alone", quiet=True).folder
    assert last(run).round == 400
    assert_same_state(run, alone)
