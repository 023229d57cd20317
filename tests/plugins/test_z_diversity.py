"""Diversity over z at a fixed condition, in closed form."""

import math

import ganflow_metrics
import numpy as np
import pytest
import torch
from ganflow_metrics.diversity import data_spread
from ganflow_text.birds.measure import accuracy

from ganflow.contract.data import TensorData
from ganflow.contract.signature import Signature
from ganflow.errors import GanflowError
from ganflow.plugins import load_catalogue


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def made(role, name, **values):
    return load_catalogue().find(role, name).settings(**values)


class Game:
    """Generator that makes 3 · label + spread · z, or of captions, text + spread · z."""

    domains, maker = ("real",), "sample"

    def __init__(self, spread, condition="label"):
        self.spread = spread
        self.signatures = {"sample": Signature({"z": "z", "asked": condition} if condition else {"z": "z"}, "real")}
        self.condition, self.asked = condition, []

    def latents(self, n, seed):
        return normal(n, 8, seed=seed)

    def conditions(self, n, seed):
        if not self.condition:
            return {}
        return {"asked": torch.arange(n) % 4 if self.condition == "label" else normal(n, 8, seed=seed)}

    def call(self, name, z, asked=None):
        assert name == "sample"
        self.asked.append(asked)
        return self.spread * z + (0 if asked is None else 3 * asked[:, None] if asked.dim() == 1 else asked)


@pytest.fixture(scope="module")
def labelled():
    labels = torch.arange(4000) % 4
    examples = 3 * labels[:, None] + 0.5 * normal(4000, 8, seed=1)
    return TensorData("labelled", {"real": examples, "label": labels}, classes={"label": "abcd"})


@pytest.mark.parametrize("spread", [0.5, 0.1, 0.0])
def test_the_spread_at_a_label_over_the_datas(labelled, spread):
    game = Game(spread)
    scores = ganflow_metrics.ZDiversity().metric(labelled).evaluate(game)
    names = ["z_diversity_512", "z_diversity_512_error", "z_spread_512", "z_spread_512_error", "z_spread_512_floor",
             "z_spread_512_floor_error"]  # fmt: skip
    assert list(scores) == names
    assert scores["z_spread_512_floor"] == pytest.approx(0.5, rel=0.02)  # within a class; over all of them it is 3.4
    # 4,000 · 8 squares of N(0, ¼): the deviation ½ is known to ½ / √(2 · 32,000)
    assert scores["z_spread_512_floor_error"] == pytest.approx(0.5 / math.sqrt(64_000), rel=0.1)
    # 3 · 32 · 15 · 8 independent squares: the variance is right to √(2 / 11520)
    assert scores["z_spread_512"] == pytest.approx(spread, rel=0.03, abs=1e-6)
    assert scores["z_diversity_512"] == pytest.approx(spread / scores["z_spread_512_floor"], rel=0.03, abs=1e-6)
    assert [len(asked) for asked in game.asked] == [512] * 3
    assert torch.equal(game.asked[0][:17], torch.tensor([0] * 16 + [1]))  # 16 of one condition


def test_conditions_that_two_examples_share_give_the_datas_spread():
    captions = normal(300, 8, seed=2).repeat_interleave(3, 0)
    data = TensorData("captioned", {"real": captions + 0.2 * normal(900, 8, seed=3), "text": captions})
    scores = ganflow_metrics.ZDiversity(repeats=1).metric(data).evaluate(Game(0.1, "text"))
    assert scores["z_diversity_512"] == pytest.approx(0.5, rel=0.05)
    alone = normal(900, 8, seed=2)
    examples = alone + 0.2 * normal(900, 8, seed=3)
    unshared = TensorData("captioned", {"real": examples, "text": alone})
    assert data_spread(unshared, "real", "text")[0] == pytest.approx(math.sqrt(1 + 0.04), rel=0.05)  # of all examples
    some = TensorData("some", {"real": examples, "text": torch.cat([alone[:898], alone[:1], alone[:1]])})
    shared = examples[[0, 898, 899]].double().var(0).mean().sqrt()  # the rest are each alone
    assert data_spread(some, "real", "text")[0] == pytest.approx(float(shared))


def test_birds_are_drawn_again_in_their_colours():
    data = made("data", "birds", size=32, train=16, held_out=12, encoder=made("encoder", "bag_of_words")).data()
    again = data.redrawn(12, 4)
    assert again.shape == (12, 4, 3, 32, 32)
    colours = data.held_out_colours.repeat_interleave(4, 0)
    named = [range(5)] * 48
    assert float(accuracy(again.flatten(0, 1), colours, named).mean()) > 0.95
    assert (again[:, 0] - again[:, 1]).abs().mean() > 0.01  # in other poses
    (found, error), (everything, _) = data_spread(data, "real", "text"), data_spread(data, "real")
    assert 0.1 < found < 0.7 * everything
    drawn = data.redrawn(32, 16).double().numpy().var(1, ddof=1).reshape(32, -1).mean(1)
    bootstrap = [np.sqrt(np.random.default_rng(i).choice(drawn, 32).mean()) for i in range(300)]
    assert error == pytest.approx(np.std(bootstrap), rel=0.2)


def test_without_a_condition_it_is_the_spread_of_everything(labelled):
    scores = ganflow_metrics.ZDiversity(repeats=1).metric(labelled).evaluate(Game(0.3, None))
    assert scores["z_spread_512_floor"] == pytest.approx(math.sqrt(0.25 + 9 * 1.25), rel=0.02)
    assert scores["z_spread_512"] == pytest.approx(0.3, rel=0.05)


def test_what_cannot_be_measured_is_one_sentence(labelled):
    game = Game(0.1)
    game.signatures = {"sample": Signature({"asked": "label"}, "real")}
    with pytest.raises(GanflowError, match="the generator takes no z"):
        ganflow_metrics.ZDiversity().metric(labelled).evaluate(game)
    few = TensorData("few", {"real": normal(4, 8), "label": torch.zeros(4).long()}, classes={"label": "a"})
    with pytest.raises(GanflowError, match=r"data few has 4; raise data\.held_out of a new run: it wants 10 at least"):
        ganflow_metrics.ZDiversity().metric(few).evaluate(Game(0.1))
    alike = TensorData("alike", {"real": torch.ones(40, 8)})
    with pytest.raises(GanflowError, match="the examples of data alike do not differ at a fixed condition"):
        ganflow_metrics.ZDiversity().metric(alike).evaluate(Game(0.1, None))


def test_what_is_not_finite_is_not_the_best_score(labelled):
    scores = ganflow_metrics.ZDiversity().metric(labelled).evaluate(Game(math.nan))
    assert math.isnan(scores["z_diversity_512"])
    assert scores["z_spread_512_floor"] > 0
