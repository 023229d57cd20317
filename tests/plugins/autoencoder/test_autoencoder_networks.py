"""Shapes and sizes of the autoencoders, what they refuse, and that they keep the contract."""

from types import SimpleNamespace

import ganflow_autoencoder as plugin
import pytest
import torch
from ganflow_autoencoder.base import VariationalAutoencoder
from torch import nn

from ganflow.contract.data import TensorData
from ganflow.errors import GanflowError
from ganflow.testing import check_component, components

PRIOR = SimpleNamespace(shape=(5,))


def data_of(*shape):
    return TensorData("toy", {"real": torch.rand(3, *shape) * 2 - 1})


@pytest.mark.parametrize("variational", [True, False])
@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 28, 28), (1, 33, 50), (3, 64, 64), (3, 128, 100)])
@pytest.mark.parametrize("kind", [plugin.ConvAutoencoder, plugin.MLPAutoencoder])
def test_images_of_every_size_come_back(kind, shape, variational):
    data = data_of(*shape)
    network = kind(width=2, variational=variational).generator(data, PRIOR)
    x = data.train["real"]
    assert isinstance(network, VariationalAutoencoder) == variational
    assert network.encode(x).shape == (3, 5)
    made = network.reconstruct(x)
    assert made.shape == x.shape
    assert made.abs().max() <= 1
    if variational:
        q = network.posterior(x)
        assert q.mean.shape == q.log_variance.shape == (3, 5)
        assert torch.equal(network.eval().encode(x), network.posterior(x).mean)


def test_points_are_not_squashed_and_codes_take_the_priors_shape():
    network = plugin.MLPAutoencoder(widths=[7, 6]).generator(data_of(2), SimpleNamespace(shape=(3, 2)))
    with torch.no_grad():
        network.decoder[-2].bias.fill_(5.0)
    assert network.posterior(torch.randn(4, 2)).log_variance.shape == (4, 3, 2)
    assert network(torch.randn(4, 3, 2)).shape == (4, 2)
    assert network(torch.randn(4, 3, 2)).max() > 2


def test_the_usual_vae_of_mnist():
    """784-400-20-400-784 (the example that comes with PyTorch): 652,824 parameters."""
    network = plugin.MLPAutoencoder().generator(data_of(1, 28, 28), SimpleNamespace(shape=(20,)))
    layers = [m for m in network.modules() if isinstance(m, nn.Linear)]
    assert [(m.in_features, m.out_features) for m in layers] == [(784, 400), (400, 40), (20, 400), (400, 784)]
    assert sum(p.numel() for p in network.parameters()) == 652_824
    widths = plugin.MLPAutoencoder(widths=[30, 10]).generator(data_of(2), PRIOR)
    assert [m.out_features for m in widths.modules() if isinstance(m, nn.Linear)] == [30, 10, 10, 10, 30, 2]


def test_sigma_is_learnt_where_asked():
    for kind in (plugin.ConvAutoencoder, plugin.MLPAutoencoder):
        plain, learnt = (kind(width=2, learn_sigma=learn).generator(data_of(1, 16, 16), PRIOR) for learn in (False, True))
        assert plain.log_sigma is None
        assert isinstance(learnt.log_sigma, nn.Parameter)
        with pytest.raises(ValueError, match="learn_sigma: a plain autoencoder has no likelihood"):
            kind(learn_sigma=True, variational=False)


def test_halving_is_still_the_critics():
    """Its encoder is DCGAN's critic with more outputs."""
    network = plugin.ConvAutoencoder(width=4).generator(data_of(1, 16, 16), PRIOR)
    shapes = [tuple(m.weight.shape) for m in network.encoder if isinstance(m, nn.Conv2d)]
    assert shapes == [(4, 1, 4, 4), (8, 4, 4, 4), (10, 8, 4, 4)]


@pytest.mark.parametrize(
    ("component", "data", "prior", "told"),
    [
        (plugin.ConvAutoencoder(), data_of(2), PRIOR, "makes images .* use generator mlp_autoencoder"),
        (plugin.ConvAutoencoder(), data_of(1, 8, 8), PRIOR, "'conv_autoencoder' makes images of 16 to 512 pixels"),
        (plugin.ConvAutoencoder(), data_of(1, 16, 16), None, "'conv_autoencoder' starts from a prior's draws"),
        (plugin.MLPAutoencoder(), data_of(2), None, "'mlp_autoencoder' starts from a prior's draws"),
    ],
)
def test_what_does_not_fit(component, data, prior, told):
    with pytest.raises(GanflowError, match=told):
        component.generator(data, prior)


GENERATORS = {c.name: c for c in components("autoencoder") if c.role == "generator"}


LOSSES = {c.name: c for c in components("autoencoder") if c.role == "loss"}


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize(
    ("values", "loss"), [({"variational": False}, "reconstruction"), ({"learn_sigma": True}, "elbo")], ids=["plain", "sigma"]
)
def test_they_keep_the_contract(name, values, loss):
    check_component(GENERATORS[name], partners={"loss": LOSSES[loss]}, width=4, **values)
