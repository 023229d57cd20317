"""Packed trials that are trained again by themselves: which, when, and the scores that are then shown."""

import csv
import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from ganflow.api.meant import all_meant
from ganflow.errors import GanflowError
from ganflow.recipe import read_recipe
from ganflow.runs import finding, folders
from ganflow.runs.journal import Journal, entries
from ganflow.runs.start import open_trial
from ganflow.sweeps import table
from ganflow.sweeps.display import Display
from ganflow.sweeps.plots import SweepPlots
from ganflow.sweeps.ranking import best_of, ranking
from ganflow.sweeps.records import SweepFolder, TrialRecord
from ganflow.sweeps.repeats import Repeats, at_rest
from ganflow.sweeps.report import as_csv, best_recipe, ended
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
    course = [(e.round, name, value) for e in entries(swept.folder.journal) for name, value in e.values.items()]
    assert course[:3] == [(1, "best", 3.0), (2, "best", 1.0), (3, "best", 1.0)]
    assert course[3:] == [(3, "best_confirmed", 2.5), (3, "best_confirmed", 2.2)]
    assert ended(swept.folder) == [0, 1, 2]
    text = lines(swept.table.pooled(), METRIC, "min", 2)
    assert text[0].split()[:5] == ["trial", "state", METRIC, "trained", "packed"]
    assert [line.split()[:5] for line in text[1:3]] == [
        ["2", "finished", "2.2", "confirmed", "2"], ["1", "finished", "2.5", "confirmed", "1"]
    ]  # fmt: skip
    assert text[3].split()[:5] == ["0", "finished", "3", "packed", "2/2"]
    assert tags["ganflow.best.trained"] == "confirmed"
    rows = list(csv.DictReader(as_csv(swept.folder, swept.table.pooled(), METRIC, "min").splitlines()))
    assert [(r["trial"], r["trained"], r[METRIC], r[f"{METRIC}_packed"]) for r in rows] == [
        ("2", "confirmed", "2.2", "2.0"), ("1", "confirmed", "2.5", "1.0"), ("0", "packed", "3.0", "")
    ]  # fmt: skip


def test_on_the_way_the_packed_score_counts():
    """The trial stays over, and the best, until its training by itself is."""
    trial, other = (TrialRecord(n, {"a": n}, "finished", score, 9, in_pack=True) for n, score in ((0, 1.0), (1, 2.0)))
    again = TrialRecord(2, {"a": 0}, "running", 7.0, 3, confirms=0)
    (found, _) = trials = Repeats().trials([trial, other, again])
    assert (found.number, found.state, found.score, found.packed, found.round) == (0, "finished", 1.0, None, 9)
    assert found.again is again
    assert (best_of(trials, "min"), table.best(trials, "min")) == (found, "1 packed (trial 0)")
    assert (table.counted(trials), table.over(trials)) == ("1 confirming, 1 finished", 2)
    assert [line.split()[:5] for line in lines(trials, "m", "min", 9)[1:]] == [
        ["0", "confirming", "1", "packed", "3/9"], ["1", "finished", "2", "packed", "9/9"]
    ]  # fmt: skip
    (resting, _) = at_rest(trials)
    assert (table.state(resting), table.confirmed([resting]), again.state) == ("finished", "0/1 confirmed", "running")
    again.state, again.score = "finished", 4.0
    confirmed = Repeats().trials([trial, other, again])
    assert table.best(confirmed, "min") == "4 confirmed (trial 0), 1 packed (trial 0)"
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
    confirmed = TrialRecord(0, {}, "finished", 2.0, packed=1.0, confirmed=4)
    packed = [TrialRecord(n, {}, state, score, in_pack=True) for n, state, score in ((1, "finished", 1.5), (2, "stopped", 0.5))]
    trials = [*packed, confirmed]
    assert [trial.number for trial in ranking(trials, "min")] == [0, 1, 2]
    assert best_of(trials, "min") is confirmed
    alone = TrialRecord(3, {}, "finished", 1.8, in_pack=False)  # for which no other was left to be packed with
    assert [trial.number for trial in ranking([*trials, alone], "min")] == [3, 0, 1, 2]
    assert [trial.number for trial in ranking([trials[0], alone], "min")] == [1, 3]  # while none is confirmed


@pytest.mark.parametrize("seeds", [1, 2])
def test_every_command_means_the_same_runs_of_a_trial(tmp_path, monkeypatch, seeds):
    """The packed ones until its training by itself is over, with all seeds, and then those."""
    monkeypatch.chdir(tmp_path)
    swept = Swept(tmp_path, seeds, pack=3 * seeds)
    swept.ask()
    for number in range(3 * seeds):
        swept.end(number, float(number))
    while isinstance(swept.ask(), list):
        pass

    packed, again = ([swept.folder.trial(n).id for n in range(at, at + seeds)] for at in (0, 3 * seeds))

    def meant():
        (trial, *_) = Repeats.of(swept.folder.read()).trials(swept.folder.trials().values())
        shown = [swept.folder.trial(n).id for n in Repeats.of(swept.folder.read()).runs_of(trial)]
        assert shown == [each.folder.id for each in all_meant("s/0", Path("runs"))]
        assert shown[0] == finding.find_run("s/0", Path("runs")).id
        assert finding.find_run("s", Path("runs")).id == shown[0]  # it is the best
        return shown

    assert meant() == packed
    for number in range(3 * seeds, 4 * seeds):
        assert meant() == packed
        swept.end(number, 7.0, packed=False)
    assert meant() == again
    for find in (finding.find_run, all_meant):
        with pytest.raises(GanflowError, match="no trial 3 of s"):  # which is the training by itself of trial 0
            find("s/3", Path("runs"))


def test_the_display_says_what_is_packed_and_what_is_confirmed():
    """The best packed score, 1, stands while trial 0 is trained again, and beside the one by itself."""
    stream = io.StringIO()
    display = Display("s", METRIC, "min", ["a"], 2, rounds=9, stream=stream)
    runs = [TrialRecord(n, {"a": n}, "running", None, 3) for n in (0, 1)]
    with display:
        display.update(Repeats().trials(runs))
        for run, score in zip(runs, (1.0, 2.0), strict=True):
            run.state, run.score, run.round, run.in_pack = "finished", score, 9, True
            display.update(Repeats().trials(runs))
        runs.append(TrialRecord(2, {"a": 0}, "waiting", confirms=0))
        for state, score in (("waiting", None), ("running", 6.0), ("finished", 4.0)):
            runs[2].state, runs[2].score, runs[2].round = state, score, 9 if state == "finished" else 3
            display.update(Repeats().trials(runs))
            drawn = Console(file=io.StringIO(), width=120)
            drawn.print(display)
            best = re.search(r"best +(.*\))", drawn.file.getvalue())[1]
            after = "4 confirmed (trial 0), 1 packed (trial 0)" if state == "finished" else "1 packed (trial 0)"
            assert best == f"{METRIC} {after}"
    said = stream.getvalue().splitlines()
    assert said[-4:-1] == [
        f"trial 1 finished  {METRIC} 2  9/9 rounds  best 1 packed (trial 0)  2/2 over",
        "trial 0 running  by itself  a 0",
        f"trial 0 finished  by itself  {METRIC} 4  9/9 rounds  best 4 confirmed (trial 0), 1 packed (trial 0)  1/1 confirmed",
    ]
    assert said[-1].startswith("2 finished  1/1 confirmed  best 4 confirmed (trial 0), 1 packed (trial 0)")


def test_the_history_marks_confirmed_trials():
    """Trial 1, the second that was over, had 2 in its pack and 5 by itself."""
    trials = [TrialRecord(n, {"a": n}, "finished", score, 9, in_pack=True) for n, score in ((0, 3.0), (1, 2.0), (2, 4.0))]
    plots = SweepPlots(trials, METRIC, "min", "s", confirmed={1: 5.0})
    figure = plots.figures()["history.png"]
    words = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert words == ["a packed trial", "best packed so far", "confirmed: trained by itself"]
    points, marked = (found for each in figure.axes[0].collections if (found := each.get_offsets().tolist()))
    assert (points, marked) == ([[0.0, 3.0], [1.0, 2.0], [2.0, 4.0]], [[1.0, 5.0]])
    assert "3 trials; packed scores" in figure.get_suptitle()
