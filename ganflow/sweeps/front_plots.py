"""Plots of the Pareto front of a sweep by several metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

from ganflow.pictures.figure import INK
from ganflow.printing import plural
from ganflow.sweeps.plots import CONFIRMED, POINT, beyond, fence, fenced, styled, wide
from ganflow.sweeps.ranking import crowding, fronts
from ganflow.sweeps.records import Objectives, TrialRecord, several
from ganflow.sweeps.study import directions, frozen
from ganflow.sweeps.table import cut

# isort: split
import optuna  # after the plots, which import matplotlib safely
from matplotlib import pyplot
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import proj3d
from optuna.visualization import matplotlib as optuna_plots

NUMBERED, NUMBER = 20, (20, 12)  # trials of a front with their numbers beside them at most, and pixels of a number


class ParetoPlots:
    """Figures of the finished trials over the metrics that a sweep is judged by together, the Pareto front marked. What is far
    worse than the others, and is not of the front, is drawn nearer.

    Args:
        trials: as for `SweepPlots`, with the scores that the study has.
        confirmed: packed trials that were trained again by themselves, with the scores of that.
    """

    def __init__(
        self,
        trials: Sequence[TrialRecord],
        objectives: Objectives,
        sweep: str = "",
        confirmed: Sequence[TrialRecord] = (),
    ) -> None:
        self.objectives, self.sweep = several(objectives), cut(sweep, 40)
        self.ranked = fronts(trials, objectives)
        self.confirmed = [trial for front in fronts(confirmed, objectives) for trial in front]
        self.packed = " packed" if any(trial.trained == "packed" for trial in trials) else ""
        nearer = self._nearer()
        finished = sum(map(len, self.ranked))
        self.note = f"{finished} of {plural(len(trials), 'trial')}" if finished < len(trials) else plural(finished, "trial")
        self.note += f";{self.packed} scores" if self.packed else ""
        self.note += "".join(f"; {name}: {words}" for name, words in nearer.items()) + "; numbers: trials of the front"

    def figures(self) -> dict[str, Figure | str]:
        """By their files' names; or why one cannot be drawn."""
        if not self.ranked:
            missing = "no trial has finished with a score of every metric"
            return {"pareto.png" if len(self.objectives) < 4 else "pareto-pairs.png": missing}
        made: dict[str, Figure | str] = {"pareto.png": self.pareto()} if len(self.objectives) < 4 else {}
        return {**made, "pareto-pairs.png": self.pairs()} if len(self.objectives) > 2 else made

    def _nearer(self) -> dict[str, str]:
        """Draw scores that are far out where their metric's fence is; returns the words on them, by metric."""
        found: dict[str, str] = {}
        for name, mode in self.objectives.items():
            every = [score for front in self.ranked for trial in front if (score := trial.scores[name]) is not None]
            front = [score for trial in self.ranked[0] if (score := trial.scores[name]) is not None] if self.ranked else []
            less, at = mode == "min", fence(every, mode == "min")
            if at is None or any(fenced(score, at, less) != score for score in front):
                continue
            found[name] = beyond(every, at, less)
            for trials in (*self.ranked, self.confirmed):
                trials[:] = [replace(t, scores={**t.scores, name: fenced(t.scores[name] or 0.0, at, less)}) for t in trials]
        return found

    def _again(self, axes: Any, metrics: Sequence[str]) -> None:
        """Mark the scores of confirmed trials."""
        if self.confirmed:
            points = [[trial.scores[name] for trial in self.confirmed] for name in metrics]
            style: dict[str, Any] = {"facecolors": "none", "edgecolors": CONFIRMED, "linewidths": 2}
            axes.scatter(*points, marker="D", s=50, label="confirmed: trained by itself", **style)

    def pareto(self) -> Figure:
        """Optuna's picture of two metrics, or three."""
        names = list(self.objectives)
        with styled(900, 620):
            study = optuna.create_study(directions=directions(self.objectives.values()))
            study.add_trials([frozen(trial, {}, names) for front in self.ranked for trial in front])
            axes: Any = optuna_plots.plot_pareto_front(study, target_names=[self._label(name) for name in names])
            if len(names) == 3:  # whose labels lie outside of the axes
                axes.set_box_aspect(None, zoom=0.8)
                for scale in (axes.xaxis, axes.yaxis, axes.zaxis):
                    scale.label.set_fontsize(9)
                    scale.set_tick_params(labelsize=8)
            self._numbered(axes, names)
            self._again(axes, names)
            points, labels = axes.get_legend_handles_labels()
            of = f" of{self.packed} trials" if self.packed else ""
            words = {"Trial": f"a{self.packed} trial", "Best Trial": f"Pareto front{of}"}
            axes.legend(points, [words.get(label, label) for label in labels], loc="best")
            axes.set_title("")
            return self._headed(axes.figure)

    def pairs(self) -> Figure:
        """The metrics two by two; the front is that of all of them together."""
        pairs = list(combinations(self.objectives, 2))
        of = f" of{self.packed} trials" if self.packed else ""
        with styled(1050, 80 + 360 * (rows := -(-len(pairs) // 3))):
            figure, panels = pyplot.subplots(rows, 3, squeeze=False)
            for (x, y), axes in zip(pairs, panels.flat, strict=True):
                labels = ("others", POINT, f"a{self.packed} trial"), ("front", "tab:red", f"Pareto front{of}")
                for which, colour, label in labels:
                    trials = [t for each in (self.ranked[:1] if which == "front" else self.ranked[1:]) for t in each]
                    axes.scatter([t.scores[x] for t in trials], [t.scores[y] for t in trials], color=colour, label=label, s=18)
                self._again(axes, [x, y])
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
            if wide(scores):
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
