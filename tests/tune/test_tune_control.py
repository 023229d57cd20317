"""Requests to a sweep, its budget, and changes of its recipe, without Ray's part."""

import json
import math
import os
import signal
from types import SimpleNamespace

import pytest
import yaml
from sweep_helpers import TINY, recipe

from ganflow.errors import GanflowError
from ganflow.recipe import read_recipe
from ganflow.recipe.overrides import assignments
from ganflow.runs import folders
from ganflow.runs.journal import Journal
from ganflow.sweeps.records import BUDGET, MACHINE, TrialRecord
from ganflow.sweeps.repeats import Repeats
from ganflow.sweeps.study import Study
from ganflow.tune.amend import amend
from ganflow.tune.budget import Budget, Spent
from ganflow.tune.control import BY_HAND, EVERY, Control, Live, Request, ask, requests, total_of
from ganflow.tune.driver import remember, tried_again
from ganflow.tune.plan import begin, make_plan
from ganflow.tune.search import Proposals, make_searcher
from ganflow.tune.trials import TrialTable

LR = "optimizer.lr"
TWO = TINY.replace("  space:\n", "  space:\n    optimizer.beta1: {choice: [0.0, 0.5]}\n")


@pytest.fixture
def planned(tmp_path, monkeypatch):
    """The plan of a sweep over two keys, and its folder."""
    monkeypatch.chdir(tmp_path)
    plan = make_plan(recipe(tmp_path, TWO))
    return plan, begin(plan, tmp_path / "runs", "s")


@pytest.fixture
def control(planned):
    """control() → one of the sweep as its folder is now."""
    plan, sweep = planned
    return lambda: Control(TrialTable(sweep, {}, [], sweep.mended()), plan.space, plan.tune)


def left(sweep):
    return sorted(os.listdir(sweep.path / "requests"))


def test_a_request_is_a_small_file_and_the_oldest_comes_first(planned):
    _, sweep = planned
    assert list(requests(sweep)) == []
    ask(sweep, stop=3)
    ask(sweep, stop=None)
    ask(sweep, add={LR: 0.002})
    first, second, third = requests(sweep)
    assert first[0].parent == sweep.path / "requests"
    assert first == (first[0], Request(first[0], stop=3))
    assert second[1] == Request(second[0])
    assert third[1] == Request(third[0], add={LR: 0.002})


@pytest.mark.parametrize(
    "text",
    ["", "[]", "3", "{}", '{"stop": "3"}', '{"stop": true}', '{"stop": -1}', '{"stop": 1, "add": {}}', '{"add": {}}',
     '{"add": 3}', '{"run": "rm -rf /"}', '{"stop": 1}' + " " * 70_000 + "x", "[" * 60_000],
)  # fmt: skip
def test_what_is_no_request_is_passed_over_and_removed(text, planned, control):
    _, sweep = planned
    (sweep.path / "requests").mkdir()
    (sweep.path / "requests" / "1.json").write_text(text)
    notes = []
    control().settle(notes.append)
    assert notes == [f"a request is passed over: {sweep.path / 'requests' / '1.json'} is not a request"]
    assert left(sweep) == []
    assert sweep.trials() == {}


def test_links_pipes_and_scratch_files_are_not_read(planned, control, tmp_path):
    _, sweep = planned
    place = sweep.path / "requests"
    place.mkdir()
    secret = tmp_path / "secret"
    secret.write_text('{"stop": 0}')
    (place / "1.json").symlink_to(secret)
    os.mkfifo(place / "2.json")
    (place / ".3.json.77").write_text('{"stop": 0}')
    (place / "4.json").mkdir()
    sweep.record(0, config={LR: 0.001})
    control().settle(lambda note: None)
    assert sweep.trials()[0].state == "waiting"
    assert left(sweep) == [".3.json.77", "4.json"]
    assert secret.exists()


def test_a_trial_is_added_with_its_values_and_others_drawn(planned, control):
    plan, sweep = planned
    for number in range(2):
        sweep.record(number, config={LR: 0.001}, state="finished")
    ask(sweep, add={"optimizer": {"lr": 0.002}})
    made = control()
    made.settle(pytest.fail)
    added = sweep.trials()[2]  # the next number, as in the study
    assert (added.config[LR], added.state) == (0.002, "waiting")
    assert added.config["optimizer.beta1"] in (0.0, 0.5)
    assert left(sweep) == []
    assert sweep.read().trials == made.total == 5
    assert control().add({"optimizer.beta1": 0.5}) == 3
    table, searcher = TrialTable(sweep, {}, [], sweep.mended()), make_searcher(plan.tune, plan.space, "min")
    assert remember(table, plan.metric, searcher, None) == [2, 3]


def test_an_added_trial_takes_nothing_from_the_searcher_and_has_its_number_in_the_study(tmp_path, planned, control):
    """Of the searcher's trials each is the one that it would have been; those added have the numbers that come next."""
    plan, sweep = planned
    table, study = control().table, Study(plan.space, plan.mode, "s", tmp_path / "optuna.journal")
    table.template = {"recipe": "r.yaml", "about": {}, "metric": "m", "mode": "min", "stop": {}}
    searcher = make_searcher(plan.tune, plan.space, "min", study)
    room = SimpleNamespace(admits=lambda: True)
    proposals = Proposals(table, plan.space, searcher, [], room)
    live = Live(Control(table, plan.space, plan.tune), SimpleNamespace(display=Silent()), searcher, None, None)
    for id in "ab":
        proposals.suggest(id)
    assert live.add({LR: 0.002}) == 2
    live.add({LR: 0.003})
    for id in "cdefg":
        proposals.suggest(id)
    known = {number: trial.config for number, trial in sweep.trials().items()}
    assert sorted(known) == list(range(6))
    assert [known[n] for n in (0, 1, 4, 5)] == make_searcher(plan.tune, plan.space, "min").configs
    assert [known[n][LR] for n in (2, 3)] == [0.002, 0.003]
    assert [t.user_attrs["ganflow.trial"] for t in study.study.trials] == [t.number for t in study.study.trials] == list(range(6))
    assert table.numbers == {id: [n] for n, id in enumerate("ab")} | {"c": [2], "d": [3], "e": [4], "f": [5]}


class Silent:
    """A display that shows nothing."""

    def __getattr__(self, name):
        return lambda *arguments: None


def test_trials_that_were_packed_together_are_so_again_whatever_was_added(planned, control):
    plan, sweep = planned
    for number in range(7):
        sweep.record(number, config={LR: 0.001 + number / 1000}, state="waiting", request=BY_HAND if number in (2, 5) else "")
    table = TrialTable(sweep, {}, [], sweep.mended())
    proposals = Proposals(table, plan.space, make_searcher(plan.tune, plan.space, "min"), list(range(7)), None, pack=2)
    packs = [proposals._left_over() for _ in range(5)]
    assert packs == [[0, 1], [2], [3, 4], [5], [6]]


def test_the_same_point_is_not_tried_twice(planned, control, command):
    _, sweep = planned
    values = {"optimizer.beta1": 0.5, LR: 0.002}
    control().add(values)
    typed = [f"{key}={value}" for key, value in values.items()]
    assert command.refused("sweeps", "add", "s", *typed) == "ganflow: trial 0 has these values already"
    assert control().add({LR: 0.002, "optimizer.beta1": 0.0}) == 1
    sweep.update(status="running", host="another-machine")
    assert command.refused("sweeps", "add", "s", *typed) == "ganflow: trial 0 has these values already"
    assert command("sweeps", "add", "s", f"{LR}=3e-3")[0] == 0
    assert command.refused("sweeps", "add", "s", f"{LR}=0.003") == "ganflow: s was asked already to try these values"
    assert len(left(sweep)) == 1


def test_a_number_is_text_to_a_key_of_text():
    """As everywhere on the command line: quotes are for a shell, and nobody types two pairs."""
    takes_text = lambda key, value: key == "data.path" and value in ("2024", "x")  # noqa: E731
    assert assignments(["data.path=2024", "optimizer.lr=1e-3"], takes_text) == {"data.path": "2024", LR: 0.001}
    assert assignments(["data.path=x"], takes_text) == {"data.path": "x"}
    assert assignments(["data.path=2024", "modifiers.0.c=1"]) == {"data.path": 2024, "modifiers[0].c": 1}


def test_a_population_takes_no_more_trials_once_one_has_played_to_its_end(tmp_path, monkeypatch):
    """They would be compared with none that began before them."""
    monkeypatch.chdir(tmp_path)
    plan = make_plan(recipe(tmp_path, TWO), ["tune.scheduler=pbt"])
    sweep = begin(plan, tmp_path / "runs", "p")
    for number in range(4):
        sweep.record(number, config={LR: 0.001}, state="running")
    assert amend(sweep, ["tune.trials=5"]) == ["tune.trials: 4 → 5"]
    add = lambda: Control(TrialTable(sweep, {}, [], sweep.mended()), plan.space, plan.tune).add({LR: 0.002})  # noqa: E731
    assert add() == 4
    sweep.record(1, state="finished")
    why = (
        "pbt trains one population, which takes no more trials: trial 1 has played to its end, and one that begins now would be "
        "compared with later ones alone; begin a new sweep from it: ganflow tune runs/p/recipe.yaml"
    )
    with pytest.raises(GanflowError) as refused:
        add()
    assert str(refused.value) == why
    with pytest.raises(GanflowError) as refused:
        amend(sweep, ["tune.trials=8"])
    assert str(refused.value) == f"{why} tune.trials=8"


def test_one_that_was_recorded_before_the_driver_was_killed_is_not_added_twice(planned, control):
    _, sweep = planned
    ask(sweep, add={LR: 0.002})
    ((path, request),) = requests(sweep)
    text = path.read_text()
    control().settle(pytest.fail)
    path.write_text(text)  # as if it had not been removed
    control().settle(pytest.fail)
    assert [t.request for t in sweep.trials().values()] == [request.id]
    assert left(sweep) == []


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({LR: 5}, f"{LR}: 5 is not in the space (loguniform [0.0001, 0.01])"),
        ({"optimizer.lrr": 5}, f"'optimizer.lrr' is not in the space; did you mean '{LR}'? (keys: optimizer.beta1, {LR})"),
        ({LR: "__import__('os').system('true')"}, "is not in the space"),
    ],
)
def test_values_that_are_not_in_the_space(values, why, planned, control):
    _, sweep = planned
    ask(sweep, add=values)
    notes = []
    control().settle(notes.append)
    assert len(notes) == 1
    assert notes[0].startswith("a request is passed over: ")
    assert why in notes[0]
    assert (sweep.trials(), left(sweep)) == ({}, [])


def test_a_trial_that_waits_or_would_be_tried_again_is_stopped_for_good(planned, control):
    plan, sweep = planned
    states = [{"state": "waiting"}, {"state": "failed", "cause": MACHINE}, {"state": "finished", "score": 1.0}]
    for number, values in enumerate(states):
        sweep.record(number, config={LR: 0.001}, **values)
        folders.make(sweep.trial(number)).update(status="interrupted" if number == 0 else values["state"])
        ask(sweep, stop=number)
    journal = Journal(sweep.trial(0).journal)
    for round, score in ((50, 0.5), (70, 0.25), (90, math.nan)):
        journal.append(round, {plan.metric: score})
    journal.close()
    ask(sweep, stop=9)
    ask(sweep, stop=None)  # of a session before
    notes = []
    control().settle(notes.append)
    assert [(t.state, t.error, t.cause) for t in sweep.trials().values()] == [
        ("stopped", BY_HAND, ""), ("stopped", BY_HAND, ""), ("finished", "", "")
    ]  # fmt: skip
    assert [sweep.trial(n).read().status for n in range(3)] == ["stopped", "stopped", "finished"]
    assert [(t.round, t.score) for t in sweep.trials().values()] == [(70, 0.25), (0, None), (0, 1.0)]
    assert notes == ["a request is passed over: there is no trial 9"]
    assert left(sweep) == []
    assert sweep.read().over == 3
    table = TrialTable(sweep, {}, [], sweep.mended())
    assert remember(table, plan.metric, make_searcher(plan.tune, plan.space, "min"), None, retry_failed=True) == []


def test_how_many_trials_there_will_be():
    proposed, added = [TrialRecord(n, {}) for n in (0, 1)], [TrialRecord(n, {}, request=BY_HAND) for n in (4, 5)]
    assert total_of(4, []) == total_of(4, proposed) == 4
    assert total_of(4, [*proposed, *added]) == 6
    assert total_of(8, [*proposed, *added]) == 10  # the searcher proposes eight


@pytest.mark.parametrize(
    ("values", "plain", "failed"),
    [
        ({"state": "failed"}, False, True),
        ({"state": "failed", "cause": MACHINE}, True, True),
        ({"state": "diverged"}, False, False),
        ({"state": "finished"}, False, False),
        ({"state": "stopped"}, False, False),
        ({"state": "stopped", "cause": BUDGET}, True, True),
        ({"state": "waiting"}, False, False),
    ],
)
def test_which_trials_are_tried_again(values, plain, failed, planned):
    plan, sweep = planned
    record = TrialRecord(0, {LR: 0.001}, **values)
    assert (tried_again(record, False), tried_again(record, True)) == (plain, failed)
    sweep.record(0, config={LR: 0.001}, crashes=3, error="x", **values)
    table = TrialTable(sweep, {}, [], sweep.mended())
    remember(table, plan.metric, make_searcher(plan.tune, plan.space, "min"), None, retry_failed=True)
    new = sweep.trials()[0]
    assert (new.state, new.cause) == ("waiting", "") if failed else (new.state, new.cause) == (record.state, record.cause)
    assert new.crashes == (0 if failed else 3)


class Clock:
    """A clock for `ganflow.tune.budget`, which is set by hand."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr("ganflow.tune.budget.time", SimpleNamespace(monotonic=lambda: self.now))


def test_time_is_counted_over_all_sessions(planned, monkeypatch):
    _, sweep = planned
    tune = read_recipe(sweep.recipe, ["tune.budget={hours: 1, gpu_hours: 2}", "tune.resources={gpus: 0.5}"]).tune
    clock = Clock(monkeypatch)
    budget = Budget(tune, sweep)
    clock.now += 10
    budget.count(running=3)
    assert sweep.read().seconds == 0
    clock.now += 1790
    budget.count(running=4)
    assert (sweep.read().seconds, sweep.read().gpu_seconds) == (1800, 10 * 3 * 0.5 + 1790 * 4 * 0.5)
    assert budget.spent(99) is None

    clock.now += 99_999  # nobody runs it
    again = Budget(tune, sweep)
    clock.now += 1799
    again.count(running=0)
    assert again.spent(0) is None
    clock.now += 1
    again.count(running=0)
    assert again.spent(0) == Spent("hours", 1, 1)
    again.note()
    gpu = read_recipe(sweep.recipe, ["tune.budget={gpu_hours: 2}", "tune.resources={gpus: 0.5}"]).tune
    third = Budget(gpu, sweep)
    clock.now += 3600
    third.count(running=2)
    assert third.spent(0) is None  # 3595 GPU seconds, and 3600
    clock.now += 5
    third.count(running=2)
    assert third.spent(0) == Spent("gpu_hours", 2, 2)


def test_how_long_a_budget_lasts(planned, monkeypatch):
    _, sweep = planned
    limits = {"hours": 1, "gpu_hours": 2}
    clock = Clock(monkeypatch)
    budget = Budget(SimpleNamespace(budget=limits, resources={"gpus": 0.5}), sweep)
    assert budget.left() == 3600
    clock.now += 600
    budget.count(running=8)
    assert budget.left() == 3600 * 2 / 4 - 600  # by four GPUs
    assert Budget(SimpleNamespace(budget={}, resources={}), sweep).left() == math.inf


def test_a_trial_that_goes_on_is_as_far_as_its_checkpoint(planned):
    """Who is furthest behind, and how long the sweep will last, follow from it: at once, and not only from its next report on."""
    plan, sweep = planned
    sweep.record(0, config={LR: 0.001}, state="running")
    sweep.record(1, config={LR: 0.002}, state="waiting")
    folders.make(sweep.trial(0)).update(status="interrupted", round=50)
    table = TrialTable(sweep, {}, [], sweep.mended())
    assert remember(table, plan.metric, make_searcher(plan.tune, plan.space, "min"), None) == [0, 1]
    assert [trial.round for trial in table.trials.values()] == [50, 0]


def test_failures_are_counted(planned):
    _, sweep = planned
    budget = Budget(read_recipe(sweep.recipe, ["tune.budget={failures: 3}"]).tune, sweep)
    assert budget.spent(2) is None
    assert budget.spent(3) == Spent("failures", 3, 3)


@pytest.mark.parametrize(
    ("spent", "text", "more"),
    [
        (Spent("hours", 8, 8.01), "8 hours", "tune.budget.hours=12"),
        (Spent("hours", 1, 6), "1 hour", "tune.budget.hours=9"),
        (Spent("gpu_hours", 0.5, 0.5), "0.5 GPU hours", "tune.budget.gpu_hours=0.75"),
        (Spent("failures", 1, 1), "1 failure", "tune.budget.failures=2"),
        (Spent("failures", 5, 7), "5 failures", "tune.budget.failures=11"),
        (Spent("hours", 1000, 1000.02), "1000 hours", "tune.budget.hours=1500"),
    ],
)
def test_what_is_used_up_and_what_would_do(spent, text, more, planned):
    assert str(spent) == f"the sweep's budget of {text} is used up"
    assert spent.more == more
    resources = "tune.resources={gpus: 1}"
    amend(planned[1], [more, resources])
    assert planned[1].read().amended[-1]["changed"][-1].startswith("tune.budget.")


@pytest.mark.parametrize(
    ("budget", "problem"),
    [
        ("{days: 1}", "tune.budget: unknown key 'days' in tune.budget (keys: hours, gpu_hours, failures)"),
        ("{hours: 0}", "tune.budget: 0 hours are no budget; use a number above 0"),
        ("{hours: .nan}", "tune.budget.hours: .nan is not a finite number"),
        ("{failures: 2.5}", "tune.budget: 2.5 failures are no budget; use a whole number above 0"),
        ("{gpu_hours: 3}", "tune.budget: gpu_hours are not used by trials without a GPU; set tune.resources.gpus, or leave it "
         "out (tune.budget.gpu_hours=null) and use hours"),
        ("8", "tune.budget: "),
    ],
)
def test_budgets_that_are_none(budget, problem, tmp_path):
    with pytest.raises(GanflowError) as refused:
        read_recipe(recipe(tmp_path), [f"tune.budget={budget}"])
    assert problem in str(refused.value)


def test_a_sweep_that_has_begun_is_changed_and_the_change_is_recorded(planned):
    _, sweep = planned
    sweep.update(tracking={**sweep.read().tracking, "uri": "sqlite:///x.db"})
    assert amend(sweep, ["tune.trials=4"]) == []
    assert sweep.read().amended == []
    assert amend(sweep, ["tune.trials=20", "tune.retries=5"]) == ["tune.trials: 4 → 20", "tune.retries: 2 → 5"]
    assert amend(sweep, ["track.run_name=mine", "tune.concurrency=2", "tune.resources.cpus=2"]) == [
        "track.run_name: null → mine", "tune.resources.cpus: 0.5 → 2.0", "tune.concurrency: 0 → 2"
    ]  # fmt: skip
    tune = make_plan(sweep.recipe).tune
    assert (tune.trials, tune.retries, tune.concurrency, tune.resources) == (20, 5, 2, {"cpus": 2.0})
    record = sweep.read()
    assert [change["changed"][0] for change in record.amended] == ["tune.trials: 4 → 20", "track.run_name: null → mine"]
    assert record.tracking["run_name"] == "mine"
    assert record.tracking["files"] == ["best.yaml", "trials.csv"]
    assert yaml.safe_load(sweep.recipe.read_text())["tune"]["space"][LR] == {"loguniform": [1e-4, 1e-2]}
    assert sweep.recipe.read_text().startswith(f"# ganflow tune {sweep.recipe}\n")


@pytest.mark.parametrize(
    ("change", "key", "why"),
    [
        ("tune.seed=3", "tune.seed", "its trials were drawn with another"),
        ("tune.search=optuna", "tune.search", "its trials were proposed by another searcher"),
        ("tune.rounds=100", "tune.rounds", "its trials played another number of rounds"),
        ("tune.scheduler=asha", "tune.scheduler", "its trials were played by other rules"),
        ("tune.mode=max", "tune.mode", "its trials were judged the other way round"),
        ("tune.metric=critic/non_saturating", "tune.metric", "its trials were judged by another"),
        ("tune.space.optimizer.lr={uniform: [0.1, 0.2]}", "tune.space", "trials of another space are another search"),
        ("optimizer.beta2=0.99", "optimizer.beta2", "its trials trained something else"),
        ("train.rounds=7000", "train.rounds", "its trials trained something else"),
    ],
)  # fmt: skip
def test_what_cannot_change(change, key, why, planned):
    _, sweep = planned
    before = sweep.recipe.read_bytes()
    with pytest.raises(GanflowError) as refused:
        amend(sweep, ["tune.trials=20", change])
    text = str(refused.value)
    assert key in text
    assert f" cannot change in a sweep that has begun: {why}; begin a new sweep from it: ganflow tune runs/s/recipe.yaml " in text
    assert text.endswith(" --from s") == (change == "tune.search=optuna")  # the only one that learns, of trials that are alike
    assert sweep.recipe.read_bytes() == before
    assert sweep.read().amended == []


def test_trials_that_were_proposed_cannot_be_taken_back(planned):
    _, sweep = planned
    for number in range(3):
        sweep.record(number, config={LR: 0.001}, state="finished")
    with pytest.raises(GanflowError) as refused:
        amend(sweep, ["tune.trials=2"])
    assert str(refused.value) == "tune.trials: 3 trials have been proposed already, so 2 are too few; use 3 or more"
    assert amend(sweep, ["tune.trials=3"]) == ["tune.trials: 4 → 3"]
    assert make_plan(sweep.recipe).tune.trials == 3


def test_a_grid_cannot_become_larger(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = make_plan(recipe(tmp_path, TWO), ["tune.search=grid"])
    sweep = begin(plan, tmp_path / "runs", "g")
    with pytest.raises(GanflowError) as refused:
        amend(sweep, ["tune.trials=20"])
    assert str(refused.value) == (
        "tune.trials: a grid has as many trials as points, and these cannot become more; begin a new sweep from it: "
        "ganflow tune runs/g/recipe.yaml tune.trials=20 tune.search=random"
    )


def test_a_sweep_that_runs_is_not_changed(planned):
    _, sweep = planned
    with folders.locked(sweep), pytest.raises(GanflowError, match="another process runs the sweep s already"):
        amend(sweep, ["tune.trials=20"])


def test_the_command_line(planned, command):
    _, sweep = planned
    assert command("sweeps", "add", "s", f"{LR}=2e-3", "optimizer.beta1=0.5") == (
        0, "trial 0 of s is added; try it with: ganflow tune --resume s\n", ""
    )  # fmt: skip
    assert sweep.trials()[0].config == {"optimizer.beta1": 0.5, LR: 0.002}
    assert command.refused("sweeps", "add", "s", f"{LR}=5").startswith(f"ganflow: {LR}: 5 is not in the space (loguniform")
    assert command.refused("sweeps", "add", "s") == "ganflow: which values? e.g. ganflow sweeps add s optimizer.lr=1e-3"
    assert "is not key=value" in command.refused("sweeps", "add", "s", "~optimizer")
    assert command("sweeps", "stop", "s", "0") == (
        0, "trial 0 of s is stopped: ganflow tune --resume s does not go on with it\n", ""
    )  # fmt: skip
    assert command.refused("sweeps", "stop", "s", "0") == "ganflow: trial 0 of s is over already: it was stopped"
    assert command.refused("sweeps", "stop", "s", "x") == (
        "ganflow: stop takes the number of one trial of s, not 'x'; its trials have the numbers 0 to 0"
    )
    assert command.refused("sweeps", "stop", "s") == (
        "ganflow: s does not run (waiting), so there is nothing to stop; to leave out a trial when it goes on: "
        "ganflow sweeps stop s TRIAL"
    )
    assert command.refused("sweeps", "stop") == "ganflow: stop which sweep? (ganflow sweeps lists them)"
    assert command.refused("sweeps", "show", "s", "4") == "ganflow: show takes one sweep; leave out 4"
    assert not (sweep.path / "requests").exists()
    sweep.update(status="running", host="another-machine")  # which shares the folder: its driver meets the requests
    sweep.record(0, config={LR: 0.001}, state="running")
    assert command("sweeps", "stop", "s", "0")[:2] == (0, "trial 0 of s will stop at its next report, with a checkpoint\n")
    assert command("sweeps", "add", "s", f"{LR}=2e-3")[:2] == (0, "s will try it next\n")
    assert command("sweeps", "stop", "s")[:2] == (
        0, "s will stop, every trial with a checkpoint; go on with: ganflow tune --resume s\n"
    )  # fmt: skip
    assert [json.loads(path.read_text()) for path, _ in requests(sweep)] == [{"stop": 0}, {"add": {LR: 0.002}}, {"stop": None}]


def test_what_goes_with_resume(planned, command):
    assert command.refused("tune", "tiny.yaml", "--retry-failed") == (
        "ganflow: --retry-failed goes with --resume: ganflow tune --resume NAME --retry-failed"
    )
    assert "tune.seed cannot change" in command.refused("tune", "--resume", "s", "tune.seed=3")
    assert "leave out the recipe" in command.refused("tune", "tiny.yaml", "--resume", "s")


def test_resources_that_this_machine_has_not_got_change_nothing(planned, command):
    """Else the sweep could not go on any more without another change."""
    _, sweep = planned
    before = sweep.recipe.read_text()
    said = command.refused("tune", "--resume", "s", "tune.resources={cpus: 1000}")
    assert said.startswith("ganflow: command line: tune.resources: a trial wants 1000 CPUs; this machine has ")
    assert (sweep.recipe.read_text(), sweep.read().amended) == (before, [])


def test_points_that_would_not_fit_are_known_before_anything_is_changed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    points = "".join(f"    - {{optimizer.lr: {lr}}}\n" for lr in ("1.0e-3", "2.0e-3", "3.0e-3"))
    plan = make_plan(recipe(tmp_path, f"{TWO}  points:\n{points}"))
    sweep = begin(plan, tmp_path / "runs", "p")
    with pytest.raises(GanflowError, match=r"3 points do not fit into 2 trials; raise tune\.trials"):
        amend(sweep, ["tune.trials=2"])
    assert make_plan(sweep.recipe).tune.trials == 4


class Running:
    """The control of a sweep whose trials 0, and 1 with 2, run, and what it is told to do."""

    def __init__(self, planned, control, monkeypatch, limits):
        _, self.sweep = planned
        for number, state in enumerate(["running", "running", "running", "waiting"]):
            self.sweep.record(number, config={LR: 0.001}, state=state)
        before = control()
        self.table = before.table
        self.table.numbers.update({"a": [0], "b": [1, 2]})
        self.ends = []
        self.notes, self.totals, self.told, self.ended, self.stopped, self.now = [], [], [], [], [], 0.0
        display = SimpleNamespace(note=self.notes.append, expect=self.totals.append, expect_end=self.ends.append)
        self.watcher = SimpleNamespace(display=display, leaving={}, ends=self.ended.append, stopped=self.stop)
        searcher = SimpleNamespace(tell=lambda *arguments, **more: self.told.append((*arguments, more)))
        self.interruption = SimpleNamespace(signal=0)
        budget = Budget(SimpleNamespace(budget=limits, resources={}), self.sweep)
        self.live = Live(before, self.watcher, searcher, budget, self.interruption)
        monkeypatch.setattr("ganflow.tune.control.time", SimpleNamespace(monotonic=lambda: self.now))

    def stop(self, number, why):
        self.stopped.append((number, why))
        self.table.record(number, state="stopped", error=why)

    def step(self):
        self.now += EVERY
        self.live.on_step_begin(0, [])


@pytest.fixture
def running(planned, control, monkeypatch):
    return lambda **limits: Running(planned, control, monkeypatch, limits)


def test_a_request_to_stop_a_trial_stays_until_it_is_over(running):
    made = running()
    ask(made.sweep, stop=0)
    made.step()
    assert made.watcher.leaving == {0: BY_HAND}
    assert len(left(made.sweep)) == 1
    made.table.record(0, state="finished")  # before it could be stopped
    made.live.on_step_begin(0, [])  # not yet: once in a second
    assert len(left(made.sweep)) == 1
    made.step()
    assert left(made.sweep) == []
    assert (made.notes, made.stopped) == ([], [])


def test_a_trial_that_waits_is_stopped_at_once_and_the_searcher_hears_of_it(running):
    made = running()
    ask(made.sweep, stop=3)
    made.step()
    ((trial,),) = [told[:-1] for told in made.told]
    assert (made.stopped, trial.number, trial.config, left(made.sweep)) == ([(3, BY_HAND)], 3, {LR: 0.001}, [])


def test_one_of_a_pack_is_stopped_by_its_process(running):
    """Which sees the request; Ray would end all of them."""
    made = running()
    ask(made.sweep, stop=2)
    made.step()
    assert (made.notes, len(left(made.sweep)), made.watcher.leaving, made.stopped) == ([], 1, {}, [])
    made.table.record(2, state="stopped")
    made.step()
    assert (made.notes, left(made.sweep)) == ([], [])


def test_a_trial_that_is_added_is_to_be_begun_next(running):
    made = running()
    ask(made.sweep, add={LR: 0.002, "optimizer.beta1": 0.5})
    made.step()
    assert (made.table.added, made.totals, left(made.sweep)) == ([4], [5], [])
    ((trial,),) = [told[:-1] for told in made.told]
    assert (trial.number, trial.config, trial.over) == (4, {LR: 0.002, "optimizer.beta1": 0.5}, False)


def test_the_whole_sweep_is_stopped_as_by_ctrl_c(running):
    made = running()
    ask(made.sweep, stop=None)
    made.step()
    assert (made.interruption.signal, left(made.sweep)) == (signal.SIGINT, [])


def test_a_budget_that_is_used_up_ends_the_sweep(running):
    made = running(failures=1)
    made.step()
    assert made.ended == []
    made.table.record(0, state="failed")
    made.step()
    assert made.ended == [Spent("failures", 1, 1)]


def test_a_trial_whose_seeds_failed_is_one_failure(running):
    made = running(failures=2)
    made.table.repeats = Repeats((0, 1))
    for run in (0, 1):
        made.table.record(run, state="failed")
    made.step()
    assert made.ended == []
    made.table.record(2, state="failed")  # the next trial's first
    made.step()
    assert made.ended == [Spent("failures", 2, 2)]


def test_a_disk_that_fails_interrupts_the_sweep(running, monkeypatch):
    made = running()
    broken = []
    made.watcher.breaks = broken.append
    ask(made.sweep, add={LR: 0.002})
    monkeypatch.setattr("os.write", lambda file, data: 0)
    made.step()
    monkeypatch.undo()
    assert len(broken) == 1
    assert "No space left on device" in broken[0]
    assert len(left(made.sweep)) == 1
