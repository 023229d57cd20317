"""What stops trials early: Ray's rules, which learn again from the runs' journals what they knew before an interruption,
and which never see a score that is not a number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ray.tune.experiment import Trial as RayTrial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from ganflow.recipe import Tune
from ganflow.tune.book import Book


@dataclass(frozen=True)
class StandIn:
    """All that the rules want of a trial."""

    trial_id: str


class Stopping(FIFOScheduler):
    """Lets a rule of Ray's say which trials stop.

    Args:
        rule: judges "score" at "round".
    """

    def __init__(self, book: Book, rule: TrialScheduler) -> None:
        super().__init__()
        self.book, self.rule = book, rule
        self._added: set[int] = set()

    def remember(self, reports: Iterable[tuple[int, int, float]]) -> set[int]:
        """Take in what earlier (trial, round, score) there were, in order of time; returns the trials that the rule would
        have stopped at their last report."""
        verdict: dict[int, str] = {}
        for number, round, score in reports:
            verdict[number] = self._judge(number, round, score)
        return {number for number, said in verdict.items() if said == TrialScheduler.STOP}

    def _judge(self, number: int, round: int, score: float) -> str:
        trial: Any = StandIn(str(number))
        nobody: Any = None
        if number not in self._added:
            self._added.add(number)
            self.rule.on_trial_add(nobody, trial)
        return self.rule.on_trial_result(nobody, trial, {"round": round, "score": score})

    def on_trial_result(self, tune_controller: Any, trial: RayTrial, result: dict[str, Any]) -> str:
        if "score" not in result or result["state"] != "running":
            return TrialScheduler.CONTINUE
        said = self._judge(result["trial"], result["round"], result["score"])
        return TrialScheduler.STOP if said == TrialScheduler.STOP else TrialScheduler.CONTINUE


def make_scheduler(tune: Tune, mode: str, rounds: int, book: Book) -> Stopping | None:
    """The rule of a recipe whose trials play at most `rounds` rounds; None where nothing stops a trial early."""
    grace = max(1, round(tune.grace * rounds))
    if tune.scheduler == "asha":
        return Stopping(
            book,
            AsyncHyperBandScheduler(
                time_attr="round",
                metric="score",
                mode=mode,
                grace_period=grace,
                max_t=max(rounds, grace),
                reduction_factor=tune.reduction,
                stop_last_trials=False,
            ),
        )
    if tune.scheduler == "median":
        never = float("inf")  # it would pause trials to let others catch up
        rule = MedianStoppingRule(time_attr="round", metric="score", mode=mode, grace_period=grace, min_time_slice=never)  # type: ignore[arg-type]
        return Stopping(book, rule)
    return None
