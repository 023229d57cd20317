"""Path-length regularization on generators whose derivative is known, and its place in a round."""

import math
from types import SimpleNamespace

import ganflow_networks as networks
import ganflow_regularize as regularize
import pytest
import torch
from ganflow_regularize.path_length import PathLength, codes_of
from ganflow_vanilla.losses import NonSaturatingLoss
from ganflow_vanilla.priors import NormalPrior
from torch import nn

from ganflow.contract.data import TensorData
from ganflow.contract.signature import Signature
from ganflow.engine.game import Game
from ganflow.errors import GanflowError


class Linear(nn.Module):
    """G(z) = A z, whose derivative is A everywhere."""

    def __init__(self, matrix):
        super().__init__()
        self.matrix = nn.Parameter(matrix)

    def forward(self, z):
        return z @ self.matrix.T


class Coded(nn.Module):
    """z to two layers' codes B z and C z, and these to A (first + second)."""

    def __init__(self, a, b, c):
        super().__init__()
        self.a, self.b, self.c = (nn.Parameter(m) for m in (a, b, c))
        self.signatures = {
            "sample": Signature({"z": "z"}, "real"),
            "code": Signature({"z": "z"}, "codes", method="code"),
            "draw": Signature({"codes": "codes"}, "real", method="draw"),
        }

    def forward(self, z):
        return self.draw(self.code(z))

    def code(self, z):
        return torch.stack((z @ self.b.T, z @ self.c.T), 1)

    def draw(self, codes):
        return codes.sum(1) @ self.a.T


class Score(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, x):
        return self.w * x.flatten(1).sum(1)


def game_of(generator, term, shape=(4,), prior=None, critic=None):
    data = TensorData("toy", {"real": torch.zeros(5, *shape, dtype=torch.float64)})
    game = Game(data, prior or NormalPrior(3), generator, critic or Score(), NonSaturatingLoss(), [term])
    term.check(game)
    return game


def matrices(*shapes):
    draws = torch.Generator().manual_seed(0)
    return [torch.randn(*shape, generator=draws, dtype=torch.float64) for shape in shapes]


def played(game, z, seed=1):
    torch.manual_seed(seed)
    return game.step("generator", {"real": torch.zeros(len(z), 4, dtype=torch.float64), "z": z})


def noise(z, size=4, seed=1):
    torch.manual_seed(seed)
    return torch.randn(len(z), size, dtype=torch.float64)


def test_the_term_and_its_gradient_by_hand():
    """G = A z: Jᵀy = Aᵀy, so the term is w · mean (|Aᵀy| − a)², and its gradient 2 w mean (1 − a / |Aᵀy|) y (Aᵀy)ᵀ."""
    (a,) = matrices((4, 3))
    term = PathLength(weight=2.0, decay=0.25, every=4).double()
    term.mean.fill_(0.7)
    game, z = game_of(Linear(a), term), torch.randn(6, 3, dtype=torch.float64)
    found = term.generator_terms(step := played(game, z))["path_length"]
    y = noise(z)
    slopes = y @ a
    lengths = slopes.norm(dim=1)
    torch.testing.assert_close(found.detach(), 2 * (lengths - 0.7).square().mean())
    (gradient,) = torch.autograd.grad(found, game.generator.matrix)
    expected = 2 * 2 * torch.einsum("n,no,ni->oi", (1 - 0.7 / lengths) / 6, y, slopes)
    torch.testing.assert_close(gradient, expected)
    torch.testing.assert_close(step.logged["path"], lengths.mean())
    assert term.mean.item() == 0.7
    term.generator_stepped(step.logged)
    assert term.mean.item() == pytest.approx(0.75 * 0.7 + 0.25 * lengths.mean().item())


def test_of_codes_by_layer_the_mean_square_counts_and_both_ways_are_trained():
    """By each of the two layers' codes the slope is Aᵀy, so the root of the mean of squares is |Aᵀy|; z is not asked."""
    a, b, c = matrices((4, 2), (2, 3), (2, 3))
    term = PathLength(weight=1.0, decay=0.1, every=1).double()
    game, z = game_of(Coded(a, b, c), term), torch.randn(6, 3, dtype=torch.float64)
    found = term.generator_terms(played(game, z))["path_length"]
    lengths = (noise(z) @ a).norm(dim=1)
    torch.testing.assert_close(found.detach(), lengths.square().mean())
    assert codes_of(game.signatures, "real") == ("code", "draw")
    assert torch.autograd.grad(found, game.generator.a)[0].any()


def test_noise_is_over_the_root_of_the_pixels():
    class Image(Linear):
        def forward(self, z):
            return super().forward(z).view(-1, 1, 2, 8)

    (a,) = matrices((16, 3))
    term = PathLength(weight=1.0, decay=0.1, every=1).double()
    game, z = game_of(Image(a), term, (1, 2, 8)), torch.randn(6, 3, dtype=torch.float64)
    found = term.generator_terms(played(game, z))["path_length"]
    torch.testing.assert_close(found.detach(), ((noise(z, 16) @ a).norm(dim=1) / math.sqrt(16)).square().mean())


def test_a_constant_generator_has_a_finite_gradient():
    term = PathLength(weight=1.0, decay=0.1, every=1).double()
    game = game_of(Linear(torch.zeros(4, 3, dtype=torch.float64)), term)
    found = term.generator_terms(played(game, torch.randn(6, 3, dtype=torch.float64)))["path_length"]
    assert torch.autograd.grad(found, game.generator.matrix)[0].isfinite().all()


def test_generator_styles_styles_are_its_codes():
    data = TensorData("toy", {"real": torch.zeros(4, 3, 16, 16)})
    generator = networks.StyleGenerator(width=8, code=6, mapping=2).generator(data, NormalPrior(5), ())
    assert codes_of(generator.signatures, "real") == ("style", "draw")
    term = regularize.PathLength(every=1).terms()
    game = Game(data, NormalPrior(5), generator, None, NonSaturatingLoss(), [term])
    step = game.step("generator", {"real": torch.zeros(4, 3, 16, 16), "z": torch.randn(4, 5)})
    found = term.generator_terms(step)["path_length"]
    slopes = torch.autograd.grad(found, [generator.mapping.layers[0].weight, generator.blocks[0].layers[0].conv.weight])
    assert all(slope.any() and slope.isfinite().all() for slope in slopes)


def test_what_it_does_not_fit_is_refused():
    term = PathLength(2.0, 0.01, 4)
    (a,) = matrices((4, 3))
    with pytest.raises(GanflowError, match=r"'path_length' takes the slope .* set generator.norm=none"):
        game_of(nn.Sequential(Linear(a), nn.BatchNorm1d(4)), term)
    several = SimpleNamespace(domains=("a", "b"), signatures={"to_b": Signature({"x": "a"}, "b")}, maker="to_b")
    with pytest.raises(GanflowError, match="needs a generator that makes one field from a prior's draws"):
        term.check(several)


@pytest.mark.parametrize("modifier", [regularize.R1, regularize.R2])
def test_penalties_are_lazy_where_they_are_asked_to_be(modifier):
    term = modifier(weight=3.0, every=16).terms()
    assert (term.every, [number for number in range(40) if term.active(number)]) == (16, [0, 16, 32])
    assert modifier().terms().every == 1
    x = torch.randn(4, 3, dtype=torch.float64)

    class Square(Score):
        def forward(self, x):
            return self.w * x.square().sum(1) / 2

    data = TensorData("toy", {"real": x})
    parts = (data, NormalPrior(3), nn.Identity(), Square(), NonSaturatingLoss())
    games = [Game(*parts, [modifier(every=every).terms()]) for every in (1, 16)]
    name = modifier.__name__.lower()
    once, lazy = (game.terms_of(game.step("critic", {"real": x, "z": x}))[name] for game in games)
    torch.testing.assert_close(lazy, 16 * once)
