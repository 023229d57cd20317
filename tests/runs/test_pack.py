"""Packed trials are runs like any other: complete folders, and the trajectories of their own runs."""

import functools
import signal
import subprocess
import sys
import time

import pytest
import torch
from runner_helpers import bits, last, last_round, numbers, process_kept

from ganflow.errors import GanflowError
from ganflow.packed import NotPackable
from ganflow.packed.session import PackSession
from ganflow.recipe import read_recipe
from ganflow.runs import folders as folders_module
from ganflow.runs.checkpoints import read
from ganflow.runs.folders import RunFolder
from ganflow.runs.loop import Result
from ganflow.runs.start import open_trial, resume, start

RECIPE = """\
name: packed
data: {use: gaussians, layout: ring, samples: 500}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 8, depth: 1}
critic: {use: mlp, width: 8, depth: 1}
loss: wasserstein
optimizer: {use: rmsprop, lr: 5.0e-4}
modifiers:
  - {use: weight_clip, c: 0.1}
  - {use: ema, decay: 0.9}
metrics:
  - {use: sliced_wasserstein, samples: 64}
train: {rounds: 100, n_critic: 2, batch_size: 16, precision: fp64, compile: never, threads: 1, report_every: 10,
        checkpoint_every: 20, evaluate_every: 25, sample_every: 50, keep: 100, on_alarm: never}
track: {mlflow: false}
"""
TRIALS = [
    ["optimizer.lr=1e-3", "modifiers[0].c=0.05"],
    ["optimizer.lr=2e-3", "modifiers[0].c=0.2", "train.seed=1"],
    ["optimizer.lr=5e-4", "modifiers[0].c=0.1", "train.seed=1"],
]


def trials_in(root, name, *common, trials=TRIALS):
    """Recipes, folders and what else is noted, as PackSession wants them."""
    (root / "packed.yaml").write_text(RECIPE)
    folders = [RunFolder(root / "runs" / name / f"t{i}") for i in range(len(trials))]
    recipes = [read_recipe(root / "packed.yaml", [*common, *own]) for own in trials]
    return [(recipe, folder, {"trial": i}) for i, (recipe, folder) in enumerate(zip(recipes, folders, strict=True))]


@pytest.fixture
def pack(work):
    """`trials_in` this test's folder."""
    return functools.partial(trials_in, work)


@pytest.fixture(scope="module")
def by_themselves(tmp_path_factory):
    """The folders of the trials, each of which ran by itself: to compare with."""
    trials = trials_in(tmp_path_factory.mktemp("alone"), "alone")
    with process_kept():
        alone(trials)
    return folders(trials)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The folders of the trials, packed to their end: to compare with."""
    trials = trials_in(tmp_path_factory.mktemp("undisturbed"), "undisturbed")
    with process_kept():
        play(trials)
    return folders(trials)


def play(trials):
    """Play a pack to its end: its steps."""
    return list(PackSession(trials))


def alone(trials):
    for trial in trials:
        open_trial(*trial).finish()


def folders(trials):
    return [folder for _, folder, _ in trials]


def names(folder):
    return sorted(str(p.relative_to(folder.path)) for p in folder.path.rglob("*") if p.is_file())


def about(folder, *keys):
    return [folder.read().raw.get(key) for key in keys]


def assert_same_run(run, other):
    """All files are there that the other run has, and say the same but for rounding and clocks."""
    assert names(run) == names(other)
    assert run.recipe.read_text().splitlines()[1:] == other.recipe.read_text().splitlines()[1:]
    told = ("status", "round", "error", "trial", "seed", "rounds")
    assert about(run, *told) == about(other, *told)
    assert [round for round, _ in numbers(run)] == [round for round, _ in numbers(other)]
    for (_, values), (_, expected) in zip(numbers(run), numbers(other), strict=True):
        assert values == pytest.approx(expected, rel=1e-5, abs=1e-7)  # the terms were read in single precision
    for path in other.checkpoints.glob("*.safetensors"):
        assert_same_checkpoint(read(run.checkpoints / path.name), read(path))


def assert_same_checkpoint(found, expected):
    best, expected_best = found.plain.pop("best"), expected.plain.pop("best")
    assert found.plain == expected.plain
    assert best.keys() == expected_best.keys()
    assert all(best[key] == (pytest.approx(value, rel=1e-6) if key == "score" else value) for key, value in expected_best.items())
    assert found.tensors.keys() == expected.tensors.keys()
    for name, tensor in expected.tensors.items():
        if name.startswith(("random.", "feed.")):
            assert torch.equal(found.tensors[name], tensor), name
        else:
            torch.testing.assert_close(found.tensors[name], tensor, rtol=1e-9, atol=1e-12)


def assert_same_bits(run, other):
    a, b = last(run), last(other)
    assert a.plain == b.plain
    assert all(torch.equal(bits(t), bits(b.tensors[name])) for name, t in a.tensors.items())


def assert_free(trials):
    assert not any(folder.is_run() and folders_module.is_running(folder) for folder in folders(trials))


def test_every_trial_is_a_complete_run(pack, by_themselves, work):
    packed = pack("packed")
    steps = play(packed)
    for run, other in zip(folders(packed), by_themselves, strict=True):
        assert_same_run(run, other)
        assert about(run, "status", "round") == ["finished", 100]
        assert (run.checkpoints / "best.safetensors").exists()
        assert (run.samples / "round-00000000.png").exists()
    assert [step.round for step in [s[1] for s in steps[:-1]]] == [10, 20, 25, 30, 40, 50, 60, 70, 75, 80, 90, 100]
    assert steps[-1] == [None] * 3
    assert_free(packed)
    single = start(packed[0][0], work / "single", quiet=True).folder
    assert_same_checkpoint(last(folders(packed)[0]), last(single))


@pytest.mark.rare
def test_a_packed_trial_goes_on_by_itself(pack, by_themselves):
    packed = pack("packed", "train.rounds=50")
    play(packed)
    for run, other in zip(folders(packed), by_themselves, strict=True):
        resume(run, overrides=["train.rounds=100"], quiet=True)
        assert_same_checkpoint(last(run), last(other))


@pytest.mark.slow
def test_trials_that_ran_by_themselves_go_on_packed(pack, by_themselves):
    packed = pack("packed")
    for recipe, folder, told in packed:
        session = open_trial(recipe, folder, told)
        for step in session:
            if step.round == 40:
                session.stop("interrupted")
        assert about(folder, "status", "round") == ["interrupted", 40]
    play(packed)
    for run, other in zip(folders(packed), by_themselves, strict=True):
        assert_same_run(run, other)


@pytest.mark.slow
def test_an_interrupted_pack_keeps_the_round_in_hand(pack, undisturbed):
    packed = pack("packed")
    session = PackSession(packed)
    for reports in session:
        if isinstance(reports[0], Result) and reports[0].round == 30:
            session.stop("interrupted")
    assert [about(f, "status", "round") for f in folders(packed)] == [["interrupted", 30]] * 3
    assert [last(f).round for f in folders(packed)] == [30] * 3
    assert_free(packed)
    play(packed)
    for run, other in zip(folders(packed), undisturbed, strict=True):
        assert_same_bits(run, other)
        assert about(run, "status", "error") == ["finished", None]
        assert numbers(run) == numbers(other)


@pytest.mark.rare
def test_a_trial_can_be_finished_early(pack, by_themselves):
    packed, early = pack("packed"), pack("early")[0]
    session = PackSession(packed)
    told = []
    for reports in session:
        told.append(reports)
        if isinstance(reports[0], Result) and reports[0].round == 50:
            session.finish(0)
            assert not folders_module.is_running(folders(packed)[0])
    assert told[5][0].round == 50
    assert [reports[0] for reports in told[6:]] == [None] * (len(told) - 6)
    assert about(folders(packed)[0], "status", "round") == ["finished", 50]
    session = open_trial(*early)
    for step in session:
        if step.round == 50:
            session.stop("finished")
    for run, other in zip(folders(packed), [early[1], *by_themselves[1:]], strict=True):
        assert_same_run(run, other)


@pytest.mark.slow
def test_a_trial_that_diverges_ends_alone(pack):
    trials = [TRIALS[0], ["optimizer.lr=1e200", "modifiers[0].c=1e200"], *TRIALS[1:]]
    packed, unpacked = pack("packed", trials=trials), pack("alone", trials=trials)
    steps = play(packed)
    for i, (run, trial) in enumerate(zip(folders(packed), unpacked, strict=True)):
        if i == 1:
            with pytest.raises(GanflowError) as error:
                open_trial(*trial).finish()
            assert about(run, "status", "error") == about(trial[1], "status", "error")
            assert about(run, "status") == ["failed"]
            assert "became" in about(run, "error")[0]
            assert names(run) == names(trial[1])
            assert [str(reports[i]) for reports in steps[1:]] == [str(error.value)] * (len(steps) - 1)
        else:
            open_trial(*trial).finish()
            assert_same_run(run, trial[1])
    assert_free(packed)


SICK = ["optimizer.lr=1e3", "modifiers[0].c=1e9"]  # scores of a million and more


@pytest.mark.parametrize(("on_alarm", "status", "rounds"), [("auto", "stopped", 40), ("warn", "finished", 100)])
def test_a_packed_trial_is_watched(pack, on_alarm, status, rounds):
    """When it is evaluated or kept. One that is sick is stopped, here in the same round as by itself; the others go on."""
    packed = pack("packed", f"train.on_alarm={on_alarm}", trials=[TRIALS[0], SICK, TRIALS[2]])
    steps = play(packed)
    well, sick, other = folders(packed)
    assert [about(run, "status", "round", "alarms") for run in (well, other)] == [["finished", 100, None]] * 2
    assert about(sick, "status", "round") == [status, rounds]
    signs = [(alarm["sign"], alarm["round"]) for alarm in about(sick, "alarms")[0]]
    assert ("scores exploded", 40) in signs
    assert last(sick).round == rounds
    assert numbers(sick)[-1][0] == rounds
    over = [i for i, step in enumerate(steps) if step[1] is None]
    assert steps[over[0] - 1][1].round == rounds
    assert_free(packed)
    alone = pack("alone", f"train.on_alarm={on_alarm}", trials=[SICK])[0]
    open_trial(*alone).finish()
    assert about(alone[1], "status", "round", "error") == about(sick, "status", "round", "error")
    assert [(alarm["sign"], alarm["round"]) for alarm in about(alone[1], "alarms")[0]] == signs


@pytest.mark.slow
def test_watching_changes_nothing_of_a_pack(pack):
    watched, unwatched = (pack(name, f"train.on_alarm={name}") for name in ("warn", "never"))
    for trials in (watched, unwatched):
        play(trials)
    for run, other in zip(folders(watched), folders(unwatched), strict=True):
        a, b = last(run), last(other)
        assert a.plain.pop("health")
        assert a.plain == b.plain
        assert all(torch.equal(bits(t), bits(b.tensors[name])) for name, t in a.tensors.items())


FRAGILE = """
    from ganflow import Metric, hookimpl, key, settings

    class Fails(Metric):
        names = ("broken",)
        def __init__(self, fails):
            self.fails, self.asked = fails, 0
        def evaluate(self, game):
            self.asked += 1
            if self.fails and self.asked == 2:
                raise ValueError("out of luck")
            return {"broken": 1.0}

    @settings
    class Fragile:
        \"\"\"Fails when it is asked for the second time, or when it is built.\"\"\"
        fails: bool = key(False, "does it?")
        at_once: bool = key(False, "as soon as that?")
        @hookimpl
        def metric(self, data):
            if self.at_once:
                raise ValueError("out of luck at once")
            return Fails(self.fails)

    GANFLOW_CONTRACT = 2

    @hookimpl
    def register(offer):
        offer("metric", "fragile", Fragile)
"""


def test_a_plugin_that_fails_ends_one_trial(pack, plugin):
    plugin("acme", FRAGILE)
    metric = ["metrics=[{use: fragile}]"]
    trials = [[*TRIALS[0], *metric], [*TRIALS[1], "metrics=[{use: fragile, fails: true}]"],
              [*TRIALS[1], "metrics=[{use: fragile, at_once: true}]"], [*TRIALS[2], *metric]]  # fmt: skip
    packed, unpacked = pack("packed", trials=trials), pack("alone", trials=trials)
    steps = play(packed)
    good = [0, 3]
    for i in good:
        open_trial(*unpacked[i]).finish()
        assert_same_run(folders(packed)[i], folders(unpacked)[i])
    status, error, round = about(folders(packed)[1], "status", "error", "round")
    assert (status, round) == ("failed", 50)
    assert "acme" in error
    assert "out of luck" in error
    assert "out of luck" in (folders(packed)[1].path / "error.txt").read_text()
    assert not folders(packed)[2].is_run()
    assert "out of luck at once" in str(steps[0][2])
    assert [steps[-1][i] for i in good] == [None, None]
    assert_free(packed)


PHASED = '''
from ganflow import hookimpl, key, settings


@settings
class Phased:
    """Changes what it does when something is reported."""

    last: int = key(1000, "round after which it does")

    @hookimpl
    def run_started(self, game):
        self.on = False

    @hookimpl
    def generator_stepped(self, game):
        if self.on:
            game.parameters_of("generator")[0].detach().mul_(0.5)

    @hookimpl
    def round_reported(self, game, report):
        self.on = report.round >= self.last


GANFLOW_CONTRACT = 2


@hookimpl
def register(offer):
    offer("modifier", "phased", Phased)
'''


@pytest.mark.slow
def test_what_a_report_changes_ends_a_packed_trial(pack, plugin):
    """Packed rounds would go on as they were traced."""
    plugin("phased", PHASED)
    trials = pack("phased", "train.rounds=40", "+modifiers={use: phased, last: 20}", trials=TRIALS[:2])
    over = play(trials)[-1]
    for (_, folder, _), error in zip(trials, over, strict=True):
        text = "modifiers[2].on changed from False to True at a report, and packed rounds cannot follow it; set tune.pack=1"
        assert text in str(error)
        assert last_round(folder) == 20
    rest = pack("plain", "train.rounds=40", "+modifiers={use: phased}", trials=TRIALS[:2])
    assert play(rest)[-1] == [None, None]


@pytest.mark.rare
def test_a_leader_of_shared_draws_may_end(pack):
    """Trials of one seed share their draws: those of a trial that is over go on."""
    trials = [["optimizer.lr=1e200", "modifiers[0].c=1e200"], *(own[:2] for own in TRIALS)]
    packed, unpacked = pack("packed", trials=trials), pack("alone", trials=trials)
    play(packed)
    alone(unpacked[1:])
    for run, other in zip(folders(packed)[1:], folders(unpacked)[1:], strict=True):
        assert_same_run(run, other)


def test_what_cannot_be_packed_can_be_opened_by_itself(pack):
    trials = [TRIALS[0], [*TRIALS[1], "generator.width=9"]]
    packed, unpacked = pack("packed", trials=trials), pack("alone", trials=trials)
    with pytest.raises(NotPackable, match=r"generator\.width"):
        PackSession(packed)
    assert_free(packed)
    assert [about(f, "status", "error") for f in folders(packed)] == [["interrupted", None]] * 2
    alone(packed)
    alone(unpacked)
    for run, other in zip(folders(packed), folders(unpacked), strict=True):
        assert_same_run(run, other)
        assert_same_bits(run, other)
        assert about(run, "compile") == about(other, "compile")


def test_trials_that_report_at_other_rounds_are_not_packed(pack):
    with pytest.raises(NotPackable, match="same rounds"):
        PackSession(pack("packed", trials=[TRIALS[0], [*TRIALS[1], "train.evaluate_every=7"]]))


@pytest.mark.slow
def test_a_checkpoint_that_one_trial_lacks_is_played_again(pack, undisturbed):
    packed = pack("packed")
    session = PackSession(packed)
    for reports in session:
        if isinstance(reports[0], Result) and reports[0].round == 60:
            session.stop("interrupted")
    for path in folders(packed)[1].checkpoints.glob("round-000000[56]0.safetensors"):
        path.unlink()
    again = PackSession(packed)
    first = next(iter(again))
    assert [step.round for step in first] == [50, 50, 50]
    again.stop("interrupted")
    play(packed)
    for run, other in zip(folders(packed), undisturbed, strict=True):
        assert_same_bits(run, other)
        assert numbers(run) == numbers(other)


@pytest.mark.rare
def test_trials_without_a_common_checkpoint_catch_up(pack, by_themselves):
    packed = pack("packed")
    for (recipe, folder, told), until in zip(packed[:2], (60, 20), strict=True):
        session = open_trial(recipe, folder, told)
        for step in session:
            if step.round == until:
                session.stop("interrupted")
    for path in folders(packed)[0].checkpoints.glob("round-*[245]0.safetensors"):
        path.unlink()
    play(packed)
    for run, other in zip(folders(packed), by_themselves, strict=True):
        assert_same_checkpoint(last(run), last(other))
        assert [round for round, _ in numbers(run)] == [round for round, _ in numbers(other)]


KILLED = """
import sys
from pathlib import Path
from ganflow.recipe import read_recipe
from ganflow.packed.session import PackSession
from ganflow.runs.folders import RunFolder
recipe, root, *seeds = sys.argv[1:]
trials = [(read_recipe(recipe, ["train.rounds=160", f"optimizer.lr={seed}e-4"]), RunFolder(Path(root) / f"t{i}"), {"trial": i})
          for i, seed in enumerate(seeds)]
for _ in PackSession(trials):
    pass
"""


@pytest.mark.slow
def test_a_killed_pack_goes_on_from_the_round_that_all_have(pack, work):
    trials = [[f"optimizer.lr={n}e-4"] for n in (5, 6, 7, 8)]
    packed, undisturbed = (pack(name, "train.rounds=160", trials=trials) for name in ("packed", "undisturbed"))
    command = [sys.executable, "-c", KILLED, work / "packed.yaml", work / "runs" / "packed", "5", "6", "7", "8"]
    process = subprocess.Popen(list(map(str, command)))
    deadline = time.monotonic() + 300
    while not all(folder.is_run() and last_round(folder) >= 60 for folder in folders(packed)):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    played = min(last_round(folder) for folder in folders(packed))
    assert played < 160
    again = PackSession(packed)
    first = next(iter(again))
    assert played - 20 - 10 <= first[0].round - 10 <= played  # one checkpoint interval, and one report
    again.stop("interrupted")
    play(packed)
    play(undisturbed)
    for run, other in zip(folders(packed), folders(undisturbed), strict=True):
        assert about(run, "status", "round") == ["finished", 160]
        assert_same_bits(run, other)
        assert numbers(run) == numbers(other)
