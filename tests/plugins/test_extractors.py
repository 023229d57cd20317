"""Extractors: a run's critic and encoder, and a plugin's."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import ganflow_metrics
import pytest
import torch
from ganflow_data import Digits
from ganflow_metrics.extractors import CriticFeatures
from ganflow_metrics.feature_metrics import make_extractor
from ganflow_metrics.kernel import kernel_distance
from torch import nn

from ganflow.contract.data import TensorData
from ganflow.errors import GanflowError
from ganflow.runs.finding import find_run
from ganflow.runs.loading import load_game

KEPT = Path(__file__).parents[1] / "runs" / "version_2"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Copies of runs that a test may name."""
    monkeypatch.chdir(tmp_path)

    def copy(kind):
        folder = Path("runs") / kind / "20261128-000000-0000"
        shutil.copytree(KEPT / kind, folder)
        return str(folder)

    return copy


@pytest.fixture(scope="module")
def data():
    return Digits(size=16).data()


def test_a_critics_features_are_what_its_last_layer_gets(run, data):
    folder = run("wgan")
    extractor = make_extractor(data, "critic", run=folder)
    images = data.held_out["real"][:5]
    features = extractor.features(images)
    critic = load_game(find_run(folder, Path("runs"))).critic
    last = [m for m in critic.modules() if isinstance(m, (nn.Conv2d, nn.Linear))][-1]
    scores = features @ last.weight.flatten(1).double().T + (0 if last.bias is None else last.bias.double())
    torch.testing.assert_close(scores.flatten(), critic(images).detach().double().flatten(), rtol=1e-5, atol=1e-6)
    assert extractor.label == "_critic"
    layer = next(name for name, module in critic.named_modules() if isinstance(module, nn.Conv2d))
    first = make_extractor(data, "critic", run=folder, layer=layer)
    convolution = critic.get_submodule(layer)
    torch.testing.assert_close(first.features(images), convolution(images).detach().flatten(1).double())
    assert first.digest != extractor.digest


def test_a_score_by_a_critics_features(run, data):
    metric = ganflow_metrics.Frechet(features="critic", run=run("wgan"), samples=200).metric(data)
    assert metric.names == [f"frechet_critic_200{ending}" for ending in ("", "_error", "_floor", "_floor_error")]
    assert metric.protocol["features"].startswith("critic ")


def test_a_critics_features_are_of_the_examples_themselves():
    critic = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1))
    critic.register_forward_pre_hook(lambda _, inputs: (inputs[0] + 100,))  # an augmentation
    game = SimpleNamespace(critic=critic, condition=(), domains=("real",))
    x = torch.arange(16.0).view(4, 1, 2, 2)
    wanted = torch.relu(critic[1](x.flatten(1))).double()
    assert torch.equal(CriticFeatures(game, "toy", "").features(x), wanted.detach())


def test_an_encoders_codes(run, data):
    folder = run("autoencoder")
    images = data.held_out["real"][:5]
    codes = make_extractor(data, "encoder", run=folder).features(images)
    game = load_game(find_run(folder, Path("runs")))
    torch.testing.assert_close(codes, game.averaged.encode(images).detach().double().flatten(1), rtol=1e-5, atol=1e-6)


def test_what_a_run_has_not_is_one_sentence(run, data):
    wgan, autoencoder, birds = run("wgan"), run("autoencoder"), run("stackgan_stage1")
    with pytest.raises(GanflowError, match=r"has no critic; use features: encoder"):
        make_extractor(data, "critic", run=autoencoder)
    with pytest.raises(GanflowError, match=r"has no signature 'encode' \(sample\); use an autoencoder's run"):
        make_extractor(data, "encoder", run=wgan)
    with pytest.raises(GanflowError, match=r"has no module 'middle' \(there are: "):
        make_extractor(data, "critic", run=wgan, layer="middle")
    with pytest.raises(GanflowError, match=r"is about examples of 1 × 16 × 16, and those of data digits are 1 × 32 × 32"):
        make_extractor(Digits(size=32).data(), "critic", run=wgan)
    shape = load_game(find_run(birds, Path("runs"))).data.shape
    with pytest.raises(GanflowError, match="takes text besides an example; use a run without a condition"):
        make_extractor(TensorData("birds", {"real": torch.zeros(4, *shape)}), "critic", run=birds)
    with pytest.raises(GanflowError, match=r"nowhere is not the folder of a run; give its path, such as runs/NAME/ID"):
        make_extractor(data, "critic", run="nowhere")
    with pytest.raises(GanflowError, match=r"latest is not .*; give its path: run=runs/[a-z_]*/20261128-000000-0000$"):
        make_extractor(data, "critic", run="latest")


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.pair, self.last = nn.Linear(4, 4), Pair(), nn.Linear(4, 1)

    def forward(self, x):
        return self.last(self.pair(self.inner(self.inner(x.flatten(1))))[0])


class Pair(nn.Module):
    def forward(self, x):
        return x, x


def test_a_module_must_give_one_tensor_once():
    game = SimpleNamespace(critic=Twice(), condition=(), domains=("real",))
    x = torch.zeros(3, 1, 2, 2)
    assert CriticFeatures(game, "toy", "").features(x).shape == (3, 4)
    with pytest.raises(GanflowError, match="the module 'inner' of the critic of run toy is used 2 times for an example"):
        CriticFeatures(game, "toy", "inner").features(x)
    with pytest.raises(GanflowError, match="the module 'pair' of the critic of run toy gives no tensor of a row per example"):
        CriticFeatures(game, "toy", "pair").features(x)


def test_a_plugins_extractor_as_the_page_has_it(data):
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    module, offers = {"__name__": "brightness"}, []
    section = page.partition("## Features of images\n")[2]
    exec(section.partition("```python\n")[2].partition("```")[0], module)
    module["register"](lambda *offer: offers.append(offer))
    ((role, name, component),) = offers
    assert (role, name) == ("metric", "brightness_distance")
    metric = component(samples=100, repeats=1).metric(data)
    held_out = data.held_out["real"]
    scores = metric.evaluate(SimpleNamespace(samples=lambda n, seed: held_out[:n] * 0 + 1))
    means = held_out.double().flatten(1).mean(1, keepdim=True)
    wanted = kernel_distance(torch.ones(100, 1).double(), means)
    assert scores["kernel_distance_brightness_100"] == pytest.approx(wanted)
    assert metric.protocol["features"] == "brightness 1"
