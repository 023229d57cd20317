"""What a run shows of itself: plain lines, and the live display on a terminal of our own making."""

import io
import os
import pty
import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field

import pytest

from ganflow.runs import progress as module
from ganflow.runs.progress import Progress, clock, number, rate


@dataclass
class Report:
    round: int
    terms: dict[str, float] = field(default_factory=lambda: {"critic/wasserstein": -0.31234567, "generator/wasserstein": 0.12})
    estimates: dict[str, float] = field(default_factory=lambda: {"w_estimate": 0.31234567})
    rounds_per_second: float = 20.0


@pytest.fixture
def time(stopped_clock):
    return stopped_clock(module)


def played(time, rounds, every, seconds, start=0, **keywords):
    """The lines of a run that reports every `every` rounds, which take so many seconds."""
    stream = io.StringIO()
    with Progress(rounds, start, stream=stream, **keywords) as progress:
        for round in range(start + every, rounds + 1, every):
            time.now += seconds
            progress.update(Report(round, rounds_per_second=every / seconds))
    return stream.getvalue().splitlines()


def test_a_line_says_everything(time):
    stream = io.StringIO()
    with Progress(1000, title="wgan", stream=stream) as progress:
        time.now += 5
        progress.update(Report(100))
        progress.note("samples/round-00000100.png")
        progress.scored(200, ["swd 0.05 ± 0.001", "legible 0.9"])
        time.now += 40
        progress.update(Report(1000))
    assert stream.getvalue().splitlines() == [
        "wgan",
        "round  100/1000  0:45 left  critic/wasserstein -0.3123  generator/wasserstein 0.12  w_estimate 0.3123  20 rounds/s",
        "samples/round-00000100.png",
        "round 200: swd 0.05 ± 0.001  legible 0.9",
        "round 1000/1000  took 0:45  critic/wasserstein -0.3123  generator/wasserstein 0.12  w_estimate 0.3123  20 rounds/s",
    ]


def rounds_of(lines):
    return [int(re.match(r"round +(\d+)/", line)[1]) for line in lines]


def test_a_fast_run_prints_a_line_per_five_percent_besides_the_first_and_last(time):
    assert rounds_of(played(time, 1000, 1, 0.001)) == [1, *range(50, 1001, 50)]


def test_a_slow_run_prints_a_line_every_ten_seconds(time):
    assert rounds_of(played(time, 100, 1, 4.0))[:4] == [1, 4, 5, 8]  # 12 s apart, and at each 5 %


def test_a_very_long_run_does_not_fill_the_log(time):
    lines = played(time, 36_000, 1, 1.0)  # ten hours
    assert 100 < len(lines) < 700
    assert rounds_of(lines)[-1] == 36_000


def test_rare_reports_are_all_shown(time):
    assert rounds_of(played(time, 100, 25, 1.0)) == [25, 50, 75, 100]


def test_a_resumed_run_goes_on_counting(time):
    assert rounds_of(played(time, 100, 10, 1.0, start=70)) == [80, 90, 100]


def test_an_interrupted_run_ends_with_its_last_report(time):
    stream = io.StringIO()
    with pytest.raises(KeyboardInterrupt), Progress(1000, stream=stream) as progress:  # noqa: PT012
        for round in range(1, 8):
            progress.update(Report(round))
        raise KeyboardInterrupt
    assert rounds_of(stream.getvalue().splitlines()) == [1, 7]


def test_quiet_prints_nothing(time):
    stream = io.StringIO()
    with Progress(10, title="wgan", quiet=True, stream=stream) as progress:
        progress.note("samples")
        progress.update(Report(10))
    assert stream.getvalue() == ""


def test_time_left_follows_the_speed_and_runs_down_between_reports(time):
    with Progress(1000, stream=io.StringIO()) as progress:
        assert progress.left is None
        progress.update(Report(600, rounds_per_second=10.0))
        assert progress.left == pytest.approx(40)
        time.now += 15
        assert progress.left == pytest.approx(25)
        time.now += 60
        assert progress.left == 0
        progress.update(Report(1000))
        assert progress.left == 0


def test_time_left_includes_what_is_done_between_rounds(time):
    """Scores and pictures: 50 rounds took 5 s by their speed, and 25 s by the clock."""
    with Progress(200, stream=io.StringIO()) as progress:
        time.now += 60  # compiling, say, which does not come again
        progress.update(Report(10, rounds_per_second=10.0))
        assert progress.left == pytest.approx(19)
        time.now += 25
        progress.update(Report(60, rounds_per_second=10.0))
        assert progress.left == pytest.approx(140 * 0.5)


def test_the_time_that_a_run_took_stands_still_at_its_end(time):
    stream = io.StringIO()
    with Progress(10, stream=stream) as progress:
        time.now += 20
        progress.update(Report(10))
        progress.scored(10, ["swd 0.05"])
        time.now += 30  # what is sent elsewhere
        assert progress._clock() == ["took 0:20"]


def test_a_speed_of_nothing_gives_no_time_left(time):
    with Progress(1000, stream=io.StringIO()) as progress:
        progress.update(Report(1, rounds_per_second=0.0))
        assert progress.left is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.31234567, "0.3123"), (-1.5e-7, "-1.5e-07"), (12345.6, "12346"), (1e9, "1e+09"), (0.0, "0"), (-2e4, "-20000")],
)
def test_numbers_have_four_digits(value, text):
    assert number(value) == text


@pytest.mark.parametrize(("value", "text"), [(6.0863, "6.09"), (1234.5, "1234"), (99.96, "100"), (0.01234, "0.0123")])
def test_rates_have_three_digits(value, text):
    assert rate(value) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (125, "2:05"), (3725, "1:02:05")])
def test_clock(seconds, text):
    assert clock(seconds) == text


SCRIPT = """
    import sys
    {before}
    from ganflow.runs.progress import Progress

    class Report:
        terms = {{"critic/wasserstein": -0.31234567, "critic/gradient_penalty": 0.5, "generator/wasserstein": 0.12}}
        estimates = {{"w_estimate": 0.31234567}}
        rounds_per_second = 20.0
        def __init__(self, round): self.round = round

    with Progress(1000, title="wgan · 20260101-120000-abcd") as progress:
        for round in (100, 400, 1000):
            progress.update(Report(round))
            progress.note(f"samples/round-{{round:08}}.png [not markup]")
            print("a plugin speaks")
"""


def on_terminal(before="", columns=80, **environment):
    """What the script writes to a terminal, and its exit code."""
    here, there = pty.openpty()
    variables = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE")}
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT).format(before=before)],
        stdout=there, stderr=there, close_fds=True,
        env={**variables, "TERM": "xterm", "COLUMNS": str(columns), "LINES": "24", **environment},
    )  # fmt: skip
    os.close(there)
    written = b""
    while True:
        try:
            piece = os.read(here, 65536)
        except OSError:  # Linux's end of a terminal
            break
        if not piece:
            break
        written += piece
    os.close(here)
    return written.decode(), process.wait()


def test_the_live_display_fits_eighty_columns_and_notes_stay_above_it():
    written, code = on_terminal()
    assert code == 0
    plain = [line for part in written.split("\n") for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", part).split("\r") if line]
    assert max(map(len, plain)) <= 80
    last = plain[-5:]
    assert re.match(r"wgan · 20260101-120000-abcd +━+ +1000/1000 +100%$", last[0].rstrip())
    assert re.match(r"critic +wasserstein -0.3123 +gradient_penalty 0.5", last[1])
    assert re.match(r"generator +wasserstein 0.12", last[2])
    assert re.match(r"estimates +w_estimate 0.3123", last[3])
    assert re.match(r"speed +20 rounds/s +took 0:0\d", last[4])
    assert [line.rstrip() for line in plain].count("samples/round-00000400.png [not markup]") == 1
    assert [line.rstrip() for line in plain].count("a plugin speaks") == 3
    assert written.count("\x1b[?25l") == written.count("\x1b[?25h") == 1, "the cursor is back"


@pytest.mark.parametrize(
    ("before", "environment"),
    [("sys.modules['rich'] = sys.modules['rich.live'] = sys.modules['rich.console'] = None", {}), ("", {"TERM": "dumb"})],
    ids=["without rich", "dumb terminal"],
)
def test_plain_lines_where_nothing_better_can_be_had(before, environment):
    written, code = on_terminal(before, **environment)
    assert code == 0, written
    assert "\x1b" not in written
    assert rounds_of([line for line in written.splitlines() if line.startswith("round")]) == [100, 400, 1000]
