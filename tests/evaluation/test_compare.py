"""Comparing runs by protocol."""

from __future__ import annotations

import math

import pytest

from ganflow.evaluation.compare import Difference, Measured, aligned, difference, shared, stem
from ganflow.evaluation.scores import Score


def measured(name: str, value: float = 1.0, time: float = 0.0, error: float | None = None, **protocol: object) -> Measured:
    return Measured(Score(name, value, error), protocol, 10, time)


def values(found):
    return {name: [m and m.score.value for m in row] for name, row in found.rows.items()}


def apart(found):
    return [(pair.first, pair.second, str(pair)) for pair in found.apart]


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


def test_all_differences_of_other_protocols_are_named():
    a, b = [measured("f_2048", samples=2048, seed=0, split="x")], [measured("f_500", samples=500, seed=1, split="x")]
    found = aligned([a, b])
    assert (values(found), apart(found)) == ({}, [(0, 1, "f_2048: samples 2048 against 500, seed 0 against 1")])


def test_a_number_of_seeds_that_is_not_noted_is_one():
    found = aligned([[measured("f_8", samples=8, seeds=2)], [measured("f_8", samples=8)]])
    assert apart(found) == [(0, 1, "f_8: seeds 2 against 1")]


def test_runs_share_every_protocol_that_all_of_them_have():
    """As their floors are found does not matter; of one protocol it is the last score."""
    a = [measured("f_8", 1.0, time=1, seed=0), measured("f_8", 2.0, time=2, seed=0, floor="x"), measured("f_8", 3.0, seed=1),
         measured("only", 9.0)]  # fmt: skip
    b = [measured("f_8", 4.0, seed=1), measured("f_8", 5.0, seed=0), measured("f_8", 6.0, seed=2)]
    assert [[m.score.value for m in row] for row in shared([a, b])] == [[2.0, 5.0], [3.0, 4.0]]


def test_another_extractor_behind_the_same_name():
    found = aligned([[measured("f_8", digest="ab")], [measured("f_8", digest="cd")]])
    assert apart(found) == [(0, 1, "f_8: digest ab against cd")]


def test_names_that_differ_without_a_noted_difference():
    assert apart(aligned([[measured("f_8")], [measured("f_9")]])) == [(0, 1, "f_8 against f_9")]


def test_a_protocol_that_is_not_recorded():
    found = aligned([[measured("f_8")], [measured("f_8", samples=8, seed=0)]])
    assert apart(found) == [(0, 1, "f_8: its protocol is recorded in one of the runs alone")]


def test_one_score_by_other_protocols_does_not_hide_the_others():
    a = [measured("f_8", samples=8), measured("mmd", 1.0, samples=4), measured("only", 5.0)]
    b = [measured("f_9", samples=9), measured("mmd", 2.0, samples=4)]
    found = aligned([a, b])
    assert values(found) == {"mmd": [1.0, 2.0], "only": [5.0, None]}
    assert apart(found) == [(0, 1, "f_8: samples 8 against 9")]
    assert found.compared == {0, 1}


def test_of_three_runs_those_that_share_a_protocol_are_compared():
    found = aligned([[measured("f", 1.0, samples=8)], [measured("f", 2.0, samples=9)], [measured("f", 3.0, samples=8)]])
    assert values(found) == {"f": [1.0, None, 3.0]}
    assert apart(found) == [(0, 1, "f: samples 8 against 9")]
    assert found.compared == {0, 2}
    every = aligned([[measured("f", samples=n)] for n in (8, 9, 10)])
    assert (values(every), [pair[:2] for pair in apart(every)], every.compared) == ({}, [(0, 1), (0, 2)], set())


def test_the_two_that_agree_in_nothing_are_named():
    runs = [[measured("f_8", samples=8), measured("f_9", samples=9)], [measured("f_8", samples=8)], [measured("f_9", samples=9)]]
    found = aligned(runs)
    assert values(found) == {"f_8": [1.0, 1.0, None], "f_9": [1.0, None, 1.0]}
    assert apart(found) == [(1, 2, "f_8: samples 8 against 9")]


def test_of_several_protocols_the_two_that_differ_least_are_named():
    a = [measured("f", samples=8, seed=0)]
    b = [measured("f", samples=9, seed=5), measured("f", samples=8, seed=3), measured("g_7", samples=8, seed=0)]
    assert apart(aligned([a, b]))[0][2] == "f: seed 0 against 3"


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
    assert aligned([[last, best], [other]]).rows == {"a": [last, other]}


@pytest.mark.parametrize(
    ("scores", "text"),
    [
        ([(1.0, 0.3), (1.5, 0.4)], "+0.5 ± 0.5, within noise"),  # √(0.3² + 0.4²), and 0.5 ≤ 2 · 0.5
        ([(2.1, 0.3), (1.0, 0.4)], "-1.1 ± 0.5 of measurement, noise of training not known"),
        ([(1.0, 0.0), (1.0, 0.0)], "+0 ± 0, within noise"),
        ([(1.0, None), (1.5, 0.4)], "+0.5, noise not known"),
        ([(1.0, math.nan), (1.5, 0.4)], "+0.5, noise not known"),
        ([(1.0, 0.1), (math.nan, 0.4)], "not finite"),
        ([(1.0, 0.3), (1.2, 0.1), (2.1, 0.4)], "highest c, lowest a: 1.1 ± 0.5 of measurement, noise of training not known"),
        ([(1.0, 0.3), None, (1.0, 0.4)], "highest c, lowest a: 0 ± 0.5, within noise"),
        ([(1.0, 0.3), (math.inf, 0.1), (2.1, 0.4)], "not finite"),
    ],
)
def test_differences_are_shown_with_their_noise(scores, text):
    found = difference([score and Measured(Score("s", *score), {}, 1, 0.0) for score in scores])
    assert found.described("abc") == text


@pytest.mark.parametrize(("goal", "text"), [("min", "best b, worst c: 5 ± 0.5"), ("max", "best c, worst b: 5 ± 0.5")])
def test_the_goal_says_which_is_best(goal, text):
    row = [Measured(Score("s", value, error), {}, 1, 0.0, goal, 3) for value, error in ((3.0, 1.0), (1.0, 0.3), (6.0, 0.4))]
    assert difference(row).described("abc") == f"{text}, beyond noise"


@pytest.mark.parametrize(
    ("second", "trainings", "within"),
    [(1.5, (1, 1), True), (3.0, (1, 1), None), (3.0, (3, 1), None), (3.0, (1, 3), None), (3.0, (2, 3), False),
     (1.5, (2, 3), True)],
)
def test_a_difference_beyond_the_measurements_error_takes_several_trainings_of_both(second, trainings, within):
    """Errors 0.3 and 0.4: 0.5 together, so that 0.5 is within and 2 is beyond."""
    measured = zip((1.0, second), (0.3, 0.4), trainings, strict=True)
    found = difference([Measured(Score("s", value, error), {}, 1, 0.0, None, n) for value, error, n in measured])
    assert found.within_noise is within
    assert ("not known" in found.described("ab")) is (within is None)


def test_a_score_that_one_has_alone_differs_from_nothing():
    assert difference([None, measured("s")]) is None
    row = [measured("s", 1.0, error=0.1), measured("s", 3.0, error=0.2)]
    assert difference(row) == Difference(1, 0, 2.0, math.hypot(0.1, 0.2))
