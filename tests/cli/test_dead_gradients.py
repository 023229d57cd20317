"""Losses and added terms whose gradient arrives nowhere: refused before the first round, and those that rest are not."""

import pytest

PLUGIN = '''
import torch
from torch import nn

from ganflow import AddedTerms, ScoreLoss, hookimpl, key, settings

GANFLOW_CONTRACT = 2


class Dead(ScoreLoss):
    def __init__(self, at):
        self.at = at

    def critic_loss(self, real, fake):
        loss = fake.mean() - real.mean()
        return loss.detach().requires_grad_() if self.at == "critic" else loss.detach() if self.at == "critic alone" else loss

    def generator_loss(self, fake, real=None):
        later = self.at == "generator later" and len(fake) > 2  # more than a blank batch has
        return -(fake.detach() if self.at == "generator" or later else fake).mean()


class Weighted(Dead, nn.Module):
    """Has a weight, which is learnt from round 100 on, if at all."""

    def __init__(self, at):
        nn.Module.__init__(self)
        self.at, self.weight = at, nn.Parameter(torch.ones(()))


@settings
class Loss:
    """Detaches."""

    at: str = key("", "whose terms")

    @hookimpl
    def loss(self):
        return Weighted(self.at) if self.at.startswith("weight") else Dead(self.at)


class Far(AddedTerms):
    """Of critic and generator in some rounds."""

    def __init__(self, of):
        self.of, self.begin, self.every = of, of.begin, of.every

    def critic_terms(self, step):
        score = step.score(step.real()).square().mean()
        return {"far": score}

    def generator_terms(self, step):
        weights = [p for p in step.game.extras.parameters()] if self.of.learns else []
        return {"weights": sum((w.square() for w in weights), torch.zeros(()))} if weights else {}


@settings
class Added:
    """Adds terms."""

    learns: bool = key(False, "has the loss's weight in a term")
    begin: int = key(0, "first round")
    every: int = key(1, "interval")

    @hookimpl
    def terms(self):
        return Far(self)


@hookimpl
def register(offer):
    offer("loss", "dead", Loss)
    offer("modifier", "far", Added)
'''
RECIPE = """
name: small
data: {use: gaussians}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 8, depth: 1}
critic: {use: mlp, width: 8, depth: 1}
loss: {use: acme/dead}
optimizer: {use: adam, lr: 1.0e-3}
train: {rounds: 5, batch_size: 8, compile: never}
track: {mlflow: false}
"""
LOSS = "loss 'acme/dead' (gf-acme 1.0)"


@pytest.fixture
def acme(workshop, command, tmp_path):
    workshop.install("acme", PLUGIN)
    workshop.catalogue()
    (tmp_path / "small.yaml").write_text(RECIPE)
    return command


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (["loss.at=critic"], f"{LOSS}: no gradient of its terms arrives at the critic; compute them without detach"),
        (["loss.at=critic alone"], f"{LOSS}: no gradient of its terms arrives at the critic; compute them without detach"),
        (["loss.at=generator"], f"{LOSS}: no gradient of its terms arrives at the generator; compute them without detach"),
        # what a modifier trains hides nothing
        (["loss.at=critic", "+modifiers={use: acme/far}"], f"{LOSS}: no gradient of its terms arrives at the critic; compute"),
        (["loss.at=weight"], f"{LOSS}: no gradient of any term arrives at loss, which an optimizer trains; compute them without"),
    ],
)
def test_what_no_gradient_arrives_at_is_refused_before_anything_is_trained(acme, tmp_path, changes, why):
    for typed in (["check", "--build"], ["run", "-q"], ["run", "-q", "train.compile=round"]):
        said = acme.refused(typed[0], "small.yaml", *typed[1:], *changes)
        assert said.removeprefix("ganflow: ").startswith(why)
        assert "\n" not in said
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("mode", ["never", "round", "auto"])
def test_what_blank_examples_do_not_show_is_refused_in_the_first_round(acme, mode):
    said = acme.refused("run", "small.yaml", "-q", "loss.at=generator later", f"train.compile={mode}")
    assert "loss 'dead': no gradient of the generator's terms (dead) arrives at it in this round; compute them without" in said
    assert "\n" not in said


@pytest.mark.slow
def test_several_workers_and_sweeps_refuse_it_alike(acme, tmp_path):
    why = f"{LOSS}: no gradient of its terms arrives at the critic; compute them without detach"
    changes = ["small.yaml", "loss.at=critic", "-q"]
    assert why in acme.refused("run", *changes, "--workers", "2")
    assert why in acme.refused("tune", *changes, "tune.trials=2", "tune.space.optimizer.lr={loguniform: [1.0e-3, 1.0e-1]}")


@pytest.mark.parametrize(
    "changes",
    [
        ["loss.at=weight", "+modifiers={use: acme/far, begin: 100, learns: true}"],  # after the last round
        ["loss.at=weight", "+modifiers={use: acme/far, every: 4, learns: true}"],
        ["+modifiers={use: acme/far, every: 3}", "optimizer={generator: {use: adam}, critic: {use: sgd, lr: 0.01}}"],
    ],
)
def test_what_only_terms_at_rest_train_is_trained(acme, changes):
    assert acme("check", "small.yaml", "--build", *changes)[0] == 0
    assert acme("run", "small.yaml", "-q", *changes)[0] == 0
