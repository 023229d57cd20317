"""Autoencoders trained, resumed and used, from recipes."""

import math
import shutil
from itertools import pairwise

import numpy as np
import pytest
import torch
from autoencoder_helpers import draw, linear
from ganflow_autoencoder.base import VariationalAutoencoder
from ganflow_autoencoder.bounds import log_weights
from torch import distributions as dist

from ganflow.engine.build import build_game, build_round, twin
from ganflow.engine.compile import compile_round
from ganflow.engine.rows import rows_of
from ganflow.errors import GanflowError
from ganflow.plugins import Composition
from ganflow.recipe import read_recipe
from ganflow.runs.checkpoints import newest
from ganflow.runs.journal import entries
from ganflow.runs.loading import load_game
from ganflow.runs.start import resume, start

LINEAR = """
name: linear
data: {use: tensor_file, path: points.npy, held_out: 4000}
prior: {use: normal, dim: 2}
generator: {use: mlp_autoencoder, depth: 0, learn_sigma: true}
loss: {use: elbo}
optimizer: {use: adam, lr: 0.02}
schedule: {use: linear_decay, start: 0.5}
metrics: [{use: iwae, samples: 200, examples: 4000}]
train: {rounds: 1500, batch_size: 256, threads: 1, compile: never, sample_every: 100000, evaluate_every: 1500}
track: {mlflow: false}
"""
VAE = """
name: vae
data: {use: digits, size: 16}
prior: {use: normal, dim: 4}
generator: {use: conv_autoencoder, width: 4, learn_sigma: true}
loss: {use: elbo, samples: 2}
optimizer: {use: adam, lr: 1.0e-3}
modifiers: [{use: ema, decay: 0.9}]
metrics: [{use: iwae, samples: 5, examples: 50}]
train: {rounds: 6, batch_size: 8, threads: 1, compile: never, sample_every: 3, checkpoint_every: 2, evaluate_every: 6, keep: 9}
track: {mlflow: false}
"""
VAE_GAN = """
name: vae_gan
data: {use: digits, size: 16}
prior: {use: normal, dim: 4}
generator: {use: conv_autoencoder, width: 4}
critic: {use: dcgan, width: 4, norm: layer}
loss: {use: vae_gan}
optimizer: {use: adam, lr: 1.0e-3}
modifiers: [{use: r1}, {use: ema, decay: 0.9}]
train: {rounds: 6, batch_size: 8, threads: 1, compile: never, one_batch: true, sample_every: 6, checkpoint_every: 2, keep: 9}
track: {mlflow: false}
"""


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def make(text, *changes):
        (tmp_path / "a.yaml").write_text(text)
        return read_recipe(tmp_path / "a.yaml", changes)

    return make


def game_of(recipe):
    composition = Composition(recipe.slots(), recipe.modifiers, recipe.metrics)
    return build_game(recipe, composition, composition.build("data")), composition


def test_the_trained_elbo_is_the_exact_log_likelihood(recipe, tmp_path):
    """A linear VAE reaches the maximum likelihood of probabilistic PCA, whose posterior its encoder can represent (Lucas et al.
    2019, arXiv:1911.02469): ELBO = log N(x; b, W Wᵀ + σ² I), both for its own W, b, σ and, nearly, for those that the data were
    drawn from."""
    true = linear()
    points = draw(true, 64_000).float()
    np.save("points.npy", points.numpy())
    folder = start(recipe(LINEAR), tmp_path / "runs", quiet=True).folder
    game = load_game(folder)
    network = game.generator.double()
    x = Composition(recipe(LINEAR).slots(), [], []).build("data").held_out["real"].double()

    with torch.no_grad():
        bias = network(torch.zeros(1, 2).double())[0]
        weight = (network(torch.eye(2).double()) - bias).T
        covariance = weight @ weight.T + (2 * network.log_sigma).exp() * torch.eye(5)
        exact = dist.MultivariateNormal(bias, covariance).log_prob(x)
    scores = [e.values for e in entries(folder.journal) if "held_out_elbo" in e.values][-1]
    weights = log_weights(game, x, 200, seed=3)
    error = (weights.mean(0) - exact).std().item() / math.sqrt(len(x)) + weights.std(0).mean().item() / math.sqrt(weights.numel())
    for elbo in (scores["held_out_elbo"], weights.mean().item()):
        assert elbo == pytest.approx(exact.mean().item(), abs=0.02)
        assert elbo <= exact.mean().item() + 3 * error
    assert scores["held_out_elbo"] <= scores["iwae_200"] <= exact.mean().item() + 3 * error
    assert abs(scores["iwae_200"] - exact.mean().item()) < 0.005
    assert exact.mean().item() == pytest.approx(true.log_prob(x).mean().item(), abs=0.02)
    assert network.log_sigma.exp().item() == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize("text", [VAE, VAE_GAN], ids=["vae", "vae_gan"])
def test_resumed_it_is_the_same_run_bit_for_bit(text, recipe, tmp_path):
    whole = start(recipe(text), tmp_path / "runs", quiet=True).folder
    cut = tmp_path / "runs" / "cut" / "20260101-000000-0000"
    shutil.copytree(whole.path, cut)
    for checkpoint in (cut / "checkpoints").glob("round-*"):
        if "00000002" not in checkpoint.name:
            checkpoint.unlink()
    again = resume(type(whole)(cut), quiet=True).folder
    a, b = (newest(folder.checkpoints)[0] for folder in (whole, again))
    assert a.round == b.round == 6
    assert a.tensors.keys() == b.tensors.keys()
    assert all(torch.equal(t, b.tensors[name]) for name, t in a.tensors.items())


def test_a_vae_is_sampled_and_interpolated_and_told_to_mlflow(recipe, tmp_path, monkeypatch, command):
    run = start(recipe(VAE), tmp_path / "runs", quiet=True).folder
    assert command("sample", run.id, "-n", "3", "-o", "a.npz")[0] == 0
    with np.load("a.npz") as file:
        assert file["z"].shape == (3, 4)
        assert np.array_equal(file["samples"], load_game(run).call("sample", z=torch.from_numpy(file["z"])).numpy())
    assert command("interpolate", run.id)[0] == 0
    first = next(iter(entries(run.journal))).values
    assert first["elbo"] == pytest.approx(-first["generator/reconstruction"] - first["generator/kl"])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*type hint:UserWarning")
def test_the_mlflow_model_decodes(recipe, tmp_path):
    """What a model serves that no program can be stands in a folder of its own, without the data."""
    from ganflow.export.weights import write_run
    from ganflow.runs.folders import RunFolder

    run = start(recipe(VAE), tmp_path / "runs", quiet=True).folder
    game = load_game(run)
    (tmp_path / "exported").mkdir()
    write_run(run, game, 6, tmp_path / "exported")
    shutil.rmtree(run.path)
    alone = load_game(RunFolder(tmp_path / "exported"))
    assert isinstance(alone.averaged, VariationalAutoencoder)
    z = game.latents(3)
    assert torch.equal(alone.call("sample", z=z), game.call("sample", z=z))


def test_sampling_a_plain_autoencoder_says_what_that_is(recipe, tmp_path, command):
    changes = ("loss={use: reconstruction}", "generator={use: conv_autoencoder, width: 4, variational: false}", "metrics=[]")
    run = start(recipe(VAE, *changes), tmp_path / "runs", quiet=True).folder
    code, out, _ = command("sample", run.id, "-o", "a.png")
    assert code == 0
    assert "no prior shaped its codes" in out


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (["generator={use: dcgan, width: 4}"], "loss 'elbo' needs codes, and generator 'dcgan' gives none: use"),
        (["generator={use: conv_autoencoder, variational: false}"], "set generator.variational: true"),
        (["prior={use: uniform, dim: 4}"], "standard normal distribution: set prior"),
        (["loss.likelihood=bernoulli"], "has no standard deviation to learn"),
        (["data={use: gaussians}", "generator={use: mlp_autoencoder}", "loss.likelihood=bernoulli"],
         "needs values with bounds; data 'gaussians"),
        (["loss={use: reconstruction, distance: cross_entropy}", "data={use: gaussians}", "generator={use: mlp_autoencoder}"],
         "needs values with bounds"),
        (["loss={use: vae_gan}"], "loss 'vae_gan' needs a critic"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)  # fmt: skip
def test_parts_that_do_not_fit_are_refused_before_anything_trains(changes, told, recipe, tmp_path):
    with pytest.raises(GanflowError, match=told):
        start(recipe(VAE, *changes), tmp_path / "runs", quiet=True)


def test_the_sheet_is_of_images_alone(recipe):
    game, _ = game_of(recipe(VAE))
    shown = {"real": game.data.held_out["real"][:5]}
    rows = rows_of(game, shown)
    assert list(rows) == ["held-out", "reconstructed", "drawn from the prior"]
    assert all(images.shape == (5, 1, 16, 16) for images in rows.values())
    assert torch.equal(rows["reconstructed"], game.call("reconstruct", x=shown["real"]))
    game, _ = game_of(recipe(VAE, "data={use: gaussians, samples: 100}", "generator={use: mlp_autoencoder, width: 4}"))
    assert rows_of(game, {"real": game.data.held_out["real"][:5]}) == {}


def test_a_game_encodes_by_its_average_and_leaves_training_alone(recipe):
    made = recipe(VAE)
    game, composition = game_of(made)
    composition.begin(game)
    with torch.no_grad():
        game.generator.encoder[0].weight.mul_(2)
    x, before, random = game.data.held_out["real"], dict(game.state_dict()), torch.get_rng_state()
    assert torch.equal(game.call("encode", x=x), game.averaged.encode(x).detach())
    assert game.call("reconstruct", x=x).shape == x.shape
    torch.testing.assert_close(game.call("encode", x=x, batch=7), game.call("encode", x=x))
    assert torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(t, before[name]) for name, t in game.state_dict().items())
    other, _ = game_of(recipe(VAE, "generator={use: dcgan}", "critic={use: dcgan}", "loss={use: hinge}", "metrics=[]"))
    with pytest.raises(ValueError, match="generator has no signature 'encode'"):
        other.call("encode", x=x)


@pytest.mark.parametrize("text", [VAE, VAE_GAN], ids=["vae", "vae_gan"])
def test_bf16_trains(text, recipe, tmp_path):
    changes = ("train.precision=bf16", "train.rounds=2", "train.channels_last=true")
    assert start(recipe(text, *changes), tmp_path / "runs", quiet=True).status == "finished"


@pytest.mark.parametrize("text", [VAE, VAE_GAN], ids=["vae", "vae_gan"])
def test_rounds_can_be_traced(text, recipe, monkeypatch):
    """The trace alone, without the compiler."""
    monkeypatch.setattr(torch, "compile", lambda graph, **options: graph)
    made = recipe(text)
    game, composition = game_of(made)
    composition.begin(game)
    play = build_round(made, composition, game)
    draws = [
        {"real": game.data.train["real"][start:stop].view(1, 8, 1, 16, 16), "z": game.latents(8, seed).view(1, 8, 4)}
        for seed, (start, stop) in enumerate(pairwise((0, 8, 16)))
    ]
    # Raises where two traced rounds end elsewhere than two eager ones.
    compile_round(play, lambda: twin(made, game), draws, whole=True)


def test_accumulation_is_the_same_elbo(recipe):
    """Terms are means over examples."""
    made = recipe(VAE)
    game, _ = game_of(made)
    x = game.data.held_out["real"][:8]
    torch.manual_seed(0)
    whole = game.terms_of(game.step("generator", {"real": x}))
    assert all(t.dim() == 0 and t.isfinite() for t in whole.values())
    kl = [game.generator.eval().posterior(part).divergence().sum(1).mean() for part in (x, x[:4], x[4:])]
    torch.testing.assert_close(kl[0], (kl[1] + kl[2]) / 2)
