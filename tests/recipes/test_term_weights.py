"""The weight of every term in the recipes of systems, as the paper's number (or its code's, where that is said).

Each recipe is played on small data with small networks; the terms' plain values are computed here from what the networks give,
and what the loss makes of them must be these times the number. docs/terms.md is the table.
"""

from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from ganflow.engine.build import build_game
from ganflow.recipe import read_recipe
from ganflow.recipe.stages import read_stages

STREET = "data={use: street, size: 32, train: 4, held_out: 4}"
FACADES = "data={use: facades, size: 32, train: 4, held_out: 4}"
BIRDS = "data={use: birds, size: 16, train: 8, held_out: 4, encoder: {use: bag_of_words, words: 8}}"
TRAIN = ["train.precision=fp64", "train.one_batch=false", "train.one_pass=false", "train.device=cpu"]
SMALL = ["modifiers=[]", "metrics=[]", *TRAIN]


def game_of(name, *changes, stage=None):
    changes = [*changes, *SMALL]
    recipe = read_recipe(name, changes) if stage is None else read_stages(name, changes).recipes[stage]
    composition = recipe.composition()
    game = build_game(recipe, composition, composition.build("data"), players=False)
    return game.eval()  # codes without noise: the terms can be computed again


def terms_of(game, player, batch):
    return game.terms_of(game.step(player, batch))


def batch_of(game):
    return {name: t[:3].double() for name, t in game.data.held_out.items()}


def squares(scores, target):
    return ((scores - target) ** 2).mean()


def log_loss(scores, label):
    return binary_cross_entropy_with_logits(scores, torch.full_like(scores, label))


def assert_weighs(terms, plain, weights):
    """Every term is its plain value times its weight, and there are no others."""
    assert terms.keys() == weights.keys()
    for name, weight in weights.items():
        torch.testing.assert_close(terms[name], weight * plain[name], rtol=1e-9, atol=1e-12, msg=name)


# CycleGAN, Zhu et al. 2017, eq. 1 to 3 and section 5.2, least squares as in section 4 and its code: ½ E(D(y) − 1)² + ½ E D(G(x))²
# for a critic, E(D(G(x)) − 1)² + 10 cycles + 5 identities for the generators.
CYCLE_CRITIC = {"lsgan_a": 0.5, "lsgan_b": 0.5}
CYCLE_GENERATOR = {"lsgan_a": 1, "lsgan_b": 1, "cycle_a": 10, "cycle_b": 10, "identity_a": 5, "identity_b": 5}
WITHOUT_IDENTITY = {"lsgan_a": 1, "lsgan_b": 1, "cycle_a": 10, "cycle_b": 10}  # which is for paintings there (section 5.2)


@pytest.mark.parametrize(
    ("name", "critic", "generator"),
    [
        ("cyclegan_paper", CYCLE_CRITIC, CYCLE_GENERATOR),
        ("cyclegan_street", CYCLE_CRITIC, WITHOUT_IDENTITY),
        ("cyclegan_horses", CYCLE_CRITIC, CYCLE_GENERATOR),
    ],
)
def test_cyclegan(name, critic, generator):
    game = game_of(
        name, STREET, "generator={use: resnet_translator, width: 2, blocks: 1, downs: 1}",
        "critic={use: patch, receptive_field: 16, width: 2}", "loss.pool=0",
    )  # fmt: skip
    batch, G, D = batch_of(game), game.generator, game.critic
    a, b = batch["a"], batch["b"]
    to_b, to_a = G(a, "b"), G(b, "a")
    plain = {
        "lsgan_a": squares(D(a, "a"), 1) + squares(D(to_a, "a"), 0),
        "lsgan_b": squares(D(b, "b"), 1) + squares(D(to_b, "b"), 0),
    }
    assert_weighs(terms_of(game, "critic", batch), plain, critic)
    plain = {
        "lsgan_a": squares(D(to_a, "a"), 1),
        "lsgan_b": squares(D(to_b, "b"), 1),
        "cycle_a": (G(to_b, "a") - a).abs().mean(),
        "cycle_b": (G(to_a, "b") - b).abs().mean(),
        "identity_a": (G(a, "a") - a).abs().mean(),
        "identity_b": (G(b, "b") - b).abs().mean(),
    }
    assert_weighs(terms_of(game, "generator", batch), plain, generator)


def test_the_example_of_cyclegans_critic():
    """By hand: scores of 4 for a real and 2 for a generated picture cost the critic 6.5, one of 3 costs the generators 4."""
    loss = read_recipe("cyclegan_paper").loss.settings.loss(SimpleNamespace(fields={}), None, ())
    real, fake, judged = torch.tensor([4.0]), torch.tensor([2.0]), torch.tensor([3.0])
    step = SimpleNamespace(
        domains=("b",), judged=True, named=lambda name, domain: name, over=lambda formula, *scores: formula(*scores),
        fake=lambda domain: None, scores=lambda domain: (real, fake), score=lambda x, domain: judged,
    )  # fmt: skip
    assert sum(loss.critic_terms(step).values()) == 0.5 * ((4 - 1) ** 2 + 2**2) == 6.5
    assert sum(loss.adversarial_terms(step).values()) == (3 - 1) ** 2 == 4.0


# pix2pix, Isola et al. 2016, eq. 4 and section 3.3: log loss + 100 L1, the critic's halved; with least squares as in its code.
@pytest.mark.parametrize("name", ["pix2pix_paper", "pix2pix_facades"])
@pytest.mark.parametrize("adversarial", ["non_saturating", "lsgan"])
def test_pix2pix(name, adversarial):
    game = game_of(
        name, FACADES, "generator={use: unet, width: 2, norm: instance, dropout: 0}",
        "critic={use: patch, receptive_field: 16, width: 2}", f"loss.adversarial={{use: {adversarial}}}",
    )  # fmt: skip
    batch, G, D = batch_of(game), game.generator, game.critic
    x, y = batch["source"], batch["target"]
    made = G(x, "target")
    distance = log_loss if adversarial == "non_saturating" else squares
    real, fake = D(y, source=x), D(made, source=x)
    plain = {adversarial: distance(real, 1.0) + distance(fake, 0.0)}
    assert_weighs(terms_of(game, "critic", batch), plain, {adversarial: 0.5})
    plain = {adversarial: distance(fake, 1.0), "l1": (made - y).abs().mean()}
    assert_weighs(terms_of(game, "generator", batch), plain, {adversarial: 1, "l1": 100})


# UNIT, Liu et al. 2017, eq. 3 to 7 with λ0 = 10 (both players), λ1 = λ3 = 0.1, λ2 = λ4 = 100. As in the authors' code the KL
# divergence is the codes' mean square, of x once (in the paper it stands in eq. 4 and in eq. 7), and three scales are summed.
UNIT_TERMS = {"reconstruction": 100, "cycle": 100, "kl": 0.1, "kl_cycle": 0.1}


@pytest.mark.parametrize(
    ("name", "critic", "of_critic"),
    [
        ("unit_paper", "critic={use: multiscale, scales: 3, layers: 2, width: 2}", 10),
        ("unit_street", "critic={use: patch, receptive_field: 16, width: 2}", 1),
    ],
)
def test_unit(name, critic, of_critic):
    game = game_of(name, STREET, "generator={use: unit, width: 2, blocks: 1, downs: 1}", critic)
    batch, G = batch_of(game), game.generator

    def scales(x, domain):
        of = game.critic.critics[domain]
        if name == "unit_street":
            return [of(x)]
        maps = []
        for i, one in enumerate(of.critics):
            x = torch.nn.functional.avg_pool2d(x, 2) if i else x
            maps.append(one(x))
        return maps

    plain, of_generator = {}, {}
    for to, origin in (("b", "a"), ("a", "b")):
        x, real = batch[origin], batch[to]
        mean = G.encode(x, origin)
        made = G.decode(mean, to)
        back = G.encode(made, to)
        plain[f"non_saturating_{to}"] = sum(
            softplus(-r).mean() + softplus(f).mean() for r, f in zip(scales(real, to), scales(made, to), strict=True)
        )
        of_generator |= {
            f"non_saturating_{to}": sum(softplus(-f).mean() for f in scales(made, to)),
            f"reconstruction_{origin}": (G.decode(mean, origin) - x).abs().mean(),
            f"cycle_{origin}": (G.decode(back, origin) - x).abs().mean(),
            f"kl_{origin}": (mean**2).mean(),
            f"kl_cycle_{origin}": (back**2).mean(),
        }
    assert_weighs(terms_of(game, "critic", batch), plain, dict.fromkeys(plain, of_critic))
    weights = {f"{term}_{domain}": weight for term, weight in UNIT_TERMS.items() for domain in "ab"}
    weights |= {f"non_saturating_{domain}": 10 for domain in "ab"}
    assert_weighs(terms_of(game, "generator", batch), of_generator, weights)


# StackGAN, Zhang et al. 2016, eq. 3 to 6, as its code has them: real + ½ (wrong + generated); KL, a mean, with weight 2 (the
# paper: a sum with λ = 1); for small birds .3. The critic's two terms are ½ (real + generated) and ½ (real + wrong).
@pytest.mark.parametrize(("name", "kl"), [("stackgan_paper", 2), ("stackgan_stage1_birds", 0.3)])
def test_stackgan(name, kl):
    game = game_of(
        name, BIRDS, "generator={use: stackgan_stage1, width: 2, dim: 4}", "critic={use: stackgan, width: 2, dim: 4}",
        "loss.match=0", stage=0 if name == "stackgan_paper" else None,
    )  # fmt: skip
    batch = batch_of(game)
    x, text, z = batch["real"], batch["text"], game.latents(3).double()
    made = game.generator(z, text)
    real, wrong, fake = game.critic(x, text), game.critic(x, text.roll(1, 0)), game.critic(made, text)
    plain = {"non_saturating": log_loss(real, 1.0) + log_loss(fake, 0.0), "mismatch": log_loss(real, 1.0) + log_loss(wrong, 0.0)}
    terms = terms_of(game, "critic", {**batch, "z": z})
    assert_weighs(terms, plain, {"non_saturating": 0.5, "mismatch": 0.5})
    whole = log_loss(real, 1.0) + 0.5 * (log_loss(wrong, 0.0) + log_loss(fake, 0.0))
    torch.testing.assert_close(sum(terms.values()), whole)
    (mean, log_variance) = game.generator.augmentation.statistics(text)
    divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).mean()
    plain = {"non_saturating": log_loss(fake, 1.0), "kl": divergence}
    assert_weighs(terms_of(game, "generator", {**batch, "z": z}), plain, {"non_saturating": 1, "kl": kl})


# VAE/GAN, Larsen et al. 2015, algorithm 1. β and γ are the recipe's.
def test_vae_gan():
    game = game_of(
        "vae_gan_digits", "data.held_out=8", "generator={use: conv_autoencoder, width: 2, norm: none}",
        "critic={use: dcgan, width: 2, norm: none}",
    )  # fmt: skip
    batch = {**batch_of(game), "z": game.latents(3).double()}
    step = game.step("generator", batch)
    terms = game.terms_of(step)
    x, code = batch["real"], game.loss.code(step)[1]
    q = game.generator.posterior(x)
    kl = 0.5 * (q.mean**2 + q.log_variance.exp() - 1 - q.log_variance).flatten(1).sum(1).mean()
    seen = []
    handle = list(game.critic.modules())[-2].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].flatten(1)))
    fake = game.critic(game.generator(torch.cat((batch["z"][:1], code[1:]))))
    game.critic(x), game.critic(game.generator(code))
    handle.remove()
    features = 0.5 * (seen[1] - seen[2]).square().sum(1).mean()
    plain = {"non_saturating": softplus(-fake).mean(), "kl": kl, "features": features}
    assert_weighs(terms, plain, {"non_saturating": 1, "kl": 10, "features": 0.003})
