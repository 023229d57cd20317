"""The Wasserstein loss, clipping and the gradient penalty on exact numbers."""

from types import SimpleNamespace
from typing import ClassVar

import ganflow_regularize as regularize
import ganflow_vanilla as vanilla
import ganflow_wgan as wgan
import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx

from ganflow.contract.data import TensorData
from ganflow.contract.loss import Loss, ScoreLoss
from ganflow.contract.signature import Signature
from ganflow.engine.game import Game
from ganflow.errors import GanflowError


class Same(nn.Module):
    """z as it is."""

    signatures: ClassVar = {"sample": Signature({"z": "z"}, "real")}

    def forward(self, z):
        return z


class Linear(nn.Module):
    """f(x) = w · x"""

    def __init__(self, w):
        super().__init__()
        self.w = nn.Parameter(w)

    def forward(self, x):
        return (x * self.w).flatten(1).sum(1)


class Bowl(nn.Module):
    """f(x) = a ‖x‖² / 2, whose gradient is a x."""

    def __init__(self, a=1.0):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a, dtype=torch.float64))

    def forward(self, x):
        return self.a * x.flatten(1).square().sum(1) / 2


def game_of(critic, loss, *modifiers, generator=None, **more):
    """A game with this loss and the modifiers' terms."""
    data = TensorData("toy", {"real": torch.zeros(2, 3), "text": torch.zeros(2, 3)})
    terms = [modifier.terms() for modifier in modifiers]
    return Game(data, SimpleNamespace(shape=(3,)), generator or Same(), critic, loss, terms, **more)


def terms_of(game, batch, player="critic"):
    return game.terms_of(game.step(player, batch))


def batch_of(n=6, shape=(3,), seed=0):
    g = torch.Generator().manual_seed(seed)
    return {name: torch.randn(n, *shape, generator=g, dtype=torch.float64) for name in ("real", "z")}


@pytest.mark.parametrize("one_pass", [False, True])
def test_the_wasserstein_terms_estimate_and_gradients(one_pass):
    w = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
    critic, batch = Linear(w), batch_of()
    z = batch["z"].requires_grad_()
    loss = wgan.Wasserstein().loss()
    game = game_of(critic, loss, one_pass=one_pass)
    (critic_term,) = terms_of(game, batch).values()
    difference = batch["z"].detach().mean(0) - batch["real"].mean(0)
    torch.testing.assert_close(critic_term.detach(), difference @ w)
    torch.testing.assert_close(torch.autograd.grad(critic_term, critic.w)[0], difference)
    terms = terms_of(game, batch, "generator")
    torch.testing.assert_close(terms["wasserstein"].detach(), -(z.detach() @ w).mean())
    torch.testing.assert_close(torch.autograd.grad(terms["wasserstein"], z)[0], (-w / 6).expand(6, 3))
    assert loss.estimates({"critic/wasserstein": -0.75, "generator/wasserstein": 3.0}) == {"w_estimate": 0.75}
    assert not loss.compares


def test_the_estimate_of_the_best_lipschitz_critic_is_the_earth_movers_distance():
    """Mass 1 at 0 against mass 1 at θ: W₁ = |θ|, and f(x) = −x is the best 1-Lipschitz critic for θ > 0."""
    loss = wgan.Wasserstein().loss()
    for theta in (0.0, 0.5, 3.0):
        real, fake = torch.zeros(4), torch.full((4,), theta)
        term = loss.critic_loss(-real, -fake).item()
        assert loss.estimates({"critic/wasserstein": term})["w_estimate"] == pytest.approx(theta)


@pytest.mark.parametrize("flat", [True, False])
def test_weight_clip_clamps_every_parameter_of_the_critic(flat):
    a = nn.Parameter(torch.tensor([0.005, -0.02, 0.01, -0.01, 7.0]))
    b = nn.Parameter(torch.tensor([[-3.0, 0.0]]))
    parameters = [a] if flat else [a, b]
    players = {"critic": parameters}
    wgan.WeightClip().critic_stepped(SimpleNamespace(parameters_of=players.__getitem__))
    torch.testing.assert_close(a.detach(), torch.tensor([0.005, -0.01, 0.01, -0.01, 0.01]), rtol=0, atol=0)
    torch.testing.assert_close(b.detach(), torch.tensor([[-3.0, 0.0]] if flat else [[-0.01, 0.0]]), rtol=0, atol=0)
    wgan.WeightClip(c=0.003).critic_stepped(SimpleNamespace(parameters_of=players.__getitem__))
    assert a.abs().max() == torch.tensor(0.003)


@pytest.mark.parametrize("w", [[3.0, 4.0, 0.0], [0.3, 0.0, 0.4]])
def test_the_penalty_of_a_linear_critic_is_exact(w):
    w = torch.tensor(w, dtype=torch.float64)
    critic = Linear(w.clone())
    game = game_of(critic, wgan.Wasserstein().loss(), wgan.GradientPenalty())
    terms = terms_of(game, batch_of())
    assert list(terms) == ["wasserstein", "gradient_penalty"]
    norm = w.norm()
    torch.testing.assert_close(terms["gradient_penalty"].detach(), 10 * (norm - 1) ** 2)
    (gradient,) = torch.autograd.grad(terms["gradient_penalty"], critic.w)
    torch.testing.assert_close(gradient, 20 * (norm - 1) * w / norm)
    assert list(terms_of(game, batch_of(), "generator")) == ["wasserstein"]
    assert [part.estimates({"critic/wasserstein": -1.0}) for part in game.parts] == [{"w_estimate": 1.0}, {}]


@pytest.mark.parametrize(
    ("settings", "norm", "expected"),
    [({"one_sided": True}, 0.5, 0.0), ({"one_sided": True}, 3.0, 40.0), ({"target": 0.0, "weight": 2.0}, 3.0, 18.0)],
)
def test_the_penaltys_options(settings, norm, expected):
    critic = Linear(torch.tensor([norm, 0.0, 0.0], dtype=torch.float64))
    game = game_of(critic, wgan.Wasserstein().loss(), wgan.GradientPenalty(**settings))
    assert terms_of(game, batch_of())["gradient_penalty"].item() == pytest.approx(expected)


def test_a_critic_without_slope_has_a_finite_gradient():
    critic = Linear(torch.zeros(3, dtype=torch.float64))
    term = terms_of(game_of(critic, wgan.Wasserstein().loss(), wgan.GradientPenalty()), batch_of())["gradient_penalty"]
    assert term.item() == pytest.approx(10)
    assert torch.autograd.grad(term, critic.w)[0].isfinite().all()


@pytest.mark.parametrize("shape", [(5,), (2, 3, 3)])
def test_the_penalty_is_taken_at_one_point_between_each_pair(shape):
    seen = []

    class Recording(Bowl):
        def forward(self, x):
            seen.append(x.detach())
            return super().forward(x)

    batch = batch_of(400, shape)
    game = game_of(Recording(), wgan.Wasserstein().loss(), wgan.GradientPenalty(weight=2.0))
    term = terms_of(game, batch)["gradient_penalty"]
    x = seen[-1]
    assert x.shape == batch["real"].shape
    epsilon = ((x - batch["real"]) / (batch["z"] - batch["real"])).flatten(1)
    torch.testing.assert_close(epsilon, epsilon[:, :1].expand_as(epsilon), rtol=1e-6, atol=1e-6)
    epsilon = epsilon[:, 0]
    assert epsilon.min() >= 0
    assert epsilon.max() <= 1
    assert abs(epsilon.mean().item() - 0.5) < 0.05
    assert abs(epsilon.var().item() - 1 / 12) < 0.02
    torch.testing.assert_close(term.detach(), 2 * (x.flatten(1).norm(dim=1) - 1).square().mean())


def test_patches_of_an_example_are_averaged():
    w = torch.tensor([3.0, 4.0, 0.0], dtype=torch.float64)

    class Patches(nn.Module):
        def forward(self, x):
            return (x @ w)[:, None, None, None].expand(-1, 1, 2, 2)

    term = terms_of(game_of(Patches(), wgan.Wasserstein().loss(), wgan.GradientPenalty()), batch_of())["gradient_penalty"]
    assert term.item() == pytest.approx(10 * 16)


class Conditional(ScoreLoss):
    """A third party's loss, whose generator is two networks."""

    def generate(self, step, domain):
        return step.call("sample", z=step.batch["z"]) + step.batch["text"]

    def critic_loss(self, real, fake):
        return fake.mean() - real.mean()

    def generator_loss(self, fake, real=None):
        return -fake.mean()


class Told(Linear):
    """A critic that reads another field."""

    def forward(self, x, text):
        return super().forward(x) * text[:, 0]


def test_penalties_work_with_a_third_partys_loss_and_with_each_other():
    w = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    text = torch.tensor([[2.0, 0.0, 0.0], [0.5, 1.0, 1.0]], dtype=torch.float64)
    batch = {**batch_of(2), "text": text}
    modifiers = (regularize.R1(weight=3.0), wgan.GradientPenalty(weight=1.0), regularize.R2(weight=5.0))
    terms = terms_of(game_of(Told(w), Conditional(), *modifiers, condition=("text",)), batch)
    slopes = text[:, 0] * w.norm()
    assert set(terms) == {"conditional", "gradient_penalty", "r1", "r2"}
    torch.testing.assert_close(terms["gradient_penalty"].detach(), (slopes - 1).square().mean())
    torch.testing.assert_close(terms["r1"].detach(), 1.5 * slopes.square().mean())
    torch.testing.assert_close(terms["r2"].detach(), 2.5 * slopes.square().mean())


def test_fakes_are_made_once_for_all_terms():
    made = []

    class Counting(Same):
        def forward(self, z):
            made.append(z)
            return z

    modifiers = (wgan.GradientPenalty(), regularize.R2())
    terms_of(game_of(Bowl(), wgan.Wasserstein().loss(), *modifiers, generator=Counting()), batch_of())
    assert len(made) == 1


def test_a_recipe_without_a_critic_is_refused():
    class Reconstruction(Loss):
        def generator_terms(self, step):
            return {}

    game = game_of(None, Reconstruction(), wgan.GradientPenalty())
    with pytest.raises(GanflowError, match="modifier 'gradient_penalty' works on a critic, and the recipe has none"):
        game.terms[0].check(game)


@pytest.mark.parametrize("component", [wgan.Wasserstein(), vanilla.Hinge(), vanilla.Relativistic(average=True)])
def test_a_penalised_critic_step_can_be_traced(component):
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(3, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1), nn.Flatten(0))
    game = game_of(critic, component.loss(), wgan.GradientPenalty(), regularize.R1(), regularize.R2())

    def step(real, z):
        terms = terms_of(game, {"real": real, "z": z})
        return torch.autograd.grad(sum(terms.values()), list(critic.parameters()), allow_unused=True, materialize_grads=True)

    traced = make_fx(step)(torch.randn(5, 3), torch.randn(5, 3))
    real, z = torch.randn(5, 3), torch.randn(5, 3)
    torch.manual_seed(7)
    expected = step(real, z)
    torch.manual_seed(7)
    for a, b in zip(traced(real, z), expected, strict=True):
        torch.testing.assert_close(a, b)
