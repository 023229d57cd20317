"""What a sweep knows again when it goes on, and what it refuses to go on without."""

import json
import math
import os

import pytest
import torch
from ray.tune.schedulers import TrialScheduler
from sweep_helpers import TINY, recipe

from ganflow.errors import GanflowError
from ganflow.recipe import read_recipe
from ganflow.runs import folders
from ganflow.runs.checkpoints import BEST, Writer, read
from ganflow.runs.journal import Journal
from ganflow.runs.new import clear_unfinished
from ganflow.runs.workers import Lost
from ganflow.sweeps.repeats import scored
from ganflow.tune.driver import in_time, remember
from ganflow.tune.plan import begin, make_plan
from ganflow.tune.schedulers import Room, make_scheduler
from ganflow.tune.search import Proposals, make_searcher
from ganflow.tune.trial import copy_run
from ganflow.tune.trials import Reason, TrialTable, reason

METRIC = "sliced_w1_256"
DEAD = "The actor died unexpectedly before finishing this task."
AWAY = "unavailable: The actor is temporarily unavailable: RpcError"
LOW = "Task was killed due to the node running low on memory."
KILLED = f"{DEAD} Worker unexpectedly exits with a connection error code 2. End of file. Common causes: (1) the OOM killer"
TRACED = "ray::Trial.train() (pid=1, ip=127.0.0.1)\n  File \"x.py\", line 3, in step\n    f()\n"


@pytest.fixture
def planned(tmp_path, monkeypatch):
    """The tiny recipe's plan, and the folder of a sweep of it that was begun."""
    monkeypatch.chdir(tmp_path)
    plan = make_plan(recipe(tmp_path))
    return plan, begin(plan, tmp_path / "runs", "s")


def begin_trial(sweep, number, points=(), state="running", **values):
    """As a sweep leaves a trial behind that reported these (round, score)."""
    sweep.record(number, config={"optimizer.lr": 1e-3 * (number + 1)})
    sweep.record(number, state=state, **values)
    run = folders.make(sweep.trial(number))
    run.update(status="running", round=0)
    journal = Journal(run.journal)
    for round, score in points:
        journal.append(round, {METRIC: score})
    journal.close()
    return run


def recipe_of(scheduler, folder):
    path = folder / f"{scheduler}.yaml"
    path.write_text(f"{TINY}  scheduler: {scheduler}\n")
    return path


def result(number, round, score):
    return {"trial": number, "round": round, "score": score, "state": "running"}


class OfRay:
    trial_id = "abc"


def live(rule, reports):
    """The trials that stop when Ray tells the rule of these (trial, round, score), one after the other."""
    stopped = []
    for number, round, score in reports:
        if number not in stopped and rule.on_trial_result(None, OfRay(), result(number, round, score)) == TrialScheduler.STOP:
            stopped.append(number)
    return stopped


# ASHA's rungs: 90, 270, 810. Six trials, in turns; what they score does not change.
LEVELS = {0: 1.0, 1: 3.0, 2: 0.5, 3: 2.0, 4: 0.1, 5: 4.0}
TURNS = [(number, round, level) for round in range(100, 901, 100) for number, level in LEVELS.items()]


@pytest.mark.parametrize("scheduler", ["asha", "hyperband", "median"])
def test_the_rule_decides_after_any_interruption_as_if_there_had_been_none(scheduler, tmp_path):
    path = recipe_of(scheduler, tmp_path)
    rule = make_scheduler(read_recipe(path).tune, "min", 900)
    stopped, seen = [], []
    for number, round, score in TURNS:
        if number in stopped:
            continue
        seen.append((number, round, score))
        if rule.on_trial_result(None, OfRay(), result(number, round, score)) == TrialScheduler.STOP:
            stopped.append(number)
    assert stopped
    assert len(stopped) < 5
    for cut in range(0, len(seen), 3):
        again = make_scheduler(read_recipe(path).tune, "min", 900)
        over = again.remember(seen[:cut])
        assert over == {n for n in stopped if seen[:cut] and [r for r in seen if r[0] == n][-1] in seen[:cut]}
        assert over | set(live(again, seen[cut:])) == set(stopped)


@pytest.mark.parametrize("scheduler", ["asha", "hyperband", "median"])
def test_what_is_reported_again_after_a_restart_counts_once(scheduler, tmp_path):
    path = recipe_of(scheduler, tmp_path)
    once, twice = (make_scheduler(read_recipe(path).tune, "min", 900) for _ in range(2))
    half = [r for r in TURNS if r[1] <= 400]
    stopped = live(once, half)
    again = [r for r in half if r[0] not in stopped and r[1] >= 200]
    assert live(twice, half) == stopped
    assert live(twice, again) == []
    rest = [r for r in TURNS if r[1] > 400 and r[0] not in stopped]
    assert live(once, rest) == live(twice, rest)


@pytest.mark.parametrize("scheduler", ["asha", "median"])
def test_what_is_not_a_number_is_not_judged_and_disturbs_nobody(scheduler, tmp_path):
    path = recipe_of(scheduler, tmp_path)
    plain, disturbed = (make_scheduler(read_recipe(path).tune, "min", 900) for _ in range(2))
    odd = [(9, r, bad) for r, bad in ((100, math.nan), (200, math.inf), (300, None), (400, math.nan))]
    assert live(plain, TURNS) == live(disturbed, odd + TURNS)


def test_nobody_is_stopped_at_its_last_round(tmp_path):
    rule = make_scheduler(read_recipe(recipe_of("asha", tmp_path)).tune, "min", 900)
    assert live(rule, [(0, 900, 1.0), (1, 900, 2.0), (2, 899, 3.0)]) == [2]


def test_a_trial_whose_end_was_not_written_down_is_over(planned, tmp_path):
    _, sweep = planned
    begin_trial(sweep, 0, [(100, 1.0), (900, 1.0)], "finished", score=1.0, round=900)
    begin_trial(sweep, 1, [(100, 2.0)])  # ASHA said stop, and the driver was killed
    begin_trial(sweep, 2, [(100, 0.5)])
    plan = make_plan(recipe_of("asha", tmp_path))
    rule = make_scheduler(plan.tune, "min", 900)
    table = TrialTable(sweep, {}, [], sweep.mended())
    assert remember(table, METRIC, make_searcher(plan.tune, plan.space, "min"), rule) == [2]
    records = sweep.trials()
    assert [(t.state, t.score, t.round) for t in records.values()] == [
        ("finished", 1.0, 900), ("stopped", 2.0, 100), ("waiting", None, 0)
    ]  # fmt: skip
    assert sweep.trial(1).read().status == "stopped"


def test_scores_are_learnt_again_in_time_and_not_trial_by_trial(planned, tmp_path):
    """Trial 1 was first at ASHA's rung, so that trial 0, which was worse, stopped there."""
    _, sweep = planned
    reports = {0: [(50.0, 50, 9.0), (200.0, 100, 2.0)], 1: [(100.0, 100, 0.5)]}
    for number, points in reports.items():
        run = begin_trial(sweep, number)
        lines = [{"round": round, "time": time, "values": {METRIC: score, "other": 9.0}} for time, round, score in points]
        run.journal.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    histories = {number: scored(sweep.trial(number), METRIC) for number in (0, 1)}
    assert histories == reports
    assert list(in_time(histories)) == [(0, 50, 9.0), (1, 100, 0.5), (0, 100, 2.0)]
    plan = make_plan(recipe_of("asha", tmp_path))
    table = TrialTable(sweep, {}, [], sweep.mended())
    searcher = make_searcher(plan.tune, plan.space, "min")
    assert remember(table, METRIC, searcher, make_scheduler(plan.tune, "min", 900)) == [1]
    assert [(t.state, t.score, t.round) for t in sweep.trials().values()] == [("stopped", 2.0, 100), ("waiting", None, 0)]


@pytest.mark.parametrize("scheduler", ["asha", "median"])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_more_is_worse_or_better(scheduler, mode, tmp_path):
    rule = make_scheduler(read_recipe(recipe_of(scheduler, tmp_path)).tune, mode, 900)
    levels = {1: 1.0, 2: 2.0, 3: 3.0, 0: 4.0 if mode == "min" else 0.0}
    stopped = live(rule, [(n, round, level) for round in (100, 200, 300) for n, level in levels.items()])
    assert 0 in stopped
    assert (1 if mode == "min" else 3) not in stopped


def test_a_trial_that_went_on_after_all_is_borne(tmp_path):
    """It was to stop, and was killed with its sweep before it did, and played on."""
    rule = make_scheduler(read_recipe(recipe_of("median", tmp_path)).tune, "min", 900)
    turns = [(n, round, float(n)) for round in (100, 200, 300) for n in (1, 2, 3, 9)]
    assert rule.remember(turns[:4]) == {9}
    assert rule.remember(turns[4:]) == set()


def test_asha_keeps_the_best_of_each_rung(tmp_path):
    """Rungs at 10 % (grace) of 900 and thrice that (reduction): of four at the first, the best passes, and so does the first."""
    path = recipe_of("asha", tmp_path)
    tune = read_recipe(path, ["tune.grace=0.1", "tune.reduction=3"]).tune
    assert live(make_scheduler(tune, "min", 900), [(n, 80, float(n)) for n in range(6)]) == []
    assert live(make_scheduler(tune, "min", 900), [(n, 90, float(n)) for n in range(6)]) == [1, 2, 3, 4, 5]
    assert live(make_scheduler(tune, "min", 900), [(n, 90, -float(n)) for n in range(6)]) == []
    rungs = [round for round, _ in make_scheduler(tune, "min", 900).rules[0]._brackets[0]._rungs]
    assert sorted(rungs) == [90, 270, 810]
    wide = read_recipe(path, ["tune.grace=0.05", "tune.reduction=2"]).tune
    assert sorted(round for round, _ in make_scheduler(wide, "min", 400).rules[0]._brackets[0]._rungs) == [20, 40, 80, 160, 320]


def test_hyperbands_brackets_are_the_papers(tmp_path):
    """Li et al. 2018, table 1: with R = 81 and η = 3 the brackets s = 4, …, 0 begin with 81, 34, 15, 8, 5 trials of 1, 3, 9, 27,
    81 rounds; before they are rounded that is 5 · 3^s / (s + 1)."""
    changes = ["tune.scheduler=hyperband", f"tune.grace={1 / 81}", "tune.reduction=3"]
    rule = make_scheduler(read_recipe(recipe_of("asha", tmp_path), changes).tune, "min", 81)
    firsts = [min(round for round, _ in each._brackets[0]._rungs) if each._brackets[0]._rungs else None for each in rule.rules]
    assert firsts == [81, 27, 9, 3, 1]
    brackets = [rule.bracket(number) for number in range(143)]
    assert [abs(brackets.count(s) - size) < 1 for s, size in enumerate((5, 7.5, 15, 33.75, 81))] == [True] * 5
    assert [rule.bracket(number) for number in range(9)] == brackets[:9]
    assert brackets[0] == 4  # the bracket with the most trials is asked first
    assert {*brackets[:10]} >= {4, 3, 2}


def test_who_is_not_running_is_not_judged(tmp_path):
    rule = make_scheduler(read_recipe(recipe_of("asha", tmp_path)).tune, "min", 900)
    live(rule, [(0, 100, 1.0)])
    told = {**result(1, 100, 9.0), "state": "finished"}
    assert rule.on_trial_result(None, OfRay(), told) == TrialScheduler.CONTINUE
    assert live(rule, [(1, 100, 9.0)]) == [1]  # it was not counted


class Searching:
    """A searcher that keeps what it is told."""

    total, learns = 9, True

    def __init__(self):
        self.told, self.known = [], []

    def propose(self, number, passed=0):
        return {"optimizer.lr": float(number)}

    def tell(self, trial):
        score = trial.score if trial.state in ("finished", "stopped") else None
        self.known.append((trial.number, trial.config, score, trial.over))
        self.told += [(trial.number, score)] if trial.over else []


def test_what_a_searcher_is_told_of_trials_of_before(planned):
    _, sweep = planned
    for number, state in enumerate(["finished", "stopped", "diverged", "failed", "running"]):
        sweep.record(number, config={"optimizer.lr": 0.5}, state=state, score=number + 1.0)
    searcher, config = Searching(), {"optimizer.lr": 0.5}
    assert remember(TrialTable(sweep, {}, [], sweep.mended()), METRIC, searcher, None) == [4]
    assert searcher.known == [
        (0, config, 1.0, True), (1, config, 2.0, True), (2, config, None, True), (3, config, None, True), (4, config, None, False)
    ]  # fmt: skip


def proposing(sweep, space, unfinished=(), pack=1):
    template = {"recipe": "", "about": {}, "metric": METRIC, "mode": "min", "stop": {}, "workers": 1}
    table, searcher = TrialTable(sweep, template, ["train.threads=1"], sweep.mended()), Searching()
    return table, searcher, Proposals(table, space, searcher, list(unfinished), Plenty(), pack)


def numbers(told):
    return [order["number"] for order in json.loads(told["specs"])]


def test_every_configuration_is_written_down_before_it_is_tried(planned):
    plan, sweep = planned
    _, _, proposals = proposing(sweep, plan.space)
    (order,) = json.loads(proposals.suggest("a")["specs"])
    assert order["changes"] == ["train.threads=1", "optimizer.lr=0.0", "~tune"]  # its own come last, and win
    assert [json.loads(line) for line in sweep.records.read_text().splitlines()] == [
        {"trial": 0, "config": {"optimizer.lr": 0.0}}
    ]  # fmt: skip


def test_those_that_were_packed_together_are_so_again(planned):
    plan, sweep = planned
    for number in range(5):
        begin_trial(sweep, number)
    _, _, proposals = proposing(sweep, plan.space, [0, 2, 3, 4], pack=2)
    assert [numbers(proposals.suggest(str(i))) for i in range(4)] == [[0], [2, 3], [4], [5, 6]]


def test_a_searcher_is_told_of_each_end_once_and_before_it_is_asked_again(planned):
    plan, sweep = planned
    table, searcher, proposals = proposing(sweep, plan.space)
    for name in "abcd":
        proposals.suggest(name)
    for number, state in enumerate(["finished", "diverged", "failed", "running"]):
        table.update(number, state=state, score=float(number))
    proposals.suggest("e")
    assert searcher.told == [(0, 0.0), (1, None), (2, None)]
    for name in "abcd":
        proposals.on_trial_complete(name, error=name == "d")
    assert searcher.told == [(0, 0.0), (1, None), (2, None), (3, None)]  # it died in the middle


def test_where_there_is_no_room_nothing_is_proposed(planned):
    plan, sweep = planned
    _, _, proposals = proposing(sweep, plan.space)
    proposals.room = Room()
    assert proposals.suggest("a") is not None
    assert proposals.suggest("b") is None
    assert len(sweep.trials()) == 1


def test_a_record_says_only_what_is_new(planned):
    _, sweep = planned
    table = TrialTable(sweep, {}, [])
    table.record(0, config={"a": 1}, state="waiting")
    table.record(0, config={"a": 1}, state="running")
    table.record(0, state="running")
    assert [json.loads(line) for line in sweep.records.read_text().splitlines()] == [
        {"trial": 0, "config": {"a": 1}}, {"trial": 0, "state": "running"}
    ]  # fmt: skip
    assert sweep.ended() == []
    for number, state in ((2, "diverged"), (1, "failed"), (0, "stopped"), (1, "waiting"), (1, "finished"), (3, "running")):
        sweep.record(number, state=state)
    assert sweep.ended() == [2, 0, 1]  # in which they ended for good


class Plenty(Room):
    def admits(self):
        return True


def test_trials_that_are_not_in_the_records_are_proposed(planned):
    plan, sweep = planned
    begin_trial(sweep, 0, state="finished")
    begin_trial(sweep, 2)
    template = {"recipe": "", "about": {}, "metric": METRIC, "mode": "min", "stop": {}, "workers": 1}
    table = TrialTable(sweep, template, [], sweep.mended())
    proposals = Proposals(table, plan.space, make_searcher(plan.tune, plan.space, "min"), [2], Plenty())
    asked = [proposals.suggest(f"trial {i}") for i in range(4)]
    assert [json.loads(told["specs"])[0]["number"] for told in asked[:3]] == [2, 1, 3]
    assert asked[3] is None  # others may be added while these run
    for number in range(4):
        table.update(number, state="finished")
    assert proposals.suggest("trial 4") == Proposals.FINISHED


def test_a_torn_last_record_is_cut_off(planned):
    _, sweep = planned
    sweep.record(0, config={"optimizer.lr": 1e-3})
    whole = sweep.records.read_bytes()
    sweep.records.write_bytes(whole + b'{"trial": 0, "sta')
    assert sweep.mended()[0].state == "waiting"
    assert sweep.records.read_bytes() == whole
    sweep.record(0, state="running")
    assert sweep.trials()[0].state == "running"


def test_a_record_that_does_not_fit_on_the_disk_leaves_no_half(planned, monkeypatch):
    _, sweep = planned
    sweep.record(0, config={"optimizer.lr": 1e-3})
    whole = sweep.records.read_bytes()
    write = os.write
    monkeypatch.setattr("os.write", lambda file, data: write(file, data[:5]))
    with pytest.raises(GanflowError, match=r"trials\.jsonl: No space left"):
        sweep.record(0, state="running")
    monkeypatch.undo()
    assert sweep.records.read_bytes() == whole


DAMAGES = {
    "a record": (lambda s: s.records.write_text('{"trial": 0}\n{"tri\n{"trial": 1}\n'), "trials.jsonl:2 is damaged"),
    "no records": (lambda s: s.records.unlink(), "trials.jsonl is missing"),
    "records cut off": (lambda s: s.records.write_text(""), "trials.jsonl has no configuration of trial 0"),
    "no run.json": (lambda s: (s.path / "run.json").unlink(), "run.json is missing"),
    "half a run.json": (lambda s: (s.path / "run.json").write_text('{"kind": "swe'), "run.json is damaged"),
    "no recipe": (lambda s: s.recipe.unlink(), "recipe.yaml is missing"),
    "half a recipe": (lambda s: s.recipe.write_text("name: tiny\ndata: {use"), "recipe.yaml:"),
    "a journal": (lambda s: s.trial(0).journal.write_text("what\n"), "metrics.jsonl:1 is damaged: no report"),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_sweep_is_refused_and_left_alone(what, planned, command, tmp_path):
    _, sweep = planned
    begin_trial(sweep, 0, [(100, 1.0)])
    if what == "a journal":  # which only a scheduler has to read again
        sweep.recipe.write_text(recipe_of("asha", tmp_path).read_text())
    damage, said = DAMAGES[what]
    damage(sweep)
    before = {p: p.read_bytes() for p in sweep.path.rglob("*") if p.is_file()}
    told = command.refused("tune", "--resume", "s")
    assert said in told
    assert "s" in told
    after = {p: p.read_bytes() for p in sweep.path.rglob("*") if p.is_file() and p.name != ".lock"}
    changed = {p.name for p in before.keys() | after.keys() if before.get(p) != after.get(p)} - {"run.json"}
    assert not changed


def test_names_and_what_cannot_be_gone_on_with(planned, command, tmp_path):
    _, sweep = planned
    assert command.refused("tune", "tiny.yaml", "--name", "s") == (
        f"ganflow: there is already a folder {sweep.path}; go on with it: ganflow tune --resume s, or choose another --name"
    )
    assert "cannot name a folder" in command.refused("tune", "tiny.yaml", "--name", "../s")
    run = folders.make(folders.RunFolder(tmp_path / "runs" / "plain" / "1"))
    run.update(status="finished")
    assert command.refused("tune", "--resume", str(run.path)) == (
        f"ganflow: {run.path} is a run, not a sweep; go on with it: ganflow run --resume 1"
    )
    assert command.refused("tune", "--resume", "nothing") == "ganflow: no sweep 'nothing' in runs/ (ganflow sweeps lists them)"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("tune.resources={gpus: 1.5}", "1.5 GPUs cannot be given to a trial; use a fraction up to 1, or a whole number"),
        ("tune.metric=frechet", "tune.metric: 'frechet' is a metric that this recipe does not evaluate; add it"),
        ("tune.metric=frechett", "tune.metric: 'frechett' is not among what this recipe reports"),
        ("tune.stop={lost: 1}", "tune.stop: 'lost' is not among what this recipe reports"),
        ("tune.space={}", "there is nothing to search"),
    ],
)
def test_what_cannot_be_run_leaves_nothing_behind(change, said, command, tmp_path):
    recipe(tmp_path)
    assert said in command.refused("tune", "tiny.yaml", change)
    assert not (tmp_path / "runs").exists()


def test_a_port_at_which_nobody_listens(command, tmp_path):
    recipe(tmp_path)
    told = command("tune", "tiny.yaml", "--name", "n", "--address", "127.0.0.1:1", "-q")
    assert told[:2] == (2, "")
    assert "no Ray cluster answers at 127.0.0.1:1" in told[2]
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_sweep_that_cannot_go_on_now_is_kept(planned, command):
    _, sweep = planned  # killed before its first trial
    command.refused("tune", "--resume", "s", "--address", "127.0.0.1:1", "-q")
    assert sweep.recipe.exists()
    assert sweep.read().status == "interrupted"


@pytest.mark.parametrize(
    ("of_ray", "said", "machines"),
    [
        ("", "its process died", True),
        (f"{DEAD}\n\tclass_name: Trial\n\tpid: 12", "its process died", True),
        (KILLED, "its process died at once; was it killed, for want of memory?", True),
        (f"The actor 40c7 is {AWAY}", "its process, or its node, was lost", True),
        ("The actor died because its node has died. Node Id: 1", "its node was lost", True),
        ("Traceback (most recent call last):\n  File …\nValueError: what a pity\n", "what a pity", False),
        (f"{TRACED}torch.OutOfMemoryError: CUDA out of memory. Tried", "CUDA out of memory. Tried", False),
        (f"{TRACED}MemoryError: too much", "the machine had too little memory: too much", True),
        (f"{TRACED}{Lost.__module__}.Lost: worker 1 of 2 (pid 7) died", "worker 1 of 2 (pid 7) died", True),
        (LOW, "its process was ended: the node ran out of memory", True),
    ],
)
def test_why_a_process_died(of_ray, said, machines):
    assert reason(of_ray) == Reason(said, machines)


def test_a_disk_that_failed_is_known_by_rays_text():
    text = f"{TRACED}OSError: [Errno 28] No space left on device: '/runs/s/x'\n"
    assert reason(text) == Reason("/runs/s/x: No space left on device; make room", machine=True, broken=True)


def test_what_the_machine_broke_is_tried_again_and_what_is_a_trials_own_is_not(planned):
    plan, sweep = planned
    begin_trial(sweep, 0, [(100, 1.0)], "failed", error="its process died", cause="machine")
    begin_trial(sweep, 1, [(100, 1.0)], "failed", error="CUDA out of memory.")
    begin_trial(sweep, 2, [(100, 1.0)], "finished", score=1.0, round=100)
    table = TrialTable(sweep, {}, [], sweep.mended())
    assert remember(table, METRIC, make_searcher(plan.tune, plan.space, "min"), None) == [0]
    assert [(t.state, t.error, t.cause) for t in sweep.trials().values()] == [
        ("waiting", "", ""), ("failed", "CUDA out of memory.", ""), ("finished", "", "")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("at", "had", "copied", "left"),
    [
        (20, [10, 20, 30], 20, [5, 15, 20]),  # the one that was meant
        (25, [10, 20, 30], 20, [5, 15, 20]),  # the one before it
        (5, [10, 20, 30], 10, [5, 10]),  # older ones are removed already
        (25, [30], None, [5, 15, 40]),  # nothing would be left to play: it stays what it is
        (25, [], None, [5, 15, 40]),
    ],
)
def test_which_checkpoint_is_copied(at, had, copied, left, tmp_path):
    source, target = (folders.make(folders.RunFolder(tmp_path / name)) for name in ("source", "target"))
    for run, value, rounds in ((source, 1.0, had), (target, 2.0, [5, 15, 40])):
        writer = Writer(run.checkpoints, keep=9)
        for round in rounds:
            writer.write({"w": torch.tensor(value)}, {"round": round}, best=round == rounds[0])
        writer.wait()
    assert copy_run(source, target, at, before=30) == copied
    assert [read(p).round for p in sorted(target.checkpoints.glob("round-*"))] == left
    newest = read(target.checkpoints / f"round-{left[-1]:08d}.safetensors")
    assert newest.tensors["w"] == (2.0 if copied is None else 1.0)
    assert read(target.checkpoints / BEST).round == (5 if copied is None else 10)
    assert not list(target.checkpoints.glob(".*"))


def test_a_folder_that_was_being_made_is_made_again(tmp_path):
    half = folders.make(folders.RunFolder(tmp_path / "half"))
    clear_unfinished(half)
    assert not half.path.exists()
    lost = folders.make(folders.RunFolder(tmp_path / "lost"))
    (lost.checkpoints / "round-00000001.safetensors").write_bytes(b"weights")
    with pytest.raises(GanflowError, match=r"lost cannot go on: its run\.json is missing"):
        clear_unfinished(lost)
