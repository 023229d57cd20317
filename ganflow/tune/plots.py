"""Plots of a whole sweep: which values lead to which scores, and the history of the best score."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ganflow.pictures.figure import FAINT, INK, add_axes, figure_image, new_figure
from ganflow.tune.domains import is_number
from ganflow.tune.records import (
    TrialRecord,
    best_of,
    config_line,
    cut,
    differing,
    exact,
    keys_of,
    number,
    plural,
    ranking,
    score_of,
    short_names,
    value,
)

# isort: split
from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize  # after the figures, which import matplotlib safely
from matplotlib.ticker import LogLocator, MaxNLocator

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL.Image import Image

MANY = 12  # categories with a label of their own
WIDE = 50.0  # the largest by the smallest, from which on numbers of an unknown kind are shown by their logarithms
LONGEST_LABEL = 20  # of a category's label
LETTERS = 22  # of a key's name
SPACING, HEIGHT = 150, 360  # of the parallel axes, in pixels
LEFT, RIGHT, TOP, BOTTOM = 80, 90, 92, 64
ABSENT = -0.11  # where a trial passes the axis of a key that it does not have
SHADES = LinearSegmentedColormap.from_list("scores", ["#e2d8be", "#6cb0a8", "#1c3a7a"])  # from the worst to the best
BEST, WRONG, NO_SCORE = "#e8833a", "#c8453c", "#bbbbbb"


@dataclass(frozen=True)
class Axis:
    """An axis from 0 to 1.

    Attributes:
        name: written at it.
        kind: "linear", "log" or "category".
        low, high: of numbers. Numbers outside stand at the edge.
        categories: in their order, exact texts → positions.
        ticks: (position, label).
    """

    name: str
    kind: str
    low: float
    high: float
    categories: dict[str, float]
    ticks: list[tuple[float, str]]

    def position(self, of: Any) -> float:
        if self.kind == "category":
            return self.categories[exact(of)]
        if self.low == self.high:
            return 0.5
        return float((LogNorm if self.kind == "log" else Normalize)(self.low, self.high, clip=True)(float(of)))


def key_axis(name: str, values: Sequence[Any], domain: object = None) -> Axis:
    """Axis of a key.

    Args:
        values: that were tried, one at least.
        domain: that of the key in the recipe's tune.space: {"loguniform": [1e-5, 1e-3]}, {"choice": […]}, …
    """
    written = domain if isinstance(domain, dict) else {}
    kind = next((str(key) for key in written if key != "when"), "")
    options = kind in ("choice", "grid")
    if not all(map(is_number, values)) or (options and len({exact(v) for v in values}) <= MANY):
        return _categories(name, values, written[kind] if options and isinstance(written[kind], (list, tuple)) else [])
    logs = "log" in kind if kind and not options else max(values) >= WIDE * min(values)
    return _numbers(name, values, "log" if logs and min(values) > 0 else "linear")


def score_axis(name: str, scores: Sequence[float], mode: str) -> Axis:
    """Axis of scores. Logarithms where they differ by much; otherwise the worst quarter may stand at the edge, so that a single
    score far off does not flatten the rest."""
    if min(scores) > 0 and max(scores) >= WIDE * min(scores):
        return _numbers(name, scores, "log")
    low, high = min(scores), max(scores)
    usual = float(np.quantile(scores, 0.75 if mode == "min" else 0.25))
    if mode == "min":
        high = min(high, low + 4 * (usual - low)) if usual > low else high
    else:
        low = max(low, high - 4 * (high - usual)) if usual < high else low
    axis = _numbers(name, [low, high], "linear")
    if high < max(scores):
        axis.ticks[:] = [t for t in axis.ticks if t[0] < 0.93] + [(1.0, f"≥ {_label(high)}")]
    if low > min(scores):
        axis.ticks[:] = [(0.0, f"≤ {_label(low)}")] + [t for t in axis.ticks if t[0] > 0.07]
    return axis


def count_axis(name: str, count: int) -> Axis:
    """Axis of whole numbers from 1 to a count."""
    return _numbers(name, range(1, count + 1), "linear")


def _categories(name: str, values: Sequence[Any], choices: Iterable[Any]) -> Axis:
    tried = {exact(v): v for v in values}
    ordered = {exact(c): c for c in choices if exact(c) in tried} | tried
    if all(map(is_number, ordered.values())):
        ordered = dict(sorted(ordered.items(), key=lambda item: float(item[1])))
    positions = {text: (i + 0.5) / len(ordered) for i, text in enumerate(ordered)}
    every = -(-len(ordered) // MANY)
    ticks = [(positions[text], cut(value(v), LONGEST_LABEL)) for i, (text, v) in enumerate(ordered.items()) if i % every == 0]
    return Axis(name, "category", 0.0, 1.0, positions, ticks)


def _numbers(name: str, values: Sequence[Any], kind: str) -> Axis:
    low, high = float(min(values)), float(max(values))
    whole = all(isinstance(v, int) for v in values)
    found: list[float] = []
    for digits in ((1.0,), (1.0, 2.0, 5.0)):  # 1, 10, 100, …, or 1, 2, 5, 10, … where that gives too few
        logs = LogLocator(subs=digits, numticks=9)
        at: Any = logs if kind == "log" else MaxNLocator(4, steps=[1, 2, 2.5, 5, 10], integer=whole)
        if len(found) < 3 and low < high:
            margin = 1e-3 * low if kind == "log" else 1e-6 * (high - low)
            found = [float(v) for v in at.tick_values(low, high) if low - margin <= v <= high + margin]
    axis = Axis(name, kind, low, high, {}, [])
    axis.ticks.extend((axis.position(v), _label(v)) for v in (found if len(found) > 1 else sorted({low, high})))
    return axis


def _label(of: float) -> str:
    text = f"{of:.4g}"
    return text.replace("e-0", "e-").replace("e+0", "e") if text != "-0" else "0"


def trials_picture(
    trials: Sequence[TrialRecord], metric: str, mode: str, title: str = "", domains: dict[str, Any] | None = None
) -> Image | None:
    """Picture of all trials: parallel coordinates, or score against value where one key alone differs. None where no trial has a
    score.

    Args:
        domains: tune.space of the recipe, for the scales of the axes.
    """
    scored = [t for t in ranking(trials, mode) if score_of(t) is not None]
    keys = differing(trials, keys_of(trials))
    if not scored or not keys:
        return None
    names, domains = short_names(keys), domains or {}
    axes = {k: key_axis(cut(names[k], LETTERS), [t.config[k] for t in trials if k in t.config], domains.get(k)) for k in keys}
    scores = score_axis(metric, [t.score or 0.0 for t in scored], mode)
    heading = f"{cut(title, 60)}: {plural(len(trials), 'trial')}" if title else plural(len(trials), "trial")
    heading += f", {cut(metric, 40)} ({'less' if mode == 'min' else 'more'} is better)"
    if len(keys) == 1:
        return _scatter(trials, keys[0], axes[keys[0]], scores, mode, heading)
    return _parallel(trials, axes, scores, mode, heading)


def best_picture(ended: Sequence[TrialRecord], metric: str, mode: str, title: str = "") -> Image | None:
    """Every trial's score, and the best so far (see `best_of`), in the order in which they ended. None where none has a score."""
    scored = [score for t in ended if (score := score_of(t)) is not None]
    if not scored:
        return None
    x, y = count_axis("trials that are over", len(ended)), score_axis(metric, scored, mode)
    last = best_of(ended, mode)
    best_so_far = f"best so far {number(last.score)}" if last else "none is finished"
    axes, finish = _panel(x, y, f"{cut(title, 50)}: {best_so_far}")
    best: TrialRecord | None = None
    steps: list[tuple[float, float]] = []
    for i, trial in enumerate(ended, 1):
        score = score_of(trial)
        if score is None:
            axes.plot(x.position(i), -0.06, "x", color=WRONG, markersize=5, clip_on=False)
        else:
            shade = _shade(y.position(score), mode)
            inside = shade if trial.state == "finished" else "none"  # stopped early: not comparable
            axes.plot(x.position(i), y.position(score), "o", color=shade, markerfacecolor=inside, markersize=5)
        before, best = best, best_of([*([best] if best else []), trial], mode)
        for known in filter(None, (before, best) if best is not before else ()):
            steps.append((x.position(i), y.position(known.score or 0.0)))
    if best is not None:
        steps.append((x.position(len(ended)), y.position(best.score or 0.0)))
        axes.plot(*np.array(steps).T, color=BEST, linewidth=2)
    return finish()


def _parallel(trials: Sequence[TrialRecord], axes: dict[str, Axis], scores: Axis, mode: str, heading: str) -> Image:
    width = SPACING * len(axes)
    first = max(len(label) for _, label in next(iter(axes.values())).ticks)
    left = max(LEFT, 20 + 7 * first)
    figure = new_figure(max(600, left + width + RIGHT), TOP + HEIGHT + BOTTOM)  # the heading wants room
    panel = add_axes(figure, left, BOTTOM, width, HEIGHT, "")
    panel.set_axis_off()
    figure.text(0.012, 1 - 20 / (TOP + HEIGHT + BOTTOM), heading, fontsize=11, color=INK, va="center")
    panel.set_xlim(0, len(axes))
    panel.set_ylim(-0.15, 1.03)
    best = best_of(trials, mode)
    others = [t for t in reversed(ranking(trials, mode)) if t is not best]
    strength = float(np.clip(0.9 * (30 / max(1, len(others))) ** 0.5, 0.2, 0.9))
    for trial in [*others, *([best] if best else [])]:
        ways = [_position(trial, key, axis, len(trials)) for key, axis in axes.items()]
        score = score_of(trial)
        style: dict[str, Any] = {"color": NO_SCORE, "linewidth": 0.8, "alpha": strength, "linestyle": ":"}
        if score is not None:
            ways.append(scores.position(score))
            style = {"color": _shade(ways[-1], mode), "linewidth": 1.3, "alpha": strength}
        elif trial.over:
            style["color"] = WRONG
        if trial is best:
            panel.plot(range(len(ways)), ways, color="white", linewidth=5)
            style = {"color": BEST, "linewidth": 2.6}
        panel.plot(range(len(ways)), ways, solid_joinstyle="round", clip_on=False, **style)
    for at, (key, axis) in enumerate([*axes.items(), ("", scores)]):
        last = at == len(axes)
        absent = [(ABSENT, "absent")] if not last and any(key not in t.config for t in trials) else []
        _upright(panel, at, axis, axis.ticks + absent, last)
    if best:
        text = f"best: trial {best.number}, {cut(scores.name, 30)} {number(best.score)}"
        figure.text(0.012, 22 / (TOP + HEIGHT + BOTTOM), text, fontsize=10, color=BEST, va="center", weight="bold")
    _note_missing(figure, trials, 22 / (TOP + HEIGHT + BOTTOM))
    return figure_image(figure)


def _upright(panel: Axes, at: int, axis: Axis, ticks: list[tuple[float, str]], last: bool) -> None:
    """One of the parallel axes: its line, its name on top, its labels on the left, of the last one on the right."""
    panel.plot((at, at), (0, 1), color=INK, linewidth=0.9, zorder=5, clip_on=False)
    panel.text(at, 1.07, cut(axis.name, LETTERS), ha="center", fontsize=10, color=INK, weight="bold" if last else "normal")
    side, aside = ("left", 0.04) if last else ("right", -0.04)
    behind = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6}
    for at_y, label in ticks:
        panel.plot((at, at + aside * 0.7), (at_y, at_y), color=INK, linewidth=0.7, zorder=5, clip_on=False)
        panel.text(at + aside, at_y, label, ha=side, va="center", fontsize=8.5, color=INK, zorder=6, bbox=behind)


def _scatter(trials: Sequence[TrialRecord], key: str, x: Axis, y: Axis, mode: str, heading: str) -> Image:
    axes, finish = _panel(x, y, heading)
    best = best_of(trials, mode)
    for trial in reversed(ranking(trials, mode)):
        if key not in trial.config:
            continue
        score, across = score_of(trial), _position(trial, key, x, len(trials))
        if score is None:
            axes.plot(across, -0.06, "x", color=WRONG if trial.over else NO_SCORE, markersize=6, clip_on=False)
            continue
        style: dict[str, Any] = {"color": _shade(y.position(score), mode), "markersize": 7}
        if trial is best:
            style = {"color": BEST, "markersize": 10}
        axes.plot(across, y.position(score), "o", markeredgecolor="white", markeredgewidth=0.8, clip_on=False, **style)
    if best:
        text = f"best: trial {best.number}, {config_line(best.config, [key])}, {number(best.score)}"
        axes.figure.text(0.985, 20 / 430, text, fontsize=10, color=BEST, ha="right", va="center", weight="bold")
    _note_missing(axes.figure, trials, 20 / 430, 0.02)
    return finish()


def _panel(x: Axis, y: Axis, heading: str) -> tuple[Axes, Callable[[], Image]]:
    """Axes with their ticks, and the function that makes a picture of them in the end."""
    figure = new_figure(680, 430)
    axes = add_axes(figure, LEFT, 86, 570, 296, heading)
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.1, 1.04)
    axes.grid(color=FAINT, linewidth=0.5, alpha=0.7)
    axes.set_axisbelow(True)
    axes.set_xticks([p for p, _ in x.ticks], [label for _, label in x.ticks])
    axes.set_yticks([p for p, _ in y.ticks], [label for _, label in y.ticks])
    if x.kind == "category" and sum(len(label) + 3 for _, label in x.ticks) > 95:
        for text in axes.get_xticklabels():
            text.set(rotation=20, ha="right", fontsize=7.5)
    axes.set_xlabel(x.name, fontsize=10, color=INK)
    axes.set_ylabel(cut(y.name, 40), fontsize=10, color=INK)
    return axes, lambda: figure_image(figure)


def _position(trial: TrialRecord, key: str, axis: Axis, among: int) -> float:
    """Position on a key's axis; trials of one category a little beside each other."""
    if key not in trial.config:
        return ABSENT + 0.02 * _spread(trial.number)
    beside = min(0.25 / max(1, len(axis.categories)), 0.04) if axis.kind == "category" and among > 1 else 0.0
    return axis.position(trial.config[key]) + beside * _spread(trial.number)


def _spread(count: int) -> float:
    """From −1 to 1, evenly, always the same for a trial: the golden ratio's multiples."""
    return 2 * (count * 0.6180339887 % 1) - 1


def _shade(position: float, mode: str) -> tuple[float, ...]:
    good = 1 - position if mode == "min" else position
    return SHADES(good)[:3]


def _note_missing(figure: Any, trials: Sequence[TrialRecord], at: float, left: float | None = None) -> None:
    """Write how many trials have no score, in the colours that they have in the picture."""
    wrong = sum(t.over for t in trials if score_of(t) is None)
    waiting = sum(not t.over for t in trials if score_of(t) is None)
    notes = [(f"{plural(wrong, 'trial')} without a score", WRONG)] if wrong else []
    notes += [(f"{plural(waiting, 'trial')} not over", "#888888")] if waiting else []
    for i, (text, colour) in enumerate(notes):
        x = 0.985 - 0.2 * i if left is None else left + 0.25 * i
        figure.text(x, at, text, fontsize=9, color=colour, ha="right" if left is None else "left", va="center")
