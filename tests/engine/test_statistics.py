"""An average's batch-norm statistics, worked out by hand; and latents that no run trains on."""

import math

import pytest
import torch
from torch import nn

from ganflow.engine.build import DTYPES, build_game, build_round
from ganflow.engine.feed import feed
from ganflow.engine.trainer import Trainer
from ganflow.recipe import read_recipe
from ganflow.runs.checkpoints import newest
from ganflow.runs.loading import load_game
from ganflow.runs.start import start

RECIPE = """
name: statistics
data: {use: digits, size: 16}
prior: {use: normal, dim: 4}
generator: {use: mlp, width: 6, depth: 1, batch_norm: true}
critic: {use: mlp, width: 4, depth: 1}
loss: {use: non_saturating}
optimizer: {use: adam, lr: 1.0e-2}
modifiers: [{use: ema, decay: 0.9, batches: 3}]
train: {rounds: 8, batch_size: 32, compile: never, checkpoint_every: 4, sample_every: 4, report_every: 1, threads: 1}
track: {mlflow: false}
"""


@pytest.fixture
def recipe(tmp_path):
    def read(*changes):
        (tmp_path / "r.yaml").write_text(RECIPE)
        return read_recipe(tmp_path / "r.yaml", changes)

    return read


def trainer_of(recipe):
    composition = recipe.composition()
    data = composition.build("data")
    game = build_game(recipe, composition, data)
    composition.begin(game)
    draws = feed(data, recipe.train.batch_size, recipe.train.seed, dtype=DTYPES[recipe.train.precision])
    return Trainer(game, draws, build_round(recipe, composition, game), recipe.train.batch_size, recipe.train.seed)


def test_they_are_the_mean_over_batches_of_the_averaged_layer(recipe):
    trainer = trainer_of(recipe())
    trainer.advance(4)
    seen = []
    average = trainer.game.extras["average"]
    linear, norm = average[1], average[2]
    assert isinstance(linear, nn.Linear)
    assert isinstance(norm, nn.BatchNorm1d)
    handle = linear.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    trainer.settle()
    handle.remove()
    assert [len(z) for z in seen] == [32, 32, 32]
    outputs = [z @ linear.weight.T + linear.bias for z in seen]
    torch.testing.assert_close(norm.running_mean, sum(o.mean(0) for o in outputs) / 3)
    torch.testing.assert_close(norm.running_var, sum(((o - o.mean(0)) ** 2).sum(0) / 31 for o in outputs) / 3)
    assert norm.momentum == 0.1
    assert not any(m.training for m in average.modules())


def test_nothing_else_changes_and_the_same_comes_again(recipe):
    trainer = trainer_of(recipe())
    trainer.advance(3)
    before = {name: t.clone() for name, t in trainer.state()[0].items()}
    trainer.settle()
    after = {name: t.clone() for name, t in trainer.state()[0].items()}
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("game.extras.average.") and ("running" in name or "tracked" in name) for name in changed)
    trainer.settle()
    assert all(torch.equal(t, after[name]) for name, t in trainer.state()[0].items())


@pytest.mark.parametrize(
    "changes",
    [
        [],
        ["generator={use: conv_autoencoder, width: 2}", "~critic", "loss={use: elbo}"],
        ["generator={use: conv_autoencoder, width: 2}", "critic={use: dcgan, width: 2}", "loss={use: vae_gan}"],
        ["data={use: street, size: 16, train: 8, held_out: 4}", "~prior", "train.batch_size=2", "loss={use: cycle}",
         "generator={use: resnet_translator, width: 2, blocks: 1, downs: 1, norm: batch}",
         "critic={use: patch, receptive_field: 16, width: 2}"],
        ["data={use: birds, size: 16, train: 20, held_out: 8, encoder: {use: bag_of_words, words: 8}}",
         "generator={use: stackgan_stage1, width: 4, dim: 4}", "critic={use: stackgan, width: 4, dim: 4}",
         "loss={use: stackgan}"],
    ],
    ids=["mlp", "vae", "vae_gan", "cycle", "stackgan"],
)  # fmt: skip
def test_every_kind_of_generator_is_settled_with_its_own_inputs(recipe, changes):
    trainer = trainer_of(recipe(*changes))
    trainer.advance(2)
    average = trainer.game.extras["average"]
    norms = [m for m in average.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert norms
    before = {name: t.clone() for name, t in trainer.state()[0].items()}
    trainer.settle()
    assert all(norm.num_batches_tracked % 3 == 0 and norm.num_batches_tracked > 0 for norm in norms)
    for name, t in trainer.state()[0].items():
        assert name.startswith("game.extras.average.") or torch.equal(t, before[name]), name


def test_without_running_statistics_nothing_is_drawn(recipe, monkeypatch):
    trainer = trainer_of(recipe("generator.batch_norm=false"))
    monkeypatch.setattr(trainer, "_fresh", lambda k: pytest.fail("batches were drawn"))
    trainer.settle()


def test_the_checkpoint_holds_them_and_samples_use_them(recipe, tmp_path):
    folder = start(recipe(), tmp_path / "runs", quiet=True).folder
    found, _ = newest(folder.checkpoints)
    tracked = found.tensors["game.extras.average.2.num_batches_tracked"]
    assert tracked == 3
    game = load_game(folder)
    z = game.latents(5)
    t, average = found.tensors, "game.extras.average."
    hidden = z @ t[f"{average}1.weight"].T + t[f"{average}1.bias"]
    normal = (hidden - t[f"{average}2.running_mean"]) / (t[f"{average}2.running_var"] + 1e-5).sqrt()
    hidden = (normal * t[f"{average}2.weight"] + t[f"{average}2.bias"]).clamp(min=0)
    expected = hidden @ t[f"{average}4.weight"].T + t[f"{average}4.bias"]
    low, high = game.data.main.low, game.data.main.high
    expected = low + (high - low) * (expected.tanh() + 1) / 2
    torch.testing.assert_close(game.call(game.maker, z=z).flatten(1), expected, rtol=1e-4, atol=1e-5)


def test_copied_statistics_are_the_generators(recipe):
    trainer = trainer_of(recipe("modifiers[0].batches=0"))
    trainer.advance(3)
    trainer.settle()
    average, generator = trainer.game.extras["average"], trainer.game.generator
    assert torch.equal(average[2].running_mean, generator[2].running_mean)
    assert average[2].num_batches_tracked == generator[2].num_batches_tracked > 0


def test_no_score_is_of_latents_that_are_trained_on(recipe):
    trainer = trainer_of(recipe("train.seed=0"))
    trained = torch.cat([d["z"].flatten(0, 1) for d in (trainer.draw() for _ in range(20))])
    looked_at = torch.cat([trainer.game.latents(64, seed) for seed in range(3)])
    nearest = torch.cdist(looked_at, trained).min(1).values
    assert (nearest > 1e-4).all()
    assert not torch.equal(trainer.game.latents(8, 0), torch.randn(8, 4, generator=torch.Generator().manual_seed(0)))
    sample = trainer.game.latents(20_000, 1)  # still the prior's
    assert abs(sample.mean()) < 4 / math.sqrt(80_000)
    assert abs(sample.var() - 1) < 4 * math.sqrt(2 / 80_000)
