"""A run's reports: means over the rounds since the last one, of terms whose values are known."""

import math

import pytest
from runner_helpers import numbers, only_run

COUNTING = '''
from ganflow import AddedTerms, hookimpl, key, settings

GANFLOW_CONTRACT = 2


class Rounds(AddedTerms):
    def __init__(self, every):
        self.every = every

    def critic_terms(self, step):
        return {f"round_{self.every}": step.round.float() / self.every}  # the engine makes it so many times as heavy

    def generator_terms(self, step):
        return {f"square_{self.every}": step.round.float().square() / self.every}


@settings
class Counting:
    """Terms that are the round's number, and its square."""

    every: int = key(1)

    @hookimpl
    def terms(self):
        return Rounds(self.every)


@hookimpl
def register(offer):
    offer("modifier", "counting", Counting)
'''
RARELY = ("train.checkpoint_every=100", "train.evaluate_every=100")  # only reports stop the play


@pytest.fixture
def counted(work, ganflow, plugin):
    """counted(*changes): (round, values) of every report."""
    plugin("counting", COUNTING)

    def run(*changes):
        code, _, err = ganflow("run", "tiny.yaml", "+modifiers={use: counting}", "~metrics", *RARELY, "-q", *changes)
        assert code == 0, err
        return numbers(only_run(work / "runs"))

    return run


def test_terms_are_means_over_the_rounds_since_the_last_report(counted):
    lines = counted("train.rounds=7", "train.report_every=3", "train.n_critic=2")
    assert [round for round, _ in lines] == [3, 6, 7]
    assert [values["critic/round_1"] for _, values in lines] == [1, 4, 6]
    assert [values["generator/square_1"] for _, values in lines] == pytest.approx([5 / 3, 50 / 3, 36])


def test_a_term_that_takes_part_in_some_rounds_is_a_mean_over_those(counted):
    lines = counted("+modifiers={use: counting, every: 2}", "train.rounds=6", "train.report_every=4")
    lines = [values for _, values in lines]
    assert [values["critic/round_2"] for values in lines] == [(0 + 2) / 2, 4]
    assert [values["generator/square_2"] for values in lines] == [(0 + 4) / 2, 16]


def test_what_a_player_descends_is_the_mean_of_its_sums(counted):
    for _, values in counted("train.rounds=4", "train.report_every=2"):
        for player in ("critic", "generator"):
            terms = [value for name, value in values.items() if name.startswith(f"{player}/")]
            assert len(terms) >= 2
            assert values[f"{player}_loss"] == pytest.approx(math.fsum(terms), rel=1e-5)


def test_estimates_follow_from_the_means(counted):
    for _, values in counted("train.rounds=4", "train.report_every=2"):
        assert values["w_estimate"] == pytest.approx(-values["critic/wasserstein"])
