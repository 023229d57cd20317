"""Durations of trials, and an estimate of how long a sweep still lasts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from ganflow.sweeps.records import TrialRecord, rounds_of


class Durations:
    """Seconds of trials, and an estimate of how many are left of a sweep.

    A trial that is over took what it took: less where it was stopped, or diverged. One that runs is expected to take what those
    took, on average, that are over and ran for longer than it has by now; where none did, what its own rounds say. One that waits
    is expected to take the average of all these. So early ends count as often as they happen, and a trial that is spared is not
    expected to end early. (With trials that run as censored observations, that is the mean of Kaplan and Meier's estimate.)

    Args:
        rounds: of a trial; 0 where that is not known.
        longest: seconds after which a trial is ended.
    """

    def __init__(self, rounds: int, longest: float = math.inf) -> None:
        self._rounds, self._longest = rounds, longest
        self._since: dict[int, float] = {}  # running trial → when it began
        self._spent: dict[int, float] = {}  # trial → seconds for which it ran before
        self._first: dict[int, int] = {}  # trial → its rounds when it began here: a sweep that goes on has some in the middle
        self._began: float | None = None

    def update(self, trials: Iterable[TrialRecord], now: float) -> None:
        for trial in trials:
            if trial.state == "running":
                self._since.setdefault(trial.number, now)
                self._first.setdefault(trial.number, trial.round)
                self._began = now if self._began is None else self._began
            elif trial.number in self._since:
                self._spent[trial.number] = self._ran(trial.number, now)
                del self._since[trial.number]

    def left(self, trials: Sequence[TrialRecord], total: int, now: float) -> float | None:
        """Seconds until the last of so many trials is over, if as many run at a time as did on average; None where nothing is
        known yet of any trial's."""
        began = [trial for trial in trials if trial.number in self._first]
        ran = sum(self._ran(trial.number, now) for trial in began)
        took = [self._whole(trial, now) for trial in began if trial.over]
        alive = {trial.number: self._whole(trial, now) for trial in began if not trial.over}
        expected = {trial.number: self._expected(trial, now, took) for trial in began if not trial.over}
        known = [*took, *(seconds for seconds in expected.values() if seconds is not None)]
        if not known or not ran or self._began is None:
            return None
        mean = min(self._longest, sum(known) / len(known))
        left = [max(0.0, (mean if (whole := expected[n]) is None else whole) - by_now) for n, by_now in alive.items()]
        left = [min(seconds, max(0.0, self._longest - self._ran(n, now))) for n, seconds in zip(alive, left, strict=True)]
        waiting = [1 - self._share(trial) for trial in trials if not trial.over and trial.number not in alive]
        work = sum(left) + mean * (sum(waiting) + max(0, total - len(trials)))
        at_a_time = ran / (now - self._began)
        return max(work / at_a_time, *left, 0.0)

    def _ran(self, number: int, now: float) -> float:
        """Seconds for which a trial ran here."""
        return self._spent.get(number, 0.0) + (now - self._since[number] if number in self._since else 0.0)

    def _whole(self, trial: TrialRecord, now: float) -> float:
        """Seconds of a trial up to now, those before it went on here included, at the same pace."""
        fresh = trial.round - self._first[trial.number]
        return self._ran(trial.number, now) * (trial.round / fresh if fresh > 0 else 1.0)

    def _share(self, trial: TrialRecord) -> float:
        rounds = rounds_of(trial, self._rounds)
        return min(1.0, trial.round / rounds) if rounds else 0.0

    def _expected(self, trial: TrialRecord, now: float, took: Sequence[float]) -> float | None:
        """Seconds that a trial will have taken; None where nothing says so."""
        by_now, share = self._whole(trial, now), self._share(trial)
        longer = [seconds for seconds in took if seconds > by_now]
        if longer:
            return sum(longer) / len(longer)
        return by_now / share if share else None
