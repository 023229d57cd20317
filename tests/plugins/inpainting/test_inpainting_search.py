"""The search: its losses on paper, its gradients, and what it promises."""

import ganflow_vanilla as vanilla
import ganflow_wgan as wgan
import pytest
import torch
from ganflow_inpainting.masks import make_mask
from ganflow_inpainting.search import Search, _prior_loss, context_weights, search
from torch import nn

from ganflow.contract.data import TensorData
from ganflow.contract.loss import AddedTerms, Loss
from ganflow.engine.game import Game
from ganflow.errors import GanflowError

SIDE = 6
KNOWN = make_mask("centre", SIDE, SIDE)


class Plane(nn.Module):
    """Images that are linear in z: a basis image for each coordinate."""

    def __init__(self, dim, scale=1.0):
        super().__init__()
        basis = torch.randn(dim, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
        self.basis = nn.Parameter(scale * basis)

    def forward(self, z):
        return torch.einsum("nd,dchw->nchw", z, self.basis)


class Scores(nn.Module):
    """The mean pixel, times a weight."""

    def __init__(self, weight=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight, dtype=torch.float64))

    def forward(self, x):
        return self.weight * x.flatten(1).mean(1)


class Nothing(Loss):
    def generator_terms(self, step):
        return {}


def game_of(prior=None, loss=None, critic=None, dim=4, terms=()):
    data = TensorData("toy", {"real": torch.zeros(3, 1, SIDE, SIDE)})
    return Game(data, prior or vanilla.Normal(dim=dim).prior(), Plane(dim), critic, loss or Nothing(), terms).eval()


def goals(game, n, seed=7):
    return game.generator(game.latents(n, seed).double()).detach()


def test_weights_by_hand():
    known = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 0, 1, 1], [1, 1, 1, 0, 1]], dtype=torch.bool)
    w = context_weights(known, 3)
    expected = torch.tensor([
        [0, 0, 0, 0, 0],
        [0, 1 / 9, 1 / 9, 1 / 9, 0],
        [0, 1 / 9, 0, 2 / 9, 1 / 6],
        [0, 1 / 6, 2 / 6, 0, 1 / 4],
    ], dtype=torch.float64)  # fmt: skip
    torch.testing.assert_close(w, expected)


def test_with_the_papers_window_weights_fall_with_the_distance_from_the_hole():
    w = context_weights(make_mask("centre", 64, 64), 7)
    row = w[32, 12:17].tolist()
    assert row == [0, pytest.approx(1 / 7), pytest.approx(2 / 7), pytest.approx(3 / 7), 0]


def test_losses_and_ranking():
    game = game_of(loss=wgan.Wasserstein().loss(), critic=Scores())
    y = goals(game, 2)
    found = search(game, y, KNOWN, Search(starts=5, candidates=5, iterations=0, weight=0.5))
    assert found.made.shape == (2, 5, 1, SIDE, SIDE)
    w = context_weights(KNOWN, 7)
    for i in range(2):
        for k in range(5):
            made = game.generator(found.z[i, k][None])[0].detach()
            torch.testing.assert_close(found.made[i, k], made)
            context = sum(float(w[a, b] * (made[0, a, b] - y[i, 0, a, b]).abs()) for a in range(SIDE) for b in range(SIDE))
            assert float(found.context[i, k]) == pytest.approx(context)
            assert float(found.prior[i, k]) == pytest.approx(-float(made.mean()))
    torch.testing.assert_close(found.loss, found.context + 0.5 * found.prior)
    assert (found.loss.diff(dim=1) >= 0).all(), "best first"
    assert found.loss.unique().numel() == 10


def test_what_was_hidden_is_found():
    """Images of the generator itself: known pixels, and so all others, come back."""
    game = game_of()
    y = goals(game, 3)
    how = Search(starts=3, candidates=64, iterations=600, prior="none", lr=0.02)
    found = search(game, torch.where(KNOWN, y, torch.nan), KNOWN, how)
    assert float(found.context[:, 0].max()) < 0.2
    torch.testing.assert_close(found.made[:, 0], y, atol=0.1, rtol=0)


def test_the_first_step_follows_the_gradient():
    """Adam's first step is lr · sign(gradient); the gradient of ‖W ⊙ (G(z) − y)‖₁ + λ · ½‖z‖² is known."""
    game = game_of()
    y, weight = goals(game, 1), 0.3
    how = Search(starts=1, candidates=1, iterations=1, prior="norm", weight=weight, lr=0.01)
    z = game.latents(1, how.seed).double()
    w = context_weights(KNOWN, 7)
    gradient = ((w * (game.generator(z) - y).sign() * game.generator.basis).flatten(1).sum(1) + weight * z[0]).detach()
    found = search(game, y, KNOWN, how)
    torch.testing.assert_close(found.z[0, 0], z[0] - 0.01 * gradient.sign(), atol=1e-6, rtol=0)


def test_the_gradient_of_a_critics_prior_loss_is_each_points_own():
    game = game_of(loss=vanilla.NonSaturating().loss(), critic=Scores(3.0))
    how = Search(starts=1, prior="critic")
    z = game.latents(4).double().requires_grad_()
    prior = _prior_loss(game, how, None)
    (together,) = torch.autograd.grad(prior(z, game.generator(z)).sum(), z)
    for i in range(4):
        made = game.generator(z[i : i + 1])
        alone = game.loss.generator_loss(game.critic(made))
        torch.testing.assert_close(prior(z, game.generator(z))[i], alone)
        torch.testing.assert_close(torch.autograd.grad(alone, z)[0][i], together[i])


@pytest.mark.parametrize("component", [
    wgan.Wasserstein(), vanilla.NonSaturating(), vanilla.Minimax(), vanilla.Hinge(), vanilla.LeastSquares(),
    vanilla.Relativistic(), vanilla.Relativistic(average=True),
])  # fmt: skip
def test_every_adversarial_loss_can_judge(component):
    loss = component.loss()
    game = game_of(loss=loss, critic=Scores(), terms=[AddedTerms()])
    y, real = goals(game, 2), goals(game, 8, seed=9)
    found = search(game, y, KNOWN, Search(starts=2, candidates=2, iterations=2, weight=1.0), real)
    scores, true = game.critic(found.made.flatten(0, 1)).detach(), game.critic(real).detach()
    expected = [float(loss.generator_loss(s[None], true if loss.compares else None)) for s in scores]
    assert found.prior.flatten().tolist() == pytest.approx(expected)


def test_patches_of_scores_are_one_loss_each():
    class Patches(Scores):
        def forward(self, x):
            return self.weight * x[:, :, ::2, ::2]

    game = game_of(loss=wgan.Wasserstein().loss(), critic=Patches())
    found = search(game, goals(game, 2), KNOWN, Search(starts=2, candidates=2, iterations=0))
    torch.testing.assert_close(found.prior, -found.made[..., ::2, ::2].flatten(2).mean(2))


@pytest.mark.parametrize(("prior", "bounds"), [
    (vanilla.Uniform(dim=4, low=-0.5, high=0.25).prior(), (-0.5, 0.25)),
    (vanilla.Normal(dim=4).prior(), (-0.7, 0.7)),
])  # fmt: skip
def test_z_stays_in_the_support(prior, bounds):
    game = game_of(prior)
    far = 50 * goals(game, 3)
    found = search(game, far, KNOWN, Search(starts=4, candidates=4, iterations=60, lr=0.1, prior="none", limit=0.7))
    low, high = bounds
    assert float(found.z.min()) == low
    assert float(found.z.max()) == high


@pytest.mark.parametrize("candidates", [3, 40])
def test_the_same_by_seed_whatever_else_is_in_the_batch(candidates):
    game = game_of(loss=wgan.Wasserstein().loss(), critic=Scores())
    y = goals(game, 4)
    how = Search(starts=3, candidates=candidates, iterations=40, seed=2)
    together = search(game, y, KNOWN, how)
    again = search(game, y, KNOWN, how)
    assert torch.equal(together.z, again.z)
    alone = search(game, y[2:3], KNOWN, how)
    torch.testing.assert_close(alone.z[0], together.z[2], rtol=0, atol=1e-9)
    torch.testing.assert_close(alone.loss[0], together.loss[2], rtol=0, atol=1e-9)
    other = search(game, y, KNOWN, Search(starts=3, candidates=candidates, iterations=40, seed=3))
    assert not torch.equal(other.z, together.z)


def test_candidates_are_chosen_by_context_loss():
    game = game_of()
    y = goals(game, 2)
    found = search(game, y, KNOWN, Search(starts=3, candidates=300, iterations=0, prior="none"))
    w = context_weights(KNOWN, 7)
    made = game.generator(game.latents(300).double()).detach()
    for i in range(2):
        losses = (w * (made - y[i]).abs()).flatten(1).sum(1).sort().values
        torch.testing.assert_close(found.context[i], losses[:3])


def test_the_game_is_left_as_it_was():
    game = game_of(loss=wgan.Wasserstein().loss(), critic=Scores())
    before = {name: t.clone() for name, t in game.state_dict().items()}
    rng, told = torch.get_rng_state(), []
    search(game, goals(game, 1), KNOWN, Search(iterations=5), tick=told.append)
    assert len(told) == 5
    assert torch.equal(torch.get_rng_state(), rng)
    assert all(torch.equal(before[name], t) for name, t in game.state_dict().items())
    assert all(p.grad is None for p in game.parameters())


def test_what_cannot_be_judged_is_said():
    known = torch.ones(SIDE, SIDE, dtype=torch.bool)
    with pytest.raises(GanflowError, match="take --prior-loss norm or none"):
        search(game_of(), torch.zeros(1, 1, SIDE, SIDE), KNOWN, Search())
    with pytest.raises(GanflowError, match="compares with real examples"):
        search(game_of(loss=vanilla.Relativistic().loss(), critic=Scores()), torch.zeros(1, 1, SIDE, SIDE), KNOWN, Search())
    with pytest.raises(GanflowError, match="no known pixel has a hole in its window of 7"):
        search(game_of(), torch.zeros(1, 1, SIDE, SIDE), known, Search(prior="none"))
