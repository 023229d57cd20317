"""Digits asked for by their label: what the classifier reads beside what was asked, for samples whose digits are known."""

import math

import ganflow_metrics
import pytest
import torch
from ganflow_data import Digits

from ganflow.contract.data import TensorData
from ganflow.errors import GanflowError


class Copyist:
    """A game that returns real digits of the label asked for; of `wrong` labels, digits of the next one."""

    def __init__(self, data, wrong=()):
        self.data, self.wrong, self.asked = data, wrong, []

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
    names = ["asked_label_400", "asked_label_400_error", "asked_label_400_floor", *each]
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
    assert 0.97 < some["asked_label_400_floor"] < 1  # real digits, of which it has seen all
    assert 0.76 < some["asked_label_400"] < 0.82


def test_labels_of_some_digits_mean_these():
    data = Digits(size=16, classes=[3, 8]).data()
    scores = ganflow_metrics.ClassAccuracy(samples=100).metric(data).evaluate(Copyist(data))
    assert list(scores) == [f"asked_label_100{ending}" for ending in ("", "_error", "_floor", "_3", "_8")]
    assert scores["asked_label_100"] > 0.95


def test_what_is_not_finite_is_not_the_best_score(data):
    game = Copyist(data)
    game.call = lambda name, z, label: torch.full((len(z), 1, 16, 16), math.nan)
    scores = ganflow_metrics.ClassAccuracy().metric(data).evaluate(game)
    assert len(scores) == 13
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
