"""The systems played by the formulas of somebody else's package, with state and events of its own."""

import json

import pytest
import torch

from ganflow.recipe import read_recipe
from ganflow.runs.checkpoints import newest
from ganflow.runs.loading import load_game
from ganflow.runs.run import Parts
from ganflow.runs.start import resume, start

PACKAGE = '''
"""Softened hinge."""
from torch.nn.functional import softplus

from ganflow import ScoreLoss, hookimpl, key, settings


class SoftHinge(ScoreLoss):
    name = "soft_hinge"

    def __init__(self, margin):
        self.margin = margin

    def critic_loss(self, real, fake):
        return softplus(self.margin - real).mean() + softplus(self.margin + fake).mean()

    def generator_loss(self, fake, real=None):
        return -fake.mean()


@settings
class SoftHingeSettings:
    """Hinge, softened."""

    margin: float = key(1.0, "where scores are good enough")

    @hookimpl
    def loss(self):
        return SoftHinge(self.margin)


GANFLOW_CONTRACT = 2


@hookimpl
def register(offer):
    offer("loss", "soft_hinge", SoftHingeSettings)
'''
RECIPE = """
name: third
data: {use: street, size: 16, train: 20, held_out: 8}
generator: {use: resnet_translator, width: 4, blocks: 1}
critic: {use: patch, receptive_field: 7, width: 4}
loss: {use: cycle, adversarial: {use: acme/soft_hinge, margin: 0.5}}
optimizer: {use: adam}
train: {rounds: 6, batch_size: 2, compile: never, report_every: 2}
track: {mlflow: false}
"""


def test_it_trains(plugin, tmp_path):
    plugin("acme", PACKAGE)
    path = tmp_path / "third.yaml"
    path.write_text(RECIPE)
    outcome = start(read_recipe(path), tmp_path / "runs", quiet=True)
    assert (outcome.status, outcome.round) == ("finished", 6)
    lines = [json.loads(line) for line in outcome.folder.journal.read_text().splitlines()]
    seen = {name for line in lines for name in line.get("values", line)}
    assert {"critic/soft_hinge_a", "critic/soft_hinge_b", "generator/soft_hinge_a", "generator/soft_hinge_b"} <= seen
    assert {"generator/cycle_a", "generator/identity_b"} <= seen
    assert "acme" in outcome.folder.read().plugins


BALANCED = '''
"""Losses with state, in the manner of BEGAN."""
import torch
from torch import nn

from ganflow import ScoreLoss, hookimpl, key, settings


class Balanced(nn.Module, ScoreLoss):
    """The critic's term on generated examples has a weight k that follows how the scores of both compare; `happened` counts what
    was called."""

    name = "balanced"

    def __init__(self, rate):
        super().__init__()
        self.rate = rate
        self.register_buffer("k", torch.zeros(()))
        self.register_buffer("ahead", torch.zeros(()))
        self.register_buffer("happened", torch.zeros(3))

    def critic_loss(self, real, fake):
        self.ahead.copy_((real.mean() - fake.mean()).detach())
        return self.k * fake.mean() - real.mean() + (real.square() + fake.square()).mean()

    def generator_loss(self, fake, real=None):
        return -fake.mean()


@settings
class BalancedSettings:
    """Balanced."""

    rate: float = key(0.5, "of k")

    @hookimpl
    def loss(self):
        self.made = Balanced(self.rate)
        return self.made

    @hookimpl
    def game_built(self, game):
        self.made.happened[0] += 1

    @hookimpl
    def critic_stepped(self, game):
        self.made.k.add_(self.rate * self.made.ahead)
        self.made.happened[1] += 1

    @hookimpl
    def generator_stepped(self, game):
        self.made.happened[2] += 1


GANFLOW_CONTRACT = 2


@hookimpl
def register(offer):
    offer("loss", "balanced", BalancedSettings)
'''
STREET = "data: {use: street, size: 16, train: 12, held_out: 4}"
PATCH = "critic: {use: patch, receptive_field: 7, width: 4}"
BIRDS = "data: {use: birds, size: 32, train: 12, held_out: 4, encoder: {use: bag_of_words}}"
SYSTEMS = {
    "pix2pix": f"{STREET.replace('street', 'facades')}\ngenerator: {{use: unet, width: 4}}\n{PATCH}",
    "cycle": f"{STREET}\ngenerator: {{use: resnet_translator, width: 4, blocks: 1}}\n{PATCH}",
    "unit": f"{STREET}\ngenerator: {{use: unit, width: 4, blocks: 2, downs: 1}}\n{PATCH}",
    "vae_gan": """data: {use: digits, size: 16}
prior: {use: normal, dim: 4}
generator: {use: conv_autoencoder, width: 4}
critic: {use: dcgan, width: 4, norm: none}""",
    "stackgan": BIRDS
    + """
prior: {use: normal, dim: 4}
generator: {use: stackgan_stage1, width: 4, dim: 8}
critic: {use: stackgan, width: 4, dim: 8, norm: none}""",
}
REST = """
name: balanced
loss: {{use: {system}, adversarial: {{use: balanced, rate: 0.1}}}}
optimizer: {{use: adam}}
train: {{rounds: 4, batch_size: 4, n_critic: 2, compile: never, checkpoint_every: 1, sample_every: 100, threads: 1}}
track: {{mlflow: false}}
"""


@pytest.mark.parametrize(("system", "penalty"), [*((name, "") for name in SYSTEMS), ("stackgan", "modifiers: [{use: r1}]")])
def test_a_loss_inside_a_loss_keeps_its_events_and_its_state(system, penalty, plugin, work, monkeypatch):
    monkeypatch.setenv("GANFLOW_CACHE", str(work / "cache"))
    plugin("balanced", BALANCED)
    (work / "balanced.yaml").write_text(SYSTEMS[system] + REST.format(system=system) + penalty)
    recipe = read_recipe(work / "balanced.yaml")
    whole = start(recipe, work / "whole", quiet=True).folder
    recipe.train.rounds = 2
    half = start(recipe, work / "half", quiet=True).folder
    first = {name: t for name, t in newest(half.checkpoints)[0].tensors.items() if name.endswith(".k") and ".loss." in name}
    assert resume(half, quiet=True, overrides=["train.rounds=4"]).round == 4
    expected, found = newest(whole.checkpoints)[0].tensors, newest(half.checkpoints)[0].tensors
    for name, t in expected.items():
        assert torch.equal(found[name], t), name
    (happened,) = [t for name, t in found.items() if name.endswith(".happened")]
    assert happened.tolist() == [1, 8, 4]
    ((name, k),) = first.items()
    assert k != 0
    assert found[name] != k  # it went on
    assert load_game(half).state_dict()[name.removeprefix("game.")] == found[name]


def test_names_of_a_losss_state_are_those_of_earlier_versions(plugin, work):
    """Checkpoints that exist must be found again."""
    plugin("balanced", BALANCED)
    for system, prefix in {"vae_gan": "extras.loss.0.adversarial.", "cycle": "extras.loss.0.adversarial."}.items():
        (work / "balanced.yaml").write_text(SYSTEMS[system] + REST.format(system=system) + "modifiers: [{use: r1}]")
        game = Parts(read_recipe(work / "balanced.yaml")).game
        kept = {name for name in game.state_dict() if "loss" in name and ".pools." not in name}
        assert kept == {prefix + n for n in ("k", "ahead", "happened")}
