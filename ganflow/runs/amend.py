"""Changes of a run's recipe from a round on: which may be, what they do, how they are recorded, and the commands for others."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from ganflow.advised import Advised, command
from ganflow.engine.optimizers import build_schedule, upwards
from ganflow.engine.player import Player, parts_of
from ganflow.errors import GanflowError
from ganflow.evaluation.advice import NOT_FINITE, typed
from ganflow.recipe import Recipe, differences
from ganflow.recipe.recipe import is_path
from ganflow.runs.alarms import against_not_finite
from ganflow.runs.folders import RunFolder, here
from ganflow.runs.kept import recipe_of_run
from ganflow.runs.record import Amendment, RunRecord

_MAY_CHANGE = re.compile(
    r"train\.(rounds|schedule_rounds|report_every|sample_every|evaluate_every|checkpoint_every|keep|on_alarm|device)"
    r"|data\.on_error|metrics.*|track\..+|trackers.*|tune.*|schedule\..+|optimizer\.(.+\.)?lr"
)
"""Keys of a resolved recipe that may change while its run lasts: how long, how often, on which device, how it is scored (a metric
draws none of training's random numbers), where it is remembered, what a file that turns out to be broken does, sweeps over it,
and rates."""
_RATES = re.compile(r"(?:optimizer|schedule)\.(.+)\.\w+")


@dataclass(frozen=True)
class Changes:
    """Differences between the recipe that a run has and the one with which it is to go on.

    Attributes:
        lines: as "optimizer.critic.lr: 0.001 → 0.0005".
    """

    lines: tuple[str, ...] = ()

    @classmethod
    def between(cls, before: Recipe, after: Recipe) -> Changes:
        return cls(tuple(differences(before, after)))

    @property
    def moves_data(self) -> tuple[str, ...]:
        """Those of where the data lie, which may be if they are the same data."""
        return tuple(line for line in self.lines if line.startswith("data.") and is_path(*_key_and_value(line)))

    @property
    def metrics(self) -> bool:
        """Return true if some are of how the run is scored."""
        return any(line.startswith("metrics") for line in self.lines)

    @property
    def refused(self) -> tuple[str, ...]:
        """Those that may not be."""
        may = {line for line in self.lines if _MAY_CHANGE.fullmatch(_key_and_value(line)[0])}
        return tuple(line for line in self.lines if line not in {*may, *self.moves_data})


def _key_and_value(line: str) -> tuple[str, str]:
    key, _, values = line.partition(": ")
    return key, values.rpartition(" → ")[2].strip("'\"")


def by_command(folder: RunFolder, change: str, kept: bool) -> Advised:
    """The command by which a run goes on with overrides, or by which a new one begins from its weights with them.

    Args:
        change: overrides, as of `advice.typed`.
        kept: it has a checkpoint.
    """
    before, recipe = recipe_of_run(folder), shlex.quote(str(here(folder.recipe)))
    after = recipe_of_run(folder, change.split())
    if not kept:
        return command(f"ganflow run {recipe} {change}")
    if not Changes.between(before, after).refused:
        return again(folder, change)
    return command(f"ganflow run {recipe} {change} train.start_from={folder.reference()}")


def again(folder: RunFolder, change: str = "") -> Advised:
    """The command by which a run goes on, with overrides as one types them."""
    return command(f"ganflow run --resume {folder.reference()} {change}".rstrip())


def change_of(error: Exception) -> str:
    """The override with which a run goes on after an error; empty where it needs none."""
    return str(getattr(error, "override", ""))


def after_divergence(folder: RunFolder, recipe: Recipe, why: str, kept: bool) -> str:
    """The command that helps a run in which a term, or a weight, was no finite number; empty where none is known."""
    change = typed(against_not_finite(recipe, why))
    return by_command(folder, change, kept) if change else ""


def amended(before: RunRecord, changes: Changes, round: int) -> list[Amendment]:
    """All changes of a run's recipe that goes on from a round: of the rounds before, and from here on. What was changed later, in
    rounds that are not kept, is changed from here on."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    earlier: list[Amendment] = [{**each, "round": min(each.get("round", 0), round)} for each in before.amended]
    new: Amendment = {"time": now, "round": round, "changed": list(changes.lines)}
    known = any(each["changed"] == new["changed"] and each.get("round") == round for each in earlier)
    return earlier if known or not changes.lines else [*earlier, new]


def set_rates(players: Mapping[str, Player], known: Sequence[Amendment], round: int) -> None:
    """Give optimizers whose state was loaded the rates of the recipe, where these were changed after that state was kept."""
    lines = [line for each in known if each.get("round") == round for line in each["changed"]]
    changed = {found[1] for line in lines if (found := _RATES.fullmatch(_key_and_value(line)[0]))}
    for name, part in parts_of(players).items():
        if changed.intersection(upwards(name)):
            part.reset_rate()


def same_data(before: RunRecord, fingerprint: str) -> bool:
    """Return true if data have the fingerprint that a run's had when it began, which is known."""
    return before.data is not None and before.data["fingerprint"] == fingerprint


def rising(before: Recipe, after: Recipe, round: int) -> dict[tuple[float, float], list[str]]:
    """Learning rates of the last round that was played and of the next one, and the parts that have these, where schedules that
    nobody changed let them rise because they are over more rounds now."""
    if before.schedules != after.schedules or not round:
        return {}
    then, now = (_factors(recipe, at) for recipe, at in ((before, round - 1), (after, round)))
    going = _factors(before, min(round, before.train.rounds - 1))
    found: dict[tuple[float, float], list[str]] = {}
    for part, factor in now.items():
        if factor > max(then[part], going[part]) * (1 + 1e-9):
            rate = getattr(before.optimizers[part].settings, "lr", 1.0), getattr(after.optimizers[part].settings, "lr", 1.0)
            found.setdefault((rate[0] * then[part], rate[1] * factor), []).append(part)
    return {rates: parts for rates, parts in found.items() if rates[1] > rates[0]}


def described_rise(before: Recipe, after: Recipe, round: int) -> str:
    """`rising` in a sentence, without what helps; empty where nothing rises."""
    found = rising(before, after, round)
    if not found:
        return ""
    now, then = (recipe.train.schedule_rounds or recipe.train.rounds for recipe in (after, before))
    over = f"for its schedule is over {now} rounds instead of {then}"
    (first, (was, will)), *others = ((" and ".join(parts), rates) for rates, parts in found.items())
    besides = "".join(f", that of {parts} from {low:.3g} to {high:.3g}" for parts, (low, high) in others)
    return f"the learning rate of {first} goes up again, from {was:.3g} to {will:.3g}{besides}, {over}"


def _factors(recipe: Recipe, round: int) -> dict[str, float]:
    """The factor on the learning rate of each part with an optimizer in a round."""
    composition, train = recipe.composition(), recipe.train
    slots = {part: next((f"schedule.{a}" for a in upwards(part) if a in recipe.schedules), "") for part in recipe.optimizers}
    there = {slot for slot in slots.values() if slot}
    schedules = {slot: build_schedule(composition, slot, train.rounds, train.schedule_rounds) for slot in there}
    return {part: float(schedules[slot](round)) if slot else 1.0 for part, slot in slots.items()}


def first_lines(folder: RunFolder, before: RunRecord, changes: Changes, recipes: tuple[Recipe, Recipe], round: int) -> list[str]:
    """First lines of a run that goes on with changes, or should have some.

    Args:
        recipes: before and after.
    """
    lines = [f"changed after round {round}: {line}" for line in changes.lines]
    if rise := described_rise(*recipes, round):
        kept = recipes[0].train.schedule_rounds or recipes[0].train.rounds
        lines.append(f"{rise}; to keep it, stop and go on with: " + again(folder, f"train.schedule_rounds={kept}"))
    diverged = [alarm for alarm in before.alarms if alarm["sign"] == NOT_FINITE] if before.status == "failed" else []
    if diverged and not changes.lines:
        why = diverged[-1]
        with suppress(GanflowError):
            better = after_divergence(folder, recipes[1], why["text"], bool(round))
            lines.append(f"it diverged in round {why['round']} and does so again as it is; better: " + better)
    return lines


def to_train_on(folder: RunFolder, recipe: Recipe, round: int, overrides: Sequence[str] = ()) -> Advised:
    """The command by which a run that has finished is trained on, with changes, and what becomes of its rate then."""
    words = shlex.join([*(change for change in overrides if not change.startswith("train.rounds=")), f"train.rounds={2 * round}"])
    train_on, after = again(folder, words), recipe.copied()
    after.train.rounds = 2 * round
    rise = ""
    with suppress(Exception):  # a plugin's schedule
        rise = described_rise(recipe, after, round)
    keep = f"train.schedule_rounds={recipe.train.schedule_rounds or recipe.train.rounds}"
    return train_on + f" ({rise}; with {keep} it stays)" if rise else train_on
