"""The loop of a run: play until something is due, then report, draw, evaluate, keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch

from ganflow.contract.game import Metric, Scores
from ganflow.contract.loss import Report
from ganflow.contract.roles import Tracker
from ganflow.contract.signature import Z
from ganflow.engine.rows import rows_of
from ganflow.engine.trainer import Diverged, Trainer
from ganflow.errors import GanflowError
from ganflow.evaluation import scores as evaluation
from ganflow.evaluation.evaluate import score
from ganflow.evaluation.health import BEGINNING, FIRST
from ganflow.evaluation.scores import Rule, Score, grouped
from ganflow.plugins import Composition
from ganflow.recipe import Recipe, Train
from ganflow.runs.alarms import Alarms
from ganflow.runs.checkpoints import Writer
from ganflow.runs.folders import RunFolder
from ganflow.runs.journal import Journal, Trackers, sound
from ganflow.runs.progress import Progress
from ganflow.runs.record import Best
from ganflow.runs.report import write_report

LEAST = 20
"""Rounds between a trial's checkpoints, at least: each takes as long as half a round of a small game, and trials are many."""
GRID = 64  # latent points whose samples are drawn again and again over training, …
CLOUD = 2000  # … of points in the plane; …
SHEET = 8  # … and held-out examples, where the loss shows some


class Follower(Protocol):
    """A process beside the training that sends the run's folder to a server (ganflow.tracking.follower)."""

    def start(self, say: Callable[[str], None]) -> str | None: ...  # a note for the user; `say` shows later ones
    def finish(self, timeout: float) -> object | None: ...  # the rest that could not be sent, and why
    def stop(self) -> None: ...


@dataclass(frozen=True)
class Cadence:
    """Intervals in rounds. All happen at the end, too.

    Attributes:
        first: of reports up to round BEGINNING, by which health is watched and what is not finite is found.
    """

    rounds: int
    report: int
    sample: int
    evaluate: int
    checkpoint: int
    first: int

    @classmethod
    def of(cls, train: Train, *, trial: bool = False) -> Cadence:
        """The recipe's, with what it leaves open (0) chosen from the number of rounds.

        Args:
            trial: part of a sweep, with fewer checkpoints where they are chosen.
        """
        n = train.rounds
        report = train.report_every or min(100, max(1, n // 200))
        return cls(
            rounds=n,
            report=report,
            sample=train.sample_every or max(1, n // 20),
            evaluate=train.evaluate_every or max(1, n // 10),
            checkpoint=train.checkpoint_every or max(LEAST if trial else 1, n // 20),
            first=report if train.report_every else min(report, FIRST),
        )

    def next_stop(self, round: int) -> int:
        """The first round after this one in which anything is due."""
        report = self.first if round < BEGINNING else self.report
        intervals = (report, self.sample, self.evaluate, self.checkpoint)
        return min(self.rounds, *((round // every + 1) * every for every in intervals))

    def reported(self, round: int) -> bool:
        """Return true where what was played is reported: not at every stop."""
        return self.due(self.first if round <= BEGINNING else self.report, round)

    def due(self, every: int, round: int) -> bool:
        return round % every == 0 or round == self.rounds


@dataclass(frozen=True)
class Result:
    """Figures after `round` rounds: terms, estimates and rates where these are reported, scores where metrics were due."""

    round: int
    values: dict[str, float] = field(default_factory=dict)


def is_false(answer: object) -> bool:
    """Return whether an answer is False: Python's, numpy's (as a comparison of its numbers gives) or a scalar tensor."""
    scalar = str(getattr(answer, "dtype", "")) in ("bool", "torch.bool") and getattr(answer, "ndim", 1) == 0
    return answer is False or (scalar and not answer)


class Loop:
    """Everything between a run's rounds. Each part happens at an interval of its Cadence and at the end.

    Args:
        best: the best score so far.
        trial: part of a sweep: fewer pictures, and no warnings.
        follower: sends the folder while the run lasts.
        alarms: watches the run's health; None where nothing does.
        on_report: called with each report, after the modifiers.
    """

    def __init__(
        self,
        recipe: Recipe,
        trainer: Trainer,
        metrics: list[Metric],
        trackers: list[Tracker],
        composition: Composition,
        folder: RunFolder,
        progress: Progress,
        best: Best | None,
        trial: bool,
        follower: Follower | None,
        alarms: Alarms | None = None,
        on_report: Callable[[Report], None] | None = None,
    ) -> None:
        self.recipe, self.trainer, self.game = recipe, trainer, trainer.game
        self.metrics, self.composition, self.folder, self.progress = Scores(metrics), composition, folder, progress
        self.cadence = Cadence.of(recipe.train, trial=trial)
        self.writer = Writer(folder.checkpoints, recipe.train.keep)
        self.journal = Journal(folder.journal)
        self.journal.rewind(trainer.round)
        self.trackers = Trackers(recipe, trackers, folder, progress.note if trial else progress.warn, self.trainer.apart)
        self.best, self.follower, self.alarms, self._trial, self._on_report = best, follower, alarms, trial, on_report
        self._checkpointed = trainer.round  # the round of the last checkpoint
        self._no_pictures = False
        self._settled = -1  # the round in which the game was last prepared to be sampled from
        self._last: dict[str, Score] = {}  # of the last evaluation
        self._noted = False  # the protocols are in the record

    def begin(self) -> None:
        """Prepare for the first round that is played."""
        self._call("run_started")
        if self.follower and (note := self.follower.start(self.progress.note)):
            self.progress.note(note)
        self.trackers.begin(self.trainer.round)
        # A trial that is drawn at its end alone is drawn only there: a picture costs as much as hundreds of its rounds.
        if self.trainer.round == 0 and not (self._trial and self.cadence.sample >= self.cadence.rounds):
            self._draw(0)

    def results(self) -> Iterator[Result]:
        """Train until the last round, or until the trainer is stopped."""
        self.begin()
        while self.trainer.round < self.cadence.rounds and not self.trainer.stop:
            before = self.trainer.round
            report = self.trainer.advance(self.cadence.next_stop(before), self.cadence.reported)
            self._check_unchanged(True if self.trainer.round >= self.cadence.rounds else None)
            if report.round > before:  # or it was stopped before a round was played
                yield self.process(report)
            self._check_unchanged(False)  # after what events changed

    def _check_unchanged(self, full: bool | None) -> None:
        """Go on eagerly where the rounds to come are not those that were compiled. Arguments as of `Trainer.changed`.

        Raises:
            GanflowError: the recipe asks for compiled rounds. What was played since the last report is not kept.
        """
        why = self.trainer.changed(full)
        if why is None:
            return
        if self.recipe.train.compile != "auto":
            raise GanflowError(f"train.compile: {why}; start again with train.compile=never")
        self.trainer.decompile()
        self.progress.note(f"eager rounds from round {self.trainer.round} on: {why}")
        self._record(compile={"mode": "never", "why": why})

    def end(self, early: str) -> str:
        """Keep a checkpoint and record how the run ended: "finished"; before its last round "stopped" by an alarm, or `early`."""
        if self.trainer.stop and self.trainer.round > self._checkpointed:  # the signal came after the round's checkpoint was due
            self._keep(self.trainer.round, best=False)
        self.trainer.halt()
        why = self.alarms.stopped if self.alarms and self.trainer.round < self.cadence.rounds else ""
        status = "finished" if self.trainer.round >= self.cadence.rounds else "stopped" if why else early
        self.writer.wait()
        if not self._trial and (curves := sound(self.folder.journal)):  # a trial's are shown by MLflow
            self._picture(lambda pictures: pictures.loss_curves(curves, self.folder.plots / "losses.png"))
        self._record(status=status, round=self.trainer.round, **({"error": why} if why else {}))
        if status == "finished" and self._last and self.best and (metric := self.best.get("metric")):
            best, round = Score(metric, self.best["score"], self.best.get("error")), self.best.get("round")
            last = self._last.get(metric) if round != self.trainer.round else None
            self.progress.note(f"best: {evaluation.described_best(best, round, last)}")
        self.trackers.end(status)
        self._call("run_ended", status=status)
        if self.follower:
            self.progress.note("sending to MLflow …")
            if unsent := self.follower.finish(self.recipe.track.wait):
                self.progress.warn(str(unsent))
        return status

    def close(self) -> None:
        """Close the files. Unsent points go on being sent."""
        self.trackers.end("interrupted")  # where the run has not ended
        if self.follower:
            self.follower.stop()
        self.journal.close()
        with suppress(GanflowError, OSError):  # what ended the run has been said
            self._write_report()

    def needs_game(self, round: int) -> bool:
        """Tell whether anything is due in this round for which the game's weights are read."""
        if self.trainer.stop or (self.cadence.reported(round) and self.composition.listeners("round_reported")):
            return True
        due = (self.cadence.sample, self.cadence.checkpoint, *([self.cadence.evaluate] if self.metrics.metrics else []))
        return any(self.cadence.due(every, round) for every in due)

    def process(self, report: Report) -> Result:
        """Do everything that is due after these rounds."""
        cadence, round = self.cadence, report.round
        if report.terms:
            self._call("round_reported", report=report)  # which may add numbers
            self._log(round, report.values)
            self.progress.update(report)
            if self._on_report:
                with self.trainer.apart():
                    self._on_report(report)
            if self.alarms:
                self._write("run.json", self.alarms.report)
        if cadence.due(cadence.sample, round):
            self._draw(round)
        scores: dict[str, float] = {}
        rule: Rule | None = None
        if self.metrics.metrics and cadence.due(cadence.evaluate, round):
            scores, rule = self._evaluate(report)
        # a run that goes on with other metrics may have been judged by another one
        before = self.best if rule and self.best and self.best.get("metric") in (None, rule.score.name) else None
        best = rule is not None and rule.improves(before["score"] if before else None)
        if rule and best:
            self.best = {"metric": rule.score.name, "score": rule.score.value, "round": round}
            if rule.score.error is not None:
                self.best["error"] = rule.score.error
        if cadence.due(cadence.checkpoint, round) or self.trainer.stop or best:
            self._keep(round, best)
        return Result(round, {**report.values, **scores} if report.terms else scores)

    def _draw(self, round: int) -> None:
        """Draw what the loss shows of held-out examples, or the fixed latents' samples."""
        self._settle()
        game = self.game
        rows = rows_of(game, {name: examples[:SHEET] for name, examples in game.data.held_out.items()})
        if not rows and set(game.signatures[game.maker].inputs.values()) != {Z}:  # nothing to draw from
            return
        samples = None if rows else game.samples(GRID if game.data.main.is_image else CLOUD, self.recipe.train.seed)
        path = self.folder.samples / f"round-{round:08d}.png"

        def save(pictures: Any) -> None:
            picture = pictures.image_sheet(rows) if rows else pictures.sample_picture(game.data, samples, round)
            if picture is not None:
                pictures.save_png(picture, path)

        self._picture(save)
        self.progress.drawn(path)
        self.trackers.picture(round, path)
        self._write_report()

    def _write_report(self) -> None:
        if not self._trial:  # whose sweep has a report
            self._picture(lambda _: write_report(self.folder))

    def _picture(self, save: Callable[[Any], object]) -> None:
        """Save a picture. Training needs neither Pillow nor matplotlib: without them there are no pictures, and one note."""
        try:
            from ganflow import pictures

            self._write("a picture", lambda: save(pictures))
        except ModuleNotFoundError as error:
            if not self._no_pictures:
                self.progress.note(f"no pictures: {error}")
            self._no_pictures = True

    def _evaluate(self, report: Report) -> tuple[dict[str, float], Rule | None]:
        """All scores, and the one that decides what is best."""
        self._settle()
        round, known = report.round, len(self.metrics.renamed)
        found = self.metrics.evaluate(lambda metric: score(metric, self.game))
        scores = {name: score for each in found for name, score in each.items()}
        terms = report.terms or self.trainer.unreported.means()
        if alike := [name for name in scores if name in {**report.values, **terms, **self.game.estimates(terms)}]:
            raise GanflowError(f"a metric calls a score '{alike[0]}', which is the name of a term or an estimate of the loss")
        for text in self.metrics.renamed[known:]:
            self.progress.note(text)
        if not self._noted:
            sections = self.recipe.resolved()["metrics"]
            protocols = evaluation.protocols(self.metrics.metrics, sections, found)
            self._note_protocols(protocols, evaluation.goals(self.metrics.metrics, found))
        train, shown = self.recipe.train, grouped(scores)
        rule = evaluation.rule(train.best, train.best_mode, self.recipe.metrics, self.metrics.metrics, found)
        self._log(round, scores)
        self._last = {score.name: score for score in shown}
        self.progress.scored(round, shown)
        self._call("evaluated", round=round, scores=scores)
        return scores, rule

    def _note_protocols(self, protocols: dict[str, dict[str, Any]], goals: dict[str, Literal["min", "max"]]) -> None:
        """Record protocols and goals. What was best by another one is not compared with what comes."""
        record, self._noted = self.folder.read(), True
        before = record.protocols
        for name in before.keys() & protocols.keys():
            if difference := evaluation.protocol_difference(before[name], protocols[name]):
                self.progress.note(f"{name} is computed by another protocol than before: {difference}")
                if self.best and self.best.get("metric") == name:
                    self.best = None
        known: dict[str, Any] = {"protocols": {**before, **protocols}, "goals": {**record.goals, **goals}}
        if known != {"protocols": before, "goals": record.goals}:
            self._record(**known)

    def _settle(self) -> None:
        """Prepare the game to be sampled from, scored or kept, once in a round."""
        if self._settled != self.trainer.round:
            self.trainer.settle()
            self._settled = self.trainer.round

    def _keep(self, round: int, best: bool) -> None:
        """Write a checkpoint."""
        for name, player in self.game.players.items():
            if not all(bool(torch.isfinite(p).all()) for p in player.updated):
                raise Diverged(f"a weight of the {name}", float("nan"), round)
        self._settle()
        tensors, plain = self.trainer.state()
        watched = {"health": self.alarms.state()} if self.alarms else {}
        path = self.writer.write(tensors, {**plain, "best": self.best or {}, **watched}, best=best)
        self._checkpointed = round
        self._record(round=round, best=self.best)
        self._call("checkpointed", round=round, path=path)

    def _call(self, event: str, **arguments: object) -> None:
        if self.composition.listeners(event):
            with self.trainer.apart():
                self.composition.call(event, game=self.game, **arguments)

    def _log(self, round: int, values: dict[str, float]) -> None:
        self._write("metrics.jsonl", lambda: self.journal.append(round, values))
        self.trackers.values()

    def _record(self, **values: Any) -> None:
        self._write("run.json", lambda: self.folder.update(**values))

    def _write(self, file: str, action: Callable[[], object]) -> None:
        try:
            action()
        except OSError as error:
            kept = "earlier checkpoints are intact"
            raise GanflowError(f"cannot write {file} in {self.folder.path}: {error.strerror}; {kept}") from error
