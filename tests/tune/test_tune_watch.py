"""What the driver writes down, shows and keeps when Ray tells it of a trial."""

import io
import json
import os
from types import SimpleNamespace

import pytest

from ganflow.runs import folders
from ganflow.runs.journal import Journal, entries
from ganflow.sweeps.display import Display
from ganflow.sweeps.ranking import best_of
from ganflow.sweeps.records import BUDGET, MACHINE, SweepFolder
from ganflow.tune.budget import Spent
from ganflow.tune.trials import TrialTable
from ganflow.tune.watcher import Watcher

DIED = "ray.exceptions.ActorDiedError: The actor died unexpectedly before finishing this task."
OWN = "Traceback (most recent call last):\n  File \"x.py\", line 3, in step\n    f()\nValueError: what a pity\n"
FULL = "Traceback (most recent call last):\n  File \"x.py\", line 3\nOSError: [Errno 28] No space left on device: '/runs/x'\n"


class Shows:
    """A display that keeps what it is told."""

    def __init__(self):
        self.notes, self.warned, self.states = [], [], []

    def update(self, trials):
        self.states = [t.state for t in trials]

    def note(self, text):
        self.notes.append(text)

    def warn(self, text):
        self.warned.append(text)


class Watched:
    """A sweep of a few trials, each with a run, and what Ray tells of them."""

    def __init__(self, folder, count=3, mode="min", pack=1, retries=2):
        self.folder, self.mode = folder, mode
        self.table = TrialTable(folder, {}, [], folder.trials())
        for n in range(count):
            self.table.record(n, config={"optimizer.lr": 1.0 + n}, state="running")
            self.table.numbers.setdefault(f"ray{n // pack}", []).append(n)
            if not folder.trial(n).path.exists():
                folders.make(folder.trial(n)).update(status="running", round=0)
        self.display = Shows()
        self.watcher = Watcher(self.table, Journal(folder.journal), mode, self.display, retries)

    def of_ray(self, n, error="", failures=1, folder=None):
        file = None
        if error:
            file = self.folder.path / f"error-{n}.txt"
            file.write_text(error)
        return SimpleNamespace(trial_id=f"ray{n}", error_file=file and str(file), num_failures=failures)

    def result(self, n, state="running", **more):
        told = {"trial": n, "state": state, "error": "", "place": "here", "round": 10, **more}
        self.watcher.on_trial_result(0, [], self.of_ray(n), {**told, "trials": [told], "done": False})

    def lines(self):
        return [json.loads(line) for line in self.folder.records.read_text().splitlines()]

    def best(self):
        return [(e.round, e.values["best"]) for e in entries(self.folder.journal)]


@pytest.fixture
def folder(tmp_path):
    made = SweepFolder(tmp_path / "runs" / "s")
    made.path.mkdir(parents=True)
    made.update(kind="sweep", id="20260101-000000-0000", status="running")
    return made


def test_reports_are_remembered_and_ends_written_down(folder):
    made = Watched(folder)
    before = made.lines()
    made.result(0, score=3.0)
    made.result(0, round=20)  # no score this time: the last one stands
    assert made.lines() == before  # a run's own journal has it
    assert (made.table.trials[0].score, made.table.trials[0].round, made.table.trials[0].place) == (3.0, 20, "here")
    made.result(0, "finished", round=30, score=2.0)
    assert made.lines()[-1] == {"trial": 0, "score": 2.0, "round": 30, "place": "here", "state": "finished", "error": ""}
    made.result(1, "diverged", error="became nan")
    assert made.lines()[-1]["error"] == "became nan"
    assert "cause" not in made.lines()[-1]
    assert made.display.states == ["finished", "diverged", "running"]


def test_where_the_scheduler_ends_a_trial_it_is_stopped_whatever_ray_calls_it(folder):
    made = Watched(folder)
    told = {"trial": 0, "state": "running", "error": "", "place": "here", "round": 10, "score": 5.0}
    made.watcher.on_trial_result(0, [], made.of_ray(0), {**told, "trials": [told], "done": True})
    assert not made.table.trials[0].over
    folder.trial(0).update(status="interrupted")  # Ray pauses it first
    made.watcher.on_trial_complete(0, [], made.of_ray(0))
    assert folder.trials()[0].state == "stopped"
    assert folder.trials()[0].score == 5.0
    assert folder.trial(0).read().raw["status"] == "stopped"
    made.result(1, "finished", score=1.0)
    folder.trial(1).update(status="finished")
    made.watcher.on_trial_complete(0, [], made.of_ray(1))  # Ray tells that, too
    assert folder.trials()[1].state == "finished"
    assert folder.trial(1).read().raw["status"] == "finished"


def test_a_run_that_still_keeps_its_checkpoint_is_settled_in_the_end(folder):
    made = Watched(folder)
    with folders.locked(folder.trial(0)):
        made.watcher.on_trial_complete(0, [], made.of_ray(0))
        assert folder.trial(0).read().raw["status"] == "running"
    made.watcher.end()
    assert folder.trial(0).read().raw["status"] == "stopped"


def test_who_is_not_over_in_the_end_waits(folder):
    made = Watched(folder)
    made.result(0, "finished", score=1.0)
    made.watcher.on_trial_recover(0, [], made.of_ray(1, DIED))
    assert folder.trials()[1].error == "its process died; it is begun again from its last checkpoint"
    assert folder.trials()[1].state == "waiting"
    made.watcher.on_trial_start(0, [], made.of_ray(1))
    assert folder.trials()[1].state == "running"
    made.watcher.end()
    assert [(t.state, t.error) for t in folder.trials().values()] == [("finished", ""), ("waiting", ""), ("waiting", "")]


@pytest.mark.parametrize(
    ("error", "failures", "said", "cause"),
    [(DIED, 1, "its process died", MACHINE), (DIED, 3, "its process died (3 times)", MACHINE), (OWN, 1, "what a pity", "")],
)
def test_a_trial_that_fails_has_its_reason_and_the_rounds_of_its_journal(folder, error, failures, said, cause):
    made = Watched(folder)
    journal = Journal(folder.trial(0).journal)
    for round in (10, 20, 30):
        journal.append(round, {"m": 1.0})
    journal.close()
    for _ in range(failures - 1):
        made.watcher.on_trial_recover(0, [], made.of_ray(0, error))
    made.watcher.on_trial_error(0, [], made.of_ray(0, error, failures))
    record, about = folder.trials()[0], folder.trial(0).read().raw
    assert (record.state, record.error, record.cause, record.round) == ("failed", said, cause, 30)
    assert (about["status"], about["error"]) == ("failed", said)


def test_the_last_of_several_failures_is_told(folder):
    made = Watched(folder)
    both = f"Failure # 1 (occurred at 2026)\n{DIED}\nFailure # 2 (occurred at 2026)\n{OWN}"
    made.watcher.on_trial_error(0, [], made.of_ray(0, both, 2))
    assert folder.trials()[0].error == "what a pity"
    assert folder.trials()[0].cause == ""


@pytest.mark.parametrize("method", ["on_trial_error", "on_trial_recover"])
def test_a_disk_that_failed_ends_no_trial(folder, method):
    made = Watched(folder)
    getattr(made.watcher, method)(0, [], made.of_ray(0, FULL))
    assert made.watcher.broken == "/runs/x: No space left on device; make room"
    assert folder.trials()[0].state == "running"
    made.watcher.breaks("another")
    assert made.watcher.broken.startswith("/runs/x")  # the first is what helps


@pytest.mark.parametrize(("host", "said"), [(os.uname().nodename, "no room"), ("node9", "on node9: no room")])
def test_a_disk_of_a_worker(folder, host, said):
    made = Watched(folder)
    told = {"trials": [], "state": "broken", "broken": "no room", "host": host, "done": False}
    made.watcher.on_trial_result(0, [], made.of_ray(0), told)
    assert made.watcher.broken == said


def test_a_pack_is_several_trials(folder):
    made = Watched(folder, 4, pack=2)
    states = ("finished", "running")
    told = [{"trial": n, "state": state, "error": "", "place": "here", "round": 9} for n, state in enumerate(states)]
    for _ in range(2):
        made.watcher.on_trial_result(0, [], made.of_ray(0), {"trials": told[1:], "note": "one by one", "done": False})
    made.watcher.on_trial_result(0, [], made.of_ray(0), {"trials": told[:1], "note": "one by one", "done": False})
    assert made.display.notes == ["one by one"]
    made.watcher.on_trial_error(0, [], made.of_ray(0, DIED))
    assert [t.state for t in folder.trials().values()] == ["finished", "failed", "running", "running"]


@pytest.mark.parametrize(("mode", "best"), [("min", [3.0, 3.0, 1.0]), ("max", [3.0, 5.0, 5.0])])
def test_the_best_so_far(folder, mode, best):
    made = Watched(folder, mode=mode)
    for n, score in enumerate([3.0, 5.0, 1.0]):
        made.result(n, "finished", score=score)
    assert made.best() == list(enumerate(best, 1))
    about = folder.read().raw
    assert about["over"] == 3
    number = {1.0: 2, 5.0: 1}[best[-1]]
    assert about["best"] == {"trial": number, "score": best[-1], "config": {"optimizer.lr": 1.0 + number}}


def test_the_best_so_far_is_of_finished_trials_alone_and_the_same_everywhere(folder):
    """Scores after fewer rounds are better here, and are no best: in the journal (which MLflow has), in run.json, on the
    display and in the plot."""
    made = Watched(folder, 6)
    display = Display("s", "m", "min", [], 6, stream=io.StringIO())
    seen = []

    def look():
        display.update(list(made.table.trials.values()))
        known = best_of(made.table.trials.values(), "min")
        assert display._best().startswith(f"best {known.score:g} (trial {known.number})" if known else "leading: ")
        assert (folder.read().best or {}).get("score") == (known.score if known else None)
        seen.append(known.score if known else None)

    made.result(5, score=0.01)
    look()
    made.result(0, score=0.1)
    made.watcher.on_trial_complete(0, [], made.of_ray(0))  # stopped early
    look()
    made.result(1, "finished", score=3.0, round=100)
    look()
    made.result(2, "finished", score=4.0, round=100)
    look()
    made.result(3, "diverged", error="became nan")
    made.result(4, "finished", score=2.0, round=100)
    look()
    made.result(5, "finished", score=5.0, round=100)  # which had the best of all scores once
    look()
    assert seen == [None, None, 3.0, 3.0, 2.0, 2.0]
    assert made.best() == [(2, 3.0), (3, 3.0), (4, 3.0), (5, 2.0), (6, 2.0)]


@pytest.mark.parametrize("noted", [True, False])
def test_a_sweep_that_goes_on_has_the_best_once_for_each_trial(folder, noted):
    made = Watched(folder)
    for n, score in enumerate([3.0, 5.0]):
        made.result(n, "finished", score=score)
    if not noted:  # killed between the record and the journal
        made.watcher.journal.rewind(1)
    again = Watched(folder, 0)
    assert again.best() == [(1, 3.0), (2, 3.0)]
    again.table.record(2, config={"optimizer.lr": 3.0}, state="running")
    again.result(2, "finished", score=1.0)
    assert again.best() == [(1, 3.0), (2, 3.0), (3, 1.0)]


def test_a_damaged_checkpoint_is_told_of_once(folder):
    made = Watched(folder)
    folder.trial(0).update(damaged=[{"checkpoint": "c", "why": "c cannot be read", "gone_on_from": 7}])
    made.result(0, "finished", score=1.0)
    made.watcher.end()
    assert made.display.warned == ["trial 0: damaged checkpoint passed over: c cannot be read; gone on from round 7"]


def crash(made, times):
    """Ray tells of a process that died so many times, and begins the trial again as often as it may."""
    for failures in range(1, times + 1):
        trial = made.of_ray(0, DIED, failures - 1)
        made.watcher.on_trial_start(0, [], trial)
        trial.num_failures = failures
        if failures > trial.max_failures:
            made.watcher.on_trial_error(0, [], trial)
            return failures
        made.watcher.on_trial_recover(0, [], trial)
    return None


def test_crashes_are_counted_over_all_sessions_and_a_trial_has_one_more_chance_when_the_sweep_goes_on(folder):
    made = Watched(folder)
    assert crash(made, 1) is None
    made.watcher.end()  # the sweep is interrupted
    again = Watched(folder, 0)
    again.table.numbers["ray0"] = [0]
    assert crash(again, 9) == 2  # of two retries one is left
    assert (folder.trials()[0].state, folder.trials()[0].cause, folder.trials()[0].crashes) == ("failed", MACHINE, 3)
    folder.record(0, state="waiting", error="", cause="")  # as `remember` does, for it was the machine
    third = Watched(folder, 0)
    third.table.numbers["ray0"] = [0]
    assert crash(third, 9) == 1
    record = folder.trials()[0]
    assert (record.state, record.cause, record.error, record.crashes) == ("failed", "", "its process died (4 times)", 4)


def test_a_trial_stopped_by_hand_ends_at_its_next_report_with_its_reason(folder):
    made = Watched(folder)
    assert not made.watcher.leaves("ray0")
    made.watcher.leaving[0] = "by hand"
    assert made.watcher.leaves("ray0")
    assert not made.watcher.leaves("ray1")
    made.result(0, score=3.0)
    made.watcher.on_trial_complete(0, [], made.of_ray(0))
    record = folder.trials()[0]
    assert (record.state, record.error, record.score, record.cause) == ("stopped", "by hand", 3.0, "")
    assert folder.trial(0).read().raw["status"] == "stopped"
    assert made.watcher.leaving == {}


def test_a_trial_that_was_stopped_while_its_process_started_stays_so(folder):
    made = Watched(folder)
    made.table.record(0, state="waiting")
    made.watcher.stopped(0, "by hand")
    assert made.watcher.leaves("ray0")
    made.result(0, "finished", score=1.0)
    assert (folder.trials()[0].state, made.table.trials[0].score) == ("stopped", None)


def test_where_the_budget_is_used_up_what_runs_is_stopped_and_what_waits_goes_on_with_more(folder):
    made = Watched(folder)
    made.result(0, "finished", score=1.0)
    made.table.record(2, state="waiting")
    made.result(1, round=20, score=2.0)
    folder.trial(1).update(round=23)  # it played on before it was ended
    made.watcher.ends(Spent("gpu_hours", 1.5, 1.6))
    made.watcher.end()
    assert [(t.state, t.error, t.cause) for t in folder.trials().values()] == [
        ("finished", "", ""), ("stopped", "the sweep's budget of 1.5 GPU hours is used up", BUDGET), ("waiting", "", "")
    ]  # fmt: skip
    assert folder.trials()[1].round == 23
    assert folder.trial(1).read().raw["status"] == "stopped"
