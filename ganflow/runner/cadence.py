"""When a run stops playing to report, to draw samples, to evaluate, to keep a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from ganflow.recipe import Train


@dataclass(frozen=True)
class Cadence:
    """Intervals in rounds. All happen at the end, too."""

    rounds: int
    report: int
    sample: int
    evaluate: int
    checkpoint: int

    @classmethod
    def of(cls, train: Train) -> Cadence:
        """The recipe's, with what it leaves open (0) chosen from the number of rounds."""
        n = train.rounds
        return cls(
            rounds=n,
            report=train.report_every or min(100, max(1, n // 200)),
            sample=train.sample_every or max(1, n // 20),
            evaluate=train.evaluate_every or max(1, n // 10),
            checkpoint=train.checkpoint_every or max(1, n // 20),
        )

    def next_stop(self, round: int) -> int:
        """The first round after this one in which anything is due."""
        intervals = (self.report, self.sample, self.evaluate, self.checkpoint)
        return min(self.rounds, *((round // every + 1) * every for every in intervals))

    def due(self, every: int, round: int) -> bool:
        return round % every == 0 or round == self.rounds
