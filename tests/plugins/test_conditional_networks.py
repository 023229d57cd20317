"""Conditional networks against formulas written out here, with the weights read from the networks."""

import hashlib
from itertools import product

import ganflow_networks as networks
import pytest
import torch
from ganflow_regularize.spectral import normalize
from torch import nn
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx

from ganflow.contract.data import TensorData
from ganflow.errors import GanflowError

LABEL = torch.tensor([0, 3, 3, 1, 2, 0])
N, CLASSES = len(LABEL), 4
GENERATORS = {
    "mlp": networks.MLPGenerator(width=8, batch_norm=True),
    "dcgan": networks.DCGANGenerator(width=4),
    "resnet": networks.ResNetGenerator(width=4),
}
CRITICS = {
    "mlp": networks.MLPCritic(width=8),
    "dcgan": networks.DCGANCritic(width=4, norm="none"),
    "resnet": networks.ResNetCritic(width=4, pool="sum"),
}
WAYS = {"generator": ["batch_norm", "concat"], "critic": ["projection", "concat"]}


class Prior:
    shape = (5,)


def data_of(*shape):
    """Six examples with a label of four classes, a vector of three numbers and an image."""
    draws = torch.Generator().manual_seed(0)
    real = torch.rand(N, *shape, generator=draws) * 2 - 1
    parts = {"real": real, "label": LABEL, "text": torch.randn(N, 3, generator=draws), "source": torch.zeros(N, 3, 16, 16)}
    return TensorData("toy", parts, classes={"label": [f"class {i}" for i in range(CLASSES)]})


IMAGES = data_of(1, 16, 16)
X, TEXT = IMAGES.train["real"], IMAGES.train["text"]


def but(settings, **keys):
    """The same settings with other values."""
    return type(settings)(**{**vars(settings), **keys})


def generator(kind, *condition, data=IMAGES, **keys):
    torch.manual_seed(0)
    return but(GENERATORS[kind], **keys).generator(data, Prior, condition)


def critic(kind, *condition, data=IMAGES, **keys):
    torch.manual_seed(0)
    return but(CRITICS[kind], **keys).critic(data, condition)


def made(player, kind, way, *condition):
    build = generator if player == "generator" else critic
    return build(kind, *condition, conditioning=way)


def stir(network):
    """Give every parameter other values, so that nothing is at zero where it begins."""
    draws = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=draws))
    return network


# without a condition: the networks of before

BEFORE = {  # of version 1's networks: names and bytes of their initial weights, generator's and critic's, from seed 0
    "mlp": "13a1cd444c67f6e9",
    "mlp batch norm": "fc0eab8ead69e8d3",
    "dcgan": "6599534a6f2a43ae",
    "dcgan layer": "05883ea7ad42ab9e",
    "resnet": "8dc0a0b205af4d84",
    "resnet growing": "5f3af979f39034b8",
}
PLAIN = {
    "mlp": (networks.MLPGenerator(width=8), networks.MLPCritic(width=8), (2,)),
    "mlp batch norm": (networks.MLPGenerator(width=8, batch_norm=True), networks.MLPCritic(width=8, depth=0), (1, 16, 16)),
    "dcgan": (networks.DCGANGenerator(width=4), networks.DCGANCritic(width=4), (1, 32, 32)),
    "dcgan layer": (networks.DCGANGenerator(width=4, norm="layer"), networks.DCGANCritic(width=4, norm="layer"), (3, 20, 28)),
    "resnet": (networks.ResNetGenerator(width=4), networks.ResNetCritic(width=4), (1, 32, 32)),
    "resnet growing": (
        networks.ResNetGenerator(width=4, growth=2, norm="none"),
        networks.ResNetCritic(width=4, growth=2, norm="batch", pool="sum"),
        (3, 33, 20),
    ),
}


@pytest.mark.parametrize("name", PLAIN)
def test_without_a_condition_names_and_initial_weights_are_those_of_before(name):
    """So that earlier runs' checkpoints fit, and what a seed gives stays."""
    g, c, shape = PLAIN[name]
    data = TensorData("toy", {"real": torch.zeros(1, *shape)})
    torch.manual_seed(0)
    digest = hashlib.sha256()
    for network in (g.generator(data, Prior, ()), c.critic(data, ())):
        assert type(network) is nn.Sequential
        for key, t in network.state_dict().items():
            digest.update(key.encode())
            digest.update(t.numpy().tobytes())
    assert digest.hexdigest()[:16] == BEFORE[name]


# generators


def test_conditional_batch_norm_is_the_formula():
    """In training: (x − mean) / √(variance + 10⁻⁵) of each channel over the batch, times γ of the example's class, plus β."""
    g = stir(generator("dcgan", "label"))
    convolution, layer = g.network[2], g.network[3]
    (table,) = layer.numbers.tables
    assert table.weight.shape == (CLASSES, 2 * convolution.out_channels)
    x = torch.randn(N, convolution.out_channels, 4, 4) * 3 + 1
    found = layer(x, {"label": LABEL})
    mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), unbiased=False, keepdim=True)
    for i, label in enumerate(LABEL.tolist()):
        gamma, beta = 1 + table.weight[label, : x.shape[1]], table.weight[label, x.shape[1] :]
        normalized = (x[i] - mean[0]) / (variance[0] + 1e-5).sqrt()
        torch.testing.assert_close(found[i], gamma[:, None, None] * normalized + beta[:, None, None])


@pytest.mark.parametrize("kind", GENERATORS)
def test_conditional_batch_norm_begins_with_scale_1_and_shift_0(kind):
    """Then the class makes no difference yet, and the networks are the plain ones, where these start so, too (dcgan's do not)."""
    g = generator(kind, "label", conditioning="batch_norm")
    z = torch.randn(N, 5)
    assert torch.equal(g(z, label=LABEL), g(z, label=torch.zeros_like(LABEL)))
    if kind != "dcgan":
        torch.testing.assert_close(g(z, label=LABEL), generator(kind)(z))


@pytest.mark.parametrize("kind", GENERATORS)
def test_concatenation_sets_an_embedding_beside_z(kind):
    g = generator(kind, "label", conditioning="concat", embedding=3)
    (table,) = g.beside.tables
    assert table.weight.shape == (CLASSES, 3)
    plain, z = g.network.eval(), torch.randn(N, 5)
    expected = plain(torch.cat((z, table.weight[LABEL]), 1))
    torch.testing.assert_close(g(z, label=LABEL), expected)
    assert expected.shape == (N, 1, 16, 16)


# critics


@pytest.mark.parametrize("kind", CRITICS)
def test_projection_is_the_formula(kind):
    """ψ(h) + ⟨v_y, h⟩ (Miyato & Koyama 2018, equation 3), ψ linear: the last layer's weights and v_y read from the network."""
    c = stir(critic(kind, "label"))
    h = c.features(X).flatten(1)
    assert h.shape[1] == {"mlp": 8, "dcgan": 8 * 4 * 4, "resnet": 4}[kind]
    (table,) = c.products.tables
    weight, bias = c.last.weight.flatten(), c.last.bias[0]
    expected = [(weight + table.weight[label]) @ h[i] + bias for i, label in enumerate(LABEL.tolist())]
    torch.testing.assert_close(c(X, label=LABEL), torch.stack(expected), rtol=1e-4, atol=1e-5)


def test_the_projections_weights_begin_as_large_as_the_last_layers():
    c = critic("resnet", "label", width=256)
    (table,) = c.products.tables
    assert table.weight.std().item() == pytest.approx(c.last.weight.std().item(), rel=0.15)


@pytest.mark.parametrize("kind", CRITICS)
def test_concatenation_sets_an_embedding_beside_the_example(kind):
    c = stir(critic(kind, "label", conditioning="concat", embedding=3))
    (table,) = c.beside.tables
    rows = table.weight[LABEL]
    if kind == "mlp":
        expected = c.network(torch.cat((X.flatten(1), rows), 1))
    else:  # three constant channels at full size
        expected = c.network(torch.cat((X, rows[:, :, None, None].repeat(1, 1, 16, 16)), 1))
    torch.testing.assert_close(c(X, label=LABEL), expected)
    assert expected.shape == (N,)


@pytest.mark.parametrize("kind", CRITICS)
def test_a_classifying_critic_gives_scores_and_logits_of_the_same_features(kind):
    c = stir(critic(kind, "label", classifier="label"))
    assert c.auxiliary == ("classes",)
    found = c(X)
    assert {name: t.shape for name, t in found.items()} == {"score": (N,), "classes": (N, CLASSES)}
    h = c.features(X).flatten(1)
    torch.testing.assert_close(found["score"], h @ c.last.weight.flatten() + c.last.bias)
    torch.testing.assert_close(found["classes"], h @ c.classes.weight.T + c.classes.bias)
    with_label = c(X, label=LABEL)  # as a step calls it
    assert all(torch.equal(with_label[name], t) for name, t in found.items())
    assert critic(kind, classifier="label")(X)["classes"].shape == (N, CLASSES)  # of a generator without condition


# all of them

EVERY = [(player, kind, way) for player in WAYS for kind, way in product(GENERATORS, WAYS[player])]


def call(player, network, **condition):
    return network(torch.randn(N, 5, generator=torch.Generator().manual_seed(2)) if player == "generator" else X, **condition)


@pytest.mark.parametrize(("player", "kind", "way"), EVERY)
def test_classes_differ_and_every_weight_learns(player, kind, way):
    network = stir(made(player, kind, way, "label", "text")).eval()
    found = [call(player, network, label=torch.full((N,), label), text=TEXT) for label in range(CLASSES)]
    assert all(not torch.allclose(a, b) for i, a in enumerate(found) for b in found[:i])
    assert not torch.allclose(found[0], call(player, network, label=torch.zeros(N, dtype=torch.int64), text=TEXT.flip(0)))
    call(player, network.train(), label=LABEL, text=TEXT).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in network.parameters() if p.numel() > 1)


@pytest.mark.parametrize(("player", "kind", "way"), EVERY)
def test_they_are_traced_in_double_precision_and_channels_last(player, kind, way):
    network = stir(made(player, kind, way, "label")).double().to(memory_format=torch.channels_last)
    x = X.double() if player == "critic" else torch.randn(N, 5).double()
    traced = make_fx(lambda x, label: network(x, label=label))(x, LABEL)
    other = LABEL.flip(0)
    torch.testing.assert_close(traced(x, other), network(x, label=other))


@pytest.mark.parametrize("way", WAYS["critic"])
@pytest.mark.parametrize("kind", CRITICS)
def test_penalties_on_the_slope_and_stacked_trials(kind, way):
    """A gradient of a gradient, as R1 descends; and the weights of several trials at once."""
    c = stir(critic(kind, "label", conditioning=way))
    x = X.clone().requires_grad_()
    (slope,) = torch.autograd.grad(c(x, label=LABEL).sum(), x, create_graph=True)
    slope.square().sum().backward()
    assert any(p.grad is not None and p.grad.any() for p in c.parameters())
    weights = [{name: p.detach() * factor for name, p in c.named_parameters()} for factor in (1, 0.5)]
    stacked = {name: torch.stack([trial[name] for trial in weights]) for name in weights[0]}
    together = torch.func.vmap(lambda trial: functional_call(c, trial, (X,), {"label": LABEL}))(stacked)
    for scores, trial in zip(together, weights, strict=True):
        torch.testing.assert_close(scores, functional_call(c, trial, (X,), {"label": LABEL}), rtol=1e-4, atol=1e-5)


def test_spectral_norm_covers_embeddings():
    c = normalize(critic("resnet", "label").double(), 30)
    c(X.double(), label=LABEL)
    (table,) = c.products.tables
    assert torch.linalg.matrix_norm(table.weight, 2).item() == pytest.approx(1, rel=1e-3)


# refusals

ONE = TensorData("ones", {"real": X, "label": torch.zeros(N, dtype=torch.int64)}, classes={"label": ["1"]})
BARE = TensorData("bare", {"real": X})
REFUSED = [
    (lambda: generator("dcgan", "source"), "generator 'dcgan' accepts classes or embeddings as a condition, and 'source' of data "
     r"'toy' is of kind image, shape \(3, 16, 16\): use networks"),
    (lambda: critic("mlp", "source"), "critic 'mlp' accepts classes or embeddings"),
    (lambda: critic("mlp", "lable"), "condition: data 'toy' has no field 'lable'; it has real, label, text, source"),
    (lambda: generator("mlp", "label", data=ONE), "condition: 'label' of data 'ones' has one class only, 1"),
    (lambda: generator("dcgan", "label", norm="layer"), "no batch norm for conditioning: batch_norm; set generator.norm=batch, "
     "or generator.conditioning=concat"),
    (lambda: generator("mlp", "label", conditioning="batch_norm", batch_norm=False), r"set generator\.batch_norm=true, or"),
    (lambda: critic("resnet", "label", classifier="text"), "classifier: data 'toy' has no classes 'text'; classes are in: label"),
    (lambda: critic("resnet", classifier="label", data=BARE), "it has no classes: leave critic.classifier out"),
    (lambda: critic("resnet", "label", "text", classifier="label"), "has no condition, and cannot know 'text': leave .* or set "
     "condition=label"),
]  # fmt: skip


@pytest.mark.parametrize(("build", "says"), REFUSED, ids=[says[:40] for _, says in REFUSED])
def test_what_cannot_be_is_refused(build, says):
    with pytest.raises(GanflowError, match=says):
        build()
