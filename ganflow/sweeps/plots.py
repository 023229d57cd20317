"""Plots of a whole sweep, by Optuna: the history of the best score, which keys matter, and which of their values lead where."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import combinations, pairwise
from math import log10
from typing import Any

from ganflow.pictures.figure import INK
from ganflow.printing import plural
from ganflow.space.domains import Choice, Domain, LogUniform, RandInt, Uniform, is_number
from ganflow.space.space import Config
from ganflow.sweeps.ranking import score_of
from ganflow.sweeps.records import TrialRecord
from ganflow.sweeps.study import frozen, quietly
from ganflow.sweeps.table import counted, cut, exact, number, short_names, value

# isort: split
import matplotlib  # after the figures, which import it safely
import optuna
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.category import StrCategoryLocator
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator
from optuna.visualization import matplotlib as optuna_plots

MOST = 8  # keys that are drawn: the most important
LARGEST = 1e30  # value that is drawn: forests are of float32, and a logarithmic axis goes beyond what it shows
COLUMNS = 4  # slices beside each other
WIDE = 50.0  # the largest by the smallest, from which on scores, and numbers of an unknown kind, are shown by their logarithms
LETTERS, CATEGORY = 19, 15  # of the name of a key, which Optuna would cut, and of a category
LETTER = 6.6  # pixels, about
FENCE = 3.0  # interquartile ranges from the worse quartile on which a score is far out (Tukey 1977)
LEAST = 5  # scores by which that is judged
MARGIN = 0.1  # of the range of the others, beyond which it is drawn
POINT, CONFIRMED = "tab:blue", "tab:green"
BAR = "<colorbar>"  # matplotlib's label of one
SHADES = LinearSegmentedColormap.from_list("scores", ["#08306b", "#4a90c4", "#cfe1f0"])  # Optuna's blues, the palest left out


class SweepPlots:
    """Figures of a sweep.

    Trials that the scheduler stopped have no score that compares, and those that diverged or failed have none: they count among
    the trials of the history, and are not drawn. Scores that are far worse than the others are drawn nearer, which is said.

    Args:
        trials: those that are over in the order in which they ended, and the others, with the scores that the search knew.
        mode: "min" or "max".
        confirmed: number of a packed trial → its score by itself, where it was confirmed.
        domains: by key, for their scales; those of other keys follow from the values that were tried.

    Attributes:
        study: Optuna's. A trial has the keys that differ by short names there, and values as they are written at the axes.
        logs: the study has the logarithms of the scores.
    """

    def __init__(
        self,
        trials: Sequence[TrialRecord],
        metric: str,
        mode: str,
        sweep: str = "",
        domains: Mapping[str, Domain] | None = None,
        confirmed: Mapping[int, float] | None = None,
    ) -> None:
        finished = {t.number: t for t in trials if t.state == "finished" and score_of(t) is not None}
        scores = [t.score for t in finished.values() if t.score is not None]
        self.metric, self.sweep, self.less = cut(metric, 30), cut(sweep, 40), mode == "min"
        at, known = fence(scores, self.less), scores
        scores = [fenced(score, at, self.less) for score in scores]
        self.logs = bool(scores) and wide(scores)
        over = [trial.number for trial in trials if trial.over]
        again = {n: fenced(score, at, self.less) for n, score in (confirmed or {}).items() if n in finished}
        again = {n: log10(score) if self.logs else score for n, score in again.items() if score > 0 or not self.logs}
        self.packed = any(trial.trained == "packed" for trial in finished.values())
        self.confirmed = {over.index(n): score for n, score in again.items()}
        left = [t for t in trials if t.number not in finished]
        self.note = f"{len(finished)} of {plural(len(trials), 'trial')}; not drawn: {counted(left)}" if left else ""
        notes = [self.note or plural(len(trials), "trial"), "packed scores" if self.packed else "", beyond(known, at, self.less)]
        self.note = "; ".join(filter(None, notes))
        configs, shown = _relabelled([t.config for t in finished.values()], domains or {})
        labels = dict(zip(finished, configs, strict=True))
        with quietly():
            self.study = optuna.create_study(direction="minimize" if self.less else "maximize")
            for trial in trials:
                if trial.over:
                    score = trial.score
                    if trial.number in finished and score is not None:
                        score = fenced(score, at, self.less)
                        score = log10(score) if self.logs else score
                    self.study.add_trial(frozen(replace(trial, config=labels.get(trial.number, {}), score=score), shown))
        self.missing = "it takes two finished trials at least" if len(finished) < 2 else ""
        self.missing = self.missing or ("" if shown else "no key has different values in the finished trials")
        large = any(is_number(v) and abs(v) > LARGEST for config in configs for v in config.values())
        self.missing = self.missing or ("a finished trial has a value that is too large to be drawn" if large else "")
        self.unordered = self.missing or ("" if len(set(scores)) > 1 else "all finished trials have the same score")
        self.filled, self.keys, self.shown = self._filled(), list(shown), shown
        self.evaluator = optuna.importance.MeanDecreaseImpurityImportanceEvaluator(seed=0)
        if not self.unordered:
            with quietly():
                self.keys = list(optuna.importance.get_param_importances(self.filled, evaluator=self.evaluator))

    def _filled(self) -> optuna.Study:
        """The finished trials, with a value for keys that do not exist: the one in the middle of the others', or a category.

        Random forests want all keys of all trials, and find those that matter in few trials. Optuna's default, PED-ANOVA, knows
        keys that do not exist, but is for longer searches: of 8 keys it found the one that matters in half of the sweeps of 10,
        20 and 40 trials, and a forest in nine of ten.
        """
        with quietly():
            filled = optuna.create_study(direction=self.study.direction)
            trials = self.study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
            shown = {key: of for trial in trials for key, of in trial.distributions.items()}
            middle = {}
            for key, of in shown.items():
                tried = [trial.params[key] for trial in trials if key in trial.params]
                middle[key] = of.choices[0] if hasattr(of, "choices") else sorted(tried)[len(tried) // 2]
            for trial in trials:
                trial.params, trial.distributions = {**middle, **trial.params}, shown
                filled.add_trial(trial)
        return filled

    def figures(self) -> dict[str, Figure | str]:
        """By their files' names; or why one cannot be drawn."""
        made = {
            "history.png": self.history() if self.filled.trials else "no trial has finished",
            "importance.png": self.unordered or self.importance(),
            "parallel.png": self.missing or self.parallel(),
            "slice.png": self.missing or self.slices(),
        }
        return {**made, "contour.png": self.unordered or self.contour()} if len(self.keys) != 1 else made

    def history(self) -> Figure:
        """Every trial's score, and the best so far, by the number of trials that are over; of packed trials that were confirmed
        their scores by themselves, too."""
        with styled(900, 450):
            axes = optuna_plots.plot_optimization_history(self.study, target_name=self.metric)
            figure = self._headed(axes.figure, "history of", self.note)
            figure.set_layout_engine("constrained")
            points, best = axes.get_legend_handles_labels()[0]
            of = " packed" if self.packed else ""
            drawn = {f"a{of} trial": points, f"best{of} so far": best}
            if self.confirmed:
                style: dict[str, Any] = {"marker": "D", "s": 50, "facecolors": "none", "edgecolors": CONFIRMED, "linewidths": 2}
                drawn["confirmed: trained by itself"] = axes.scatter(list(self.confirmed), list(self.confirmed.values()), **style)
            axes.legend(drawn.values(), drawn.keys(), loc="best")
            best.set(alpha=1.0, drawstyle="steps-post")
            count = len(self.study.trials)
            ticks = [t for t in MaxNLocator(10, integer=True, steps=[1, 2, 5, 10]).tick_values(1, count) if 1 <= t <= count]
            axes.set_xticks([t - 1 for t in ticks], [f"{t:g}" for t in ticks])  # Optuna counts from 0
            axes.set_xlabel("trials that are over")
            self._scored(axes.yaxis)
        return figure

    def importance(self) -> Figure:
        """Share of each key in what a random forest makes of the scores: the mean decrease of impurity."""
        with styled(900, 160 + 34 * len(self.keys)):
            axes = optuna_plots.plot_param_importances(self.filled, evaluator=self.evaluator, target_name=self.metric)
            figure = self._headed(axes.figure, "importance for", self.note)
            axes.legend().remove()
            axes.set(xlabel="share in what explains the score", ylabel="", title="")
        return figure

    def parallel(self) -> Figure:
        """A line for each trial, through its values and its score."""
        keys = self.keys[:MOST]
        with styled(max(900, 240 + 120 * len(keys)), 520):
            base = optuna_plots.plot_parallel_coordinate(self.study, params=keys, target_name=self.metric)
            figure = self._headed(base.figure, "values and", self._chosen())
            base.tick_params("x", labelsize=9)
            _label(base.xaxis, range(len(keys) + 1), [cut(self.metric, LETTERS), *sorted(keys)])
            (lines,) = base.collections
            alpha = min(0.8, 4 / len(self.filled.trials) ** 0.5)
            lines.set(cmap=SHADES if self.less else SHADES.reversed(), alpha=alpha, clip_on=False)
            beside = [axes for axes in figure.axes if axes is not base and axes.get_label() != BAR]
            for key, axes in zip(sorted(keys), beside, strict=True):
                self._ticked(key, axes.yaxis, lambda label: "absent" if label == "None" else label)
                for text in axes.get_yticklabels(which="both"):
                    text.set_bbox({"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.5})
            self._scored(base.yaxis, *_bars(figure))
        return figure

    def slices(self) -> Figure:
        """Score by each key's values."""
        keys = self.keys[:MOST]
        rows = -(-len(keys) // COLUMNS)
        with styled(1000, 110 + 340 * rows):
            made = optuna_plots.plot_slice(self.study, params=keys, target_name=self.metric)
            panels = [made] if isinstance(made, Axes) else list(made)
            figure = self._headed(panels[0].figure, "slices of", self._chosen())
            figure.set_size_inches(10, 1.1 + 3.4 * rows)
            grid = figure.add_gridspec(rows, min(COLUMNS, len(keys)))
            for at, (key, axes) in enumerate(zip(sorted(keys), panels, strict=True)):
                axes.set_subplotspec(grid[divmod(at, COLUMNS)])
                axes.set(ylabel=self.metric if at % COLUMNS == 0 else "")
                axes.tick_params("y", labelleft=at % COLUMNS == 0)
                self._ticked(key, axes.xaxis, lambda label: label.strip("'"))
                self._scored(axes.yaxis)
            for bar in _bars(figure):
                bar.set_label_text("trials that were over")
                bar.set_major_locator(MaxNLocator(integer=True))
        return figure

    def contour(self) -> Figure | str:
        """Score over the two keys that matter most, of those that trials have together."""
        ranked = combinations(self.keys, 2)
        keys = next((list(pair) for pair in ranked if self._together(*pair)), None)
        if keys is None:
            return "no two keys have different values in trials that have both"
        with styled(900, 560):
            axes: Any = optuna_plots.plot_contour(self.study, params=keys, target_name=self.metric)
            both = sum(set(keys) <= trial.params.keys() for trial in self.study.trials)
            note = f"{self.note}; {both} have both keys" if both < len(self.filled.trials) else self.note
            figure = self._headed(axes.figure, "contours of", note)
            for key, scale in zip(sorted(keys), (axes.xaxis, axes.yaxis), strict=True):
                self._ticked(key, scale)
            self._scored(*_bars(figure))
        return figure

    def _together(self, one: str, other: str) -> bool:
        """Return true if each of two keys has different values in the trials that have both."""
        both = [t.params for t in self.study.trials if one in t.params and other in t.params]
        return all(len({params[key] for params in both}) > 1 for key in (one, other))

    def _chosen(self) -> str:
        more = f"; the {MOST} most important of {len(self.keys)} keys" if len(self.keys) > MOST else ""
        return f"{self.note}{more}"

    def _headed(self, figure: Any, of: str, note: str) -> Figure:
        """The figure with one heading for all its axes."""
        for axes in figure.axes:
            for side in ("left", "center"):
                axes.set_title("", loc=side)
        heading = f"{self.sweep}: {of} {self.metric} ({'less' if self.less else 'more'} is better)\n{note}"
        figure.suptitle(heading, x=0.01, ha="left", fontsize=11, color=INK)
        made: Figure = figure
        return made

    def _ticked(self, key: str, scale: Any, to: Callable[[str], str] = str) -> None:
        """Mark whole numbers where a key has no others, and change the labels of categories."""
        scale.set_tick_params(labelsize=8.5)
        if isinstance(scale.get_major_locator(), (FixedLocator, StrCategoryLocator)):
            ticks = scale.get_majorticklocs()
            _label(scale, ticks, [to(label) for label in scale.get_major_formatter().format_ticks(ticks)])
        elif isinstance(self.shown[key], RandInt):
            scale.set_major_locator(MaxNLocator(5, integer=True))

    def _scored(self, *scales: Any) -> None:
        """Label scales of scores, where these are logarithms, by the scores themselves."""
        for scale in scales:
            if self.logs:
                scale.set_major_formatter(lambda score, _: f"{10**score:.3g}")


def _relabelled(configs: Sequence[Config], domains: Mapping[str, Domain]) -> tuple[list[Config], dict[str, Domain]]:
    """Configs as they are drawn: only the keys that have different values, by short names; numbers, or categories as short texts.

    Returns:
        The configs, and the domains of what they hold.
    """
    values = {key: [config[key] for config in configs if key in config] for key in dict.fromkeys(k for c in configs for k in c)}
    values = {key: tried for key, tried in values.items() if len(set(map(exact, tried))) > 1}
    ends = short_names(list(values))
    names = dict(zip(values, _distinct([_ending(ends[key]) for key in values]), strict=True))
    shown: dict[str, Domain] = {}
    labels: dict[str, dict[str, Any]] = {}
    for key, tried in values.items():
        if all(map(is_number, tried)):
            labels[key] = {exact(v): v for v in tried}
            shown[names[key]] = _scale(tried, domains.get(key))
        else:
            each = {exact(v): value(v) for v in tried}
            labels[key] = dict(zip(each, _distinct([cut(text, CATEGORY) for text in each.values()]), strict=True))
            shown[names[key]] = Choice(tuple(labels[key].values()))
    drawn = [{names[key]: labels[key][exact(config[key])] for key in values if key in config} for config in configs]
    return drawn, shown


def fence(scores: Sequence[float], less: bool) -> float | None:
    """The score at which those are drawn that are so much worse than the others that these would be squeezed together; None
    where there are none.

    Args:
        less: is better.
    """
    import numpy as np

    if len(scores) < LEAST:
        return None
    logs = min(scores) > 0
    sign = 1.0 if less else -1.0
    known = sign * (np.log10(scores) if logs else np.asarray(scores, dtype=float))
    low, high = np.quantile(known, [0.25, 0.75])
    near = known[known <= high + FENCE * (high - low)]
    if low == high or len(near) == len(known):
        return None
    at = sign * float(near.max() + MARGIN * (near.max() - near.min()))
    return float(10.0**at) if logs else at


def fenced(score: float, at: float | None, less: bool) -> float:
    """A score, or the fence that it lies beyond."""
    return score if at is None else min(score, at) if less else max(score, at)


def beyond(scores: Iterable[float], at: float | None, less: bool) -> str:
    """Sentence on scores that are drawn at a fence; nothing where there are none."""
    count = 0 if at is None else sum(fenced(score, at, less) != score for score in scores)
    return f"{plural(count, 'score')} worse than {number(at)} drawn there" if count else ""


def wide(scores: Sequence[float]) -> bool:
    """Return whether scores are shown by their logarithms."""
    return min(scores) > 0 and max(scores) >= WIDE * min(scores)


def _scale(tried: Sequence[float], domain: Domain | None) -> Domain:
    """Domain of numbers, from the least to the largest that was tried."""
    low, high = min(tried), max(tried)
    unknown = domain is None or isinstance(domain, Choice)
    if low > 0 and ((domain is not None and domain.positive) or (unknown and high >= WIDE * low)):
        return LogUniform(low, high)
    return RandInt(int(low), int(high) + 1) if all(isinstance(v, int) for v in tried) else Uniform(low, high)


def _ending(name: str) -> str:
    return name if len(name) <= LETTERS else f"…{name[1 - LETTERS :]}"


def _distinct(texts: Sequence[str]) -> list[str]:
    """The texts, those that are there more than once with a number."""
    return [text if texts.count(text) == 1 else f"{text[: CATEGORY - 4]} #{number}" for number, text in enumerate(texts, 1)]


def _label(scale: Any, ticks: Sequence[float], labels: Sequence[str]) -> None:
    """Label ticks; those of a horizontal axis are slanted where neighbours would overlap."""
    space = scale.axes.bbox.width / max(1, len(labels) - 1)
    wide = any((len(one) + len(other) + 2) / 2 * LETTER > space for one, other in pairwise(labels))
    slanted = {"rotation": 25, "ha": "right", "rotation_mode": "anchor"} if wide and scale.axis_name == "x" else {"rotation": 0}
    scale.set_ticks(ticks, labels, **slanted)


def _bars(figure: Figure) -> list[Any]:
    """The scales of the bars that say what a colour means."""
    return [axes.yaxis for axes in figure.axes if axes.get_label() == BAR]


@contextmanager
def styled(width: int, height: int) -> Iterator[None]:
    """Pyplot, which Optuna draws with, as it is where nobody has changed it; nothing of what is changed stays."""
    before: Any = dict.get(matplotlib.rcParams, "backend")  # as it is: asking matplotlib would choose one
    opened = set(pyplot.get_fignums())
    with matplotlib.rc_context(), warnings.catch_warnings(), quietly():
        warnings.simplefilter("ignore")  # of few trials, which the figures show
        matplotlib.rcdefaults()
        matplotlib.use("agg")
        matplotlib.rcParams.update({"figure.figsize": (width / 100, height / 100), "figure.dpi": 100})
        matplotlib.rcParams.update({"figure.constrained_layout.use": True})
        try:
            yield
        finally:
            for number in set(pyplot.get_fignums()) - opened:
                pyplot.close(number)
            with suppress(ImportError):  # one that was chosen, never used, and is not installed
                pyplot.switch_backend(before)
