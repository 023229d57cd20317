"""What is tried first, and how much there is to try."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from ganflow.plugins.wording import did_you_mean
from ganflow.recipe import Tune
from ganflow.recipe.nodes import join
from ganflow.recipe.paths import steps
from ganflow.recipe.writer import to_flow
from ganflow.tune.conditions import matches
from ganflow.tune.domains import Choice, Domain
from ganflow.tune.kinds import KINDS
from ganflow.tune.space.fixed import canonical
from ganflow.tune.space.space import Config, Space

LARGEST_GRID = 100_000  # points
Note = Callable[[str, str], None]


def read_points(tune: Tune, space: Space, problem: Note) -> list[Config]:
    """The points of the recipe, keys in their one form, options whole.

    Args:
        problem: notes a problem at a place of the recipe.
    """
    points = []
    for index, given in enumerate(tune.points):
        place = join("tune.points", index)
        point = _flat(given, "", place, space, problem)
        for key, value in point.items():
            if not space.keys[key].contains(value):
                problem(place, f"{key}: {to_flow(value)} is not in the space ({_told(space.keys[key])})")
            elif not space.holds(key, point):
                needed = [f"{o}: {to_flow(w[0] if len(w) == 1 else w)}" for o, w in space.conditions[key].items()]
                problem(place, f"'{key}' only exists with {', '.join(needed)}, which this point does not say")
        points.append(point)
    if tune.search != "grid" and len(points) > tune.trials:
        problem("tune.points", f"{len(points)} points do not fit into {tune.trials} trials; raise tune.trials")
    return points


def _flat(given: dict[str, Any], above: str, place: str, space: Space, problem: Note) -> Config:
    point = Config()
    for name, value in given.items():
        written = join(above, name)
        key = canonical(steps(written) or [written])
        domain = space.keys.get(key)
        if domain is not None:
            point[key] = _option(domain, value)
        elif isinstance(value, dict) and any(known.startswith(f"{key}.") for known in space.keys):
            point.update(_flat(value, key, place, space, problem))
        else:
            problem(place, f"'{key}' is not in the space{did_you_mean(key, space.keys)} (keys: {', '.join(space.keys)})")
    return point


def _option(domain: Domain, value: Any) -> Any:
    """The value itself, or the one option that is a section of this name."""
    if domain.contains(value) or not isinstance(domain, Choice):
        return domain.clamp(value) if domain.contains(value) else value
    named = [option for option in domain.options if isinstance(option, dict) and matches(option, value)]
    return named[0] if isinstance(value, str) and len(named) == 1 else value


def _told(domain: Domain) -> str:
    kind = next(name for name, cls in KINDS.items() if type(domain) is cls)
    values = list(domain.options) if isinstance(domain, Choice) else list(vars(domain).values())
    return f"{kind} {to_flow(values)}"


def check_grid(tune: Tune, space: Space, problem: Note) -> None:
    if tune.search != "grid":
        return
    if not any(isinstance(domain, Choice) for domain in space.keys.values()):
        problem("tune.search", "grid needs a key with grid or choice; or use search: random")
    elif sum(1 for _ in itertools.islice(space.grid(), LARGEST_GRID + 1)) > LARGEST_GRID:
        problem("tune.space", f"the grid has more than {LARGEST_GRID:,} points; use search: random")
