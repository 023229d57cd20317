"""VAE/GAN: who gets which gradient, against a transcript of algorithm 1; the critic's features."""

import copy
import math

import ganflow_autoencoder as plugin
import pytest
import torch
from autoencoder_helpers import game_of
from ganflow_autoencoder.vae_gan import slowed
from ganflow_networks import DCGANCritic
from ganflow_regularize import SpectralNorm
from ganflow_regularize.augment import augmented as augment
from ganflow_vanilla import Hinge, NonSaturating, Relativistic
from ganflow_wgan.losses import GradientPenalty
from torch import nn
from torch.nn.functional import softplus

from ganflow import build_part
from ganflow.contract.data import TensorData
from ganflow.engine.player import Part, Player
from ganflow.engine.round import Round
from ganflow.engine.step import find_layer
from ganflow.errors import GanflowError
from ganflow.plugins import Component, Composition
from ganflow.plugins.catalogue import Chosen

X = torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1
Z = torch.randn(4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def make(adversarial=None, norm="none", terms=(), **keys):
    torch.manual_seed(0)
    data = TensorData("toy", {"real": X})
    network = plugin.ConvAutoencoder(width=2, norm=norm).generator(data, type("P", (), {"shape": (3,)})).double()
    critic = build_part(DCGANCritic(width=2, norm=norm), "critic", data=data, condition=()).double()
    for p in [*network.parameters(), *critic.parameters()]:  # larger than initial weights, so that nothing is near zero
        p.data.mul_(8)
    loss = plugin.VAEGAN(adversarial=adversarial or NonSaturating(), **keys).loss(data, None, ())
    return game_of(network, X, loss, critic, terms)


def gradients(value, network):
    found = torch.autograd.grad(value, list(network.parameters()), retain_graph=True, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for g, p in zip(found, network.parameters(), strict=True)]


def test_the_gradients_of_algorithm_1():
    """Encoder: L_prior + L_llike. Decoder: γ L_llike − L_GAN."""
    game = make(gamma=0.2, beta=0.5)
    network, critic = game.generator, game.critic
    torch.manual_seed(5)
    terms = game.terms_of(game.step("generator", {"real": X, "z": Z}))
    assert list(terms) == ["non_saturating", "kl", "features"]
    total = sum(terms.values())

    torch.manual_seed(5)
    q = network.posterior(X)
    made = network(q.mean + (q.log_variance / 2).exp() * torch.randn(4, 3, dtype=torch.float64))
    features = critic[:-2]  # up to the last convolution
    llike = (features(X) - features(made)).square().sum((1, 2, 3)).mean() / 2
    prior = (q.mean.square() + q.log_variance.exp() - 1 - q.log_variance).sum(1).mean() / 2
    judged = (softplus(-critic(network(Z[:2]))).mean() + softplus(-critic(made[2:])).mean()) / 2
    for part, expected in ((network.encoder, 0.5 * prior + llike), (network.decoder, 0.2 * llike + judged)):
        for found, wanted in zip(gradients(total, part), gradients(expected, part), strict=True):
            torch.testing.assert_close(found, wanted)
            assert wanted.any()
    torch.testing.assert_close(total, 0.2 * llike + 0.5 * prior + judged)


def test_slowing_changes_nothing_but_the_gradient():
    z = Z.clone().requires_grad_()
    assert torch.equal(slowed(z, 3.0), z)
    torch.testing.assert_close(torch.autograd.grad(slowed(z, 4.0).square().sum(), z)[0], z.detach() / 2)


def test_the_critic_learns_from_real_against_both_kinds_and_from_no_features():
    game = make()
    torch.manual_seed(5)
    terms = game.terms_of(game.step("critic", {"real": X, "z": Z}))
    assert list(terms) == ["non_saturating"]
    torch.manual_seed(5)
    with torch.no_grad():
        sampled, made = game.generator(Z), game.generator(game.generator.posterior(X).sample())
    fake = softplus(game.critic(sampled[:2])).mean() + softplus(game.critic(made[2:])).mean()
    torch.testing.assert_close(terms["non_saturating"], softplus(-game.critic(X)).mean() + fake / 2)
    assert not any(g.any() for g in gradients(sum(terms.values()), game.generator))


def play_both(game):
    """Give the game its players."""
    for name in ("generator", "critic"):
        module = getattr(game, name)
        game.players[name] = Player(name, [Part(name, module, lambda p: torch.optim.Adam(p, lr=0.01), elementwise=True)])


def test_a_generator_step_leaves_the_critic_as_it_was():
    game = make()
    before = copy.deepcopy(game.critic.state_dict())
    play_both(game)
    moved = copy.deepcopy(game.generator.state_dict())
    Round(game, 1).generator_step({"real": X, "z": Z})
    assert all(torch.equal(t, before[name]) for name, t in game.critic.state_dict().items())
    assert all(not torch.equal(t, moved[name]) for name, t in game.generator.state_dict().items())


def test_one_batch_gives_both_players_the_same_reconstructions():
    game = make(norm="layer")
    play_both(game)
    seen = {}
    game.generator.encoder.register_forward_hook(lambda *_: seen.update(encoded=seen.get("encoded", 0) + 1))
    of_critic, of_generator = game.loss.critic_terms, game.loss.generator_terms
    game.loss.critic_terms = lambda step: seen.update(shown=step.fake()) or of_critic(step)
    game.loss.generator_terms = lambda step: seen.update(made=step.fake()) or of_generator(step)
    Round(game, 1, one_batch=True)({"real": X[None], "z": Z[None]})
    seen["encoded"] = 0
    Round(game, 1, one_batch=True)({"real": X[None], "z": Z[None]})
    assert seen["encoded"] == 1
    assert torch.equal(seen["shown"], seen["made"])
    step = game.step("generator", {"real": X, "z": Z})
    assert all(g.any() for g in gradients(sum(of_generator(step).values()), game.generator))


@pytest.mark.parametrize("adversarial", [Hinge(), Relativistic()])
def test_any_loss_from_scores_plays(adversarial):
    game = make(adversarial)
    name = adversarial.loss().name
    for player in ("critic", "generator"):
        terms = game.terms_of(game.step(player, {"real": X, "z": Z}))
        assert name in terms
        assert all(t.isfinite() for t in terms.values())


def test_estimates_are_the_adversarial_losss():
    assert make().loss.estimates({"critic/non_saturating": 0.4}) == {"jsd_estimate": pytest.approx(math.log(2) - 0.2)}


def test_penalties_work_around_it():
    game = make(terms=[GradientPenalty(10.0)])
    terms = game.terms_of(game.step("critic", {"real": X, "z": Z}))
    assert list(terms) == ["non_saturating", "gradient_penalty"]
    assert all(g.isfinite().all() for g in gradients(sum(terms.values()), game.critic))


# Features

def features(game, layer):
    return game.step("critic", {"real": X}).features(X, layer)


def test_features_are_what_the_last_layer_gets_or_a_named_one_gives():
    game = make(norm="layer")
    critic = game.critic
    torch.testing.assert_close(features(game, ""), critic[:-2](X).flatten(1))
    torch.testing.assert_close(features(game, "1"), critic[:2](X).flatten(1))
    assert find_layer(critic, "") is critic[-2]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in critic.modules())
    with pytest.raises(GanflowError, match=r"the critic has no module '77' \(modules: 0, 1, "):
        find_layer(critic, "77")
    with pytest.raises(GanflowError, match="no modules with weights"):
        find_layer(nn.Sequential(nn.Flatten()), "")


def test_features_under_spectral_norm():
    game = make()

    def chosen(role, component):
        return Chosen(Component(role, "part", "acme", type(component)), component)

    critic = Composition({"critic": chosen("critic", DCGANCritic(width=2, norm="none"))}, [chosen("modifier", SpectralNorm())])
    game.critic = network = critic.build("critic", data=game.data, prior=None, condition=()).double().eval()
    assert find_layer(network, "") is network[-2]
    torch.testing.assert_close(features(game, ""), network[:-2](X).flatten(1))


def test_what_does_not_fit():
    game = make()
    game.critic = None
    with pytest.raises(GanflowError, match="loss 'vae_gan' needs a critic"):
        game.loss.check(game)
    game = make(layer="nine")
    with pytest.raises(GanflowError, match=r"loss.layer: the critic has no module 'nine'"):
        game.loss.check(game)
    with pytest.raises(GanflowError, match=r"loss.adversarial: VAEGANLoss does not follow from scores"):
        plugin.VAEGAN(adversarial=plugin.VAEGAN(adversarial=Hinge())).loss(game.data, None, ())


def augmented(game):
    """The game's critic under diffaugment, in training."""
    hooked = augment(game.critic, ["color", "translation", "cutout"], game.data)
    hooked.train()
    return game


def distance(game, x, made):
    return game.loss.distance(game.step("generator", {"real": x}), x, made)


def test_features_are_compared_without_the_augmentation_in_front_of_the_critic():
    """x is at no distance from itself, and at the distance that a critic without augmentation has from anything else."""
    game = augmented(make())
    x = X.double()
    assert distance(game, x, x) == 0
    plain = make()
    found, wanted = distance(game, x, -x), distance(plain, x, -x)
    torch.testing.assert_close(found, wanted)
    assert not torch.equal(game.critic(x), game.critic(x))  # scores are of altered images, as ever


def test_a_recipe_may_still_compare_altered_images():
    game = augmented(make(augmented=True))
    assert distance(game, X.double(), X.double()) > 0


def test_a_critic_that_sees_the_same_picture_differently_each_time_is_refused():
    game = make()
    game.critic.insert(1, nn.Dropout(0.5))
    state = torch.get_rng_state()
    with pytest.raises(GanflowError, match="take dropout or noise out of it"):
        game.loss.check(game)
    assert torch.equal(torch.get_rng_state(), state)
    make().loss.check(make())
    normalized = make()
    SpectralNorm()._normalized(normalized.critic)
    before = [b.clone() for b in normalized.critic.buffers()]
    normalized.loss.check(normalized)
    assert all(torch.equal(a, b) for a, b in zip(before, normalized.critic.buffers(), strict=True))
