"""Configurations of searches that do not learn: none is played twice, and there are no more trials than configurations."""

import itertools
from collections import Counter

import pytest
from space_helpers import RECIPE

from ganflow.tune.plan import make_plan

LOSSES = "loss: {choice: [hinge, {use: acme/tilted}]}"
TILT = "loss.tilt: {choice: [0.1, 0.2, 0.3], when: {loss: tilted}}"
CRITIC = "train.n_critic: {randint: [1, 4]}"
CONFIGS = 3 * (1 + 3)  # of these


def made(sweep, n, *lines, more=""):
    """The first configs of a space, and what `count` says."""
    text = "space:\n" + "".join(f"  {line}\n" for line in lines) + more
    space, tune = sweep(text), sweep.recipe(text).tune
    return list(itertools.islice(space.configs(tune), n)), space.count(tune)


def different(configs):
    return len({str(sorted(config.items())) for config in configs})


@pytest.mark.parametrize("seed", range(5))
def test_random_search_plays_every_configuration_once(sweep, seed):
    configs, count = made(sweep, CONFIGS, LOSSES, TILT, CRITIC, more=f"seed: {seed}\n")
    assert different(configs) == CONFIGS == count
    again, _ = made(sweep, CONFIGS - 3, LOSSES, TILT, CRITIC, more=f"seed: {seed}\n")
    assert again == configs[:-3]
    other, _ = made(sweep, CONFIGS, LOSSES, TILT, CRITIC, more=f"seed: {seed + 1}\n")
    assert other != configs


@pytest.mark.slow
def test_components_are_equally_likely_however_many_keys_they_have(sweep):
    """A draw without its repeats, and not one of all configurations alike: of those, three in four are tilted."""
    first = [made(sweep, 1, LOSSES, TILT, CRITIC, more=f"seed: {seed}\n")[0][0]["loss"] for seed in range(60)]
    assert 18 <= first.count("hinge") <= 42  # 30 ± 3 sd; else 15


@pytest.mark.parametrize(("trials", "count"), [(5, 5), (11, 11), (12, 12), (13, 12), (1000, 12)])
def test_no_more_trials_than_configurations(sweep, trials, count):
    assert made(sweep, 0, LOSSES, TILT, CRITIC, more=f"trials: {trials}\n")[1] == count


@pytest.mark.parametrize("more", ["search: optuna\n", "scheduler: pbt\n"])
def test_who_may_come_back_has_all_trials(sweep, more):
    assert made(sweep, 0, LOSSES, TILT, CRITIC, more=f"trials: 13\n{more}")[1] == 13


def test_where_all_were_played_they_come_again(sweep):
    configs, _ = made(sweep, 3 * CONFIGS, LOSSES, TILT, CRITIC, more="scheduler: pbt\n")
    assert different(configs[:CONFIGS]) == different(configs) == CONFIGS


def test_points_are_played_once(sweep):
    """Also those that leave keys open."""
    points = "points: [{loss: hinge, train.n_critic: 2}, {loss: hinge}, {loss: hinge}, {loss: tilted, loss.tilt: 0.3}]\n"
    configs, count = made(sweep, CONFIGS, LOSSES, TILT, CRITIC, more=f"trials: {CONFIGS}\n{points}")
    assert different(configs) == CONFIGS == count
    assert configs[0] == {"loss": "hinge", "train.n_critic": 2}
    assert [config["loss"] for config in configs[:3]] == 3 * ["hinge"]
    assert configs[3]["loss.tilt"] == 0.3


def test_a_choice_that_leaves_nothing_open_is_not_repeated_beside_intervals(sweep):
    lines = ["loss: {choice: [hinge, {use: acme/tilted}]}", "loss.tilt: {uniform: [0, 1], when: {loss: tilted}}"]
    configs, count = made(sweep, 40, *lines, more="trials: 40\n")
    assert different(configs) == 40 == count
    assert [config["loss"] for config in configs].count("hinge") == 1


def test_a_configuration_that_is_hardly_ever_drawn_is_found(sweep):
    """The last of 300 logarithmic integers is one in 1,700 draws."""
    configs, count = made(sweep, 4, "train.seed: {choice: [1]}", "train.batch_size: {qlograndint: [1, 4, 1]}")
    assert sorted(config["train.batch_size"] for config in configs) == [1, 2, 3, 4]
    assert count == 4
    configs, count = made(sweep, 300, "data.samples: {lograndint: [1, 301]}", more="trials: 301\n")
    assert sorted(config["data.samples"] for config in configs) == list(range(1, 301))
    assert count == 300


GRID = ("loss: {grid: [hinge, wasserstein]}", "train.n_critic: {choice: [1, 2]}")
REST = "optimizer.lr: {loguniform: [1e-5, 1e-1]}"


def test_every_point_of_a_grid_is_tried_so_many_times(sweep):
    """In whole passes, the recipe's own points once."""
    more = "search: grid\ngrid_samples: 3\npoints: [{loss: hinge, optimizer.lr: 0.01}]\n"
    configs, count = made(sweep, 13, *GRID, REST, more=more)
    assert count == 1 + 3 * 4
    assert configs[0]["optimizer.lr"] == 0.01
    for first in (1, 5, 9):
        assert Counter((c["loss"], c["train.n_critic"]) for c in configs[first : first + 4]) == Counter(
            itertools.product(("hinge", "wasserstein"), (1, 2))
        )
    assert len({config["optimizer.lr"] for config in configs}) == 13


def test_samples_of_a_grids_point_differ(sweep):
    configs, count = made(sweep, 12, *GRID, "train.seed: {randint: [0, 3]}", more="search: grid\ngrid_samples: 3\n")
    assert different(configs) == 12 == count


@pytest.mark.parametrize(
    ("more", "lines", "said"),
    [
        ("grid_samples: 2", (*GRID[1:], REST), "random has no grid; use search: grid, or leave it out (tune.grid_samples=null)"),
        ("search: grid\ngrid_samples: 2", GRID,
         "every key is one of the grid's, and its points would be the same trials again; remove it, or add a domain of another "
         "kind, like train.seed: {randint: [0, 9]}"),
    ],
)  # fmt: skip
def test_samples_without_a_grid_or_without_anything_else(sweep, more, lines, said):
    (only,) = sweep.problems(f"{more}\nspace:\n" + "".join(f"  {line}\n" for line in lines))
    assert only == f"{more.count(chr(10)) + 1}: tune.grid_samples: {said}"


def test_a_plan_says_that_there_are_fewer_trials(sweep):
    text = RECIPE + "tune: {space: {train.n_critic: {randint: [1, 4]}}, trials: TRIALS}\n"
    sweep.file.write_text(text.replace("TRIALS", "9"))
    assert "tune.trials: 3 and not 9, for the space has no more configurations" in make_plan("r.yaml").recipe.notes
    sweep.file.write_text(text.replace("TRIALS", "3"))
    assert not [note for note in make_plan("r.yaml").recipe.notes if "configurations" in note]
