"""ACGAN's terms (Odena et al. 2017, eq. 3): both players raise the log-likelihood of the right class."""

import math

import pytest
import torch
from torch import nn

from ganflow.engine.build import build_game
from ganflow.errors import GanflowError
from ganflow.recipe import read_recipe

SMALL = [
    "condition=label", "data={use: digits, size: 8, classes: [1, 7]}", "prior.dim=3", "generator={use: mlp, width: 4, depth: 1}",
    "critic={use: mlp, width: 4, depth: 1, classifier: label}", "metrics=[]", "train.precision=fp64", "train.device=cpu",
]  # fmt: skip
ACGAN = "modifiers=[{use: auxiliary_classifier, weight: 0.5}]"


def game_of(*changes):
    recipe = read_recipe("acgan_digits", [*SMALL, *changes])
    composition = recipe.composition()
    return build_game(recipe, composition, composition.build("data"), players=False)


def batch_of(game, n=6):
    batch = {name: t[:n] for name, t in game.data.held_out.items()}
    return {"real": batch["real"].double(), "label": batch["label"], "z": game.latents(n).double()}


def surprise(logits, labels):
    """−E log P(c), in nats, term by term."""
    rows = zip(logits.tolist(), labels.tolist(), strict=True)
    each = [-math.log(math.exp(row[c]) / sum(math.exp(v) for v in row)) for row, c in rows]
    return sum(each) / len(each)


@pytest.mark.parametrize("one_pass", [False, True])
def test_the_formula(one_pass):
    game = game_of(ACGAN, f"train.one_pass={str(one_pass).lower()}")
    batch = batch_of(game)
    fake = game.generator(batch["z"], label=batch["label"])
    of_real, of_fake = (surprise(game.critic(x)["classes"], batch["label"]) for x in (batch["real"], fake))
    terms = game.terms_of(game.step("critic", batch))
    assert terms["auxiliary_classifier"].item() == pytest.approx(0.5 * (of_real + of_fake), rel=1e-9)
    terms = game.terms_of(game.step("generator", batch))
    assert terms["auxiliary_classifier"].item() == pytest.approx(0.5 * of_fake, rel=1e-9)


def test_no_score_loss_reads_the_classes():
    game = game_of(ACGAN)
    batch = batch_of(game)
    step = game.step("critic", batch)
    before = float(game.terms_of(step)["non_saturating"].detach())
    with torch.no_grad():
        game.critic.classes.bias.add_(100.0)
    assert float(game.terms_of(game.step("critic", batch))["non_saturating"].detach()) == before
    scores = game.critic(batch["real"])["score"]
    assert torch.equal(step.score(batch["real"]), scores)


def test_the_share_of_right_answers_is_logged():
    game = game_of(ACGAN)
    batch = batch_of(game)
    step = game.step("critic", batch)
    game.terms_of(step)
    right = game.critic(batch["real"])["classes"].argmax(1) == batch["label"]
    assert float(step.logged["class_accuracy"]) == pytest.approx(float(right.double().mean()))


def test_real_examples_alone():
    game = game_of("modifiers=[{use: auxiliary_classifier, fakes: false}]")
    batch = batch_of(game)
    terms = game.terms_of(game.step("critic", batch))
    wanted = nn.functional.cross_entropy(game.critic(batch["real"])["classes"], batch["label"])
    torch.testing.assert_close(terms["auxiliary_classifier"], wanted)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        (["critic={use: mlp, width: 4, depth: 1}"], "set critic.classifier=label"),
        (["condition=[]"], "set condition=label"),
    ],
)
def test_what_it_needs(changes, what):
    with pytest.raises(GanflowError, match="auxiliary_classifier") as error:
        game_of(ACGAN, *changes)
    assert what in str(error.value)
