"""Schedulers: early stopping and population based training, and room in the cluster for further trials."""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from ganflow.recipe import Tune
from ganflow.runs.checkpoints import round_of, stored
from ganflow.space.space import Space
from ganflow.tune.trials import TrialTable

AHEAD = 100
"""Trials that may wait for a cluster to grow where nothing is learnt from those before them: an autoscaler counts them."""
SHARE = 0.05
"""Of the driver's time that asking for placement groups may cost: the answer is long after thousands of trials."""
LIVE = (Trial.PENDING, Trial.RUNNING)
QUARTER = 0.25


class Room(tune.Callback):
    """Count of the trials that wait for resources, made before each step of Ray's.

    Args:
        ahead: so many trials may wait.

    Attributes:
        waiting: trials that wait for resources, as far as is known: not those whose process is starting.
    """

    def __init__(self, ahead: int = 1) -> None:
        self.ahead, self.waiting = ahead, 0
        self._empty = True  # no trial is live: Ray asks until it gets one
        self._left = 0
        self._next = 0.0

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        live = Counter(trial.status for trial in trials if not trial.is_finished())
        self._empty = not live
        self._left = 0
        started = time.monotonic()
        if not live or started < self._next:
            return
        try:
            groups = Counter(states())
        except Exception:  # the cluster's head is away for a moment, or for good, which the watchdog finds
            return
        held = groups["CREATED"]  # by a trial that runs or whose process is starting, or by a process that became free
        without = sum(live[status] for status in LIVE) - held
        self.waiting = max(0, groups["PENDING"], without)
        self._left = max(0, self.ahead - self.waiting)
        now = time.monotonic()
        self._next = now + (now - started) / SHARE

    def admits(self) -> bool:
        """Return true if one more trial may be proposed now. It counts as waiting for resources until the next step."""
        if self._empty:
            self._empty = False
            return True
        self._left -= 1
        return self._left >= 0

    def first(self, trials: Sequence[Trial]) -> Trial | None:
        """The trial for the next process that becomes free: of those that are not running yet, the first whose process is not
        starting. They get their resources in the order in which they came."""
        pending = [trial for trial in trials if trial.status == Trial.PENDING]
        return pending[-self.waiting :][0] if self.waiting and pending else None


def states() -> list[str]:
    """The states of this driver's placement groups: "PENDING", "CREATED", "REMOVED", …"""
    import ray
    from ray.util import placement_group_table

    job = ray.get_runtime_context().get_job_id()  # with which an id of a placement group ends
    return [group["state"] for identity, group in placement_group_table().items() if identity.endswith(job)]


class InTurn(FIFOScheduler):
    """Scheduler whose trials begin in the order in which they were proposed, as soon as there is room, and run to their end."""

    def __init__(self, room: Room) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Ray's has no types
        self.room = room

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        return self.room.first(tune_controller.get_trials())


class Judged(NamedTuple):
    """A trial, as far as Ray's rules read it."""

    trial_id: str


class Stopping(InTurn):
    """Scheduler that stops trials by rules of Ray's.

    Args:
        rules: judge "score" at "round". With several of them each trial is judged by one, as with Hyperband's brackets.
        shares: of the trials that each rule is to judge.
        rounds: of a trial: one that has played them all is not stopped.
    """

    def __init__(self, rules: Sequence[TrialScheduler], shares: Sequence[float], rounds: int, room: Room) -> None:
        super().__init__(room)
        self.rules, self.shares, self.rounds = rules, shares, rounds
        self._brackets: list[int] = []  # of trials, by number
        self._judged: dict[int, int] = {}  # trial → the last round that it was judged at

    def remember(self, reports: Iterable[tuple[int, int, float]]) -> set[int]:
        """Replay (trial, round, score) of an earlier session, in order of time; returns the trials that the rule would have
        stopped at their last report."""
        verdict = {number: self._stops(number, round, score) for number, round, score in reports}
        return {number for number, stops in verdict.items() if stops}

    def _stops(self, number: int, round: int, score: float | None) -> bool:
        if score is None or not math.isfinite(score) or round <= self._judged.get(number, -1):  # judged before a restart
            return False
        trial: Any = Judged(str(number))
        nobody: Any = None
        rule = self.rules[self.bracket(number)]
        if number not in self._judged:
            rule.on_trial_add(nobody, trial)
        self._judged[number] = round
        verdict = rule.on_trial_result(nobody, trial, {"round": round, "score": score})
        return verdict != TrialScheduler.CONTINUE and round < self.rounds

    def bracket(self, number: int) -> int:
        """Index of the rule that judges a trial: the one that is furthest behind its share when the trial is proposed."""
        while len(self._brackets) <= number:
            known = Counter(self._brackets)
            behind = [share * (len(self._brackets) + 1) - known[i] for i, share in enumerate(self.shares)]
            self._brackets.append(behind.index(max(behind)))
        return self._brackets[number]

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        running = result.get("state") == "running"
        stops = running and self._stops(result["trial"], result["round"], result.get("score"))
        return TrialScheduler.STOP if stops else TrialScheduler.CONTINUE


def make_scheduler(tune: Tune, mode: str, rounds: int, room: Room | None = None) -> Stopping | None:
    """The rule of a recipe whose trials play at most `rounds` rounds; None where nothing stops a trial early."""
    room = room or Room()
    grace, eta = max(1, round(tune.grace * rounds)), tune.reduction
    common: dict[str, Any] = {"time_attr": "round", "metric": "score", "mode": mode}

    def halving(grace: int) -> AsyncHyperBandScheduler:
        return AsyncHyperBandScheduler(
            max_t=max(rounds, grace), reduction_factor=eta, stop_last_trials=False, grace_period=grace, **common
        )

    if tune.scheduler == "asha":
        return Stopping([halving(grace)], [1.0], rounds, room)
    if tune.scheduler == "hyperband":
        # Li et al. 2018 (arXiv:1603.06560), algorithm 1: bracket s judges its trials after R η^−s rounds first, and has
        # (s_max + 1) η^s / (s + 1) of them. Ray's own brackets are drawn from numpy's global generator, and lost on a restart.
        last = math.floor(math.log(rounds / grace, eta) + 1e-9)
        sizes = [eta**s / (s + 1) for s in range(last + 1)]
        rules = [halving(max(1, round(rounds / eta**s))) for s in range(last + 1)]
        return Stopping(rules, [size / sum(sizes) for size in sizes], rounds, room)
    if tune.scheduler == "median":
        never: Any = float("inf")  # it would pause trials to let others catch up
        # hard_stop: says "pause" for stop, and bears a trial that goes on all the same
        rule = MedianStoppingRule(min_time_slice=never, hard_stop=False, grace_period=grace, **common)
        return Stopping([rule], [1.0], rounds, room)
    return None


class Population(InTurn):
    """Population based training. Where more trials live than fit on the cluster, they alternate.

    A trial has a turn at its first score after each of the intervals. What the population knows follows from the records alone:
    when a trial's next turn is due, and the score that a copy has from its source until it has its own.

    Args:
        rounds: of a trial.
    """

    def __init__(self, table: TrialTable, space: Space, tune: Tune, mode: str, rounds: int, room: Room) -> None:
        super().__init__(room)
        self.table, self.space, self.tune, self.rounds = table, space, tune, rounds
        self.every = max(1, round(tune.interval * rounds))  # rounds between copies
        self.sign = 1 if mode == "min" else -1
        self._scores: dict[int, float] = {}  # trial → the last score of the weights that it has: a copy has its source's

    def remember(self, reports: Iterable[tuple[int, int, float]]) -> set[int]:
        """Note the scores of an earlier session, (trial, round, score) in order of time; returns the trials that were stopped:
        none."""
        trials = self.table.trials
        since = {number: self.table.folder.since(trial) for number, trial in trials.items()}
        self._scores = {number: trial.inherited for number, trial in trials.items() if trial.inherited is not None}
        for number, round, score in reports:
            if round > since[number] and math.isfinite(score):
                self._scores[number] = score
                if not trials[number].due:  # of an earlier version, which wrote none down
                    self.table.update(number, due=self._due(round))
        return set()

    def _due(self, round: int) -> int:
        """The first turn after a round."""
        return (round // self.every + 1) * self.every

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        if result["state"] != "running":
            return TrialScheduler.CONTINUE
        number, round = result["trial"], result["round"]
        known = self.table.trials[number]
        if result.get("score") is not None:
            self._scores[number] = result["score"]
        if "score" not in result or round < (known.due or self.every) or round >= self.rounds:
            return TrialScheduler.CONTINUE
        # by what the records tell, so that a sweep that goes on draws on
        rng = random.Random(f"population {self.tune.seed}/{number}/{len(known.copied)}")
        if (source := self._source(number, rng)) is not None:
            self._copy(number, *source, rng)
            tune_controller.pause_trial(trial, should_checkpoint=False)
            trial.set_config(self.table.specs([number], self.space.changes))
            return TrialScheduler.NOOP
        self.table.record(number, due=self._due(round))
        return TrialScheduler.PAUSE if self._ready(tune_controller) else TrialScheduler.CONTINUE

    def _copy(self, number: int, source: int, at: int, rng: random.Random) -> None:
        """Record that a trial becomes a copy of another's checkpoint of a round. It is judged again an interval later."""
        config = self.space.mutate(self.table.trials[source].config, self.tune, rng)
        copied = [*self.table.trials[number].copied, [source, at]]
        self._scores[number] = self._scores[source]
        due = self._due(at + self.every - 1)
        self.table.record(number, config=config, copied=copied, score=None, inherited=self._scores[source], due=due)

    def _source(self, number: int, rng: random.Random) -> tuple[int, int] | None:
        """The trial that this one becomes a copy of, and the round of its checkpoint; None where it is not copied over."""
        trials = self.table.trials
        alive = [n for n in self._scores if trials[n].round < self.rounds and not trials[n].over]
        ranked = sorted(alive, key=lambda n: (self.sign * self._scores[n], n))
        share = min(math.ceil(QUARTER * len(ranked)), len(ranked) // 2)
        if not share or number not in ranked[-share:]:
            return None
        found = [(best, at) for best in ranked[:share] if (at := self._checkpoint(best)) is not None]
        return rng.choice(found) if found else None

    def _checkpoint(self, number: int) -> int | None:
        """Round of the newest checkpoint from which a copy of a trial could go on; None where there is none: of one that is to
        become a copy itself, those that are there are of other weights."""
        trial, run = self.table.trials[number], self.table.folder.trial(number)
        if trial.copied and (not run.is_run() or run.read().copies < len(trial.copied)):
            return None
        return max((round for round in map(round_of, stored(run.checkpoints)) if round < self.rounds), default=None)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The trial that is furthest behind."""
        ready = self._ready(tune_controller)
        return min(ready, key=lambda t: self.table.trials[self.table.numbers[t.trial_id][0]].round, default=None)

    def _ready(self, tune_controller: Any) -> list[Trial]:
        """Trials for a process that became free."""
        trials = tune_controller.get_trials()
        new = self.room.first(trials)
        return [*([new] if new else []), *(t for t in trials if t.status == Trial.PAUSED)]
