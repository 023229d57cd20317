"""What is drawn, and what is reported of several rounds."""

import pytest
import torch

from ganflow.engine.trainer import Diverged
from ganflow.recipe import read_recipe
from ganflow.runs.run import Parts

RECIPE = """
name: points
data: {use: gaussians, layout: ring, samples: 100, held_out: 10}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 8}
critic: {use: mlp, width: 8}
loss: non_saturating
optimizer: {use: adam, lr: 0.01}
train: {rounds: 9, n_critic: 2, batch_size: 8, compile: never, precision: fp64}
track: {mlflow: false}
"""


@pytest.fixture
def trainer(tmp_path):
    def make(*changes):
        (tmp_path / "points.yaml").write_text(RECIPE)
        return Parts(read_recipe(tmp_path / "points.yaml", list(changes))).trainer

    return make


def test_what_was_peeked_at_is_drawn_next(trainer):
    made = trainer()
    made.draw()
    seen = made.peek(2)
    drawn = [made.draw(), made.draw()]
    assert not torch.equal(drawn[0]["z"], drawn[1]["z"])
    for first, second in zip(seen, drawn, strict=True):
        assert first.keys() == second.keys() == {"real", "z"}
        assert all(torch.equal(t, second[name]) for name, t in first.items())


def test_a_report_has_the_means_over_its_rounds(trainer):
    """Of each term over the rounds in which it took part; the players' sums are means, too, and what follows from the means."""
    changes = ["modifiers=[{use: r1, weight: 0.5}]"]
    one_by_one, at_once = trainer(*changes), trainer(*changes)
    for made in (one_by_one, at_once):
        made.game.terms[0].begin = 1
    each = [one_by_one.advance(n).terms for n in (1, 2, 3)]
    report = at_once.advance(3)
    names = {"critic/non_saturating", "critic/r1", "generator/non_saturating", "critic_loss", "generator_loss"}
    assert report.round == 3
    assert report.terms.keys() == names
    assert "critic/r1" not in each[0]
    for name in names:
        values = [terms[name] for terms in each if name in terms]
        assert report.terms[name] == pytest.approx(sum(values) / len(values), rel=1e-5)
    assert len({terms["critic_loss"] for terms in each}) == 3
    for terms in each[1:]:
        assert terms["critic_loss"] == pytest.approx(terms["critic/non_saturating"] + terms["critic/r1"], rel=1e-5)
    assert report.estimates == at_once.game.estimates(report.terms)


@pytest.mark.parametrize("accumulate", [2, 4])
def test_terms_of_micro_batches_are_reported_as_the_whole_batchs(trainer, accumulate):
    whole, cut = trainer(), trainer(f"train.accumulate={accumulate}")
    reports = [made.advance(1).terms for made in (whole, cut)]
    assert reports[0].keys() == reports[1].keys()
    assert reports[1] == pytest.approx(reports[0], rel=1e-5)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_term_that_is_not_finite_is_named_with_its_round(trainer, value):
    class Breaks:
        """The round, whose last term breaks in the fourth."""

        def __getattr__(self, name):
            return getattr(play, name)

        def __call__(self, draws):
            values = play(draws)
            return [*values[:-1], torch.full_like(values[-1], value)] if made.round == 3 else values

    made = trainer()
    made.advance(2)
    play, made.play = made.play, Breaks()
    with pytest.raises(Diverged, match=rf"^generator/non_saturating became {value} in round 4$"):
        made.advance(6)


def test_logged_numbers_are_reported_and_in_no_sum(trainer):
    made = trainer()
    loss = made.game.loss
    plain = loss.critic_terms

    def logging(step):
        step.log("margin", step.scores()[0].mean() + 100)
        return plain(step)

    loss.critic_terms = logging
    terms = made.advance(2).terms
    assert terms["critic/margin"] > 50
    assert terms["critic_loss"] == pytest.approx(terms["critic/non_saturating"])
    assert not any(t.requires_grad for t in made.play(made.draw()))
