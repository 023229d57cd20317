"""The page docs/gallery.md: tables of the recipes, and of the results in docs/gallery/, which gallery.py measures."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from ganflow.contract.hooks import CONTRACT
from ganflow.errors import GanflowError
from ganflow.evaluation.evaluate import Spread, floor_over, spreads
from ganflow.evaluation.scores import figure as figure_of
from ganflow.evaluation.scores import grouped
from ganflow.files import write_text
from ganflow.plugins import versions
from ganflow.recipe import Recipe, read_recipe
from ganflow.recipe.source import Shipped, shipped
from ganflow.recipe.stages import read_stages
from ganflow.recipe.yaml import join

ROOT = Path(__file__).parents[2]
MANY = 5
WIDTH = 300  # of pictures on the page, in pixels
BEGIN, END = "<!-- begin: gallery -->\n", "<!-- end: gallery -->\n"
IGNORED = ("name", "track", "trackers", "tune")
"""Sections of a recipe on which a training's result does not depend."""
KEPT = {"seed", "cpu", "rounds", "scores", "alarms", "versions"}
"""Keys of what is kept of a seed."""
SET = ("seed", "threads", "device", "start_from")
"""Keys of `train` that gallery.py sets itself."""


@dataclass(frozen=True)
class Entry:
    """A recipe of the gallery.

    Attributes:
        depends: all that its results depend on but the seed, flat (see `depends`); empty where it is not trained.
        written: paths of it that the recipe's file holds; the others are defaults.
        after: the recipe whose run of the same seed it starts from; "" for none.
        why: the reason why it is not trained.
    """

    name: str
    path: Path
    shows: str
    depends: Mapping[str, Any] = field(default_factory=dict)
    written: frozenset[str] = frozenset()
    after: str = ""
    why: str = ""

    @property
    def key(self) -> str:
        """Sixteen hexadecimal digits of what its results depend on."""
        return hashlib.sha256(json.dumps(self.depends, sort_keys=True).encode()).hexdigest()[:16]

    def is_that_of(self, result: Mapping[str, Any]) -> bool:
        """Tell whether a result is still the recipe's: all that it depended on is as it was. A key that a component has got
        since, and that the recipe does not write, has the default that leaves trainings as they were."""
        kept = result.get("depends", {})
        parents = {parent(path) for path in kept}
        new = [path for path in self.depends if path not in kept]
        same = all(path in self.depends and self.depends[path] == value for path, value in kept.items())
        return bool(kept) and same and all(parent(path) in parents and path not in self.written for path in new)


def read_entries(folder: Path | None = None) -> dict[str, Entry]:
    """Every shipped recipe, or every one of a folder, by name."""
    every = {about.name: about for about in shipped(folder)}
    found: dict[str, Entry] = {}

    def add(name: str) -> Entry:
        if name not in found:
            about, changes = every[name], _changes(every[name])
            after = changes.get("train.start_from", "")
            why = _why(about, changes, every)
            earlier = add(after) if after in every and not why else None
            recipe = None if why else read_recipe(about.path)
            known = depends(recipe, earlier) if recipe else {}
            written = {*(recipe.lines if recipe else ()), *(f"after.{path}" for path in (earlier.written if earlier else ()))}
            found[name] = Entry(name, about.path, about.shows, known, frozenset(written), after if earlier else "", why)
        return found[name]

    return {name: add(name) for name in every}


def _changes(about: Shipped) -> dict[str, str]:
    """The changes in the command of a recipe's first line, "train.start_from" → "stackgan_stage1_birds"."""
    return dict(change.split("=", 1) for change in shlex.split(about.command) if "=" in change)


def _why(about: Shipped, changes: Mapping[str, str], every: Mapping[str, Shipped]) -> str:
    """The reason why a recipe is not trained here; "" where it is."""
    if "data.path" in changes:
        return f"needs a folder of yours: `data.path={changes['data.path']}`"
    if about.command.startswith("ganflow tune "):
        tune = read_recipe(about.path).tune
        return f"a sweep of {tune.trials if tune else 0} trials, with a report of its own: `{about.command}`"
    if stages := read_stages(about.path):
        names = [recipe.name for recipe in stages.recipes]
        return f"is {' and then '.join(f'`{name}`' for name in names)}" if {*names} <= every.keys() else "has stages"
    return ""


def depends(recipe: Recipe, earlier: Entry | None = None) -> dict[str, Any]:
    """All that a training's result depends on but the seed, by path ("train.rounds", "modifiers[0].use"): the resolved recipe,
    contract, plugins, and after "after." the same of the run that it starts from.

    Of ganflow's plugins the version counts to its second number, of others' all of it.
    """
    sections = {name: value for name, value in recipe.resolved().items() if name not in IGNORED}
    sections["train"] = {name: value for name, value in sections["train"].items() if name not in SET}
    plugins = versions(chosen for chosen in recipe.chosen() if chosen not in recipe.trackers)
    for about in plugins.values():
        if about["distribution"] == "ganflow":
            about["version"] = ".".join(about["version"].split(".")[:2])
    known = {**sections, "contract": CONTRACT, "plugin": plugins, **({"after": earlier.depends} if earlier else {})}
    return dict(flat(known))


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, value) of everything in plain data; a list of single values is one."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from flat(item, join(path, key))
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for index, item in enumerate(value):
            yield from flat(item, join(path, index))
    else:
        yield path, value


def parent(path: str) -> str:
    """The path of the section that a key is in."""
    return path.rpartition(".")[0]


# Results: one file for each recipe.


def file_of(name: str, results: Path, ending: str = ".json") -> Path:
    """The file of a recipe's result, or of its picture."""
    return results / (name.replace("/", "-") + ending)


def read_result(name: str, results: Path) -> dict[str, Any]:
    """The result of a recipe: "depends", "picture" (its digest), "seeds" (of each seed, cpu, rounds, scores, alarms, versions).
    {} where there is none.

    Raises:
        GanflowError: its file is damaged.
    """
    file = file_of(name, results)
    if not file.exists():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        whole = {*found} == {"depends", "picture", "seeds"} and all(seed.keys() >= KEPT for seed in found["seeds"])
    except (ValueError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise GanflowError(f"{file} is damaged: not a result as gallery.py writes it; restore it, or delete it to measure anew")
    return dict(found)


def write_result(name: str, result: Mapping[str, Any], results: Path) -> None:
    """Keep the result of a recipe."""
    results.mkdir(parents=True, exist_ok=True)
    write_text(file_of(name, results), json.dumps(result, indent=1) + "\n")


# The page.


def write_page(entries: Mapping[str, Entry], docs: Path) -> None:
    """Write what follows from recipes and results into docs/gallery.md.

    Raises:
        GanflowError: there is no such page, or it has no place for that.
    """
    page, results = docs / "gallery.md", docs / "gallery"
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise GanflowError(f"{page} needs the lines '{BEGIN.strip()}' and '{END.strip()}', between which the table is written")
    wanted = before + begin + markdown(entries, {name: read_result(name, results) for name in entries}) + end + after
    if wanted != text:
        write_text(page, wanted)


def markdown(entries: Mapping[str, Entry], results: Mapping[str, Mapping[str, Any]]) -> str:
    """The tables of the recipes that are trained, and of those that are not."""
    trained, others = ([e for e in entries.values() if bool(e.why) is other] for other in (False, True))
    lines = ["", "| Recipe | CPU s | Scores: mean ± sd | Picture |", "|---|---|---|---|"]
    lines += [_row(entry, results.get(entry.name, {})) for entry in trained]
    used = {tuple(seed["versions"].items()) for e in trained for seed in _current(e, results.get(e.name, {}))}
    with_ = "; ".join(", ".join(f"{name} {version}" for name, version in each) for each in sorted(used))
    lines += ["", f"Measured with {with_}."] if used else []
    lines += ["", "## Not trained here", "", "| Recipe | Shows | Why |", "|---|---|---|"]
    lines += [f"| {_link(entry)} | {_cell(entry.shows)} | {entry.why} |" for entry in others]
    return "\n".join([*lines, "", ""])


def _row(entry: Entry, result: Mapping[str, Any]) -> str:
    seeds, first = _current(entry, result), f"| {_link(entry)}<br>{_cell(entry.shows)} |"
    if not seeds:
        return f"{first} | not measured {'since the recipe changed' if result else 'yet'} | |"
    seconds = f"{mean(seed['cpu'] for seed in seeds):.0f}<br>n {len(seeds)}"
    lines = [f"{spread.name} {figure(spread, len(seeds))}{floor_of(spread.name, seeds)}" for spread in spreads_of(seeds)]
    diverged = [str(seed["seed"]) for seed in seeds if seed.get("diverged")]
    lines += [f"seed {', '.join(diverged)} diverged"] if diverged else []
    signs = [sign for seed in seeds for sign in seed["alarms"]]
    lines += [f"alarm: {sign}, {signs.count(sign)} of {len(seeds)}" for sign in dict.fromkeys(signs)]
    picture = _picture(entry, seeds[0]["seed"]) if result["picture"] else ""
    return f"{first} {seconds} | {'<br>'.join(map(_cell, lines))} | {picture} |"


def _picture(entry: Entry, seed: int) -> str:
    """A picture of one width, which a table does not squeeze; it leads to itself in full."""
    path = file_of(entry.name, Path("gallery"), ".png").as_posix()
    image = f'<img src="{path}" alt="{entry.name}, seed {seed}" width="{WIDTH}" style="max-width: none">'
    return f'<a href="{path}">{image}</a>'


def _current(entry: Entry, result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The seeds of a result, by number; none where the recipe is another now."""
    return sorted(result["seeds"], key=lambda seed: seed["seed"]) if entry.is_that_of(result) else []


def spreads_of(seeds: list[dict[str, Any]]) -> list[Spread]:
    """Mean and standard deviation of every score, but for those of single classes (MANY or more whose names begin with one)."""
    found = spreads([{name: float(value) for name, value in seed["scores"].items()} for seed in seeds])
    parts = {each.name: [part.name for part in found if part.name.startswith(f"{each.name}_")] for each in found}
    left_out = {name for names in parts.values() if len(names) >= MANY for name in names}
    return [each for each in found if each.name not in left_out]


def figure(spread: Spread, n: int) -> str:
    """Mean ± standard deviation on one line, with the number of seeds where not all of them have the score."""
    return f"{spread}{f' (n {spread.n})' if spread.n < n else ''}".replace(" ", "\N{NO-BREAK SPACE}")


def floor_of(name: str, seeds: list[dict[str, Any]]) -> str:
    """The mean of a score's floors with its error, " (floor 4.5 ± 0.1)"; "" where it has none."""
    values = [{name: float(value) for name, value in seed["scores"].items()} for seed in seeds]
    scores = [score for each in values for score in grouped(each) if score.name == name and score.floor is not None]
    floor, error = floor_over(scores) if scores else (None, None)
    return "" if floor is None else " " + f"(floor {figure_of(floor, error)})".replace(" ", "\N{NO-BREAK SPACE}")


def _link(entry: Entry) -> str:
    """A link to the file, as HTML: the site's builder takes what is outside docs/ for a mistake."""
    return f'<a href="../recipes/{entry.name}.yaml">{entry.name}</a>'


def _cell(text: str) -> str:
    """Prose in a cell of a table: bars, stars and angles are none of Markdown's there."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([*<>|])", r"\\\1", part) for part in parts)
