"""Trials of several seeds: their numbers, their scores worked out by hand, and their states."""

import json
import math
import random

import pytest

from ganflow.errors import GanflowError
from ganflow.recipe import read_recipe
from ganflow.runs.folders import RunFolder
from ganflow.runs.journal import Journal
from ganflow.sweeps.ranking import best_of, leading
from ganflow.sweeps.records import BUDGET, SweepFolder, TrialRecord
from ganflow.sweeps.repeats import Repeats, current, latest, scored
from ganflow.sweeps.table import leader, lines, spread
from ganflow.tune.driver import together
from ganflow.tune.plan import make_plan
from ganflow.tune.trials import TrialTable

THREE = Repeats((4, 9, 1))


def runs(*states, first=0, scores=(), **more):
    found = [TrialRecord(first + i, {"optimizer.lr": 1.0}, state, **more) for i, state in enumerate(states)]
    for run, score in zip(found, scores, strict=False):
        run.score, run.round = score, 10 + run.number
    return found


def test_numbers_and_seeds():
    assert [list(THREE.runs(trial)) for trial in range(2)] == [[0, 1, 2], [3, 4, 5]]
    assert [(THREE.trial(run), THREE.seed(run)) for run in range(5)] == [(0, 4), (0, 9), (0, 1), (1, 4), (1, 9)]
    assert (Repeats().size, Repeats().seed(7), Repeats().trial(7), list(Repeats().runs(7))) == (1, None, 7, [7])


def test_a_trials_score_is_the_mean_of_its_seeds():
    """(1 + 2 + 6) / 3 = 3, and the sum of squares about it, 4 + 1 + 9, by n − 1 = 2 is 7."""
    (trial,) = THREE.trials(runs("finished", "finished", "finished", scores=(1.0, 2.0, 6.0)))
    assert (trial.number, trial.state, trial.score, trial.mean, trial.n, trial.round) == (0, "finished", 3.0, 3.0, 3, 10)
    assert trial.sd == pytest.approx(math.sqrt(7))
    assert spread(trial) == "± 2.6 (3)"


@pytest.mark.parametrize(("quantile", "score"), [(0.0, 1.0), (0.5, 2.0), (0.75, 4.0), (1.0, 6.0)])
def test_or_a_quantile_of_them(quantile, score):
    (trial,) = Repeats((4, 9, 1), quantile).trials(runs("finished", "finished", "finished", scores=(1.0, 2.0, 6.0)))
    assert (trial.score, trial.mean) == (score, 3.0)


def test_the_luckiest_seed_is_not_the_best_trial():
    lucky = runs("finished", "finished", "finished", scores=(0.1, 0.3, 0.5))
    steady = runs("finished", "finished", "finished", first=3, scores=(0.2, 0.21, 0.22))
    trials = THREE.trials([*steady, *lucky])
    assert [trial.number for trial in trials] == [0, 1]
    assert best_of(trials, "min").number == 1
    text = lines(trials, "m", "min", 12)
    assert text[0].split("  ")[0] == "trial"
    assert "± sd (n)" in text[0]
    assert "0.21  ± 0.01 (3)" in text[1]


@pytest.mark.parametrize(
    ("states", "state", "score"),
    [
        (("finished", "finished", "finished"), "finished", 2.0),
        (("finished", "stopped", "finished"), "stopped", 2.0),
        (("finished", "diverged", "finished"), "diverged", None),  # a mean over the others would be that of lucky seeds
        (("finished", "failed", "finished"), "failed", None),
        (("finished", "running", "waiting"), "running", None),
        (("finished", "waiting", "waiting"), "running", None),
        (("waiting", "waiting", "waiting"), "waiting", None),
        (("finished", "finished"), "running", None),  # the third is not written down yet
    ],
)
def test_states(states, state, score):
    (trial,) = THREE.trials(runs(*states, scores=(1.0, 2.0, 3.0)))
    assert (trial.state, trial.score) == (state, score)


def test_what_the_machine_ended_says_nothing_about_a_trial():
    found = runs("finished", "failed", "finished", scores=(1.0, 9.0, 3.0))
    found[1].cause, found[1].error = "machine", "its node was lost"
    (trial,) = THREE.trials(found)
    assert (trial.state, trial.score, trial.n, trial.error) == ("finished", 2.0, 2, "seed 9: its node was lost")


def test_a_scheduler_remembers_rounds_that_all_seeds_have_reported():
    histories = {
        0: [(1.0, 10, 1.0), (3.0, 20, 2.0), (5.0, 30, 9.0)],
        1: [(2.0, 10, 3.0), (4.0, 20, 6.0)],
        2: [(9.0, 10, 0.0)],
    }
    assert together(histories, Repeats((0, 1))) == {0: [(2.0, 10, 2.0), (4.0, 20, 4.0)]}
    assert together(histories, Repeats()) == histories


TUNE = "space: {{optimizer.lr: {{loguniform: [1.0e-4, 1.0e-2]}}}}\nseeds: {}\n{}"


@pytest.mark.parametrize(
    ("seeds", "more", "said"),
    [
        ("0", "", "seeds: 0 seeds cannot be trained"),
        ("1001", "", "seeds: 1001 seeds cannot be trained"),
        ("[]", "", "seeds: 0 seeds cannot be trained"),
        ("[1, 2, 1]", "", "seeds: 1 is named twice"),
        ("[1, -2]", "", "seeds: -2 is no seed"),
        ("3", "scheduler: pbt\n", "pbt copies one trial's weights"),
        ("1", "quantile: 0.5\n", "quantile: it is one of several seeds' scores"),
        ("2", "scheduler: asha\nresources: {gpus: 2}\n", "with asha a trial's seeds train in one process"),
    ],
)
def test_seeds_that_cannot_be(sweep, seeds, more, said):
    with pytest.raises(GanflowError) as caught:
        sweep.recipe(TUNE.format(seeds, more))
    assert said in str(caught.value)
    assert "r.yaml:" in str(caught.value)


def test_seeds_are_not_searched_besides(sweep):
    sweep.recipe("space: {train.seed: {choice: [1, 2]}}\nseeds: 2\n")
    with pytest.raises(GanflowError, match=r"r.yaml:\d+: tune.seeds: every trial has these seeds, and tune.space tries others"):
        make_plan("r.yaml")


@pytest.mark.parametrize(("seeds", "made"), [("1", ()), ("3", (7, 8, 9)), ("[5]", (5,)), ("[5, 2]", (5, 2))])
def test_seeds_from_the_recipes_own(sweep, seeds, made):
    sweep.recipe(TUNE.format(seeds, ""))
    recipe = read_recipe("r.yaml", ["train.seed=7"])
    assert recipe.tune.seeds_from(recipe.train.seed) == made


def test_the_scores_of_a_run_and_those_since_a_round(tmp_path):
    run = RunFolder(tmp_path)
    lines = [(10, {"w1": 3.0}), (15, {"critic/wasserstein": 1.0}), (20, {"w1": "NaN"}), (30, {"w1": 2.0, "f1": 0.5})]
    rows = [json.dumps({"round": round, "time": 100.0 + round, "values": values}) for round, values in lines]
    run.journal.write_text("\n".join(rows) + '\n{"round": 40, "ti')
    found = scored(run, "w1")
    assert [(report.time, report.round) for report in found] == [(110.0, 10), (120.0, 20), (130.0, 30)]
    assert (found[0].score, math.isnan(found[1].score), found[2].score) == (3.0, True, 2.0)
    assert scored(run, "w1", since=20) == [(130.0, 30, 2.0)]
    assert scored(run, "f1") == [(130.0, 30, 0.5)]


def test_a_table_pools_what_changed_and_it_is_what_all_runs_say(tmp_path, monkeypatch):
    """Against pooling from the beginning, after each of 300 changes of random runs."""
    rng, anew = random.Random(0), []
    plainly = Repeats.repeated
    table = TrialTable(SweepFolder(tmp_path), {}, [], {run.number: run for run in runs("finished", "running")}, repeats=THREE)
    monkeypatch.setattr(SweepFolder, "record", lambda self, trial, **values: None)
    for _ in range(300):
        number = rng.choice([n for n in range(60) if n in table.trials] + [rng.randrange(60)])
        state, score = rng.choice(["waiting", "running", "finished", "failed"]), rng.random()
        again = 1 if number // 3 == 19 else None
        table.record(number, config={"a": number}, state=state, score=score, confirms=again)
        monkeypatch.setattr(Repeats, "repeated", lambda self, *of: anew.append(of[0]) or plainly(self, *of))
        pooled, searched = table.pooled(), table.searched()
        monkeypatch.setattr(Repeats, "repeated", plainly)
        assert pooled == THREE.trials(table.trials.values())
        assert searched == THREE.searched(table.trials.values())
    assert len(anew) == 300  # not more: of 20 trials


def test_who_leads_while_none_is_finished():
    found = [TrialRecord(n, {}, "running", score, 10 + n) for n, score in enumerate((3.0, 1.0, math.nan, 2.0))]
    assert [leading(found, mode).number for mode in ("min", "max")] == [1, 0]
    found[1].state = "stopped"  # while others go on
    assert leading(found, "min").number == 3
    for record in found:
        record.state = "stopped" if record.number else "failed"
    assert leading(found, "min").number == 1
    assert leading(found[:1], "min") is leading([], "min") is None
    found[3].state = "finished"
    assert leading(found, "min") is None


def test_a_trial_of_several_seeds_leads_when_all_of_them_have_a_score():
    half = runs("running", "running", "waiting", scores=(0.1, 0.1))
    whole = runs("running", "finished", "running", first=3, scores=(1.0, 2.0, 6.0))
    trials = THREE.trials([*half, *whole])
    assert leading(trials, "min").number == 1
    assert leader(trials[1], "m", 100) == "trial 1, m 3 at round 13/100"


@pytest.fixture
def killed(tmp_path):
    """A sweep whose driver was killed: its records have trial 0 finished, and trial 1 running, with 9 at round 10; its journal is
    further, with a score that is no number last."""
    folder = SweepFolder(tmp_path / "runs" / "s")
    folder.path.mkdir(parents=True)
    folder.update(kind="sweep", id="20260101-000000-0000", metric="m", mode="min", status="running")
    folder.record(0, config={"a": 1}, state="finished", score=2.0, round=40)
    folder.record(1, config={"a": 2}, state="running", score=9.0, round=10)
    run = folder.trial(1)
    run.path.mkdir()
    run.update(status="running")
    journal = Journal(run.journal)
    for round, values in ((10, {"m": 9.0}), (20, {"m": 5.0}), (30, {"m": math.nan}), (35, {"critic/w": 1.0})):
        journal.append(round, values)
    return folder


@pytest.mark.parametrize(("running", "state"), [(True, "running"), (False, "waiting")])
def test_a_trial_is_as_its_journals_end_has_it(killed, running, state):
    first, second = current(killed, running)
    assert (first.state, first.score, first.round) == ("finished", 2.0, 40)
    assert (second.state, second.score, second.round) == (state, 5.0, 35)


def test_scores_of_before_a_copy_are_of_other_values(killed):
    killed.record(1, copied=[(0, 20)])
    killed.trial(1).update(copies=1, copied_at=20)
    assert latest(killed, killed.trials()[1], "m", {}) == {}
    assert [(trial.score, trial.round) for trial in current(killed, True)] == [(2.0, 40), (9.0, 35)]


def test_a_damaged_journal_tells_nothing(killed):
    with killed.trial(1).journal.open("a") as file:
        file.write("nonsense\n")
    assert [trial.score for trial in current(killed, True)] == [2.0, 9.0]


def test_a_trial_whose_other_seeds_wait_for_a_larger_budget_waits():
    stopped = runs("stopped", "waiting", "waiting", scores=(1.0,), cause=BUDGET)
    assert [trial.state for trial in THREE.trials(stopped)] == ["waiting"]
    assert [trial.state for trial in THREE.trials(runs("finished", "waiting", "waiting", scores=(1.0,)))] == ["running"]
