"""Changes of a sweep that has begun: more trials, other resources. What would make its trials incomparable is refused."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from ganflow.errors import GanflowError, escaped
from ganflow.files import write_text
from ganflow.recipe import Recipe, differences, read_recipe
from ganflow.recipe.source import draft
from ganflow.runs import folders
from ganflow.space.fixing import fixed_keys
from ganflow.space.reading import read_space
from ganflow.sweeps.records import SweepFolder
from ganflow.sweeps.repeats import Repeats
from ganflow.tune.control import again, check_joins
from ganflow.tune.plan import Plan, destination
from ganflow.tune.preflight import check_resources

MAY_CHANGE = ("tune.trials", "tune.retries", "tune.concurrency", "tune.resources", "tune.budget", "track")
JUDGED_BY = ("tune.metric", "tune.mode", "tune.rounds")  # trials that were judged by something else are of no use to a searcher
WHY = {
    "tune.space": "trials of another space are another search",
    "tune.points": "they were its first trials",
    "tune.metric": "its trials were judged by another",
    "tune.mode": "its trials were judged the other way round",
    "tune.rounds": "its trials played another number of rounds",
    "tune.seeds": "its trials were trained with these",
    "tune.seed": "its trials were drawn with another",
    "tune.search": "its trials were proposed by another searcher",
    "tune": "its trials were played by other rules",
}
"""Key → why it cannot change; those that are not in `tune` change what is trained."""


def amend(folder: SweepFolder, overrides: Sequence[str], address: str | None = None) -> list[str]:
    """Change the recipe of a sweep that nobody runs, and note the change in its record.

    Args:
        address: where it is to go on, so that resources which are not there are refused; None where that is not known.

    Returns:
        The changes: "tune.trials: 16 → 20".

    Raises:
        GanflowError: a change would make the trials incomparable, or cannot be; or the sweep runs. Nothing is changed then.
    """
    with folders.locked(folder):
        before, after = read_recipe(folder.recipe), read_recipe(folder.recipe, overrides)
        changed = differences(before, after)
        fixed = [f"tune.space.{key}" for key in fixed_keys(before, overrides)]
        _check(folder, before, after, [*fixed, *(line.partition(": ")[0] for line in changed)], overrides)
        if not changed:
            return []
        space = read_space(after, folder.recipe, overrides)  # whose points may not fit any more
        if address is not None and after.tune is not None:
            check_resources(Plan(after, after.tune, space, {}), address)
        record = folder.read()
        text = f"# ganflow tune {escaped(str(folder.recipe))}\n{draft(folder.recipe, overrides).to_yaml()}"
        now = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            write_text(folder.recipe, text)
        except OSError as error:
            raise GanflowError(f"cannot write {folder.recipe}: {error.strerror}") from error
        amended = [*record.amended, {"time": now, "changed": changed}]
        folder.update(tracking=destination(after, folder, record), amended=amended)
        return changed


def _check(folder: SweepFolder, before: Recipe, after: Recipe, paths: Iterable[str], overrides: Sequence[str]) -> None:
    """Raises GanflowError: one of the keys cannot change in a sweep that has begun."""
    assert before.tune is not None
    for path in paths:
        if not _within(path, MAY_CHANGE):
            why = next((why for key, why in WHY.items() if _within(path, [key])), "its trials trained something else")
            raise GanflowError(f"{path} cannot change in a sweep that has begun: {why}; {_instead(folder, after, overrides)}")
    if after.tune is None or after.tune.trials == before.tune.trials:
        return
    if before.tune.search == "grid":
        what = "tune.trials: a grid has as many trials as points, and these cannot become more"
        raise GanflowError(f"{what}; {_instead(folder, after, [*overrides, 'tune.search=random'])}")
    trials = Repeats.of(folder.read()).searched(folder.trials().values())
    proposed = sum(not trial.request for trial in trials)
    if after.tune.trials < proposed:
        few = f"{proposed} trials have been proposed already, so {after.tune.trials} are too few"
        raise GanflowError(f"tune.trials: {few}; use {proposed} or more")
    if after.tune.trials > before.tune.trials:
        check_joins(before.tune.scheduler, trials, _instead(folder, after, overrides))


def _within(path: str, keys: Iterable[str]) -> bool:
    return any(path == key or path.startswith((f"{key}.", f"{key}[")) for key in keys)


def _instead(folder: SweepFolder, after: Recipe, overrides: Sequence[str]) -> str:
    """Advice to begin a new sweep; with the trials of this one where its searcher could learn from them."""
    changes = " ".join(map(shlex.quote, overrides))
    learns = after.tune is not None and after.tune.search not in ("random", "grid")
    alike = all(change.startswith("tune.") and not change.startswith(JUDGED_BY) for change in overrides)
    known = f" --from {folder.reference()}" if learns and alike else ""
    return f"{again(folder)} {changes}{known}"
