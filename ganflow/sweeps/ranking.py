"""Ranks of a sweep's trials: the best one, the Pareto front, and which leads until there is one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence, Set
from typing import Any

from ganflow.sweeps.records import WRONG, Objectives, Repeated, TrialRecord, several


def score_of(trial: TrialRecord) -> float | None:
    """Score by which a trial is ranked; None where there is none, or none that can be trusted. With several metrics it is the
    first one's, and there is none unless all of them have one."""
    every = (trial.score, *trial.scores.values())
    sound = trial.state not in WRONG and all(score is not None and math.isfinite(score) for score in every)
    return trial.score if sound else None


def ranking(trials: Iterable[TrialRecord], mode: str, objectives: Objectives | None = None) -> list[TrialRecord]:
    """The best first: finished trials by their scores, packed ones after the others once some were confirmed; then the others
    with a score, those of more rounds before those of fewer, by which scores are comparable; then those that have none yet, then
    those that ended without one, then what went wrong.

    Args:
        objectives: with several metrics finished trials are ranked by their fronts, and those of one front by the first metric.
    """
    trials = list(trials)
    at = {trial.number: index for index, front in enumerate(fronts(trials, objectives or {})) for trial in front}
    less = unsure(trials)
    return sorted(trials, key=lambda trial: (at.get(trial.number, len(at)), _rank(trial, mode, less)))


def _rank(trial: TrialRecord, mode: str, less: Set[int]) -> tuple[int, int, float, int]:
    score = score_of(trial)
    if score is None:
        return (5 if trial.state in WRONG else 4 if trial.over else 3), 0, 0.0, trial.number
    finished = trial.state == "finished"
    level = 2 if not finished else 1 if trial.number in less else 0
    return level, (0 if finished else -trial.round), (score if mode == "min" else -score), trial.number


def unsure(trials: Sequence[TrialRecord]) -> Set[int]:
    """Numbers of the trials whose scores are of packs, once another one was confirmed: they are rounded otherwise, and come after
    those of trainings by themselves."""
    if not any(trial.confirmed is not None for trial in _comparable(trials)):
        return frozenset()
    return {trial.number for trial in trials if trial.trained not in ("confirmed", "alone")}


def best_of(trials: Iterable[TrialRecord], mode: str) -> TrialRecord | None:
    """The best trial so far: the one with the best score of those that are finished; None where none is.

    The score of a trial that runs, or that a scheduler stopped, is one after fewer rounds: it is not comparable with those at the
    end, and may get worse. So the best so far never does. Display, tables, run.json, MLflow, plots and best.yaml all ask here;
    with several metrics they ask `fronts`.

    Once a trial was confirmed it is the best of those, whose scores may be worse than the best packed one. So the best is shown
    with what its score is of, and with the best packed one beside it: two numbers, none of which gets worse.
    """
    trials = list(trials)
    less = unsure(trials)
    return min(_comparable(trials), key=lambda trial: _rank(trial, mode, less), default=None)


def best_facts(trials: Iterable[TrialRecord], mode: str) -> dict[str, Any]:
    """Plain data about the best trial so far, as for run.json; nothing where there is none.

    Keys: trial, score, config; in packed sweeps `trained` (see `TrialRecord.trained`), of a confirmed one `packed`, the score of
    before; of several seeds mean, sd and n.
    """
    best = best_of(trials, mode)
    if best is None:
        return {}
    facts = {"trial": best.number, "score": best.score, "config": best.config, "trained": best.trained or None}
    facts |= {"packed": best.packed} | ({"mean": best.mean, "sd": best.sd, "n": best.n} if isinstance(best, Repeated) else {})
    return {name: value for name, value in facts.items() if value is not None}


def best_packed(trials: Iterable[TrialRecord], mode: str) -> tuple[int, float] | None:
    """Number and packed score of the best trial of the search, where there are packed ones; it never gets worse either."""
    sign = 1 if mode == "min" else -1
    found = [(t.number, score) for t in trials if (score := packed_score(t)) is not None]
    return min(found, key=lambda pair: (sign * pair[1], pair[0]), default=None)


def packed_score(trial: TrialRecord) -> float | None:
    """The score that a trial had in its pack, if it was in one."""
    if trial.confirmed is not None:
        return trial.packed
    return score_of(trial) if trial.trained == "packed" and trial.state == "finished" else None


def _comparable(trials: Iterable[TrialRecord]) -> list[TrialRecord]:
    """The finished trials that have a score."""
    return [trial for trial in trials if trial.state == "finished" and score_of(trial) is not None]


def fronts(trials: Iterable[TrialRecord], objectives: Objectives, most: int | None = None) -> list[list[TrialRecord]]:
    """The finished trials by fronts (Deb et al. 2002): of those in the first, the Pareto front, none is dominated by another
    trial, that is, at least as good in every metric and better in one; of those in the second none is but by trials of the first;
    and so on. In a front they are sorted by the first metric. Once a trial was confirmed, packed ones come after all others.

    Args:
        most: so many fronts are enough.

    Returns:
        No fronts where there are not several metrics.
    """
    found: list[list[TrialRecord]] = []
    names = several(objectives).keys()
    finished = [trial for trial in _comparable(trials) if names and names <= trial.scores.keys()]
    less = unsure(finished)
    for sure in (True, False):
        these: list[list[tuple[TrialRecord, list[float]]]] = []
        known = [(t, _losses(t, objectives)) for t in finished if (t.number not in less) == sure]
        for trial, losses in sorted(known, key=lambda pair: (pair[1], pair[0].number)):  # none is dominated by a later one
            above = next((front for front in these if not any(_dominates(other, losses) for _, other in front)), None)
            if above is None and (most is None or len(found) + len(these) < most):
                these.append(above := [])
            if above is not None:
                above.append((trial, losses))
        found += [[trial for trial, _ in front] for front in these]
    return found


def front_of(trials: Iterable[TrialRecord], objectives: Objectives) -> list[TrialRecord]:
    """The Pareto front so far, see `fronts`."""
    return next(iter(fronts(trials, objectives, most=1)), [])


def _losses(trial: TrialRecord, objectives: Objectives) -> list[float]:
    """The trial's scores, of each of which less is better."""
    scores = {name: trial.scores[name] for name in objectives}
    return [(score if objectives[name] == "min" else -score) for name, score in scores.items() if score is not None]


def _dominates(losses: Sequence[float], others: Sequence[float]) -> bool:
    return losses != others and all(mine <= other for mine, other in zip(losses, others, strict=True))


def spread_out(front: Sequence[TrialRecord], objectives: Objectives, most: int) -> list[TrialRecord]:
    """At most so many trials of a front, in the same sequence: the most crowded ones are left out, one after the other. The best
    in each metric have no neighbour on one side, and stay the longest."""
    left = list(front)
    while len(left) > most:
        distances = crowding(left, objectives)
        left.remove(min(left, key=lambda trial: (distances[trial.number], -trial.number)))
    return left


def crowding(front: Sequence[TrialRecord], objectives: Objectives) -> dict[int, float]:
    """Crowding distance of a front's trials, by number: the sum over the metrics of the distance between the neighbours on both
    sides, as a share of the front's width (Deb et al. 2002)."""
    found = dict.fromkeys((trial.number for trial in front), 0.0)
    for at in range(len(objectives)):
        row = sorted((_losses(trial, objectives)[at], trial.number) for trial in front)
        width = row[-1][0] - row[0][0]
        if not width:
            continue
        for (before, _), (_, number), (after, _) in zip(row, row[1:], row[2:], strict=False):
            found[number] += (after - before) / width
        found[row[0][1]] = found[row[-1][1]] = math.inf
    return found


def leading(trials: Iterable[TrialRecord], mode: str) -> TrialRecord | None:
    """The trial that leads while none is finished: the one with the best score of those that are not over, or, where there is
    none, of those that were stopped; None where a trial is finished, or none has a score.

    After how many rounds it had that score has to be said with it: unlike the best so far it is not comparable, and may change.
    """
    trials = list(trials)
    scored = [trial for trial in trials if (score := latest_of(trial)) is not None and math.isfinite(score)]
    if best_of(trials, mode) is not None:
        return None
    among = [trial for trial in scored if not trial.over] or [trial for trial in scored if trial.state == "stopped"]
    sign = 1 if mode == "min" else -1
    return min(among, key=lambda trial: (sign * (latest_of(trial) or 0.0), trial.number), default=None)


def latest_of(trial: TrialRecord) -> float | None:
    """The last score of a trial, also while it runs; of one with several seeds when all of them have one."""
    return trial.latest if trial.score is None and isinstance(trial, Repeated) else trial.score
