"""The driver's book: what is known of every trial, in memory and in the sweep's records."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from ganflow.tune.folder import SweepFolder, TrialRecord
from ganflow.tune.order import Order


@dataclass
class Book:
    """The only writer of the sweep's records.

    Attributes:
        template: the order of every trial, but for its number, changes and folder.
        common: changes of the recipe that all trials share.
        numbers: Ray's id of a trial → its number, or those of the trials that are packed in it.
    """

    folder: SweepFolder
    template: dict[str, Any]
    common: list[str]
    trials: dict[int, TrialRecord] = field(default_factory=dict)
    numbers: dict[str, list[int]] = field(default_factory=dict)

    def record(self, number: int, **values: Any) -> TrialRecord:
        """Write down what is new about a trial."""
        known = self.trials.setdefault(number, TrialRecord(number, {}))
        new = {name: value for name, value in values.items() if getattr(known, name) != value}
        if new:
            self.folder.record(number, **new)
        for name, value in new.items():
            setattr(known, name, value)
        return known

    def saw(self, number: int, **values: Any) -> TrialRecord:
        """Remember what a report says, unwritten: the run's own journal has it."""
        known = self.trials[number]
        for name, value in values.items():
            setattr(known, name, value)
        return known

    def order(self, number: int, changes: list[str]) -> Order:
        """What a worker is told about a trial."""
        template = {**self.template, "about": {**self.template["about"], "trial": number}}
        copied = self.trials[number].copied
        copy: dict[str, Any] = {}
        if copied:
            source, at = copied[-1]
            copy = {"copy": str(self.folder.trial(source).path), "copy_at": at, "copies": len(copied)}
        place = str(self.folder.trial(number).path)
        return Order(
            number=number, changes=[*self.common, *changes], folder=place, **copy, **template
        )

    @staticmethod
    def as_config(orders: list[Order]) -> dict[str, Any]:
        """Orders as Ray's config: one text, because Ray takes keys with a "/" apart."""
        return {"orders": json.dumps([asdict(order) for order in orders])}
