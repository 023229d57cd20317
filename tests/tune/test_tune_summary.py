"""What is left of a sweep: table, best recipe and pictures, made of trials that were really trained, and of strange ones."""

import csv
import math
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import yaml
from PIL import Image

from ganflow.cli.main import main
from ganflow.recipe import read_recipe
from ganflow.runs.folders import RunFolder, find_run
from ganflow.runs.start import open_trial
from ganflow.tune.plots import best_picture, count_axis, key_axis, score_axis, trials_picture
from ganflow.tune.records import SweepFolder, TrialRecord
from ganflow.tune.report import newest_samples, sheet, summarize

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
    names = ["trials.csv", "best.yaml", "plots/trials.png", "plots/best.png", "plots/samples.png"]
    assert summary.written == [trained.path / name for name in names]
    assert summary.missing == []
    for path in summary.written[2:]:
        with Image.open(path) as picture:
            assert min(picture.size) > 300
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
    from ganflow.tune import report as module

    shown = []
    monkeypatch.setattr("ganflow.tune.report.sheet", lambda pictures: shown.extend(pictures))
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


def test_the_best_so_far_is_drawn_in_the_order_of_ends(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("ganflow.tune.plots.best_picture", lambda ended, *args: drawn.extend(t.number for t in ended))
    monkeypatch.setattr("ganflow.tune.plots.trials_picture", lambda *args: None)
    folder = begin(tmp_path / "s")
    for number in (2, 0, 1):
        folder.record(number, config={"optimizer.lr": 0.1}, state="finished", score=1.0)
    folder.record(0, state="waiting")  # the machine's fault: tried again
    folder.record(0, state="finished")
    summarize(folder)
    assert drawn == [2, 1, 0]


def test_a_trial_without_its_folder_leaves_no_best_recipe_but_the_rest(tmp_path):
    folder = begin(tmp_path / "s")
    folder.record(0, config={"optimizer.lr": 0.1}, state="finished", score=1.0, round=4)
    done = summarize(folder)
    assert [path.name for path in done.written] == ["trials.csv", "trials.png", "best.png"]
    assert [text.partition(":")[0] for text in done.missing] == ["no best.yaml", "no plots/samples.png"]


@pytest.mark.parametrize("states", [[], ["running"], ["diverged", "failed"]])
def test_without_a_score_there_is_a_table_alone(tmp_path, states):
    folder = begin(tmp_path / "s")
    for number, state in enumerate(states):
        folder.record(number, config={"optimizer.lr": 0.1 * number}, state=state, score=math.nan if number else None)
    done = summarize(folder)
    assert [path.name for path in done.written] == ["trials.csv"]
    assert done.missing == ["no best.yaml and no plots: no trial has a score"]
    assert len((folder.path / "trials.csv").read_text().splitlines()) == 1 + len(states)


def test_an_unreadable_recipe_of_the_sweep_does_not_stop_it(tmp_path):
    folder = begin(tmp_path / "s")
    folder.recipe.write_text("loss: {use: gone/away}\n")
    folder.record(0, config={"optimizer.lr": 0.1}, state="finished", score=1.0)
    done = summarize(folder)
    assert (folder.plots / "trials.png") in done.written
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


def strange(count, keys=2, **more):
    """Trials with gaps, of which every tenth went wrong."""
    made = []
    for n in range(count):
        config = {f"section.with.a.very.long.name.of.a.key_{'x' * 40}{k}": 10.0 ** -(n % 7 + k) for k in range(keys)}
        if n % 3 == 0:
            config["modifiers[0]"] = {"use": f"third-party/{'y' * 60}", "weight": n}
        wrong = n % 10 == 9
        made.append(TrialRecord(n, config, "diverged" if wrong else "finished", math.nan if wrong else float(n), 1, **more))
    return made


@pytest.mark.parametrize("count", [1, 2, 400])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_pictures_of_few_and_many(count, mode):
    trials = strange(count)
    picture = trials_picture(trials, "m" * 80, mode, "t" * 200)
    curve = best_picture(trials, "m" * 80, mode, "t" * 200)
    assert np.asarray(picture).std() > 5
    assert curve.size == (680, 430)


def orange(picture):
    """Share of the pixels in the colour of the best."""
    return (np.abs(np.asarray(picture).astype(int) - (0xE8, 0x83, 0x3A)).sum(axis=2) < 12).mean()


def test_one_key_makes_a_scatter_and_more_make_parallel_axes():
    one = [TrialRecord(i, {"lr": 10.0**-i, "same": 3}, "finished", float(i)) for i in range(5)]
    both = [TrialRecord(i, {"lr": 10.0**-i, "c": i}, "finished", float(i)) for i in range(5)]
    scatter, parallel = trials_picture(one, "m", "min"), trials_picture(both, "m", "min")
    assert scatter.size == (680, 430)
    assert parallel.size != scatter.size
    assert orange(scatter) > 1e-4
    assert orange(parallel) > 1e-3
    assert trials_picture([TrialRecord(0, {}, "finished", 1.0)], "m", "min") is None


def test_the_best_so_far_ends_at_the_best():
    trials = [TrialRecord(i, {}, "finished", score) for i, score in enumerate([5.0, 3.0, 4.0, 1.0, 2.0])]
    pixels = np.abs(np.asarray(best_picture(trials, "m", "min")).astype(int) - (0xE8, 0x83, 0x3A)).sum(axis=2) < 12
    rows = np.where(pixels)[0]
    assert rows.min() < 70  # from the worst score at the top …
    left, right = (np.where(pixels[:, columns])[0] for columns in (slice(0, 110), slice(620, 680)))
    assert right.min() > left.max() + 200  # … to the best at the bottom


def test_axes_follow_the_domains():
    values = [1e-4, 1e-3, 1e-2]
    log = key_axis("lr", values, {"loguniform": [1e-5, 1]})
    assert (log.kind, log.position(1e-3)) == ("log", pytest.approx(0.5))
    assert [label for _, label in log.ticks] == ["0.0001", "0.001", "0.01"]
    linear = key_axis("lr", values, {"uniform": [0, 1], "when": {"loss": "hinge"}})
    assert (linear.kind, linear.position(1e-2), linear.position(1e-4)) == ("linear", 1.0, 0.0)
    assert key_axis("lr", values).kind == "log"
    assert key_axis("b", [0.5, 0.9]).kind == key_axis("b", [-1.0, 100.0]).kind == "linear"
    choice = key_axis("n", [5, 1, 2, 1], {"choice": [1, 2, 5]})
    assert (choice.kind, [label for _, label in choice.ticks]) == ("category", ["1", "2", "5"])
    losses = [{"use": "b"}, {"use": "a"}]
    assert [label for _, label in key_axis("loss", losses, {"choice": losses[::-1]}).ticks] == ["a", "b"]
    assert key_axis("seed", list(range(100)), {"choice": list(range(100))}).kind == "linear"
    assert key_axis("flag", [True, False]).kind == key_axis("x", [None, 1.0]).kind == "category"
    assert len(key_axis("s", [f"v{i}" for i in range(100)]).ticks) <= 12


@pytest.mark.parametrize("scores", [[1.0], [0.0, 0.0], [-5.0, 1.0], [1e-9, 1e9], [1.0, 1.1, 1.2, 49.0], [-1e6, 3.0, 4.0, 5.0]])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_score_axes_hold_every_score(scores, mode):
    axis = score_axis("m", scores, mode)
    places = [axis.position(score) for score in scores]
    assert places == sorted(places)
    assert 0 <= places[0] <= places[-1] <= 1
    assert axis.ticks
    assert all(-0.01 <= place <= 1.01 for place, _ in axis.ticks)


def test_one_bad_score_does_not_flatten_the_rest():
    axis = score_axis("m", [0.0, 1.0, 2.0, 3.0, 1000.0], "min")
    assert axis.position(3.0) > 0.2
    assert axis.position(1000.0) == 1
    assert axis.ticks[-1][1].startswith("≥ ")


def test_and_where_more_is_better_it_is_the_one_at_the_bottom():
    axis = score_axis("m", [-1000.0, 0.0, 1.0, 2.0, 3.0], "max")
    assert axis.position(0.0) < 0.8
    assert axis.position(-1000.0) == 0
    assert axis.ticks[0] == (0.0, "≤ -9")
    assert (axis.low, axis.high) == (-9.0, 3.0)  # four times as far from the best as the worst quarter begins
    axis = score_axis("m", [0.0, 1.0, 2.0, 3.0, 1000.0], "min")
    assert (axis.low, axis.high) == (0.0, 12.0)


def test_places_of_numbers_and_categories():
    assert [key_axis("x", [0.0, 10.0], {"uniform": [0, 10]}).position(v) for v in (0, 2.5, 10, -3, 99)] == [0, 0.25, 1, 0, 1]
    log = key_axis("x", [1e-4, 1.0], {"loguniform": [1e-4, 1]})
    assert [log.position(v) for v in (1e-4, 1e-3, 1e-2, 1.0)] == pytest.approx([0, 0.25, 0.5, 1])
    assert [label for _, label in log.ticks] == ["0.0001", "0.001", "0.01", "0.1", "1"]
    names = key_axis("x", ["b", "a"], {"choice": ["a", "c", "b"]})
    assert [names.position(v) for v in "ab"] == [0.25, 0.75]
    assert key_axis("x", [3.0, 3.0]).position(3.0) == 0.5
    assert key_axis("x", [-1.0, 49.0]).kind == "linear"
    assert key_axis("x", [1.0, 50.0]).kind == "log"
    assert key_axis("x", [1.0, 49.0]).kind == "linear"
    assert [label for _, label in key_axis("x", [10, 9, 100], {"choice": [100, 10, 9]}).ticks] == ["9", "10", "100"]
    assert [label for _, label in key_axis("x", [0.0, 1.0]).ticks] == ["0", "0.25", "0.5", "0.75", "1"]
    assert [round(place, 3) for place, _ in key_axis("x", [0.0, 1.0]).ticks] == [0, 0.25, 0.5, 0.75, 1]
    assert score_axis("m", [1.0, 60.0], "min").kind == "log"
    assert score_axis("m", [0.0, 60.0], "min").kind == "linear"


class Drawing:
    """What is drawn on axes."""

    def __init__(self):
        self.lines, self.texts = [], []

    def plot(self, x, y, *args, **style):
        self.lines.append((x, y, args, style))

    def text(self, *args, **style):
        self.texts.append(args[2])


def drawn(monkeypatch, ended, mode):
    drawing = Drawing()
    monkeypatch.setattr("ganflow.tune.plots._panel", lambda x, y, heading: (drawing, lambda: heading))
    return best_picture(ended, "m", mode), drawing.lines


@pytest.mark.parametrize(("mode", "best", "steps"), [("min", 1, [1, 1, 0, 0]), ("max", 3, [1, 1])])
def test_the_steps_of_the_best_so_far(monkeypatch, mode, best, steps):
    ended = [TrialRecord(n, {}, state, score) for n, (state, score) in enumerate(
        [("finished", 3.0), ("diverged", 0.0), ("stopped", 2.0), ("finished", 1.0)]
    )]  # fmt: skip
    heading, lines = drawn(monkeypatch, ended, mode)
    assert heading.endswith(f"best so far {best}")
    *points, (xs, ys, _, style) = lines
    assert style["color"] == "#e8833a"
    assert list(ys) == steps
    assert sorted(xs) == list(xs)
    wrong = [x for x, y, marker, _ in points if marker == ("x",)]
    assert wrong == [pytest.approx(1 / 3)]
    shades = [style["color"] for _, _, marker, style in points if marker == ("o",)]
    assert (sum(shades[0]) > sum(shades[2])) == (mode == "min")  # dark is good


def test_no_line_of_the_best_where_none_is_finished(monkeypatch):
    heading, lines = drawn(monkeypatch, [TrialRecord(0, {}, "stopped", 2.0, 10)], "min")
    assert heading.endswith("none is finished")
    assert [line[2] for line in lines] == [("o",)]


def test_where_none_is_finished_there_are_plots_and_no_best(tmp_path):
    folder = begin(tmp_path / "s")
    for number, score in enumerate((1.0, 2.0)):
        folder.record(number, config={"optimizer.lr": 0.1 * (number + 1)}, state="stopped", score=score, round=4)
    done = summarize(folder)
    assert [path.name for path in done.written] == ["trials.csv", "trials.png", "best.png"]
    assert done.missing[0] == "no best.yaml: no trial is finished, and scores after fewer rounds are not comparable"


def test_how_many_have_no_score(monkeypatch):
    from ganflow.tune.plots import _note_missing

    figure = Drawing()
    states = [("finished", 1.0), ("diverged", 2.0), ("failed", None), ("running", None), ("waiting", None), ("running", 1.0)]
    _note_missing(figure, [TrialRecord(n, {}, state, score) for n, (state, score) in enumerate(states)], 0.1)
    assert figure.texts == ["2 trials without a score", "2 trials not over"]


def test_whole_numbers_have_whole_ticks():
    assert [label for _, label in count_axis("n", 3).ticks] == ["1", "2", "3"]
    assert [label for _, label in count_axis("n", 1).ticks] == ["1"]


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
