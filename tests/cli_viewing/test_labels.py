"""Class-conditional runs: what sample, interpolate and the sheets do with labels."""

import json

import numpy as np
import pytest
from PIL import Image

RECIPE = """
name: classes
condition: label
data: {use: digits, size: 8, classes: [3, 8]}
prior: {use: normal, dim: 4}
generator: {use: mlp, width: 8, depth: 1}
critic: {use: mlp, width: 8, depth: 1}
loss: {use: non_saturating}
optimizer: {use: adam}
train: {rounds: 2, batch_size: 8, threads: 1, device: cpu}
track: {mlflow: false}
"""


@pytest.fixture
def run_of_classes(ganflow, tidy):
    (tidy / "classes.yaml").write_text(RECIPE)
    assert ganflow("run", "classes.yaml")[0] == 0
    (folder,) = (tidy / "runs" / "classes").iterdir()
    return folder


def size_of(path):
    with Image.open(path) as image:
        return image.size


def test_the_sheet_has_a_row_for_each_class(run_of_classes):
    width, height = size_of(max((run_of_classes / "samples").iterdir()))
    assert width > 3 * height  # eight tiles in each of two rows
    about = json.loads((run_of_classes / "run.json").read_text())
    assert about["data"]["classes"] == {"label": ["3", "8"]}
    assert sum(about["data"]["frequencies"]["label"]) == pytest.approx(1)


def test_samples_are_of_the_classes_asked_for(run_of_classes, ganflow):
    code, out = ganflow("sample", "latest", "--label", "8", "-n", "5", "-o", "eight.npz")
    assert (code, out.startswith("wrote eight.npz: 5 samples of classes")) == (0, True)
    assert "of class 8" in out
    assert ganflow("sample", "latest", "--label", "3", "--label", "8", "-n", "5", "-o", "both.npz")[0] == 0
    with np.load("eight.npz") as one, np.load("both.npz") as both:
        assert one["label"].tolist() == [1] * 5
        assert both["label"].tolist() == [0] * 5 + [1] * 5
        assert np.array_equal(both["samples"][5:], one["samples"])  # the same latent points, whatever else is drawn
        assert np.array_equal(both["z"][:5], both["z"][5:])
        assert not np.allclose(both["samples"][:5], both["samples"][5:])


def test_labels_that_nobody_asks_for_are_as_frequent_as_the_datas_or_balanced(run_of_classes, ganflow):
    assert ganflow("sample", "latest", "-n", "400", "-o", "drawn.npz")[0] == 0
    assert ganflow("sample", "latest", "-n", "9", "--balanced", "-o", "even.npz")[0] == 0
    with np.load("drawn.npz") as drawn, np.load("even.npz") as even:
        assert 0.4 < drawn["label"].mean() < 0.6  # 183 threes, 174 eights
        assert np.bincount(even["label"]).tolist() == [5, 4]


def test_without_further_arguments_every_class_is_drawn(run_of_classes, ganflow):
    code, out = ganflow("sample", "latest")
    assert (code, "16 samples" in out, "8 of each of 3, 8" in out) == (0, True, True)


def test_ways_within_a_class_and_between_classes(run_of_classes, ganflow):
    code, out = ganflow("interpolate", "latest", "--label", "8", "--rows", "2", "-o", "within.png")
    assert (code, "(class 8)" in out) == (0, True)
    code, out = ganflow("interpolate", "latest", "--label", "3", "--label", "8", "--rows", "2", "-o", "between.png")
    assert (code, "the classes 3 and 8" in out) == (0, True)
    assert size_of("within.png") == size_of("between.png")


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["sample", "latest", "--label", "9"], "label 9: there is no such class (classes: 3, 8)"),
        (["sample", "latest", "--label", "33"], "label 33: there is no such class (classes: 3, 8)"),
        (["interpolate", "latest", "--label", "3", "--label", "8", "--label", "3"], "3 were given"),
    ],
)
def test_labels_that_there_are_not(run_of_classes, ganflow, arguments, what):
    code, err = ganflow(*arguments)
    assert (code, what in err) == (2, True), err


def test_a_run_without_classes_has_no_labels_to_ask_for(ganflow, tidy):
    (tidy / "plain.yaml").write_text(RECIPE.replace("condition: label\n", "").replace("name: classes", "name: plain"))
    assert ganflow("run", "plain.yaml")[0] == 0
    code, err = ganflow("sample", "latest", "--label", "3")
    assert (code, "has no labels to ask for" in err) == (2, True)


def test_a_number_means_a_class_by_its_place_where_no_name_is_so(run_of_classes, ganflow):
    assert ganflow("sample", "latest", "--label", "0", "-n", "2", "-o", "first.npz")[0] == 0
    with np.load("first.npz") as file:
        assert file["label"].tolist() == [0, 0]
