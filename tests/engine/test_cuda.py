"""On a CUDA device: the rounds of the CPU, in every way of playing them; runs that go on bit for bit; packed trials."""

import copy
import functools

import pytest
import torch

from ganflow.engine.build import twin
from ganflow.engine.compile import compile_round
from ganflow.engine.state import game_state, load_game_state, load_random_state
from ganflow.packed import Member, PackedTrainer
from ganflow.recipe import read_recipe
from ganflow.runs.checkpoints import newest
from ganflow.runs.run import Parts
from ganflow.runs.start import resume, start

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

MLP = """
name: points
data: {use: gaussians, layout: ring, samples: 500}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 32, depth: 2}
critic: {use: mlp, width: 32, depth: 2}
loss: wasserstein
optimizer: {use: rmsprop, lr: 5.0e-4}
modifiers: [{use: weight_clip, c: 0.1}, {use: ema, decay: 0.9}]
train: {rounds: 12, n_critic: 2, batch_size: 16, compile: never}
track: {mlflow: false}
"""
DCGAN = """
name: images
data: {use: tensor_file, path: images.npy}
prior: {use: normal, dim: 16}
generator: {use: dcgan, width: 8}
critic: {use: dcgan, width: 8, norm: none}
loss: wasserstein
optimizer: {use: adam, lr: 1.0e-3, beta1: 0.5, beta2: 0.9}
modifiers: [{use: gradient_penalty}, {use: ema, decay: 0.9}]
train: {rounds: 12, n_critic: 2, batch_size: 16, compile: never}
track: {mlflow: false}
"""
GAMES = {"mlp": MLP, "dcgan": DCGAN}


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """recipe(game, *changes)"""
    import numpy as np

    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "images.npy", np.random.default_rng(0).integers(0, 256, (64, 16, 16), dtype=np.uint8))
    for name, text in GAMES.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    return lambda game, *changes: read_recipe(tmp_path / f"{game}.yaml", list(changes))


def parts_of(recipe):
    parts = Parts(recipe)
    parts.composition.begin(parts.game)
    return parts


def moved(parts, state):
    """The same game in the same state, whatever device that came from."""
    tensors, plain = state
    load_game_state(parts.game, {name: t.to(parts.game.device) for name, t in tensors.items()}, plain)


def cpu_state(parts):
    tensors, plain = game_state(parts.game)
    return {name: t.detach().cpu().clone() for name, t in tensors.items()}, copy.deepcopy(plain)


@pytest.mark.parametrize("game", ["mlp", "dcgan"])
def test_a_round_is_the_cpus(recipe, game):
    """Without the gradient penalty, whose ε each device draws in its own way."""
    changes = ["train.precision=fp64", *(["modifiers=[{use: ema, decay: 0.9}]"] if game == "dcgan" else [])]
    here, there = (parts_of(recipe(game, *changes, f"train.device={device}")) for device in ("cpu", "cuda"))
    moved(there, cpu_state(here))
    for _ in range(3):
        draws = here.trainer.draw()
        here.round(draws)
        there.round({name: t.cuda() for name, t in draws.items()})
    expected, found = cpu_state(here)[0], cpu_state(there)[0]
    assert list(found) == list(expected)
    for name, t in expected.items():
        torch.testing.assert_close(found[name], t, rtol=1e-6, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("whole", [False, True], ids=["step", "round"])
@pytest.mark.parametrize("game", ["mlp", "dcgan"])
def test_compiled_rounds_are_the_eager_ones(recipe, game, whole):
    """Captured as CUDA graphs, random numbers included: RMSProp and Adam, penalties, averages."""
    changes = ["train.precision=fp64", "train.device=cuda"]
    eager, compiled = (parts_of(recipe(game, *changes)) for _ in range(2))
    if game == "dcgan":  # a captured graph draws its ε elsewhere in the device's stream
        eager, compiled = (parts_of(recipe(game, *changes, "modifiers=[{use: r1}, {use: ema, decay: 0.9}]")) for _ in range(2))
    double = functools.partial(twin, compiled.recipe, compiled.game)
    play = compile_round(compiled.round, double, compiled.trainer.peek(3), whole)
    for _ in range(10):
        draws = eager.trainer.draw()
        expected = torch.stack(eager.round(draws))
        found = torch.stack(play({name: t.clone() for name, t in draws.items()}))
        torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9)
    for (name, a), b in zip(game_state(compiled.game)[0].items(), game_state(eager.game)[0].values(), strict=False):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("mode", ["never", "step", "round"])
@pytest.mark.parametrize("game", ["mlp", "dcgan"])
def test_half_precision_stays_near(recipe, game, mode):
    halved = ["train.precision=bf16", "train.channels_last=true"]
    parts = parts_of(recipe(game, *halved, "train.device=cuda", f"train.compile={mode}"))
    if mode != "never":
        parts.trainer.compile(mode == "round", functools.partial(twin, parts.recipe, parts.game))
    report = parts.trainer.advance(10)
    single = parts_of(recipe(game, "train.device=cuda")).trainer.advance(10)
    for name, value in single.terms.items():
        assert report.terms[name] == pytest.approx(value, rel=0.2, abs=0.1), name


@pytest.mark.parametrize("game", ["mlp", "dcgan"])
def test_a_resumed_run_has_the_same_bits(recipe, game, tmp_path, monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    changes = ["train.device=cuda", "train.deterministic=true", "train.checkpoint_every=4"]
    whole = start(recipe(game, *changes), tmp_path / "whole", quiet=True).folder
    part = start(recipe(game, *changes, "train.rounds=8"), tmp_path / "part", quiet=True).folder
    assert resume(part, quiet=True, overrides=["train.rounds=12"]).round == 12
    expected, found = newest(whole.checkpoints)[0], newest(part.checkpoints)[0]
    assert list(found.tensors) == list(expected.tensors)
    for name, t in expected.tensors.items():
        assert torch.equal(found.tensors[name], t), name


def test_packed_trials_follow_their_own_trajectories(recipe):
    def members():
        return [
            Member(parts.recipe, parts.trainer)
            for i in range(4)
            for parts in [parts_of(recipe("mlp", "train.precision=fp64", "train.device=cuda", f"optimizer.lr={5e-4 * (i + 1)}",
                                          f"train.seed={i}"))]
        ]  # fmt: skip

    expected = []
    for member in members():
        load_random_state(member.trainer.game.device, *member.random)
        member.trainer.advance(30)
        expected.append({name: t.clone() for name, t in game_state(member.trainer.game)[0].items()})
    for compiled in (False, True):
        packed = PackedTrainer(members())
        if compiled:
            packed.compile()
        packed.advance(30)
        for i, own in enumerate(expected):
            with packed.member(i) as trainer:
                found = game_state(trainer.game)[0]
                for name, t in own.items():
                    message = f"trial {i}, {name}"
                    torch.testing.assert_close(found[name], t, rtol=1e-6, atol=1e-8, msg=lambda text, m=message: f"{m}: {text}")
