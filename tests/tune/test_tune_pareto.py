"""Sweeps by several metrics: fronts against brute force and Optuna's, scores of every metric, searchers, and what is refused."""

import csv
import io
import itertools
import json
import math
import random
import warnings
from dataclasses import replace
from statistics import median
from types import SimpleNamespace

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend

from ganflow.cli.main import main
from ganflow.errors import GanflowError, RecipeError
from ganflow.recipe import read_recipe
from ganflow.runs import finding, folders
from ganflow.runs.journal import Journal, entries
from ganflow.sweeps.display import Display
from ganflow.sweeps.front_plots import ParetoPlots
from ganflow.sweeps.plots import SweepPlots, fence
from ganflow.sweeps.ranking import best_of, crowding, front_of, fronts, ranking, spread_out
from ganflow.sweeps.records import Repeated, SweepFolder, TrialRecord
from ganflow.sweeps.repeats import Repeats
from ganflow.sweeps.report import as_csv, summarize
from ganflow.sweeps.study import Study, make_sampler
from ganflow.sweeps.table import lines
from ganflow.tracking.contents import best_tags
from ganflow.tune.objectives import find_objectives
from ganflow.tune.search import make_searcher
from ganflow.tune.trials import TrialSpec, TrialState, TrialTable
from ganflow.tune.warm_start import earlier_trials
from ganflow.tune.watcher import Watcher

TWO = {"frechet": "min", "modes": "max"}
FOUR = {"a": "min", "b": "max", "c": "max", "d": "min"}


def trial(number, *scores, objectives=TWO, state="finished", **more):
    known = dict(zip(objectives, scores, strict=True)) if scores else dict.fromkeys(objectives)
    return TrialRecord(number, {"lr": float(number)}, state, scores[0] if scores else None, 10, scores=known, **more)


def drawn(count, objectives, seed):
    """Trials with scores from a few values, so that many are equal in some metrics, or in all."""
    rng = random.Random(seed)
    return [trial(n, *(float(rng.randrange(5)) for _ in objectives), objectives=objectives) for n in range(count)]


def better(one, other, objectives):
    """One trial is at least as good in every metric, and better in one."""
    signs = {"min": 1, "max": -1}
    gaps = [signs[mode] * (one.scores[name] - other.scores[name]) for name, mode in objectives.items()]
    return all(gap <= 0 for gap in gaps) and any(gap < 0 for gap in gaps)


def peeled(trials, objectives):
    """The fronts by their definition: those whom nobody left dominates, time and again."""
    left, found = list(trials), []
    while left:
        front = [one for one in left if not any(better(other, one, objectives) for other in left)]
        found.append({one.number for one in front})
        left = [one for one in left if one not in front]
    return found


def in_optuna(trials, objectives):
    """Optuna's study of them."""
    study = optuna.create_study(directions=["minimize" if mode == "min" else "maximize" for mode in objectives.values()])
    for one in trials:
        study.add_trial(optuna.trial.create_trial(values=list(one.scores.values()), user_attrs={"number": one.number}))
    return study


@pytest.mark.parametrize("names", [2, 3, 4])
@pytest.mark.parametrize("seed", range(5))
def test_fronts_are_those_of_their_definition_and_of_optuna(names, seed):
    objectives = dict(list(FOUR.items())[:names])
    trials = drawn(40, objectives, seed)
    found = fronts(trials, objectives)
    assert [{one.number for one in front} for front in found] == peeled(trials, objectives)
    assert sum(map(len, found)) == 40
    best = {one.user_attrs["number"] for one in in_optuna(trials, objectives).best_trials}
    assert {one.number for one in front_of(trials, objectives)} == best
    for front in found:
        assert [one.scores["a"] for one in front] == sorted(one.scores["a"] for one in front)


def test_only_what_is_finished_with_every_score_is_on_a_front():
    trials = [
        trial(0, 2.0, 5.0), trial(1, 1.0, math.inf), trial(2, 0.0, 9.0, state="stopped"), trial(3, 0.0, 9.0, state="running"),
        trial(4, 0.0, 9.0, state="diverged"), trial(5, math.nan, 9.0), trial(6, 3.0, 6.0), trial(7),
        TrialRecord(8, {}, "finished", 0.0, 10, scores={"frechet": 0.0}),  # a stranger's record
    ]  # fmt: skip
    assert [[one.number for one in front] for front in fronts(trials, TWO)] == [[0, 6]]
    assert [one.number for one in ranking(trials, "min", TWO)][:4] == [0, 6, 8, 2]
    assert fronts(trials, {"frechet": "min"}) == fronts(trials, {}) == []  # one metric has a best trial
    assert front_of([], TWO) == []


def test_trials_that_were_confirmed_come_first():
    """Their scores are of another kind of training; a packed one that looks better was not tried by itself."""
    trials = [trial(0, 1.0, 9.0), trial(1, 2.0, 8.0, packed=1.5, confirmed=7), trial(2, 3.0, 7.0, packed=1.0, confirmed=8)]
    assert [[one.number for one in front] for front in fronts(trials, TWO)] == [[1], [2], [0]]


def test_the_ranking_is_by_front_and_then_by_the_first_metric():
    trials = [trial(0, 3.0, 9.0), trial(1, 1.0, 2.0), trial(2, 1.5, 1.0), trial(3, 2.0, 8.0), trial(4), trial(5, 5.0, 1.0)]
    assert [one.number for one in ranking(trials, "min", TWO)] == [1, 3, 0, 2, 5, 4]
    upside = [replace(one, scores={name: -s for name, s in one.scores.items()}, score=-one.score) for one in trials if one.score]
    swapped = {"frechet": "max", "modes": "min"}
    assert [one.number for one in ranking(upside, "max", swapped)] == [1, 3, 0, 2, 5]


def test_crowding_distances_by_hand():
    """On a front from (0, 10) to (10, 0): trial 1 has neighbours 4 and 6 apart, trial 2 has 8 and 9."""
    low = {"x": "min", "y": "min"}
    front = [trial(n, x, y, objectives=low) for n, (x, y) in enumerate([(0.0, 10.0), (2.0, 9.0), (4.0, 4.0), (10.0, 0.0)])]
    assert crowding(front, low) == {0: math.inf, 1: 0.4 + 0.6, 2: 0.8 + 0.9, 3: math.inf}
    assert [one.number for one in spread_out(front, low, 3)] == [0, 2, 3]
    assert [one.number for one in spread_out(front, low, 2)] == [0, 3]
    assert spread_out(front, low, 4) == front
    same = [trial(n, 1.0, 1.0) for n in range(3)]
    assert crowding(same, TWO) == {0: 0.0, 1: 0.0, 2: 0.0}
    assert [one.number for one in spread_out(same, TWO, 1)] == [0]


# Seeds.


def test_every_metric_has_its_mean_deviation_and_number():
    repeats = Repeats((0, 1, 2), objectives=TWO)
    runs = [trial(0, 1.0, 6.0), trial(1, 2.0, 8.0), trial(2, 6.0, 7.0)]
    (one,) = repeats.trials(runs)
    assert isinstance(one, Repeated)
    assert (one.score, one.scores) == (3.0, {"frechet": 3.0, "modes": 7.0})
    assert one.spreads == {"frechet": (3.0, pytest.approx(7**0.5), 3), "modes": (7.0, 1.0, 3)}
    (odd,) = repeats.trials([runs[0], trial(1, 2.0, None), trial(2, 6.0, 7.0)])  # an infinite score is written down as none
    assert odd.scores == {"frechet": 3.0, "modes": 6.5}
    assert odd.spreads["modes"] == (6.5, pytest.approx(0.5**0.5), 2)
    (wrong,) = repeats.trials([runs[0], runs[1], trial(2, state="diverged")])
    assert (wrong.state, wrong.scores) == ("diverged", {"frechet": None, "modes": None})
    (early,) = repeats.trials([runs[0], runs[1], trial(2, 6.0, 7.0, state="running")])
    assert early.scores == {"frechet": None, "modes": None}
    (none,) = repeats.trials([trial(n, float(n), None) for n in range(3)])
    assert none.scores == {"frechet": 1.0, "modes": None}
    assert front_of([none], TWO) == []


def test_a_quantile_is_of_bad_seeds_in_every_metric():
    runs = [trial(n, float(n), float(n)) for n in range(5)]
    (one,) = Repeats(tuple(range(5)), 0.75, TWO).trials(runs)
    assert one.scores == {"frechet": 3.0, "modes": 1.0}
    (one,) = Repeats(tuple(range(5)), 0.25, {"frechet": "max", "modes": "max"}).trials(runs)
    assert one.scores == {"frechet": 1.0, "modes": 1.0}


# A run's scores.


def spec(tmp_path, **more):
    return TrialSpec(0, "r.yaml", [], str(tmp_path), {}, "frechet", "min", more.pop("stop", {}), objectives=dict(TWO), **more)


def step(round, **values):
    return SimpleNamespace(round=round, values=values)


def test_the_last_value_of_each_metric_counts_whenever_it_comes(tmp_path):
    state = TrialState(spec(tmp_path))
    assert not state.update(step(1, loss=1.0))
    assert state.result("running", True)["scores"] == {"frechet": None, "modes": None}
    assert state.update(step(2, modes=3.0))
    assert state.update(step(3, frechet=0.5, modes=4.0))
    assert state.update(step(4, modes=math.inf))
    told = state.result("running", True)
    assert (told["score"], told["scores"]) == (0.5, {"frechet": 0.5, "modes": None})


def test_values_of_stop_are_met_from_each_metrics_worse_side(tmp_path):
    state = TrialState(spec(tmp_path, stop={"frechet": 1.0, "modes": 8.0}))
    assert not state.should_stop(step(1, frechet=1.5, modes=7.0))
    assert state.should_stop(step(1, frechet=0.5, modes=7.0))
    assert state.should_stop(step(1, frechet=1.5, modes=8.0))


def test_a_finished_runs_scores_are_the_last_of_its_journal(tmp_path):
    run = folders.make(folders.RunFolder(tmp_path / "run"))
    run.update(status="finished", round=30)
    journal = Journal(run.journal)
    for round, values in [(10, {"frechet": 3.0}), (20, {"frechet": 2.0, "modes": 5.0}), (30, {"modes": 7.0})]:
        journal.append(round, values)
    journal.close()
    told = TrialState(spec(run.path)).finished()
    assert (told["score"], told["scores"]) == (2.0, {"frechet": 2.0, "modes": 7.0})


# The study.

LINES = ("optimizer.lr: {loguniform: [1e-5, 1e-1]}", "optimizer.beta1: {uniform: [0, 0.9]}")


def opened(file):
    """The study as optuna-dashboard opens it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.load_study(study_name="s", storage=optuna.storages.JournalStorage(JournalFileBackend(str(file))))


def test_optunas_best_trials_are_our_front(sweep, tmp_path):
    study = Study(sweep.keys(*LINES), "min", "s", tmp_path / "j", TWO)
    trials = [replace(one, config={"optimizer.lr": 1e-3}) for one in drawn(30, TWO, 3)]
    trials += [trial(30, 0.0, None), trial(31, -1.0, 9.0, state="stopped"), trial(32, state="diverged")]
    trials += [trial(33, -1.0, math.inf)]
    for one in trials:
        study.tell(replace(one, state="running", score=None, scores={}))
        study.tell(one)
    study.tell(trial(34, state="failed", cause="machine"))
    found = opened(tmp_path / "j")
    assert [way.name for way in found.directions] == ["MINIMIZE", "MAXIMIZE"]
    assert found.metric_names == ["frechet", "modes"]
    numbers = {one.user_attrs["ganflow.trial"] for one in found.best_trials}
    assert numbers == {one.number for one in front_of(trials, TWO)}
    assert [found.trials[n].state.name for n in range(30, 35)] == ["PRUNED"] * 4 + ["FAIL"]


# Searchers.


def objectives_of(config):
    """Two valleys, of learning rates near 1e-4 and near 1e-2, so that neither is best."""
    away = 4 * (config["optimizer.beta1"] - 0.3) ** 2
    lr = math.log10(config["optimizer.lr"])
    return {"frechet": (lr + 4) ** 2 + away, "modes": -((lr + 2) ** 2) - away}


def searcher(sweep, search, trials=24, objectives=TWO, more=""):
    more = f"search: {search}\ntrials: {trials}\n{more}"
    space = sweep.keys(*LINES, more=more)
    tune = sweep.recipe("space:\n" + "".join(f"  {line}\n" for line in LINES) + more).tune
    return make_searcher(tune, space, "min", Study(space, "min", objectives=objectives))


def finished(number, config):
    scores = objectives_of(config)
    return TrialRecord(number, config, "finished", scores["frechet"], 10, scores=scores)


def play(made, first=0, last=None):
    configs = []
    for number in range(first, made.total if last is None else last):
        configs.append(made.propose(number))
        made.tell(finished(number, configs[-1]))
    return configs


@pytest.mark.parametrize("search", ["random", "tpe", "gp", "nsga2"])
def test_searchers_by_several_metrics_go_on_from_what_they_had_learnt(sweep, search):
    trials = 13 if search == "gp" else 24
    whole = play(searcher(sweep, search, trials))
    resumed = searcher(sweep, search, trials)
    for number, config in enumerate(whole[: trials - 2]):
        resumed.tell(finished(number, config))
    assert play(resumed, first=trials - 2) == whole[trials - 2 :]
    assert all(resumed.space.keys[key].contains(value) for config in whole for key, value in config.items())


@pytest.mark.parametrize("search", ["tpe", "nsga2"])
def test_trials_without_every_score_and_those_that_run_do_no_harm(sweep, search):
    made = searcher(sweep, search, 40)
    for number in range(30):
        config = made.propose(number)
        odd = [trial(number, 1.0, None), trial(number, state="diverged"), trial(number, 1.0, 2.0, state="stopped"),
               finished(number, config), None][number % 5]  # fmt: skip
        if odd is not None:
            made.tell(replace(odd, config=config))
    assert made.propose(30) is not None


def heights(search, sweep, key):
    """How bad the proposals are, of five sweeps of 48 trials: medians over the first and over the last dozen of each."""
    for seed in range(5):
        made = searcher(sweep, search, 48, TWO if key == "both" else {}, f"seed: {seed}\n")
        found = []
        for number in range(48):
            done = finished(number, made.propose(number))
            found.append(done.scores["frechet"] - (done.scores["modes"] if key == "both" else 0.0))  # 2 on the front's middle
            made.tell(done if key == "both" else replace(done, scores={}))
        yield median(found[:12]), median(found[-12:])


@pytest.mark.parametrize(("search", "key"), [("tpe", "both"), ("nsga2", "both"), ("nsga2", "one")])
def test_later_proposals_are_better(sweep, search, key):
    first, last = (median(each) for each in zip(*heights(search, sweep, key), strict=True))
    assert last < (0.85 if key == "both" else 0.65) * first


def test_generations_follow_from_the_finished_trials_alone(sweep):
    """The first so many are drawn at random; the parents of later ones are the best of those before, whichever ended first."""
    ended = {}
    for order in (range(12), [5, 3, 1, 0, 2, 4, 11, 6, 9, 7, 8, 10]):
        study = Study(sweep.keys(*LINES), "min", objectives=TWO)
        configs = [{"optimizer.lr": 10.0 ** -(1 + n / 4), "optimizer.beta1": 0.05 * n} for n in range(12)]
        for number, config in enumerate(configs):
            study.tell(TrialRecord(number, config, "running"))
        for number in order:
            study.tell(finished(number, configs[number]))
        ended[tuple(order)] = study.ask(12, make_sampler("nsga2", 7, [], 4))
        sampler = make_sampler("nsga2", 7, [], 4)
        parents = [[one.user_attrs["ganflow.trial"] for one in sampler.get_parent_population(study.study, g)] for g in range(4)]
        assert parents[0] == []
        assert set(parents[1]) == {0, 1, 2, 3}
        assert len(parents[3]) == 4
        assert set(parents[3]) <= set(range(12))
    assert len({json.dumps(config) for config in ended.values()}) == 1


def test_a_child_is_like_no_trial_before(sweep):
    """Two keys: crossover of two parents alone makes one of four children, two of which are the parents."""
    made = searcher(sweep, "nsga2", 40, more="population_size: 2\n")
    configs = play(made)
    assert len({json.dumps(config) for config in configs}) == 40


# What is refused, and what lists mean.

SPACE = "space: {optimizer.lr: {loguniform: [1e-5, 1e-1]}}\n"


@pytest.mark.parametrize(
    ("tune", "said"),
    [
        ("metric: [a, b]\nmode: [min]\n", "2: tune.mode: 1 mode for 2 metrics; give one for each, or one word for all"),
        ("metric: a\nmode: [min, max]\n", "2: tune.mode: 2 modes for 1 metric; give one for each, or one word for all"),
        ("metric: [a, b]\nmode: [min, least]\n",
         "2: tune.mode: ['min', 'least'] is not one of min, max or a list of min, max or null"),
        ("metric: [a, b, a]\n", "1: tune.metric: 'a' is named twice; name each metric once"),
        ("metric: []\n", "1: tune.metric: trials cannot be judged by 0 metrics; name 1 to 4"),
        ("metric: [a, b, c, d, e]\n", "1: tune.metric: trials cannot be judged by 5 metrics; name 1 to 4"),
        *((f"metric: [a, b]\nscheduler: {name}\n",
           f"2: tune.scheduler: {name} judges trials by one score, and tune.metric names 2; use scheduler: none, or one metric")
          for name in ("asha", "hyperband", "median", "pbt")),
        *((f"metric: [a, b]\nsearch: {name}\n",
           f"2: tune.search: {name} searches by one score, and tune.metric names 2; use random, grid, tpe, gp, nsga2, "
           "or one metric")
          for name in ("cmaes", "hyperopt")),
        ("population_size: 5\n",
         "1: tune.population_size: random has no generations; leave it out (tune.population_size=null), or use search: nsga2"),
        ("search: nsga2\npopulation_size: 1\n", "2: tune.population_size: a generation has two trials or more; 0 chooses"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_sentence(sweep, tune, said):
    assert sweep.problems(tune + SPACE) == [said]


@pytest.mark.parametrize(
    ("tune", "changes", "generation", "confirmed"),
    [
        ("trials: 100\n", (), 25, 1), ("trials: 8\n", (), 4, 1), ("trials: 1000\n", (), 50, 1),
        ("metric: [a, b]\nmode: max\n", (), 4, 0), ("metric: a\n", ("tune.metric=[a, b]",), 4, 0),
        ("metric: [a]\nmode: [min]\n", (), 4, 1), ("metric: [a, b]\npack: 4\nconfirm: 3\n", (), 4, 3),
    ],
)  # fmt: skip
def test_defaults(sweep, tune, changes, generation, confirmed):
    tune = sweep.recipe(tune + SPACE, *changes).tune
    assert (tune.generation, tune.confirmed) == (generation, confirmed)


GAME = """
name: small
data: {use: gaussians, layout: ring, samples: 200}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 8}
critic: {use: mlp, width: 8}
loss: {use: wasserstein}
optimizer: {use: adam, lr: 1.0e-3}
metrics: [{use: frechet, samples: 100}, {use: modes, samples: 50}]
train: {rounds: 20, batch_size: 16}
tune:
"""


@pytest.mark.parametrize(
    ("tune", "found"),
    [
        ("metric: [frechet, modes]", {"frechet_100": "min", "modes_50": "max"}),
        ("metric: [modes_50, frechet]", {"modes_50": "max", "frechet_100": "min"}),
        ("metric: [modes]", {"modes_50": "max"}),
        ("metric: [frechet, high_quality_50]; mode: [min, max]", {"frechet_100": "min", "high_quality_50": "max"}),
        ("metric: [w_estimate, critic/wasserstein]; mode: min", {"w_estimate": "min", "critic/wasserstein": "min"}),
        ("metric: [frechet, modes]; mode: [min, min]", {"frechet_100": "min", "modes_50": "min"}),
    ],
)
def test_objectives(tmp_path, tune, found):
    file = tmp_path / "small.yaml"
    file.write_text(GAME + "".join(f"  {line}\n" for line in tune.split("; ")))
    objectives = find_objectives(read_recipe(file))
    assert list(objectives.items()) == list(found.items())


@pytest.mark.parametrize(
    ("tune", "said"),
    [
        ("metric: [frechet, frechet_100]", "tune.metric[1]: 'frechet_100' is named already"),
        ("metric: [modes, frechett]", "tune.metric[1]: 'frechett' is not among what this recipe reports; did you mean 'frechet'"),
        ("metric: [modes, mmd]",
         "tune.metric[1]: 'mmd' is a metric that this recipe does not evaluate; add it: '+metrics={use: "),
        ("metric: [modes, w_estimate]", "tune.mode: needed, for nothing says whether a smaller 'w_estimate' is better"),
    ],
)
def test_objectives_that_cannot_be(tmp_path, tune, said):
    file = tmp_path / "small.yaml"
    file.write_text(GAME + f"  {tune}\n")
    with pytest.raises(RecipeError) as refused:
        find_objectives(read_recipe(file))
    assert f"small.yaml:12: {said}" in str(refused.value)
    assert "\n" not in str(refused.value)


# What is written down and shown.


@pytest.fixture
def folder(tmp_path):
    folder = SweepFolder(tmp_path / "runs" / "s")
    folder.plots.mkdir(parents=True)
    folder.update(kind="sweep", id="20260101-120000-0000", status="finished", metric="frechet", mode="min", trials=4, rounds=10)
    folder.update(objectives=TWO)
    return folder


SCORES = [(1.0, 5.0), (2.0, 7.0), (3.0, 6.0), (0.5, None)]


def watch(folder, scores=SCORES):
    """What the watcher writes down of trials that end with these scores."""
    table = TrialTable(folder, {}, [], folder.trials(), repeats=Repeats.of(folder.read()))
    watcher = Watcher(table, Journal(folder.journal), "min", SimpleNamespace(update=lambda trials: None))
    for number, (first, second) in enumerate(scores):
        table.record(number, config={"optimizer.lr": 1.0 + number}, state="running")
        result = {"trial": number, "round": 10, "state": "finished", "error": "", "place": "here", "score": first}
        table.report({**result, "scores": {"frechet": first, "modes": second}})
        watcher._is_over(number, "finished", "")
    watcher.journal.close()
    return table


def test_the_watcher_keeps_every_score_and_the_front(folder):
    watch(folder)
    assert [one.scores for one in folder.trials().values()] == [{"frechet": a, "modes": b} for a, b in SCORES]
    record = folder.read()
    assert record.best is None
    assert record.front == [
        {"trial": 0, "run": 0, "scores": {"frechet": 1.0, "modes": 5.0}},
        {"trial": 1, "run": 1, "scores": {"frechet": 2.0, "modes": 7.0}},
    ]
    journal = [(entry.round, entry.values) for entry in entries(folder.journal)]
    assert journal[0] == (1, {"front": 1.0, "frechet_best": 1.0, "modes_best": 5.0})
    assert journal[-1] == (4, {"front": 2.0, "frechet_best": 1.0, "modes_best": 7.0})
    assert best_tags(folder) == {
        "ganflow.front": "2",
        "ganflow.front.trials": "trial 0: frechet 1, modes 5; trial 1: frechet 2, modes 7",
    }


def test_of_a_front_so_many_are_confirmed_as_the_recipe_says(folder):
    folder.update(trial_seeds=[])
    table = watch(folder, [(1.0, 5.0), (2.0, 7.0), (1.5, 6.9), (9.0, 1.0)])
    for number in range(4):
        folders.make(folder.trial(number)).update(compile={"mode": "never", "why": "packed"})
    assert [one.number for one in table.unconfirmed(9, "min")] == [0, 2, 1]
    assert [one.number for one in table.unconfirmed(2, "min")] == [0, 1]
    assert table.unconfirmed(0, "min") == []


def test_a_sweep_has_no_best_trial_but_a_front(folder):
    with pytest.raises(GanflowError, match="no trial of the sweep s is finished yet"):
        finding.best_trial(folder)
    watch(folder)
    with pytest.raises(GanflowError, match="judged by frechet, modes, and has a Pareto front instead of a best trial; name one"):
        finding.best_trial(folder)


def test_lines_mark_the_front():
    trials = [trial(0, 3.0, 9.0), trial(1, 1.0, 2.0), trial(2, 1.5, 1.0), trial(3, 2.0, None), trial(4, state="diverged")]
    text = lines(trials, "frechet", "min", 10, objectives=TWO)
    assert text[0].split() == ["trial", "state", "front", "frechet", "modes", "round", "lr"]
    assert [line.split()[:5] for line in text[1:4]] == [
        ["1", "finished", "1", "1", "2"], ["0", "finished", "1", "3", "9"], ["2", "finished", "2", "1.5", "1"],
    ]  # fmt: skip
    assert text[4].split() == ["3", "finished", "2", "10/10", "3"]
    one = lines([replace(one, scores={}) for one in trials], "frechet", "min", 10)
    assert one[0].split() == ["trial", "state", "frechet", "round", "lr"]


def test_lines_of_seeds_have_every_metrics_deviation():
    trials = Repeats((0, 1), objectives=TWO).trials([trial(0, 1.0, 6.0), trial(1, 2.0, 8.0)])
    head, row = lines(trials, "frechet", "min", 10, objectives=TWO)
    assert " ".join(head.split()) == "trial state front frechet ± sd (n) modes ± sd (n) round lr"
    assert "1.5  ± 0.71 (2)      7  ± 1.4 (2)" in row


def test_the_display_shows_the_size_of_the_front():
    stream = io.StringIO()
    with Display("s", "frechet", "min", ["lr"], 3, rounds=10, objectives=TWO, stream=stream) as display:
        display.update([trial(0, state="running")])
        display.update([trial(0, 1.0, 5.0), trial(1, state="running")])
        display.update([trial(0, 1.0, 5.0), trial(1, 2.0, 7.0)])
        display.update([trial(0, 1.0, 5.0), trial(1, 2.0, 7.0), trial(2, 0.5, 8.0)])
    shown = stream.getvalue()
    assert "s: 3 trials, frechet (less is better), modes (more is better)\n" in shown
    assert "trial 0 finished  frechet 1, modes 5  10/10 rounds  front of 1  1/3 over" in shown
    assert "trial 1 finished  frechet 2, modes 7  10/10 rounds  front of 2  2/3 over" in shown
    assert "trial 2 finished  frechet 0.5, modes 8  10/10 rounds  front of 1  3/3 over" in shown


def test_the_live_table_has_a_column_for_each_metric():
    from rich.console import Console

    display = Display("s", "frechet", "min", ["lr"], 3, rounds=10, objectives=TWO, stream=io.StringIO())
    display.trials = [trial(0, 1.0, 5.0), trial(1, 2.0, 7.0), trial(2, 9.0, 1.0)]
    console = Console(file=io.StringIO(), width=100, height=30)
    console.print(display)
    text = console.file.getvalue()
    assert "front  2 trials (0, 1)" in text
    assert [line.split()[:5] for line in text.splitlines() if "finished" in line][1:] == [
        ["0", "finished", "1", "5", "10/10"], ["1", "finished", "2", "7", "10/10"], ["2", "finished", "9", "1", "10/10"],
    ]  # fmt: skip


def test_old_records_have_no_scores_of_several_metrics(folder):
    folder.records.write_text('{"trial": 0, "config": {"lr": 1.0}, "state": "finished", "score": 2.0, "round": 10}\n')
    (one,) = folder.trials().values()
    assert (one.scores, best_of([one], "min")) == ({}, one)
    for wrong in ("[1.0]", '{"frechet": "low"}'):
        folder.records.write_text(f'{{"trial": 0, "config": {{}}, "scores": {wrong}}}\n')
        with pytest.raises(GanflowError, match=r"trials.jsonl:1 is damaged"):
            folder.trials()


@pytest.mark.parametrize(
    ("theirs", "ours", "said"),
    [
        (TWO, {"frechet": "min"},
         "s was judged by frechet min, modes max, and this sweep is by frechet min; use 'tune.metric=[frechet, modes]' "
         "'tune.mode=[min, max]'"),
        ({}, TWO, "s was judged by frechet min, and this sweep is by frechet min, modes max; use 'tune.metric=[frechet]' "
         "'tune.mode=[min]'"),
        ({"frechet": "min", "modes": "min"}, TWO, "s was judged by frechet min, modes min, and this sweep is by frechet"),
    ],
)  # fmt: skip
def test_a_sweep_by_other_metrics_is_no_beginning(folder, theirs, ours, said):
    folder.update(objectives=theirs)
    plan = SimpleNamespace(tune=SimpleNamespace(search="tpe"), objectives=ours)
    with pytest.raises(GanflowError) as refused:
        earlier_trials(plan, folder)
    assert said in str(refused.value)


def test_earlier_trials_are_kept_with_every_score(folder):
    folder.keep_earlier([trial(-1, 1.0, 5.0)])
    assert folder.trials(folder.earlier)[-1].scores == {"frechet": 1.0, "modes": 5.0}


def test_products_of_states_never_break_the_ranking():
    states = ["finished", "running", "waiting", "stopped", "diverged", "failed"]
    scores = [(1.0, 2.0), (1.0, None), ()]
    trials = [trial(n, *given, state=state) for n, (state, given) in enumerate(itertools.product(states, scores))]
    assert ranking(trials, "min", TWO)[0].number == 0
    assert len(ranking(trials, "min", TWO)) == len(trials)


# The report.

SWEPT = GAME.replace("train: {rounds: 20", "track: {mlflow: false}\ntrain: {rounds: 20, threads: 1") + (
    "  metric: [frechet, modes]\n  space: {optimizer.lr: {loguniform: [1.0e-4, 1.0e+2]}}\n"
)


@pytest.fixture
def unpictured(monkeypatch):
    monkeypatch.setattr("ganflow.sweeps.report._pictures", lambda *arguments: {})


@pytest.fixture
def reported(folder):
    """A sweep whose trials have recipes, and scores that are made up: trials 0 and 1 are the front, 4 went wrong."""
    folder.recipe.write_text(SWEPT)
    watch(folder)
    for number in range(4):
        recipe = read_recipe(folder.recipe, ["train.rounds=2", f"optimizer.lr={1.0 + number}", "~tune"])
        run = folders.make(folder.trial(number))
        run.recipe.write_text(recipe.to_yaml())
        run.update(status="finished", round=2)
    folder.record(4, config={"optimizer.lr": 9.0}, state="diverged", score=None, scores=dict.fromkeys(TWO), error="not a number")
    return folder


def test_the_front_has_recipes_and_every_metric_its_plots(reported, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    done = summarize(reported)
    each = ["history", "importance", "parallel", "slice"]
    plots = {"pareto.png", *(f"{name}-{metric}.png" for name in each for metric in TWO)}
    assert {path.name for path in reported.plots.glob("*")} == plots
    assert [path.name for path in done.written[:3]] == ["trials.csv", "0.yaml", "1.yaml"]
    assert done.missing == ["no samples.png in plots/: no trial has sample pictures"]
    assert not reported.best.exists()
    text = (reported.pareto / "1.yaml").read_text()
    assert text.startswith("# ganflow run runs/s/pareto/1.yaml\n")
    what = "trial 1, with frechet 2 (less is better), modes 7 (more is better) after 10 rounds."
    assert f"# One of the Pareto front of 4 finished trials of the sweep s: {what}\n# lr 2\n" in text
    recipe = read_recipe(reported.pareto / "1.yaml")
    assert (recipe.tune, recipe.train.rounds, recipe.optimizers["generator"].settings.lr) == (None, 20, 2.0)
    assert main(["run", "runs/s/pareto/1.yaml", "-q", "train.rounds=1", "--runs", "others"]) == 0


@pytest.mark.usefixtures("unpictured")
def test_recipes_of_trials_that_left_the_front_go(reported):
    reported.pareto.mkdir()
    for name in ("3.yaml", "77.yaml", "mine.yaml", "0.yaml"):
        (reported.pareto / name).write_text("old")
    summarize(reported)
    assert {path.name for path in reported.pareto.iterdir()} == {"0.yaml", "1.yaml", "mine.yaml"}
    assert (reported.pareto / "0.yaml").read_text() != "old"


@pytest.mark.usefixtures("unpictured")
def test_of_a_large_front_twenty_trials_far_from_each_other_have_recipes(reported):
    for number in range(5, 45):
        reported.record(number, config={"optimizer.lr": 1.0}, state="finished", round=2, score=-float(number),
                        scores={"frechet": -float(number), "modes": -float(number)})  # fmt: skip
        (run := folders.make(reported.trial(number))).recipe.write_text(reported.trial(0).recipe.read_text())
        run.update(status="finished")
    summarize(reported)
    numbers = {int(path.stem) for path in reported.pareto.iterdir()}
    assert len(numbers) == 20
    assert {1, 44} <= numbers  # the best in each metric


def test_the_csv_has_the_front_and_every_metric(reported):
    rows = list(csv.DictReader(as_csv(reported, list(reported.trials().values()), "frechet", "min").splitlines()))
    assert list(rows[0])[:5] == ["trial", "state", "front", "frechet", "modes"]
    assert [(row["trial"], row["front"], row["frechet"], row["modes"]) for row in rows] == [
        ("0", "1", "1.0", "5.0"), ("1", "1", "2.0", "7.0"), ("2", "2", "3.0", "6.0"), ("3", "", "0.5", ""), ("4", "", "", ""),
    ]  # fmt: skip


def test_the_csv_of_seeds_has_every_metrics_deviation_and_number(reported):
    reported.update(trial_seeds=[0, 1])
    trials = Repeats.of(reported.read()).trials(reported.trials().values())
    rows = list(csv.DictReader(as_csv(reported, trials, "frechet", "min").splitlines()))
    names = ["frechet", "frechet_sd", "frechet_n", "modes", "modes_sd", "modes_n"]
    assert list(rows[0])[3:9] == names
    assert [rows[0][name] for name in names] == ["1.5", str(0.5**0.5), "2", "6.0", str(2**0.5), "2"]


def test_sweeps_lists_and_shows_the_front(reported, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["sweeps"]) == 0
    assert "frechet, modes  front of 2" in capsys.readouterr().out
    assert main(["sweeps", "show", "s", "--write"]) == 0
    shown = capsys.readouterr().out
    for line in (
        "  metrics     frechet (less is better), modes (more is better)\n",
        "  front       2 trials (0, 1): none is better in one metric without being worse in another\n",
        "  run one     ganflow run runs/s/pareto/0.yaml\n",
        "in runs/s/: trials.csv, recipe.yaml, pareto/, plots/",
    ):
        assert line in shown
    assert main(["sweeps", "show", "s", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["best"] == {}
    assert facts["objectives"] == TWO
    assert [each["trial"] for each in facts["front"]] == [0, 1]
    assert [(each["number"], each.get("front")) for each in facts["results"]] == [(0, 1), (1, 1), (2, 2), (3, None), (4, None)]
    assert facts["results"][1]["scores"] == {"frechet": 2.0, "modes": 7.0}
    assert main(["sample", "s"]) == 2
    assert "name one of its trials: s/0, s/1 (ganflow sweeps show s)" in capsys.readouterr().err


@pytest.mark.parametrize(("names", "files"), [(3, ["pareto.png", "pareto-pairs.png"]), (4, ["pareto-pairs.png"])])
def test_pictures_of_more_metrics(names, files):
    objectives = dict(list(FOUR.items())[:names])
    trials = [*drawn(12, objectives, 1), trial(99, objectives=objectives, state="diverged")]
    figures = ParetoPlots(trials, objectives, "s").figures()
    assert list(figures) == files
    heading = f"s: Pareto front of {len(front_of(trials, objectives))} trials\n12 of 13 trials; numbers: trials of the front"
    assert {figure.get_suptitle() for figure in figures.values()} == {heading}
    panels = figures["pareto-pairs.png"].axes
    assert len(panels) == {3: 3, 4: 6}[names]
    front = panels[0].collections[1].get_offsets().tolist()
    assert sorted(front) == sorted([one.scores["a"], one.scores["b"]] for one in front_of(trials, objectives))
    assert panels[0].get_xlabel() == "a (less is better)"
    why = ParetoPlots(trials[-1:], objectives).figures()
    assert list(why.values()) == ["no trial has finished with a score of every metric"]


def test_one_outlier_does_not_squeeze_the_others():
    """a: 1 to 6 and 90 (not of the front), which is drawn beyond 6 by a tenth of the others' range on a logarithmic scale."""
    rows = [(1.0, 1.0), (2.0, 0.9), (3.0, 0.8), (4.0, 0.7), (5.0, 0.6), (6.0, 0.5), (90.0, 0.95)]
    objectives = {"a": "min", "b": "min"}
    trials = [TrialRecord(n, {}, "finished", a, 9, scores={"a": a, "b": b}) for n, (a, b) in enumerate(rows)]
    figure = ParetoPlots(trials, objectives, "s").figures()["pareto.png"]
    assert figure.axes[0].get_xlim()[1] < 9
    assert "a: 1 score worse than 7.177 drawn there" in figure.get_suptitle()  # 6 · 6 ** 0.1
    best = [*trials[:-1], replace(trials[-1], scores={"a": 90.0, "b": 0.1})]  # nothing of the front is moved
    figure = ParetoPlots(best, objectives, "s").figures()["pareto.png"]
    assert figure.axes[0].get_xlim()[1] > 90


@pytest.mark.parametrize(
    ("scores", "less", "at"),
    [
        ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 1e6], True, 6 * 6**0.1),
        ([-1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 100.0], True, 6.7),
        ([-100.0, 2.0, 3.0, 4.0, 5.0, 6.0], False, 1.6),
        ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 1e6], False, None),  # more is better: nothing is hidden of what is good
        ([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0], True, None),
        ([1.0, 1.0, 1.0, 1.0, 1.0, 9.0], True, None),
        ([1.0, 2.0, 3.0, 1e6], True, None),  # too few
    ],
)
def test_where_the_far_out_are_drawn(scores, less, at):
    assert fence(scores, less) == (None if at is None else pytest.approx(at))


def test_the_other_plots_draw_it_there_too():
    trials = [TrialRecord(n, {"lr": n}, "finished", score, 9) for n, score in enumerate((1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 1e6))]
    plots = SweepPlots(trials, "a", "min", "s")
    assert plots.note == "7 trials; 1 score worse than 7.177 drawn there"
    assert [trial.value for trial in plots.study.trials][-2:] == [6.0, pytest.approx(7.177, abs=1e-3)]
