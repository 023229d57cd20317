"""Scores with their errors and floors."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from ganflow.contract.game import Metric, Scores
from ganflow.errors import GanflowError
from ganflow.evaluation.scores import Rule, Score, described_best, grouped, protocol_difference, rule
from ganflow.plugins import Chosen


class Given(Metric):
    def __init__(self, **scores: float) -> None:
        self.scores, self.names = scores, tuple(scores)

    def evaluate(self, game):
        return self.scores


def test_a_score_is_shown_with_its_error_and_its_floor():
    values = {"frechet_64": 1.23456, "frechet_64_error": 0.0412, "frechet_64_floor": 1.0, "modes_64": 8.0, "type_error": 3.0}
    assert [str(score) for score in grouped(values)] == ["frechet_64 1.235 ± 0.041 (floor 1)", "modes_64 8", "type_error 3"]
    values["frechet_64_floor_error"] = 0.0123
    assert str(grouped(values)[0]) == "frechet_64 1.235 ± 0.041 (floor 1 ± 0.012)"


@pytest.mark.parametrize(
    ("a", "b", "alike"),
    [((1.0, 0.1), (1.28, 0.1), True), ((1.0, 0.1), (1.29, 0.1), False), ((1.0, None), (1.0, 0.1), False)],
)
def test_within_noise_is_two_errors_of_the_difference(a, b, alike):
    assert Score("x", *a).within_noise_of(Score("x", *b)) is alike


def test_the_first_difference_of_two_protocols_is_named():
    assert protocol_difference({"samples": 1, "split": "a"}, {"split": "a", "samples": 1}) is None
    assert protocol_difference({"samples": 2048}, {"samples": 500, "split": "b"}) == "samples 2048 against 500"
    assert protocol_difference({}, {"split": "b"}) == "split not noted against b"
    assert protocol_difference({"n": 1, "floor": "a pair", "floor_digest": "1"}, {"n": 1, "floor": "16 pairs"}) is None
    assert protocol_difference({"real": "6 × 8", "samples": 8}, {"real": "3 × 9", "samples": 9}) == "samples 8 against 9"


def test_an_error_goes_with_its_score_when_two_metrics_call_theirs_alike():
    second = Given(swd=2.0, swd_error=0.2, swd_floor=1.5, swd_floor_error=0.1)
    scores = Scores([Given(swd=1.0, swd_error=0.1), second])
    assert scores.names(lambda: None) == [["swd", "swd_error"], ["swd_2", "swd_2_error", "swd_2_floor", "swd_2_floor_error"]]
    found = scores.evaluate(lambda metric: metric.evaluate(None))
    assert [str(s) for each in found for s in grouped(each)] == ["swd 1 ± 0.1", "swd_2 2 ± 0.2 (floor 1.5 ± 0.1)"]


class Goes(Given):
    goal = "max"


COMPONENTS = [Chosen(SimpleNamespace(name=name, qualified=f"p/{name}"), None) for name in ("one", "two")]
FOUND = [{"a_8": 3.0, "a_8_error": 0.5, "b": 1.0}, {"c": 2.0}]


@pytest.mark.parametrize(
    ("asked", "mode", "name", "goal"),
    [
        (None, None, "a_8", "min"),
        (None, "max", "a_8", "max"),
        ("two", None, "c", "max"),
        ("p/two", None, "c", "max"),
        ("c", None, "c", "max"),
        ("b", "max", "b", "max"),
    ],
)
def test_the_score_that_decides_what_is_best(asked, mode, name, goal):
    found = rule(asked, mode, COMPONENTS, [Given(), Goes()], FOUND)
    assert (found.score.name, found.goal) == (name, goal)


@pytest.mark.parametrize(
    ("asked", "found", "text"),
    [
        ("a_9", FOUND, "train.best: there is no score 'a_9' (scores: a_8, b, c)"),
        ("b", FOUND, "train.best: nothing says whether a smaller 'b' is better; set train.best_mode to min or max"),
    ],
)
def test_a_score_that_cannot_decide_is_refused(asked, found, text):
    with pytest.raises(GanflowError, match=f"^{re.escape(text)}$"):
        rule(asked, None, COMPONENTS, [Given(), Goes()], found)


def test_without_metrics_nothing_can_be_best():
    assert rule(None, None, [], [], []) is None
    with pytest.raises(GanflowError, match="the recipe has no metrics"):
        rule("a", None, [], [], [])


def test_a_score_improves_towards_its_goal():
    low, high, bad = (Score("s", value) for value in (1.0, 2.0, float("nan")))
    assert Rule(low, "min").improves(2.0)
    assert not Rule(low, "max").improves(2.0)
    assert not Rule(high, "min").improves(2.0)
    assert Rule(high, "max").improves(None)
    assert not Rule(bad, "max").improves(None)


@pytest.mark.parametrize(
    ("last", "text"),
    [
        (Score("f", 1.25, 0.05), "f 1.21 ± 0.04 in round 1800 (within noise of the last, 1.25 ± 0.05)"),
        (Score("f", 1.5, 0.05), "f 1.21 ± 0.04 in round 1800"),
        (None, "f 1.21 ± 0.04 in round 1800"),
    ],
)
def test_a_best_within_noise_of_the_last_is_shown_as_such(last, text):
    assert described_best(Score("f", 1.21, 0.04), 1800, last) == text
