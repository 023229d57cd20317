"""Packed trials: each trial's trajectory is that of its own run."""

import copy
import math

import pytest
import torch

from ganflow.game.compiled import NotCompilable
from ganflow.packed import Member, NotPackable, PackedTrainer, worth_packing
from ganflow.recipe import read_recipe
from ganflow.runner.parts import Parts
from ganflow.trainer import Diverged

RECIPE = """
name: packed
data: {use: gaussians, layout: ring, samples: 500}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 8, depth: 2}
critic: {use: mlp, width: 8, depth: 2}
loss: wasserstein
optimizer: {use: rmsprop, lr: 5.0e-4}
modifiers: []
train: {rounds: 100, n_critic: 2, batch_size: 16, precision: fp64, compile: never}
track: {mlflow: false}
"""
ROUNDS = 100


@pytest.fixture
def build(tmp_path):
    """build(common changes, [each trial's own changes]) → members."""
    path = tmp_path / "packed.yaml"
    path.write_text(RECIPE)

    def member(changes):
        parts = Parts(read_recipe(path, changes))
        for listener in parts.composition.listeners("run_started"):
            listener(game=parts.game)
        return Member(parts.recipe, parts.trainer)

    return lambda common, trials: [member([*common, *own]) for own in trials]


def alone(members, rounds):
    """Where each trial's own run leads: its report, and everything that a checkpoint keeps of it."""
    found = []
    for m in members:
        from ganflow.game.state import load_random_state

        load_random_state(m.trainer.game.device, *m.random)
        report = m.trainer.advance(rounds)
        tensors, plain = m.trainer.state()
        found.append((report, {name: t.clone() for name, t in tensors.items()}, copy.deepcopy(plain)))
    return found


def assert_equal(packed, expected, rtol=1e-9, atol=1e-12):
    for i, (_, tensors, plain) in enumerate(expected):
        with packed.member(i) as trainer:
            found, found_plain = trainer.state()
            assert found_plain == plain
            assert found.keys() == tensors.keys()
            for name, t in tensors.items():
                if name.startswith(("random.", "feed.")):
                    assert torch.equal(found[name], t), name
                else:
                    torch.testing.assert_close(found[name], t, rtol=rtol, atol=atol, msg=lambda m, name=name: f"{i} {name}: {m}")


CLIP = "modifiers=[{use: weight_clip, c: %g}]"
ADAM = "optimizer={use: adam, lr: %g, beta1: %g, beta2: %g}"
GAMES = {
    "clip": ([], [[CLIP % 0.05, "optimizer.lr=5e-4"], [CLIP % 0.1, "optimizer.lr=1e-3"], [CLIP % 0.02, "optimizer.lr=2e-4"]]),
    "adam and seeds": (["loss=non_saturating"], [[ADAM % (1e-3, 0.5, 0.9)], [ADAM % (2e-3, 0.9, 0.99), "train.seed=1"]]),
    "players' own optimizers": (
        ["loss=hinge"],
        [["optimizer={generator: {use: adam, lr: 1e-3}, critic: {use: rmsprop, lr: %g, alpha: %g}}" % n] for n in [(1e-3, 0.9), (2e-3, 0.99)]],
    ),
    "numbers that may be zero": (
        ["loss=minimax"],
        [["optimizer={use: adamw, lr: 1e-3, weight_decay: %g}" % w, "loss.label_smoothing=%g" % a] for w, a in [(0, 0), (0.1, 0.2)]],
    ),
    "momentum": (["loss=lsgan"], [["optimizer={use: sgd, lr: 0.01, momentum: %g, nesterov: true, weight_decay: %g}" % n, "loss.b=%g" % n[0]] for n in [(0.5, 0), (0.9, 0.01)]]),
    "slopes": (["loss=relativistic", "optimizer=adam"], [["modifiers=[{use: r1, weight: %g}, {use: r2, weight: %g}]" % n] for n in [(1, 2), (0.1, 0)]]),
    "random ε": (["train.n_critic=3"], [["modifiers=[{use: gradient_penalty, weight: %g, target: %g}]" % n, f"train.seed={n[0]:g}"] for n in [(1, 1), (3, 0.5), (3, 0)]]),
    "average": ([], [["modifiers=[{use: ema, decay: %g, warm_up: false}]" % d] for d in (0.9, 0.99)]),
    "average that warms up": ([], [["modifiers=[{use: ema, decay: %g}]" % d] for d in (0.5, 0.99)]),
    "spectral norm": (["modifiers=[{use: spectral_norm}]", "loss=hinge"], [["optimizer.lr=1e-3"], ["optimizer.lr=5e-4", "train.seed=2"]]),
    "batch norm": (["generator.batch_norm=true", CLIP % 0.05], [["optimizer.lr=1e-3"], ["optimizer.lr=5e-4"]]),
    "schedules": ([CLIP % 0.05], [["schedule={use: cosine}"], ["schedule={use: step, every: 7}", "optimizer.lr=1e-3"], ["schedule={generator: {use: linear_decay}}"]]),
    "clipped gradients": ([], [["train.clip_grad=0.1"], ["train.clip_grad=0.5"]]),
    "micro-batches": (["train.accumulate=2", CLIP % 0.05], [["optimizer.lr=1e-3"], ["optimizer.lr=5e-4"]]),
    "data and prior of their own": (["prior=uniform"], [["prior.low=-2"], ["data.layout=grid"]]),
    "autoencoder-like one pass": (["train.one_pass=true"], [["optimizer.lr=1e-3"], ["optimizer.lr=5e-4"]]),
}  # fmt: skip


@pytest.mark.parametrize("game", GAMES)
def test_a_packed_trial_goes_where_its_own_run_goes(build, game):
    common, trials = GAMES[game]
    packed = PackedTrainer(build(common, trials))
    expected = alone(build(common, trials), ROUNDS)
    reports = packed.advance(ROUNDS)
    assert_equal(packed, expected)
    for report, (own, _, _) in zip(reports, expected, strict=True):
        assert report.rates == own.rates
        assert report.terms == pytest.approx(own.terms, rel=1e-6)  # terms are read in single precision
        assert report.estimates == pytest.approx(own.estimates, rel=1e-6)
