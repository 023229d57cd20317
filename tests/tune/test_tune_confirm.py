"""Packed trials that are trained again by themselves: which, when, and the scores that are then shown."""

import json

import pytest

from ganflow.recipe import read_recipe
from ganflow.runs import folders
from ganflow.runs.journal import Journal, entries
from ganflow.runs.start import open_trial
from ganflow.sweeps.ranking import best_of, ranking
from ganflow.sweeps.records import SweepFolder, TrialRecord
from ganflow.sweeps.repeats import Repeats
from ganflow.sweeps.report import best_recipe, ended
from ganflow.sweeps.table import lines
from ganflow.tracking.contents import best_tags
from ganflow.tune.plan import make_plan
from ganflow.tune.schedulers import Room
from ganflow.tune.search import Proposals, make_searcher
from ganflow.tune.trials import TrialTable
from ganflow.tune.watcher import Watcher

RECIPE = """\
name: packed
data: {use: gaussians, layout: ring}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 8, depth: 1}
critic: {use: mlp, width: 8, depth: 1}
loss: wasserstein
optimizer: {use: rmsprop, lr: 5.0e-4}
metrics: [{use: sliced_wasserstein, samples: 64}]
train: {rounds: 2, batch_size: 16, threads: 1}
track: {mlflow: false}
tune: {trials: 3, pack: PACK, confirm: 2, seeds: SEEDS, space: {optimizer.lr: {loguniform: [1.0e-5, 1.0e-2]}}}
"""
METRIC = "sliced_w1_64"


class Plenty(Room):
    def admits(self):
        return True


class Silent:
    def update(self, trials):
        self.trials = trials


class Swept:
    """A packed sweep of three trials, by hand: what the searcher proposes, and trials that end as they are told to."""

    def __init__(self, path, seeds=1, pack=3):
        self.folder = SweepFolder(path / "runs" / "s")
        self.folder.plots.mkdir(parents=True)
        self.folder.recipe.write_text(RECIPE.replace("SEEDS", str(seeds)).replace("PACK", str(pack)))
        self.plan = make_plan(self.folder.recipe)
        about = {"kind": "sweep", "id": "20260101-000000-0000", "status": "running", "metric": METRIC, "mode": "min", "trials": 3}
        self.folder.update(**about, trial_seeds=list(self.plan.repeats.seeds))
        self.again()

    def again(self):
        """The sweep goes on, from its records."""
        template = {"recipe": "", "about": {}, "metric": METRIC, "mode": "min", "stop": {}, "workers": 1}
        template["pack"], repeats = self.plan.tune.pack, self.plan.repeats
        self.table = TrialTable(self.folder, template, [], self.folder.mended(), repeats=repeats)
        searcher = make_searcher(self.plan.tune, self.plan.space, "min")
        unfinished = [number for number, trial in sorted(self.table.trials.items()) if not trial.over]
        self.proposals = Proposals(self.table, self.plan.space, searcher, unfinished, Plenty(), template["pack"], self.further)
        self.watcher = Watcher(self.table, Journal(self.folder.journal), "min", Silent())

    def further(self):
        return self.table.confirm(self.wanted())

    def wanted(self):
        return self.table.unconfirmed(2, "min")

    def ask(self):
        """Specs of the next trial of Ray's."""
        told = self.proposals.suggest(f"ray{len(self.table.numbers)}")
        return json.loads(told["specs"]) if isinstance(told, dict) else told

    def end(self, number, score, packed=True, state="finished"):
        run = self.folder.trial(number)
        if not run.path.exists():
            folders.make(run).update(status="finished", compile={"mode": "never", "why": "packed" if packed else "too short"})
        self.table.update(number, score=score, round=2)
        self.watcher._is_over(number, state, "")


@pytest.fixture
def swept(tmp_path):
    made = Swept(tmp_path)
    assert [spec["number"] for spec in made.ask()] == [0, 1, 2]
    return made


def test_the_best_are_trained_again_when_all_are_over(swept):
    swept.end(0, 3.0)
    swept.end(1, 1.0)
    assert swept.ask() is None
    assert swept.proposals.suggest("x") != Proposals.FINISHED
    swept.end(2, 2.0)
    specs = [swept.ask(), swept.ask()]
    assert [[(s["number"], s["pack"], s["about"]["confirms"]) for s in one] for one in specs] == [[(3, 1, 1)], [(4, 1, 2)]]
    configs = {n: trial.config for n, trial in swept.folder.trials().items()}
    assert (configs[3], configs[4]) == (configs[1], configs[2])
    assert swept.ask() is None  # they run
    swept.end(3, 1.5, packed=False)
    swept.end(4, 1.4, packed=False)
    assert swept.ask() == Proposals.FINISHED


def test_a_sweep_that_goes_on_trains_none_a_third_time(swept):
    for number, score in enumerate([3.0, 1.0, 2.0]):
        swept.end(number, score)
    swept.ask()
    swept.end(3, 1.5, packed=False)
    swept.again()
    assert [spec["number"] for spec in swept.ask()] == [4]
    swept.end(4, 1.4, packed=False)
    assert swept.ask() == Proposals.FINISHED
    swept.again()
    assert swept.wanted() == []


def test_one_that_was_trained_by_itself_has_its_score_already(swept):
    """As where trials could not be packed after all."""
    for number, score in enumerate([3.0, 1.0, 2.0]):
        swept.end(number, score, packed=number == 2)
    assert [trial.number for trial in swept.wanted()] == [2]


def test_one_that_went_wrong_is_not_trained_again(swept):
    for number, state in enumerate(["diverged", "finished", "failed"]):
        swept.end(number, float(number), state=state)
    assert [trial.number for trial in swept.wanted()] == [1]


def test_every_seed_is_trained_again(tmp_path):
    """Means of the packed scores are 2, 1 and 3; those by themselves 1.5 and 1.2."""
    swept = Swept(tmp_path, seeds=2, pack=2)
    assert [[s["number"] for s in swept.ask()] for _ in range(3)] == [[0, 1], [2, 3], [4, 5]]
    for number, score in enumerate([1.5, 2.5, 0.5, 1.5, 2.5, 3.5]):
        swept.end(number, score)
    found = [swept.ask() for _ in range(4)]
    assert [(s["number"], s["about"]["confirms"], s["changes"][0]) for (s,) in found] == [
        (6, 1, "train.seed=0"), (7, 1, "train.seed=1"), (8, 0, "train.seed=0"), (9, 0, "train.seed=1")
    ]  # fmt: skip
    for number, score in zip(range(6, 10), [1.0, 2.0, 1.1, 1.3], strict=True):
        swept.end(number, score, packed=False)
    best, second, _ = ranking(swept.table.pooled(), "min")
    assert (best.number, best.score, best.packed, best.n) == (0, pytest.approx(1.2), 2.0, 2)
    assert (second.number, second.score, second.packed, second.n) == (1, 1.5, 1.0, 2)
    assert list(swept.table.repeats.runs_of(best)) == [8, 9]


def test_the_scores_by_themselves_are_reported(swept):
    """The search's course in the journal stays that of packed scores: 3, then 1."""
    for number, score in enumerate([3.0, 1.0, 2.0]):
        swept.end(number, score)
    swept.ask()
    swept.ask()
    swept.end(3, 2.5, packed=False)
    best = swept.folder.read().best
    assert (best["trial"], best["run"], best["score"], best["packed"]) == (1, 3, 2.5, 1.0)
    swept.end(4, 2.2, packed=False)
    best = swept.folder.read().best
    assert (best["trial"], best["run"], best["score"], best["packed"]) == (2, 4, 2.2, 2.0)
    assert swept.folder.read().over == 3
    tags = best_tags(swept.folder)
    assert (tags["ganflow.best.score"], tags["ganflow.best.packed"], tags["ganflow.best.trial"]) == ("2.2", "2.0", "2")
    assert [(e.round, e.values["best"]) for e in entries(swept.folder.journal)] == [(1, 3.0), (2, 1.0), (3, 1.0)]
    assert ended(swept.folder) == [0, 1, 2]
    text = lines(swept.table.pooled(), METRIC, "min", 2)
    assert text[0].split()[:4] == ["trial", "state", METRIC, "packed"]
    assert [line.split()[:4] for line in text[1:3]] == [["2", "finished", "2.2", "2"], ["1", "finished", "2.5", "1"]]
    assert text[3].split()[:3] == ["0", "finished", "3"]


def test_on_the_way_the_packed_score_counts():
    trial, other = (TrialRecord(n, {"a": n}, "finished", score, 9) for n, score in ((0, 1.0), (1, 2.0)))
    again = TrialRecord(2, {"a": 0}, "running", 7.0, 3, confirms=0)
    (found, _) = Repeats().trials([trial, other, again])
    assert (found.number, found.state, found.score, found.packed, found.round) == (0, "running", 1.0, None, 3)
    again.state = "diverged"
    found = Repeats().trials([trial, other, again])
    assert (found[0].state, found[0].packed) == ("diverged", 1.0)
    assert best_of(found, "min").number == 1
    assert [t.score for t in Repeats().searched([trial, other, again])] == [1.0, 2.0]


def test_the_best_recipe_says_how_far_its_score_may_be_off(swept):
    """|2 − 2.5| / 2.5 is 20 %, and |2.2 − 2| / 2 is 10 %: 15 % in the median."""
    for number, score in enumerate([3.0, 2.0, 2.2]):
        recipe = read_recipe(swept.folder.recipe, [f"optimizer.lr={number + 1}e-4", "~tune"])
        for _ in open_trial(recipe, swept.folder.trial(number), {}):
            pass
        swept.folder.trial(number).update(compile={"mode": "never", "why": "packed"})
        swept.end(number, score)
    text = best_recipe(swept.folder, best_of(swept.table.pooled(), "min"), METRIC, "min")
    assert "3.8 % away in the median, 10 % at most" in text
    assert "tune.confirm=1" in text
    swept.ask()
    swept.ask()
    for number, score in ((3, 2.5), (4, 2.0)):
        for _ in open_trial(read_recipe(swept.folder.recipe, ["~tune"]), swept.folder.trial(number), {}):
            pass
        swept.end(number, score, packed=False)
    text = best_recipe(swept.folder, best_of(swept.table.pooled(), "min"), METRIC, "min")
    assert f"Packed with other trials it had {METRIC} 2.2; this score is of the same training by itself" in text
    assert "Of 2 trials the two lie 15 % apart in the median, 20 % at most." in text
    assert "tune.confirm" not in text


def test_a_score_by_itself_counts_more_than_a_better_one_in_a_pack():
    alone = TrialRecord(0, {}, "finished", 2.0, packed=1.0)
    trials = [TrialRecord(1, {}, "finished", 1.5), TrialRecord(2, {}, "stopped", 0.5), alone]
    assert [trial.number for trial in ranking(trials, "min")] == [0, 1, 2]
    assert best_of(trials, "min") is alone
