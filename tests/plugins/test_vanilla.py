"""Priors and vanilla losses against formulas written out here, in float64, another way than the plugin computes them."""

import math
from types import SimpleNamespace

import ganflow_vanilla as vanilla
import ganflow_vanilla.priors
import pytest
import torch

from ganflow.contract.data import TensorData
from ganflow.engine.game import Game
from ganflow.errors import SettingsError

REAL = torch.tensor([1.5, -0.25, 3.0, 0.0], dtype=torch.float64)
FAKE = torch.tensor([-2.0, 0.5, 0.75, -0.1], dtype=torch.float64)


def d(score):
    """The probability that an example is real."""
    return 1 / (1 + torch.exp(-score))


def value_and_gradients(function, *scores):
    leaves = [s.clone().requires_grad_() for s in scores]
    value = function(*leaves)
    return value.detach(), torch.autograd.grad(value, leaves)


def by_differences(function, *scores, step=1e-6):
    """Gradients by central differences."""
    gradients = []
    for i, s in enumerate(scores):
        g = torch.zeros_like(s)
        for j in range(len(s)):
            moved = [t.clone() for t in scores]
            moved[i][j] += step
            up = function(*moved)
            moved[i][j] -= 2 * step
            g[j] = (up - function(*moved)) / (2 * step)
        gradients.append(g)
    return gradients


def close(a, b, tolerance=1e-8):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def relativistic(real, fake):
    return mean(-torch.log(d(r - f)) for r, f in zip(real, fake, strict=True))


def relativistic_average(real, fake):
    r_mean, f_mean = mean(real), mean(fake)
    return mean(-torch.log(d(r - f_mean)) for r in real) + mean(-torch.log(1 - d(f - r_mean)) for f in fake)


def cross_entropy(real, fake):
    return -torch.log(d(real)).mean() - torch.log(1 - d(fake)).mean()


CRITICS = {
    "minimax": (vanilla.Minimax(), cross_entropy),
    "non_saturating": (vanilla.NonSaturating(), cross_entropy),
    "smoothed": (
        vanilla.NonSaturating(label_smoothing=0.1),
        lambda r, f: -(0.9 * torch.log(d(r)) + 0.1 * torch.log(1 - d(r))).mean() - torch.log(1 - d(f)).mean(),
    ),
    "lsgan": (vanilla.LeastSquares(), lambda r, f: 0.5 * ((r - 1) ** 2).mean() + 0.5 * (f**2).mean()),
    "lsgan a b": (
        vanilla.LeastSquares(a=-1.0, b=2.0, c=0.5), lambda r, f: 0.5 * ((r - 2) ** 2).mean() + 0.5 * ((f + 1) ** 2).mean()
    ),
    "hinge": (vanilla.Hinge(), lambda r, f: mean(max(0.0, 1 - s) for s in r) + mean(max(0.0, 1 + s) for s in f)),
    "relativistic": (vanilla.Relativistic(), relativistic),
    "relativistic average": (vanilla.Relativistic(average=True), relativistic_average),
}
GENERATORS = {
    "minimax": (vanilla.Minimax(), lambda r, f: torch.log(1 - d(f)).mean()),
    "non_saturating": (vanilla.NonSaturating(label_smoothing=0.1), lambda r, f: -torch.log(d(f)).mean()),
    "lsgan": (vanilla.LeastSquares(), lambda r, f: 0.5 * ((f - 1) ** 2).mean()),
    "lsgan c": (vanilla.LeastSquares(a=-1.0, b=2.0, c=0.5), lambda r, f: 0.5 * ((f - 0.5) ** 2).mean()),
    "hinge": (vanilla.Hinge(), lambda r, f: -f.mean()),
    "relativistic": (vanilla.Relativistic(), lambda r, f: relativistic(f, r)),
    "relativistic average": (vanilla.Relativistic(average=True), lambda r, f: relativistic_average(f, r)),
}


@pytest.mark.parametrize("case", CRITICS)
def test_the_critics_term_and_gradients(case):
    component, formula = CRITICS[case]
    value, gradients = value_and_gradients(component.loss().critic_loss, REAL, FAKE)
    close(value, torch.as_tensor(formula(REAL, FAKE)))
    for found, expected in zip(gradients, by_differences(formula, REAL, FAKE), strict=True):
        close(found, expected)


@pytest.mark.parametrize("case", GENERATORS)
def test_the_generators_term_and_gradient(case):
    component, formula = GENERATORS[case]
    value, (gradient,) = value_and_gradients(lambda f: component.loss().generator_loss(f, REAL), FAKE)
    close(value, torch.as_tensor(formula(REAL, FAKE)))
    close(gradient, by_differences(lambda f: formula(REAL, f), FAKE)[0])


def test_gradients_by_hand():
    n = len(REAL)
    _, (real, fake) = value_and_gradients(vanilla.Minimax().loss().critic_loss, REAL, FAKE)
    close(real, -(1 - d(REAL)) / n)
    close(fake, d(FAKE) / n)
    _, (minimax,) = value_and_gradients(vanilla.Minimax().loss().generator_loss, FAKE)
    close(minimax, -d(FAKE) / n)  # vanishes where the critic is sure, D(G(z)) → 0 ...
    _, (saturating_not,) = value_and_gradients(vanilla.NonSaturating().loss().generator_loss, FAKE)
    close(saturating_not, -(1 - d(FAKE)) / n)  # ... and this one does not


@pytest.mark.parametrize("name", ["Minimax", "NonSaturating", "Relativistic"])
def test_huge_scores_overflow_nothing(name):
    loss = getattr(vanilla, name)().loss()
    for sign in (1, -1):
        scores = torch.full((3,), sign * 1e4, requires_grad=True)
        for value in (loss.critic_loss(scores, -scores), loss.generator_loss(scores, -scores)):
            (g,) = torch.autograd.grad(value, scores, retain_graph=True)
            assert value.isfinite()
            assert g.isfinite().all()


def test_patch_scores_count_alike():
    real, fake = torch.randn(3, 1, 2, 2), torch.randn(3, 1, 2, 2)
    for component, _ in CRITICS.values():
        loss = component.loss()
        close(loss.critic_loss(real, fake), loss.critic_loss(real.flatten(), fake.flatten()), 1e-6)


class Function(torch.nn.Module):
    """A critic that is a function."""

    def __init__(self, function):
        super().__init__()
        self.forward = function


def game_of(critic, loss, examples):
    return Game(TensorData("toy", {"real": examples}), SimpleNamespace(shape=(2,)), torch.nn.Identity(), Function(critic), loss)


def test_terms_have_the_components_names_and_only_relativistic_needs_data_for_the_generator():
    offered = {}
    vanilla.register(lambda role, name, cls: offered.update({(role, name): cls}))
    losses = {name: cls().loss() for (role, name), cls in offered.items() if role == "loss"}
    assert sorted(losses) == ["hinge", "lsgan", "minimax", "non_saturating", "relativistic"]
    assert {name for name, loss in losses.items() if loss.compares} == {"relativistic"}
    for name, loss in losses.items():
        game = game_of(lambda x: x.sum(1), loss, torch.zeros(4, 2))
        batch = {"real": torch.randn(4, 2), "z": torch.randn(4, 2)}
        for player in ("critic", "generator"):
            step = game.step(player, batch)
            assert list(game.terms_of(step)) == [name]
            assert step.fields.read == {"z"} | ({"real"} if player == "critic" or name == "relativistic" else set())


# The lecture's constants, on distributions over four points.

def optimal_scores(loss, p, q, start=0.0):
    """One free score per point, minimising the critic's loss on batches that hold each point as often as it is likely."""
    points = torch.arange(len(p))
    real, fake = points.repeat_interleave(p), points.repeat_interleave(q)
    scores = torch.full((len(p),), start, dtype=torch.float64, requires_grad=True)
    game = game_of(lambda x: scores[x], loss, real)
    exact = {"tolerance_grad": 1e-12, "tolerance_change": 1e-15, "line_search_fn": "strong_wolfe"}
    optimizer = torch.optim.LBFGS([scores], max_iter=500, **exact)

    def descended():
        (term,) = game.terms_of(game.step("critic", {"real": real}, fakes={"real": fake})).values()
        return term

    def closure():
        optimizer.zero_grad()
        term = descended()
        term.backward()
        return term

    optimizer.step(closure)
    term = descended()
    return scores.detach(), term.item()


def jsd(p, q):
    """From its definition, in nats."""
    total = 0.0
    for a, b in zip(p, q, strict=True):
        m = (a + b) / 2
        total += 0.5 * (a * math.log(a / m) if a else 0) + 0.5 * (b * math.log(b / m) if b else 0)
    return total


P, Q = torch.tensor([4, 2, 1, 1]), torch.tensor([1, 1, 2, 4])  # out of 8


@pytest.mark.parametrize("component", [vanilla.Minimax(), vanilla.NonSaturating()], ids=["minimax", "non_saturating"])
def test_the_optimal_critic_is_p_over_p_plus_q_and_its_estimate_is_the_jsd(component):
    loss = component.loss()
    scores, term = optimal_scores(loss, P, Q)
    close(d(scores), P / (P + Q).double(), 1e-6)
    expected = jsd((P / 8).tolist(), (Q / 8).tolist())
    assert loss.estimates({f"critic/{loss.name}": term, "generator/x": 0.0})["jsd_estimate"] == pytest.approx(expected, abs=1e-9)
    assert -term / 2 == pytest.approx(expected - math.log(2), abs=1e-9)  # the lecture's value at D*


def test_the_jsd_of_a_perfect_generator_is_zero_and_of_disjoint_supports_log_2():
    loss = vanilla.Minimax().loss()
    scores, term = optimal_scores(loss, P, P, start=1.0)
    close(d(scores), torch.full((4,), 0.5, dtype=torch.float64), 1e-6)
    assert loss.estimates({"critic/minimax": term})["jsd_estimate"] == pytest.approx(0, abs=1e-9)
    _, term = optimal_scores(loss, torch.tensor([3, 1, 0, 0]), torch.tensor([0, 0, 2, 2]))
    assert loss.estimates({"critic/minimax": term})["jsd_estimate"] == pytest.approx(math.log(2), abs=1e-6)


def test_any_other_critic_estimates_less_than_the_jsd():
    loss = vanilla.Minimax().loss()
    term = loss.critic_loss(torch.tensor([1.0, 0.5]), torch.tensor([0.2, 0.1])).item()
    assert loss.estimates({"critic/minimax": term})["jsd_estimate"] < jsd([0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5])
    assert vanilla.Minimax(label_smoothing=0.1).loss().estimates({"critic/minimax": term}) == {}


def test_the_optimal_least_squares_critic():
    scores, _ = optimal_scores(vanilla.LeastSquares(a=-1.0, b=2.0, c=0.0).loss(), P, Q)
    close(scores, (2 * P - Q) / (P + Q).double(), 1e-6)


def test_the_least_hinge_loss_is_twice_the_overlap():
    loss = vanilla.Hinge().loss()
    points = torch.arange(4)
    best = torch.where(P > Q, 1.0, -1.0)
    term = loss.critic_loss(best[points.repeat_interleave(P)], best[points.repeat_interleave(Q)])
    assert term.item() == pytest.approx(2 * torch.minimum(P, Q).sum().item() / 8)
    for _ in range(50):
        scores = torch.randn(4)
        assert loss.critic_loss(scores[points.repeat_interleave(P)], scores[points.repeat_interleave(Q)]) >= term - 1e-6


# Priors

def test_the_normal_prior():
    prior = vanilla.Normal(dim=7).prior()
    z = prior.sample(5, 2000, generator=torch.Generator().manual_seed(0))
    assert prior.shape == (7,)
    assert prior.support is None
    assert z.shape == (5, 2000, 7)
    assert abs(z.mean().item()) < 0.02
    assert abs(z.std().item() - 1) < 0.02
    assert torch.equal(z, prior.sample(5, 2000, generator=torch.Generator().manual_seed(0)))


def test_the_uniform_prior():
    prior = vanilla.Uniform(dim=3, low=0.0, high=4.0).prior()
    z = prior.sample(4000, generator=torch.Generator().manual_seed(0))
    assert prior.support == (0.0, 4.0)
    assert z.shape == (4000, 3)
    assert z.min() >= 0
    assert z.max() <= 4
    assert abs(z.mean().item() - 2) < 0.05
    assert abs(z.var().item() - 16 / 12) < 0.05
    with pytest.raises(SettingsError, match="high: 1 is not above low"):
        vanilla.Uniform(low=1.0, high=1.0)


def test_between_normal_draws_is_a_great_circle():
    prior = vanilla.Normal(dim=3).prior()
    a, b = torch.tensor([2.0, 0, 0]), torch.tensor([0, 2.0, 0])
    way = prior.between(a, b, torch.tensor([0.0, 1 / 3, 0.5, 1.0]))
    angles = torch.tensor([0.0, math.pi / 6, math.pi / 4, math.pi / 2])
    close(way, 2 * torch.stack([angles.cos(), angles.sin(), torch.zeros(4)], 1), 1e-6)
    far, other = prior.sample(2, generator=torch.Generator().manual_seed(1))
    ends = prior.between(far, other, torch.tensor([0.0, 1.0]))
    close(ends, torch.stack([far, other]), 1e-5)


@pytest.mark.parametrize("factor", [1.0, 3.0, -2.0])
def test_between_draws_on_one_line_is_that_line(factor):
    a = torch.tensor([0.5])
    way = vanilla.Normal(dim=1).prior().between(a, factor * a, torch.tensor([0.0, 0.25, 1.0]))
    close(way[:, 0], 0.5 + torch.tensor([0.0, 0.25, 1.0]) * 0.5 * (factor - 1))


def test_between_uniform_draws_is_straight():
    prior = vanilla.Uniform(dim=2).prior()
    a, b = torch.tensor([-1.0, 1.0]), torch.tensor([1.0, 0.0])
    close(prior.between(a, b, torch.tensor([0.0, 0.25, 1.0])), torch.tensor([[-1.0, 1.0], [-0.5, 0.75], [1.0, 0.0]]))


def test_uniform_draws_fill_their_range():
    draws = ganflow_vanilla.priors.UniformPrior(2, 2.0, 5.0).sample(4000, generator=torch.Generator().manual_seed(0))
    assert (float(draws.min()), float(draws.max())) == pytest.approx((2, 5), abs=0.01)
    assert float(draws.mean()) == pytest.approx(3.5, abs=0.1)
