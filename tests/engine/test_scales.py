"""Critics of several scales whose losses are summed: each term against the scales taken one by one."""

import pytest
import torch
from torch.nn.functional import softplus

from ganflow.engine.build import build_game
from ganflow.recipe import read_recipe

RECIPE = """
name: scales
data: {use: facades, size: 32, train: 4, held_out: 4}
generator: {use: unet, width: 2, norm: instance, dropout: 0}
critic: {use: multiscale, scales: 2, layers: 2, width: 2}
loss: {use: pix2pix, critic_weight: 1}
optimizer: {use: adam}
train: {precision: fp64, device: cpu}
"""


@pytest.fixture
def played(tmp_path):
    def make(*changes):
        (tmp_path / "scales.yaml").write_text(RECIPE)
        recipe = read_recipe(tmp_path / "scales.yaml", changes)
        composition = recipe.composition()
        game = build_game(recipe, composition, composition.build("data"), players=False)
        return game, {name: t[:3].double() for name, t in game.data.held_out.items()}

    return make


def scales(critic, x):
    return [critic.critics[0](x), critic.critics[1](torch.nn.functional.avg_pool2d(x, 2))]


@pytest.mark.parametrize(("reduction", "share"), [("sum", 1.0), ("mean", 0.5)])
@pytest.mark.parametrize("one_pass", ["false", "true"])
def test_the_losses_of_all_scales_are_summed_or_averaged(played, reduction, share, one_pass):
    game, batch = played(f"critic.reduction={reduction}", f"train.one_pass={one_pass}")
    x, y = batch["source"], batch["target"]
    fake = scales(game.critic, torch.cat((x, game.generator(x, "target")), 1))
    real = scales(game.critic, torch.cat((x, y), 1))
    each = [softplus(-r).mean() + softplus(f).mean() for r, f in zip(real, fake, strict=True)]
    terms = game.terms_of(game.step("critic", batch))
    torch.testing.assert_close(terms["non_saturating"], share * sum(each))
    terms = game.terms_of(game.step("generator", batch))
    torch.testing.assert_close(terms["non_saturating"], share * sum(softplus(-f).mean() for f in fake))


def test_an_average_over_real_scores_is_taken_scale_by_scale(played):
    game, batch = played("loss.adversarial={use: relativistic, average: true}")
    x, y = batch["source"], batch["target"]
    fake = scales(game.critic, torch.cat((x, game.generator(x, "target")), 1))
    real = scales(game.critic, torch.cat((x, y), 1))
    each = [softplus(-(r - f.mean())).mean() + softplus(f - r.mean()).mean() for r, f in zip(real, fake, strict=True)]
    terms = game.terms_of(game.step("critic", batch))
    torch.testing.assert_close(terms["relativistic_average" if "relativistic_average" in terms else "relativistic"], sum(each))


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_a_penalty_is_each_scales_own(played, reduction):
    game, batch = played(f"critic.reduction={reduction}", "modifiers=[{use: r1, weight: 3}]")
    x, y = batch["source"], batch["target"].requires_grad_()
    maps = scales(game.critic, torch.cat((x, y), 1))
    means = [m.flatten(1).mean(1) for m in maps]
    wanted = means if reduction == "sum" else [sum(means) / 2]
    slopes = [torch.autograd.grad(f.sum(), y, retain_graph=True)[0] for f in wanted]
    expected = sum(3 / 2 * s.square().flatten(1).sum(1).mean() for s in slopes)
    found = game.terms_of(game.step("critic", {"source": x, "target": y.detach()}))["r1"]
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)  # slopes of new critics are tiny


def test_what_is_estimated_is_an_average_over_scales(played):
    game, _ = played()
    found = game.estimates({"critic/non_saturating": 2 * 1.2, "generator/l1": 5.0})
    assert found["jsd_estimate"] == pytest.approx(0.69314718 - 1.2 / 2)


def test_unpaired_domains_are_summed_too(played):
    game, _ = played(
        "data={use: street, size: 32, train: 4, held_out: 4}", "loss={use: unit}",
        "generator={use: unit, width: 2, blocks: 1, downs: 1}",
    )  # fmt: skip
    batch = {name: t[:3].double() for name, t in game.data.held_out.items()}
    torch.manual_seed(1)
    terms = game.terms_of(game.step("critic", batch))
    torch.manual_seed(1)
    for to, of in (("a", "b"), ("b", "a")):
        fake = game.generator.decode(game.generator.noisy(game.generator.encode(batch[of], of)), to)
        pairs = [scales(game.critic.critics[to], x) for x in (batch[to], fake)]
        each = [softplus(-r).mean() + softplus(f).mean() for r, f in zip(*pairs, strict=True)]
        torch.testing.assert_close(terms[f"non_saturating_{to}"], sum(each))
