"""StyleGAN2's networks: parameters as the public code has them, layers against loops written out here, style mixing, sizes."""

import math

import ganflow_networks as networks
import pytest
import torch
from ganflow_layers.resample import Doubled
from ganflow_networks.equalized import Active, EqualConv, EqualLinear, ModulatedConv
from ganflow_networks.style import Deviation, StyledLayer, channels_of
from ganflow_vanilla.priors import NormalPrior, UniformPrior
from torch import nn
from torch.nn import functional as F

from ganflow.contract.data import TensorData
from ganflow.errors import GanflowError

SMALL = {"width": 8, "code": 6, "mapping": 2}


def data_of(*shape):
    labels = torch.tensor([0, 1, 2, 0])
    return TensorData("toy", {"real": torch.zeros(4, *shape), "label": labels}, classes={"label": ["a", "b", "c"]})


def small(*condition, size=(16, 16), prior=None, **keys):
    torch.manual_seed(0)
    settings = networks.StyleGenerator(**{**SMALL, **keys})
    return settings.generator(data_of(3, *size), prior or NormalPrior(5), condition)


def count(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("side", "base", "generated", "criticized"), [(256, 16384, 24_767_458, 24_001_089), (512, 32768, 30_276_583, 28_982_849)]
)
def test_the_papers_networks_have_its_codes_parameters(side, base, generated, criticized):
    """NVlabs/stylegan2-ada-pytorch, training/networks.py: z and w of 512 numbers, eight layers of mapping, channel_max 512,
    channel_base as `base`. Layer by layer, as its runs print them."""
    data, prior = data_of(3, side, side), NormalPrior(512)
    g, c = networks.StyleGenerator(base=base).generator(data, prior, ()), networks.StyleCritic(base=base).critic(data, ())
    assert count(g) == generated
    assert count(c) == criticized
    assert count(g.mapping) == 8 * 262_656
    assert [count(layer) for layer in g.blocks[1].layers] == [2_622_465] * 2  # b8.conv0, b8.conv1
    assert count(g.blocks[1].to_image) + g.blocks[1].bias.numel() == 264_195  # b8.torgb
    assert [count(layer) for layer in g.blocks[-1].layers] == [139_457, 69_761]  # b512.conv0, b512.conv1
    coarse = c[-9]  # b8
    assert [count(m) for m in (coarse.short, coarse.long[0], coarse.long[2])] == [262_144, 2_359_808, 2_359_808]


def test_channels_follow_from_the_side():
    assert channels_of(512, 32768, 7) == [512, 512, 512, 512, 512, 256, 128, 64]
    assert channels_of(8, 64, 5) == [8, 8, 4, 2, 1, 1]


@pytest.mark.parametrize("double", [False, True])
def test_a_modulated_convolution_is_each_examples_own_convolution(double):
    """A loop over examples: weights times the example's scales, divided by the root of their squares' sum."""
    torch.manual_seed(0)
    layer = ModulatedConv(4, 6, 3, code=5, double=double).double()
    x, style = torch.randn(3, 4, 7, 9, dtype=torch.float64), torch.randn(3, 5, dtype=torch.float64)
    scales = style @ layer.scales.weight.T / math.sqrt(5) + layer.scales.bias
    for i in range(3):
        weight = layer.weight * scales[i][None, :, None, None]
        weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if double:  # a zero after every pixel, the convolution (here as torch's correlation, so turned), the filter times 4
            spaced = torch.zeros(1, 4, 15, 19, dtype=torch.float64)
            spaced[:, :, 1::2, 1::2] = x[i]
            made = F.conv2d(spaced, weight.flip(2, 3), padding=1)
            line = torch.tensor([1.0, 3, 3, 1], dtype=torch.float64) / 4
            expected = F.conv2d(made[0][:, None], torch.outer(line, line)[None, None], padding=1)[:, 0]
        else:
            expected = F.conv2d(x[i : i + 1], weight, padding=1)[0]
        torch.testing.assert_close(layer(x, style)[i], expected)


def test_demodulated_outputs_of_normal_inputs_have_variance_one_whatever_the_style():
    torch.manual_seed(0)
    layer = ModulatedConv(16, 8, 3, code=5)
    x, style = torch.randn(4, 16, 64, 64), torch.tensor([0.0, 1.0, 5.0, 40.0])[:, None] * torch.randn(4, 5)
    made = layer(x, style)[:, :, 1:-1, 1:-1]
    torch.testing.assert_close(made.var((2, 3)), torch.ones(4, 8), rtol=0.1, atol=0)
    plain = ModulatedConv(16, 8, 3, code=5, demodulate=False)(x, style)
    assert plain[3].var() > 100 * plain[0].var()  # without it a style scales what comes out


def test_a_condition_and_a_style_are_scaled_as_the_public_code_scales_them():
    torch.manual_seed(0)
    linear = EqualLinear(9, 4, start=1.0, rate=0.01)
    assert linear.weight.std().item() == pytest.approx(100, rel=0.3)
    x = torch.randn(2, 9)
    torch.testing.assert_close(linear(x), x @ (linear.weight * 0.01 / 3).T + 1.0)
    conv = EqualConv(4, 2, 3)
    torch.testing.assert_close(conv(x := torch.randn(1, 4, 5, 5)), F.conv2d(x, conv.weight / 6, conv.bias, padding=1))
    torch.testing.assert_close(Active()(torch.tensor([-1.0, 2.0])), torch.tensor([-0.2, 2.0]) * math.sqrt(2))


def test_halving_is_a_low_pass_filter_and_every_other_pixel():
    torch.manual_seed(0)
    conv, x = EqualConv(2, 3, 3, halve=True).double(), torch.randn(1, 2, 8, 10, dtype=torch.float64)
    line = torch.tensor([1.0, 3, 3, 1], dtype=torch.float64) / 8
    blurred = F.conv2d(F.pad(x, (2, 2, 2, 2))[0][:, None], torch.outer(line, line)[None, None])[:, 0]
    expected = F.conv2d(blurred[None], conv.weight / math.sqrt(18), conv.bias)[:, :, ::2, ::2]
    torch.testing.assert_close(conv(x), expected)
    assert conv(x).shape == (1, 3, 4, 5)


def test_one_step_of_adam_moves_the_mapping_by_a_hundredth():
    """Adam's first step is its rate in every number, whatever the gradient: what a layer does changes by it times `gain`."""
    g = small(mapping_rate=0.01)
    mapping, other = g.mapping.layers[0], g.blocks[0].layers[0].conv.scales
    used = [layer.weight.detach() * layer.gain * math.sqrt(layer.in_features) for layer in (mapping, other)]
    assert [u.std().item() for u in used] == pytest.approx([1, 1], rel=0.3)  # both start alike
    g(torch.randn(8, 5)).square().sum().backward()
    with torch.no_grad():
        for p in g.parameters():
            p.sub_(0.1 * p.grad.sign())
    moved = [
        (layer.weight.detach() * layer.gain * math.sqrt(layer.in_features) - before).abs().median().item()
        for layer, before in zip((mapping, other), used, strict=True)
    ]
    assert moved == pytest.approx([0.001, 0.1], rel=0.01)


def test_the_image_is_the_sum_over_sizes():
    g = small(noise=False).eval()
    styles = g.style(torch.randn(2, 5))
    assert styles.shape == (2, 2 * 3, 6)
    x, image = g.constant.expand(2, -1, -1, -1), 0
    for i, block in enumerate(g.blocks):
        for layer in block.layers:
            x = layer(x, styles[:, 0])
        image = (Doubled(block.doubled.size)(image) if i else 0) + block.to_image(x, styles[:, 0]) + block.bias[:, None, None]
    torch.testing.assert_close(g.draw(styles), torch.tanh(image))
    assert image.shape == (2, 3, 16, 16)


def test_each_layer_has_its_style():
    """Blocks overlap: a size's image has the style of the next size's first layer (NVlabs/stylegan2-ada-pytorch)."""
    g = small(noise=False).eval()
    styles = g.style(torch.randn(1, 5)).detach().requires_grad_()
    seen = []
    for module in g.modules():
        if isinstance(module, ModulatedConv):
            module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    g.draw(torch.arange(6.0)[None, :, None].expand(1, 6, 6))
    assert [int(style[0, 0]) for style in seen] == [0, 1, 1, 2, 3, 3, 4, 5]
    (slope,) = torch.autograd.grad(g.draw(styles).sum(), styles)
    assert (slope[0].abs().sum(1) > 0).all()


def test_styles_are_mixed_in_training_alone_from_a_random_layer_on():
    g = small(mixing=0.75)
    z = torch.randn(4000, 5)
    first = g.mapping(z)[:, None]
    styles = g.style(z)
    same = (styles == first).all(2)
    mixed = ~same.all(1)
    assert mixed.float().mean().item() == pytest.approx(0.75, abs=0.03)
    assert same[:, 0].all()
    lengths = same[mixed].sum(1)  # 1 … 5 of the six layers have the first style, and all those behind them the other one
    assert (same[mixed].cummin(1).values == same[mixed]).all()
    assert torch.bincount(lengths, minlength=7).tolist()[1:6] == pytest.approx([600] * 5, rel=0.2)
    others = styles[mixed][:, -1]
    assert len(others.unique(dim=0)) == len(others)  # each of a draw of its own
    assert (styles[mixed][:, -1:] == styles[mixed]).all(2).sum(1).equal(6 - lengths)
    assert (g.eval().style(z) == first).all()
    assert (small(mixing=0.0).style(z) == first).all()


def test_the_other_style_is_of_the_recipes_prior():
    g = small(prior=UniformPrior(5, 2.0, 3.0), mixing=1.0)
    seen = []
    g.mapping.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    g(torch.zeros(64, 5))
    assert len(seen) == 2
    assert ((seen[1] >= 2) & (seen[1] <= 3)).all()


def test_noise_is_new_in_training_and_still_in_evaluation():
    torch.manual_seed(0)
    layer, x, style = StyledLayer(4, 4, 3, (8, 8), double=False, noise=True), torch.randn(2, 4, 8, 8), torch.randn(2, 3)
    assert torch.equal(layer(x, style), layer(x, style))  # it starts with strength 0
    nn.init.constant_(layer.strength, 0.5)
    layer.active = nn.Identity()
    noise = (layer(x, style) - layer.conv(x, style) - layer.bias[:, None, None]) / 0.5
    torch.testing.assert_close(noise[:, :1].expand_as(noise), noise)  # the same for every channel
    assert not torch.allclose(noise[0], noise[1])
    assert not torch.allclose(layer(x, style), layer(x, style))
    layer.eval()
    assert torch.equal(layer(x, style), layer(x, style))
    torch.testing.assert_close((layer(x, style) - layer.conv(x, style))[1, 2], 0.5 * layer.still[0, 0] + layer.bias[2])
    assert "still" in layer.state_dict()


def test_the_critic_sees_the_deviation_among_a_group():
    torch.manual_seed(0)
    x = torch.randn(8, 3, 2, 2)
    made = Deviation(4)(x)
    assert torch.equal(made[:, :3], x)
    for group in (0, 1):
        rows = x[4 * group : 4 * group + 4]
        expected = ((rows - rows.mean(0)).square().mean(0) + 1e-8).sqrt().mean()
        torch.testing.assert_close(made[4 * group : 4 * group + 4, 3], expected.expand(4, 2, 2))
    assert Deviation(4)(x[:6]).shape == (6, 4, 2, 2)  # in pairs
    assert (Deviation(4)(x[:3])[:, 3] < 1e-3).all()  # each alone
    plain = networks.StyleCritic(width=8, group=1).critic(data_of(3, 16, 16), ())
    batch = torch.randn(4, 3, 16, 16)
    torch.testing.assert_close(plain(batch)[:1], plain(batch[:1]))
    grouped = networks.StyleCritic(width=8).critic(data_of(3, 16, 16), ())
    assert not torch.allclose(grouped(batch)[:1], grouped(batch[:1]))


def test_the_critic_keeps_the_size_of_normal_inputs():
    """Equalized weights, activations times √2, sums over √2: scores of noise are about 1 in size, at 16 pixels as at 128."""
    for side in (16, 128):
        torch.manual_seed(0)
        c = networks.StyleCritic(width=32, base=2**16).critic(data_of(3, side, side), ())
        features = c[:-2](torch.randn(8, 3, side, side))
        assert 0.1 < features.square().mean().sqrt().item() < 3


@pytest.mark.parametrize("size", [(16, 16), (24, 40), (64, 96), (72, 56), (100, 17), (16, 512), (512, 16)])
def test_every_size(size):
    g, c = small(size=size), networks.StyleCritic(width=8).critic(data_of(3, *size), ())
    fake = g(torch.randn(4, 5))
    assert fake.shape == (4, 3, *size)
    assert fake.abs().max() <= 1
    scores = c(fake)
    assert scores.shape == (4,)
    scores.sum().backward()
    for network in (g, c):
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_it_is_conditional():
    g, label = small("label", embedding=3).eval(), torch.tensor([0, 1, 2, 0])
    z = torch.randn(1, 5).expand(4, 5)
    fake = g(z, label=label)
    torch.testing.assert_close(fake[0], fake[3])
    assert not torch.allclose(fake[0], fake[1])
    assert dict(g.signatures["style"].inputs) == {"z": "z", "label": "label"}
    torch.testing.assert_close(g(z, label=torch.eye(3)[label]), fake)  # shares of the classes
    c = networks.StyleCritic(width=8).critic(data_of(3, 16, 16), ("label",))
    products = c.products.tables[0].weight
    assert products.std().item() == pytest.approx(1 / math.sqrt(8), rel=0.5)  # as the scores' own weights are used
    assert not torch.allclose(c(fake, label=label), c(fake, label=label.roll(1)))


def test_other_data_are_refused():
    with pytest.raises(GanflowError, match="critic 'style' scores images of 16 to 512 pixels a side; data 'toy' has 520 × 16"):
        networks.StyleCritic().critic(data_of(3, 520, 16), ())
    with pytest.raises(GanflowError, match="generator 'style' starts from a prior's draws"):
        networks.StyleGenerator().generator(data_of(3, 16, 16), None, ())
    data = TensorData("toy", {"real": torch.zeros(2, 3, 16, 16), "source": torch.zeros(2, 3, 16, 16)})
    with pytest.raises(GanflowError, match="generator 'style' accepts classes or embeddings"):
        networks.StyleGenerator().generator(data, NormalPrior(5), ("source",))
