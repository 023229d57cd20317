"""Digits asked for by their label: what the classifier reads beside what was asked, for samples whose digits are known."""

import math

import ganflow_metrics
import numpy as np
import pytest
import torch
from ganflow_data import Digits

from ganflow.contract.data import TensorData
from ganflow.contract.signature import Signature
from ganflow.errors import GanflowError


class Copyist:
    """A game that returns real digits of the label asked for; of `wrong` labels, digits of the next one."""

    def __init__(self, data, wrong=()):
        self.data, self.wrong, self.asked = data, wrong, []
        self.signatures = {"sample": Signature({"z": "z", "label": "label"}, "real")}

    maker = "sample"

    def latents(self, n, seed):
        return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))

    def call(self, name, z, label):
        assert name == "sample"
        assert len(z) == len(label)
        self.asked += label.tolist()
        real, labels = self.data.train["real"], self.data.train["label"]
        classes, found = len(self.data.fields["label"].classes), []
        for i, wanted in enumerate(label.tolist()):
            rows = (labels == (wanted + (wanted in self.wrong)) % classes).nonzero().flatten()
            found.append(real[rows[i % len(rows)]])
        return torch.stack(found)


@pytest.fixture(scope="module")
def data():
    return Digits(size=16).data()


def test_the_share_of_digits_that_are_what_was_asked(data):
    metric = ganflow_metrics.ClassAccuracy(samples=400).metric(data)
    assert metric.goal == "max"
    each = [f"asked_label_400_{digit}" for digit in range(10)]
    names = ["asked_label_400", "asked_label_400_error", "asked_label_400_floor", "asked_label_400_floor_error", *each]
    game = Copyist(data)
    scores = metric.evaluate(game)
    assert list(scores) == list(metric.names) == names
    assert all(game.asked.count(label) == 40 for label in range(10))
    assert scores["asked_label_400"] > 0.97
    some = metric.evaluate(Copyist(data, wrong=(2, 5)))
    assert some["asked_label_400_2"] < 0.1
    assert some["asked_label_400_5"] < 0.1
    assert some["asked_label_400_7"] > 0.9
    assert some["asked_label_400"] == pytest.approx(sum(some[name] for name in each) / 10)
    assert some["asked_label_400_error"] == pytest.approx(math.sqrt(0.79 * 0.21 / 400), rel=0.05)
    floor = some["asked_label_400_floor"]
    assert 0.97 < floor < 1  # real digits, of which it has seen all
    assert some["asked_label_400_floor_error"] == pytest.approx(math.sqrt(floor * (1 - floor) / len(data.train["label"])))
    assert 0.76 < some["asked_label_400"] < 0.82


def test_labels_of_some_digits_mean_these():
    data = Digits(size=16, classes=[3, 8]).data()
    scores = ganflow_metrics.ClassAccuracy(samples=100).metric(data).evaluate(Copyist(data))
    assert list(scores) == [f"asked_label_100{ending}" for ending in ("", "_error", "_floor", "_floor_error", "_3", "_8")]
    assert scores["asked_label_100"] > 0.95


def test_what_is_not_finite_is_not_the_best_score(data):
    game = Copyist(data)
    game.call = lambda name, z, label: torch.full((len(z), 1, 16, 16), math.nan)
    scores = ganflow_metrics.ClassAccuracy().metric(data).evaluate(game)
    assert len(scores) == 14
    assert all(math.isnan(score) for score in scores.values())


IMAGES, LABELS = torch.zeros(300, 1, 16, 16), torch.arange(300) % 2


@pytest.mark.parametrize(
    ("parts", "names", "says"),
    [
        ({"real": IMAGES}, None, "data toy has no such field: use data digits"),
        ({"real": torch.zeros(300, 2), "label": LABELS}, "01", "are no pictures of one channel in memory"),
        ({"real": IMAGES, "label": LABELS}, ["cat", "3"], "has a class 'cat': use data digits"),
        ({"real": IMAGES, "label": LABELS}, "34", "the classifier reads .*% as their labels say"),
    ],
)
def test_what_are_no_labelled_digits_is_refused(parts, names, says):
    with pytest.raises(GanflowError, match=f"class_accuracy asks for digits .*{says}"):
        ganflow_metrics.ClassAccuracy().metric(TensorData("toy", parts, classes={"label": names} if names else None))


def test_frechet_within_each_class(data):
    metric = ganflow_metrics.ClassFrechet(samples=500).metric(data)
    names = ["class_frechet_digits_500", *(f"class_frechet_digits_500_{digit}" for digit in range(10))]
    rows = torch.randperm(len(data.train["label"]), generator=torch.Generator().manual_seed(0))  # they come writer by writer
    mixed = TensorData("mixed", {name: t[rows] for name, t in data.train.items()}, classes={"label": "0123456789"})
    game = Copyist(mixed)
    scores = metric.evaluate(game)
    assert list(scores) == metric.names
    assert [name for name in scores if not name.endswith(("_error", "_floor"))] == names
    assert all(game.asked.count(label) == 3 * 50 for label in range(10))
    assert scores[names[0]] == pytest.approx(np.mean([scores[name] for name in names[1:]]))
    assert scores[f"{names[0]}_floor"] == pytest.approx(np.mean([scores[f"{name}_floor"] for name in names[1:]]))
    assert 0 < scores[f"{names[0]}_floor_error"] < 0.05 * scores[f"{names[0]}_floor"]
    assert scores[names[0]] < 1.3 * scores[f"{names[0]}_floor"]
    wrong = metric.evaluate(Copyist(mixed, wrong=(2, 5)))
    assert [wrong[name] > 3 * wrong[f"{name}_floor"] for name in names[1:]] == [digit in (2, 5) for digit in range(10)]


def test_frechet_within_a_class_by_the_closed_form():
    # class 0 is N(0, 1), class 1 N(5, 4); what is generated is N(1, 1) and N(5, 1): (1 − 0)² = 1 and (2 − 1)² = 1
    draws, labels = torch.randn(20_000, 1, generator=torch.Generator().manual_seed(0)), torch.arange(20_000) % 2
    examples = 5 * labels[:, None] + (1 + labels[:, None]) * draws
    data = TensorData("two", {"real": examples, "label": labels}, classes={"label": "ab"})

    class Game(Copyist):
        def call(self, name, z, label):
            return z[:, :1] + torch.tensor([1.0, 5.0])[label, None]

    scores = ganflow_metrics.ClassFrechet(features="values", samples=10_000, repeats=1).metric(data).evaluate(Game(data))
    assert {name: score for name, score in scores.items() if not name.endswith("_error")} == {
        "class_frechet_10000": pytest.approx(1, abs=0.05), "class_frechet_10000_floor": pytest.approx(0, abs=0.003),
        "class_frechet_10000_a": pytest.approx(1, abs=0.05), "class_frechet_10000_a_floor": pytest.approx(0, abs=0.003),
        "class_frechet_10000_b": pytest.approx(1, abs=0.05), "class_frechet_10000_b_floor": pytest.approx(0, abs=0.003),
    }  # fmt: skip


def test_what_has_no_classes_is_refused():
    with pytest.raises(GanflowError, match="within the classes of a field 'label', of data in memory; data toy has none"):
        ganflow_metrics.ClassFrechet(features="values").metric(TensorData("toy", {"real": IMAGES}))
    few = TensorData("few", {"real": IMAGES[:30], "label": LABELS[:30]}, classes={"label": "34"})
    with pytest.raises(GanflowError, match="wants 20 real examples of each class, and data few has 15 of '3'"):
        ganflow_metrics.ClassFrechet(features="values").metric(few)


@pytest.mark.parametrize("metric", [ganflow_metrics.ClassAccuracy(samples=100), ganflow_metrics.ClassFrechet(samples=400)])
def test_a_generator_that_takes_no_label_is_refused_before_anything_is_drawn(data, metric):
    game = Copyist(data)
    game.signatures = {"sample": Signature({"z": "z"}, "real")}
    game.domains = ["real"]
    with pytest.raises(GanflowError, match="asks for classes by the condition 'label', and the generator takes z: use condition"):
        metric.metric(data).check(game)
    assert not game.asked
