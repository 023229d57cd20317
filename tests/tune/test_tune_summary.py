"""What is left of a sweep: table, best recipe and pictures, made of trials that were really trained, and of strange ones."""

import csv
import json
import math
import random
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import yaml
from matplotlib.collections import PathCollection
from PIL import Image

from ganflow.cli.main import main
from ganflow.pictures.figure import figure_image
from ganflow.recipe import read_recipe
from ganflow.runs.finding import find_run
from ganflow.runs.folders import RunFolder
from ganflow.runs.start import open_trial
from ganflow.space.domains import Choice, LogUniform, Normal, Uniform
from ganflow.sweeps.plots import SweepPlots
from ganflow.sweeps.records import SweepFolder, TrialRecord
from ganflow.sweeps.repeats import Repeats, scores_of
from ganflow.sweeps.report import newest_samples, sheet, summarize
from ganflow.sweeps.study import NUMBER

RECIPE = """\
name: small
data: {use: gaussians, layout: ring}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 8, depth: 1}
critic: {use: mlp, width: 8, depth: 1}
loss: {use: hinge}
optimizer: {use: adam, lr: 1.0e-3}
train: {rounds: 40, batch_size: 16, threads: 1}
track: {mlflow: false}
metrics: [{use: sliced_wasserstein}]
tune:
  metric: score
  space: {optimizer.lr: {loguniform: [1.0e-5, 1.0e-1]}, loss: {choice: [{use: hinge}, {use: wasserstein}]}}
"""


def begin(path, trials=4, **about):
    folder = SweepFolder(path)
    folder.plots.mkdir(parents=True)
    told = {"kind": "sweep", "id": "20260101-120000-0000", "status": "finished", "metric": "score", "mode": "min"}
    folder.update(**told, trials=trials, rounds=4, **about)
    folder.recipe.write_text(RECIPE)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A sweep with three trials that ran, two rounds long, one that went wrong and one that never began."""
    folder = begin(tmp_path_factory.mktemp("runs") / "small-1", trials=5)
    for number, (lr, loss, score) in enumerate([(1e-4, "hinge", 3.0), (1e-3, "wasserstein", 1.0), (1e-2, "hinge", 2.0)]):
        config = {"optimizer.lr": lr, "loss": {"use": loss}}
        recipe = read_recipe(folder.recipe, ["train.rounds=2", f"optimizer.lr={lr}", f"loss={{use: {loss}}}", "~tune"])
        for _ in open_trial(recipe, folder.trial(number), {"sweep": folder.id}):
            pass
        folder.record(number, config=config, state="running")
        folder.record(number, state="finished", score=score, round=2, place="here")
    folder.record(3, config={"optimizer.lr": 0.1, "loss": {"use": "hinge"}}, state="diverged", score=0.5, error="not a\nnumber")
    folder.record(4, config={"optimizer.lr": 1e-5, "loss": {"use": "hinge"}}, state="waiting")
    folder.update(best={"trial": 1, "score": 1.0})
    return folder


@pytest.fixture(scope="module")
def summary(trained):
    return summarize(trained)


def test_everything_is_written(trained, summary):
    pictures = ["history", "importance", "parallel", "slice", "contour", "samples"]
    names = ["trials.csv", "best.yaml", *(f"plots/{name}.png" for name in pictures)]
    assert summary.written == [trained.path / name for name in names]
    assert summary.missing == []
    for path in summary.written[2:]:
        with Image.open(path) as picture:
            assert min(picture.size) > 200
            assert np.asarray(picture).std() > 10  # something is drawn


def test_the_csv_has_every_trial_and_key_the_best_first(trained, summary):
    with (trained.path / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["trial"] for row in rows] == ["1", "2", "0", "4", "3"]
    assert rows[0]["score"] == "1.0"
    assert rows[0]["optimizer.lr"] == "0.001"
    assert yaml.safe_load(rows[0]["loss"]) == {"use": "wasserstein"}
    assert rows[0]["run"] == trained.trial(1).id
    assert (rows[4]["state"], rows[4]["error"]) == ("diverged", "not a number")
    assert rows[3]["score"] == ""


def test_best_yaml_is_a_recipe_that_runs(trained, summary, tmp_path, monkeypatch, capsys):
    text = trained.best.read_text()
    assert "The best of 3 finished trials of the sweep small-1: trial 1, with score 1 (less is better) after 2 rounds" in text
    assert "# lr 0.001, loss wasserstein\n" in text
    assert "The trials played 2 rounds; this recipe plays all 40." in text
    recipe = read_recipe(trained.best)
    assert recipe.tune is None
    assert recipe.train.rounds == 40
    assert replace(recipe, train=replace(recipe.train, rounds=2)) == read_recipe(trained.trial(1).recipe)
    assert recipe.loss.component.name == "wasserstein"
    monkeypatch.chdir(tmp_path)
    assert main(["run", str(trained.best), "-q", "train.rounds=2"]) == 0
    capsys.readouterr()
    (run,) = tmp_path.glob("runs/small/*")
    assert RunFolder(run).read().round == 2


def test_scores_besides_those_that_are_searched_by(trained, summary, capsys):
    """In best.yaml, the table of `ganflow sweeps show` and for programs."""
    score = scores_of(trained.trial(1))["sliced_w1_2048"]
    assert f"# Its other scores: sliced_w1_2048 {score:.4g}.\n" in trained.best.read_text()
    show = ["sweeps", "show", "small-1", "--runs", str(trained.path.parent)]
    assert main(show) == 0
    head, best, *_ = capsys.readouterr().out.partition("trial  state")[2].splitlines()
    assert head.endswith("sliced_w1_2048")
    assert best.endswith(f"  {score:.4g}")
    assert main([*show, "--json"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert results[0]["every_score"] == {"sliced_w1_2048": {"mean": score, "sd": None, "n": 1}}
    assert results[-1]["every_score"] == {}


def test_the_best_recipe_says_that_its_score_is_a_quantile(trained, tmp_path):
    folder = SweepFolder(tmp_path / "small-1")
    shutil.copytree(trained.path, folder.path)
    said = "This score is the 0.9 quantile of its seeds'. Mean and standard deviation over 1 seed: 1."
    for quantile, whole in ((None, False), (0.9, True)):
        folder.update(trial_seeds=[0], trial_quantile=quantile)
        summarize(folder)
        assert (said in folder.best.read_text()) is whole


def test_a_sweeps_name_means_its_best_trial(trained, tmp_path, capsys):
    out = tmp_path / "x.png"
    assert main(["sample", "small-1", "--runs", str(trained.path.parent), "-n", "4", "-o", str(out)]) == 0
    assert out.exists()
    assert find_run("small-1", trained.path.parent) == find_run(str(trained.path), trained.path.parent) == trained.trial(1)
    assert main(["run", "--resume", "small-1", "--runs", str(trained.path.parent)]) == 2
    assert f"is a sweep; go on with it: ganflow tune --resume {trained.path}" in capsys.readouterr().err


def test_what_was_searched_of_the_training_stays_and_what_trials_have_in_common_goes(trained, tmp_path):
    folder = SweepFolder(tmp_path / "small-1")
    shutil.copytree(trained.path, folder.path)
    summarize(folder)
    assert (read_recipe(folder.best).train.rounds, read_recipe(folder.best).train.threads) == (40, 1)
    folder.record(1, config={"train.rounds": 2, "train.threads": 3})
    summarize(folder)
    assert read_recipe(folder.best).train.rounds == 2


def test_the_best_recipe_has_the_threads_that_trials_ran_with(trained, summary, tmp_path):
    """Not those that a run finds out by itself: on a busy machine it would take all cores."""
    said = "# It has the CPU threads that a trial had, 1; train.threads=0 finds out what is fastest.\n"
    assert said not in trained.best.read_text()  # the sweep's recipe says so itself
    folder = SweepFolder(tmp_path / "small-1")
    shutil.copytree(trained.path, folder.path)
    folder.recipe.write_text(RECIPE.replace(", threads: 1", ""))
    summarize(folder)
    assert read_recipe(folder.best).train.threads == 1
    assert said in folder.best.read_text()


def test_the_sheet_has_the_samples_of_the_best_three(trained, monkeypatch, tmp_path):
    from ganflow.sweeps import report as module

    shown = []
    monkeypatch.setattr("ganflow.sweeps.report.sheet", lambda pictures: shown.extend(pictures))
    folder = SweepFolder(tmp_path / "small-1")
    shutil.copytree(trained.path, folder.path)
    trials = list(folder.trials().values())
    folder.record(4, config={}, state="finished", score=0.0)  # the best, without pictures
    module._samples(folder, trials, "score", "min")
    assert [title for _, title, _ in shown] == ["score 1, trial 1", "score 2, trial 2", "score 3, trial 0"]
    assert shown[0][2] == "lr 0.001, loss wasserstein"
    assert all(path.name == "round-00000002.png" for path, _, _ in shown)
    shown.clear()
    module._samples(folder, trials, "score", "max")
    assert [title for _, title, _ in shown] == ["score 3, trial 0", "score 2, trial 2", "score 1, trial 1"]


def test_the_newest_samples(tmp_path):
    run = RunFolder(tmp_path)
    run.samples.mkdir()
    for round in (5, 1000, 300):
        (run.samples / f"round-{round:08d}.png").touch()
    assert newest_samples(run).name == "round-00001000.png"


def test_a_score_of_nothing_is_a_score(tmp_path):
    folder = begin(tmp_path / "s")
    folder.record(0, config={"optimizer.lr": 0.1}, state="finished", score=0.0, round=4)
    summarize(folder)
    assert (folder.path / "trials.csv").read_text().splitlines()[1].startswith("0,finished,0.0,4,0.1,")


def test_the_history_is_in_the_order_of_ends(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(SweepPlots, "figures", lambda self: drawn.extend(t.user_attrs[NUMBER] for t in self.study.trials) or {})
    folder = begin(tmp_path / "s")
    for number in (2, 0, 1):
        folder.record(number, config={"optimizer.lr": 0.1}, state="finished", score=1.0)
    folder.record(0, state="waiting")  # the machine's fault: tried again
    folder.record(0, state="finished")
    folder.record(3, config={"optimizer.lr": 0.1}, state="running")
    summarize(folder)
    assert drawn == [2, 1, 0]


def test_the_recipes_domains_are_the_plots_scales(tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(SweepPlots, "figures", lambda self: given.append(self.shown) or {})
    folder = begin(tmp_path / "s")
    folder.recipe.write_text(RECIPE.replace("optimizer.lr: {", "optimizer: {lr: {").replace("e-1]}", "e-1]}}"))
    for number in range(2):
        folder.record(number, config={"optimizer.lr": 0.1 + number}, state="finished", score=1.0)
    summarize(folder)
    assert isinstance(given[0]["lr"], LogUniform)


def test_a_trial_without_its_folder_leaves_no_best_recipe_but_the_rest(tmp_path):
    folder = begin(tmp_path / "s")
    folder.record(0, config={"optimizer.lr": 0.1}, state="finished", score=1.0, round=4)
    done = summarize(folder)
    assert [path.name for path in done.written] == ["trials.csv", "history.png"]
    assert done.missing[0].startswith("no best.yaml: ")
    assert done.missing[1:] == [
        "no importance.png, parallel.png, slice.png, contour.png in plots/: it takes two finished trials at least",
        "no samples.png in plots/: no trial has sample pictures",
    ]


@pytest.mark.parametrize(
    ("states", "why"),
    [
        ([], "no trial has a score"),
        (["running"], "no trial is finished yet"),
        (["diverged", "failed"], "no trial has a score"),
        (["diverged", "waiting"], "no trial is finished yet"),
    ],
)
def test_without_a_score_there_is_a_table_alone(tmp_path, states, why):
    folder = begin(tmp_path / "s")
    for number, state in enumerate(states):
        folder.record(number, config={"optimizer.lr": 0.1 * number}, state=state, score=math.nan if number else None)
    done = summarize(folder)
    assert [path.name for path in done.written] == ["trials.csv"]
    assert done.missing == [f"no best.yaml and no plots: {why}"]
    assert len((folder.path / "trials.csv").read_text().splitlines()) == 1 + len(states)


def test_an_unreadable_recipe_of_the_sweep_does_not_stop_it(tmp_path):
    folder = begin(tmp_path / "s")
    folder.recipe.write_text("loss: {use: gone/away}\n")
    folder.record(0, config={"optimizer.lr": 0.1}, state="finished", score=1.0)
    done = summarize(folder)
    assert (folder.plots / "history.png") in done.written
    assert done.missing[0].startswith("no scales of the space, nor all rounds: the sweep's recipe cannot be read: ")
    assert "gone/away" in done.missing[0]


def test_why_a_best_recipe_cannot_be_read_is_said(trained, tmp_path):
    folder = SweepFolder(tmp_path / "small-1")
    shutil.copytree(trained.path, folder.path)
    recipe = folder.trial(1).recipe
    recipe.write_text(re.sub(r"use: \S*wasserstein\b", "use: gone/away", recipe.read_text()))
    (said,) = summarize(folder).missing
    assert said.startswith("no best.yaml: the recipe of trial 1 cannot be read: ")
    assert "gone/away" in said


def test_what_was_copied_is_said_in_the_best_recipe(trained, summary, tmp_path):
    folder = SweepFolder(tmp_path / "small-1")
    shutil.copytree(trained.path, folder.path)
    folder.record(1, copied=[[0, 1]])
    summarize(folder)
    assert "copies of other trials" in folder.best.read_text()


def test_a_plot_that_cannot_be_written_is_one_sentence(tmp_path):
    from ganflow.errors import GanflowError

    folder = begin(tmp_path / "s")
    folder.record(0, config={"optimizer.lr": 0.1}, state="finished", score=1.0)
    folder.plots.rmdir()
    folder.plots.write_text("a file")
    with pytest.raises(GanflowError, match=r"cannot write .*plots"):
        summarize(folder)


def trial(number, score, state="finished", **config):
    """A trial; a double underscore in a name is a dot."""
    return TrialRecord(number, {key.replace("__", "."): value for key, value in config.items()}, state, score, 4)


def searched(count=20, **more):
    """Trials whose first key decides alone."""
    draws = random.Random(1)
    return [
        trial(n, 1.0 + abs(n % 7 - 3), optimizer__lr=10.0 ** (n % 7 - 6), train__n_critic=draws.choice([1, 2, 5]), **more)
        for n in range(count)
    ]


def points(axes):
    """Positions of what is drawn as points."""
    drawn = [found for found in axes.collections if isinstance(found, PathCollection)]
    return [tuple(map(float, xy)) for found in drawn for xy in found.get_offsets()]


def heading(figure):
    return figure.get_suptitle()


@pytest.mark.parametrize(("mode", "best"), [("min", [5, 3, 3, 3, 1, 1]), ("max", [5, 5, 5, 5, 5, 5])])
def test_the_history_is_that_of_the_best_finished_trial(mode, best):
    ended = [trial(4, 5.0), trial(0, 3.0), trial(2, 0.5, "stopped"), trial(1, 4.0), trial(5, 1.0), trial(3, 0.1, "diverged")]
    figure = SweepPlots([*ended, trial(6, 0.2, "running")], "m", mode, "rings-1").history()
    (axes,) = figure.axes
    (line,) = axes.lines
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([0, 1, 2, 3, 4, 5], best)
    assert points(axes) == [(0, 5.0), (1, 3.0), (3, 4.0), (4, 1.0)]
    better = {"min": "less", "max": "more"}[mode]
    note = "4 of 7 trials; not drawn: 1 running, 1 stopped, 1 diverged"
    assert heading(figure) == f"rings-1: history of m ({better} is better)\n{note}"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "2", "3", "4", "5", "6"]


def test_trials_that_all_finished_are_counted_plainly():
    assert heading(SweepPlots(searched(), "m", "min", "s").history()).endswith("\n20 trials")


def test_the_key_that_decides_is_the_most_important():
    plots = SweepPlots(searched(), "m", "min")
    (axes,) = plots.importance().axes
    bars = dict(zip([text.get_text() for text in axes.get_yticklabels()], [bar.get_width() for bar in axes.patches], strict=True))
    assert plots.keys == ["lr", "n_critic"]
    assert bars["lr"] > 0.9
    assert sum(bars.values()) == pytest.approx(1)


def test_a_key_that_few_trials_have_does_not_hide_the_one_that_decides():
    trials = [*searched(20)]
    for n, each in enumerate(trials):
        if n % 4 == 0:
            each.config["loss.weight"] = float(n)
    plots = SweepPlots(trials, "m", "min")
    assert plots.keys[0] == "lr"
    assert set(plots.keys) == {"lr", "n_critic", "weight"}
    slices = plots.slices().axes
    assert {axes.get_xlabel(): len(points(axes)) for axes in slices[:3]} == {"lr": 20, "n_critic": 20, "weight": 5}
    parallel = plots.parallel()
    assert "absent" in [text.get_text() for axes in parallel.axes for text in axes.get_yticklabels()]


def test_slices_have_scores_over_values():
    figure = SweepPlots(searched(5), "m", "min").slices()
    lr, critic, *_ = figure.axes
    assert (lr.get_xlabel(), critic.get_xlabel(), lr.get_ylabel(), critic.get_ylabel()) == ("lr", "n_critic", "m", "")
    assert points(lr) == [pytest.approx((10.0 ** (n - 6), 1.0 + abs(n - 3))) for n in range(5)]
    assert (lr.get_xscale(), critic.get_xscale()) == ("log", "linear")
    assert all(float(text.get_text()).is_integer() for text in critic.get_xticklabels())


def test_parallel_coordinates_have_a_line_for_each_finished_trial():
    trials = [*searched(6), trial(6, 9.0, "stopped", optimizer__lr=1.0)]
    figure = SweepPlots(trials, "m", "min", "rings-1").parallel()
    base = figure.axes[0]
    (lines,) = base.collections
    assert [segment[0][1] for segment in lines.get_segments()] == [4.0, 3.0, 2.0, 1.0, 2.0, 3.0]
    assert [text.get_text() for text in base.get_xticklabels()] == ["m", "lr", "n_critic"]
    darkness = [sum(lines.cmap(lines.norm(score))[:3]) for score in (1.0, 4.0)]
    assert darkness[0] < darkness[1], "the best is the darkest"
    assert heading(figure).endswith("6 of 7 trials; not drawn: 1 stopped")


def test_contours_are_of_the_two_most_important_keys():
    trials = searched(20)
    for n, each in enumerate(trials):
        each.config["train.batch_size"] = 16 + n % 2
        each.score += 3.0 * (n % 2)
    axes, bar = SweepPlots(trials, "m", "min").contour().axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("batch_size", "lr")
    assert points(axes) == [pytest.approx((16 + n % 2, 10.0 ** (n % 7 - 6))) for n in range(20)]
    assert bar.get_ylabel() == "m"


def test_contours_are_of_keys_that_trials_have_together():
    losses = [{"a__x": float(n)} if n % 2 else {"b__y": float(n * n)} for n in range(12)]
    trials = [trial(n, float(n), c=n % 3, **config) for n, config in enumerate(losses)]
    axes = SweepPlots(trials, "m", "min").contour().axes[0]
    assert "c" in (axes.get_xlabel(), axes.get_ylabel())
    assert len(points(axes)) == 6
    without = [trial(n, float(n), **config) for n, config in enumerate(losses)]
    assert SweepPlots(without, "m", "min").contour() == "no two keys have different values in trials that have both"


def test_a_single_key_has_no_contours():
    figures = SweepPlots([trial(n, float(n), lr=float(n)) for n in range(3)], "m", "min").figures()
    assert list(figures) == ["history.png", "importance.png", "parallel.png", "slice.png"]
    assert not any(isinstance(figure, str) for figure in figures.values())


@pytest.mark.parametrize(
    ("trials", "why"),
    [
        ([trial(0, 1.0, lr=1.0), trial(1, 2.0, "stopped", lr=2.0)], ["", *["it takes two finished trials at least"] * 4]),
        ([trial(0, 1.0, lr=1.0), trial(1, 2.0, lr=1.0)], ["", *["no key has different values in the finished trials"] * 4]),
        ([trial(0, 1.0, lr=1.0), trial(1, 1.0, lr=2.0)], ["", "all finished trials have the same score", "", ""]),
        ([trial(0, 1.0, "stopped", lr=1.0)], ["no trial has finished", *["it takes two finished trials at least"] * 4]),
    ],
)
def test_why_a_plot_is_missing(trials, why):
    assert [figure if isinstance(figure, str) else "" for figure in SweepPlots(trials, "m", "min").figures().values()] == why


def test_scales_follow_the_domains_or_the_values():
    trials = [trial(n, n + 1.0, a=10.0**n, b=10.0**n, c=10**n, d=0.1 + n, e=[16, 32, 2048][n]) for n in range(3)]
    domains = {"a": Uniform(0, 100), "d": LogUniform(0.1, 9), "e": Choice((16, 32, 2048))}
    panels = SweepPlots(trials, "m", "min", domains=domains).slices().axes
    scales = {axes.get_xlabel(): axes.get_xscale() for axes in panels if axes.get_xlabel()}
    assert scales == {"a": "linear", "b": "log", "c": "log", "d": "log", "e": "log"}


def test_values_of_a_normal_domain_are_drawn_as_they_are():
    trials = [trial(n, n + 1.0, a=-1.0 + n) for n in range(3)]
    panel = SweepPlots(trials, "m", "min", domains={"a": Normal(0, 1)}).slices().axes[0]
    assert [x for x, _ in points(panel)] == [-1.0, 0.0, 1.0]


def test_categories_are_short_and_stay_apart():
    losses = [{"use": f"third-party/{'y' * 30}{n}"} for n in range(3)] + [{"use": "wgan/hinge"}, None, True, 3]
    figures = SweepPlots([trial(n, n + 1.0, loss=loss) for n, loss in enumerate(losses)], "m", "min").figures()
    labels = [text.get_text() for text in figures["slice.png"].axes[0].get_xticklabels()]
    assert labels == ["yyyyyyyyyyy #1", "yyyyyyyyyyy #2", "yyyyyyyyyyy #3", "hinge", "null", "true", "3"]
    assert [text.get_text() for text in figures["parallel.png"].axes[2].get_yticklabels()] == labels


def test_scores_that_differ_by_much_are_drawn_by_their_logarithms():
    trials = [trial(n, 10.0**n, lr=float(n)) for n in range(3)]
    plots = SweepPlots(trials, "m", "min")
    axes = plots.history().axes[0]
    assert points(axes) == [pytest.approx((n, n)) for n in range(3)]
    assert axes.yaxis.get_major_formatter()(2.0, 0) == "100"
    near = SweepPlots([trial(n, 10.0 + n, lr=float(n)) for n in range(3)], "m", "min").history().axes[0]
    assert points(near) == [(0, 10.0), (1, 11.0), (2, 12.0)]


def test_the_eight_most_important_of_many_keys():
    draws = random.Random(3)
    trials = []
    for n in range(40):
        config = {f"section.of.the.recipe.with_a_very_long_name_of_a_key_{k}": draws.random() for k in range(12)}
        trials.append(TrialRecord(n, config, "finished", config["section.of.the.recipe.with_a_very_long_name_of_a_key_7"], 4))
    plots = SweepPlots(trials, "a_metric_with_a_long_name_" * 3, "max", "a-sweep-of-which-" * 9)
    assert plots.keys[0] == "…ng_name_of_a_key_7"
    figure = plots.slices()
    assert {axes.get_xlabel() for axes in figure.axes if axes.get_xlabel()} == set(plots.keys[:8])
    assert heading(figure).endswith("40 trials; the 8 most important of 12 keys")
    assert len(plots.importance().axes[0].patches) == 12
    for made in plots.figures().values():
        width, height = figure_image(made).size
        assert width <= 1200
        texts = [text for axes in made.axes for text in (axes.xaxis.label, axes.yaxis.label)] + made.texts
        boxes = [text.get_window_extent() for text in texts if text.get_text()]
        assert all(box.x0 >= -1 and box.x1 <= width + 1 and box.y0 >= -1 and box.y1 <= height + 1 for box in boxes)


def test_names_below_parallel_coordinates_do_not_overlap():
    config = {f"section.of.a.very_long_name_of_key_{k}": 1.0 for k in range(8)}
    trials = [TrialRecord(n, dict.fromkeys(config, n + 1.0), "finished", n + 1.0, 4) for n in range(3)]
    for count, slanted in ((8, True), (2, False)):
        some = [replace(t, config=dict(list(t.config.items())[:count])) for t in trials]
        labels = SweepPlots(some, "m", "min").parallel().axes[0].get_xticklabels()
        assert len(labels) == count + 1
        assert [label.get_rotation() > 0 for label in labels] == [slanted] * len(labels)


def test_trials_of_several_seeds_are_drawn_by_their_means():
    runs = [trial(n, 1.0 + n, lr=float(n // 2)) for n in range(6)]
    figure = SweepPlots(Repeats((0, 1)).trials(runs), "m", "min").history()
    assert points(figure.axes[0]) == [(0, 1.5), (1, 3.5), (2, 5.5)]


@pytest.mark.parametrize("backend", ["svg", None])
def test_nothing_of_what_plots_change_stays(backend):
    code = f"""
import matplotlib, sys
from matplotlib import pyplot
if {backend!r}: matplotlib.use({backend!r})
matplotlib.rcParams["lines.linewidth"] = 7
mine = pyplot.figure() if {backend!r} else None
from ganflow.sweeps.plots import SweepPlots
from ganflow.sweeps.records import TrialRecord
before = {{k: v for k, v in matplotlib.rcParams.copy().items() if k != "backend"}}
figures = SweepPlots([TrialRecord(n, {{"a": n, "b": n % 2}}, "finished", n + 1.0) for n in range(4)], "m", "min").figures()
assert len(figures) == 5 and not any(isinstance(figure, str) for figure in figures.values())
assert {{k: v for k, v in matplotlib.rcParams.copy().items() if k != "backend"}} == before
assert pyplot.get_fignums() == ([1] if {backend!r} else []) and (mine is None or pyplot.gcf() is mine)
assert not {backend!r} or matplotlib.get_backend() == {backend!r}
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_where_none_is_finished_there_is_no_best_and_no_plot(tmp_path):
    folder = begin(tmp_path / "s")
    for number, score in enumerate((1.0, 2.0)):
        folder.record(number, config={"optimizer.lr": 0.1 * (number + 1)}, state="stopped", score=score, round=4)
    done = summarize(folder)
    assert [path.name for path in done.written] == ["trials.csv"]
    why = "no trial is finished, and scores after fewer rounds are not comparable"
    assert done.missing == [f"no best.yaml, and no plots of scores: {why}"]


def test_the_sheet_takes_pictures_of_any_size_and_leaves_out_broken_ones(tmp_path):
    sizes = [(64, 64), (3000, 2000), (530, 530)]
    given = []
    for i, size in enumerate(sizes):
        Image.new("L", size, 40).save(tmp_path / f"round-{i}.png")
        given.append((tmp_path / f"round-{i}.png", f"trial {i}", "word " * 100))
    (tmp_path / "round-9.png").write_text("no picture")
    assert newest_samples(RunFolder(tmp_path)) is None
    assert sheet([(tmp_path / "round-9.png", "", "")]) is None
    assert sheet([]) is None
    made = sheet([*given, (tmp_path / "round-9.png", "", "")])
    assert made.height < 1000
    assert made.width > 3 * 530
