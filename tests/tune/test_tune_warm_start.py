"""Trials of an earlier sweep for the searcher of another: which are of use, and with which values."""

import pytest
from sweep_helpers import TINY, recipe

from ganflow.errors import GanflowError
from ganflow.files import write_text
from ganflow.recipe import read_recipe
from ganflow.runs import folders
from ganflow.tune.plan import begin, make_plan
from ganflow.tune.warm_start import earlier_trials

LR = "optimizer.lr"
EACH = ("optimizer.generator.lr", "optimizer.critic.lr")


@pytest.fixture
def warm(tmp_path, monkeypatch):
    """warm(space, config of the old sweep's trial, its further changes, those of the new sweep) → configs that are of use, and
    the sentence."""
    monkeypatch.chdir(tmp_path)

    def start(space, config, changes=(), new=(), **more):
        file = recipe(tmp_path, TINY)
        searched = "tune.space={" + ", ".join(f"{key}: {{loguniform: [1e-4, 1e-2]}}" for key in space) + "}"
        old = begin(make_plan(file, [searched, *changes]), tmp_path / "runs", "old")
        old.record(0, config=config, state="finished", score=1.0, **more)
        folders.make(old.trial(0)).update(status="finished")
        of_trial = [*changes, *(f"{key}={value}" for key, value in config.items())]
        write_text(old.trial(0).recipe, read_recipe(file, ["~tune", *of_trial]).to_yaml())
        plan = make_plan(file, ["tune.search=tpe", *new])
        found, said = earlier_trials(plan, old)
        return [trial.config for trial in found], said

    return start


def test_a_rate_of_both_players_is_known_where_both_had_the_same(warm):
    found, said = warm(EACH, dict.fromkeys(EACH, 0.002))
    assert found == [{LR: 0.002}]
    assert said == "the searcher knows 1 trial of old"


def test_a_rate_that_was_fixed_for_each_player_is_known_too(warm):
    fixed = [f"{key}=0.003" for key in EACH]
    found, _ = warm(["optimizer.beta1"], {"optimizer.beta1": 0.005}, fixed, new=["optimizer.beta1=0.005"])
    assert found == [{LR: 0.003}]


def test_two_rates_are_not_one(warm):
    with pytest.raises(GanflowError, match=r"no trial of old is one of this space; trial 0: its optimizer.lr is none of"):
        warm(EACH, dict(zip(EACH, (0.002, 0.003), strict=True)))


def test_the_score_of_a_copy_is_of_several_configurations(warm):
    with pytest.raises(GanflowError, match=r"no trial of old is one of this space; trial 0: it became a copy of another trial"):
        warm([LR], {LR: 0.002}, copied=[[1, 20]])
