"""Trials as text: a table of them, and its cells. Imports nothing slow."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ganflow.printing import no_room, plural
from ganflow.sweeps.ranking import best_of, best_packed, fronts, latest_of, ranking
from ganflow.sweeps.records import BUDGET, WRONG, Objectives, Repeated, TrialRecord, rounds_of, several

if TYPE_CHECKING:
    from ganflow.evaluation.evaluate import Spread

CONFIRMING = "confirming"
ABSENT = "–"  # of a key that a trial's recipe does not have
INDENT = 7 * " "
LONGEST = 24  # letters of a value in a table


def keys_of(trials: Iterable[TrialRecord]) -> list[str]:
    """Every key that is tried, in the order in which they were first seen."""
    return list(dict.fromkeys(key for trial in trials for key in trial.config))


def differing(trials: Sequence[TrialRecord], keys: Sequence[str]) -> list[str]:
    """The keys in which the trials differ; all of them where there is nothing to compare."""
    seen = {key: {exact(trial.config[key]) if key in trial.config else ABSENT for trial in trials} for key in keys}
    return [key for key in keys if len(seen[key]) > 1] or list(keys)


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Key → its last parts, as many as tell it from the others: "lr", or "critic.lr" beside "generator.lr"."""
    names = {}
    for key in keys:
        ends = [key.split(".", cut)[-1] for cut in range(key.count("."), -1, -1)]  # shortest first
        others = [f".{other}" for other in keys if other != key]
        names[key] = next((end for end in ends if not any(other.endswith(f".{end}") for other in others)), key)
    return names


def value(of: Any) -> str:
    """A value of a configuration, short: three digits that matter, a component by its name."""
    if isinstance(of, bool) or of is None:
        return json.dumps(of)
    if isinstance(of, float):
        return f"{of:.3g}"
    if isinstance(of, dict):
        of = dict(of)
        more = [f"{key}={value(item)}" for key, item in of.items() if key != "use"]
        return " ".join([str(of["use"]).rpartition("/")[2], *more] if "use" in of else more)
    if isinstance(of, (list, tuple)):
        return "[" + ", ".join(map(value, of)) + "]"
    return str(of)


def shown(config: dict[str, Any], key: str, longest: int = LONGEST) -> str:
    """A configuration's value of a key, cut to a table's width."""
    return cut(value(config[key]), longest) if key in config else ABSENT


def cut(text: str, longest: int) -> str:
    """At most so many letters."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def config_line(config: dict[str, Any], keys: Sequence[str], longest: int = LONGEST) -> str:
    """The keys that the configuration has: "lr 0.0003, loss hinge"."""
    names = short_names(keys)
    return ", ".join(f"{names[key]} {shown(config, key, longest)}" for key in keys if key in config)


def number(of: float | None) -> str:
    """A score, with four digits that matter; nothing for none."""
    return "" if of is None else f"{of:.4g}"


def spread(trial: TrialRecord, metric: str = "") -> str:
    """Standard deviation and number of a trial's runs, for tables: "± 0.012 (3)"; nothing where it is one run.

    Args:
        metric: whose, where there are several.
    """
    if not isinstance(trial, Repeated):
        return ""
    _, sd, n = trial.spreads.get(metric, (None, None, 0)) if metric else (trial.mean, trial.sd, trial.n)
    return ((f"± {sd:.2g} " if sd is not None else "") + f"({n})") if n else ""


def further_names(found: Mapping[int, Iterable[str]], judged: Iterable[str]) -> list[str]:
    """Names of the scores that trials have besides those by which they are judged."""
    names = dict.fromkeys(name for scores in found.values() for name in scores)
    return [name for name in names if name not in set(judged)]


def around(score: Spread, trial: TrialRecord) -> str:
    """A score of a trial: "0.12"; of several seeds with deviation and number: "0.12 ± 0.01 (3)"."""
    return f"{score} ({score.n})" if isinstance(trial, Repeated) else str(score)


def scored(trial: TrialRecord, metric: str) -> str:
    """Scores with their metrics' names: "frechet_100 0.12 ± 0.01 (3), modes_50 8"; nothing where there is none.

    Args:
        metric: the sweep's, where it is one.
    """
    known = trial.scores or {metric: trial.score}
    names = {name: name if trial.scores else "" for name in known}
    return ", ".join(f"{name} {number(of)} {spread(trial, names[name])}".rstrip() for name, of in known.items() if of is not None)


def front_numbers(front: Sequence[TrialRecord], most: int = 12) -> str:
    """The trials of a Pareto front: "3 trials (4, 0, 7)"."""
    numbers = [str(trial.number) for trial in front]
    more = [f"{len(numbers) - most} more"] if len(numbers) > most else []
    return f"{len(numbers)} trial{'s' if len(numbers) != 1 else ''} ({', '.join([*numbers[:most], *more])})"


def describe(objectives: Objectives) -> str:
    """Objectives for people: "frechet_100 (less is better), modes_50 (more is better)"."""
    return ", ".join(f"{name} ({'less' if mode == 'min' else 'more'} is better)" for name, mode in objectives.items())


def played(trial: TrialRecord, rounds: int) -> str:
    """Rounds of a trial: "150/200"."""
    return f"{trial.round}/{rounds_of(trial, rounds) or '?'}"


def leader(trial: TrialRecord, metric: str, rounds: int) -> str:
    """The trial that leads while none is finished: "trial 7, frechet 1.2 at round 40/100"."""
    return f"trial {trial.number}, {metric} {number(latest_of(trial))} at round {played(trial, rounds)}"


def state(trial: TrialRecord) -> str:
    """The state of a trial, or CONFIRMING: it is over, and is being trained again by itself."""
    return CONFIRMING if trial.again is not None and trial.again.state == "running" else trial.state


def best(trials: Sequence[TrialRecord], mode: str) -> str:
    """Score and number of the best trial so far: "0.12 (trial 1)". In a sweep that packs trials "0.11 packed (trial 1)", and once
    one was confirmed both: "0.12 confirmed (trial 1), 0.11 packed (trial 4)". Nothing where there is none."""
    found = best_of(trials, mode)
    if found is None:
        return ""
    packed = best_packed(trials, mode) if any(trial.confirmed is not None for trial in trials) else None
    of = f" {found.trained}" if found.trained in ("packed", "confirmed") else ""
    beside = f", {number(packed[1])} packed (trial {packed[0]})" if packed and found.trained != "packed" else ""
    return f"{number(found.score)}{of} (trial {found.number}){beside}"


def confirmed(trials: Iterable[TrialRecord]) -> str:
    """Progress of the trials that are trained again by themselves: "1/3 confirmed"; nothing where none is."""
    again = [trial for trial in trials if trial.again is not None or trial.confirmed is not None]
    return f"{sum(trial.confirmed is not None for trial in again)}/{len(again)} confirmed" if again else ""


def over(trials: Iterable[TrialRecord]) -> int:
    """Number of trials that are over; not of those that were stopped with the sweep's budget, and go on with it."""
    return sum(trial.over and trial.cause != BUDGET for trial in trials)


def left(trials: Sequence[TrialRecord], total: int | None) -> str:
    """Trials that a sweep which ended early has left: "5 trials are left, 1 of them begun"; or that some are to be confirmed."""
    begun = sum(trial.round > 0 and (not trial.over or trial.cause == BUDGET) for trial in trials)
    count = max(total or 0, len(trials)) - over(trials)
    if not count:
        return "the best are not all confirmed yet"
    return f"{plural(count, 'trial')} {'is' if count == 1 else 'are'} left" + (f", {begun} of them begun" if begun else "")


def counts(trials: Iterable[TrialRecord], total: int | None = None) -> dict[str, int]:
    """Number of trials in each state; those that are still to be proposed are waiting, too."""
    found = dict.fromkeys(("running", "waiting", CONFIRMING, "finished", "stopped", "diverged", "failed"), 0)
    for trial in trials:
        found[state(trial)] = found.get(state(trial), 0) + 1
    found["waiting"] += max(0, (total or 0) - sum(found.values()))
    return found


def counted(trials: Iterable[TrialRecord], total: int | None = None) -> str:
    """As text: "2 running, 3 waiting, 4 finished"."""
    return ", ".join(f"{count} {state}" for state, count in counts(trials, total).items() if count) or "no trials"


def lines(
    trials: Sequence[TrialRecord],
    metric: str,
    mode: str,
    rounds: int,
    width: int | None = None,
    most: int | None = None,
    objectives: Objectives | None = None,
    found: Mapping[int, Mapping[str, Spread]] | None = None,
) -> list[str]:
    """The trials as lines of text, the best first, what went wrong last and why.

    Args:
        rounds: of a trial.
        width: of the terminal: the last columns are left out where the lines would be longer, and, but for `most`, named below.
        most: lines of trials at most; the others are counted.
        objectives: with several metrics: a column for each, and the number of the trial's front, 1 for the Pareto front.
        found: all scores of trials, by number: those by which they are not judged are the last columns.
    """
    keys, metrics, every = differing(trials, keys_of(trials)), list(several(objectives or {})), found or {}
    further = further_names(every, metrics or [metric])
    names = short_names(keys)
    ranked = ranking(trials, mode, objectives)
    at = {t.number: str(rank) for rank, front in enumerate(fronts(trials, objectives or {}), 1) for t in front}
    seeds = any(isinstance(trial, Repeated) for trial in trials)
    again = bool(confirmed(trials))
    heads = [head for name in metrics or [metric] for head in (name, *(["± sd (n)"] if seeds else []))]
    besides = ["trained", f"{metrics[0]} packed" if metrics else "packed"] if again else []
    rows = [["trial", "state", *(["front"] if metrics else []), *heads, *besides, "round"]]
    fixed = len(rows[0])
    rows[0] += [*(names[key] for key in keys), *further]
    numbers = {0, *(i for i, head in enumerate(rows[0]) if head in (metrics or [metric]) and i < fixed)}
    for trial in ranked[:most]:
        known = [(trial.scores.get(name), spread(trial, name)) for name in metrics] or [(latest_of(trial), spread(trial))]
        scores = [(number(score), "" if score is None else deviation) for score, deviation in known]
        cells = [cell for score, around in scores for cell in (score, *([around] if seeds else []))]
        cells = [*([at.get(trial.number, "")] if metrics else []), *cells]
        cells += [trial.trained, number(trial.packed)] if again else []
        now = trial.again if trial.again is not None and state(trial) == CONFIRMING else trial
        values = [played(now, rounds), *(shown(trial.config, key) for key in keys)]
        its = every.get(trial.number, {})
        more = [around(its[name], trial) if name in its else "" for name in further]
        rows.append([str(trial.number), state(trial), *cells, *values, *more])
    sizes = [max(map(len, column)) for column in zip(*rows, strict=True)]
    while width and len(sizes) > fixed and sum(sizes) + 2 * len(sizes) - 2 > width:
        sizes.pop()
    absent = rows[0][len(sizes) :]
    text = []
    for i, row in enumerate(rows):
        sized = enumerate(zip(row, sizes, strict=False))  # fewer sizes where keys are left out
        line = "  ".join(f"{cell:>{size}}" if column in numbers else f"{cell:{size}}" for column, (cell, size) in sized)
        text.append(cut(line.rstrip(), width or 1000))
        if i and ranked[i - 1].error and ranked[i - 1].state in (*WRONG, "stopped"):
            text += reasons(ranked[i - 1].error, width)
    if most is not None and len(ranked) > most:
        text.append(f"and {len(ranked) - most} more")
    if width and absent and most is None:
        text += textwrap.wrap(no_room(absent), width, break_long_words=False, break_on_hyphens=False)
    return text


def reasons(error: str, width: int | None) -> list[str]:
    """Lines, as long as a terminal allows, with the reason for which a trial ended, whole."""
    words = " ".join(error.split())
    longest = max(40, width - len(INDENT)) if width else max(1, len(words))
    return [INDENT + line for line in textwrap.wrap(words, longest, break_on_hyphens=False)]


def exact(of: Any) -> str:
    """A value as text that is equal for equal values."""
    return json.dumps(of, sort_keys=True, default=str)
