"""Reader of a recipe's tune section: every mistake in its space is found before any trial begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ganflow.errors import RecipeError, did_you_mean
from ganflow.plugins import Catalogue, load_catalogue
from ganflow.recipe import Recipe
from ganflow.recipe.sections import SECTIONS
from ganflow.recipe.source import Source, draft
from ganflow.recipe.values import steps
from ganflow.recipe.yaml import Problems, join, to_flow
from ganflow.space.domains import Choice, Domain, Grid
from ganflow.space.scales import DOMAINS, read_domain
from ganflow.space.space import Fixed, Links, Space, canonical
from ganflow.space.validation import check_grid, check_options, check_overlaps, read_points, validate

_NOT_SEARCHED = {
    "name": "it names the folder of the runs",
    "recipe_version": "it says what the other keys mean",
    "track": "it does not change what is trained",
    "trackers": "they do not change what is trained",
    "tune": "it is the search itself",
    "metrics": "trials that are measured differently cannot be compared",
    "train.device": "tune.resources says what a trial gets",
}


def read_space(
    recipe: Recipe, source: Source, overrides: Sequence[str] = (), catalogue: Catalogue | None = None
) -> Space:
    """The space of a recipe with a tune section. Every value that it can yield has been tried on the recipe.

    Args:
        source, overrides, catalogue: what the recipe was read from.

    Raises:
        RecipeError: its problems, by line: all that can be found without trying values, or else all that trying them finds.
    """
    installed = catalogue or load_catalogue()
    reader = _Reader(recipe)
    reader.read()
    links = Links(reader.domains, reader.when, Fixed(recipe, installed), reader.problem)
    links.check(set(reader.paths))
    _raise(reader.problems)
    links.sort()
    _raise(reader.problems)
    if not links.sequence:
        reader.problem("tune.space", "there is nothing to search; write e.g. optimizer.lr: {loguniform: [1e-5, 1e-3]}")
    lines = {key: reader.line(reader.paths[key]) for key in reader.domains}
    space = Space(reader.domains, links.conditions, [], links.sequence, lines, draft(source, overrides, installed), installed)
    check_overlaps(space, reader.problem)
    space.points.extend(read_points(reader.tune, space, reader.problem))
    check_grid(reader.tune, space, reader.problem)
    _raise(reader.problems)
    space.variants.extend(validate(space, reader.problems))
    _raise(reader.problems)
    return space


def read_domains(recipe: Recipe) -> dict[str, Domain]:
    """The domains of a recipe with a tune section, by key, as far as they can be understood."""
    reader = _Reader(recipe)
    reader.read()
    return reader.domains


def read_conditions(recipe: Recipe) -> dict[str, Any]:
    """The conditions of a space's keys, as they are written."""
    reader = _Reader(recipe)
    reader.read()
    return reader.when


def _raise(problems: Problems) -> None:
    if problems:
        raise RecipeError(problems)


class _Reader:
    """The keys of the space and their domains.

    Attributes:
        paths: key → its path in the recipe ("tune.space.modifiers.0.c" for modifiers[0].c).
        when: key → its conditions, as they are written.
    """

    def __init__(self, recipe: Recipe) -> None:
        assert recipe.tune is not None, "the recipe has no tune section"
        self.recipe, self.tune = recipe, recipe.tune
        self.problems = Problems(recipe.file)
        self.domains: dict[str, Domain] = {}
        self.paths: dict[str, str] = {}
        self.when: dict[str, Any] = {}
        self.refused = dict(_NOT_SEARCHED)
        if self.tune.scheduler != "none":
            self.refused["train.rounds"] = f"{self.tune.scheduler} compares trials at the same round"

    def line(self, path: str) -> int:
        return next((self.recipe.lines[p] for p in (path, "tune.space", "tune") if p in self.recipe.lines), 0)

    def problem(self, path: str, text: str) -> None:
        """Note a problem with a key of the space, or at a path of the recipe."""
        path = self.paths.get(path, path)
        self.problems.add(self.line(path), f"{path}: {text}")

    def read(self) -> None:
        self._section(self.tune.space, "")
        search = self.tune.search
        if self.tune.scheduler == "pbt" and search not in ("random", "grid"):
            text = f"{search} learns from configurations that stay as they are, and pbt changes them; use search: random"
            self.problem("tune.search", text)
        if self.tune.rounds and "train.rounds" in self.domains:
            self.problem("tune.rounds", "train.rounds is in the space, too; remove one of them")

    def _section(self, values: dict[str, Any], above: str) -> None:
        """The keys of a mapping in the space, which may be nested like the recipe's sections."""
        for name, value in values.items():
            written = join(above, name)
            if _is_section(value):
                self._section(value, written)
            elif (key := self._key(written)) is not None:
                self._domain(key, f"tune.space.{written}", value)

    def _key(self, written: str) -> str | None:
        """The key in its canonical form; None if it cannot be searched."""
        path, parts = f"tune.space.{written}", steps(written)
        if parts is None:
            self.problem(path, "not a key of a recipe; write it like optimizer.lr or modifiers[0].c")
            return None
        if parts[0] not in SECTIONS:
            self.problem(path, f"there is no section '{parts[0]}'{did_you_mean(str(parts[0]), SECTIONS)}")
            return None
        key = canonical(parts)
        for what, why in self.refused.items():
            if key == what or key.startswith((f"{what}.", f"{what}[")):
                self.problem(path, f"{what} cannot be searched: {why}")
                return None
        if key in self.paths:
            self.problem(path, f"'{key}' is in the space twice")
            return None
        self.paths[key] = path
        return key

    def _domain(self, key: str, path: str, value: Any) -> None:
        if not isinstance(value, dict):
            fixed = "to search nothing here, leave the key out" if value is None else "what is fixed belongs in its own section"
            how = f"write {{choice: {to_flow(value)}}}" if isinstance(value, list) else fixed
            self.problem(path, f"{to_flow(value)} is not a domain; {how} (kinds: {', '.join(DOMAINS)})")
            return
        named = [name for name in value if name != "when"]
        unknown = [name for name in named if name not in DOMAINS]
        if unknown and len(named) > 1:
            self.problem(path, f"unknown key '{unknown[0]}'{did_you_mean(unknown[0], [*DOMAINS, 'when'])} (a domain, and when)")
            return
        if len(named) != 1:
            self.problem(path, f"needs one domain, not {' and '.join(named) or 'none'} (kinds: {', '.join(DOMAINS)})")
            return
        try:
            domain = read_domain(named[0], value[named[0]])
        except ValueError as error:
            self.problem(path, f"{error}")
            return
        if isinstance(domain, Grid) and self.tune.search != "grid":
            self.problem(path, f"{self.tune.search} cannot try every value of a grid; use search: grid, or choice here")
        if isinstance(domain, Choice):
            check_options(domain, path, self.problem)
        for option in domain.options if isinstance(domain, Choice) else ():
            for inside, inner in _domains_within(option, key):
                how = f"make it a key of its own, {inside}: {to_flow(inner)}, with a condition (when)"
                self.problem(path, f"a domain inside an option is not understood; {how}")
        self.domains[key] = domain
        self.when.pop(key, None)
        if "when" in value:
            self.when[key] = value["when"]


def _is_section(value: Any) -> bool:
    """Return true if a mapping in the space holds keys, and is not a domain."""
    inner = value.values() if isinstance(value, dict) else ()
    return bool(inner) and all(isinstance(v, dict) for v in inner) and not any(k in DOMAINS or k == "when" for k in value)


def _domains_within(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """(path, domain) of every apparent domain in an option of a choice."""
    for name, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        alone = next(iter(inner.items())) if isinstance(inner, dict) and len(inner) == 1 else None
        if alone and alone[0] in DOMAINS and isinstance(alone[1], list):
            yield join(path, name), inner
        else:
            yield from _domains_within(inner, join(path, name))
