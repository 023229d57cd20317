"""ELBO, KL, likelihoods and bounds: against torch.distributions, against the exact likelihood of a linear-Gaussian model, and
gradients by differences."""

import math
from types import SimpleNamespace

import ganflow_autoencoder as plugin
import pytest
import torch
from autoencoder_helpers import Linear, draw, game_of, linear
from ganflow_autoencoder.base import Gaussian
from ganflow_autoencoder.bounds import log_weights
from ganflow_autoencoder.likelihoods import bernoulli, gaussian
from ganflow_vanilla.priors import NormalPrior
from torch import distributions as dist
from torch import nn

from ganflow.contract.data import TensorData
from ganflow.contract.loss import AddedTerms
from ganflow.engine.game import Game
from ganflow.errors import GanflowError


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# A normal posterior

Q = Gaussian(normal(6, 3), normal(6, 3, seed=1))
TORCH_Q = dist.Normal(Q.mean, (Q.log_variance / 2).exp())


def test_kl_is_torchs():
    expected = dist.kl_divergence(TORCH_Q, dist.Normal(0.0, 1.0))
    torch.testing.assert_close(Q.divergence(), expected, rtol=1e-12, atol=1e-12)
    zero = Gaussian(torch.zeros(2, 3), torch.zeros(2, 3))
    assert torch.equal(zero.divergence(), torch.zeros(2, 3))


def test_density_and_draws():
    z = Q.sample(4000)
    assert z.shape == (4000, 6, 3)
    torch.testing.assert_close(Q.log_prob(z), TORCH_Q.log_prob(z), rtol=1e-12, atol=1e-12)
    deviation = (Q.log_variance / 2).exp()
    assert ((z.mean(0) - Q.mean).abs() < 5 * deviation / math.sqrt(4000)).all()
    assert ((z.std(0) / deviation - 1).abs() < 5 / math.sqrt(2 * 4000)).all()
    mean, log_variance = (t.clone().requires_grad_() for t in (Q.mean, Q.log_variance))
    torch.manual_seed(0)
    drawn = Gaussian(mean, log_variance).sample()
    for gradient, expected in zip(
        torch.autograd.grad(drawn.sum(), (mean, log_variance)), (torch.ones(6, 3).double(), (drawn - mean) / 2), strict=True
    ):
        torch.testing.assert_close(gradient, expected.detach())


# Likelihoods

@pytest.mark.parametrize("shape", [(3,), (1, 4, 4)])
@pytest.mark.parametrize("lead", [(), (7,)])
def test_likelihoods_are_torchs(shape, lead):
    x, mean = normal(5, *shape), normal(*lead, 5, *shape, seed=1)
    found = gaussian(x, mean, math.log(0.3))
    assert found.shape == (*lead, 5)
    torch.testing.assert_close(found, dist.Normal(mean, 0.3).log_prob(x).flatten(len(lead) + 1).sum(-1))
    black_or_white, p = (x > 0).double() * 2 - 1, mean.tanh()
    found = bernoulli(black_or_white, p, -1.0, 1.0)
    torch.testing.assert_close(found, dist.Bernoulli((p + 1) / 2).log_prob((x > 0).double()).flatten(len(lead) + 1).sum(-1))


def test_a_grey_is_the_expectation_over_black_and_white():
    p = torch.tensor([[-0.4]])
    black, grey, white = (bernoulli(torch.tensor([[x]]), p, -1.0, 1.0) for x in (-1.0, 0.2, 1.0))
    torch.testing.assert_close(grey, 0.4 * black + 0.6 * white)
    assert bernoulli(torch.tensor([[-1.0]]), torch.tensor([[1.0]]), -1.0, 1.0).isfinite()


# The loss

def terms_of(component, network, x, seed=0, **more):
    torch.manual_seed(seed)
    game = game_of(network, x, component.loss(), **more)
    return game.terms_of(game.step("generator", {"real": x}))


def test_the_terms_sum_is_minus_the_elbo():
    model = linear(noise=0.2)
    x = draw(model, 50)
    terms = terms_of(plugin.ELBO(samples=3), model, x)
    assert list(terms) == ["reconstruction", "kl"]
    torch.manual_seed(0)
    q = model.posterior(x)
    z = q.sample(3)
    assert z.shape == (3, 50, 2)
    likelihood = dist.Normal(model(z), model.log_sigma.exp()).log_prob(x).sum(-1).mean()
    kl = dist.kl_divergence(dist.Normal(q.mean, (q.log_variance / 2).exp()), dist.Normal(0.0, 1.0)).sum(1).mean()
    torch.testing.assert_close(terms["reconstruction"], -likelihood)
    torch.testing.assert_close(terms["kl"], kl)
    means = {f"generator/{name}": t.item() for name, t in terms.items()}
    assert plugin.ELBO().loss().estimates(means) == {"elbo": pytest.approx((likelihood - kl).item())}


def test_beta_and_free_bits():
    model = linear(noise=0.2)
    x = draw(model, 50)
    each = model.posterior(x).divergence().mean(0)
    assert each[0] > 1.5 > each[1]
    plain = terms_of(plugin.ELBO(), model, x)
    weighted = terms_of(plugin.ELBO(beta=4.0, free_bits=1.5), model, x)
    torch.testing.assert_close(weighted["kl"], 4 * (each[0] + 1.5))
    torch.testing.assert_close(weighted["reconstruction"], plain["reconstruction"])
    (gradient,) = torch.autograd.grad(weighted["kl"], model.log_variance)
    assert gradient[1] == 0 != gradient[0]  # what is free is not pressed on
    for changed in ({"beta": 4.0}, {"free_bits": 1.0}):
        assert plugin.ELBO(**changed).loss().estimates({"generator/kl": 1.0, "generator/reconstruction": 1.0}) == {}


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_gradients_by_differences(likelihood):
    model = linear(noise=0.1)
    if likelihood == "bernoulli":
        model.log_sigma, decode = None, Linear.forward
        model.forward = lambda z: decode(model, z).tanh()
    x = draw(linear(), 4).tanh()
    loss = plugin.ELBO(likelihood=likelihood, samples=2, free_bits=0.05).loss()
    game = game_of(model, x, loss)
    game.data = TensorData("toy", {"real": x}, {"real": x}, {"real": (-1.0, 1.0)})
    parameters = list(model.parameters())

    def descended(*values):
        def step():
            torch.manual_seed(0)  # the same noise
            return sum(game.terms_of(game.step("generator", {"real": x})).values())

        names = [name for name, _ in model.named_parameters()]
        with torch.nn.utils.stateless._reparametrize_module(model, dict(zip(names, values, strict=True))):
            return step()

    assert torch.autograd.gradcheck(descended, parameters)


def test_the_given_sigma_holds_where_none_is_learnt():
    model = linear()
    x = draw(model, 20)
    learnt = terms_of(plugin.ELBO(sigma=5.0), model, x)["reconstruction"]
    sigma = model.log_sigma.exp().item()
    model.log_sigma = None
    given = terms_of(plugin.ELBO(sigma=sigma), model, x)["reconstruction"]
    torch.testing.assert_close(given, learnt)
    assert terms_of(plugin.ELBO(sigma=5.0), model, x)["reconstruction"] != learnt


@pytest.mark.parametrize(
    ("distance", "expected"),
    [
        ("squared", lambda x, y: ((x - y) ** 2).mean()),
        ("absolute", lambda x, y: (x - y).abs().mean()),
        ("cross_entropy", lambda x, y: nn.functional.binary_cross_entropy((y + 1) / 2, (x + 1) / 2)),
    ],
)
def test_reconstruction(distance, expected):
    torch.manual_seed(0)
    data = TensorData("toy", {"real": torch.rand(6, 1, 16, 16) * 2 - 1})
    network = plugin.ConvAutoencoder(width=2, variational=False).generator(data, SimpleNamespace(shape=(3,)))
    loss = plugin.Reconstruction(distance=distance).loss()
    game = Game(data, NormalPrior(3), network, None, loss)
    terms = game.terms_of(game.step("generator", {"real": data.train["real"]}))
    with torch.no_grad():
        made = network(network.encode(data.train["real"]))
    torch.testing.assert_close(terms["reconstruction"].detach(), expected(data.train["real"], made))
    gradients = torch.autograd.grad(terms["reconstruction"], list(network.parameters()))
    assert all(g.isfinite().all() for g in gradients)


# Bounds, on a model whose likelihood is known

def test_with_the_true_posterior_the_elbo_is_the_likelihood():
    model = linear()
    x = draw(model, 2000)
    exact = model.log_prob(x)
    weights = log_weights(game_of(model, x), x, 5, seed=0)
    torch.testing.assert_close(weights, exact.detach().expand(5, -1))  # every draw weighs the same: no Monte-Carlo error
    terms = terms_of(plugin.ELBO(samples=64), model, x)
    assert -sum(terms.values()).item() == pytest.approx(exact.mean().item(), abs=0.01)


def test_the_importance_weighted_bound_grows_from_the_elbo_to_the_likelihood():
    model = linear(noise=0.08)  # a posterior that is not the true one
    x = draw(model, 500)
    game, exact = game_of(model, x), model.log_prob(x).mean().item()
    bounds = [plugin.ImportanceWeighted(samples=k).metric(game.data).evaluate(game) for k in (1, 10, 100, 5000)]
    values = [scores[f"iwae_{k}"] for k, scores in zip((1, 10, 100, 5000), bounds, strict=True)]
    assert values == sorted(values)
    assert values[0] == pytest.approx(bounds[0]["held_out_elbo"])
    assert values[0] < exact - 0.1
    assert values[-1] == pytest.approx(exact, abs=0.02)
    for scores, value in zip(bounds, values, strict=True):
        assert scores["held_out_elbo"] <= value
    q = model.posterior(x)
    elbo = (dist.Normal(model(q.mean), model.log_sigma.exp()).log_prob(x).sum(1)  # E over q in closed form
            - ((q.log_variance.exp() @ model.weight.square().T).sum(1) / model.log_sigma.exp().square() / 2)
            - q.divergence().sum(1)).mean().item()  # fmt: skip
    assert bounds[-1]["held_out_elbo"] == pytest.approx(elbo, abs=0.02)


def test_the_metric_is_reproducible_leaves_training_alone_and_sees_through_modifiers():
    model = linear(noise=0.1)
    x = draw(model, 30)
    game = game_of(model, x, plugin.ELBO().loss(), terms=[AddedTerms()])
    metric = plugin.ImportanceWeighted(samples=3, examples=20).metric(game.data)
    before = torch.get_rng_state()
    scores = metric.evaluate(game)
    assert torch.equal(before, torch.get_rng_state())
    assert scores == metric.evaluate(game)
    assert tuple(scores) == metric.names == ("iwae_3", "held_out_elbo")
    assert metric.goal == "max"
    assert plugin.ImportanceWeighted(samples=3, examples=20, seed=1).metric(game.data).evaluate(game) != scores


def test_the_metric_says_what_it_needs():
    model = linear()
    x = draw(model, 4)
    with pytest.raises(GanflowError, match=r"iwae is of held-out examples, .* has none; raise data\.held_out of a new run"):
        plugin.ImportanceWeighted().metric(TensorData("toy", {"real": x}))
    game = game_of(model, x, plugin.Reconstruction().loss())
    with pytest.raises(GanflowError, match="which only a VAE has: use loss elbo"):
        plugin.ImportanceWeighted().metric(game.data).evaluate(game)
