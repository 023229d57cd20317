"""Comparing runs by protocol."""

from __future__ import annotations

import pytest

from ganflow.evaluation.compare import Measured, ProtocolsDiffer, aligned, spread_of, stem
from ganflow.evaluation.scores import Score


def measured(name: str, value: float = 1.0, time: float = 0.0, error: float | None = None, **protocol: object) -> Measured:
    return Measured(Score(name, value, error), protocol, 10, time)


def values(rows):
    return {name: [m and m.score.value for m in row] for name, row in rows.items()}


@pytest.mark.parametrize(
    ("name", "kind"),
    [("frechet_2048", "frechet"), ("frechet_64_2", "frechet"), ("w1", "w1"), ("asked_100_3", "asked"), ("r2d2_5_x", "r2d2_x")],
)
def test_the_stem_of_a_name(name, kind):
    assert stem(name) == kind


def test_scores_of_one_protocol_stand_side_by_side():
    a = [measured("f_8", 1.0, samples=8), measured("only", 5.0)]
    b = [measured("f_8", 2.0, samples=8)]
    assert values(aligned([a, b])) == {"f_8": [1.0, 2.0], "only": [5.0, None]}


def test_other_counts_are_refused_with_the_difference():
    a, b = [measured("f_2048", samples=2048)], [measured("f_500", samples=500)]
    with pytest.raises(ProtocolsDiffer, match="f_2048: samples 2048 against 500") as error:
        aligned([a, b])
    assert (error.value.first, error.value.second) == (0, 1)


def test_another_extractor_behind_the_same_name_is_refused():
    a, b = [measured("f_8", digest="ab")], [measured("f_8", digest="cd")]
    with pytest.raises(ProtocolsDiffer, match="f_8: digest ab against cd"):
        aligned([a, b])


def test_names_that_differ_without_a_noted_difference():
    with pytest.raises(ProtocolsDiffer, match=r"^f_8 against f_9$"):
        aligned([[measured("f_8")], [measured("f_9")]])


def test_the_two_that_agree_in_nothing_are_named():
    runs = [[measured("f_8", samples=8), measured("f_9", samples=9)], [measured("f_8", samples=8)], [measured("f_9", samples=9)]]
    with pytest.raises(ProtocolsDiffer, match="samples 8 against 9") as error:
        aligned(runs)
    assert (error.value.first, error.value.second) == (1, 2)


def test_an_evaluation_by_a_shared_protocol_is_enough():
    a = [measured("f_8", 1.0, samples=8)]
    b = [measured("f_9", 2.0, samples=9), measured("f_8", 3.0, time=1.0, samples=8)]
    assert values(aligned([a, b])) == {"f_8": [1.0, 3.0], "f_9": [None, 2.0]}


def test_of_several_shared_protocols_it_is_the_last():
    a = [measured("f", 1.0, 1.0, seeds=1), measured("f", 2.0, 5.0, seeds=3), measured("f", 4.0, 6.0, seeds=3)]
    b = [measured("f", 10.0, 2.0, seeds=1), measured("f", 20.0, 7.0, seeds=3)]
    assert values(aligned([a, b])) == {"f": [4.0, 20.0]}
    assert values(aligned([a, b[:1]])) == {"f": [1.0, 10.0]}


def test_a_protocol_is_as_late_as_its_oldest_score():
    """The second run scored itself again, long after both were evaluated alike by another protocol."""
    a = [measured("f", 1.0, 1.0, seeds=1), measured("f", 2.0, 5.0, seeds=3)]
    b = [measured("f", 10.0, 9.0, seeds=1), measured("f", 20.0, 6.0, seeds=3)]
    assert values(aligned([a, b])) == {"f": [2.0, 20.0]}


def test_of_several_checkpoints_it_is_the_last_rounds():
    """One run's best was evaluated after its last checkpoint."""
    last, best = Measured(Score("a", 2.0), {}, 100, 1.0), Measured(Score("a", 1.0), {}, 60, 2.0)
    other = Measured(Score("a", 1.5), {}, 100, 1.0)
    assert aligned([[last, best], [other]]) == {"a": [last, other]}


@pytest.mark.parametrize(
    ("scores", "text"),
    [
        ([(1.0, 0.3), (1.5, 0.4)], "0.5 ± 0.5: within noise"),  # √(0.3² + 0.4²), and 0.5 ≤ 2 · 0.5
        ([(1.0, 0.3), (2.1, 0.4)], "1.1 ± 0.5"),
        ([(1.0, 0.3), (1.2, 0.1), (2.1, 0.4)], "1.1 ± 0.5"),
        ([(1.0, None), (1.5, 0.4)], "0.5: noise not known"),
        ([(1.0, 0.1), (float("nan"), 0.4)], "not finite"),
    ],
)
def test_differences_are_shown_with_their_noise(scores, text):
    assert spread_of([Score("s", *score) for score in scores]) == text
