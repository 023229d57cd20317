"""Keys of a space that the command line sets: they have that value in all trials, and are searched no more. And those to
which its changes leave nothing."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ganflow.advised import Advised, change, command, joined
from ganflow.errors import GanflowError, RecipeError
from ganflow.plugins import Catalogue
from ganflow.recipe import Recipe, read_recipe
from ganflow.recipe.overrides import Override, parsed
from ganflow.recipe.sections import PARTS, PER_PART
from ganflow.recipe.source import Source
from ganflow.recipe.values import steps
from ganflow.space.reading import read_conditions, read_domains, read_space
from ganflow.space.space import Space, canonical, fixed_value, matches


def read_fixed(
    source: Source, overrides: Sequence[str] = (), catalogue: Catalogue | None = None
) -> tuple[Recipe, list[str]]:
    """Read a recipe whose space has none of the keys that its overrides set, nor those whose conditions then never hold.

    Returns:
        The recipe, whose notes say so, and the overrides by which it is read.

    Raises:
        RecipeError: as `read_recipe`.
        GanflowError: an override would change no trial, or leaves nothing to search.
    """
    overrides, recipe = list(overrides), read_recipe(source, overrides, catalogue)
    if recipe.tune is None:
        return recipe, overrides
    typed, domains = _typed(overrides), read_domains(recipe)
    fixed = _fixed(domains, typed)
    _check(domains, fixed, typed)
    if not fixed:
        return recipe, overrides
    when, values = read_conditions(recipe), recipe.resolved()
    gone = [key for key in when if key not in fixed and _never(when[key], fixed, values)]
    if not set(domains) - {*fixed, *gone}:
        alone = _run(recipe, source, overrides)
        where = Advised("the arguments set", "the command line sets")
        raise GanflowError(where + f" {' and '.join(fixed)}, and nothing else is searched; train it with: " + command(alone))
    overrides += [f"~tune.space.{key}" for key in (*fixed, *gone)]
    without = f", nor {' and '.join(gone)}, whose conditions never hold then" if gone else ""
    recipe = read_recipe(source, overrides, catalogue)
    where = Advised("set by the arguments", "set on the command line")
    recipe.notes.append(f"{' and '.join(fixed)}: " + where + f", and not searched{without}")
    return recipe, overrides


def read_searched(
    source: Source, overrides: Sequence[str] = (), catalogue: Catalogue | None = None
) -> tuple[Recipe, Space | None]:
    """Read a recipe as `read_fixed` does, and its space; None where it has none.

    Raises:
        RecipeError: the recipe has problems, or its space.
        GanflowError: an override would change no trial, or leaves nothing to search, or a key of the space nothing to set.
    """
    recipe, left = read_fixed(source, overrides, catalogue)
    if recipe.tune is None:
        return recipe, None
    try:
        return recipe, read_space(recipe, source, left, catalogue)
    except RecipeError as error:
        if not sound_without(source, overrides, catalogue):
            raise
        raise _without_sense(recipe, source, left, error, catalogue) from None


def sound_without(source: Source, overrides: Sequence[str], catalogue: Catalogue | None = None) -> bool:
    """Return whether the space is sound where none of the overrides is but those of tune, and there are others."""
    mine = [override for override in overrides if not _others([override])]
    if len(mine) == len(overrides):
        return False
    try:
        recipe = read_recipe(source, mine, catalogue)
        return recipe.tune is not None and bool(read_space(recipe, source, mine, catalogue))
    except GanflowError:
        return False


def _without_sense(
    recipe: Recipe, source: Source, overrides: Sequence[str], error: RecipeError, catalogue: Catalogue | None
) -> GanflowError:
    """The error of a space of which overrides leave keys nothing to set: which, and what searches the others."""
    domains, gone, why = read_domains(recipe), list[str](), error
    reasons = dict[str, str]()
    while why is not None:
        texts = {key: p.text for key in domains for p in why.problems if p.text.startswith(f"tune.space.{key}:")}
        if not texts or texts.keys() <= set(gone):
            return error
        reasons |= {key: text.removeprefix(f"tune.space.{key}: ").partition("; ")[0] for key, text in texts.items()}
        gone += [key for key in texts if key not in gone]
        if len(gone) == len(domains):
            break
        without = [*overrides, *(f"~tune.space.{key}" for key in gone)]
        try:
            read_space(read_recipe(source, without, catalogue), source, without, catalogue)
        except RecipeError as other:
            why = other
        else:
            break
    listed = "; ".join(f"tune.space.{key}: {text}" for key, text in reasons.items())
    if len(gone) == len(domains):
        alone = command(_run(recipe, source, overrides))
        return GanflowError(f"{listed}; the changes leave nothing to search: train it with: " + alone)
    drops = joined(" ", (change(f"~tune.space.{key}") for key in gone))
    return GanflowError(f"{listed}; the changes leave nothing there; to search the rest, add " + drops)


def _run(recipe: Recipe, source: Source, overrides: Sequence[str]) -> str:
    """The command that trains what would have been searched."""
    named = recipe.name if isinstance(source, Mapping) else str(source)
    return shlex.join(["ganflow", "run", named, *(override.text for override in _others(overrides))])


def _others(overrides: Sequence[str]) -> list[Override]:
    """Those that are not of the section tune."""
    return [override for override in parsed(overrides) if override.steps[0] != "tune"]


def fixed_keys(recipe: Recipe, overrides: Sequence[str]) -> list[str]:
    """The keys that the recipe searches and that overrides set."""
    return _fixed(read_domains(recipe), _typed(overrides)) if recipe.tune else []


def _typed(overrides: Sequence[str]) -> list[Override]:
    """Those that set a key to a value."""
    return [override for override in parsed(overrides) if not override.sign]


def _fixed(domains: Mapping[str, Any], typed: Sequence[Override]) -> list[str]:
    return [key for key in domains if any(_sets(override, key) for override in typed)]


def _check(domains: Mapping[str, Any], fixed: Sequence[str], typed: Sequence[Override]) -> None:
    """Raises GanflowError: an override is of a key that every trial sets."""
    spaces = {canonical(override.steps[2:]): override for override in typed if override.steps[:2] == ["tune", "space"]}
    for override in typed:
        if both := next((key for key in fixed if key in spaces and _sets(override, key)), None):
            raise GanflowError(f"{override.text}: {spaces[both].text} searches this key; leave out one of the two")
        section, *rest = override.steps
        if section in PER_PART and rest and rest[0] in PARTS and (every := canonical([section, *rest[1:]])) in domains:
            other = next(part for part in PARTS if part != rest[0])
            how = f"search the other's alone: '~tune.space.{every}' 'tune.space.{canonical([section, other, *rest[1:]])}={{…}}'"
            raise GanflowError(f"{override.text}: {every} is searched, and sets it in every trial; {how}")


def _sets(override: Override, key: str) -> bool:
    """Return whether an override sets a key of the space."""
    path, wanted = override.steps, steps(key) or [key]
    if path[0] == "tune":
        return False
    section, *rest = wanted
    if section in PER_PART and rest and rest[0] in PARTS and not (len(path) > 1 and path[1] in PARTS):
        wanted = [section, *rest[1:]]  # of one part, by a key of all
    if path[-1] == "use" and path[:-1] == wanted:
        return True
    if wanted[: len(path)] != path:
        return False
    value = override.value.plain()
    for step in wanted[len(path) :]:
        if step == "use" and isinstance(value, str):
            return True
        if not isinstance(value, dict) or step not in value:
            return False
        value = value[step]
    return True


def _never(when: Any, fixed: Sequence[str], values: Mapping[str, Any]) -> bool:
    """Return whether one of these conditions is on a key that is fixed to another value."""
    for name, wanted in when.items() if isinstance(when, dict) else ():
        key = canonical(steps(name) or [name])
        if key in fixed:
            value = fixed_value(values, key)
            if not any(matches(value, each) for each in (wanted if isinstance(wanted, list) else [wanted])):
                return True
    return False
