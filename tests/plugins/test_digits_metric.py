"""Digits by a classifier's features: against another formula, against what nothing but digits can score, and its cache."""

import math

import ganflow_metrics
import numpy as np
import pytest
import torch
from ganflow_data import Digits
from ganflow_data.digits import read
from ganflow_layers import cache
from ganflow_metrics.classifier import FEATURES, digits_classifier

from ganflow.contract.data import TensorData
from ganflow.errors import GanflowError


class Player:
    """A game whose samples are these."""

    def __init__(self, samples):
        self._samples = samples

    def samples(self, n, seed):
        assert len(self._samples) >= n
        return self._samples[:n]


@pytest.fixture(scope="module")
def data():
    return Digits(size=16).data()


@pytest.fixture(scope="module")
def metric(data):
    return ganflow_metrics.Frechet(features="digits_classifier").metric(data)


def by_eigenvalues(a, b):
    """The textbook's formula: tr (Σa Σb)^½ is the sum of the roots of the product's eigenvalues; a (n, d), b (m, d)."""
    a, b = a.numpy(), b.numpy()
    sa, sb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    roots = np.sqrt(np.linalg.eigvals(sa @ sb).real.clip(0))
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(sa + sb) - 2 * roots.sum())


def real(data):
    return torch.cat([data.train["real"], data.held_out["real"]])


def many(data, n=4 * 898):
    """Real digits, drawn with replacement."""
    everything = real(data)
    return everything[torch.randint(len(everything), (n,), generator=torch.Generator().manual_seed(5))]


def test_it_is_the_distance_between_features_over_that_of_real_halves(data, metric):
    everything = real(data)
    fake = (many(data) * 0.7).split(898)
    scores = metric.evaluate(Player(torch.cat(fake)))
    assert tuple(scores) == metric.names
    assert [name for name in scores if not name.endswith("_error")] == [
        "frechet_digits_ratio", "frechet_digits_898", "frechet_digits_898_floor", "legible", "legible_floor"
    ]  # fmt: skip
    classifier, draws = digits_classifier(), torch.Generator().manual_seed(0)
    features, made = classifier.judge(everything)[0], [classifier.judge(part)[0] for part in fake]
    floors, distances, each = [], [], [[], [], [], []]
    for i in range(64):
        order = torch.randperm(1797, generator=draws)
        one, other = features[order[:898]], features[order[898:1796]]
        floors.append(by_eigenvalues(one, other))
        distances += [by_eigenvalues(made[i % 4], one), by_eigenvalues(made[i % 4], other)]
        each[i % 4] += distances[-2:]
    assert scores["frechet_digits_898"] == pytest.approx(np.mean(distances), rel=1e-4)
    assert scores["frechet_digits_898_floor"] == pytest.approx(np.mean(floors), rel=1e-4)
    assert scores["frechet_digits_898_floor_error"] == pytest.approx(np.std(floors, ddof=1) / 8, rel=1e-3)  # √64
    assert scores["frechet_digits_ratio"] == pytest.approx(np.mean(distances) / np.mean(floors), rel=1e-4)
    error = np.std(np.mean(each, axis=1), ddof=1) / 2  # of the mean of four draws
    assert scores["frechet_digits_898_error"] == pytest.approx(error, rel=1e-3)
    assert scores["frechet_digits_ratio_error"] == pytest.approx(error / np.mean(floors), rel=1e-3)
    assert np.mean(floors) == pytest.approx(4.5, rel=0.1)  # of which 2 tr Σ / 898 = 1.7 are the means'


def test_what_is_worse_than_real_scores_more(data, metric):
    digits, nines = many(data), metric.evaluate(Player(many(Digits(size=16, classes=list(range(9))).data())))

    def ratio(images):
        return metric.evaluate(Player(images))["frechet_digits_ratio"]

    assert 0.5 < ratio(digits) < 1.1  # half of them are among those that they are compared with
    assert nines["frechet_digits_ratio"] > 2  # there are none
    assert ratio(digits.flip(3)) > 2


def test_legible(data, metric):
    def legible(images):
        return metric.evaluate(Player(images))["legible"]

    digits = many(data)
    assert legible(digits) > 0.9
    assert legible((digits + digits.flip(0)) / 2) < 0.6  # a tenth of them are two of one digit
    assert legible(torch.rand(digits.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1) < 0.4


@pytest.mark.parametrize("size", [8, 28, 32])
def test_digits_of_other_sizes(size):
    others = Digits(size=size).data()
    scores = ganflow_metrics.Frechet(features="digits_classifier", samples=300).metric(others).evaluate(Player(many(others)))
    assert scores["legible"] > 0.7
    assert "frechet_digits_300" in scores


def test_what_is_not_finite_is_not_the_best_score(metric):
    scores = metric.evaluate(Player(torch.full((4 * 898, 1, 16, 16), math.nan)))
    assert list(scores) == list(metric.names)
    assert all(math.isnan(score) for score in scores.values())


NOT_DIGITS = {
    "points": {"real": torch.zeros(300, 2)},
    "colours": {"real": torch.zeros(300, 3, 16, 16)},
    "noise": {"real": torch.rand(300, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1},
}


@pytest.mark.parametrize("name", NOT_DIGITS)
def test_what_are_no_digits_is_refused(name):
    with pytest.raises(GanflowError, match=rf"scores pictures of digits.* data {name} .*: use features: values$"):
        ganflow_metrics.Frechet(features="digits_classifier").metric(TensorData(name, NOT_DIGITS[name]))


def test_too_few_digits_are_refused(data):
    few = TensorData("few", {"real": data.train["real"][:150]})
    with pytest.raises(GanflowError, match="needs 200 digits, and data few has 150"):
        ganflow_metrics.Frechet(features="digits_classifier").metric(few)


def copies(data, n, wanted):
    """Real digits of these classes, n of them."""
    rows = torch.isin(data.train["label"], torch.tensor(wanted)).nonzero().flatten()
    return data.train["real"][rows[torch.randint(len(rows), (n,), generator=torch.Generator().manual_seed(0))]]


def test_scores_of_a_classifiers_answers(data):
    score, balance = ganflow_metrics.InceptionScore(repeats=2).metric(data), ganflow_metrics.ClassBalance(repeats=2).metric(data)
    names = ["inception_score_digits_1000", "class_variation_digits_1000", "class_kl_digits_1000"]
    assert [name for metric in (score, balance) for name in metric.names if not name.endswith(("_error", "_floor"))] == names
    everything, five = (copies(data, 1000, list(range(n))) for n in (10, 5))
    found = score.evaluate(Player(everything)) | balance.evaluate(Player(everything))
    assert found[names[0]] == pytest.approx(found[f"{names[0]}_floor"], rel=0.02)
    assert 9 < found[names[0]] < 10
    # n draws of K equal classes: E KL ≈ (K − 1) / 2n, and E TV ≈ K / 2 √(2 p (1 − p) / πn)
    assert found[f"{names[2]}_floor"] == pytest.approx(9 / 2000, rel=0.15)
    assert found[f"{names[1]}_floor"] == pytest.approx(5 * math.sqrt(2 * 0.09 / (math.pi * 1000)), rel=0.1)
    assert found[names[1]] < 2 * found[f"{names[1]}_floor"]
    half = score.evaluate(Player(five)) | balance.evaluate(Player(five))
    assert half[names[0]] == pytest.approx(5, abs=0.4)
    assert half[names[1]] == pytest.approx(0.5, abs=0.04)
    assert half[names[2]] == pytest.approx(math.log(2), abs=0.06)


def test_too_few_samples_for_the_classes(data):
    with pytest.raises(GanflowError, match="99 samples are too few for 10 classes; it wants 10 of each: samples=100"):
        ganflow_metrics.ClassBalance(samples=99).metric(data)


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_it_is_trained_once_always_the_same_and_disturbs_nothing(data, monkeypatch, tmp_path):
    first = digits_classifier()
    assert [t.shape for t in first.judge(torch.zeros(2, 1, 16, 16))] == [(2, FEATURES), (2, 10)]
    monkeypatch.setenv("GANFLOW_CACHE", str(tmp_path))
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    with torch.no_grad():  # as a caller may have it
        assert same(digits_classifier(), first)  # trained again
        ganflow_metrics.Frechet(features="digits_classifier").metric(data).evaluate(Player(many(data)))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    monkeypatch.setattr("ganflow_metrics.classifier.train", None)
    assert same(digits_classifier(), first)  # kept


def test_a_damaged_or_foreign_file_is_not_trusted(monkeypatch, tmp_path):
    first = digits_classifier()
    monkeypatch.setenv("GANFLOW_CACHE", str(tmp_path))
    trained = []

    def train(network, small, labels):
        trained.append(len(small))
        return first.state_dict()

    monkeypatch.setattr("ganflow_metrics.classifier.train", train)
    digits_classifier()
    (file,) = tmp_path.iterdir()
    good = file.read_bytes()
    changed = bytearray(good)
    changed[len(good) // 2] ^= 1  # one bit of a weight: still a file that can be read
    foreign = cache.save({"head.bias": torch.zeros(10)})
    for bad in (bytes(changed), good[:-1], b"", foreign):
        file.write_bytes(bad)
        assert same(digits_classifier(), first)
        assert file.read_bytes() == good  # and is mended
    assert trained == [len(read()[0])] * 5
    other = file.with_name("other-key.safetensors")
    file.rename(other)
    assert cache.cached("other", "key", dict) == {}  # what was kept under one name is not another's
