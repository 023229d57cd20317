"""The networks that translate, and the critics of patches: counts, shapes, receptive fields, who shares what, and refusals."""

from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from ganflow_layers.blocks import ResizeConv
from ganflow_translation import networks
from ganflow_translation.nets.blocks import InstanceNorm
from ganflow_translation.nets.patch import receptive_field
from torch import nn
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F

from ganflow.contract.data import Field, TensorData
from ganflow.errors import GanflowError, SettingsError

GENERATORS = {
    "unet": networks.UNet(width=4),
    "unet instance resize": networks.UNet(width=4, norm="instance", upsample="resize"),
    "unet running averages": networks.UNet(width=4, batch_statistics=False),
    "resnet": networks.ResNetTranslator(width=4),
    "resnet batch resize": networks.ResNetTranslator(width=4, norm="batch", upsample="resize", downs=1, blocks=2, dropout=0.2),
    "unit": networks.Unit(width=4),
    "unit resize": networks.Unit(width=4, upsample="resize", shared=2, blocks=1, downs=1),
}
CRITICS = {
    "patch": networks.Patch(width=4),
    "pixel": networks.Patch(width=4, receptive_field=1),
    "16": networks.Patch(width=4, receptive_field=16, norm="batch"),
    "full": networks.Patch(width=4, receptive_field="full"),
    "layers": networks.Patch(width=4, layers=2, norm="none"),
    "multiscale": networks.Multiscale(width=4),
    "multiscale instance": networks.Multiscale(width=4, layers=3, scales=2, norm="instance"),
}
FIELDS = {"real": ["real"], "paired": ["source", "target"], "unpaired": ["a", "b"]}


def data_of(kind, height=32, width=None, channels=(3, 3), name="toy"):
    fields = {
        field: Field((c, height, width or height), -1.0, 1.0) for field, c in zip(FIELDS[kind], channels, strict=False)
    }
    return SimpleNamespace(name=name, fields=fields, shape=next(iter(fields.values())).shape)


def scored(settings, data):
    """The critic of a recipe on these data, whose condition is the source of pairs."""
    return settings.critic(data, ("source",) if "source" in data.fields else ())


def drawn(settings, data):
    return settings.generator(data, None, ())


def usual(generator):
    """The signature that is played."""
    return next(iter(generator.signatures.values()))


def joined(scores):
    """All scores, (n, …), of one critic or of several by name."""
    return torch.cat([t.flatten(1) for t in scores.values()], 1) if isinstance(scores, dict) else scores


def count(network):
    return sum(p.numel() for p in network.parameters())


def conv(inputs, outputs, kernel, bias=False):
    return kernel**2 * inputs * outputs + bias * outputs


def takes(kind, data_kind):
    return not (kind.startswith("unit") and data_kind == "paired")


def test_the_unet_of_the_paper():
    """Eight layers to one pixel. Biases only where no norm follows: in the first, the innermost and the last convolution.
    The well-known PyTorch port has 54,413,955: it leaves out two of these three, the 64 and 512 of the encoder. The Lua code
    has one everywhere, idle before a norm."""
    g = drawn(networks.UNet(), data_of("paired", 256))
    down = conv(3, 64, 4, True) + conv(64, 128, 4) + conv(128, 256, 4) + conv(256, 512, 4) + 3 * conv(512, 512, 4)
    down += conv(512, 512, 4, True)
    up = conv(512, 512, 4) + 3 * conv(1024, 512, 4) + conv(1024, 256, 4) + conv(512, 128, 4) + conv(256, 64, 4)
    up += conv(128, 3, 4, True)
    norms = 2 * (128 + 256 + 4 * 512) + 2 * (4 * 512 + 256 + 128 + 64)
    assert count(g) == down + up + norms == 54_413_955 + 64 + 512
    net = g.networks["target"]
    normed = [[any(isinstance(m, nn.BatchNorm2d) for m in layer) for layer in layers] for layers in (net.downs, net.ups)]
    assert normed == [[False, *[True] * 6, False], [*[True] * 7, False]]
    dropped = [[m.p for m in layer if isinstance(m, nn.Dropout)] for layer in net.ups]
    assert dropped == [[0.5]] * 3 + [[]] * 5
    assert {m.negative_slope for m in net.modules() if isinstance(m, nn.LeakyReLU)} == {0.2}
    assert (usual(g).multiple, usual(g).smallest) == (256, 256)


def test_the_unets_layers_see_each_other_as_in_the_paper():
    """Features are passed on before their activation; the decoder's ReLU comes after they are joined."""
    net = drawn(networks.UNet(width=2, norm="instance", dropout=0), data_of("paired", 8)).networks["target"].eval()
    x = torch.randn(2, 3, 8, 8)
    e1 = net.downs[0][0](x)
    e2 = F.instance_norm(net.downs[1][1](F.leaky_relu(e1, 0.2)))
    e3 = net.downs[2][1](F.leaky_relu(e2, 0.2))
    d2 = F.instance_norm(net.ups[0][1](F.relu(e3)))
    d1 = F.instance_norm(net.ups[1][1](F.relu(torch.cat((d2, e2), 1))))
    expected = torch.tanh(net.ups[2][1](F.relu(torch.cat((d1, e1), 1))))
    assert e3.shape == (2, 8, 1, 1)
    torch.testing.assert_close(net(x), expected, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(("side", "blocks"), [(256, 9), (128, 6)])
def test_the_residual_network_of_the_paper(side, blocks):
    """The authors' code has 5248 more at 9 blocks: biases before the norms."""
    g = drawn(networks.ResNetTranslator(), data_of("paired", side))
    ends = conv(3, 64, 7) + conv(64, 128, 3) + conv(128, 256, 3)
    expected = ends + blocks * 2 * conv(256, 256, 3) + conv(256, 128, 3) + conv(128, 64, 3) + conv(64, 3, 7, True)
    assert count(g) == expected
    idle = 64 + 128 + 256 + blocks * 2 * 256 + 128 + 64
    assert blocks != 9 or (count(g), idle) == (11_378_179 - 5248, 5248)
    reflecting = [m.kernel_size[0] for m in g.modules() if isinstance(m, nn.Conv2d) and m.padding_mode == "reflect"]
    assert reflecting == [7] + [3] * 2 * blocks + [7]
    assert sum(isinstance(m, InstanceNorm) for m in g.modules()) == 5 + 2 * blocks
    assert (usual(g).multiple, usual(g).smallest) == (4, 8)


def test_the_critic_of_70_pixels():
    """The port's 2.769 million, for six channels and batch norm."""
    c = scored(networks.Patch(norm="batch"), data_of("paired", 256))
    weights = conv(6, 64, 4, True) + conv(64, 128, 4) + conv(128, 256, 4) + conv(256, 512, 4) + conv(512, 1, 4, True)
    assert count(c) == weights + 2 * (128 + 256 + 512) == 2_768_705
    assert [m.stride[0] for m in c if isinstance(m, nn.Conv2d)] == [2, 2, 2, 1, 1]
    x, y = torch.randn(2, 1, 3, 256, 256)
    assert c(y, source=x).shape == (1, 1, 30, 30)


def test_the_networks_of_unit():
    """Norms, and convolutions without a bias, in residual blocks alone."""
    g = drawn(networks.Unit(), data_of("unpaired", 64, channels=(1, 3)))
    block, middle = 2 * conv(256, 256, 3), conv(64, 128, 3, True) + conv(128, 256, 3, True)
    encoders = conv(1, 64, 7, True) + conv(3, 64, 7, True) + 2 * (middle + 3 * block)
    back = conv(256, 128, 3, True) + conv(128, 64, 3, True)
    decoders = 2 * (3 * block + back) + conv(64, 1, 1, True) + conv(64, 3, 1, True)
    assert count(g) == encoders + decoders + 2 * block
    assert g.encode(torch.randn(2, 1, 64, 64), "a").shape == (2, 256, 16, 16)


@pytest.mark.parametrize("size", [(32, 32), (48, 48), (64, 32), (16, 96)])
@pytest.mark.parametrize("kind", GENERATORS)
def test_translations_have_the_size_of_what_they_translate(kind, size):
    for data_kind in ("paired", "unpaired"):
        if not takes(kind, data_kind):
            continue
        data = data_of(data_kind, *size, channels=(1, 3))
        g = drawn(GENERATORS[kind], data)
        ways = {s.output: s.inputs["x"] for name, s in g.signatures.items() if name.startswith("to_")}
        assert list(ways.items()) == ([("target", "source")] if data_kind == "paired" else [("b", "a"), ("a", "b")])
        channels = {name: field.shape[0] for name, field in data.fields.items()}
        for to, origin in ways.items():
            multiple, smallest = g.signatures[f"to_{to}"].multiple, g.signatures[f"to_{to}"].smallest
            made = g(torch.randn(2, channels[origin], *size), to)
            assert made.shape == (2, channels[to], *size)
            assert made.abs().max() <= 1
            other = g(torch.randn(1, channels[origin], 3 * multiple, 2 * multiple), to)  # another size than the data's
            assert other.shape == (1, channels[to], 3 * multiple, 2 * multiple)
            assert g(torch.randn(2, channels[origin], smallest, smallest), to).isfinite().all()


@pytest.mark.parametrize(("size", "depth"), [((32, 32), 5), ((48, 48), 4), ((256, 512), 8), ((100, 100), 2), ((64, 96), 5)])
def test_the_unet_is_as_deep_as_the_images_allow(size, depth):
    g = drawn(networks.UNet(width=1), data_of("paired", *size))
    assert (len(g.networks["target"].downs), usual(g).multiple, usual(g).smallest) == (depth, 2**depth, 2**depth)


def test_a_depth_of_ones_own():
    assert usual(drawn(networks.UNet(width=1, depth=3), data_of("paired", 32))).multiple == 8
    message = r"halves images 5 times, so sides have to be multiples of 32 pixels; data 'toy' has 48 × 48: take depth 4 or less"
    with pytest.raises(GanflowError, match=message):
        drawn(networks.UNet(depth=5), data_of("paired", 48))
    with pytest.raises(GanflowError, match=r"data 'toy' has 33 × 32: change the data's size"):
        drawn(networks.UNet(depth=5), data_of("paired", 33, 32))


@pytest.mark.parametrize("kind", CRITICS)
@pytest.mark.parametrize("size", [(32, 32), (48, 48), (100, 33), (64, 128)])
def test_scores_are_maps(kind, size):
    scales = {"multiscale": 3 if min(size) >= 64 else 2, "multiscale instance": 2}.get(kind, 1)
    torch.manual_seed(0)
    x = {c: torch.randn(2, c, *size) for c in (1, 3)}
    alone = scored(CRITICS[kind], data_of("real", *size))
    together = scored(CRITICS[kind], data_of("paired", *size, channels=(1, 3)))
    each = scored(CRITICS[kind], data_of("unpaired", *size, channels=(1, 3)))
    for scores in (alone(x[3]), together(x[3], source=x[1]), each(x[1], "a"), each(x[3], "b")):
        maps = list(scores.values()) if isinstance(scores, dict) else [scores]
        assert len(maps) == scales
        assert (maps[0].shape[2:] == (1, 1)) == (kind == "full")
        assert (maps[0].shape[2:] == size) == (kind == "pixel")
        assert all((m.dim(), m.shape[:2]) == (4, (2, 1)) and m.isfinite().all() for m in maps)
        assert any((m < 0).any() for m in maps) or kind == "full"  # no sigmoid
    assert each.receptive_field == alone.receptive_field == together.receptive_field


@pytest.mark.parametrize(("field", "layers"), [(1, 0), (7, 0), (16, 1), (34, 2), (70, 3), (142, 4), (286, 5)])
def test_the_receptive_field_is_the_patch_that_a_score_depends_on(field, layers):
    """One score's gradient is nonzero exactly on a square of so many pixels. All weights are positive, so nothing cancels."""
    side = 2 * max(field, 4)
    c = scored(networks.Patch(width=1, norm="none", receptive_field=field), data_of("real", side)).double()
    for p in c.parameters():
        nn.init.constant_(p, 0.1)
    x = torch.ones(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    scores = c(x)
    middle = scores.shape[2] // 2
    (slope,) = torch.autograd.grad(scores[0, 0, middle, middle], x)
    touched = (slope != 0).any(1)[0]
    rows, columns = touched.any(1).nonzero(), touched.any(0).nonzero()
    assert len(rows) == len(columns) == field
    assert rows.max() - rows.min() == field - 1
    assert touched.sum() == field**2
    assert c.receptive_field == field
    assert f"receptive_field={field}" in repr(c)
    if layers:
        assert scored(networks.Patch(width=1, layers=layers), data_of("real", side)).receptive_field == field


def test_the_receptive_fields_of_several_scales():
    c = scored(networks.Multiscale(width=1, layers=2, scales=3), data_of("real", 128)).double()
    assert c.receptive_fields == [10, 20, 40]
    assert c.receptive_field == 40
    assert "receptive_fields=[10, 20, 40]" in repr(c)
    for p in c.parameters():
        nn.init.constant_(p, 0.1)
    x = torch.ones(1, 3, 128, 128, dtype=torch.float64, requires_grad=True)
    for i, scores in enumerate(c(x).values()):
        (slope,) = torch.autograd.grad(scores[0, 0, 16 >> i, 16 >> i], x, retain_graph=True)
        assert (slope != 0).sum() == 3 * c.receptive_fields[i] ** 2
    assert scored(networks.Multiscale(width=1), data_of("real", 256)).receptive_fields == [46, 92, 184]


def test_a_full_receptive_field_covers_the_image():
    for size in ((8, 8), (32, 32), (48, 80), (256, 256)):
        c = scored(networks.Patch(width=1, norm="none", receptive_field="full"), data_of("real", *size)).double()
        for p in c.parameters():
            nn.init.constant_(p, 0.1)
        x = torch.ones(1, 3, *size, dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(c(x).sum(), x)
        assert (slope != 0).all()
        assert c.receptive_field >= max(size)


def test_the_receptive_field_of_a_chain():
    assert receptive_field([]) == 1
    assert receptive_field([nn.Conv2d(1, 1, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(1, 1, (3, 1))]) == 3 + 1 + 2 * 2


def test_every_scale_weighs_the_same():
    c = scored(networks.Multiscale(width=2, layers=2, scales=3), data_of("real", 64))
    x = torch.randn(2, 3, 64, 64)
    alone = [critic(F.avg_pool2d(x, 2**i)) for i, critic in enumerate(c.critics)]
    assert [s.shape[2:] for s in alone] == [(16, 16), (8, 8), (4, 4)]
    scores = c(x)
    assert list(scores) == ["full", "half", "quarter"]
    for found, expected in zip(scores.values(), alone, strict=True):
        torch.testing.assert_close(found, expected)
    assert c.score_weights == dict.fromkeys(scores, 1.0)
    assert scored(networks.Multiscale(width=2, layers=2, scales=3), data_of("unpaired", 64)).score_weights == c.score_weights
    averaged = scored(networks.Multiscale(width=2, layers=2, scales=3, reduction="mean"), data_of("real", 64))
    averaged.load_state_dict(c.state_dict())
    found = averaged(x)  # one map, in whose mean every scale weighs the same
    assert (averaged.score_weights, found.shape) == ({}, (2, 3, 16, 16))
    torch.testing.assert_close(found.mean((0, 2, 3)), torch.stack([s.mean() for s in alone]))


@pytest.mark.parametrize("kind", [k for k in GENERATORS if "unit" not in k])
def test_each_way_has_a_network_of_its_own(kind):
    g = drawn(GENERATORS[kind], data_of("unpaired"))
    g(torch.randn(2, 3, 32, 32), "b").square().sum().backward()
    reached = {name for name, p in g.named_parameters() if p.grad is not None}
    assert reached == {name for name, _ in g.named_parameters() if name.startswith("networks.b.")}


@pytest.mark.parametrize("kind", CRITICS)
def test_each_domain_has_a_critic_of_its_own(kind):
    c = scored(CRITICS[kind], data_of("unpaired"))
    joined(c(torch.randn(2, 3, 32, 32), "a")).square().sum().backward()
    reached = {name for name, p in c.named_parameters() if p.grad is not None}
    assert reached == {name for name, _ in c.named_parameters() if name.startswith("critics.a.")}


def test_units_domains_share_the_blocks_next_to_the_code():
    g = drawn(networks.Unit(width=4, shared=2), data_of("unpaired"))
    x = torch.randn(2, 3, 32, 32)
    calls = []
    for shared in (g.shared_encoder, g.shared_decoder):
        shared.register_forward_hook(lambda module, *_: calls.append(module))
    for to in ("a", "b"):
        g.zero_grad()
        g(x, to).square().sum().backward()
        reached = {name.rsplit(".long", 1)[0] for name, p in g.named_parameters() if p.grad is not None and p.grad.any()}
        assert {"shared_encoder.0", "shared_encoder.1", "shared_decoder.0", "shared_decoder.1"} <= reached
        origin = g.signatures[f"to_{to}"].inputs["x"]
        assert not any(name.startswith((f"encoders.{to}.", f"decoders.{origin}.")) for name in reached)
    assert calls == [g.shared_encoder, g.shared_decoder] * 2
    state = g.state_dict()
    assert len({t.data_ptr() for t in state.values()}) == len(state) == len(list(g.parameters()))
    assert sum("shared" in name for name in state) == 2 * 2 * 2
    assert "shared" not in "".join(drawn(networks.Unit(width=4, shared=0), data_of("unpaired")).state_dict())


def test_units_code_is_noisy_in_training_alone():
    g = drawn(networks.Unit(width=4), data_of("unpaired"))
    x = torch.randn(4, 3, 32, 32)
    code = g.encode(x, "a")
    torch.testing.assert_close(code, g.encode(x, "a"))
    noise = g.noisy(code) - code
    assert (noise.mean().item(), noise.std().item()) == pytest.approx((0, 1), abs=0.05)
    torch.manual_seed(3)
    made = g(x, "b")
    torch.manual_seed(3)
    torch.testing.assert_close(made, g.decode(g.noisy(code), "b"))
    assert not torch.equal(made, g(x, "b"))
    g.eval()
    assert torch.equal(g.noisy(code), code)
    assert torch.equal(g(x, "b"), g.decode(g.encode(x, "a"), "b"))


@pytest.mark.parametrize("steady", [False, True])
def test_dropout_at_translation_is_a_choice(steady):
    g = drawn(networks.UNet(width=4, dropout_at_translation=steady), data_of("paired"))
    x = torch.randn(2, 3, 32, 32)
    assert not torch.equal(g(x, "target"), g(x, "target"))
    g.eval()
    assert torch.equal(g(x, "target"), g(x, "target")) != steady
    still = drawn(networks.UNet(width=4, dropout=0, dropout_at_translation=steady), data_of("paired"))
    assert torch.equal(still(x, "target"), still(x, "target"))


@pytest.mark.parametrize("batch_statistics", [False, True])
def test_batch_statistics_at_translation_are_a_choice(batch_statistics):
    settings = networks.UNet(width=4, dropout=0, batch_statistics=batch_statistics)
    g = drawn(settings, data_of("paired"))
    x = torch.randn(4, 3, 32, 32)
    trained = g(x, "target")
    g.eval()
    assert torch.allclose(g(x, "target"), trained, atol=1e-6) == batch_statistics
    assert (len(list(g.buffers())) == 0) == batch_statistics
    alone = torch.cat([g(one[None], "target") for one in x])
    assert torch.allclose(g(x, "target"), alone, atol=1e-5) != batch_statistics


def test_initial_weights():
    torch.manual_seed(0)
    unet = drawn(networks.UNet(width=32), data_of("paired"))
    unit = drawn(networks.Unit(width=16), data_of("unpaired"))
    resnet = drawn(networks.ResNetTranslator(width=16, norm="batch"), data_of("paired"))
    for network in (unet, unit, resnet, scored(networks.Patch(width=32), data_of("paired"))):
        layers = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
        weights = torch.cat([m.weight.flatten() for m in layers])
        assert (weights.mean().item(), weights.std().item()) == pytest.approx((0, 0.02), abs=2e-4)
        assert all((m.bias == 0).all() for m in layers if m.bias is not None)
    norms = torch.cat([m.weight.flatten() for m in unet.modules() if isinstance(m, nn.BatchNorm2d)])
    assert (norms.mean().item(), norms.std().item()) == pytest.approx((1, 0.02), abs=3e-3)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_instance_norm_is_torchs(layout):
    x = (5 + 3 * torch.randn(3, 4, 9, 7)).to(memory_format=layout).requires_grad_()
    weight = torch.randn(3, 4, 9, 7)
    found, expected = InstanceNorm()(x), nn.InstanceNorm2d(4)(x)
    torch.testing.assert_close(found, expected)
    for made in ((weight * found).sum(), (weight * found.tanh()).sum()):
        assert made.isfinite()
    torch.testing.assert_close(
        torch.autograd.grad((weight * found).sum(), x), torch.autograd.grad((weight * expected).sum(), x), atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize("size", [(1, 2, 3), (3, 1, 4), (2, 11, 13)])
def test_resizing_convolution_is_that_of_the_enlarged_map(size):
    n, height, width = size
    layer = ResizeConv(5, 4)
    layer.worth_it = 0  # the kernel made of sums, at any size
    x = torch.randn(n, 5, height, width, requires_grad=True)
    enlarged = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    expected = F.conv2d(enlarged, layer.weight, layer.bias, padding=1)
    aim = torch.randn_like(expected)
    inputs = (x, layer.weight, layer.bias)
    wanted = torch.autograd.grad((aim * expected).sum(), inputs)
    for worth_it in (0, 10**9):
        layer.worth_it = worth_it
        found = layer(x)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(torch.autograd.grad((aim * found).sum(), inputs), wanted, atol=1e-5, rtol=1e-4)


class Joined(nn.Module):
    """A critic, its scores in one tensor."""

    def __init__(self, critic):
        super().__init__()
        self.critic = critic

    def forward(self, x, domain):
        return joined(self.critic(x, domain))


def of_two_domains(kind):
    """A network, called with images and a domain, that gives one tensor."""
    if kind.startswith("critic "):
        return Joined(scored(CRITICS[kind.removeprefix("critic ")], data_of("unpaired")))
    return drawn(GENERATORS[kind], data_of("unpaired"))


EVERY = [*GENERATORS, *(f"critic {kind}" for kind in CRITICS)]


@pytest.mark.parametrize("kind", EVERY)
def test_networks_are_plain_modules(kind):
    """Trained to the last parameter, copied, loaded, called with other weights, and laid out channels-last."""
    network, x = of_two_domains(kind), torch.randn(2, 3, 32, 32)
    (network(x, "a").square().sum() + network(x, "b").square().sum()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    network.zero_grad()
    network.eval()
    with torch.no_grad():
        expected = network(x, "b")
        copied = deepcopy(network)
        for p in copied.parameters():
            p.add_(1)
        torch.testing.assert_close(network(x, "b"), expected)
        assert copied.load_state_dict(network.state_dict())
        torch.testing.assert_close(copied(x, "b"), expected)
        other = {name: p + 0.01 for name, p in network.named_parameters()}
        found = functional_call(network, other, (x, "b"))
        torch.testing.assert_close(network(x, "b"), expected)
        for p in copied.parameters():
            p.add_(0.01)
        torch.testing.assert_close(found, copied(x, "b"))
        turned = network.to(memory_format=torch.channels_last)
        found = turned(x.to(memory_format=torch.channels_last), "b")
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("kind", EVERY)
def test_networks_can_be_traced(kind):
    """Nothing in them depends on a tensor's values."""
    network, x, other = of_two_domains(kind).eval(), torch.randn(2, 3, 32, 32), torch.randn(2, 3, 32, 32)
    graph = make_fx(lambda x: network(x, "b"))(x)
    torch.testing.assert_close(graph(other), network(other, "b"), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", CRITICS)
def test_the_slope_of_scores_can_be_descended(kind):
    """As gradient penalties do."""
    c = scored(CRITICS[kind], data_of("real"))
    x = torch.randn(2, 3, 32, 32, requires_grad=True)
    (slope,) = torch.autograd.grad(joined(c(x)).mean(), x, create_graph=True)
    slope.square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in c.parameters())
    assert any(p.grad is not None and p.grad.any() for p in c.parameters())


@pytest.mark.parametrize("kind", ["unet", "resnet", "unit"])
def test_generators_refuse_data_without_two_domains_of_images(kind):
    name = "resnet_translator" if kind == "resnet" else kind
    who = f"generator '{name}' translates between two domains of images \\(fields source and target, or a and b\\); "
    remedy = "use data facades, street, horses or a folder of pairs"
    settings = GENERATORS[kind]
    with pytest.raises(GanflowError, match=f"^{who}data 'digits' has only 'real': {remedy}$"):
        drawn(settings, data_of("real", name="digits"))
    pairs = {"source": torch.zeros(2, 3, 32, 32), "label": torch.zeros(2, 1)}
    with pytest.raises(GanflowError, match=f"^{who}data 'odd' has the fields 'source', 'label': {remedy}$"):
        drawn(settings, TensorData("odd", pairs))
    points = {"a": torch.zeros(2, 2), "b": torch.zeros(2, 2)}
    with pytest.raises(GanflowError, match=f"^{who}data 'plane' has 'a' of shape \\(2,\\): use images$"):
        drawn(settings, TensorData("plane", points, paired=False))
    domains = {"a": torch.zeros(2, 3, 32, 32), "b": torch.zeros(2, 3, 32, 64)}
    with pytest.raises(GanflowError, match=f"^{who}those of data 'odd' differ in size \\('a' 32 × 32, 'b' 32 × 64\\): give"):
        drawn(settings, TensorData("odd", domains, paired=False))
    domains = {"a": torch.zeros(2, 3, 32, 32), "b": torch.zeros(2, 3, 32, 32)}
    with pytest.raises(GanflowError, match=f"^{who}in data 'odd' values of 'b' are not between −1 and 1: scale them$"):
        drawn(settings, TensorData("odd", domains, ranges={"b": (0.0, 1.0)}, paired=False))


def test_unit_refuses_pairs():
    with pytest.raises(GanflowError, match=r"generator 'unit' learns from unpaired images .* data 'toy' has pairs .*: use gen"):
        drawn(networks.Unit(), data_of("paired"))


@pytest.mark.parametrize("size", [(33, 32), (32, 34), (4, 4)])
@pytest.mark.parametrize("kind", ["unet", "resnet", "unit"])
def test_generators_refuse_sizes_that_they_cannot_halve(kind, size):
    if (kind, size) == ("unet", (4, 4)):
        return
    shown = f"data 'toy' has {size[0]} × {size[1]}"
    halved = "which can be halved . times: change the data's size, best to a power of two"
    message = f"2 times at least; {shown}, {halved}" if kind == "unet" else (
        f"with downs 2 takes images of 8 pixels a side or more, in multiples of 4; {shown}: change the data's size, or take fewer"
    )
    with pytest.raises(GanflowError, match=message):
        drawn(GENERATORS[kind], data_of("unpaired", *size))


@pytest.mark.parametrize("kind", ["patch", "multiscale"])
def test_critics_refuse_what_they_cannot_score(kind):
    settings = CRITICS[kind]
    who = f"critic '{kind}' scores images \\(fields real, or source and target, or a and b\\); "
    with pytest.raises(GanflowError, match=f"^{who}data 'ring' has 'real' of shape \\(2,\\): use critic mlp$"):
        scored(settings, TensorData("ring", {"real": torch.zeros(4, 2)}))
    labelled = {"real": torch.zeros(2, 3, 32, 32), "label": torch.zeros(2, 1)}
    with pytest.raises(GanflowError, match=f"^condition: {who}and 'label' of .* is of kind points: use another"):
        settings.critic(TensorData("odd", labelled), ("label",))
    sizes = {"source": torch.zeros(2, 3, 32, 32), "target": torch.zeros(2, 3, 64, 64)}
    with pytest.raises(GanflowError, match=f"^{who}target and source of data 'odd' differ in size: give them the same$"):
        scored(settings, TensorData("odd", sizes))


def test_images_smaller_than_a_critic_takes_are_refused():
    for field, smallest in ((16, 6), (70, 24), (142, 48), ("full", 8)):
        settings = networks.Patch(width=2, receptive_field=field)
        c = scored(settings, data_of("real", smallest))
        assert c(torch.randn(1, 3, smallest, smallest)).shape == (1, 1, 1, 1)
        message = (
            f"critic 'patch' with a receptive field of {field} scores images of {smallest} pixels a side or more; "
            f"data 'toy' has {smallest - 1} × 64: take receptive_field"
        )
        with pytest.raises(GanflowError, match=message):
            scored(settings, data_of("real", smallest - 1, 64))
    for norm, smallest in (("none", 64), ("instance", 128)):
        settings = networks.Multiscale(width=2, scales=3, norm=norm)
        assert joined(scored(settings, data_of("real", smallest))(torch.randn(1, 3, smallest, smallest))).isfinite().all()
        message = f"4 layers at 3 scales scores images of {smallest} pixels a side or more; data .*: take fewer scales or layers"
        with pytest.raises(GanflowError, match=message):
            scored(settings, data_of("real", smallest - 1))
    with pytest.raises(GanflowError, match=r"4 layers at 1 scale scores images of 16 pixels .*: take fewer layers, or larger"):
        scored(networks.Multiscale(), data_of("real", 15))


@pytest.mark.parametrize("field", [0, 2, 69, 71, 10**6, -2])
def test_receptive_fields_that_no_layers_have_are_refused(field):
    with pytest.raises(SettingsError, match=f"receptive_field: no layers have {field}: take 1, 7, 16, 34, 70, 142"):
        networks.Patch(receptive_field=field)
