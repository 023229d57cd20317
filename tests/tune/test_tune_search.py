"""Searchers: what they propose, that it is proposed again after an interruption, and that those who learn do."""

import math
import pickle
import random
import sys
from statistics import median

import pytest

from ganflow.errors import GanflowError
from ganflow.sweeps.records import TrialRecord
from ganflow.sweeps.study import STARTUP
from ganflow.tune.search import make_searcher

VALLEY = (
    "optimizer.lr: {loguniform: [1e-5, 1e-1]}",
    "optimizer.beta1: {uniform: [0, 0.9]}",
    "loss: {choice: [{use: hinge}, {use: wasserstein}, {use: acme/tilted}]}",
    "loss.tilt: {uniform: [0, 1], when: {loss: tilted}}",
    "train.batch_size: {quniform: [16, 128, 16]}",
)
LEARNERS = ["tpe", "hyperopt"]
ALL = ["random", "grid", *LEARNERS]


def height(config):
    """Least, -1, with the tilted loss, a tilt of 0.7, lr 1e-3, beta1 0.3 and a batch of 64."""
    away = (math.log10(config["optimizer.lr"]) + 3) ** 2 + 4 * (config["optimizer.beta1"] - 0.3) ** 2
    away += abs(config["train.batch_size"] - 64) / 64
    use = config["loss"]["use"]
    return away + (2 * (config["loss.tilt"] - 0.7) ** 2 - 1 if use == "acme/tilted" else 0.0 if use == "hinge" else 1.0)


def searcher(sweep, search, more="", lines=VALLEY, mode="min"):
    space = sweep.keys(*lines, more=f"search: {search}\n{more}")
    return make_searcher(sweep.recipe(*_tune(lines, search, more)).tune, space, mode)


def _tune(lines, search, more):
    return ("space:\n" + "".join(f"  {line}\n" for line in lines) + f"search: {search}\n{more}",)


def tell(searcher, number, config, score, over=True):
    """Tell a searcher of a trial: one without a score went wrong, and one that is not over runs."""
    state = ("diverged" if score is None else "finished") if over else "running"
    searcher.tell(TrialRecord(number, config, state=state, score=score))


def play(searcher, first=0, last=None, sign=1):
    """Propose and tell one after the other; the configs."""
    configs = []
    for number in range(first, searcher.total if last is None else last):
        config = searcher.propose(number)
        tell(searcher, number, config, sign * height(config))
        configs.append(config)
    return configs


@pytest.mark.parametrize("search", ALL)
def test_what_is_proposed_is_in_the_space(sweep, search):
    made = searcher(sweep, search, "trials: 15\n")
    configs = play(made)
    for config in configs:
        assert ("loss.tilt" in config) == (config["loss"]["use"] == "acme/tilted")
        assert all(made.space.keys[key].contains(value) for key, value in config.items())
        made.space.validate(config)
    assert made.propose(made.total) is None
    assert {config["loss"]["use"] for config in configs} == {"hinge", "wasserstein", "acme/tilted"}


@pytest.mark.parametrize("search", ALL)
def test_searchers_can_be_pickled_as_ray_does(sweep, search):
    """Ray keeps its searcher and its callbacks in files; nothing is read from them."""
    made = searcher(sweep, search, "trials: 4\n")
    play(made)
    assert pickle.loads(pickle.dumps(made)).__dict__ == {}


@pytest.mark.parametrize("search", ["random", *LEARNERS])
def test_points_come_first_and_are_filled_up(sweep, search):
    points = "[{loss: tilted, loss.tilt: 0.25}, {optimizer.lr: 1e-3, train.batch_size: 32}]"
    made = searcher(sweep, search, f"trials: 4\npoints: {points}\n")
    first, second, third, _ = play(made)
    assert (first["loss"], first["loss.tilt"]) == ({"use": "acme/tilted"}, 0.25)
    assert set(first) == {"optimizer.lr", "optimizer.beta1", "loss", "loss.tilt", "train.batch_size"}
    assert (second["optimizer.lr"], second["train.batch_size"]) == (1e-3, 32)
    assert third["optimizer.lr"] != 1e-3


@pytest.mark.parametrize("search", ["random", "grid"])
def test_a_trials_config_depends_on_the_seed_and_its_number_alone(sweep, search):
    configs = play(searcher(sweep, search, "trials: 8\n"))
    assert len({c["optimizer.lr"] for c in configs}) == len(configs)
    again = searcher(sweep, search, "trials: 8\n")
    assert [again.propose(n) for n in (2, 0)] == [configs[2], configs[0]]
    assert searcher(sweep, search, "trials: 8\nseed: 1\n").propose(2) != configs[2]


def test_random_search_goes_on_in_the_same_way_with_more_trials(sweep):
    assert play(searcher(sweep, "random", "trials: 12\n"))[:8] == play(searcher(sweep, "random", "trials: 8\n"))


def test_grid_tries_every_combination_once(sweep):
    lines = (
        "loss: {grid: [hinge, tilted]}",
        "loss.tilt: {grid: [0, 1], when: {loss: tilted}}",
        "train.n_critic: {choice: [1, 2]}",
        "optimizer.lr: {loguniform: [1e-5, 1e-1]}",
    )
    made = searcher(sweep, "grid", "trials: 2\npoints: [{loss: hinge}]\n", lines=lines)
    assert made.total == 7
    _, *configs = [made.propose(number) for number in range(7)]
    assert [(c["loss"], c.get("loss.tilt"), c["train.n_critic"]) for c in configs] == [
        ("hinge", None, 1), ("hinge", None, 2), ("tilted", 0, 1), ("tilted", 0, 2), ("tilted", 1, 1), ("tilted", 1, 2),
    ]  # fmt: skip
    assert len({c["optimizer.lr"] for c in configs}) == 6
    assert made.propose(7) is None


@pytest.mark.parametrize("search", LEARNERS)
def test_learners_do_better_than_chance(sweep, search):
    """What is proposed after the start lies lower than what the same searcher proposes to whom nothing but noise is told: the
    median over three seeds (of eight, three in turn lay 0.8 lower at least)."""

    def late(score):
        heights = []
        for seed in range(3):
            made = searcher(sweep, search, f"trials: 40\nseed: {seed}\n")
            for number in range(40):
                config = made.propose(number)
                tell(made, number, config, score(config))
                heights += [height(config)] if number >= STARTUP else []
        return median(heights)

    noise = random.Random(0)
    assert late(height) < late(lambda config: noise.random()) - 0.4


@pytest.mark.parametrize("search", LEARNERS)
def test_more_is_better_where_it_is_said(sweep, search):
    least = play(searcher(sweep, search, "trials: 16\n"))
    assert play(searcher(sweep, search, "trials: 16\n", mode="max"), sign=-1) == least
    assert play(searcher(sweep, search, "trials: 16\n", mode="max")) != least


@pytest.mark.parametrize("search", LEARNERS)
def test_learners_go_on_from_what_they_had_learnt(sweep, search):
    whole = play(searcher(sweep, search, "trials: 24\n"))
    resumed = searcher(sweep, search, "trials: 24\n")
    for number, config in enumerate(whole[:20]):
        tell(resumed, number, config, height(config), True)
    assert play(resumed, first=20) == whole[20:]
    forgetful = searcher(sweep, search, "trials: 24\n")
    assert play(forgetful, first=20) != whole[20:]


@pytest.mark.parametrize("search", LEARNERS)
def test_trials_that_went_wrong_are_avoided(sweep, search):
    """Every trial with a learning rate above 1e-3 diverges, which makes them fewer."""
    made = searcher(sweep, search, "trials: 45\n")
    rates = []
    for number in range(45):
        config = made.propose(number)
        wrong = config["optimizer.lr"] > 1e-3
        tell(made, number, config, None if wrong else height(config))
        rates.append(wrong)
    assert sum(rates[:10]) >= 2
    assert sum(rates[-20:]) / 20 < sum(rates[:10]) / 10 + 0.2
    assert sum(rates[-20:]) <= 10


def test_a_trial_without_a_score_is_no_success_to_a_library(sweep):
    made = searcher(sweep, "hyperopt", "trials: 3\n")
    tell(made, 0, made.propose(0), None)
    tell(made, 1, made.propose(1), 0.5)
    documents = [made._document(made.hyperopt.Trials(), n, seen) for n, seen in sorted(made.trials.items())]
    assert [d["result"] for d in documents] == [{"status": "fail"}, {"status": "ok", "loss": 0.5}]


@pytest.mark.parametrize("search", LEARNERS)
def test_many_at_a_time_differ_and_may_end_in_any_order(sweep, search):
    made = searcher(sweep, search, "trials: 32\n")
    configs = dict(enumerate(play(made, last=16)))
    configs |= {number: made.propose(number) for number in range(16, 24)}
    assert len({configs[number]["optimizer.lr"] for number in range(16, 24)}) == 8
    over = [*range(16), 20, 16, 23]
    for number in over[16:]:
        tell(made, number, configs[number], height(configs[number]))
    resumed = searcher(sweep, search, "trials: 32\n")
    for number, config in configs.items():
        tell(resumed, number, config, height(config) if number in over else None, number in over)
    assert resumed.propose(24) == made.propose(24)


@pytest.mark.parametrize("search", LEARNERS)
def test_trials_with_larger_numbers_are_learnt_from_too(sweep, search):
    """One of before whose configuration was not written down is proposed after those that followed it."""
    alone, both = (searcher(sweep, search, "trials: 32\n") for _ in range(2))
    configs = [alone.space.sample(random.Random(number)) for number in range(32)]
    for number, config in enumerate(configs):
        for made in (alone, both) if number < 12 else (both,) if number > 12 else ():
            tell(made, number, config, height(config), True)
    assert alone.propose(12) != both.propose(12)


def test_optuna_keeps_away_from_trials_that_run(sweep):
    alone, beside = (searcher(sweep, "optuna", "trials: 32\n") for _ in range(2))
    for number, config in enumerate(play(searcher(sweep, "optuna", "trials: 32\n"), last=20)):
        for made in (alone, beside) if number < 14 else (beside,):
            tell(made, number, config, height(config) if number < 14 else None, number < 14)
    assert alone.propose(20) != beside.propose(20)


@pytest.mark.parametrize("search", LEARNERS)
def test_every_value_of_a_few_is_proposed(sweep, search):
    lines = (
        "train.n_critic: {randint: [1, 4]}",
        "train.batch_size: {quniform: [16, 48, 16]}",
        "loss: {choice: [hinge, wasserstein]}",
    )
    made = searcher(sweep, search, "trials: 40\n", lines=lines)
    configs = [made.propose(number) for number in range(40)]
    assert {config["train.n_critic"] for config in configs} == {1, 2, 3}
    assert {config["train.batch_size"] for config in configs} == {16, 32, 48}
    assert {config["loss"] for config in configs} == {"hinge", "wasserstein"}


@pytest.mark.parametrize("search", LEARNERS)
def test_scores_that_are_no_numbers_are_none(sweep, search):
    made = searcher(sweep, search, "trials: 30\n")
    for number in range(12):
        tell(made, number, made.propose(number), (math.nan, math.inf, -math.inf, None)[number % 4])
    assert made.propose(12) is not None


@pytest.mark.parametrize("search", LEARNERS)
def test_every_kind_of_domain(sweep, search):
    lines = (
        "optimizer.lr: {loguniform: [1e-5, 1e-1]}",
        "optimizer.beta1: {normal: [0.4, 0.1]}",
        "train.seed: {randint: [0, 1000000]}",
        "modifiers[0].c: {quniform: [0.1, 0.9, 0.2]}",
        "loss: {choice: [hinge]}",
        "train.one_pass: {choice: [true, false]}",
    )
    made = searcher(sweep, search, "trials: 30\n", lines=lines)
    for number in range(30):
        config = made.propose(number)
        assert {key: type(value) for key, value in config.items()} == {
            "optimizer.lr": float, "optimizer.beta1": float, "train.seed": int, "modifiers[0].c": float, "loss": str,
            "train.one_pass": bool,
        }  # fmt: skip
        assert all(made.space.keys[key].contains(value) for key, value in config.items())
        tell(made, number, config, config["train.seed"] / 1e6)


def test_a_library_that_is_missing(sweep, monkeypatch):
    monkeypatch.setitem(sys.modules, "hyperopt", None)
    with pytest.raises(GanflowError) as caught:
        searcher(sweep, "hyperopt")
    assert str(caught.value) == "tune.search: hyperopt is not installed; pip install 'ganflow[hyperopt]', or use search: tpe"


NUMBERS = ("optimizer.lr: {loguniform: [1e-5, 1e-1]}", "optimizer.beta1: {uniform: [0, 0.9]}")


@pytest.mark.parametrize("search", ["gp", "cmaes", "optuna"])
def test_samplers_of_numbers_find_a_valley(sweep, search):
    """Height (log₁₀ lr + 3)² + 4 (β₁ − 0.3)²: the last ten of 40 lie lower than the first ten, and the best in the valley."""

    def height(config):
        return (math.log10(config["optimizer.lr"]) + 3) ** 2 + 4 * (config["optimizer.beta1"] - 0.3) ** 2

    made = searcher(sweep, search, "trials: 40\n", lines=NUMBERS)
    heights = []
    for number in range(40):
        config = made.propose(number)
        heights.append(height(config))
        tell(made, number, config, heights[-1])
    assert median(heights[-10:]) < median(heights[:10]) / 2
    assert min(heights) < 0.05


def test_what_a_sampler_proposes_follows_from_seed_number_and_results(sweep):
    whole = play(searcher(sweep, "gp", "trials: 16\n"))
    resumed = searcher(sweep, "gp", "trials: 16\n")
    for number, config in enumerate(whole[:13]):
        tell(resumed, number, config, height(config))
    assert play(resumed, first=13) == whole[13:]


def test_trials_of_another_sweep_are_learnt_from(sweep):
    """All of them at one end of the scale are bad: the first proposals after the start are at the other."""
    made = searcher(sweep, "tpe", "trials: 8\n", lines=NUMBERS[:1])
    for number in range(1, 31):
        lr = 10 ** (-5 + 4 * (number - 1) / 29)
        tell(made, -number, {"optimizer.lr": lr}, 0.0 if lr < 1e-4 else 1.0)
    assert all(made.propose(number)["optimizer.lr"] < 1e-3 for number in range(4))


@pytest.mark.parametrize("search", ["tpe", "gp", "hyperopt", "nsga2"])
def test_what_another_sweep_has_tried_is_not_tried_again(sweep, search):
    """With the same seed, and the same points."""
    more = "trials: 6\npoints: [{optimizer.lr: 0.001}, {optimizer.lr: 0.002}]\n"
    made = searcher(sweep, search, more, NUMBERS)
    first = [made.propose(number) for number in range(3)]
    again = searcher(sweep, search, more, NUMBERS)
    for number, config in enumerate([first[0], first[2]], 1):  # of the points the first alone
        tell(again, -number, config, 1.0)
    proposed = [again.propose(number) for number in range(3)]
    assert proposed[0]["optimizer.lr"] == 0.002
    assert not [config for config in proposed if config in first]
    same = searcher(sweep, search, more, NUMBERS)
    for number, config in enumerate([first[0], first[2]], 1):
        tell(same, -number, config, 1.0)
    assert [same.propose(number) for number in range(3)] == proposed
