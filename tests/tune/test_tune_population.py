"""Population based training without Ray's machinery: who copies whom, when, with which numbers; and what a copy plays with."""

import json
import random
from types import SimpleNamespace

import pytest
import torch
from ray.tune.experiment import Trial as RayTrial
from ray.tune.schedulers import TrialScheduler
from sweep_helpers import recipe

from ganflow.runs import folders
from ganflow.runs.checkpoints import Writer, read
from ganflow.runs.journal import entries
from ganflow.tune.records import SweepFolder
from ganflow.tune.schedulers import Population, Room
from ganflow.tune.trial import SweepTrial, copy_run
from ganflow.tune.trials import TrialSpec, TrialTable

RATE = "optimizer.lr: {loguniform: [1e-6, 1]}"
TEMPLATE = {"recipe": "r.yaml", "about": {}, "metric": "m", "mode": "min", "stop": {}}


class OfRay:
    """A trial of Ray's."""

    def __init__(self, number):
        self.number, self.trial_id, self.status, self.config = number, f"ray{number}", RayTrial.RUNNING, None

    def is_finished(self):
        return False

    def set_config(self, config):
        self.config = config


class Play:
    """Trials that report to population based training, and what it does with them.

    Args:
        count: trials; that of number n has a learning rate of 10^-(n + 1).
    """

    def __init__(self, folder, space, count, mode="min", rounds=100, every=10):
        self.table = TrialTable(folder, TEMPLATE, [])
        self.trials = [OfRay(n) for n in range(count)]
        for n, trial in enumerate(self.trials):
            self.table.record(n, config={"optimizer.lr": 10.0 ** -(n + 1)}, state="running")
            self.table.numbers[trial.trial_id] = [n]
        self.room = Room()
        self.population = Population(self.table, space, mode, rounds, every, 0, self.room)
        self.paused = []
        pause = lambda trial, should_checkpoint: self.paused.append((trial.number, should_checkpoint))  # noqa: E731
        self.controller = SimpleNamespace(get_trials=lambda: self.trials, pause_trial=pause)

    def report(self, number, round, *score, state="running"):
        """What is decided when a trial reports this."""
        result = {"trial": number, "round": round, "state": state, **({"score": score[0]} if score else {})}
        self.table.update(number, round=round)
        return self.population.on_trial_result(self.controller, self.trials[number], result)

    def all_report(self, round, scores):
        """In the middle of a turn, so that nothing is decided yet."""
        for number, score in enumerate(scores):
            assert self.report(number, round, score) == TrialScheduler.CONTINUE

    def copies(self, number):
        return self.table.folder.trials()[number].copied


@pytest.fixture
def play(tmp_path, sweep):
    folder = SweepFolder(tmp_path / "runs" / "s")
    folder.path.mkdir(parents=True)
    folder.update(kind="sweep", id="20260101-000000-0000")
    space = sweep.keys(RATE, more="scheduler: pbt\n")
    return lambda count=4, **more: Play(folder, space, count, **more)


def test_one_of_the_worst_quarter_becomes_a_copy_of_one_of_the_best(play):
    made = play()
    made.all_report(5, [1.0, 2.0, 3.0, 4.0])
    assert made.report(3, 10, 4.0) == TrialScheduler.NOOP
    assert made.paused == [(3, False)]
    record = made.table.folder.trials()[3]
    assert record.copied == [[0, 5]]
    new = record.config["optimizer.lr"]
    assert new != 1e-4
    assert new == pytest.approx(0.08) or new == pytest.approx(0.12)  # near its source's, 0.1; its seed draws no new one
    (order,) = json.loads(made.trials[3].config["specs"])
    assert order["number"] == 3
    assert order["folder"] == str(made.table.folder.trial(3).path)
    assert (order["copy"], order["copy_at"], order["copies"]) == (str(made.table.folder.trial(0).path), 5, 1)
    assert order["changes"] == [f"optimizer.lr={new!r}", "~tune"]


@pytest.mark.parametrize(("mode", "loser", "winner"), [("min", 3, 0), ("max", 0, 3)])
def test_what_is_worse_depends_on_the_mode(play, mode, loser, winner):
    made = play(mode=mode)
    made.all_report(5, [1.0, 2.0, 3.0, 4.0])
    for number in {0, 1, 2, 3} - {loser}:
        assert made.report(number, 10, number + 1.0) == TrialScheduler.CONTINUE
    assert made.report(loser, 10, loser + 1.0) == TrialScheduler.NOOP
    assert made.copies(loser) == [[winner, 10]]


@pytest.mark.parametrize(("count", "losers"), [(1, []), (2, [1]), (3, [2]), (4, [3]), (5, [3, 4]), (8, [6, 7]), (9, [6, 7, 8])])
def test_how_many_a_quarter_is(play, count, losers):
    """Rounded up, but never more than half: sources and copies are different trials."""
    for asked in range(count):
        made = play(count)
        made.all_report(5, map(float, range(count)))
        assert (made.report(asked, 10, float(asked)) == TrialScheduler.NOOP) == (asked in losers), asked
        if asked in losers:
            assert made.copies(asked)[-1][0] < len(losers)


def test_sources_are_drawn_from_all_of_the_best(play):
    drawn = set()
    for seed in range(20):
        made = play(8)
        made.population._random = random.Random(seed)
        made.all_report(5, map(float, range(8)))
        made.report(7, 10, 7.0)
        drawn.add(made.copies(7)[-1][0])
    assert drawn == {0, 1}


def test_a_copy_is_ranked_by_its_sources_score(play):
    made = play()
    made.all_report(5, [1.0, 2.0, 3.0, 4.0])
    assert made.report(3, 10, 4.0) == TrialScheduler.NOOP
    assert made.report(2, 10, 3.0) == TrialScheduler.NOOP  # which is the worst now: 3 has the weights of 0
    assert made.copies(2)[-1][0] == 0


def test_a_copys_next_turn_is_counted_from_its_sources_round(play):
    made = play()
    made.all_report(5, [1.0, 2.0, 3.0, 4.0])
    made.report(0, 17, 1.0)
    assert made.report(3, 10, 4.0) == TrialScheduler.NOOP
    assert made.copies(3) == [[0, 17]]
    assert made.report(3, 26, 9.0) == TrialScheduler.CONTINUE
    made.report(0, 21, 1.0)
    assert made.report(3, 27, 9.0) == TrialScheduler.NOOP
    assert made.copies(3) == [[0, 17], [0, 21]]  # both are kept, and the last is what is to be done
    (order,) = json.loads(made.trials[3].config["specs"])
    assert (order["copies"], order["copy_at"]) == (2, 21)


def test_turns_come_every_so_many_rounds(play):
    made = play()
    made.all_report(5, [1.0, 2.0, 3.0, 4.0])
    assert made.report(3, 9, 4.0) == TrialScheduler.CONTINUE
    assert made.report(3, 12) == TrialScheduler.CONTINUE  # no score: it is due at the next
    assert made.report(3, 13, 4.0) == TrialScheduler.NOOP


def test_one_that_stays_waits_for_its_next_turn(play):
    made = play()
    made.all_report(5, [4.0, 1.0, 2.0, 3.0])
    assert made.report(1, 10, 1.0) == TrialScheduler.CONTINUE
    assert made.report(1, 15, 9.0) == TrialScheduler.CONTINUE
    assert made.report(1, 20, 9.0) == TrialScheduler.NOOP


def test_a_sweep_that_goes_on_counts_turns_as_if_it_had_not_ended(play):
    made = play()
    made.all_report(31, [1.0, 2.0, 3.0, 4.0])
    assert made.report(3, 39, 4.0) == TrialScheduler.CONTINUE
    assert made.report(3, 40, 4.0) == TrialScheduler.NOOP
    made = play()
    made.all_report(35, [1.0, 2.0, 3.0])
    assert made.report(3, 40, 4.0) == TrialScheduler.NOOP  # its first report since: of a turn that ends here


def test_who_is_over_or_has_played_all_is_neither_copied_nor_compared_with(play):
    made = play(5)
    made.all_report(5, [1.0, 2.0, 3.0, 4.0, 5.0])
    made.table.record(0, state="finished")
    assert made.report(1, 100, 2.0) == TrialScheduler.CONTINUE  # the last round: nothing is left to play
    assert made.report(4, 10, 5.0) == TrialScheduler.NOOP
    assert made.copies(4)[-1][0] == 2
    assert made.report(3, 100, 9.0) == TrialScheduler.CONTINUE
    made = play()
    made.all_report(95, [1.0, 2.0, 3.0, 4.0])
    made.trials[0].status = RayTrial.PAUSED  # another waits for its process
    assert made.report(3, 100, 4.0) == TrialScheduler.CONTINUE  # the worst, at its last round


def test_what_is_no_score_is_not_compared(play):
    made = play()
    made.all_report(5, [1.0, 2.0, 3.0, None])
    assert made.report(3, 10, None) == TrialScheduler.CONTINUE  # not a number: nothing is known of it
    assert made.report(2, 10, None) == TrialScheduler.NOOP  # by its score of before
    assert made.report(1, 10, 99.0, state="diverged") == TrialScheduler.CONTINUE
    assert made.copies(1) == []


def test_where_more_live_than_run_they_take_turns_and_the_last_one_goes_first(play):
    made = play()
    made.all_report(5, [1.0, 2.0, 3.0, 4.0])
    made.report(1, 7)
    for number in (0, 1, 2):
        made.trials[number].status = RayTrial.PAUSED
    made.table.update(0, round=6)
    made.table.update(2, round=8)
    assert made.population.choose_trial_to_run(made.controller) is made.trials[0]
    assert made.report(3, 10, 2.5) in (TrialScheduler.NOOP, TrialScheduler.PAUSE)
    assert made.report(3, 20, 0.5) == TrialScheduler.PAUSE  # the best stays what it is, and makes room
    for trial in made.trials:
        trial.status = RayTrial.RUNNING
    assert made.population.choose_trial_to_run(made.controller) is None
    assert made.report(3, 30, 0.5) == TrialScheduler.CONTINUE  # nobody waits
    made.trials[0].status, made.room.waiting = RayTrial.PENDING, 1
    assert made.population.choose_trial_to_run(made.controller) is made.trials[0]  # one that is new
    assert made.report(3, 40, 0.5) == TrialScheduler.PAUSE


def test_the_same_seed_makes_the_same_choices(play):
    def numbers(seed):
        made = play(8)
        made.population = Population(made.table, made.population.space, "min", 100, 10, seed, made.room)
        made.all_report(5, map(float, range(8)))
        made.report(7, 10, 7.0)
        return made.table.trials[7].copied[-1], made.table.trials[7].config

    assert numbers(1) == numbers(1)
    assert len({str(numbers(seed)) for seed in range(8)}) > 2


# What a copy plays with.

ROUNDS = ["train.rounds=40", "train.report_every=2", "train.checkpoint_every=10", "~metrics", "~tune"]
SLOW, FAST, COPY = 1e-3, 2e-3, 7e-3


@pytest.fixture
def trial(tmp_path, monkeypatch):
    """trial(folder, rate, copy=…) → the trial as an executor has it; in the folder of a sweep."""
    monkeypatch.chdir(tmp_path)
    file = recipe(tmp_path)
    sweep = SweepFolder(tmp_path / "runs" / "s")
    sweep.path.mkdir(parents=True)
    sweep.update(kind="sweep", id="20260101-000000-0000", status="running")

    def make(number, rate, **copy):
        changes, folder = [*ROUNDS, f"optimizer.lr={rate}"], str(sweep.trial(number).path)
        if "of" in copy:
            copy["copy"] = str(sweep.trial(copy.pop("of")).path)
        about = {"sweep": sweep.id, "tracking": {}}
        return SweepTrial(TrialSpec(number, str(file), changes, folder, about, "m", "min", {}, **copy))

    return make


def played_to(trial, round):
    """Play a trial to this round, where it is interrupted; its run, and the rounds that it reported."""
    session, reported = trial.open(), []
    for step in session:
        reported.append(step.round)
        if step.round == round:
            session.stop("interrupted")
    return folders.RunFolder(trial.folder), reported


def rates(run, after):
    return {e.values["lr/generator"] for e in entries(run.journal) if e.round > after and "lr/generator" in e.values}


def test_a_copy_plays_on_from_its_sources_round_with_a_rate_of_its_own(trial):
    source, _ = played_to(trial(0, FAST), 20)
    target, _ = played_to(trial(1, SLOW), 10)
    copy = trial(1, COPY, of=0, copy_at=20, copies=1)
    target, reported = played_to(copy, 24)
    assert reported[0] == 22
    assert target.read().raw["copied_at"] == 20
    assert target.read().raw["copies"] == 1
    assert rates(target, 20) == {COPY}
    assert {e.values["lr/generator"] for e in entries(target.journal) if "lr/generator" in e.values} == {SLOW, COPY}
    first, second = (read(run.checkpoints / "round-00000020.safetensors") for run in (source, target))
    assert first.plain == second.plain
    assert all(torch.equal(tensor, second.tensors[name]) for name, tensor in first.tensors.items())


def test_a_trial_that_died_after_it_copied_does_not_copy_again(trial):
    source, _ = played_to(trial(0, FAST), 20)
    played_to(trial(1, SLOW), 10)
    order = {"of": 0, "copy_at": 20, "copies": 1}
    target, _ = played_to(trial(1, COPY, **order), 30)
    source.checkpoints.joinpath("round-00000020.safetensors").unlink()
    played_to(trial(0, FAST), 22)  # its source goes on meanwhile
    target, reported = played_to(trial(1, COPY, **order), 34)
    assert reported[0] == 32
    assert target.read().raw["copied_at"] == 20
    assert rates(target, 20) == {COPY}
    _, reported = played_to(trial(1, SLOW, of=0, copy_at=22, copies=2), 36)  # a second time, which is another copy
    assert reported[0] > 22
    assert target.read().raw["copies"] == 2


def test_one_that_died_before_it_had_a_checkpoint_of_its_own_has_its_rate_all_the_same(trial):
    source, _ = played_to(trial(0, FAST), 20)
    target, _ = played_to(trial(1, SLOW), 10)
    assert copy_run(source, target, 20, 40) == 20
    target.update(copied_at=20, copies=1)
    target, reported = played_to(trial(1, COPY, of=0, copy_at=20, copies=1), 24)
    assert reported[0] == 22
    assert rates(target, 20) == {COPY}


def test_one_that_was_copied_and_whose_copy_is_damaged_has_its_rate_too(trial):
    source, _ = played_to(trial(0, FAST), 20)
    target, _ = played_to(trial(1, SLOW), 10)
    copy_run(source, target, 20, 40)
    target.update(copied_at=20, copies=1)
    (target.checkpoints / "round-00000020.safetensors").write_bytes(b"torn")
    target, reported = played_to(trial(1, COPY, of=0, copy_at=20, copies=1), 14)
    assert reported[0] == 12  # its own, of before
    assert rates(target, 10) == {COPY}


def test_where_there_is_nothing_to_copy_a_trial_goes_on_with_its_new_rate(trial):
    played_to(trial(1, SLOW), 20)
    trial(0, FAST).open()  # which has no checkpoint yet
    target, reported = played_to(trial(1, COPY, of=0, copy_at=20, copies=1), 24)
    assert reported[0] == 22
    assert target.read().raw["copied_at"] == 20
    assert rates(target, 20) == {COPY}


def test_a_round_is_read_from_a_checkpoints_name(tmp_path, monkeypatch):
    """And the file alone that is copied is read: checkpoints are large."""
    source, target = (folders.make(folders.RunFolder(tmp_path / name)) for name in ("source", "target"))
    writer = Writer(source.checkpoints, keep=9)
    for round in (10, 20, 30):
        writer.write({"w": torch.tensor(1.0)}, {"round": round})
    writer.wait()
    asked = []
    monkeypatch.setattr("ganflow.tune.trial.read", lambda path: asked.append(path.name) or read(path))
    assert copy_run(source, target, 20, before=30) == 20
    assert asked == ["round-00000020.safetensors", "best.safetensors"]
    assert copy_run(source, target, 30, before=30) is None
    assert len(asked) == 2


def test_a_damaged_checkpoint_is_not_copied(tmp_path):
    source, target = (folders.make(folders.RunFolder(tmp_path / name)) for name in ("source", "target"))
    for run, rounds in ((source, (10, 20)), (target, (5, 15))):
        writer = Writer(run.checkpoints, keep=9)
        for round in rounds:
            writer.write({"w": torch.tensor(float(round))}, {"round": round})
        writer.wait()
    (source.checkpoints / "round-00000020.safetensors").write_bytes(b"torn")
    assert copy_run(source, target, 20, before=40) == 10
    assert [p.name for p in sorted(target.checkpoints.glob("*"))] == ["round-00000005.safetensors", "round-00000010.safetensors"]
