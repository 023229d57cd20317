"""What a sweep shows of itself: plain lines, and the live table on a terminal of our own making."""

import io
import math
import os
import pty
import re
import subprocess
import sys
import textwrap

import pytest
from ray import cloudpickle
from rich.console import Console

from ganflow.evaluation.evaluate import spreads
from ganflow.runs.journal import Journal
from ganflow.sweeps import display as module
from ganflow.sweeps import table
from ganflow.sweeps.display import Display
from ganflow.sweeps.ranking import best_of, ranking
from ganflow.sweeps.records import SweepFolder, TrialRecord
from ganflow.sweeps.repeats import Repeats
from ganflow.tune.trials import TrialTable
from ganflow.tune.watcher import Watcher

KEYS = ["optimizer.lr", "loss"]


@pytest.fixture
def time(stopped_clock):
    return stopped_clock(module)


def trial(number, state="running", score=None, round=0, lr=1e-3, **more):
    return TrialRecord(number, {"optimizer.lr": lr, "loss": {"use": "hinge"}}, state, score, round, **more)


def shown(total=3, rounds=100, mode="min", **keywords):
    stream = io.StringIO()
    return stream, Display("s", "frechet", mode, KEYS, total, rounds=rounds, stream=stream, **keywords)


def test_a_line_when_a_trial_starts_and_one_when_it_is_over(time):
    stream, display = shown()
    with display:
        trials = [trial(0, place="node1, GPU 0", lr=0.00031234)]
        display.update(trials)
        for trials[0].round in range(1, 100):
            display.update(trials)
        trials[0].state, trials[0].score, trials[0].round = "finished", 12.34567, 100
        display.update([*trials, trial(1)])
        time.now += 5
        display.update([*trials, trial(1, "diverged", round=7, error="critic/hinge became nan\nin round 7")])
    assert stream.getvalue().splitlines() == [
        "s: 3 trials, frechet (less is better)",
        "trial 0 running  lr 0.000312, loss hinge  node1, GPU 0",
        "trial 0 finished  frechet 12.35  100/100 rounds  best 12.35 (trial 0)  1/3 over",
        "trial 1 running  lr 0.001, loss hinge",
        "trial 1 diverged  7/100 rounds  critic/hinge became nan in round 7  2/3 over",
        "1 waiting, 1 finished, 1 diverged  best 12.35 (trial 0)  0:05 gone  about 0:02 left",
    ]


def test_between_trials_a_line_in_ten_seconds_at_most(time):
    stream, display = shown(total=1, rounds=10_000)
    with display:
        one = trial(0)
        for one.round in range(1, 1001):
            display.update([one])
            time.now += 0.1
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2 + 9 + 1  # heading and start; every 10 of 100 seconds; the end
    assert lines[2].startswith("1 running  no best yet  0:10 gone  about 16:")


def test_what_a_retry_and_a_copy_say(time):
    stream, display = shown()
    with display:
        one = trial(0)
        display.update([one])
        one.state, one.error = "waiting", "its process died"
        display.update([one])
        one.state = "running"
        display.update([one])
        one.copied, one.config = [(4, 200)], {"optimizer.lr": 0.5, "loss": {"use": "hinge"}}
        display.update([one])
        display.update([one])
        one.state, one.score = "stopped", 3.0
        display.update([one])
    lines = stream.getvalue().splitlines()
    assert lines[2:-1] == [
        "trial 0 waiting  its process died",
        "trial 0 running  lr 0.001, loss hinge",
        "trial 0 copies trial 4 at round 200  lr 0.5, loss hinge",
        "trial 0 stopped  frechet 3  0/100 rounds  leading: trial 0, frechet 3 at round 0/100  1/3 over",
    ]


def test_who_leads_is_shown_until_a_trial_is_finished(time):
    """Not as the best, and with the round of the score; then only the best is."""
    stream, display = shown(total=2)
    one, other = trial(0), trial(1)

    def drawn():
        console = Console(file=io.StringIO(), width=120)
        console.print(display)
        return console.file.getvalue()

    with display:
        display.update([one, other])
        assert "leading" not in drawn()
        one.score, one.round, other.score, other.round = 1.25, 40, 0.5, 20
        time.now += 10
        display.update([one, other])
        assert re.search(r"^leading +trial 1, frechet 0.5 at round 20/100  lr 0.001", drawn(), re.MULTILINE)
        one.state = "finished"
        display.update([one, other])
        assert "leading" not in drawn()
    *_, summary, over, last = stream.getvalue().splitlines()
    assert summary.startswith("2 running  leading: trial 1, frechet 0.5 at round 20/100  0:10 gone")
    assert over == "trial 0 finished  frechet 1.25  40/100 rounds  best 1.25 (trial 0)  1/2 over"
    assert "leading" not in last


def test_a_sweep_that_goes_on_says_how_far_it_was_and_estimates_from_there(time):
    stream, display = shown(total=12)
    with display:
        old = [trial(i, "finished", score=5.0 - i) for i in range(2)]
        new = trial(2)
        display.update([*old, new])
        time.now += 30
        assert display.left is None
        new.state, new.score = "finished", 9.0
        display.update([*old, new])
        assert display.left == pytest.approx(9 * 30)
    lines = stream.getvalue().splitlines()
    assert lines[1] == "goes on: 1 running, 9 waiting, 2 finished  best 4 (trial 1)  0:00 gone"
    assert "trial 0" not in "".join(lines)
    assert lines[3].startswith("trial 2 finished  frechet 9")


def test_quiet_and_empty_sweeps_say_nothing_wrong(time):
    stream, display = shown(quiet=True)
    with display:
        display.update([trial(0)])
        display.note("x")
    assert stream.getvalue() == ""
    stream, display = shown(total=0, rounds=0)
    with display:
        assert display.left is None
        display.note("a note")
    assert stream.getvalue().splitlines() == ["s: trials, frechet (less is better)", "a note"]


def test_a_searched_number_of_rounds_is_the_trials_own(time):
    one = trial(0, round=0)
    one.config["train.rounds"] = 10
    _, display = shown(total=1)
    display.update([one])
    time.now += 6
    one.round = 4
    display.update([one])
    assert display.left == pytest.approx(9)  # 6 s for 4 of 10 rounds
    assert table.played(one, 100) == "4/10"


@pytest.mark.parametrize(
    ("stop", "left"), [({}, 90 + 100), ({"seconds": 40}, 30 + 40), ({"seconds": 5}, 0 + 5), ({"round": 50}, 40 + 50)]
)
def test_trials_that_are_ended_at_a_value_last_no_longer(stop, left, time):
    """After 10 of 100 rounds, which took 10 s, of one trial of two."""
    _, display = shown(total=2, rounds=100, stop=stop)
    time.now, one = 0, trial(0, "running")
    display.update([one])
    time.now, one.round = 10, 10
    display.update([one])
    assert display.left == pytest.approx(left)


def test_a_sweep_lasts_no_longer_than_its_budget(time):
    _, display = shown(total=9, rounds=100)
    time.now, one = 0, trial(0, "running")
    display.update([one])
    time.now, one.round = 10, 10
    display.update([one])
    display.expect_end(60)
    assert display.left == pytest.approx(60)
    time.now = 30
    assert display.left == pytest.approx(40)
    display.expect_end(math.inf)
    assert display.left > 400


class Sweeping:
    """Trials that begin and end at seconds of ours, and the estimate of what is left at one of them."""

    def __init__(self, time, total, rounds=100):
        self.time, self.trials = time, {}
        _, self.display = shown(total=total, rounds=rounds)

    def at(self, seconds, **changes):
        """at(10, a0="running", a1="stopped") and rounds at which they are then: r0=20."""
        self.time.now = seconds
        for name, value in changes.items():
            one = self.trials.setdefault(int(name[1:]), trial(int(name[1:]), "waiting"))
            setattr(one, {"a": "state", "r": "round"}[name[0]], value)
        self.display.update(list(self.trials.values()))
        return self.display.left

    def goes_on(self, number, state, round):
        self.trials[number] = trial(number, state, round=round)


def test_before_any_trial_is_over_their_rounds_say_how_long_they_take(time):
    """Eight of 10 s, two at a time, of which half a turn is gone: 35 of 40 s are left."""
    sweep = Sweeping(time, 8)
    assert sweep.at(0, a0="running", a1="running") is None
    assert sweep.at(5, r0=50, r1=50) == pytest.approx(35)


def test_what_is_left_follows_from_what_took_how_long_and_how_many_run_at_a_time(time):
    """Eight of 10 s, two at a time, after a turn and a half."""
    sweep = Sweeping(time, 8)
    sweep.at(0, a0="running", a1="running")
    sweep.at(10, a0="finished", a1="finished", r0=100, r1=100, a2="running", a3="running")
    assert sweep.at(15) == pytest.approx(25)
    assert sweep.at(15, r2=10, r3=10) == pytest.approx(25)  # slow at first, as those may have been: trials that are over count


def test_trials_that_are_stopped_early_are_short_and_those_that_are_spared_are_long(time):
    """Rounds of 0.1 s, three at a time: two of three are stopped at round 100 of 1,000."""
    sweep = Sweeping(time, 9, rounds=1000)
    sweep.at(0, a0="running", a1="running", a2="running")
    left = sweep.at(10, a0="stopped", r0=100, a1="stopped", r1=100, r2=100, a3="running", a4="running")
    # trial 2: 90 s by its rounds; 3 and 4 as those that are over: 10 s; four more of (10 + 10 + 100 + 10 + 10) / 5 = 28 s
    assert left == pytest.approx(90)  # by trial 2; the work, 90 + 20 + 4 × 28 = 222 s, would be done in 74
    left = sweep.at(20, a3="stopped", r3=100, a4="stopped", r4=100, r2=200, a5="running", a6="running")
    # trial 2: 80 s; 5 and 6: 10 s each; two more of (4 × 10 + 100 + 2 × 10) / 7 = 160 / 7 s; together 145.7 / 3 = 48.6 s
    assert left == pytest.approx(80)
    sweep.at(30, a5="stopped", r5=100, a6="stopped", r6=100, r2=300, a7="running", a8="running")
    left = sweep.at(35, r2=350, r7=50, r8=50)
    assert left == pytest.approx(65)
    sweep.at(100, a2="finished", r2=1000, a7="stopped", r7=100)
    assert sweep.at(100) == pytest.approx(30)  # trial 8, at the age of 70 s, as the only one that took longer: 100 s


def test_of_many_short_trials_few_long_ones_are_expected(time):
    """One at a time, three stopped after 10 s, one that took all of 100 s; six more of (3 × 10 + 100) / 4 s each."""
    sweep = Sweeping(time, 10)
    for number, begin, end, state, round in (
        (0, 0, 100, "finished", 100), (1, 100, 110, "stopped", 10), (2, 110, 120, "stopped", 10), (3, 120, 130, "stopped", 10)
    ):  # fmt: skip
        sweep.at(begin, **{f"a{number}": "running"})
        left = sweep.at(end, **{f"a{number}": state, f"r{number}": round})
    assert left == pytest.approx(6 * 32.5)
    assert sweep.at(135, a4="running") == pytest.approx((5 * 32.5 + 32.5) * 135 / 130)  # five seconds were lost between two


def test_a_trial_that_diverges_at_once_does_not_end_the_others(time):
    """Twelve, four at a time, 1 s a round of 100; one became nan after 2 s."""
    sweep = Sweeping(time, 12)
    sweep.at(0, a0="running", a1="running", a2="running", a3="running")
    left = sweep.at(2, a0="diverged", r0=2, r1=2, r2=2, r3=2)
    # three by their rounds: 98 s each; eight more of (2 + 3 × 100) / 4 = 75.5 s: 898 s of work, by four
    assert left == pytest.approx(898 / 4)


def test_a_sweep_that_goes_on_in_the_middle_of_its_trials(time):
    """A trial with 60 of 100 rounds played 20 more in 10 s: 50 s in all, 10 of them left; one that waits at round 60 has 20 left,
    a new one 50. One at a time."""
    sweep = Sweeping(time, 3)
    sweep.goes_on(0, "waiting", 60)
    sweep.goes_on(1, "waiting", 60)
    sweep.at(0, a0="running")
    assert sweep.at(10, r0=80) == pytest.approx(10 + 20 + 50)
    sweep.at(20, r0=100, a0="finished", a1="running")
    assert sweep.at(30, r1=80) == pytest.approx(10 + 50)


def test_what_ran_before_it_was_begun_again_counts(time):
    """5 s until its process died, 3 s of waiting, 5 s since: 10 of 40 s."""
    sweep = Sweeping(time, 1)
    sweep.at(0, a0="running")
    sweep.at(5, a0="waiting", r0=10)
    sweep.at(8, a0="running")
    assert sweep.at(13, r0=25) == pytest.approx(30 * 13 / 10)  # ten seconds of thirteen: so it goes on


def test_the_best_is_the_soundest_of_those_that_are_finished():
    nan = float("nan")
    trials = [trial(0, "finished", nan), trial(1, "diverged", 0.1), trial(2, "failed"), trial(3), trial(4, "stopped", 7.0, 50),
              trial(5, "finished", 8.0), trial(6, "finished", 8.0), trial(7, "finished"), trial(8, "running", 1.0, 20),
              trial(9, "stopped", 9.0, 50)]  # fmt: skip
    assert [t.number for t in ranking(trials, "min")] == [5, 6, 4, 9, 8, 3, 0, 7, 1, 2]
    assert [t.number for t in ranking(trials, "max")][:5] == [5, 6, 9, 4, 8]
    assert best_of(trials, "min").number == 5
    assert best_of([*trials, trial(10, "finished", 9.0)], "max").number == 10
    assert best_of(trials[:5], "min") is None


def test_short_names():
    keys = ["optimizer.generator.lr", "optimizer.critic.lr", "loss", "modifiers[0].c", "train.seed", "modifiers[0]"]
    assert list(table.short_names(keys).values()) == ["generator.lr", "critic.lr", "loss", "c", "seed", "modifiers[0]"]
    assert table.short_names(["lr", "optimizer.lr"]) == {"lr": "lr", "optimizer.lr": "optimizer.lr"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.000312345, "0.000312"), (734_523, "734523"), (True, "true"), (None, "null"), ("hinge", "hinge"),
        ([0.5, 0.9], "[0.5, 0.9]"),
        ({"use": "wgan/wasserstein"}, "wasserstein"), ({"use": "r1", "weight": 0.1}, "r1 weight=0.1"), ({}, ""),
    ],
)  # fmt: skip
def test_values(value, text):
    assert table.value(value) == text


def test_the_table_leaves_out_what_does_not_differ_and_keys_that_do_not_fit():
    trials = [trial(i, "finished", float(i), 10, lr=10.0**-i) for i in range(3)] + [trial(3, "failed", error="out of\nmemory")]
    lines = table.lines(trials, "frechet", "min", 10)
    assert lines[0].split() == ["trial", "state", "frechet", "round", "lr"]
    assert [line.split()[0] for line in lines[1:5]] == ["0", "1", "2", "3"]
    assert lines[5].strip() == "out of memory"
    assert max(map(len, table.lines(trials, "frechet", "min", 10, width=35))) <= 35
    assert table.lines(trials, "frechet", "min", 10, width=35)[-1] == "no room for lr: | cat shows all"
    assert "no room" not in str(table.lines(trials, "frechet", "min", 10) + table.lines(trials, "frechet", "min", 10, 35, 5))
    assert table.lines(trials, "frechet", "min", 10, most=1)[-1] == "and 3 more"
    assert table.lines([], "frechet", "min", 10) == ["trial  state  frechet  round"]


def test_scores_by_which_trials_are_not_judged_are_the_last_columns():
    """Of several seeds with deviation and number; in a narrow terminal they are left out before keys are."""
    runs = [TrialRecord(n, {"optimizer.lr": 0.1 + n // 2}, "finished", 1.0 + n, 10) for n in range(4)]
    trials = Repeats((0, 1)).trials(runs)
    found = {0: {s.name: s for s in spreads([{"m": 1.0, "modes": 6.0}, {"m": 2.0, "modes": 8.0}])}}
    head, first, second = table.lines(trials, "m", "min", 10, found=found)
    assert head.split() == ["trial", "state", "m", "±", "sd", "(n)", "round", "lr", "modes"]
    assert first.endswith("10/10  0.1  7 ± 1.4 (2)")
    assert second.endswith("10/10  1.1")
    assert table.lines(trials, "m", "min", 10, len(head), found=found)[0].endswith("lr")
    alone = {n: {s.name: s for s in spreads([{"m": 1.0, "modes": 6.0}])} for n in range(4)}
    assert table.lines(runs, "m", "min", 10, found=alone)[1].endswith("0.1  6")


def test_counts_digits_and_columns():
    assert table.counts([trial(0), trial(1, "finished")], 5) == {
        "running": 1, "waiting": 3, "confirming": 0, "finished": 1, "stopped": 0, "diverged": 0, "failed": 0
    }  # fmt: skip
    assert table.counted([trial(0, "waiting")], 0) == "1 waiting"
    assert table.counted([]) == "no trials"
    assert (table.number(123456.0), table.number(0.000123456), table.number(None)) == ("1.235e+05", "0.0001235", "")
    assert table.cut("abcdef", 6) == "abcdef"
    assert table.cut("abcdef", 5) == "abcd…"
    assert table.config_line({"a.lr": 1, "b": "x" * 30}, ["b", "a.lr", "c"], 10) == f"b {'x' * 9}…, lr 1"
    assert table.differing([trial(0), trial(0)], KEYS) == KEYS  # nothing differs: all
    assert table.differing([trial(0), trial(0, lr=2)], KEYS) == ["optimizer.lr"]
    assert table.differing([TrialRecord(0, {"a": 1}), TrialRecord(1, {})], ["a"]) == ["a"]
    assert table.keys_of([TrialRecord(0, {"b": 1}), TrialRecord(1, {"a": 1, "b": 2})]) == ["b", "a"]
    two = [trial(0, "finished", 1.0, 10), trial(1, "diverged", 5.0, 3, error="nan", lr=2)]
    assert table.lines(two, "m", "min", 10) == [
        "trial  state     m  round  lr", "    0  finished  1  10/10  0.001", "    1  diverged  5  3/10   2", "       nan"
    ]  # fmt: skip


def test_reasons_are_shown_whole():
    """In lines that fit a terminal, and in one where nothing is to fit."""
    why = "modes dropped: 3% of real examples are near, and the distance rises; what helps: no momentum (optimizer.beta1=0)"
    one = trial(0, "stopped", 1.0, 10, error=why)
    wide = table.lines([one], "m", "min", 10)
    assert wide[2:] == [f"       {why}"]
    narrow = table.lines([one], "m", "min", 10, width=60)
    assert len(narrow) > 3
    assert max(map(len, narrow)) <= 60
    assert " ".join(" ".join(narrow[2:]).split()) == why


def test_the_live_table_has_deviation_and_number_of_seeds():
    runs = [TrialRecord(n, {"optimizer.lr": 1.0}, "finished", score, 9) for n, score in enumerate((1.0, 3.0))]
    _, display = shown(total=2)
    with display:
        display.update(Repeats((0, 1)).trials([*runs, TrialRecord(2, {"optimizer.lr": 2.0}, "running", 5.0, 3)]))
        console = Console(file=io.StringIO(), width=120)
        console.print(display)
    head, first, second = console.file.getvalue().splitlines()[-3:]
    assert head.split() == ["trial", "state", "frechet", "±", "sd", "(n)", "round", "lr", "where"]
    assert first.split() == ["0", "finished", "2", "±", "1.4", "(2)", "9/100", "1"]
    assert second.split() == ["1", "running", "3/100", "2"]


def on_a_terminal(code, rows=14, columns=80):
    """What a script writes to a terminal of so many rows and columns."""
    head = """
        import fcntl, struct, sys, termios, time
        from ganflow.sweeps.display import Display
        from ganflow.sweeps.records import TrialRecord
        fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    """.replace("ROWS", str(rows)).replace("COLUMNS", str(columns))  # fmt: skip
    master, slave = pty.openpty()
    script = textwrap.dedent(head) + textwrap.dedent(code)
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "", "LINES": ""}
    process = subprocess.Popen([sys.executable, "-c", script], stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    written = b""
    while True:
        try:
            piece = os.read(master, 65_536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        written += piece
    os.close(master)
    assert process.wait() == 0, written.decode()
    return written.decode()


def test_the_live_table_fits_the_terminal_and_tells_what_runs_and_what_is_best():
    written = on_a_terminal("""
        config = {"a.very.long_key_of_a_recipe": "text " * 20}
        trials = [TrialRecord(i, {"optimizer.lr": 10.0 ** -i, **config}, "finished", 100.0 - i, 50) for i in range(60)]
        trials += [TrialRecord(60 + i, {"optimizer.lr": 1.0 + i}, "running", None, 20, place="node7, GPU 1") for i in range(3)]
        with Display("sweep-9", "frechet", "min", ["optimizer.lr", "a.very.long_key_of_a_recipe"], 70, rounds=50) as display:
            display.update(trials[:2])
            display.update(trials)
            time.sleep(0.7)
            trials[60].state, trials[60].error = "diverged", "critic/hinge became nan"
            display.update(trials)
            time.sleep(0.7)
    """)  # fmt: skip
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written)
    ups = max(map(len, re.findall(r"(?:\x1b\[1A\x1b\[2K)+", written))) // len("\x1b[1A\x1b[2K")
    assert 8 <= ups < 14  # rows that are drawn again: never more than there are
    assert max(len(line.rstrip()) for line in plain.replace("\r", "\n").splitlines()) <= 80
    assert "3 running  7 waiting  60 finished" in plain
    for number in (60, 61, 62, 59, 58):
        assert re.search(rf"^ *{number} +(running|finished)", plain, re.M)
    assert not re.search(r"^ *20 +finished", plain, re.M)
    assert re.search(r"best +frechet 41 \(trial 59\)", plain)
    assert "trial 60 diverged  20/50 rounds  critic/hinge became nan  61/70 over" in plain


@pytest.mark.slow
def test_the_live_table_without_a_trial():
    assert "starting" in on_a_terminal("""
        with Display("sweep-9", "frechet", "min", ["optimizer.lr"], 4, rounds=50) as display:
            display.note("a [note] in brackets")
    """)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_ray_can_keep_the_callbacks_of_a_sweep_on_a_terminal(tmp_path, monkeypatch):
    """It pickles them before the first trial; what draws on a terminal holds locks."""
    monkeypatch.setenv("TERM", "xterm")
    folder = SweepFolder(tmp_path)
    folder.update(kind="sweep", id="20260101-120000-0000")
    with Display("s", "fid", "min", ["lr"], 2, stream=Terminal()) as display:
        assert display._live is not None
        watcher = Watcher(TrialTable(folder, {}, []), Journal(folder.journal), "min", display)
        assert cloudpickle.loads(cloudpickle.dumps(watcher)).mode == "min"
        watcher.journal.close()
