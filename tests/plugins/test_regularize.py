"""R1, R2, spectral norm, the generator's average and differentiable augmentation on numbers known beforehand."""

import copy
import math
from types import SimpleNamespace

import ganflow_regularize as regularize
import ganflow_wgan as wgan
import pluggy
import pytest
import torch
from ganflow_regularize.augment import augment
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx

from ganflow import hookimpl
from ganflow.contract.data import TensorData
from ganflow.contract.hooks import Builders
from ganflow.engine.game import Game
from ganflow.errors import GanflowError

IMAGES = SimpleNamespace(name="digits", shape=(1, 16, 16), main=SimpleNamespace(is_image=True))
REST = {"prior": None, "condition": ()}  # of what a network is built from, besides data
POINTS = SimpleNamespace(name="ring", shape=(2,), main=SimpleNamespace(is_image=False))


class Offered:
    """A component whose networks are there already."""

    def __init__(self, network):
        self.network = network

    @hookimpl
    def critic(self):
        return self.network

    @hookimpl
    def generator(self):
        return self.network


def hooks_of(*components):
    """What pluggy makes of a component and the modifiers around it."""
    manager = pluggy.PluginManager("ganflow")
    manager.add_hookspecs(Builders)
    for component in components:
        manager.register(component)
    return manager.hook


# R1 and R2

class Bowl(nn.Module):
    """f(x) = a ‖x‖² / 2, whose gradient is a x."""

    def __init__(self, a):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a, dtype=torch.float64))

    def forward(self, x):
        return self.a * x.flatten(1).square().sum(1) / 2


@pytest.mark.parametrize(("modifier", "field"), [(regularize.R1, "real"), (regularize.R2, "z")])
@pytest.mark.parametrize("shape", [(3,), (2, 4, 4)])
def test_r1_and_r2_of_a_quadratic_critic_are_exact(modifier, field, shape):
    batch = {name: torch.randn(5, *shape, dtype=torch.float64) for name in ("real", "z")}
    critic = Bowl(0.7)
    data, prior = TensorData("toy", {"real": batch["real"]}), SimpleNamespace(shape=shape)
    hooks = hooks_of(wgan.Wasserstein(), modifier(weight=4.0))
    arguments = {"data": data, "prior": prior, "condition": ()}
    game = Game(data, prior, nn.Identity(), critic, hooks.loss(**arguments), [hooks.terms(**arguments)])
    name = modifier.__name__.lower()
    terms = game.terms_of(game.step("critic", batch))
    assert list(terms) == ["wasserstein", name]
    squares = batch[field].flatten(1).square().sum(1).mean()  # E‖x‖²; the penalty is γ/2 a² E‖x‖²
    torch.testing.assert_close(terms[name].detach(), 2 * 0.49 * squares)
    torch.testing.assert_close(torch.autograd.grad(terms[name], critic.a)[0], 2 * 2 * 0.7 * squares)
    assert not batch["real"].requires_grad


@pytest.mark.parametrize("modifier", [regularize.R1, regularize.R2])
@pytest.mark.parametrize(("played", "weight"), [(0, 4.0), (50, 0.4), (100, 0.04), (1000, 0.04)])
def test_gamma_falls_by_the_same_factor_in_each_round(modifier, played, weight):
    """γ from 4 to 0.04 in 100 rounds: in the middle it is their geometric mean."""
    x = torch.randn(5, 3, dtype=torch.float64)
    data, prior = TensorData("toy", {"real": x}), SimpleNamespace(shape=(3,))
    arguments = {"data": data, "prior": prior, "condition": ()}
    hooks = hooks_of(wgan.Wasserstein(), modifier(weight=4.0, final=0.04, rounds=100))
    game = Game(data, prior, nn.Identity(), Bowl(0.7), hooks.loss(**arguments), [hooks.terms(**arguments)])
    game.round.fill_(played)
    expected = weight / 2 * 0.49 * x.square().sum(1).mean()
    terms = game.terms_of(game.step("critic", {"real": x, "z": x}))
    torch.testing.assert_close(terms[modifier.__name__.lower()].detach(), expected)


@pytest.mark.parametrize("modifier", [regularize.R1, regularize.R2])
@pytest.mark.parametrize("keys", [{"final": 0.1}, {"rounds": 10}, {"weight": 0.0, "final": 0.1, "rounds": 10}])
def test_gamma_changes_from_one_number_to_another_in_so_many_rounds(modifier, keys):
    with pytest.raises(ValueError, match="final"):
        modifier(**keys)


# Spectral norm

def networks():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.ConvTranspose2d(8, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 5)
    )


def largest_singular_values(network):
    layers = [layer for layer in network if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear))]
    matrices = [(m.weight.transpose(0, 1) if isinstance(m, nn.ConvTranspose2d) else m.weight).flatten(1) for m in layers]
    return [torch.linalg.matrix_norm(m.detach(), 2).item() for m in matrices]


def test_spectral_norm_makes_the_largest_singular_value_of_every_layer_one():
    network = networks()
    with torch.no_grad():
        for layer, factor in zip((network[0], network[3], network[5]), (0.1, 2.0, 30.0), strict=True):
            layer.weight.mul_(factor)
    assert all(abs(s - 1) > 0.1 for s in largest_singular_values(network))
    critic = hooks_of(Offered(network), regularize.SpectralNorm()).critic(data=IMAGES, **REST)
    for _ in range(300):
        critic(torch.randn(2, 2, 6, 6))
    assert largest_singular_values(critic) == pytest.approx([1, 1, 1], abs=1e-3)
    torch.testing.assert_close(critic[1].weight.detach(), torch.ones(8))  # batch norm has no matrix


@pytest.mark.parametrize("players", ["critic", "generator", "both"])
def test_spectral_norm_wraps_the_players_it_is_for(players):
    found = set()
    for player in ("critic", "generator"):
        hooks = hooks_of(Offered(networks()), regularize.SpectralNorm(players=players))
        network = getattr(hooks, player)(data=IMAGES, **REST)
        if torch.nn.utils.parametrize.is_parametrized(network[0]):
            found.add(player)
    assert found == ({"critic", "generator"} if players == "both" else {players})


def test_the_state_of_spectral_norm_travels_in_the_state_dict():
    modifier = regularize.SpectralNorm(iterations=2)
    one, other = (hooks_of(Offered(networks()), modifier).critic(data=IMAGES, **REST) for _ in range(2))
    x = torch.randn(3, 2, 6, 6)
    for _ in range(5):
        one(x)
    assert not torch.equal(one(x), other(x))
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(x), other(x))  # after another power iteration each
    assert torch.equal(one(x), other(x))


def test_spectral_norm_can_be_traced():
    plain = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    network = hooks_of(Offered(plain), regularize.SpectralNorm()).critic(data=POINTS, **REST)
    twin = copy.deepcopy(network)
    x = torch.randn(3, 4)

    def step(x):
        return torch.autograd.grad(network(x).sum(), list(network.parameters()))

    start = copy.deepcopy(network.state_dict())
    traced = make_fx(step)(x)
    network.load_state_dict(start)
    for _ in range(3):
        with torch.no_grad():  # the trace holds the gradients' own operations
            found = traced(x)
        expected = torch.autograd.grad(twin(x).sum(), list(twin.parameters()))
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b)


# The generator's average

def game_with(generator):
    return SimpleNamespace(generator=generator, extras=nn.ModuleDict())


def set_to(generator, value):
    with torch.no_grad():
        for p in generator.parameters():
            p.fill_(value)


def averages(modifier, values, initial=1.0):
    """The average after each step in which the generator's weights became the next of the values."""
    generator = nn.Linear(2, 3).double()
    set_to(generator, initial)
    game = game_with(generator)
    modifier.game_built(game)
    seen = []
    for value in values:
        set_to(generator, value)
        modifier.generator_stepped(game)
        found = torch.cat([p.flatten() for p in game.extras["average"].parameters()])
        assert (found == found[0]).all()
        seen.append(found[0].item())
    return seen


def test_the_average_by_hand():
    a = 0.9 * 1 + 0.1 * 2
    b = 0.9 * a + 0.1 * 4
    c = 0.9 * b + 0.1 * -8
    assert averages(regularize.Average(decay=0.9, warm_up=False), [2, 4, -8]) == pytest.approx([a, b, c], rel=1e-6)


def test_the_warm_up_by_hand():
    expected, value = [], 1.0
    for t, x in enumerate([2.0, 4.0, -8.0, 3.0]):
        decay = min(0.25, (1 + t) / (10 + t))  # 1/10, 2/11, 3/12, then 0.25
        value = decay * value + (1 - decay) * x
        expected.append(value)
    assert averages(regularize.Average(decay=0.25), [2, 4, -8, 3]) == pytest.approx(expected, rel=1e-6)


def test_before_start_the_average_is_the_generator():
    assert averages(regularize.Average(decay=0.5, start=2, warm_up=False), [2, 4, 8, 0]) == pytest.approx([2, 4, 6, 3])
    found = averages(regularize.Average(decay=0.5, start=2), [2, 4, 8, 0])
    third = 0.1 * 4 + 0.9 * 8
    assert found == pytest.approx([2, 4, third, third * 2 / 11])


def test_the_average_copies_running_statistics_where_it_is_to_and_does_not_train():
    generator = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    game, modifier = game_with(generator), regularize.Average(batches=0)
    modifier.game_built(game)
    generator(torch.randn(8, 2))
    modifier.generator_stepped(game)
    average = game.extras["average"]
    torch.testing.assert_close(average[1].running_mean, generator[1].running_mean)
    assert average[1].num_batches_tracked == 1
    assert not any(p.requires_grad for p in average.parameters())
    assert average.state_dict().keys() == generator.state_dict().keys()
    assert not {p.data_ptr() for p in average.parameters()} & {p.data_ptr() for p in generator.parameters()}


def test_the_average_of_a_generator_in_one_flat_tensor_is_compact():
    generator = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    flat = torch.randn(1000)
    at = 0
    for p in generator.parameters():
        p.data = flat[at : at + p.numel()].view(p.shape)
        at += p.numel()
    game, modifier = game_with(generator), regularize.Average(decay=0.5, warm_up=False)
    modifier.game_built(game)
    for p, live in zip(game.extras["average"].parameters(), generator.parameters(), strict=True):
        torch.testing.assert_close(p.detach(), live.detach())
        assert p.untyped_storage().nbytes() == p.numel() * 4
    before = flat.clone()
    flat.zero_()
    modifier.generator_stepped(game)
    torch.testing.assert_close(torch.cat([p.flatten() for p in game.extras["average"].parameters()]), before[:at] / 2)


def test_a_resumed_average_goes_on_where_it_was():
    def steps(game, modifier, values):
        for value in values:
            set_to(game.generator, value)
            modifier.generator_stepped(game)

    modifier = regularize.Average(start=1)
    one, other = game_with(nn.Linear(2, 2)), game_with(nn.Linear(2, 2))
    modifier.game_built(one)
    steps(one, modifier, [1.0, 2.0, 5.0])
    modifier.game_built(other)
    other.extras.load_state_dict(one.extras.state_dict())
    for game in (one, other):
        steps(game, modifier, [7.0, -3.0])
    assert torch.equal(one.extras["average"].weight, other.extras["average"].weight)


def test_averaging_can_be_traced():
    """The trace must not freeze the decay of the round it was made in."""
    modifier = regularize.Average(start=1)
    generator = nn.Linear(1, 1)
    game, twin = game_with(generator), game_with(generator)
    for g in (game, twin):
        modifier.game_built(g)
    set_to(generator, 1.0)

    def step(x):
        modifier.generator_stepped(game)
        return x + 0

    start = copy.deepcopy(game.extras.state_dict())
    traced = make_fx(step)(torch.zeros(1))
    game.extras.load_state_dict(start)
    for value in (2.0, 3.0, 5.0, 7.0):
        set_to(generator, value)
        traced(torch.zeros(1))
        modifier.generator_stepped(twin)
        torch.testing.assert_close(game.extras["average"].weight, twin.extras["average"].weight)


# Augmentation

def test_the_critic_sees_augmented_images_only_in_training():
    seen = []

    class Critic(nn.Module):
        def forward(self, x, label=None):
            seen.append((x, label))
            return x.mean((1, 2, 3))

    critic = hooks_of(Offered(Critic()), regularize.DiffAugment()).critic(data=IMAGES, **REST)
    x = torch.randn(4, 1, 16, 16)
    assert list(critic.state_dict()) == []
    critic.eval()(x, "label")
    assert seen[-1][0] is x
    critic.train()(x, "label")
    assert seen[-1][1] == "label"
    assert not torch.equal(seen[-1][0], x)
    critic(x)
    assert not torch.equal(seen[-1][0], seen[-2][0])


def test_augmentation_is_for_images():
    with pytest.raises(GanflowError, match=r"modifier 'diffaugment' alters images .* data 'ring' has shape \(2,\)"):
        hooks_of(Offered(nn.Linear(2, 1)), regularize.DiffAugment()).critic(data=POINTS, **REST)


@pytest.mark.parametrize("policy", [["color"], ["translation"], ["cutout"], ["color", "translation", "cutout"]])
def test_augmentation_is_differentiable_twice(policy):
    x = torch.rand(3, 3, 16, 16, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(augment(x, policy).square().sum(), x, create_graph=True)
    assert all((s != 0).any() for s in slope)
    (second,) = torch.autograd.grad(slope.square().sum(), x)
    assert second.isfinite().all()
    assert (second != 0).any()


def test_color_changes_brightness():
    x = torch.full((4000, 3, 2, 2), 0.25)
    y = augment(x, ["color"])
    change = (y - x).flatten(1)
    torch.testing.assert_close(change, change[:, :1].expand_as(change), rtol=0, atol=1e-5)
    change = change[:, 0]
    assert -0.5 <= change.min() < -0.48
    assert 0.48 < change.max() <= 0.5
    assert abs(change.mean().item()) < 0.02


def test_color_changes_contrast():
    pattern = torch.tensor([[1.0, -1.0], [-0.5, 0.5]])
    y = augment(pattern.expand(4000, 3, 2, 2), ["color"])
    factor = ((y - y.mean((1, 2, 3), keepdim=True)) / pattern).flatten(1)
    torch.testing.assert_close(factor, factor[:, :1].expand_as(factor), rtol=0, atol=1e-4)
    assert 0.5 - 1e-5 < factor.min() < 0.52
    assert 1.48 < factor.max() < 1.5 + 1e-4


def test_color_changes_saturation():
    hue = torch.tensor([1.0, 0.0, -1.0])[:, None, None]
    y = augment(hue.expand(4000, 3, 2, 2), ["color"])
    gray = y.mean(1, keepdim=True)
    factor = ((y - gray)[:, 0] - (y - gray)[:, 2]).flatten(1)[:, 0] / 2  # saturation × contrast
    assert -1e-5 <= factor.min() < 0.05
    assert 2.5 < factor.max() <= 3 + 1e-4
    assert abs(factor.mean().item() - 1) < 0.05
    torch.testing.assert_close((y - gray)[:, 1], torch.zeros(4000, 2, 2), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (28, 20)])
def test_translation_shifts_by_up_to_an_eighth(height, width):
    x = torch.rand(600, 2, height, width) + 0.1
    y = augment(x, ["translation"])
    most = (math.floor(height / 8 + 0.5), math.floor(width / 8 + 0.5))
    shifts = []
    for before, after in zip(x, y, strict=True):
        padded = nn.functional.pad(before, (most[1], most[1], most[0], most[0]))
        places = [
            (i - most[0], j - most[1])
            for i in range(2 * most[0] + 1)
            for j in range(2 * most[1] + 1)
            if torch.equal(padded[:, i : i + height, j : j + width], after)
        ]
        assert len(places) == 1
        shifts += places
    assert len(set(shifts)) == (2 * most[0] + 1) * (2 * most[1] + 1)


@pytest.mark.parametrize("side", [16, 18])  # holes of 8, an even number, and of 9
def test_cutout_zeroes_a_square_of_half_the_side(side):
    x = torch.rand(3000, 2, side, side) + 0.1
    y = augment(x, ["cutout"])
    hole = y == 0
    torch.testing.assert_close(y, x * ~hole, rtol=0, atol=0)
    assert torch.equal(hole[:, 0], hole[:, 1])
    hole = hole[:, 0]
    rows, columns = hole.any(2), hole.any(1)
    assert torch.equal(hole, rows[:, :, None] & columns[:, None, :])
    firsts = []
    for covered in (rows, columns):
        for line in covered:
            at = line.nonzero().flatten().tolist()
            assert at == list(range(at[0], at[-1] + 1))
            firsts.append((at[0], len(at)))
    assert max(length for _, length in firsts) == side // 2
    assert min(length for _, length in firsts) == (side // 2 + 1) // 2  # the centre is in the image, or on its edge
    assert {length for first, length in firsts if 0 < first < side // 2} == {side // 2}


def test_augmentation_can_be_traced():
    policy = ["color", "translation", "cutout"]

    def step(x):
        x = x.detach().requires_grad_()
        y = augment(x, policy)
        return y, torch.autograd.grad(y.square().sum(), x)[0]

    traced = make_fx(step)(torch.randn(4, 3, 16, 16))
    x = torch.randn(4, 3, 16, 16)
    torch.manual_seed(3)
    expected = step(x)
    torch.manual_seed(3)
    for a, b in zip(traced(x), expected, strict=True):
        torch.testing.assert_close(a, b)
    assert not torch.equal(traced(x)[0], traced(x)[0])


def test_translation_and_cutout_of_images_that_are_not_square():
    """By an eighth of either side at most, and half of either side."""
    torch.manual_seed(0)
    rows, columns = torch.meshgrid(torch.arange(1.0, 17), torch.arange(1.0, 25), indexing="ij")
    x = torch.stack((rows, columns)).expand(400, -1, -1, -1)
    moved = augment(x, ["translation"])
    for channel, grid, most in ((0, rows, 2), (1, columns, 3)):
        by = torch.where(moved[:, channel] > 0, moved[:, channel] - grid, 0)
        assert {int(by.max()), -int(by.min())} == {most}
    holes = augment(x, ["cutout"])[:, 0] == 0
    assert int(holes.any(2).sum(1).max()) == 8
    assert int(holes.any(1).sum(1).max()) == 12
