"""Scores of translations: against their formulas."""

import math

import pytest
import torch
from ganflow_translation.measures import PairsMetric, compare, sharpness
from ganflow_translation.nets.domains import translations
from ganflow_translation.ways import UNPAIRED

from ganflow.contract.data import TensorData
from ganflow.contract.loss import Loss
from ganflow.engine.game import Game
from ganflow.errors import GanflowError


class Scaled(torch.nn.Module):
    """To b by a factor, and back by another."""

    def __init__(self, there, back):
        super().__init__()
        self.signatures, self.factors = translations(UNPAIRED, 1, 1), {"b": there, "a": back}
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, x, to):
        return x * self.factors[to]


class Nothing(Loss):
    def generator_terms(self, step):
        return {}


def data(**more):
    torch.manual_seed(0)
    a = torch.rand(6, 3, 16, 16) * 2 - 1
    return TensorData("two", {"a": a, "b": a / 2}, {"a": a, "b": a / 2}, **more)


def test_psnr_and_sharpness_by_hand():
    true = torch.rand(4, 3, 16, 16) * 2 - 1
    scores = compare(true + 0.2, true)  # 0.1 of values in [0, 1]
    assert scores["psnr"] == pytest.approx(20.0, abs=1e-4)  # -10 log10 0.01
    assert scores["sharpness"] == pytest.approx(1.0, abs=1e-5)
    assert compare(true * 0.5, true)["sharpness"] == pytest.approx(0.25, abs=1e-5)
    assert compare(true, true)["ssim"] == pytest.approx(1.0)
    each = torch.cat((true[:1] + 0.2, true[1:2] + 0.02))  # the mean of the images' own
    assert compare(each, true[:2])["psnr"] == pytest.approx(30.0, abs=1e-3)
    stripes = torch.tensor([0.0, 1.0]).repeat(1, 1, 4, 4)
    assert sharpness(stripes) == pytest.approx(1.0)  # all of it across, none along


def test_both_ways_and_cycles():
    two = data()
    metric = PairsMetric(two, 100)
    scores = metric.evaluate(Game(two, None, Scaled(0.5, 2.2), None, Nothing()))
    assert list(scores) == list(metric.names)
    assert list(scores) == ["psnr_b", "ssim_b", "sharpness_b", "psnr_a", "ssim_a", "sharpness_a", "cycle_l1_a", "cycle_l1_b"]
    a = two.held_out["a"]
    squares = ((a * 1.1 - a) / 2).square().mean((1, 2, 3))
    assert scores["psnr_a"] == pytest.approx((-10 * squares.log10()).mean().item(), rel=1e-4)
    assert scores["cycle_l1_a"] == pytest.approx((a * 0.1).abs().mean().item() / 2, rel=1e-4)
    assert math.isclose(scores["ssim_b"], 1.0, abs_tol=1e-6)
    assert metric.goal == "max"


def test_what_is_not_known_to_belong_together_is_not_compared():
    two = data()
    two.aligned = False
    metric = PairsMetric(two, 100)
    assert list(metric.evaluate(Game(two, None, Scaled(0.5, 2), None, Nothing()))) == ["cycle_l1_a", "cycle_l1_b"]
    assert (metric.goal, metric.names) == ("min", ["cycle_l1_a", "cycle_l1_b"])


def test_data_without_anything_to_measure_is_refused():
    with pytest.raises(GanflowError, match="data 'digits' has only real"):
        PairsMetric(TensorData("digits", {"real": torch.zeros(2, 1, 8, 8)}), 10)
    with pytest.raises(GanflowError, match=r"keeps none: raise data\.held_out of a new run"):
        PairsMetric(TensorData("two", {"a": torch.zeros(2, 1, 8, 8), "b": torch.zeros(2, 1, 8, 8)}), 10)
