"""Plots of a whole sweep, by Optuna: the history of the best score, which keys matter, and which of their values lead where."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import combinations, pairwise
from math import log10
from typing import Any

from ganflow.pictures.figure import INK
from ganflow.printing import plural
from ganflow.space.domains import Choice, Domain, LogUniform, RandInt, Uniform, is_number
from ganflow.space.space import Config
from ganflow.sweeps.records import Objectives, TrialRecord, crowding, fronts, score_of, several
from ganflow.sweeps.study import directions, frozen, quietly
from ganflow.sweeps.table import counted, cut, exact, short_names, value

# isort: split
import matplotlib  # after the figures, which import it safely
import optuna
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.category import StrCategoryLocator
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator
from mpl_toolkits.mplot3d import proj3d
from optuna.visualization import matplotlib as optuna_plots

MOST = 8  # keys that are drawn: the most important
COLUMNS = 4  # slices beside each other
WIDE = 50.0  # the largest by the smallest, from which on scores, and numbers of an unknown kind, are shown by their logarithms
LETTERS, CATEGORY = 19, 15  # of the name of a key, which Optuna would cut, and of a category
LETTER = 6.6  # pixels, about
NUMBERED, NUMBER = 20, (20, 12)  # trials of a front with their numbers beside them at most, and pixels of a number
BAR = "<colorbar>"  # matplotlib's label of one
SHADES = LinearSegmentedColormap.from_list("scores", ["#08306b", "#4a90c4", "#cfe1f0"])  # Optuna's blues, the palest left out


class SweepPlots:
    """Figures of a sweep.

    Trials that the scheduler stopped have no score that compares, and those that diverged or failed have none: they count among
    the trials of the history, and are not drawn.

    Args:
        trials: those that are over in the order in which they ended, and the others.
        mode: "min" or "max".
        domains: by key, for their scales; those of other keys follow from the values that were tried.

    Attributes:
        study: Optuna's. A trial has the keys that differ by short names there, and values as they are written at the axes.
        logs: the study has the logarithms of the scores.
    """

    def __init__(
        self, trials: Sequence[TrialRecord], metric: str, mode: str, sweep: str = "", domains: Mapping[str, Domain] | None = None
    ) -> None:
        finished = {t.number: t for t in trials if t.state == "finished" and score_of(t) is not None}
        scores = [t.score for t in finished.values() if t.score is not None]
        self.metric, self.sweep, self.less = cut(metric, 30), cut(sweep, 40), mode == "min"
        self.logs = bool(scores) and _wide(scores)
        left = [t for t in trials if t.number not in finished]
        self.note = f"{len(finished)} of {plural(len(trials), 'trial')}; not drawn: {counted(left)}" if left else ""
        self.note = self.note or plural(len(trials), "trial")
        configs, shown = _relabelled([t.config for t in finished.values()], domains or {})
        labels = dict(zip(finished, configs, strict=True))
        with quietly():
            self.study = optuna.create_study(direction="minimize" if self.less else "maximize")
            for trial in trials:
                if trial.over:
                    score = log10(trial.score) if self.logs and trial.number in finished and trial.score else trial.score
                    self.study.add_trial(frozen(replace(trial, config=labels.get(trial.number, {}), score=score), shown))
        self.missing = "it takes two finished trials at least" if len(finished) < 2 else ""
        self.missing = self.missing or ("" if shown else "no key has different values in the finished trials")
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
        """Every trial's score, and the best so far, by the number of trials that are over."""
        with _styled(900, 450):
            axes = optuna_plots.plot_optimization_history(self.study, target_name=self.metric)
            figure = self._headed(axes.figure, "history of", self.note)
            figure.set_layout_engine("constrained")
            points, best = axes.get_legend_handles_labels()[0]
            axes.legend([points, best], ["a trial", "best so far"], loc="best")
            best.set(alpha=1.0, drawstyle="steps-post")
            count = len(self.study.trials)
            ticks = [t for t in MaxNLocator(10, integer=True, steps=[1, 2, 5, 10]).tick_values(1, count) if 1 <= t <= count]
            axes.set_xticks([t - 1 for t in ticks], [f"{t:g}" for t in ticks])  # Optuna counts from 0
            axes.set_xlabel("trials that are over")
            self._scored(axes.yaxis)
        return figure

    def importance(self) -> Figure:
        """Share of each key in what a random forest makes of the scores: the mean decrease of impurity."""
        with _styled(900, 160 + 34 * len(self.keys)):
            axes = optuna_plots.plot_param_importances(self.filled, evaluator=self.evaluator, target_name=self.metric)
            figure = self._headed(axes.figure, "importance for", self.note)
            axes.legend().remove()
            axes.set(xlabel="share in what explains the score", ylabel="", title="")
        return figure

    def parallel(self) -> Figure:
        """A line for each trial, through its values and its score."""
        keys = self.keys[:MOST]
        with _styled(max(900, 240 + 120 * len(keys)), 520):
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
        with _styled(1000, 110 + 340 * rows):
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
        with _styled(900, 560):
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


class ParetoPlots:
    """Figures of the finished trials over the metrics that a sweep is judged by together, the Pareto front marked.

    Args:
        trials: as for `SweepPlots`, with the scores that the study has.
    """

    def __init__(self, trials: Sequence[TrialRecord], objectives: Objectives, sweep: str = "") -> None:
        self.objectives, self.sweep = several(objectives), cut(sweep, 40)
        self.ranked = fronts(trials, objectives)
        finished = sum(map(len, self.ranked))
        self.note = f"{finished} of {plural(len(trials), 'trial')}" if finished < len(trials) else plural(finished, "trial")
        self.note += "; numbers: trials of the front"

    def figures(self) -> dict[str, Figure | str]:
        """By their files' names; or why one cannot be drawn."""
        if not self.ranked:
            missing = "no trial has finished with a score of every metric"
            return {"pareto.png" if len(self.objectives) < 4 else "pareto-pairs.png": missing}
        made: dict[str, Figure | str] = {"pareto.png": self.pareto()} if len(self.objectives) < 4 else {}
        return {**made, "pareto-pairs.png": self.pairs()} if len(self.objectives) > 2 else made

    def pareto(self) -> Figure:
        """Optuna's picture of two metrics, or three."""
        names = list(self.objectives)
        with _styled(900, 620):
            study = optuna.create_study(directions=directions(self.objectives.values()))
            study.add_trials([frozen(trial, {}, names) for front in self.ranked for trial in front])
            axes: Any = optuna_plots.plot_pareto_front(study, target_names=[self._label(name) for name in names])
            if len(names) == 3:  # whose labels lie outside of the axes
                axes.set_box_aspect(None, zoom=0.8)
                for scale in (axes.xaxis, axes.yaxis, axes.zaxis):
                    scale.label.set_fontsize(9)
                    scale.set_tick_params(labelsize=8)
            self._numbered(axes, names)
            points, labels = axes.get_legend_handles_labels()
            axes.legend(points, ["a trial" if label == "Trial" else "Pareto front" for label in labels], loc="best")
            axes.set_title("")
            return self._headed(axes.figure)

    def pairs(self) -> Figure:
        """The metrics two by two; the front is that of all of them together."""
        pairs = list(combinations(self.objectives, 2))
        with _styled(1050, 80 + 360 * (rows := -(-len(pairs) // 3))):
            figure, panels = pyplot.subplots(rows, 3, squeeze=False)
            for (x, y), axes in zip(pairs, panels.flat, strict=True):
                for which, colour, label in (("others", "tab:blue", "a trial"), ("front", "tab:red", "Pareto front")):
                    trials = [t for each in (self.ranked[:1] if which == "front" else self.ranked[1:]) for t in each]
                    axes.scatter([t.scores[x] for t in trials], [t.scores[y] for t in trials], color=colour, label=label, s=18)
                axes.set(xlabel=self._label(x), ylabel=self._label(y))
                axes.grid(alpha=0.3)
                self._numbered(axes, [x, y])
            panels.flat[0].legend(loc="best", fontsize=8)
            return self._headed(figure)

    def _label(self, metric: str) -> str:
        return f"{cut(metric, 30)} ({'less' if self.objectives[metric] == 'min' else 'more'} is better)"

    def _numbered(self, axes: Any, metrics: Sequence[str]) -> None:
        """Logarithmic scales where scores are far apart, and the numbers of the front's trials."""
        for name, scale in zip(metrics, "xy" if len(metrics) == 2 else "", strict=False):
            scores = [score for front in self.ranked for trial in front if (score := trial.scores[name]) is not None]
            if _wide(scores):
                axes.set(**{f"{scale}scale": "log"})
        drawn: list[Any] = []  # pixels at which there is a number
        distances = crowding(self.ranked[0], self.objectives)
        for trial in sorted(self.ranked[0], key=lambda trial: -distances[trial.number])[:NUMBERED]:
            at = [trial.scores[name] for name in metrics]
            flat = at if len(at) == 2 else proj3d.proj_transform(*at, axes.get_proj())[:2]
            x, y = axes.transData.transform(flat)
            if all(abs(x - left) > NUMBER[0] or abs(y - below) > NUMBER[1] for left, below in drawn):
                drawn.append((x, y))
                axes.annotate(str(trial.number), flat, xytext=(4, 4), textcoords="offset points", fontsize=8, color=INK)

    def _headed(self, figure: Any) -> Figure:
        figure.set_layout_engine("constrained")
        heading = f"{self.sweep}: Pareto front of {plural(len(self.ranked[0]), 'trial')}\n{self.note}"
        figure.suptitle(heading, x=0.01, ha="left", fontsize=11, color=INK)
        made: Figure = figure
        return made


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


def _wide(scores: Sequence[float]) -> bool:
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
def _styled(width: int, height: int) -> Iterator[None]:
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
