"""Scores with their errors and floors."""

from __future__ import annotations

import pytest

from ganflow.contract.game import Metric, Scores
from ganflow.evaluation.scores import Score, grouped, protocol_difference


class Given(Metric):
    def __init__(self, **scores: float) -> None:
        self.scores, self.names = scores, tuple(scores)

    def evaluate(self, game):
        return self.scores


def test_a_score_is_shown_with_its_error_and_its_floor():
    values = {"frechet_64": 1.23456, "frechet_64_error": 0.0412, "frechet_64_floor": 1.0, "modes_64": 8.0, "type_error": 3.0}
    assert [str(score) for score in grouped(values)] == ["frechet_64 1.235 ± 0.041 (floor 1)", "modes_64 8", "type_error 3"]


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


def test_an_error_goes_with_its_score_when_two_metrics_call_theirs_alike():
    scores = Scores([Given(swd=1.0, swd_error=0.1), Given(swd=2.0, swd_error=0.2, swd_floor=1.5)])
    assert scores.names(lambda: None) == [["swd", "swd_error"], ["swd_2", "swd_2_error", "swd_2_floor"]]
    assert [str(s) for each in scores.evaluate(None) for s in grouped(each)] == ["swd 1 ± 0.1", "swd_2 2 ± 0.2 (floor 1.5)"]
