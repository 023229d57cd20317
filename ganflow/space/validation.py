"""Validation of a space: first points, size of grids, and recipes made with the values at its edges."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ganflow.errors import GanflowError, RecipeError, did_you_mean
from ganflow.recipe import Recipe, Tune
from ganflow.recipe.values import steps
from ganflow.recipe.yaml import Problems, join, to_flow
from ganflow.space.domains import Choice, Domain, LogUniform
from ganflow.space.scales import DOMAINS
from ganflow.space.space import NOTHING, Config, Space, below, canonical, is_nothing, matches, written

LARGEST_GRID = 100_000  # points
Note = Callable[[str, str], None]


def check_options(domain: Choice, path: str, problem: Note) -> None:
    """Note options that are the same, as far as no recipe is needed to see it, and the text for what is absent."""
    options = domain.options
    for one, other in itertools.combinations(options, 2):
        if one == other and isinstance(one, bool) is isinstance(other, bool):
            which = f"{to_flow(one)} and {to_flow(other)} are equal"
            which = f"{to_flow(one)} is there twice" if repr(one) == repr(other) else which
            problem(path, f"{which}; remove one of the two")
    if any(NOTHING in _leaves(option) for option in options):
        how = "write null if the key can be none, or else leave it out"
        problem(path, f"{NOTHING} is not a value, but how a table shows what is absent; {how}")


def _leaves(value: Any) -> list[Any]:
    """The single values in an option."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return [value] if inner is None else [leaf for item in inner for leaf in _leaves(item)]


def check_overlaps(space: Space, problem: Note) -> None:
    """Note keys that cannot both be set: one lies below another, of which an option says it, too."""
    for key in space.keys:
        for other, domain in space.keys.items():
            if not below(key, other) or not isinstance(domain, Choice):
                continue
            wanted = space.conditions.get(key, {}).get(other)
            possible = [o for o in domain.options if wanted is None or any(matches(o, each) for each in wanted)]
            rest = (steps(key) or [])[len(steps(other) or []) :]
            double = next((option for option in possible if _says(option, rest)), None)
            if double is not None and rest == ["use"]:
                problem(key, f"'{other}' is searched, too, and its options say which; remove one of the two keys")
            elif double is not None:
                problem(key, f"the option {to_flow(double)} of '{other}' sets it, too; remove it there, or remove this key")


def _says(option: Any, path: list[str | int]) -> bool:
    """Return true if an option of a section sets the key at a path within."""
    for step in path:
        option = {"use": option} if isinstance(option, str) else option
        if isinstance(option, dict) and str(step) in option:
            option = option[str(step)]
        elif isinstance(option, list) and isinstance(step, int) and step < len(option):
            option = option[step]
        else:
            return False
    return True


def read_points(tune: Tune, space: Space, problem: Note) -> list[Config]:
    """The points of the recipe, keys in their one form, options whole.

    Args:
        problem: notes a problem at a path of the recipe.
    """
    points = list[Config]()
    for index, values in enumerate(tune.points):
        path = join("tune.points", index)
        point = read_point(values, path, space, problem)
        if point in points and space.sample(random.Random(0), point).keys() <= point.keys():
            problem(path, f"{join('tune.points', points.index(point))} is the same; remove one of the two")
        points.append(point)
    if tune.search != "grid" and len(points) > tune.trials:
        problem("tune.points", f"{len(points)} points do not fit into {tune.trials} trials; raise tune.trials")
    return points


def read_point(values: dict[str, Any], path: str, space: Space, problem: Note) -> Config:
    """Values of a trial, keys in their one form, options whole.

    Args:
        path: of the point, for its problems.
    """
    point = _flat(values, "", path, space, problem)
    for key, value in point.items():
        if not space.keys[key].contains(value):
            how = "; for none, write null, without quotes" if is_nothing(value) and space.keys[key].contains(None) else ""
            problem(path, f"{key}: {to_flow(value)} is not in the space ({_written(space.keys[key])}){how}")
        elif not space.holds(key, point):
            problem(path, f"'{key}' only exists with {_needed(space, key)}, which this point does not say")
    return point


def _needed(space: Space, key: str) -> str:
    """The conditions of a key, as they stand in a recipe."""
    return " and ".join(f"{other}: {written(wanted)}" for other, wanted in space.conditions[key].items())


def _flat(values: dict[str, Any], above: str, path: str, space: Space, problem: Note) -> Config:
    point = Config()
    for name, value in values.items():
        full = join(above, name)
        key = canonical(steps(full) or [full])
        domain = space.keys.get(key)
        if domain is not None:
            point[key] = _option(domain, value)
        elif isinstance(value, dict) and any(known.startswith(f"{key}.") for known in space.keys):
            point.update(_flat(value, key, path, space, problem))
        else:
            problem(path, f"'{key}' is not in the space{did_you_mean(key, space.keys)} (keys: {', '.join(space.keys)})")
    return point


def _option(domain: Domain, value: Any) -> Any:
    """The value itself, or the one option that is a section of this name."""
    if domain.contains(value) or not isinstance(domain, Choice):
        return domain.clamp(value) if domain.contains(value) else value
    named = [option for option in domain.options if isinstance(option, dict) and matches(option, value)]
    return named[0] if isinstance(value, str) and len(named) == 1 else value


def _written(domain: Domain) -> str:
    kind = next(name for name, cls in DOMAINS.items() if type(domain) is cls)
    values = list(domain.options) if isinstance(domain, Choice) else list(vars(domain).values())
    return f"{kind} {to_flow(values)}"


def check_grid(tune: Tune, space: Space, problem: Note) -> None:
    if tune.search != "grid":
        if tune.grid_samples > 1:
            problem("tune.grid_samples", f"{tune.search} has no grid; use search: grid, or leave it out (tune.grid_samples=null)")
        return
    if not any(isinstance(domain, Choice) for domain in space.keys.values()):
        problem("tune.search", "grid needs a key with grid or choice; or use search: random")
    elif sum(1 for _ in itertools.islice(space.grid(), LARGEST_GRID + 1)) > LARGEST_GRID:
        problem("tune.space", f"the grid has more than {LARGEST_GRID:,} points; use search: random")
    elif tune.grid_samples > 1 and all(isinstance(domain, Choice) for domain in space.keys.values()):
        text = "every key is one of the grid's, and its points would be the same trials again"
        problem("tune.grid_samples", f"{text}; remove it, or add a domain of another kind, like train.seed: {{randint: [0, 9]}}")


COMPANIES = 9
"""Configs in which options must make the same recipes to be called the same: other keys may hide what differs."""
LIMIT = 200
"""Recipes that are made at most for one group of keys; each takes a few milliseconds."""


def validate(space: Space, problems: Problems) -> list[Recipe]:
    """Try every value of a space, and collect what is wrong with them.

    Returns:
        One recipe for each set of components that was met.
    """
    validator = _Validator(space, problems)
    groups = [_combinations(space, keys) for keys in _groups(space)]
    met = {key for group in groups for config in group for key in config}
    for key in space.keys:
        if key not in met:
            others = [other for other in space.conditions[key] if other in space.conditions]
            why = ", and ".join(f"{other} only exists with {_needed(space, other)}" for other in others)
            problems.add(space.lines[key], f"tune.space.{key}: when: {_needed(space, key)} never hold together, for {why}")
    for index in range(max(map(len, groups))):
        validator.check({key: value for group in groups for key, value in group[index % len(group)].items()})
    for point in space.points:
        validator.check(space.sample(random.Random(0), point))
    if not problems:
        for key, domain in space.keys.items():
            if isinstance(domain, Choice):
                validator.compare(key, domain.options)
    return list(validator.variants.values())


def _groups(space: Space) -> list[list[str]]:
    """Keys of one section, or tied by conditions."""
    group = {key: {key} for key in space.sequence}
    ties = [(key, other) for key in space.sequence for other in space.conditions.get(key, {})]
    firsts: dict[Any, str] = {}
    for key in space.sequence:
        ties.append((key, firsts.setdefault((steps(key) or [key])[0], key)))
    for one, other in ties:
        group[one] |= group[other]
        for key in group[one]:
            group[key] = group[one]
    return [[key for key in space.sequence if key in keys] for keys in {id(keys): keys for keys in group.values()}.values()]


def _combinations(space: Space, keys: list[str]) -> list[Config]:
    values = {key: _values(space, key) for key in keys}
    every = list(itertools.islice(space.combinations(values), LIMIT + 1))
    if len(every) <= LIMIT:
        return every
    rng = random.Random(0)
    chosen = [_with(space, key, value, values, rng) for key in keys for value in values[key]]
    more = itertools.islice(itertools.cycle(keys), max(0, LIMIT - len(chosen)))
    chosen += [_with(space, key, None, values, rng) for key in more]
    return chosen


def _values(space: Space, key: str) -> list[Any]:
    """The edges of a domain, and what conditions want of it."""
    domain, values = space.keys[key], space.keys[key].edges()
    for conditions in space.conditions.values():
        for wanted in conditions.get(key, ()):
            if not any(matches(value, wanted) for value in values) and domain.contains(wanted):
                values.append(domain.clamp(wanted))
    return values


def _with(space: Space, key: str, value: Any, values: Mapping[str, list[Any]], rng: random.Random) -> Config:
    """A config drawn from these values, in which a key exists, and has this value (None: any)."""
    needed: dict[str, list[list[Any]]] = {}
    todo = [key]
    while todo:
        for other, wanted in space.conditions.get(todo.pop(), {}).items():
            needed.setdefault(other, []).append(wanted)
            todo.append(other)

    def fits(other: str, candidate: Any) -> bool:
        return all(any(matches(candidate, each) for each in wanted) for wanted in needed.get(other, ()))

    def pick(other: str, domain: Domain) -> Any:
        if other not in values:
            return domain.edges()[0]
        if other == key and value is not None:
            return value
        return rng.choice([candidate for candidate in values[other] if fits(other, candidate)] or values[other])

    return {other: picked for other, picked in space.fill(pick).items() if other in values}


class _Validator:
    def __init__(self, space: Space, problems: Problems) -> None:
        self.space, self.problems = space, problems
        self.variants: dict[tuple[str, ...], Recipe] = {}
        self._keys = dict(enumerate(space.keys, 1))  # by number: its negative stands for the line of a key's value
        self._noted: set[tuple[str, str]] = set()

    def check(self, config: Config) -> None:
        try:
            recipe = self._build(config)
        except RecipeError as error:
            for problem in error.problems:
                self._blame(config, self._keys.get(-problem.line), problem.text)
        except GanflowError as error:
            self._blame(config, None, str(error))
        else:
            self.variants.setdefault(tuple(sorted(chosen.component.qualified for chosen in recipe.chosen())), recipe)

    def compare(self, key: str, options: Sequence[Any]) -> None:
        """Note options that make the same recipe, like a component's name with and without its plugin."""
        values = {k: _values(self.space, k) for k in self.space.keys}

        def made(option: Any, company: int) -> str:
            known = _with(self.space, key, options[0], values, random.Random(company))
            try:
                return repr(self._build(self.space.sample(random.Random(0), {**known, key: option})).resolved())
            except GanflowError:
                return ""

        met: dict[str, Any] = {}
        for option in options:
            if isinstance(option, (int, float)):  # which was seen without a recipe
                continue
            recipe = made(option, 0)
            if recipe in met and all(made(option, n) == made(met[recipe], n) for n in range(1, COMPANIES)):
                text = f"{to_flow(met[recipe])} and {to_flow(option)} make the same recipe; remove one of the two"
                self.problems.add(self.space.lines[key], f"tune.space.{key}: {text}")
            met.setdefault(recipe, option)

    def _build(self, config: Config) -> Recipe:
        texts = self.space.overrides(config)
        lines = {texts[key]: -number for number, key in self._keys.items() if key in texts}
        return self.space.draft.build([*texts.values(), "~tune"], self.space.catalogue, lines, together=False)

    def _blame(self, config: Config, key: str | None, text: str) -> None:
        """Tell a problem as one of the key whose value makes it."""
        key = key or next((k for k in sorted(config, key=len, reverse=True) if not self._wrong_without(k, config, text)), None)
        path = f"tune.space.{key}" if key else "tune.space"
        problem = text.removeprefix(f"{key}: ")
        if (path, problem) in self._noted:
            return
        self._noted.add((path, problem))
        if key is None:
            self.problems.add(min(self.space.lines.values()), f"{path}: {problem}")
            return
        domain = self.space.keys[key]
        if isinstance(config[key], float) and not isinstance(domain, Choice) and "is not an integer" in problem:
            use = "lograndint" if isinstance(domain, LogUniform) else "randint, or quniform with a whole low and q"
            problem = f"this key takes integers; use {use}"
        else:
            unknown = problem.startswith(("unknown key", "there is no"))
            at = [] if unknown and not isinstance(domain, Choice) else ["at", to_flow(config[key])]
            near = " ".join([*at, *self._company(key, config)])
            problem = (f"{near}: {problem}" if near else problem) + ("" if unknown else self._nothing(key, config))
        self.problems.add(self.space.lines[key], f"{path}: {problem}")

    def _nothing(self, key: str, config: Config) -> str:
        """Advice where a value stands for none."""
        if config[key] is None:
            return "; this key cannot be none: remove null from its options"
        if not is_nothing(config[key]):
            return ""
        try:
            self._build({**config, key: None})
        except GanflowError:
            return "; this key cannot be none: remove it from the options"
        return "; for none, write null, without quotes"

    def _wrong_without(self, key: str, config: Config, text: str) -> bool:
        """Return true if the problem is there, too, where a key has the recipe's value."""
        try:
            self._build({k: value for k, value in config.items() if k != key})
        except RecipeError as error:
            return text in [problem.text for problem in error.problems]
        except GanflowError as error:
            return text == str(error)
        return False

    def _company(self, key: str, config: Config) -> list[str]:
        """The values of the keys that this one lies below or depends on."""
        near = [k for k in config if k != key and (k in self.space.conditions.get(key, {}) or key.startswith((f"{k}.", f"{k}[")))]
        return ["with", ", ".join(f"{k}: {to_flow(config[k])}" for k in near)] if near else []
