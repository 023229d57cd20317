"""Advice on ill health works when it is typed, and names nothing that a recipe has already."""

import re
from types import SimpleNamespace

import pytest
from torch import nn

from ganflow.evaluation.advice import HELPS, NOT_FINITE, Setup, advise, usual_rate
from ganflow.evaluation.health import SIGNS
from ganflow.recipe import read_recipe, shipped
from ganflow.runs.run import Parts

RECIPE = """
name: points
data: {use: gaussians, layout: ring, samples: 500}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 8, depth: 1}
critic: {use: mlp, width: 8, depth: 1}
loss: non_saturating
optimizer: {use: adam, lr: 1.0e-3, beta1: 0.5}
train: {rounds: 3, batch_size: 64, threads: 1, compile: never, n_critic: 2}
track: {mlflow: false}
"""


def overrides(text):
    """What is to be typed, of a thing to do."""
    (typed,) = re.findall(r"\(([^()]*)\)", text)
    return typed.split()


def setup_of(recipe, critic=None):
    return Setup.of(recipe, SimpleNamespace(critic=critic))


def places(recipe):
    return ["", "critic", *(name.removeprefix("optimizer.") for name in recipe.slots() if name.startswith("optimizer."))]


@pytest.fixture
def recipe(tmp_path):
    """recipe(changes…) → the recipe with them."""
    path = tmp_path / "points.yaml"
    path.write_text(RECIPE)
    return lambda *changes: read_recipe(path, changes)


def test_there_is_advice_on_every_sign():
    assert HELPS.keys() == {*(sign.name for sign in SIGNS), NOT_FINITE}


CHANGED = [
    [], ["loss=wasserstein", "+modifiers=weight_clip"], ["loss=wasserstein", "+modifiers=gradient_penalty"],
    ["loss=wasserstein", "+modifiers=weight_clip", "+modifiers=gradient_penalty"],
    ["+modifiers=r1", "optimizer.beta1=0"], ["+modifiers=spectral_norm", "train.clip_grad=3"],
    ["loss=minimax", "train.n_critic=1"],
    ["loss=lsgan", "optimizer={generator: {use: sgd, lr: 0.1}, critic: {use: rmsprop}}"], ["loss=hinge", "optimizer=sgd"],
    ["loss=wasserstein", "optimizer.lr=0.3"], ["optimizer.lr=1.0e-12"],
    ["optimizer={generator: {use: sgd, lr: 20}, critic: {use: rmsprop, lr: 1}}"],
]  # fmt: skip


@pytest.mark.parametrize("changes", CHANGED, ids=str)
def test_what_is_advised_can_be_played_and_is_something_new(recipe, changes):
    """With every sign, wherever it was seen: two things, each of which changes the recipe, doubles no modifier and trains."""
    before = recipe(*changes)
    found = {text for sign in HELPS for where in places(before) for text in advise(sign, setup_of(before), where).split(", or ")}
    assert all(len({*advise(sign, setup_of(before), where).split(", or ")}) == 2 for sign in HELPS for where in places(before))
    for text in found:
        after = recipe(*changes, *overrides(text))
        assert after != before, text
        modifiers = [chosen.component.name for chosen in after.modifiers]
        assert len(modifiers) == len({*modifiers}), text
        parts = Parts(after)
        parts.composition.begin(parts.game)
        parts.trainer.advance(1)
        parts.feed.close()


def shipped_advice(name):
    """A shipped recipe, and all that is advised for it, with a critic that has batch norm and one that has not."""
    recipe = read_recipe(name)
    critics = [nn.Linear(1, 1), nn.BatchNorm1d(1)] if recipe.critic else [None]
    each = [advise(sign, setup_of(recipe, critic), where) for critic in critics for sign in HELPS for where in places(recipe)]
    return recipe, {text for pair in each for text in pair.split(", or ")}, each


@pytest.mark.parametrize("name", ["wgan", "pix2pix_facades", "vae_digits"])
def test_what_is_advised_for_shipped_recipes_is_read(name):
    check_shipped(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(s.name for s in shipped() if not s.name.startswith("stackgan_") or "stage" in s.name))
def test_what_is_advised_for_all_shipped_recipes_is_read(name):
    check_shipped(name)


def check_shipped(name):
    recipe, texts, pairs = shipped_advice(name)
    assert all(len({*pair.split(", or ")}) == 2 for pair in pairs)
    for text in texts:
        assert read_recipe(name, overrides(text)) != recipe, text


@pytest.mark.parametrize(
    ("changes", "sign", "texts"),
    [
        (["loss=wasserstein", "+modifiers={use: weight_clip, c: 1.0e-3}"], "clip saturation",
         ["a larger c (modifiers.0.c=0.05)", "gradient_penalty in place of weight_clip (modifiers.0=gradient_penalty)"]),
        (["optimizer.beta1=0", "+modifiers=r1"], "collapse",
         ["a lower learning rate (optimizer.generator.lr=0.00025)",
          "a heavier penalty on the critic's slope (modifiers.0.weight=100)"]),
        (["loss=wasserstein", "+modifiers=gradient_penalty", "+modifiers=spectral_norm"], "critic saturated",
         ["fewer critic steps (train.n_critic=1)", "a lower learning rate (optimizer.critic.lr=0.00025)"]),
        (["loss=wasserstein"], "scores exploded",
         ["a penalty on the critic's slope (+modifiers=gradient_penalty)", "a bound on the critic (+modifiers=spectral_norm)"]),
        ([], "gradient exploded",
         ["shorter gradients (train.clip_grad=1)", "a lower learning rate (optimizer.critic.lr=0.00025)"]),
        (["loss=minimax"], "critic saturated",
         ["a penalty on the critic's slope (+modifiers=r1)",
          "a loss that does not saturate (loss=wasserstein +modifiers=gradient_penalty)"]),
        ([], "not finite",
         ["a lower learning rate (optimizer.critic.lr=0.00025)", "shorter gradients (train.clip_grad=1)"]),
        (["optimizer.lr=1.0e+19"], "not finite",
         ["a lower learning rate (optimizer.lr=0.001)", "shorter gradients (train.clip_grad=1)"]),
        (["optimizer.critic.lr=1.0e-6"], "critic under-trained",
         ["a higher learning rate for the critic (optimizer.critic.lr=0.001)", "more critic steps (train.n_critic=5)"]),
        (["optimizer.critic.lr=1.0e-3"], "critic under-trained",
         ["more critic steps (train.n_critic=5)", "a higher learning rate for the critic (optimizer.critic.lr=0.002)"]),
    ],
)  # fmt: skip
def test_what_is_said_first(recipe, changes, sign, texts):
    assert advise(sign, setup_of(recipe(*changes)), "critic").split(", or ") == texts


def test_a_critic_with_batch_norm_has_no_slope_to_be_penalized(recipe):
    """The penalties refuse it."""
    setup = setup_of(recipe("loss=wasserstein", "+modifiers=weight_clip"), nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    assert setup.mixes
    texts = [advise(sign, setup, "critic") for sign in HELPS]
    assert not [text for text in texts if "gradient_penalty" in text or "r1" in text]
    assert "modifiers.0=spectral_norm" in texts[[*HELPS].index("clip saturation")]


def test_without_a_recipe_and_with_optimizers_of_others_there_is_advice_as_well():
    for setup in (Setup(), Setup({"generator": "net", "optimizer.generator": "own"}, {"train.batch_size": 8})):
        for sign in HELPS:
            assert len({*advise(sign, setup, "generator").split(", or ")}) == 2


def changes_of_rates(before, sign, where="critic"):
    """The learning rates that are advised, by their keys."""
    typed = [change for text in advise(sign, setup_of(before), where).split(", or ") for change in overrides(text)]
    return {key: float(value) for key, _, value in (change.partition("=") for change in typed) if key.endswith("lr")}


@pytest.mark.parametrize(
    ("changes", "advised"),
    [
        (["optimizer.lr=0.3"], {"optimizer.lr": 0.001}),
        (["optimizer={generator: {use: adam, lr: 0.3}, critic: {use: rmsprop, lr: 1.0e-4}}"],
         {"optimizer.generator.lr": 0.001}),
        (["optimizer.critic.lr=1.2"], {"optimizer.critic.lr": 0.001}),
        (["optimizer={generator: {use: sgd, lr: 20}, critic: {use: rmsprop, lr: 1}}"],
         {"optimizer.generator.lr": 0.01, "optimizer.critic.lr": 0.001}),
        (["optimizer={use: sgd, lr: 3}"], {"optimizer.lr": 0.01}),
    ],
)  # fmt: skip
def test_a_rate_that_is_far_too_high_is_changed_first_and_to_a_usual_one(recipe, changes, advised):
    before = recipe(*changes)
    for sign in HELPS.keys() - {"clip saturation"}:
        first = advise(sign, setup_of(before), "critic").partition(", or ")[0]
        assert first == f"a lower learning rate ({' '.join(f'{key}={rate:g}' for key, rate in advised.items())})"
        assert usual_rate(setup_of(recipe(*changes, *overrides(first))), "critic") == ""  # once is enough


@pytest.mark.parametrize("rate", [1e-12, 1e-9, 1e-6, 2e-6, 1e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.3, 1.0, 1e19])
def test_no_rate_is_advised_that_is_absurd(recipe, rate):
    """Nor a lower one than one that is far too low, nor a higher one than one that is high."""
    before = recipe(f"optimizer.lr={rate:e}")
    advised = [each for sign in HELPS for where in places(before) for each in changes_of_rates(before, sign, where).values()]
    assert all(1e-6 <= each <= 2e-3 for each in advised)
    assert rate > 1e-6 or min(advised) >= rate
    assert rate < 2e-3 or max(advised) < rate
