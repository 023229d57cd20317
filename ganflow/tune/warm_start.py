"""Warm start of a sweep's searcher: trials of an earlier sweep that are of the same space."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import Any

from ganflow.errors import GanflowError
from ganflow.printing import plural
from ganflow.recipe import differences
from ganflow.runs.kept import recipe_of_run
from ganflow.space.space import fixed_value
from ganflow.sweeps.ranking import score_of
from ganflow.sweeps.records import Objectives, SweepFolder, TrialRecord
from ganflow.sweeps.repeats import Repeats
from ganflow.tune.plan import Plan, in_common

_INDIFFERENT = (
    *("name", "recipe_version", "track", "trackers", "tune", "train.seed"),
    *(f"train.{key}" for key in ("checkpoint_every", "device", "keep", "report_every", "sample_every", "threads")),
)
"""Keys, and sections, that change no score, or only as another seed does."""


def earlier_trials(plan: Plan, old: SweepFolder) -> tuple[list[TrialRecord], str]:
    """Trials of a sweep that are over and have a score, for the searcher of another: those whose recipes this one's space could
    have made. Their numbers are negative.

    Returns:
        The trials, and a sentence on how many are used, and why others are not.

    Raises:
        GanflowError: the sweep was judged by something else, none of its trials can be used, or the searcher learns nothing.
    """
    if plan.tune.search in ("random", "grid"):
        raise GanflowError(f"--from: {plan.tune.search} search learns nothing from other trials; use tune.search=tpe")
    record = old.read()
    theirs = dict(record.objectives) or ({record.metric: record.mode} if record.mode else {})
    if theirs != dict(plan.objectives):
        changes = [f"tune.metric={record.metric}"]
        if len(theirs) > 1 or len(plan.objectives) > 1:
            names, modes = ", ".join(theirs), ", ".join(theirs.values())
            changes = [f"tune.metric=[{names}]", f"tune.mode=[{modes}]"]
        use = " ".join(map(shlex.quote, changes))
        how = f"{_judged(theirs)}, and this sweep is by {_judged(plan.objectives)}; use {use}"
        raise GanflowError(f"--from: {old.sweep} was judged by {how}")
    repeats = Repeats.of(record)
    over = [trial for trial in repeats.searched(old.trials().values()) if trial.state in ("finished", "stopped")]
    used, why = list[TrialRecord](), ""
    for trial in over:
        reason = _unfit(plan, old, repeats, trial)
        if reason:
            why = why or f"trial {trial.number}: {reason}"
        else:
            used.append(replace(trial, number=-1 - trial.number))
    if not used:
        raise GanflowError(f"--from: no trial of {old.sweep} is one of this space; {why or 'none is over with a score'}")
    left = f"; {len(over) - len(used)} are left out ({why})" if why else ""
    return used, f"the searcher knows {plural(len(used), 'trial')} of {old.sweep}{left}"


def _judged(objectives: Objectives) -> str:
    return ", ".join(f"{metric} {mode}" for metric, mode in objectives.items())


def _unfit(plan: Plan, old: SweepFolder, repeats: Repeats, trial: TrialRecord) -> str:
    """Reason why a trial is of no use; "" where it is."""
    if score_of(trial) is None:
        return "it has no score"
    if trial.copied:
        return "it became a copy of another trial, so that its score is of several configurations"
    try:
        theirs = recipe_of_run(old.trial(repeats.runs(trial.number)[0]))
    except (GanflowError, OSError) as error:
        return str(error)
    resolved = theirs.resolved()
    config: dict[str, Any] = {}
    for key in plan.space.sequence:
        if not plan.space.holds(key, config):
            continue
        known = trial.config[key] if key in trial.config else _value(resolved, key)
        if not plan.space.keys[key].contains(known):
            return f"its {key} is none of the space's"
        config[key] = plan.space.keys[key].clamp(known)
    ours = plan.space.draft.build([*in_common(plan), *plan.space.changes(config)], plan.space.catalogue)
    for line in differences(theirs, ours):
        path = line.partition(": ")[0]
        if not any(path == key or path.startswith(f"{key}.") for key in _INDIFFERENT):
            return line
    trial.config = config
    return ""


def _value(recipe: dict[str, Any], key: str) -> Any:
    """The value of a key in a resolved recipe; None where there is none."""
    try:
        return fixed_value(recipe, key)
    except LookupError:
        return None
