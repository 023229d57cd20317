"""Room in the cluster for a further trial: when Ray may ask for one, and which trial goes on in a process that became free.

Ray by itself lets one trial of a custom searcher wait, and does not tell one that waits for resources from one whose process is
starting, which takes seconds. It gives the first process that becomes free to the latter, and ends the one that was starting:
with short trials a second one never starts. Which is which, the cluster's placement groups tell, one for each process of Tune's.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

AHEAD = 100
"""Trials that may wait for a cluster to grow where nothing is learnt from those before them: an autoscaler counts them."""
SHARE = 0.05
"""Of the driver's time that asking for placement groups may cost: the answer is long after thousands of trials."""
LIVE = (Trial.PENDING, Trial.RUNNING)


class Room(tune.Callback):
    """Counts the trials that wait for resources, before each step of Ray's.

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
        """Whether one more trial may be proposed now. One that is will wait for resources until the next step tells."""
        if self._empty:
            self._empty = False
            return True
        self._left -= 1
        return self._left >= 0

    def first(self, trials: Sequence[Trial]) -> Trial | None:
        """The trial that is to have the next process that becomes free: of those that are not running yet, the first whose own
        is not starting. They get their resources in the order in which they came."""
        pending = [trial for trial in trials if trial.status == Trial.PENDING]
        return pending[-self.waiting :][0] if self.waiting and pending else None


def states() -> list[str]:
    """The states of this driver's placement groups: "PENDING", "CREATED", "REMOVED", …"""
    import ray
    from ray.util import placement_group_table

    job = ray.get_runtime_context().get_job_id()  # with which an id of a placement group ends
    return [group["state"] for identity, group in placement_group_table().items() if identity.endswith(job)]


class InTurn(FIFOScheduler):
    """Trials begin in the order in which they were proposed, as soon as there is room, and nothing stops them early."""

    def __init__(self, room: Room) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.room = room

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        return self.room.first(tune_controller.get_trials())
