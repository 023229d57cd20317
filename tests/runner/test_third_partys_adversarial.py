"""CycleGAN played by the formulas of somebody else's package."""

import json

from ganflow.recipe import read_recipe
from ganflow.runner import start

PACKAGE = '''
"""Softened hinge."""
from torch.nn.functional import softplus

from ganflow import hookimpl, key, settings
from ganflow.loss import ScoreLoss


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
    assert "acme" in outcome.folder.about()["plugins"]
