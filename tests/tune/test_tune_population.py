"""Population based training without Ray's machinery: who copies whom, when, with which numbers; and what a copy plays with."""

import json
from types import SimpleNamespace

import pytest
import torch
from ray.tune.experiment import Trial as RayTrial
from ray.tune.schedulers import TrialScheduler
from sweep_helpers import recipe

from ganflow.contract.data import Field, StreamData
from ganflow.engine.feed import StreamFeed
from ganflow.recipe import Tune, read_recipe
from ganflow.runs import folders
from ganflow.runs.checkpoints import Writer, read
from ganflow.runs.journal import entries
from ganflow.runs.new import Copy
from ganflow.runs.run import Parts
from ganflow.runs.start import open_trial
from ganflow.runs.workers import started_workers
from ganflow.sweeps.records import SweepFolder
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

    def __init__(self, folder, space, count, mode="min", **tune):
        self.table = TrialTable(folder, TEMPLATE, [])
        self.trials = [OfRay(n) for n in range(count)]
        for n, trial in enumerate(self.trials):
            self.table.record(n, config={"optimizer.lr": 10.0 ** -(n + 1)}, state="running")
            self.table.numbers[trial.trial_id] = [n]
            self.stores(n, 1)
        self.room = Room()
        self.population = Population(self.table, space, Tune(scheduler="pbt", **tune), mode, 100, self.room)
        self.paused = []
        pause = lambda trial, should_checkpoint: self.paused.append((trial.number, should_checkpoint))  # noqa: E731
        self.controller = SimpleNamespace(get_trials=lambda: self.trials, pause_trial=pause)

    def stores(self, number, round):
        """A checkpoint of a trial; its name alone counts here."""
        folder = self.table.folder.trial(number).checkpoints
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"round-{round:08d}.safetensors").touch()

    def begins(self, number):
        """A trial that is to become a copy does so."""
        self.table.folder.trial(number).update(copies=len(self.table.trials[number].copied))

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
    assert (record.copied, record.inherited, record.due) == ([[0, 1]], 1.0, 20)
    new = record.config["optimizer.lr"]
    assert new != 1e-4
    assert new == pytest.approx(0.08) or new == pytest.approx(0.12)  # near its source's, 0.1; its seed draws no new one
    (order,) = json.loads(made.trials[3].config["specs"])
    assert order["number"] == 3
    assert order["folder"] == str(made.table.folder.trial(3).path)
    assert (order["copy"], order["copy_at"], order["copies"]) == (0, 1, 1)
    assert order["changes"] == [f"optimizer.lr={new!r}", "~tune"]


@pytest.mark.parametrize(("mode", "loser", "winner"), [("min", 3, 0), ("max", 0, 3)])
def test_what_is_worse_depends_on_the_mode(play, mode, loser, winner):
    made = play(mode=mode)
    made.all_report(5, [1.0, 2.0, 3.0, 4.0])
    for number in {0, 1, 2, 3} - {loser}:
        assert made.report(number, 10, number + 1.0) == TrialScheduler.CONTINUE
    assert made.report(loser, 10, loser + 1.0) == TrialScheduler.NOOP
    assert made.copies(loser) == [[winner, 1]]


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
        made = play(8, seed=seed)
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


@pytest.mark.parametrize(("stored", "due"), [(10, 20), (15, 30), (20, 30)])
def test_a_copys_next_turn_is_an_interval_after_the_checkpoint_that_it_goes_on_from(stored, due, play):
    """And on the interval as all others are, however often it is asked before."""
    made = play()
    made.all_report(5, [1.0, 2.0, 3.0, 4.0])
    made.report(0, 23, 1.0)
    made.stores(0, stored)
    assert made.report(3, 10, 4.0) == TrialScheduler.NOOP
    assert made.copies(3) == [[0, stored]]
    made.begins(3)
    for round in range(stored + 1, due):
        assert made.report(3, round, 9.0) == TrialScheduler.CONTINUE
    made.stores(0, 31)
    assert made.report(3, due, 9.0) == TrialScheduler.NOOP
    assert made.copies(3) == [[0, stored], [0, 31]]  # both are kept, and the last is what is to be done
    (order,) = json.loads(made.trials[3].config["specs"])
    assert (order["copies"], order["copy_at"]) == (2, 31)


def test_only_a_trial_with_a_checkpoint_of_its_weights_is_a_source(play):
    """One that is to become a copy has checkpoints of what it was before; one that has none would give its values without the
    weights that earned its score; and from the last round on there is nothing to play."""
    made = play(8)
    made.all_report(5, map(float, range(8)))
    for path in made.table.folder.trial(0).checkpoints.glob("*"):
        path.rename(path.with_name("round-00000100.safetensors"))
    assert made.report(7, 10, 7.0) == TrialScheduler.NOOP
    assert made.copies(7) == [[1, 1]]
    made.report(1, 12, 99.0)
    made.report(6, 10, 6.0)  # 0 and 7, which has the score of 1, are the best now
    assert made.copies(6) == []
    assert made.table.trials[6].due == 20
    made.begins(7)
    assert made.report(6, 20, 6.0) == TrialScheduler.NOOP
    assert made.copies(6) == [[7, 1]]


def test_a_sweep_that_goes_on_knows_what_one_knows_that_was_never_interrupted(play):
    """Whoever has had a turn at a round has none there again, though it plays that round again; and one that is to become a copy
    is ranked as its source, and is due when its copy is."""
    whole = play(8)
    reports = [(n, round, n + round / 100) for round in (5, 10, 15) for n in range(8)]
    for number, round, score in reports:
        if not whole.copies(number):
            whole.report(number, round, score)
    went = play(8)
    went.table.trials.update(whole.table.folder.trials())
    own = [(n, round, score) for n, round, score in reports if n not in (6, 7) or round <= 10]
    assert went.population.remember(own) == set()
    assert went.population._scores == whole.population._scores
    assert [trial.due for trial in went.table.trials.values()] == [20] * 8
    assert whole.copies(6)
    assert whole.copies(7)
    for number in range(8):
        assert went.report(number, 10, 99.0) == TrialScheduler.CONTINUE


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_whoever_joins_is_compared_with_all_that_still_play(share, play):
    """By `ganflow sweeps add`, or where a sweep goes on with more trials."""
    made = play(4, interval=share)
    for number in range(4):
        made.report(number, 60, number + 1.0)
    made.trials.append(OfRay(4))
    made.table.record(4, config={"optimizer.lr": 1e-6}, state="running")
    made.table.numbers["ray4"] = [4]
    assert made.report(4, round(100 * share), 9.0) == TrialScheduler.NOOP
    assert made.copies(4)[0][0] in (0, 1)


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


def test_turns_stay_on_the_interval(play):
    """Whatever rounds the scores come at."""
    made, turns = play(), []
    made.all_report(5, [4.0, 1.0, 2.0, 3.0])
    for round in range(13, 100, 13):
        before = made.table.trials[1].due
        made.report(1, round, 1.0)
        turns += [round] if made.table.trials[1].due != before else []
    assert turns == [13, 26, 39, 52, 65, 78, 91]
    assert made.table.trials[1].due == 100


def test_who_is_over_or_has_played_all_is_neither_copied_nor_compared_with(play):
    made = play(5)
    made.all_report(5, [1.0, 2.0, 3.0, 4.0, 5.0])
    made.table.record(0, state="finished")
    assert made.report(1, 100, 2.0) == TrialScheduler.CONTINUE  # the last round: nothing is left to play
    assert made.report(4, 10, 5.0) == TrialScheduler.NOOP
    assert made.copies(4)[-1][0] == 2
    assert made.report(3, 100, 9.0) == TrialScheduler.CONTINUE
    made = play()
    made.all_report(5, [1.0, 2.0, 3.0, 4.0])
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
        made = play(8, seed=seed)
        made.all_report(5, map(float, range(8)))
        made.report(7, 10, 7.0)
        return made.table.trials[7].copied[-1], made.table.trials[7].config

    assert numbers(1) == numbers(1)
    assert len({str(numbers(seed)) for seed in range(8)}) > 2


def draws(made, copies):
    """The source and the learning rate of each of so many copies that trial 7, the worst of eight, becomes one after another."""
    made.all_report(5, map(float, range(8)))
    found = []
    for _ in range(copies):
        assert made.report(7, 10 + 10 * len(made.table.trials[7].copied), 7.0) == TrialScheduler.NOOP
        found.append((made.copies(7)[-1][0], made.table.trials[7].config["optimizer.lr"]))
    return found


def test_a_sweep_that_goes_on_draws_on(play):
    """Nothing of what was drawn comes again, and nothing is kept but the records."""
    drawn = {"resample_probability": 1.0}
    whole, killed, again = draws(play(8, **drawn), 6), play(8, **drawn), play(8, **drawn)
    assert draws(killed, 3) == whole[:3]
    again.table.trials[7] = killed.table.folder.trials()[7]
    assert draws(again, 3) == whole[3:]
    assert len(set(whole)) == 6


def test_keys_of_the_recipe_decide_how_a_value_changes(play):
    made = play(resample_probability=0.0, perturbation_factors=[0.5])
    made.all_report(5, [1.0, 2.0, 3.0, 4.0])
    made.report(3, 10, 4.0)
    assert made.table.trials[3].config == {"optimizer.lr": 0.05}  # half its source's
    new = set()
    for seed in range(10):
        made = play(resample_probability=1.0, perturbation_factors=[0.5], seed=seed)
        made.all_report(5, [1.0, 2.0, 3.0, 4.0])
        made.report(3, 10, 4.0)
        new.add(made.table.trials[3].config["optimizer.lr"])
    assert len(new) == 10
    assert 0.05 not in new


def test_a_score_of_other_values_is_not_blamed_on_the_new_ones(play):
    made = play()
    made.all_report(5, [1.0, 2.0, 3.0, 4.0])
    made.table.report({"trial": 3, "copies": 0, "round": 10, "score": 4.0, "place": "a"})
    made.report(3, 10, 4.0)
    made.table.report({"trial": 3, "copies": 0, "round": 10, "score": 4.0, "place": "a"})  # Ray's callbacks come last
    assert (made.table.trials[3].score, made.table.trials[3].round) == (None, 10)
    assert made.table.folder.trials()[3].score is None
    made.table.report({"trial": 3, "copies": 1, "round": 20, "score": 1.5, "place": "a"})
    assert made.table.trials[3].score == 1.5


def test_a_sweep_that_goes_on_knows_the_scores_of_the_values_that_trials_have(play):
    """Of a copy none that it had before; of one that is still to become a copy none at all."""
    made = play(5)
    for number, (copied, run) in {3: ([(0, 20)], {"copies": 1, "copied_at": 20}), 4: ([(0, 30)], {"copies": 0})}.items():
        made.table.record(number, copied=copied)
        made.table.folder.trial(number).update(**run)
    reports = [(0, 10, 1.0), (1, 10, 2.0), (2, 10, 3.0), (3, 10, 9.0), (4, 10, 0.1), (0, 20, 1.5), (2, 20, float("nan"))]
    assert made.population.remember([*reports, (4, 40, 0.2)]) == set()
    assert made.population._scores == {0: 1.5, 1: 2.0, 2: 3.0}
    made.table.record(4, inherited=1.4)
    made.population.remember(reports)
    assert made.population._scores == {0: 1.5, 1: 2.0, 2: 3.0, 4: 1.4}  # that of the weights which it is to get
    made.population.remember([*reports, (3, 30, 1.2)])
    assert made.population._scores[3] == 1.2
    assert made.report(2, 20, 3.0) == TrialScheduler.NOOP  # the worst of four, of whom it was not asked in this session
    assert made.copies(2)[-1][0] in (0, 3)


# What a copy plays with.

ROUNDS = ["train.rounds=40", "train.report_every=2", "train.checkpoint_every=10", "~metrics", "~tune"]
SLOW, FAST, COPY = 1e-3, 2e-3, 7e-3
OF_0 = {"copy": 0, "copy_at": 20, "copies": 1}


@pytest.fixture
def trial(tmp_path, monkeypatch):
    """trial(folder, rate, copy=…) → the trial as an executor has it; in the folder of a sweep."""
    monkeypatch.chdir(tmp_path)
    file = recipe(tmp_path)
    sweep = SweepFolder(tmp_path / "runs" / "s")
    sweep.path.mkdir(parents=True)
    sweep.update(kind="sweep", id="20260101-000000-0000", status="running")

    def make(number, rate, *more, **copy):
        changes, folder = [*ROUNDS, f"optimizer.lr={rate}", *more], str(sweep.trial(number).path)
        about = {"sweep": sweep.id, "trial": number, "searched": ["optimizer.lr"], "tracking": {}}
        config = {"optimizer.lr": rate}
        return SweepTrial(TrialSpec(number, str(file), changes, folder, about, "m", "min", {}, config=config, **copy))

    return make


def played_to(trial, round):
    """Play a trial to this round, where it is interrupted; its run, and the rounds that it reported."""
    session, reported = trial.open(), []
    for step in session:
        reported.append(step.round)
        if step.round == round:
            session.stop("interrupted")
    return folders.RunFolder(trial.folder), reported


def state_of(run, round):
    return read(run.checkpoints / f"round-{round:08d}.safetensors")


def assert_same(a, b):
    assert a.plain == b.plain
    assert a.tensors.keys() == b.tensors.keys()
    for name, tensor in a.tensors.items():
        assert torch.equal(tensor, b.tensors[name]), name


def terms(run, after):
    name = "critic/non_saturating"
    return [(e.round, e.values[name]) for e in entries(run.journal) if e.round > after and name in e.values]


def rates(run, after):
    return {e.values["lr/generator"] for e in entries(run.journal) if e.round > after and "lr/generator" in e.values}


def test_a_copy_plays_on_from_its_sources_round_with_a_rate_of_its_own(trial):
    source, _ = played_to(trial(0, FAST), 20)
    target, _ = played_to(trial(1, SLOW), 10)
    copy = trial(1, COPY, **OF_0)
    target, reported = played_to(copy, 24)
    assert reported[0] == 22
    assert target.read().raw["copied_at"] == 20
    assert target.read().raw["copies"] == 1
    assert rates(target, 20) == {COPY}
    assert {e.values["lr/generator"] for e in entries(target.journal) if "lr/generator" in e.values} == {SLOW, COPY}
    first, second = (read(run.checkpoints / "round-00000020.safetensors") for run in (source, target))
    assert first.plain == second.plain
    assert all(torch.equal(tensor, second.tensors[name]) for name, tensor in first.tensors.items())


def test_a_copy_with_its_sources_values_plays_other_rounds_than_its_source(trial):
    """Other examples and latents from the round of the copy on; and each copy others than the next."""
    played_to(trial(1, SLOW), 10)
    played_to(trial(2, SLOW), 10)
    source, _ = played_to(trial(0, FAST), 20)
    source, _ = played_to(trial(0, FAST), 30)
    first, second = (played_to(trial(n, FAST, **OF_0), 30)[0] for n in (1, 2))
    states = [state_of(run, 30) for run in (source, first, second)]
    for name in ("game.generator.1.weight", "random.prior", "random.torch", "feed.generator"):
        assert name in states[0].tensors
        for i, j in ((0, 1), (0, 2), (1, 2)):
            assert not torch.equal(states[i].tensors[name], states[j].tensors[name]), (name, i, j)
    assert len({tuple(terms(run, 20)) for run in (source, first, second)}) == 3
    assert len({str(s.plain["random"]["python"]) for s in states}) == 3
    again, _ = played_to(trial(1, FAST, copy=0, copy_at=30, copies=2), 34)  # the same source, the same trial, once more
    assert terms(again, 30) != terms(played_to(trial(2, FAST, copy=0, copy_at=30, copies=2), 34)[0], 30)


@pytest.mark.parametrize("at", [24, 36], ids=["before its own checkpoint", "after it"])
def test_a_copy_that_is_killed_and_goes_on_equals_one_that_was_not(trial, at):
    played_to(trial(0, FAST), 20)
    undisturbed = trial(1, SLOW)
    played_to(undisturbed, 10)
    whole, _ = played_to(trial(1, COPY, **OF_0), 40)
    kept, reported = state_of(whole, 40), terms(whole, 20)
    for path in whole.checkpoints.glob("round-*"):  # back to where it becomes a copy
        path.unlink()
    whole.update(copies=0, copied_at=None, values=[])
    killed = trial(1, COPY, **OF_0).open()
    for step in killed:
        if step.round == at:
            break
    killed._held.close()  # no checkpoint, as a process that is killed
    folder, again = played_to(trial(1, COPY, **OF_0), 40)
    assert again[0] == (22 if at < 30 else 32)
    assert_same(state_of(folder, 40), kept)
    assert terms(folder, 20) == reported


class Numbers(StreamData):
    """Examples of their own for each position of a walk, which a feed's seed decides."""

    name, size, held_out, fields = "numbers", 30, {}, {"real": Field((2,))}

    def fingerprint(self):
        return ""

    def load(self, index, rng):
        return {"real": torch.cat([torch.tensor([float(index)]), torch.rand(1, generator=rng)])}


def test_a_checkpoint_brings_the_seed_by_which_its_run_goes_on(tmp_path):
    """The position in streamed data alone would not do; nor where several workers load the first one's state."""
    made = [Parts(read_recipe(recipe(tmp_path), ["~tune", "~metrics"])).trainer for _ in range(3)]
    for trainer in made:
        trainer.feed = StreamFeed(Numbers(), 16, 0)
    copy, resumed, plain = made
    copy.reseed(5)
    for trainer in (copy, plain):
        trainer.draw()
        trainer.draw()
    resumed.load_state(*copy.state())
    assert resumed.seed == 5
    assert copy.state()[1]["seed"] == 5
    going, gone_on, other = (trainer.draw() for trainer in (copy, resumed, plain))
    for name in ("real", "z"):
        assert torch.equal(going[name], gone_on[name])
        assert not torch.equal(going[name], other[name])
    state, plain_values = plain.state()
    del plain_values["seed"]  # of an earlier version
    copy.reseed(0)
    copy.load_state(state, plain_values)
    assert torch.equal(copy.draw()["real"], plain.draw()["real"])
    for trainer in made:
        trainer.feed.close()


def test_seeds_of_copies_differ_from_each_other_and_from_their_recipes():
    seeds = {Copy(20, trial, times).seed(seed) for trial in range(20) for times in (1, 2, 3) for seed in range(5)}
    assert len(seeds) == 300
    assert not seeds & set(range(5))
    assert Copy(20, 3, 1).seed(0) == Copy(40, 3, 1).seed(0)


@pytest.mark.rare
def test_a_copy_that_two_workers_play_goes_on_with_one_seed(trial):
    """The second worker's random numbers follow from the first one's seed: a penalty's points on the way, here."""
    penalty = "modifiers=[{use: gradient_penalty, weight: 1}]"

    def play(number, rate, round, **copy):
        made = trial(number, rate, penalty, **copy)
        with started_workers(made.recipe, 2) as group:
            at = Copy(20, number, 1) if copy else None
            if copy and not made.spec.run.read().copies:
                made._copy(0)
            session = open_trial(made.recipe, made.spec.run, made.about, copy=at, group=group)
            for step in session:
                if step.round == round:
                    session.stop("interrupted")
        return made.spec.run

    play(0, FAST, 20)
    play(1, SLOW, 10)
    play(2, SLOW, 10)
    whole = play(1, COPY, 40, **OF_0)
    kept = terms(whole, 30)
    for path in [p for p in whole.checkpoints.glob("round-*") if p.name > "round-00000030.safetensors"]:
        path.unlink()
    assert terms(play(1, COPY, 40, **OF_0), 30) == kept
    assert terms(play(2, COPY, 40, **OF_0), 30) != kept


def test_which_values_a_trial_had_stands_in_its_record(trial):
    played_to(trial(0, FAST), 20)
    target, _ = played_to(trial(1, SLOW), 10)
    played_to(trial(1, COPY, **OF_0), 24)
    played_to(trial(1, COPY, **OF_0), 30)  # which copies nothing again
    played_to(trial(1, FAST, copy=9, copy_at=30, copies=2), 34)  # whose source has no checkpoint
    record = target.read()
    told = [(v["round"], v.get("trial"), v["config"]["optimizer.lr"]) for v in record.values]
    assert told == [(0, None, SLOW), (20, 0, COPY), (30, None, FAST)]
    assert record.searched == ["optimizer.lr"]
    times = [v["time"] for v in record.values]
    assert times == sorted(times)


def test_a_trial_that_died_after_it_copied_does_not_copy_again(trial):
    source, _ = played_to(trial(0, FAST), 20)
    played_to(trial(1, SLOW), 10)
    target, _ = played_to(trial(1, COPY, **OF_0), 30)
    source.checkpoints.joinpath("round-00000020.safetensors").unlink()
    played_to(trial(0, FAST), 22)  # its source goes on meanwhile
    target, reported = played_to(trial(1, COPY, **OF_0), 34)
    assert reported[0] == 32
    assert target.read().raw["copied_at"] == 20
    assert rates(target, 20) == {COPY}
    _, reported = played_to(trial(1, SLOW, copy=0, copy_at=22, copies=2), 36)  # a second time, which is another copy
    assert reported[0] > 22
    assert target.read().raw["copies"] == 2


def test_one_that_died_before_it_had_a_checkpoint_of_its_own_has_its_rate_all_the_same(trial):
    source, _ = played_to(trial(0, FAST), 20)
    target, _ = played_to(trial(1, SLOW), 10)
    assert copy_run(source, target, 20, 40) == 20
    target.update(copied_at=20, copies=1)
    target, reported = played_to(trial(1, COPY, **OF_0), 24)
    assert reported[0] == 22
    assert rates(target, 20) == {COPY}


def test_one_that_was_copied_and_whose_copy_is_damaged_has_its_rate_too(trial):
    source, _ = played_to(trial(0, FAST), 20)
    target, _ = played_to(trial(1, SLOW), 10)
    copy_run(source, target, 20, 40)
    target.update(copied_at=20, copies=1)
    (target.checkpoints / "round-00000020.safetensors").write_bytes(b"torn")
    target, reported = played_to(trial(1, COPY, **OF_0), 14)
    assert reported[0] == 12  # its own, of before
    assert rates(target, 10) == {COPY}


def test_where_there_is_nothing_to_copy_a_trial_goes_on_with_its_new_rate(trial):
    played_to(trial(1, SLOW), 20)
    trial(0, FAST).open()  # which has no checkpoint yet
    target, reported = played_to(trial(1, COPY, **OF_0), 24)
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
