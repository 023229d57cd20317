"""Budget of a whole sweep: time and GPU time over all its sessions, and trials that failed."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from ganflow.printing import plural
from ganflow.recipe import Tune
from ganflow.sweeps.records import SweepFolder

NOTED = 30.0
"""Seconds between notes of what was used: as much may be forgotten where the driver is killed."""
HOUR = 3600.0
UNITS = {"hours": "hour", "gpu_hours": "GPU hour", "failures": "failure"}


@dataclass(frozen=True)
class Spent:
    """The part of a budget that is used up. As text: "the sweep's budget of 8 hours is used up"."""

    name: str
    limit: float
    used: float

    def __str__(self) -> str:
        return f"the sweep's budget of {plural(self.limit, UNITS[self.name])} is used up"

    @property
    def more(self) -> str:
        """Override of a budget that would do for a while."""
        more = 1.5 * max(self.limit, self.used)
        number = f"{math.ceil(more)}" if self.name == "failures" else f"{more:.3g}" if more < 1 else f"{round(more, 1):g}"
        return f"tune.budget.{self.name}={number}"


class Budget:
    """The limits of a sweep, and what it has used.

    Args:
        folder: whose record has what earlier sessions used.
    """

    def __init__(self, tune: Tune, folder: SweepFolder) -> None:
        self.limits, self.gpus, self.folder = tune.budget, tune.resources.get("gpus", 0.0), folder
        record = folder.read()
        self.seconds, self.gpu_seconds = record.seconds, record.gpu_seconds
        self._at = self._noted = time.monotonic()
        self._running = 0

    def left(self) -> float:
        """Seconds until the time or the GPU time is used up, with as many trials as at the last count."""
        time_left = self.limits.get("hours", math.inf) * HOUR - self.seconds
        gpus = self._running * self.gpus
        gpu_left = (self.limits.get("gpu_hours", math.inf) * HOUR - self.gpu_seconds) / gpus if gpus else math.inf
        return max(0.0, min(time_left, gpu_left))

    def count(self, running: int) -> None:
        """Count the time since the last call.

        Args:
            running: trials, or packs of trials, that had resources meanwhile.
        """
        now, self._running = time.monotonic(), running
        self.seconds += now - self._at
        self.gpu_seconds += (now - self._at) * running * self.gpus
        self._at = now
        if now >= self._noted + NOTED:
            self.note()

    def note(self) -> None:
        """Write down what was used."""
        self._noted = time.monotonic()
        self.folder.update(seconds=round(self.seconds, 3), gpu_seconds=round(self.gpu_seconds, 3))

    def spent(self, failed: int) -> Spent | None:
        """The part that is used up, if one is.

        Args:
            failed: number of trials that failed.
        """
        used = {"hours": self.seconds / HOUR, "gpu_hours": self.gpu_seconds / HOUR, "failures": float(failed)}
        return next((Spent(name, limit, used[name]) for name, limit in self.limits.items() if used[name] >= limit), None)
