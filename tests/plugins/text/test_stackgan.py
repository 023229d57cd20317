"""StackGAN's networks and its loss, against their formulas."""


import pytest
import torch
from ganflow_text.losses import StackGAN
from ganflow_text.nets.augmentation import Augmentation
from ganflow_text.nets.critic import Critic
from ganflow_text.networks import Critic as CriticKeys
from ganflow_text.networks import Stage1, Stage2
from ganflow_vanilla import Hinge, NonSaturating, Relativistic
from text_helpers import quick
from torch.distributions import Independent, Normal, kl_divergence
from torch.nn.functional import softplus

from ganflow.contract.data import TensorData
from ganflow.engine.game import Game
from ganflow.engine.rows import rows_of
from ganflow.errors import GanflowError, SettingsError
from ganflow.testing import check_component, components

DIM, NUMBERS, TEXT = 6, 10, ("text",)


class Numbers:
    def __init__(self, dim):
        self.shape = (dim,)

    def sample(self, *lead, generator=None, device="cpu"):
        return torch.randn(*lead, *self.shape, generator=generator)


class Latents(Numbers):
    def __init__(self):
        super().__init__(4)


def pictures(side=32, fields=("real", "text"), width=None):
    rng = torch.Generator().manual_seed(0)
    every = {"real": torch.rand(9, 3, side, width or side, generator=rng) * 2 - 1, "text": torch.randn(9, NUMBERS, generator=rng)}
    return TensorData("toy", {name: every[name] for name in fields}, {name: every[name] for name in fields})


def game(side=32, stage2=False, data=None, **loss):
    torch.manual_seed(0)
    data = data or pictures(side)
    small = Stage1(width=4, dim=DIM)
    generator = Stage2(stage1=small, factor=2, width=4, blocks=1, dim=DIM) if stage2 else small
    made = StackGAN(**{"adversarial": NonSaturating(), **loss}).loss(data, Latents(), TEXT)
    critic = CriticKeys(width=4, dim=5, norm="none").critic(data, TEXT)
    return Game(data, Latents(), generator.generator(data, Latents(), TEXT), critic, made, condition=TEXT)


def batch(g, n=4):
    return {**{name: t[:n] for name, t in g.data.held_out.items()}, "z": g.latents(n)}


def test_a_critic_with_projection_keeps_the_contract():
    (component,) = (c for c in components("text") if c.role == "critic")
    check_component(component, width=4, dim=5, projection=True, norm="none")


def test_conditioning_augmentation_is_its_formula():
    torch.manual_seed(0)
    made, text = Augmentation(NUMBERS, DIM, True), torch.randn(50_000, NUMBERS)[:1].expand(50_000, -1)
    mean, log_variance = made.linear(text[:1]).chunk(2, 1)
    assert mean.min() < 0  # nothing is rectified
    assert log_variance.min() < 0
    c = made(text)
    assert torch.allclose(c.mean(0), mean[0], atol=0.02)
    assert torch.allclose(c.var(0), log_variance[0].exp(), rtol=0.05)
    assert torch.allclose(made.eval()(text[:3]), mean.expand(3, -1), atol=1e-6)


@pytest.mark.parametrize("side", [32, 64])
def test_c_can_be_drawn_from_the_priors_last_numbers(side):
    """c = μ + σ ε, in training and outside of it, ε the end of z; Stage I sees the rest of z beside c."""
    torch.manual_seed(0)
    data, prior = pictures(side), Numbers(DIM + 3)
    made = Stage1(width=4, dim=DIM, noise="prior").generator(data, prior, TEXT)
    (z, text), seen = (prior.sample(5), data.held_out["text"][:5]), []
    made.start.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    for mode in (True, False):
        assert made.train(mode)(z, text=text).shape == (5, 3, side, side)
    mean, log_variance = made.augmentation.linear(text).chunk(2, 1)
    expected = torch.cat([z[:, :3], mean + log_variance.exp().sqrt() * z[:, 3:]], 1)
    assert len(seen) == 2
    assert all(torch.allclose(x, expected, atol=1e-6) for x in seen)


def test_stage_2_can_draw_its_c_from_the_same_numbers():
    torch.manual_seed(0)
    data, prior = pictures(64), Numbers(DIM + 3)
    small = Stage1(width=4, dim=DIM, noise="prior")
    made = Stage2(stage1=small, factor=2, width=4, blocks=0, dim=DIM - 2, noise="prior").generator(data, prior, TEXT).eval()
    (z, text), seen = (prior.sample(5), data.held_out["text"][:5]), []
    made.joined.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    made(z, text=text)
    mean, log_variance = made.augmentation.linear(text).chunk(2, 1)
    c = seen[0][:, -(DIM - 2) :]
    assert torch.allclose(c, (mean + log_variance.exp().sqrt() * z[:, 5:])[:, :, None, None].expand_as(c), atol=1e-6)


def test_a_prior_with_too_few_numbers_for_c_is_refused():
    data = pictures(64)
    with pytest.raises(GanflowError, match=r"draws c from 6 numbers of z .*, and the prior has 6: set prior.dim=22"):
        Stage1(width=4, dim=DIM, noise="prior").generator(data, Numbers(DIM), TEXT)
    with pytest.raises(GanflowError, match=r"draws c from 6 numbers of z .*, and the prior has 4: lower generator.dim"):
        Stage2(stage1=Stage1(width=4, dim=DIM), factor=2, dim=DIM, noise="prior").generator(data, Numbers(4), TEXT)
    for stage in (Stage1, Stage2):
        with pytest.raises(SettingsError):
            stage(augment=False, noise="prior")


def test_its_divergence_is_the_kl_of_torch():
    torch.manual_seed(0)
    made, text = Augmentation(NUMBERS, DIM, True), torch.randn(7, NUMBERS)
    mean, log_variance = made.statistics(text)
    standard = Normal(torch.zeros(DIM), torch.ones(DIM))
    kl = kl_divergence(Independent(Normal(mean, (log_variance / 2).exp()), 1), Independent(standard, 1))
    assert torch.allclose(made.divergence(text), kl.mean() / DIM, atol=1e-6)


def test_without_augmentation_the_condition_is_certain():
    made, text = Augmentation(NUMBERS, DIM, False), torch.randn(3, NUMBERS)
    assert torch.equal(made(text), made(text))
    assert made.linear.out_features == DIM
    assert made.divergence(text) is None


@pytest.mark.parametrize("side", [16, 32, 64])
def test_stage_1_has_the_pictures_size(side):
    g = game(side)
    made = g.generator(g.latents(3), g.data.held_out["text"][:3])
    assert made.shape == (3, 3, side, side)
    assert made.abs().max() <= 1


@pytest.mark.parametrize(("side", "factor"), [(64, 2), (64, 4), (128, 2)])
def test_stage_2_is_so_many_times_as_large(side, factor):
    data = pictures(side)
    made = Stage2(stage1=Stage1(width=4, dim=DIM), factor=factor, width=4, blocks=1, dim=DIM).generator(data, Latents(), TEXT)
    z, text = Latents().sample(2), data.held_out["text"][:2]
    assert made(z, text).shape == (2, 3, side, side)
    assert made.earlier(z, text).shape == (2, 3, side // factor, side // factor)


def test_the_papers_sizes():
    """Stage I as in the authors' code: 1536 channels at 4 × 4 and 96 at 64; Stage II 512 at 16 × 16 and 32 at 256."""
    with torch.device("meta"):
        data = TensorData("cub", {"real": torch.empty(1, 3, 256, 256), "text": torch.empty(1, 1024)})
        made = Stage2(stage1=Stage1(), factor=4).generator(data, type("Prior", (), {"shape": (100,)})(), TEXT)
    assert made.earlier.start[0].weight.shape == (1536 * 16, 228)
    assert [m.out_channels for m in made.earlier.ups if hasattr(m, "out_channels")] == [768, 384, 192, 96, 3]
    assert [m.out_channels for m in made.ups if hasattr(m, "out_channels")] == [256, 128, 64, 32, 3]
    assert made.joined[0].weight.shape[:2] == (512, 512 + 128)
    assert len(made.joined) == 3 + 4


def test_stage_1_is_frozen_in_stage_2():
    g = game(64, stage2=True)
    g.train()
    assert not any(m.training for m in g.generator.earlier.modules())
    before = {name: t.clone() for name, t in g.generator.earlier.state_dict().items()}
    terms = g.terms_of(g.step("generator", batch(g)))
    sum(terms.values()).backward()
    assert all(p.grad is None for p in g.generator.earlier.parameters())
    own = [p for name, p in g.generator.named_parameters() if not name.startswith("earlier.")]
    assert all(p.grad is not None and p.grad.any() for p in own)
    after = g.generator.earlier.state_dict()
    assert all(torch.equal(t, after[name]) for name, t in before.items())


def test_stage_2_can_paint_on_top_of_stage_1():
    torch.manual_seed(0)
    data = pictures(64)
    made = Stage2(stage1=Stage1(width=4, dim=DIM), factor=2, onto=True, width=4, dim=DIM).generator(data, Latents(), TEXT).eval()
    torch.nn.init.zeros_(made.ups[-1].weight)  # nothing is painted
    z, text = Latents().sample(2), data.held_out["text"][:2]
    made.earlier.ups[-2].weight.data.mul_(1000)
    small = made.earlier(z, text)
    assert small.std() > 0.05
    enlarged = torch.nn.functional.interpolate(small, scale_factor=2.0, mode="bilinear")
    assert torch.allclose(made(z, text), 0.98 * enlarged, atol=1e-5)


@pytest.mark.parametrize(("factor", "side"), [(2, 64), (4, 128)])
def test_stage_2_can_set_what_it_saw_beside_what_it_doubles(factor, side):
    """Layer by layer: the maps of side/factor and half of that come back beside the same sizes on the way up."""
    torch.manual_seed(0)
    data = pictures(side)
    small = Stage1(width=4, dim=DIM, augment=False)
    keys = {"stage1": small, "factor": factor, "width": 4, "blocks": 0, "dim": DIM, "augment": False}
    made = Stage2(skips=True, **keys).generator(data, Latents(), TEXT).eval()
    z, text = Latents().sample(3), data.held_out["text"][:3]
    x = made.earlier(z, text=text)
    seen = {}
    for layer in made.down:
        x = layer(x)
        seen[x.shape[-1]] = x  # the last of each size
    c = made.augmentation.linear(text)[:, :, None, None].expand(-1, -1, *x.shape[2:])
    x = made.joined(torch.cat([x, c], 1))
    for layer in made.ups:
        if getattr(layer, "in_channels", 0) > x.shape[1]:
            x = torch.cat([x, seen[x.shape[-1]]], 1)
        x = layer(x)
    assert x.shape[-1] == side
    assert torch.allclose(made(z, text=text), x.tanh(), atol=1e-6)
    wider = sum(p.numel() for p in made.parameters()) - sum(
        p.numel() for p in Stage2(**keys).generator(data, Latents(), TEXT).parameters()
    )
    assert wider == 9 * (8 * 4 + 4 * 2)  # kernels of 3 × 3 over 8 and 4 further channels


def test_the_critics_loss_is_the_papers():
    """real + ½ (wrong + fake), each −log D or −log (1 − D); the wrong sentence is the neighbour's."""
    g = game()
    for p in g.critic.parameters():
        p.data.mul_(8)  # at first pictures and sentences nearly add up, and any permutation of sentences has the same mean
    b = batch(g)
    step = g.step("critic", b)
    terms = g.terms_of(step)
    x, text, fake = b["real"], b["text"], step.fake()
    wrong = torch.stack([text[3], text[0], text[1], text[2]])
    scores = [g.critic(picture, text=said) for picture, said in ((x, text), (x, wrong), (fake, text))]
    real, mismatched, generated = softplus(-scores[0]).mean(), softplus(scores[1]).mean(), softplus(scores[2]).mean()
    assert list(terms) == ["non_saturating", "mismatch"]
    assert torch.allclose(sum(terms.values()), real + (mismatched + generated) / 2)


def test_the_generators_loss_is_the_papers():
    g = game().eval()  # c = μ, so that both passes are the same
    b = batch(g)
    terms = g.terms_of(g.step("generator", b))
    score = g.critic(g.generator(b["z"], text=b["text"]), text=b["text"])
    assert list(terms) == ["non_saturating", "kl"]
    assert torch.allclose(terms["non_saturating"], softplus(-score).mean())
    assert torch.allclose(terms["kl"], 2 * g.generator.augmentation.divergence(b["text"]))


def test_without_mismatch_it_is_the_adversarial_loss_alone():
    g = game(mismatch=0.0)
    b = batch(g)
    step = g.step("critic", b)
    terms = g.terms_of(step)
    plain = NonSaturating().loss().critic_loss(g.critic(b["real"], b["text"]), g.critic(step.fake(), b["text"]))
    assert list(terms) == ["non_saturating"]
    assert torch.allclose(terms["non_saturating"], plain)


@pytest.mark.parametrize("adversarial", [Hinge(), Relativistic(), Relativistic(average=True)])
def test_any_adversarial_loss(adversarial):
    g = game(adversarial=adversarial)
    for player in ("critic", "generator"):
        terms = g.terms_of(g.step(player, batch(g)))
        assert adversarial.loss().name in terms
        assert sum(terms.values()).isfinite()


def test_the_match_term_is_the_encoders(birds):
    data = birds(quick())
    g = game(data=data, match=0.5)
    b = batch(g)
    g.loss.check(g)
    step = g.step("generator", b)
    terms = g.terms_of(step)
    assert torch.allclose(terms["match"], 0.5 * data.encoder.match(step.fake(), b["text"]))
    found = torch.autograd.grad(terms["match"], list(g.generator.ups.parameters()))
    assert all(f.any() for f in found)


def test_the_match_term_needs_an_encoder_that_knows_pictures(birds):
    g = game(data=birds(), match=0.5)
    with pytest.raises(GanflowError, match="the data's text encoder knows no pictures; use encoder matched"):
        g.loss.check(g)


def test_the_critic_looks_at_picture_and_sentence():
    for projection in (False, True):
        torch.manual_seed(0)
        critic = Critic(pictures(), 4, 5, "none", projection)
        x, text = (t[:3].clone().requires_grad_() for t in pictures().held_out.values())
        scores = critic(x, text)
        assert scores.shape == (3,)
        slopes = torch.autograd.grad(scores[1], (x, text))
        assert all(s[1].any() and not s[0].any() for s in slopes)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (pictures(fields=("real",)), "has no field 'text'"),
        (pictures(side=48), "needs square pictures of 16, 32, 64, … pixels; data 'toy' has 48 × 48"),
        (pictures(side=32, width=64), "data 'toy' has 32 × 64; choose such a data.size, or dcgan, which makes rectangles"),
        (pictures(side=8), "needs square pictures of 16, 32, 64, … pixels; data 'toy' has 8 × 8"),
    ],
)
def test_other_data_are_refused(data, told):
    with pytest.raises(GanflowError, match=told):
        Stage1().generator(data, Latents(), TEXT)
    with pytest.raises(GanflowError, match=told):
        CriticKeys().critic(data, TEXT)


def test_the_sheet_shows_sentences_the_truth_and_what_is_drawn(birds):
    data = birds()
    g = game(data=data)
    rows = rows_of(g, {name: t[:2] for name, t in data.held_out.items()})
    assert list(rows) == data.held_out_sentences[:2]
    for row, real in zip(rows.values(), data.held_out["real"], strict=False):
        assert row.shape == (8, 3, 32, 32)
        assert torch.equal(row[0], real)


def test_samples_are_told_held_out_sentences():
    g = game()
    drawn = g.samples(5, seed=3)
    rows = torch.randint(9, (5,), generator=torch.Generator().manual_seed(3))
    assert torch.equal(drawn, g.call("sample", z=g.latents(5, 3), text=g.data.held_out["text"][rows]))
    assert torch.allclose(drawn[:2], g.call("sample", z=g.latents(5, 3)[:2], text=g.data.held_out["text"][rows[:2]]), atol=1e-6)
    g.data.held_out.clear()
    with pytest.raises(GanflowError, match="has no held-out examples of it"):
        g.samples(5)
