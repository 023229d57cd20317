"""The mode-seeking term, of generators whose distances are known."""

import pytest
import torch
from torch import nn

from ganflow.engine.build import build_game
from ganflow.errors import GanflowError
from ganflow.recipe import read_recipe

SMALL = [
    "condition=label", "data={use: digits, size: 8, classes: [1, 7]}", "prior.dim=3", "generator={use: mlp, width: 4, depth: 1}",
    "critic={use: mlp, width: 4, depth: 1}", "metrics=[]", "train.precision=fp64", "train.device=cpu",
]  # fmt: skip


class Fourfold(nn.Module):
    """label + slope · (z₁, …, z₃) over and over: distances are slope times those of z, but for the clip of 64 to 63 values."""

    def __init__(self, slope):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope, dtype=torch.float64))

    def forward(self, z, label):
        return (self.slope * z.repeat(1, 22)[:, :64] + label[:, None]).view(-1, 1, 8, 8)


def played(modifier, slope=0.3, n=6):
    """The generator's terms, its step and its batch."""
    recipe = read_recipe("cgan_digits", [*SMALL, f"modifiers=[{modifier}]"])
    composition = recipe.composition()
    game = build_game(recipe, composition, composition.build("data"), players=False)
    game.generator = Fourfold(slope)
    batch = {name: t[:n] for name, t in game.data.held_out.items()}
    batch = {"real": batch["real"].double(), "label": batch["label"], "z": game.latents(n).double()}
    step = game.step("generator", batch)
    return game.terms_of(step), step, batch, game


def ratios(slope, z):
    """Of each example and the one before it, number by number."""
    found = []
    for i in range(len(z)):
        apart = (z[i] - z[i - 1]).abs()
        pixels = [slope * apart[k % 3].item() for k in range(64)]
        found.append(sum(pixels) / 64 / (sum(apart.tolist()) / 3))
    return found


def test_the_formula():
    terms, step, batch, game = played("{use: mode_seeking, weight: 0.7}")
    expected = ratios(0.3, batch["z"])
    assert terms["mode_seeking"].item() == pytest.approx(-0.7 * sum(expected) / 6, rel=1e-12)
    assert float(step.logged["z_ratio"]) == pytest.approx(sum(expected) / 6, rel=1e-12)
    (slope,) = torch.autograd.grad(terms["mode_seeking"], game.generator.slope)
    assert slope.item() == pytest.approx(-0.7 * sum(expected) / 6 / 0.3, rel=1e-12)  # linear: descent makes it steeper


def test_there_is_no_gain_beyond_the_bound():
    expected = sorted(ratios(0.3, played("{use: mode_seeking}")[2]["z"]))
    bound = (expected[2] + expected[3]) / 2
    terms, _, _, game = played(f"{{use: mode_seeking, bound: {bound}}}")
    assert terms["mode_seeking"].item() == pytest.approx(-(sum(expected[:3]) + 3 * bound) / 6, rel=1e-9)
    (slope,) = torch.autograd.grad(terms["mode_seeking"], game.generator.slope)
    assert slope.item() == pytest.approx(-sum(expected[:3]) / 6 / 0.3, rel=1e-9)
    terms, _, _, game = played("{use: mode_seeking, bound: 0.01}")
    assert not torch.autograd.grad(terms["mode_seeking"], game.generator.slope)[0]


def test_the_critic_has_no_such_term():
    game, batch = played("{use: mode_seeking}")[3:1:-1]
    assert list(game.terms_of(game.step("critic", batch))) == ["non_saturating"]


def test_a_generator_without_z_is_refused():
    with pytest.raises(GanflowError, match="modifier 'mode_seeking' compares what the generator makes of two z"):
        recipe = read_recipe("pix2pix_facades", ["data={use: facades, size: 16, train: 8, held_out: 4}",
                                                 "generator={use: unet, width: 2}", "modifiers=[{use: mode_seeking}]"])  # fmt: skip
        composition = recipe.composition()
        build_game(recipe, composition, composition.build("data"), players=False)
