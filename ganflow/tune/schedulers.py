"""What stops trials early: Ray's rules, which learn again from the runs' journals what they knew before an interruption,
and which never see a score that is not a number."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ray.tune.experiment import Trial as RayTrial
from ray.tune.schedulers import AsyncHyperBandScheduler, MedianStoppingRule, TrialScheduler

from ganflow.recipe import Tune
from ganflow.tune.room import InTurn, Room


@dataclass(frozen=True)
class StandIn:
    """All that the rules want of a trial."""

    trial_id: str


class Stopping(InTurn):
    """Lets a rule of Ray's say which trials stop.

    Args:
        rule: judges "score" at "round".
        rounds: of a trial: one that has played them all is not stopped.
    """

    def __init__(self, rule: TrialScheduler, rounds: int, room: Room) -> None:
        super().__init__(room)
        self.rule, self.rounds = rule, rounds
        self._judged: dict[int, int] = {}  # trial → the last round that it was judged at

    def remember(self, reports: Iterable[tuple[int, int, float]]) -> set[int]:
        """Take in what earlier (trial, round, score) there were, in order of time; returns the trials that the rule would
        have stopped at their last report."""
        verdict: dict[int, bool] = {}
        for number, round, score in reports:
            verdict[number] = self._stops(number, round, score)
        return {number for number, stops in verdict.items() if stops}

    def _stops(self, number: int, round: int, score: float | None) -> bool:
        """Whether a trial stops here. What it plays and reports again after a restart was judged already."""
        if score is None or not math.isfinite(score) or round <= self._judged.get(number, -1):
            return False
        trial: Any = StandIn(str(number))
        nobody: Any = None
        if number not in self._judged:
            self.rule.on_trial_add(nobody, trial)
        self._judged[number] = round
        said = self.rule.on_trial_result(nobody, trial, {"round": round, "score": score})
        return said != TrialScheduler.CONTINUE and round < self.rounds

    def on_trial_result(self, tune_controller: Any, trial: RayTrial, result: dict[str, Any]) -> str:
        running = result.get("state") == "running"
        stops = running and self._stops(result["trial"], result["round"], result.get("score"))
        return TrialScheduler.STOP if stops else TrialScheduler.CONTINUE


def make_scheduler(tune: Tune, mode: str, rounds: int, room: Room | None = None) -> Stopping | None:
    """The rule of a recipe whose trials play at most `rounds` rounds; None where nothing stops a trial early."""
    room = room or Room()
    grace = max(1, round(tune.grace * rounds))
    if tune.scheduler == "asha":
        return Stopping(
            AsyncHyperBandScheduler(
                time_attr="round",
                metric="score",
                mode=mode,
                grace_period=grace,
                max_t=max(rounds, grace),
                reduction_factor=tune.reduction,
                stop_last_trials=False,
            ),
            rounds,
            room,
        )
    if tune.scheduler == "median":
        never: Any = float("inf")  # it would pause trials to let others catch up
        rule = MedianStoppingRule(
            time_attr="round",
            metric="score",
            mode=mode,
            grace_period=grace,
            min_time_slice=never,
            hard_stop=False,  # says "pause" for stop, and bears a trial that goes on all the same
        )
        return Stopping(rule, rounds, room)
    return None
