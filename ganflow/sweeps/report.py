"""Report of a sweep: table, best recipe, pictures; made of its folder alone, at any time."""

from __future__ import annotations

import csv
import io
import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from PIL import Image, UnidentifiedImageError

from ganflow.errors import GanflowError, escaped
from ganflow.files import write_text
from ganflow.printing import plural
from ganflow.runs.folders import RunFolder, here
from ganflow.sweeps.ranking import best_of, front_of, fronts, ranking, score_of, spread_out
from ganflow.sweeps.records import Mode, Repeated, SweepFolder, TrialRecord
from ganflow.sweeps.repeats import Repeats, every_score
from ganflow.sweeps.table import around, config_line, confirmed, differing, further_names, keys_of, number, scored

if TYPE_CHECKING:
    from ganflow.recipe import Recipe

BEST = 3  # trials whose samples are on the sheet
FRONT = 20  # of a Pareto front, recipes that are written
WIDE = 1.4  # width by height from which on pictures stand below each other
LARGEST = (920, 600)  # of one picture on the sheet, in pixels
GAP, LINE, HEAD = 18, 17, 22  # between pictures; a caption's lines, the first of which is larger
LETTER = 6.8  # pixels, about
PACKED = (
    "It was trained packed with other trials. By itself, as `ganflow run` trains, it gets another score, for that rounds "
    "otherwise: of eight trials of recipes/sweeps/packed.yaml 3.8 % away in the median, 10 % at most. A sweep with "
    "tune.confirm=1 trains the best one by itself."
)


def newest_samples(folder: RunFolder) -> Path | None:
    """A run's newest sample picture."""
    return next(reversed(folder.pictures()), None)


def sheet(pictures: Sequence[tuple[Path, str, str]]) -> Image.Image | None:
    """Pictures with captions, side by side, or below each other where they are wide. One that cannot be read is left out;
    None where nothing is left.

    Args:
        pictures: of each its file, its title, and the text below that.
    """
    from ganflow.pictures.figure import INK, figure_image, new_figure

    read = [(image, title, text) for path, title, text in pictures if (image := _read(path)) is not None]
    if not read:
        return None
    upright = all(image.width > WIDE * image.height for image, _, _ in read)
    width = max(240, *(image.width for image, _, _ in read))
    columns = max(24, int(width / LETTER))
    captions = [textwrap.wrap(text, columns, max_lines=4, placeholder=" …") for _, _, text in read]
    caption = HEAD + LINE * max(map(len, captions)) + 6
    cell = (width + GAP, max(image.height for image, _, _ in read) + caption + GAP)
    across, down = (1, len(read)) if upright else (len(read), 1)
    w, h = across * cell[0] + GAP, down * cell[1] + GAP
    figure = new_figure(w, h)
    for i, ((image, title, _), lines) in enumerate(zip(read, captions, strict=True)):
        left = GAP + (0 if upright else i * cell[0])
        top = h - GAP - (i * cell[1] if upright else 0)
        figure.text(left / w, (top - 8) / h, title, fontsize=11, weight="bold", color=INK, va="center")
        for row, line in enumerate(lines):
            figure.text(left / w, (top - HEAD - 8 - LINE * row) / h, line, fontsize=9, color=INK, va="center")
        axes = figure.add_axes((left / w, (top - caption - image.height) / h, image.width / w, image.height / h))
        axes.set_axis_off()
        axes.imshow(image, interpolation="nearest", aspect="auto")
    return figure_image(figure)


def _read(path: Path) -> Image.Image | None:
    """The picture, made smaller where it is too large."""
    try:
        with Image.open(path) as file:
            image = file.convert("RGB")
    except (OSError, UnidentifiedImageError):
        return None
    image.thumbnail(LARGEST)
    return image


@dataclass
class Summary:
    """Files that were written, and sentences on those that could not be, and why."""

    written: list[Path] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def summarize(folder: SweepFolder, recipe: Recipe | None = None) -> Summary:
    """Write trials.csv, best.yaml, and under plots/ Optuna's history.png, importance.png, parallel.png, slice.png and
    contour.png, and samples.png; each only where there is something to put in. Earlier files are replaced.

    With several metrics there are recipes of the Pareto front, pareto/NUMBER.yaml, instead of best.yaml, plots of each metric
    (history-METRIC.png), and pareto.png.

    Args:
        recipe: the sweep's, for the scales of the plots and the rounds of the best recipe; by default from the folder.

    Raises:
        GanflowError: a record is damaged, or a file cannot be written.
    """
    from ganflow.runs.kept import recipe_of_run

    record, runs = folder.read(), folder.trials()
    repeats = Repeats.of(record)
    trials, searched = repeats.trials(runs.values()), repeats.searched(runs.values())
    metric, mode, objectives = record.metric, record.mode or "min", record.objectives
    done, what = Summary(), "nothing in pareto/" if objectives else "no best.yaml"
    try:
        _write(folder.path / "trials.csv", as_csv(folder, trials, metric, mode), done)
        if all(score_of(t) is None for t in trials):
            why = "no trial has a score" if all(t.over for t in trials) else "no trial is finished yet"
            done.missing.append(f"{what} and no plots: {why}{' of every metric' if objectives and 'score' in why else ''}")
            return done
        if recipe is None:
            try:
                recipe = recipe_of_run(folder)
            except GanflowError as error:
                done.missing.append(f"no scales of the space, nor all rounds: the sweep's recipe cannot be read: {error}")
        best = [t for t in [best_of(trials, mode)] if t]
        if objectives:
            best = spread_out(front_of(trials, objectives), objectives, FRONT)
            _clear(folder, [folder.pareto / f"{trial.number}.yaml" for trial in best])
        if not best:
            why = "no trial is finished, and scores after fewer rounds are not comparable"
            done.missing.append(f"{what}, and no plots of scores: {why}")
        for trial in best:
            path = folder.pareto / f"{trial.number}.yaml" if objectives else folder.best
            try:
                _write(path, best_recipe(folder, trial, metric, mode, recipe), done)
            except GanflowError as error:
                file = path.relative_to(folder.path)
                done.missing.append(f"no {file}: the recipe of trial {trial.number} cannot be read: {error}")
        folder.plots.mkdir(exist_ok=True)
    except OSError as error:
        raise GanflowError(f"cannot write {error.filename or folder.path}: {error.strerror}") from error
    from ganflow.pictures import save_png

    missing: dict[str, list[str]] = {}
    for name, picture in _pictures(folder, trials, searched, metric, mode, recipe).items():
        if isinstance(picture, str):
            if best:  # else it was said
                missing.setdefault(picture, []).append(name)
        else:
            save_png(picture, folder.plots / name)
            done.written.append(folder.plots / name)
    done.missing += [f"no {', '.join(names)} in plots/: {why}" for why, names in missing.items()]
    return done


def _pictures(
    folder: SweepFolder,
    trials: Sequence[TrialRecord],
    searched: Sequence[TrialRecord],
    metric: str,
    mode: Mode,
    recipe: Recipe | None,
) -> dict[str, Image.Image | str]:
    """By their files' names; or why there is none.

    Args:
        searched: the trials as the searcher knows them, whose scores are comparable.
    """
    from ganflow.pictures.figure import figure_image
    from ganflow.space.reading import read_domains
    from ganflow.sweeps.front_plots import ParetoPlots
    from ganflow.sweeps.plots import SweepPlots

    ends = {number: at for at, number in enumerate(ended(folder))}
    by_end = sorted(searched, key=lambda trial: ends.get(trial.number, len(ends)))
    domains = read_domains(recipe) if recipe is not None and recipe.tune is not None else {}
    objectives = folder.read().objectives
    again = [trial for trial in trials if trial.confirmed is not None and trial.state == "finished"]
    figures = ParetoPlots(searched, objectives, folder.sweep, again).figures() if objectives else {}
    for of, which in (objectives or {metric: mode}).items():
        those = [replace(t, score=t.scores.get(of), scores={}) for t in by_end] if objectives else by_end
        alone = {t.number: score for t in again if (score := t.scores.get(of) if objectives else score_of(t)) is not None}
        for name, figure in SweepPlots(those, of, which, folder.sweep, domains, alone).figures().items():
            figures[name.replace(".png", f"-{of.replace('/', '-')}.png") if objectives else name] = figure
    made = {name: figure if isinstance(figure, str) else figure_image(figure) for name, figure in figures.items()}
    return {**made, "samples.png": _samples(folder, trials, metric, mode) or "no trial has sample pictures"}


def _clear(folder: SweepFolder, keep: Sequence[Path]) -> None:
    """Remove the recipes in pareto/ of trials that are not of the front any more."""
    folder.pareto.mkdir(exist_ok=True)
    for path in folder.pareto.glob("*.yaml"):
        if path.stem.isdecimal() and path not in keep:
            path.unlink()


def ended(folder: SweepFolder) -> list[int]:
    """Numbers of the trials that are over, in the order in which they ended."""
    repeats, left = Repeats.of(folder.read()), dict[int, int]()
    runs, found = folder.trials(), list[int]()
    for run in (ended for ended in folder.ended() if runs[ended].confirms is None):
        trial = repeats.trial(run)
        left[trial] = left.get(trial, repeats.size) - 1
        if not left[trial]:
            found.append(trial)
    return found


def as_csv(folder: SweepFolder, trials: Sequence[TrialRecord], metric: str, mode: str) -> str:
    """Every trial, every key and every score, exactly, the best first; of several seeds means and standard deviations, and in
    `n` how many runs have a score. With several metrics `front` is the trial's, 1 for the Pareto front. In a sweep that confirms,
    `trained` says what the score is of: see `TrialRecord.trained`."""
    record = folder.read()
    repeats, keys, objectives = Repeats.of(record), keys_of(trials), record.objectives
    runs = {trial.number: [folder.trial(n) for n in repeats.runs_of(trial)] for trial in trials}
    scores = every_score(folder, trials)
    judged = list(objectives) or [metric]
    names = further_names(scores, judged)
    several = bool(repeats.seeds)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    heads = [head for name in names for head in ([name, f"{name}_sd"] if several else [name])]
    again = bool(confirmed(trials))
    at = {t.number: rank for rank, front in enumerate(fronts(trials, objectives), 1) for t in front}
    ns = [f"{name}_n" for name in judged] if objectives else ["n"]
    by = [head for name, n in zip(judged, ns, strict=True) for head in (name, *([f"{name}_sd", n] if several else []))]
    by += ["trained", f"{metric}_packed"] if again else []
    rows.writerow(["trial", "state", *(["front"] if objectives else []), *by, "round", *keys, *heads, "error", "place", "run"])
    for trial in ranking(trials, mode, objectives):
        found = scores[trial.number]
        tried = [_cell(trial.config[key]) if key in trial.config else "" for key in keys]
        others: list[Any] = []
        for name in names:
            each = found.get(name)
            others += [_number(each.mean if each else None)]
            others += [_number(each.deviation if each else None)] if several else []
        cells: list[Any] = [at.get(trial.number, "")] if objectives else []
        for name in judged:
            cells.append(_number(trial.scores.get(name) if objectives else trial.score))
            if isinstance(trial, Repeated):
                _, sd, n = trial.spreads[name] if objectives else (trial.mean, trial.sd, trial.n)
                cells += [_number(sd), n]
        cells += [trial.trained, _number(trial.packed)] if again else []
        ends = [" ".join(trial.error.split()), trial.place, " ".join(run.id for run in runs[trial.number])]
        rows.writerow([trial.number, trial.state, *cells, trial.round, *tried, *others, *ends])
    return text.getvalue()


def _number(of: float | None) -> float | str:
    return "" if of is None else of


def best_recipe(folder: SweepFolder, best: TrialRecord, metric: str, mode: str, sweep: Recipe | None = None) -> str:
    """The recipe of a trial, complete, with a comment on its origin.

    Raises:
        GanflowError: it is not there, or cannot be read with what is installed now.
    """
    from ganflow.runs.kept import recipe_of_run

    repeats = Repeats.of(folder.read())
    trials, run = repeats.trials(folder.trials().values()), folder.trial(repeats.runs_of(best)[0])
    recipe = recipe_of_run(run)
    number_of = plural(sum(t.state == "finished" for t in trials), "finished trial")
    objectives, path = folder.read().objectives, folder.best
    of = f"{number_of} of the sweep {folder.sweep}: trial {best.number}"
    better = "less" if mode == "min" else "more"
    what = f"The best of {of}, with {metric} {number(best.score)} ({better} is better) after {best.round} rounds."
    if objectives:
        path = folder.pareto / f"{best.number}.yaml"
        ways = {name: "less" if way == "min" else "more" for name, way in objectives.items()}
        known = (f"{name} {number(best.scores[name])} ({way} is better)" for name, way in ways.items())
        what = f"One of the Pareto front of {of}, with {', '.join(known)} after {best.round} rounds."
    lines = [
        f"ganflow run {here(path)}",
        what,
        " ".join(config_line(best.config, list(best.config), longest=200).split()),
    ]
    if isinstance(best, Repeated):
        means = ", ".join(
            (f"{name} " if objectives else "") + number(mean) + (f" ± {sd:.2g}" if sd is not None else "")
            for name, (mean, sd, _) in (best.spreads or {metric: (best.mean, best.sd, best.n)}).items()
        )
        again = f"ganflow run {here(path)} --seeds {','.join(map(str, repeats.seeds))}"
        by_quantile = repeats.quantile is not None and not objectives
        judged = f"This score is the {repeats.quantile:g} quantile of its seeds'. " if by_quantile else ""
        what = f"{judged}Mean and standard deviation over {plural(best.n, 'seed')}: {means}"
        lines.append(f"{what}. To train with all of them: {again}")
    found = every_score(folder, [best])
    if besides := further_names(found, list(objectives) or [metric]):
        others = [f"{name} {around(found[best.number][name], best)}" for name in besides]
        lines.append(f"Its other scores: {', '.join(others)}.")
    if best.packed is not None:
        lines += [
            f"Packed with other trials it had {metric} {number(best.packed)}; this score is of the same training by itself, as "
            f"`ganflow run` trains, which rounds otherwise. {_distances(trials)}"
        ]
    elif run.read().packed:
        lines += [PACKED]
    if sweep is not None:  # what trials have in common is not the recipe's
        if sweep.train.rounds > recipe.train.rounds:
            lines.append(f"The trials played {recipe.train.rounds} rounds; this recipe plays all {sweep.train.rounds}.")
        if not sweep.train.threads and recipe.train.threads:
            again = "train.threads=0 finds out what is fastest"
            lines.append(f"It has the CPU threads that a trial had, {recipe.train.threads}; {again}.")
        names = ("rounds", "checkpoint_every", "sample_every", *(["seed"] if repeats.seeds else []))
        common = [name for name in names if f"train.{name}" not in best.config]
        values: dict[str, Any] = {name: getattr(sweep.train, name) for name in common}
        recipe = replace(recipe, train=replace(recipe.train, **values))
    if best.copied:
        lines.append("It went on from copies of other trials, with other values before: this recipe has the last ones alone.")
    return "".join(f"# {escaped(line)}\n" for line in lines) + replace(recipe, tune=None).to_yaml()


def _distances(trials: Sequence[TrialRecord]) -> str:
    """Sentence on how far the scores of trials by themselves lie from those that they had when they were packed."""
    pairs = [(t.packed, score) for t in trials if t.packed is not None and (score := score_of(t))]
    away = sorted(abs(packed - score) / abs(score) for packed, score in pairs)
    if len(away) < 2:
        return f"The two lie {100 * away[0]:.2g} % apart." if away else ""
    return f"Of {len(away)} trials the two lie {100 * median(away):.2g} % apart in the median, {100 * away[-1]:.2g} % at most."


def _samples(folder: SweepFolder, trials: Sequence[TrialRecord], metric: str, mode: str) -> Image.Image | None:
    """The newest pictures of the best three."""
    keys = differing(trials, keys_of(trials))
    repeats, objectives = Repeats.of(folder.read()), folder.read().objectives
    best = [t for t in ranking(trials, mode)[:BEST] if score_of(t) is not None]
    best = spread_out(front_of(trials, objectives), objectives, BEST) if objectives else best
    found = [(newest_samples(folder.trial(repeats.runs_of(t)[0])), t) for t in best]
    pictures = []
    for path, t in found:
        if path is not None:
            title, text = f"{metric} {number(t.score)}, trial {t.number}", config_line(t.config, keys, longest=60)
            if objectives:
                title, text = f"trial {t.number}", f"{scored(t, metric)}; {text}"
            pictures.append((path, title, text))
    return sheet(pictures)


def _write(path: Path, text: str, done: Summary) -> None:
    write_text(path, text)
    done.written.append(path)


def _cell(of: Any) -> Any:
    """A value as one would write it in a recipe; components as JSON, which is YAML."""
    return json.dumps(of) if isinstance(of, (dict, list, tuple, bool)) or of is None else of
