"""Scores over several sampling seeds, by metrics whose score is known for each seed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import sem

from ganflow import Metric, key, settings
from ganflow.errors import PluginError
from ganflow.evaluation.evaluate import Spread, evaluate, floor_over, over, spreads, with_seeds
from ganflow.evaluation.scores import Score, protocols
from ganflow.plugins import Chosen

GAME = SimpleNamespace(device=torch.device("cpu"))  # all that is asked of it


class Known(Metric):
    def __init__(self, score: dict[str, float], **protocol: object) -> None:
        self.score, self.protocol = score, protocol

    def evaluate(self, game):
        return self.score


@settings
class Drawn:
    samples: int = key(8)
    seed: int = key(3, ge=0)
    repeats: int = key(2, ge=1)


@settings
class Fixed:
    seed: bool = key(True)  # no number


@dataclass
class Holds:
    amount: int = 1
    seed: int = field(default=0, init=False)  # none of its keys


def chosen(settings):
    return Chosen(component=None, settings=settings)  # type: ignore[arg-type]


def test_seeds_are_so_far_apart_that_no_draw_is_used_twice():
    made = [c.settings for c in with_seeds(chosen(Drawn()), 3)]
    used = [s.seed + r for s in made for r in range(s.repeats)]
    assert used == [3, 4, 5, 6, 7, 8]
    assert {s.samples for s in made} == {8}


@pytest.mark.parametrize("settings", [Fixed(), Holds()])
def test_a_metric_without_a_seed_is_evaluated_once(settings):
    assert [c.settings for c in with_seeds(chosen(settings), 3)] == [settings]


def test_the_mean_and_its_standard_error():
    """0, 1, 4: mean 5/3, sample variance 13/3, standard error √13/3; the metric's own errors are of single seeds."""
    variants = [Known({"s_8": v, "s_8_error": 9.0, "s_8_floor": f}, samples=8, seed=i) for i, (v, f) in
                enumerate([(0.0, 1.0), (1.0, 2.0), (4.0, 6.0)])]  # fmt: skip
    (found,) = evaluate(GAME, [variants], [{"use": "a"}])
    assert found.score.name == "s_8"
    assert found.score.value == pytest.approx(5 / 3)
    assert found.score.error == pytest.approx(math.sqrt(13) / 3)
    assert found.score.error == pytest.approx(sem([0, 1, 4]))
    assert found.score.floor == pytest.approx(3.0)
    assert found.score.floor_error == pytest.approx(sem([1, 2, 6]))
    assert found.protocol == {"samples": 8, "seed": 0, "seeds": 3}


def floors_of(*floors: tuple[float, float | None]) -> tuple[float | None, float | None]:
    return floor_over([Score("s", 1.0, None, *floor) for floor in floors])


def test_floors_of_several_seeds():
    """The mean of independent means has the error √(Σ e²) / n; seeds that compared the same examples count once."""
    assert floors_of((1.0, 0.3), (2.0, 0.4)) == (1.5, pytest.approx(0.25))
    assert floors_of((1.0, 0.3), (2.0, 0.4), (1.0, 0.3)) == (1.5, pytest.approx(0.25))
    assert floors_of((1.0, 0.3), (1.0, 0.3)) == (1.0, pytest.approx(0.3))
    assert floors_of((1.0, None), (1.0, None)) == (1.0, None)
    assert floors_of((1.0, None), (4.0, None)) == (2.5, pytest.approx(sem([1, 4])))
    assert floor_over([Score("s", 1.0, None, 1.0, 0.1), Score("s", 1.0)]) == (None, None)


@pytest.mark.parametrize("seeds", [2, 5])
def test_the_error_of_seeds_of_several_draws_is_that_of_all_draws(seeds):
    """Each value is the mean of three draws, with its error over these."""
    draws = np.random.default_rng(0).normal(size=(seeds, 3)) + np.arange(seeds)[:, None]
    variants = [Known({"s": x.mean(), "s_error": sem(x)}, samples=8, repeats=3) for x in draws]
    (found,) = evaluate(GAME, [variants], [{}])
    assert found.score.value == pytest.approx(draws.mean())
    assert found.score.error == pytest.approx(np.std(draws, ddof=1) / math.sqrt(3 * seeds))


def test_equal_means_of_draws_that_differ_have_an_error():
    """1, 2, 3 and 3, 2, 1: Σ(x − 2)² = 4, of five degrees of freedom and six draws."""
    variants = [Known({"s": 2.0, "s_error": sem([1, 2, 3])}, repeats=3)] * 2
    (found,) = evaluate(GAME, [variants], [{}])
    assert found.score.error == pytest.approx(math.sqrt(4 / 5 / 6))


def test_without_the_errors_of_the_draws_it_is_that_of_the_means():
    scores = [Score("s", 1.0, 0.5), Score("s", 3.0)]
    assert over(scores, 3).error == pytest.approx(sem([1, 3]))
    assert over([Score("s", math.inf, math.nan), Score("s", 3.0, 1.0)], 3).error is None


def test_a_single_seed_has_the_metrics_own_error():
    (found,) = evaluate(GAME, [[Known({"s": 2.0, "s_error": 0.5, "s_floor": 1.0}, samples=8)]], [{"use": "a"}])
    assert found.score == Score("s", 2.0, 0.5, 1.0)
    assert found.protocol == {"samples": 8}


def test_names_are_unique_and_a_metric_without_protocol_has_its_section():
    found = evaluate(GAME, [[Known({"s": 1.0})], [Known({"s": 2.0, "t": 3.0})]], [{"use": "a", "n": 1}, {"use": "a", "n": 2}])
    assert [(e.score.name, e.score.value, e.protocol["n"], e.metric) for e in found] == [
        ("s", 1.0, 1, 0), ("s_2", 2.0, 2, 1), ("t", 3.0, 2, 1),
    ]  # fmt: skip


def test_what_is_not_finite_has_no_error():
    assert over([Score("s", 1.0), Score("s", math.inf)]) == Score("s", math.inf)


def test_a_protocol_is_plain_data():
    metric = Known({"s": 1.0}, counts=(1, 2))
    assert protocols([metric], [{}], [{"s": 1.0, "s_error": 0.1}]) == {"s": {"counts": [1, 2]}}
    metric.protocol = {"real": object()}
    with pytest.raises(PluginError, match=r"Known is not plain data"):
        protocols([metric], [{}], [{"s": 1.0}])


def test_spreads_over_trainings():
    runs = [{"a": 1.0, "a_error": 7.0, "b": 1.0}, {"a": 2.0, "b": math.nan}, {"a": 4.0}]
    a, b = spreads(runs)
    assert (a.name, a.n, b.name, b.n, b.deviation) == ("a", 3, "b", 1, None)
    assert (a.mean, a.deviation) == (pytest.approx(7 / 3), pytest.approx(np.std([1, 2, 4], ddof=1)))
    assert str(a) == "2.333 ± 1.5"
    assert str(Spread("a", 678.2, 281.3, 3)) == "678.2 ± 280"
