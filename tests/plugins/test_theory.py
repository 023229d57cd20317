"""`ganflow theory`: its numbers against closed forms, and scipy's quadrature; its pictures; mistakes in what is typed."""

import json
import math

import numpy as np
import pytest
import torch
from ganflow_theory import disjoint, duality, elbo, optimal, saturation
from ganflow_theory.command import PARTS
from ganflow_theory.densities import pair_of
from ganflow_theory.metrics import DualityMetric, LinearELBOMetric, OptimalCriticMetric
from ganflow_theory.showing import trained
from PIL import Image
from scipy import integrate, stats

SHORT = ["train.rounds=1", "train.n_critic=1", "train.batch_size=16", "data.samples=500"]
LOG2 = math.log(2)


def numbers(command, part, *arguments):
    """The JSON of a part, whose picture is beside it."""
    code, out, err = command("theory", part, *arguments, "--json", "-o", "shown.png")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found.pop("picture") == "shown.png"
    with Image.open("shown.png") as picture:
        assert picture.width > 1000
        assert len(picture.convert("RGB").getcolors(2**24)) > 50
    return found


@pytest.mark.parametrize("theta", [0.3, -1.25, 2.0, 1e-4, -1e4])
def test_parallel_lines(theta):
    jsd, w1, of_jsd, of_w1 = disjoint.divergences(theta)
    assert jsd == pytest.approx(LOG2, abs=1e-12)
    assert w1 == pytest.approx(abs(theta), rel=1e-12)
    assert of_jsd == 0
    assert of_w1 == pytest.approx(math.copysign(1, theta), abs=1e-9)


def test_one_line_upon_the_other():
    jsd, w1, *derivatives = disjoint.divergences(0.0)
    assert (jsd, w1) == (0, 0)
    assert all(map(math.isnan, derivatives))  # JSD jumps, and |θ| has a corner


def test_jsd_of_points():
    """Of shares (½, ½, 0) and (0, ½, ½), by hand: ½ · 2 · ½ log 2."""
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [2.0]])
    assert disjoint.jsd(x, y) == pytest.approx(LOG2 / 2)


def game_of(part, *changes):
    return trained(part.RECIPE, [*SHORT, *changes], pair_of)


def test_the_optimal_critic_has_no_error_and_the_value_of_the_divergence(monkeypatch):
    """A critic that is log p − log q; the value by scipy's quadrature."""
    game = game_of(optimal)
    pair = pair_of(game)
    monkeypatch.setattr(optimal, "doubled", lambda critic: lambda x: saturation.optimal_scores(game)(x))
    found = optimal.compared(game, pair)
    assert found.error < 1e-12
    assert found.value == pytest.approx(found.bound, abs=1e-8)
    first, second, made = stats.norm(-1.5, 0.5), stats.norm(1.5, 0.7), stats.norm(0.5, 1.2)

    def integrand(x):
        p, q = 0.4 * first.pdf(x) + 0.6 * second.pdf(x), made.pdf(x)
        return 0.5 * (p * math.log(p / (p + q)) + q * math.log(q / (p + q)))

    assert found.bound == pytest.approx(integrate.quad(integrand, -6, 7, limit=200)[0], abs=1e-6)


def test_an_untrained_critic_is_below_the_bound():
    game = game_of(optimal)
    found = optimal.compared(game, pair_of(game))
    assert found.value < found.bound
    assert found.error > 0.02


def test_gradients_through_the_optimal_discriminator_and_the_optimal_potential():
    """For N(0, s²) and N(θ, s²) the scores of D* are (θ² − 2θx) / 2s², of slope −θ/s²; the gradients by scipy's quadrature."""
    game = game_of(saturation, "generator.bias=[1.0]")
    pair = pair_of(game)
    theta, s = 1.0, 0.5
    made = stats.norm(theta, s)

    def expected(weight):
        """Length of (E w f′, E w f′ z), of b and A."""

        def integrand(x, k):
            score = (theta**2 - 2 * theta * x) / (2 * s**2)
            return weight(score) * -theta / s**2 * ((x - theta) / s) ** k * made.pdf(x)

        return math.hypot(*(integrate.quad(integrand, -4, 6, args=(k,))[0] for k in (0, 1)))

    formulas, best = saturation.formulas(), saturation.optimal_scores(game)
    sigmoid = lambda f: 1 / (1 + math.exp(-f))  # noqa: E731
    for name, weight in {"minimax": sigmoid, "non_saturating": lambda f: 1 - sigmoid(f)}.items():
        assert saturation.gradient_norm(game, pair, best, formulas[name]) == pytest.approx(expected(weight), rel=1e-5)
    assert saturation.gradient_norm(game, pair, lambda x: -x[:, 0], formulas["wasserstein"]) == pytest.approx(1)
    assert saturation.best_wasserstein(game, pair) == pytest.approx(1)


def test_the_optimal_potential_finds_all_of_w1(monkeypatch):
    game = game_of(duality)
    pair = pair_of(game)
    best = duality.potential(game, pair)
    w1 = pair.integral(duality.excess(game, pair).abs())
    assert pair.integral((pair.p - pair.q) * best) == pytest.approx(w1, rel=1e-5)
    drawn = [game.data.train["real"][:, 0].numpy(), game.samples(500)[:, 0].numpy()]
    assert w1 == pytest.approx(stats.wasserstein_distance(*drawn), abs=0.2)
    exact = integrate.quad(
        lambda x: abs(0.15 * stats.norm.cdf(x, -2, 0.5) + 0.85 * stats.norm.cdf(x, 2, 0.5) - stats.norm.cdf(x)), -7, 7, limit=200
    )
    assert w1 == pytest.approx(exact[0], abs=1e-4)


def test_the_elbo_is_below_the_likelihood_by_the_posteriors_divergence():
    game = game_of_elbo("train.rounds=5")
    x = game.data.held_out["real"][:200]
    model = elbo.model_of(game, x)
    exact = stats.multivariate_normal(model.b.numpy(), model.covariance.numpy()).logpdf(x.numpy().astype(np.float64))
    torch.testing.assert_close(model.log_likelihood(), torch.from_numpy(exact))
    gap = model.log_likelihood() - model.elbo()
    assert (gap > 0).all()
    torch.testing.assert_close(gap, model.divergence())


def test_the_elbo_is_what_the_loss_estimates():
    """Its expectation over draws: the iwae metric's log weights, by the loss's own likelihood."""
    from ganflow_autoencoder.bounds import log_weights

    game = game_of_elbo("train.rounds=5")
    x = game.data.held_out["real"][:50]
    drawn = log_weights(game, x, 20_000, seed=0)
    error = drawn.std(0) / 20_000**0.5
    assert ((drawn.mean(0) - elbo.model_of(game, x).elbo()).abs() < 5 * error).all()


def game_of_elbo(*changes):
    return trained(elbo.RECIPE, ["data.samples=500", "data.held_out=200", *changes], elbo.check_linear)


def test_as_metrics_of_a_run():
    """W₁ of N(1, 2²) and N(0, 2²) is 1, whatever the critic; the value of one that is constant is −log 2, as the bound for equal
    densities; a linear model's likelihood is above its bound."""
    moved = ["data.centres=[1.0]", "data.std=[2.0]", "data.weights=[]", "generator.matrix=[[2.0]]", "generator.bias=[0.0]"]
    scores = DualityMetric().evaluate(game_of(duality, *moved))
    assert scores["w1"] == pytest.approx(1, abs=1e-6)
    assert -1 <= scores["w1_share"] <= 1
    game = game_of(optimal, *moved, "data.centres=[0.0]")
    with torch.no_grad():
        for parameter in game.critic.parameters():
            parameter.zero_()
    scores = OptimalCriticMetric().evaluate(game)
    assert scores["critic_error"] == pytest.approx(0, abs=1e-12)
    assert scores["critic_value"] == pytest.approx(-LOG2, abs=1e-6)
    assert scores["jsd_minus_log2"] == pytest.approx(-LOG2, abs=1e-6)
    game = game_of_elbo("train.rounds=2")
    scores = LinearELBOMetric(game.data).evaluate(game)
    assert scores["exact_elbo"] < scores["log_likelihood"]


def test_alone_it_lists_its_parts(command):
    code, out, err = command("theory")
    assert (code, err) == (0, "")
    assert [line.split()[:3] for line in out.splitlines()] == [["ganflow", "theory", name] for name in PARTS]


def test_a_part_prints_its_numbers_and_draws_its_picture(command):
    shorter = ("--rounds", "5", "train.batch_size=16", "data.samples=500", "data.held_out=200")
    code, out, err = command("theory", "elbo", *shorter)
    assert (code, err) == (0, "")
    *rows, last = out.splitlines()
    assert [row.split()[0] for row in rows] == ["elbo", "log_likelihood", "gap", "kl_posterior", "true_log_likelihood"]
    assert last == "wrote theory-elbo.png: The evidence lower bound of a linear VAE, and the exact likelihood"
    found = numbers(command, "elbo", *shorter)
    assert found["gap"] == pytest.approx(float(rows[2].split()[1]), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [[], ["data.std=[0.3,1.0]"], ["data.centres=[-2.5,1.0]"], ["data.weights=[0.8,0.2]"]],
    ids=["as it is", "std", "centres", "weights"],
)
def test_a_trained_critic_is_near_the_optimal_one_and_its_value_near_the_divergences(changes):
    game = trained(optimal.RECIPE, changes, optimal.check_discriminator)
    found = optimal.compared(game, pair_of(game))
    assert found.error <= 0.02
    assert 0 <= found.bound - found.value <= 0.01


@pytest.mark.slow
def test_one_recipe_collapses_and_the_other_does_not_by_another_seed(command):
    found = numbers(command, "collapse", "--seed", "1")
    assert found["collapse_modes"] <= 4
    assert found["no_collapse_modes"] == 8
    assert found["no_collapse_high_quality"] > 0.5 > found["collapse_high_quality"]
