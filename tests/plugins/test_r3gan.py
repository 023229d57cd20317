"""R3GAN's networks: parameters as the public code has them, the residual block by hand, its start, sizes and conditions."""

import math
from itertools import pairwise

import ganflow_networks as networks
import pytest
import torch
from ganflow_layers.resample import Blurred, Doubled, Halved
from ganflow_networks.r3gan import GAIN, Basis, Residual, channels_of
from torch import nn
from torch.nn import functional as F

from ganflow.contract.data import TensorData
from ganflow.errors import GanflowError


class Prior:
    shape = (5,)


class Sixty4:
    shape = (64,)


def data_of(*shape):
    labels = torch.tensor([0, 1, 2, 0])
    return TensorData("toy", {"real": torch.zeros(4, *shape), "label": labels}, classes={"label": ["a", "b", "c"]})


def count(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("side", "widths", "groups", "generated", "criticized"),
    [
        (32, [768] * 4, [96] * 4, 20_732_160, 20_683_776),
        (64, [768] * 4 + [384], [96] * 4 + [48], 22_429_824, 22_381_440),
        (256, [768] * 4 + [384, 192, 96], [96] * 4 + [48, 24, 12], 23_057_952, 23_009_568),
    ],
    ids=["CIFAR10", "FFHQ-64", "FFHQ-256"],
)
def test_the_papers_networks_have_its_codes_parameters(side, widths, groups, generated, criticized):
    """The presets of brownvc/R3GAN, train.py: WidthPerStage, CardinalityPerStage, two blocks to a stage, ExpansionFactor 2;
    counted by the layers of its R3GAN/Networks.py."""

    def block(width, cardinality):
        inside = 2 * width
        return width * inside + inside * (inside // cardinality) * 9 + inside * width + 2 * inside  # biases of two activations

    shared = sum(2 * block(*stage) for stage in zip(widths, groups, strict=True))
    shared += sum(a * b for a, b in pairwise(widths) if a != b) + 3 * widths[-1]  # between stages, and colours
    data = data_of(3, side, side)
    g, c = networks.R3GANGenerator().generator(data, Sixty4, ()), networks.R3GANCritic().critic(data, ())
    assert count(g) == shared + widths[0] * 16 + 64 * widths[0] == generated
    assert count(c) == shared + widths[0] * 16 + widths[0] == criticized
    for network, order in ((g, 1), (c, -1)):
        grouped = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
        assert [m.groups for m in grouped][::2] == groups[::order]


def test_the_block_by_hand():
    """x + W₃ φ(W₂ φ(W₁ x + b₁) + b₂), with W₂ over groups of channels, one output pixel written out."""
    torch.manual_seed(0)
    block = Residual(4, expansion=2, group=2, depth=3).double()
    wide, _, grouped, _, narrow = block.long
    nn.init.normal_(narrow.weight)
    for layer in (wide, grouped):
        nn.init.normal_(layer.bias)
    x = torch.randn(1, 4, 3, 3, dtype=torch.float64)

    def active(t):
        return torch.where(t > 0, t, 0.2 * t)

    inside = active(torch.einsum("oi,ihw->ohw", wide.weight[:, :, 0, 0], x[0]) + wide.bias[:, None, None])
    middle = torch.stack([  # of the pixel in the middle, where all nine taps meet the image
        (grouped.weight[o] * inside[o // 2 * 2 : o // 2 * 2 + 2]).sum() + grouped.bias[o] for o in range(8)
    ])  # fmt: skip
    expected = x[0, :, 1, 1] + narrow.weight[:, :, 0, 0] @ active(middle)
    torch.testing.assert_close(block(x)[0, :, 1, 1], expected)


def test_blocks_start_as_the_identity_and_smaller_the_more_there_are():
    torch.manual_seed(0)
    block = Residual(64, expansion=2, group=16, depth=16)
    x = torch.randn(2, 64, 5, 5)
    assert torch.equal(block(x), x)
    for layer, inputs in ((block.long[0], 64), (block.long[2], 16 * 9)):  # Fixup: depth^(−1/(2m − 2)) with m = 3 layers
        assert layer.weight.std().item() == pytest.approx(GAIN * 16**-0.25 / math.sqrt(inputs), rel=0.03)
        assert not layer.bias.any()
    assert pytest.approx(math.sqrt(2 / 1.04)) == GAIN
    g = networks.R3GANGenerator(width=16).generator(data_of(3, 64, 64), Prior, ())
    spread = [m.long[0].weight.std().item() * math.sqrt(m.long[0].in_channels) for m in g if isinstance(m, Residual)]
    assert len(spread) == 2 * 5
    assert sum(spread) / 10 == pytest.approx(GAIN * 10**-0.25, rel=0.1)


def test_the_basis_is_a_sum_of_maps_that_is_linear_in_z():
    torch.manual_seed(0)
    basis = Basis(5, 7, (4, 6))
    z = torch.randn(2, 5)
    torch.testing.assert_close(basis(z)[1, 3], basis.maps[3] * (basis.shares.weight[3] @ z[1]))
    torch.testing.assert_close(basis(z[:1] + 2 * z[1:]), basis(z[:1]) + 2 * basis(z[1:]))


def test_resampling_is_bilinear_in_the_inside():
    """torch's bilinear interpolation repeats the border, the filter adds zeros to it: inside they are one."""
    x = torch.randn(2, 3, 6, 8, dtype=torch.float64)
    up = Doubled((12, 16)).double()(x)
    torch.testing.assert_close(up[:, :, 1:-1, 1:-1], F.interpolate(x, scale_factor=2, mode="bilinear")[:, :, 1:-1, 1:-1])
    down = Halved().double()(x)
    weights = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64) / 8
    torch.testing.assert_close(down[1, 2, 1, 2], weights @ x[1, 2, 1:5, 3:7] @ weights)
    assert Doubled((11, 15)).double()(x).equal(up[:, :, :11, :15])
    assert Halved()(torch.zeros(1, 1, 9, 7)).shape[2:] == (4, 3)
    assert not Blurred(2).state_dict()  # a constant, and of no checkpoint


@pytest.mark.parametrize("size", [(16, 16), (24, 40), (64, 96), (72, 56), (100, 17), (16, 512), (512, 16)])
def test_every_size(size):
    torch.manual_seed(0)
    data = data_of(1, *size)
    g = networks.R3GANGenerator(width=8, blocks=1).generator(data, Prior, ())
    c = networks.R3GANCritic(width=8, blocks=1).critic(data, ())
    fake = g(torch.randn(2, 5))
    assert fake.shape == (2, 1, *size)
    assert fake.abs().max() <= 1
    scores = c(fake)
    assert scores.shape == (2,)
    scores.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for network in (g, c) for p in network.parameters())


def test_widths_halve_from_the_fourth_doubling_on():
    assert channels_of(768, 7) == [768, 768, 768, 768, 384, 192, 96, 48]
    assert channels_of(4, 7)[-1] == 1


def test_it_is_conditional_by_concatenation_and_projection():
    data, label = data_of(3, 16, 16), torch.tensor([0, 1, 2, 0])
    torch.manual_seed(0)
    g = networks.R3GANGenerator(width=8, embedding=3).generator(data, Prior, ("label",))
    z = torch.randn(1, 5).expand(4, 5)
    fake = g(z, label=label)
    assert torch.equal(fake[0], fake[3])
    assert not torch.allclose(fake[0], fake[1])
    c = networks.R3GANCritic(width=8).critic(data, ("label",))
    plain = c.last(c.features(fake)).flatten()
    products = (c.features(fake).flatten(1) * c.products.tables[0].weight[label]).sum(1)
    torch.testing.assert_close(c(fake, label=label), plain + products)
    heads = networks.R3GANCritic(width=8, classifier="label").critic(data, ())(fake)
    assert (heads["score"].shape, heads["classes"].shape) == ((4,), (4, 3))


def test_other_data_are_refused():
    with pytest.raises(GanflowError, match="generator 'r3gan' makes images of 16 to 512 pixels a side; data 'toy' has 8 × 64"):
        networks.R3GANGenerator().generator(data_of(3, 8, 64), Prior, ())
    with pytest.raises(GanflowError, match=r"critic 'r3gan' scores images \(channels, height, width\)"):
        networks.R3GANCritic().critic(data_of(2), ())
    with pytest.raises(GanflowError, match="generator 'r3gan' starts from a prior's draws"):
        networks.R3GANGenerator().generator(data_of(3, 16, 16), None, ())
