"""ganflow reconstruct: pictures, arrays, the map, and what it refuses."""

import ganflow_autoencoder.command
import numpy as np
import pytest
import torch
from ganflow_autoencoder.base import Autoencoder, Gaussian, VariationalAutoencoder
from ganflow_layers.of_runs import Reading
from PIL import Image
from torch import nn

from ganflow.cli.main import plugin_helps
from ganflow.contract.data import Prior, TensorData
from ganflow.contract.loss import Loss
from ganflow.engine.game import Game


class Nothing(Loss):
    def generator_terms(self, step):
        return {}


class Square(Prior):
    """Uniform in [−1, 1]²."""

    shape, support = (2,), (-1.0, 1.0)

    def sample(self, *lead, generator=None, device="cpu"):
        return torch.rand(*lead, 2, generator=generator, device=device) * 2 - 1

    def between(self, a, b, t):
        return a + t[:, None] * (b - a)


class Corners(Autoencoder):
    """The code is the first two values; the first half of what comes out is the one, the second half the other."""

    def __init__(self, shape):
        super().__init__()
        self.shape, self.one = shape, nn.Parameter(torch.ones(()))

    def forward(self, z):
        values = torch.Size(self.shape).numel()
        return (self.one * z.repeat_interleave((values + 1) // 2, dim=1))[:, :values].reshape(len(z), *self.shape)

    def encode(self, x):
        return x.flatten(1)[:, [0, -1]]


class Variational(VariationalAutoencoder):
    """The same, with a posterior."""

    def __init__(self, shape):
        super().__init__()
        self.inner = Corners(shape)

    def forward(self, z):
        return self.inner(z)

    def posterior(self, x):
        mean = self.inner.encode(x)
        return Gaussian(mean, torch.zeros_like(mean))


class Generator(nn.Linear):
    """No autoencoder."""

    def __init__(self):
        super().__init__(2, 16)


@pytest.fixture
def trained(monkeypatch, make_run):
    """A run, its game in place of the checkpoint's, and its data."""

    def put(shape, network=Corners, held_out=5, data=True):
        folder = make_run(name="toy")
        examples = torch.rand(held_out, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
        toy = TensorData("toy", {"real": torch.zeros(5, *shape)}, {"real": examples})
        game = Game(toy, Square(), network() if network is Generator else network(shape), None, Nothing())
        monkeypatch.setattr("ganflow.runs.loading.load_game", lambda folder, which="last": game)
        monkeypatch.setattr("ganflow_layers.of_runs.reading_of", lambda folder: Reading())  # the recipe is no whole one
        monkeypatch.setattr("ganflow_autoencoder.command.data_of_run", lambda folder: toy if data else None)
        return folder, examples

    return put


def test_help_says_the_same_in_both_places():
    assert plugin_helps()["reconstruct"] == ganflow_autoencoder.command.HELP


def test_held_out_images_stand_above_their_reconstructions(trained, ganflow, tidy):
    folder, examples = trained((1, 4, 4), held_out=20)
    code, out = ganflow("reconstruct", "latest", "-o", "r.png")
    assert (code, out) == (0, f"wrote r.png: 16 held-out examples, and what toy ({folder.id}) makes of them\n")
    with Image.open("r.png") as image:
        pixels = np.asarray(image.convert("L"))
    strip = 14 + 68  # a heading, and a row of tiles of 64 pixels with gaps
    assert pixels.shape == (4 * strip, 8 * 66 + 2)
    for row, first in ((0, 0), (2, 8)):  # eight to a row: held-out, reconstructed, held-out, reconstructed
        for i in range(8):
            x, y = 2 + 66 * i + 8, 14 + 2 + 8
            grey = round((examples[first + i, 0, 0, 0].item() + 1) * 127.5)
            assert abs(int(pixels[row * strip + y, x]) - grey) <= 1
            assert abs(int(pixels[(row + 1) * strip + y, x]) - grey) <= 1  # the code's first number
            last = round((examples[first + i, 0, -1, -1].item() + 1) * 127.5)
            assert abs(int(pixels[(row + 1) * strip + y + 48, x]) - last) <= 1
    _, out = ganflow("reconstruct", "latest", "-n", "1")
    assert out == f"wrote toy-reconstruction.png: 1 held-out example, and what toy ({folder.id}) makes of it\n"


def test_arrays(trained, ganflow, tidy):
    _, examples = trained((1, 4, 4))
    assert ganflow("reconstruct", "latest", "-n", "3", "-o", "r.npz")[0] == 0
    with np.load("r.npz") as file:
        assert sorted(file) == ["code", "original", "reconstructed"]
        assert np.array_equal(file["original"], examples[:3].numpy())
        assert np.array_equal(file["code"], examples[:3].flatten(1)[:, [0, -1]].numpy())
        assert np.array_equal(file["reconstructed"][:, 0, 0, 0], file["code"][:, 0])


@pytest.mark.parametrize("channels", [1, 3])
def test_given_images(channels, trained, ganflow, tidy):
    trained((channels, 4, 4), data=False)
    for i, value in enumerate((60, 120)):
        picture = Image.new("L", (4, 4), value) if channels == 1 else Image.new("RGB", (4, 4), (value, 9, 200))
        picture.save(f"{i}.png")
    code, out = ganflow("reconstruct", "latest", "0.png", "1.png", "-o", "r.npz")
    assert code == 0
    assert "2 given examples" in out
    with np.load("r.npz") as file:
        np.testing.assert_allclose(file["original"][:, 0, 0, 0], [60 / 127.5 - 1, 120 / 127.5 - 1], rtol=1e-6)
    assert ganflow("reconstruct", "latest", "1.png")[0] == 0


def test_points_are_dots_and_rings(trained, ganflow, tidy):
    trained((2,), held_out=300)
    code, out = ganflow("reconstruct", "latest")
    assert code == 0
    assert "200 held-out examples" in out
    with Image.open("toy-reconstruction.png") as image:
        assert image.width > 800


@pytest.mark.parametrize("network", [Corners, Variational])
def test_the_map_decodes_quantiles_and_lays_examples_where_their_codes_are(network, trained, ganflow, tidy):
    folder, examples = trained((1, 8, 8), network, held_out=2)
    code, out = ganflow("reconstruct", "latest", "--map")
    assert (code, out) == (0, f"wrote toy-map.png: the latent plane of toy ({folder.id}), and 2 held-out examples in it\n")
    with Image.open("toy-map.png") as image:
        pixels = np.asarray(image.convert("L")).astype(int)
    side = 20 * 34 + 2
    assert pixels.shape == (side, 2 * side + 16)
    first = pixels[2 + 4 :: 34, 2 + 4 :: 34][:20, :20]  # the upper half of each tile: the first number, which grows to the right
    second = pixels[2 + 28 :: 34, 2 + 4 :: 34][:20, :20]  # the lower half: the second, which grows upwards
    assert (np.diff(first[5]) >= 0).all()
    assert (np.diff(second[:, 5]) <= 0).all()
    if network is Variational:  # the prior's quantiles: even steps from −1 to 1
        expected = ((np.arange(20) + 0.5) / 20 * 255).round()
        assert abs(first[0] - expected).max() <= 3
        assert abs(second[:, 0] - expected[::-1]).max() <= 3
        right = pixels[:, side + 16 :]
        for example in examples:
            u, v = ((example[0, 0, 0] + 1) / 2).item(), ((example[0, -1, -1] + 1) / 2).item()
            x, y = round(u * (side - 32)), round((1 - v) * (side - 32))
            near = right[y + 7 : y + 14, x + 7 : x + 14]  # quantiles of 50,000 draws are off by a pixel or two
            assert abs(near - round((example[0, 2, 2].item() + 1) * 127.5)).min() <= 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-o", "r.csv"], "what should r.csv be? end its name in .png or .npz"),
        (["--map", "-o", "r.npz"], "what should r.npz be? end its name in .png"),
        (["-n", "0"], "-n: 0 is not 1 or more"),
        (["none.png"], "there is no image none.png"),
        (["text.png"], "cannot read the image text.png: not an image"),
        (["large.png"], "large.png has 5 × 6 pixels; run toy 20260101-120000-abcd is about images of 4 × 4: scale it first"),
        (["colour.png"], "colour.png has colours; run toy 20260101-120000-abcd is about grey images: convert it first"),
        (["grey.png", "--map"], "--map is about held-out examples; leave it out, or the images"),
        (["grey.png", "-n", "3"], "-n is about held-out examples"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes(arguments, says, trained, ganflow, tidy):
    trained((1, 4, 4))
    Image.new("L", (5, 6)).save("large.png")
    Image.new("RGB", (4, 4)).save("colour.png")
    Image.new("L", (4, 4)).save("grey.png")
    (tidy / "text.png").write_text("no image")
    code, err = ganflow("reconstruct", "latest", *arguments)
    assert code == 2
    assert says in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("shape", "made", "arguments", "says"),
    [
        ((1, 4, 4), {"network": Generator}, [], "reconstructs nothing: its generator has no encoder"),
        ((1, 4, 4), {"data": False}, [], "cannot be had here; name image files"),
        ((1, 4, 4), {"held_out": 0}, [], "holds no examples out"),
        ((3, 4, 4), {}, ["grey.png"], "grey.png has no colours; run toy 20260101-120000-abcd is about coloured images"),
        ((2,), {}, ["grey.png"], "is about examples of shape (2,), not images"),
        ((2,), {}, ["--map"], "--map draws images"),
        ((7,), {}, [], "examples of shape (7,) have no picture; write them as numbers: -o toy-reconstruction.npz"),
    ],
)
def test_runs_that_cannot(shape, made, arguments, says, trained, ganflow, tidy):
    trained(shape, **made)
    Image.new("L", (4, 4)).save("grey.png")
    code, err = ganflow("reconstruct", "latest", *arguments)
    assert code == 2
    assert says in err


def test_a_map_needs_codes_of_two_numbers(trained, ganflow, tidy, monkeypatch):
    trained((1, 4, 4))
    monkeypatch.setattr(Corners, "encode", lambda self, x: x.flatten(1)[:, :3])
    code, err = ganflow("reconstruct", "latest", "--map")
    assert code == 2
    assert "--map draws codes of two numbers; this run's have 3: train it with prior.dim=2" in err


def test_a_run_that_was_really_trained(ganflow, tidy):
    small = ("train.rounds=2", "track.mlflow=false", "generator.width=4", "prior.dim=2", "metrics=[]")
    code, out = ganflow("run", "vae_digits", *small, "--quiet")
    assert code == 0, out
    for arguments in ([], ["--map"], ["-o", "r.npz"]):
        code, out = ganflow("reconstruct", "latest", *arguments)
        assert code == 0, out
    with np.load("r.npz") as file:
        assert file["code"].shape == (16, 2)
    assert ganflow("run", "wgan", *small[:3], "critic.width=4", "--quiet")[0] == 0
    code, err = ganflow("reconstruct", "wgan")
    assert code == 2
    assert "its generator has no encoder" in err
