"""The report: what happened in a run since the last one."""

from __future__ import annotations

from dataclasses import dataclass, field

SUMS = ("critic_loss", "generator_loss")
"""What each player descends: the sum of its terms. Reported of every loss; pictures and tables show the terms."""


@dataclass
class Report:
    """What happened since the last report.

    Attributes:
        round: rounds played so far.
        terms: means of the terms over the rounds since the last report in which they took part, "critic/wasserstein", …; the
            players' sums are "critic_loss" and "generator_loss".
        estimates: what the loss derives from them ("w_estimate").
        rates: learning rates, by part.
        rounds_per_second: since the last report.
        logged: what was added by `log`.
    """

    round: int
    terms: dict[str, float] = field(default_factory=dict)
    estimates: dict[str, float] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)
    rounds_per_second: float = 0.0
    logged: dict[str, float] = field(default_factory=dict)

    def log(self, name: str, value: float) -> None:
        """Report a number of one's own, in `round_reported`: it gets a curve in the journal and in MLflow.

        Raises:
            ValueError: the name is in use.
        """
        if name in self.values:
            raise ValueError(f"'{name}' is reported already; use another name")
        self.logged[name] = float(value)

    @property
    def values(self) -> dict[str, float]:
        """Everything with a curve of its own."""
        rates = {f"lr/{part}": rate for part, rate in self.rates.items()}
        return {**self.terms, **self.estimates, **rates, "rounds_per_second": self.rounds_per_second, **self.logged}
