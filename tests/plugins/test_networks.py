"""Shapes, sizes, parameter counts, ranges and initial weights of the built-in networks."""

import math
from itertools import pairwise
from types import SimpleNamespace

import ganflow_networks as networks
import pytest
import torch
from ganflow_networks.mlp import FourierFeatures
from torch import nn

from ganflow.errors import GanflowError

SIZES = [16, 24, 28, 32, 48, 64, 96, 100, 128]
SMALL = {
    "dcgan": (networks.DCGANGenerator(width=2), networks.DCGANCritic(width=2)),
    "resnet": (networks.ResNetGenerator(width=4), networks.ResNetCritic(width=4)),
    "resnet growing": (networks.ResNetGenerator(width=2, growth=2), networks.ResNetCritic(width=2, growth=2)),
    "mlp": (networks.MLPGenerator(width=8), networks.MLPCritic(width=8)),
}


def data_of(*shape, low=None, high=None, name="toy"):
    if len(shape) == 3 and low is None:
        low, high = -1.0, 1.0
    field = SimpleNamespace(shape=shape, low=low, high=high, is_image=len(shape) == 3)
    return SimpleNamespace(name=name, shape=shape, main=field)


def prior_of(*shape):
    return SimpleNamespace(shape=shape)


def count(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", SMALL)
def test_every_size_and_channel_count(kind, size, channels):
    torch.manual_seed(0)  # of networks as small as these a few have no live unit at the end
    generator, critic = SMALL[kind]
    data = data_of(channels, size, size)
    g, c = generator.generator(data, prior_of(5), ()), critic.critic(data, ())
    fake = g(torch.randn(2, 5))
    assert fake.shape == (2, channels, size, size)
    assert fake.abs().max() <= 1
    scores = c(fake)
    assert scores.shape == (2,)
    scores.sum().backward()
    for network in (g, c):
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    assert any((p.grad != 0).any() for p in g.parameters())


@pytest.mark.parametrize("size", range(16, 129))
def test_dcgan_and_resnet_at_every_size_between(size):
    for kind in ("dcgan", "resnet"):
        generator, critic = SMALL[kind]
        data = data_of(1, size, 16 + 128 - size)
        with torch.no_grad():
            fake = generator.generator(data, prior_of(2), ()).eval()(torch.randn(2, 2))
            assert fake.shape == (2, *data.shape)
            assert critic.critic(data, ()).eval()(fake).shape == (2,)


@pytest.mark.parametrize("size", [(512, 512), (256, 256), (64, 96), (72, 40), (136, 512)])
@pytest.mark.parametrize("kind", ["dcgan", "resnet"])
def test_rectangles_and_sizes_to_512(kind, size):
    generator, critic = SMALL[kind]
    with torch.no_grad():
        fake = generator.generator(data_of(3, *size), prior_of(2), ()).eval()(torch.randn(1, 2))
        assert fake.shape == (1, 3, *size)
        assert critic.critic(data_of(3, *size), ()).eval()(fake).shape == (1,)


BEFORE = {  # of generator and critic: parameters, and the sum of their sizes at the start
    ("dcgan", 16, 16): [(1371, 33.2357), (853, 20.6655)],
    ("dcgan", 64, 64): [(13627, 276.8674), (11573, 236.9571)],
    ("dcgan", 64, 96): [(14907, 296.8598), (11829, 241.7746)],
    ("dcgan", 128, 128): [(49083, 904.6961), (44981, 834.3013)],
    ("resnet growing", 16, 16): [(911, 172.8201), (257, 68.5352)],
    ("resnet growing", 64, 64): [(9135, 1076.2723), (3603, 560.7375)],
    ("resnet growing", 64, 96): [(9903, 1106.7001), (3603, 551.4729)],
    ("resnet growing", 128, 128): [(32943, 2857.5231), (14187, 1569.7772)],
}


@pytest.mark.parametrize("case", BEFORE)
def test_networks_to_128_pixels_are_what_they_were_before_there_were_larger_ones(case):
    kind, height, width = case
    generator, critic = {
        "dcgan": (networks.DCGANGenerator(width=4), networks.DCGANCritic(width=4)), "resnet growing": SMALL["resnet growing"]
    }[kind]
    torch.manual_seed(0)
    made = (generator.generator(data_of(3, height, width), prior_of(5), ()), critic.critic(data_of(3, height, width), ()))
    found = [(count(n), sum(p.detach().double().abs().sum().item() for p in n.parameters())) for n in made]
    assert [parameters for parameters, _ in found] == [parameters for parameters, _ in BEFORE[case]]
    assert [total for _, total in found] == pytest.approx([total for _, total in BEFORE[case]], rel=1e-5)


def test_channels_grow_sixteenfold_at_most():
    """As many as at 128 pixels, whose networks stay what they were: at 512 the paper's rule would give 4,096 of width 64."""
    for size, wanted in ((64, 8), (128, 16), (256, 16), (512, 16)):
        g = networks.DCGANGenerator(width=2).generator(data_of(3, size, size), prior_of(5), ())
        c = networks.DCGANCritic(width=2).critic(data_of(3, size, size), ())
        growing = networks.ResNetGenerator(width=2, growth=2).generator(data_of(3, size, size), prior_of(5), ())
        for network in (g, c, growing):
            layers = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
            assert max(layer.out_channels for layer in layers) == 2 * wanted


@pytest.mark.parametrize("norm", ["batch", "instance", "layer", "none"])
@pytest.mark.parametrize("kind", ["dcgan", "resnet"])
def test_every_norm(kind, norm):
    classes = {
        "dcgan": (networks.DCGANGenerator, networks.DCGANCritic), "resnet": (networks.ResNetGenerator, networks.ResNetCritic)
    }[kind]
    data = data_of(3, 32, 32)
    g, c = classes[0](width=4, norm=norm).generator(data, prior_of(6), ()), classes[1](width=4, norm=norm).critic(data, ())
    wanted = {"batch": nn.BatchNorm2d, "instance": nn.InstanceNorm2d, "layer": nn.GroupNorm}
    for network in (g, c):
        found = {type(m) for m in network.modules() if isinstance(m, tuple(wanted.values()))}
        assert found == ({wanted[norm]} if norm in wanted else set())
    x = torch.randn(4, 3, 32, 32)
    together, alone = c(x), torch.cat([c(x[i : i + 1]) for i in range(4)])
    mixes = not torch.allclose(together, alone, atol=1e-5)
    assert mixes == (norm == "batch")


def test_layer_norm_is_over_channels_and_pixels():
    c = networks.DCGANCritic(width=4, norm="layer").critic(data_of(1, 16, 16), ())
    (norm,) = [m for m in c.modules() if isinstance(m, nn.GroupNorm)]
    x = torch.randn(2, 8, 4, 4)
    expected = torch.stack([(e - e.mean()) / (e.var(unbiased=False) + 1e-5).sqrt() for e in x])
    nn.init.ones_(norm.weight)
    torch.testing.assert_close(norm(x), expected)


def test_the_papers_dcgan_at_64_pixels():
    """Channels 512-256-128-64 and back; kernel 4; biases only where no batch norm follows."""
    data = data_of(3, 64, 64)
    g = networks.DCGANGenerator().generator(data, prior_of(100), ())
    weights = 16 * (100 * 512 + 512 * 256 + 256 * 128 + 128 * 64 + 64 * 3)
    assert count(g) == weights + 2 * (512 + 256 + 128 + 64) + 3 == 3_576_707
    shapes, x = [], torch.randn(2, 100)
    for layer in g:
        x = layer(x)
        if isinstance(layer, nn.ConvTranspose2d):
            shapes.append(tuple(x.shape[1:]))
    assert shapes == [(512, 4, 4), (256, 8, 8), (128, 16, 16), (64, 32, 32), (3, 64, 64)]
    assert isinstance(g[-1], nn.Tanh)

    c = networks.DCGANCritic().critic(data, ())
    weights = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512 * 1)
    assert count(c) == weights + 64 + 2 * (128 + 256 + 512) + 1 == 2_765_633
    kinds = [type(m).__name__ for m in c]
    assert kinds[:4] == ["Conv2d", "LeakyReLU", "Conv2d", "BatchNorm2d"]
    assert kinds.count("BatchNorm2d") == 3
    assert {m.negative_slope for m in c if isinstance(m, nn.LeakyReLU)} == {0.2}


def test_dcgans_initial_weights():
    torch.manual_seed(0)
    data = data_of(3, 64, 64)
    for network in (networks.DCGANGenerator().generator(data, prior_of(100), ()), networks.DCGANCritic().critic(data, ())):
        convolutions = torch.cat([m.weight.flatten() for m in network if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))])
        norms = torch.cat([m.weight.flatten() for m in network if isinstance(m, nn.BatchNorm2d)])
        assert abs(convolutions.mean().item()) < 1e-4
        assert convolutions.std().item() == pytest.approx(0.02, rel=0.01)
        assert norms.mean().item() == pytest.approx(1, abs=0.003)
        assert norms.std().item() == pytest.approx(0.02, rel=0.1)
        assert all((m.bias == 0).all() for m in network if getattr(m, "bias", None) is not None)
        for m in network:
            if isinstance(m, nn.BatchNorm2d):
                assert (m.eps, m.momentum) == (1e-5, 0.1)


def test_the_papers_resnet_at_32_pixels():
    """WGAN-GP's CIFAR-10 networks, counted layer by layer."""
    w, data = 128, data_of(3, 32, 32)

    def conv(inputs, outputs, kernel):
        return inputs * outputs * kernel**2 + outputs

    g = networks.ResNetGenerator().generator(data, prior_of(128), ())
    block = 2 * conv(w, w, 3) + conv(w, w, 1) + 2 * 2 * w
    assert count(g) == (128 + 1) * 4 * 4 * w + 3 * block + 2 * w + conv(w, 3, 3)
    c = networks.ResNetCritic().critic(data, ())
    first = conv(3, w, 3) + conv(w, w, 3) + conv(3, w, 1)
    down = 2 * conv(w, w, 3) + conv(w, w, 1)
    assert count(c) == first + down + 2 * 2 * conv(w, w, 3) + w + 1


@pytest.mark.parametrize(("pool", "times"), [("mean", 1), ("sum", 64)])
def test_resnets_critic_pools_by_mean_or_sum(pool, times):
    """WGAN-GP's code takes the mean over the last 8 × 8 pixels, SNGAN's and BigGAN's the sum."""
    torch.manual_seed(0)
    c = networks.ResNetCritic(width=4, pool=pool).critic(data_of(3, 32, 32), ())
    x, last = torch.randn(2, 3, 32, 32), []
    handle = c[-4].register_forward_hook(lambda *inputs: last.append(inputs[-1]))  # the last activation
    scores = c(x)
    handle.remove()
    assert last[0].shape == (2, 4, 8, 8)
    weight, bias = c[-2].weight[0], c[-2].bias
    torch.testing.assert_close(scores, times * last[0].flatten(2).mean(2) @ weight + bias)


def test_resnets_grow():
    data = data_of(3, 64, 64)
    g = networks.ResNetGenerator(width=4, growth=2).generator(data, prior_of(3), ())
    assert [m.out_channels for m in g.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1)] == [32, 16, 8, 4]
    c = networks.ResNetCritic(width=4, growth=2).critic(data, ())
    assert [m.out_channels for m in c.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1)] == [4, 8, 16]


def test_resnets_initial_weights():
    torch.manual_seed(0)
    c = networks.ResNetCritic(width=64).critic(data_of(3, 32, 32), ())
    inner = c[1].long[1].weight  # Glorot's bound √(6 / (in + out)), times √2
    bound = math.sqrt(2) * math.sqrt(6 / (9 * 64 + 9 * 64))
    assert 0.98 * bound < inner.abs().max().item() <= bound
    short = c[1].short[0].weight
    bound = math.sqrt(6 / (64 + 64))
    assert 0.95 * bound < short.abs().max().item() <= bound
    assert all((m.bias == 0).all() for m in c.modules() if isinstance(m, (nn.Conv2d, nn.Linear)))


def test_the_mlp_of_the_facts():
    data = data_of(1, 28, 28)
    g = networks.MLPGenerator(widths=[128, 256, 512, 1024]).generator(data, prior_of(100), ())
    sizes = [100, 128, 256, 512, 1024, 784]
    assert count(g) == sum((a + 1) * b for a, b in pairwise(sizes)) == 1_506_448
    c = networks.MLPCritic(widths=[512, 256]).critic(data, ())
    assert count(c) == 785 * 512 + 513 * 256 + 257
    assert {m.negative_slope for m in c if isinstance(m, nn.LeakyReLU)} == {0.2}


def test_width_and_depth_make_the_same_as_widths():
    data = data_of(2)
    for settings in ({"width": 7, "depth": 3}, {"widths": [7, 7, 7]}):
        g = networks.MLPGenerator(**settings).generator(data, prior_of(4), ())
        assert [m.out_features for m in g if isinstance(m, nn.Linear)] == [7, 7, 7, 2]
    assert count(networks.MLPCritic(depth=0).critic(data, ())) == 3


def test_fourier_features_are_waves_of_the_wavelengths_in_the_example_alone():
    """One of length λ comes round after λ along its direction, and changes sign after half of it; across, it is constant."""
    torch.manual_seed(0)
    flatten, waves, first, *_ = networks.MLPCritic(fourier=3, wavelengths=[0.1, 10.0]).critic(data_of(2), ()).double()
    assert isinstance(first, nn.Linear)
    assert first.in_features == 2 + 2 * 3
    assert not list(waves.parameters())
    assert list(waves.state_dict()) == ["frequencies"]  # random, so part of checkpoints
    x = torch.randn(5, 2, dtype=torch.float64)
    found = waves(flatten(x))
    assert torch.equal(found[:, :2], x)
    torch.testing.assert_close(found[:, 2:5].square() + found[:, 5:].square(), torch.ones(5, 3, dtype=torch.float64))
    torch.testing.assert_close(waves(0 * x)[:, 2:], torch.tensor([[1.0, 1, 1, 0, 0, 0]], dtype=torch.float64).expand(5, 6))
    for i, length in enumerate((0.1, 1.0, 10.0)):
        along = waves.frequencies[:, i] / waves.frequencies[:, i].norm()
        mine = found[:, [2 + i, 5 + i]]
        for step, expected in ((length * along, mine), (length / 2 * along, -mine), (torch.stack([-along[1], along[0]]), mine)):
            torch.testing.assert_close(waves(x + step)[:, [2 + i, 5 + i]], expected, rtol=0, atol=1e-6)


def test_fourier_features_leave_the_conditions_numbers_as_they_are():
    waves = FourierFeatures(2, 4, 0.1, 1.0)
    x, beside = torch.randn(3, 2), torch.randn(3, 5)
    found = waves(torch.cat((x, beside), 1))
    assert torch.equal(found[:, 2:7], beside)
    torch.testing.assert_close(found[:, 7:], waves(x)[:, 2:])


@pytest.mark.parametrize("wavelengths", [[1.0], [10.0, 0.1], [1.0, 2.0, 3.0], [0.0, 1.0]])
def test_wavelengths_are_two_numbers(wavelengths):
    with pytest.raises(ValueError, match="wavelengths"):
        networks.MLPCritic(fourier=3, wavelengths=wavelengths)


def test_batch_norm_in_the_mlp_has_pytorchs_own_numbers():
    g = networks.MLPGenerator(width=5, batch_norm=True).generator(data_of(2), prior_of(4), ())
    norms = [m for m in g if isinstance(m, nn.BatchNorm1d)]
    assert [(m.num_features, m.eps, m.momentum) for m in norms] == [(5, 1e-5, 0.1)] * 2


@pytest.mark.parametrize(
    ("activation", "kind"),
    [("relu", nn.ReLU), ("leaky_relu", nn.LeakyReLU), ("elu", nn.ELU), ("silu", nn.SiLU), ("gelu", nn.GELU), ("tanh", nn.Tanh)],
)
def test_activations(activation, kind):
    g = networks.MLPGenerator(activation=activation).generator(data_of(2), prior_of(4), ())
    c = networks.MLPCritic(activation=activation).critic(data_of(2), ())
    assert [sum(isinstance(m, kind) for m in n) for n in (g, c)] == [2, 2]


def test_the_output_fills_the_datas_range():
    z = 100 * torch.randn(500, 3)
    for low, high in ((-1.0, 1.0), (0.0, 1.0), (-3.0, 5.0)):
        fake = networks.MLPGenerator().generator(data_of(2, low=low, high=high), prior_of(3), ())(z)
        assert low <= fake.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < fake.max() <= high
    g = networks.MLPGenerator().generator(data_of(2, low=0.0, high=1.0), prior_of(3), ())
    assert g.half()(z.half()).dtype == torch.float16
    unbounded = networks.MLPGenerator().generator(data_of(2), prior_of(3), ())(100 * z)
    assert unbounded.abs().max() > 5
    unit = networks.DCGANGenerator(width=4).generator(data_of(1, 16, 16, low=0.0, high=1.0), prior_of(3), ())(z)
    assert unit.min() >= 0
    assert unit.max() <= 1
    assert unit.mean().item() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("kind", ["dcgan", "resnet", "mlp"])
def test_a_prior_of_any_shape(kind):
    g = SMALL[kind][0].generator(data_of(1, 16, 16), prior_of(2, 3), ())
    assert g(torch.randn(2, 2, 3)).shape == (2, 1, 16, 16)


@pytest.mark.parametrize("kind", ["dcgan", "resnet"])
def test_data_that_are_not_images_are_refused(kind):
    ring = data_of(2, name="ring")
    message = rf"generator '{kind}' makes images \(channels, height, width\); data 'ring' has shape \(2,\): use generator mlp"
    with pytest.raises(GanflowError, match=message):
        SMALL[kind][0].generator(ring, prior_of(3), ())
    with pytest.raises(GanflowError, match=rf"critic '{kind}' scores images .* has shape \(2,\): use critic mlp"):
        SMALL[kind][1].critic(ring, ())


@pytest.mark.parametrize("size", [8, 15, 513, 1024])
@pytest.mark.parametrize("kind", ["dcgan", "resnet"])
def test_sizes_out_of_range_are_refused(kind, size):
    message = f"critic '{kind}' scores images of 16 to 512 pixels a side; data 'toy' has {size} × {size}: change"
    with pytest.raises(GanflowError, match=message):
        SMALL[kind][1].critic(data_of(3, size, size), ())
    with pytest.raises(GanflowError, match=rf"generator '{kind}' makes images of 16 to 512"):
        SMALL[kind][0].generator(data_of(3, size, size), prior_of(3), ())


@pytest.mark.parametrize("kind", ["dcgan", "resnet", "mlp"])
def test_a_recipe_without_a_prior_is_refused(kind):
    with pytest.raises(GanflowError, match=rf"generator '{kind}' starts from a prior's draws; the recipe has no prior"):
        SMALL[kind][0].generator(data_of(1, 16, 16), None, ())


@pytest.mark.parametrize("norm", ["batch", "instance", "layer"])
def test_norms_and_convolutions_start_as_dcgans_do(norm):
    """From N(1, 0.02²) and N(0, 0.02²), with biases 0."""
    torch.manual_seed(0)
    network = networks.DCGANCritic(width=64, norm=norm).critic(data_of(1, 32, 32), ())
    norms = [m for m in network.modules() if isinstance(m, (nn.BatchNorm2d, nn.InstanceNorm2d, nn.GroupNorm))]
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert norms
    for layers, mean in ((norms, 1.0), (convolutions, 0.0)):
        weights = torch.cat([layer.weight.detach().flatten() for layer in layers])
        assert weights.mean().item() == pytest.approx(mean, abs=5 * 0.02 / len(weights) ** 0.5)
        assert weights.std().item() == pytest.approx(0.02, rel=0.2)
        assert not any(layer.bias.any() for layer in layers if layer.bias is not None)
