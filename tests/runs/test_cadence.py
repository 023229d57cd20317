"""When a run stops to do something."""

import pytest

from ganflow.recipe import Train
from ganflow.runs.loop import Cadence


def stops(cadence, round=0):
    found = []
    while round < cadence.rounds:
        round = cadence.next_stop(round)
        found.append(round)
    return found


def test_stops_are_all_multiples_and_the_end():
    cadence = Cadence(rounds=25, report=10, sample=7, evaluate=12, checkpoint=6, first=10)
    assert stops(cadence) == [6, 7, 10, 12, 14, 18, 20, 21, 24, 25]
    assert stops(cadence, 11) == [12, 14, 18, 20, 21, 24, 25]  # a resumed run stops where the other would have
    assert [r for r in stops(cadence) if cadence.due(cadence.checkpoint, r)] == [6, 12, 18, 24, 25]


@pytest.mark.parametrize("rounds", [1, 2, 7, 100, 1000, 1_000_000])
def test_what_a_recipe_leaves_open_is_chosen(rounds):
    cadence = Cadence.of(Train(rounds=rounds))
    assert cadence.rounds == rounds
    assert 1 <= cadence.report <= 100
    for every in (cadence.sample, cadence.evaluate, cadence.checkpoint):
        assert 1 <= every <= rounds
        assert rounds // every <= 39


def test_what_a_recipe_says_is_kept():
    train = Train(rounds=50, report_every=3, sample_every=4, evaluate_every=5, checkpoint_every=60)
    assert Cadence.of(train) == Cadence(rounds=50, report=3, sample=4, evaluate=5, checkpoint=60, first=3)


def test_the_first_rounds_of_a_long_run_are_reported_more_often():
    """What goes wrong in the beginning is seen then: health is checked at reports alone."""
    assert [r for r in stops(Cadence.of(Train(rounds=20_000))) if r <= 300] == [20, 40, 60, 80, 100, 200, 300]
    assert [r for r in stops(Cadence.of(Train(rounds=20_000, report_every=50))) if r <= 200] == [50, 100, 150, 200]


@pytest.mark.parametrize(("rounds", "every"), [(10, 20), (20, 20), (300, 20), (400, 20), (2000, 100)])
def test_a_trial_is_not_kept_more_often_than_every_twenty_rounds(rounds: int, every: int) -> None:
    assert Cadence.of(Train(rounds=rounds), trial=True).checkpoint == every
    assert Cadence.of(Train(rounds=rounds, checkpoint_every=3), trial=True).checkpoint == 3
