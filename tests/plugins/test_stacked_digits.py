"""Stacked digits: the pictures against scikit-learn's digits, the metric against counts that are known and closed forms."""

import math

import ganflow_data
import ganflow_metrics
import pytest
import torch
from ganflow_data import Digits, StackedDigits
from ganflow_metrics.stacked import shares_of_stacks
from scipy.stats import binom, entropy

from ganflow.contract.data import TensorData
from ganflow.engine.feed import feed
from ganflow.errors import GanflowError


@pytest.fixture(scope="module")
def digits():
    return Digits(size=16, held_out=180).data()


@pytest.fixture(scope="module")
def data():
    return StackedDigits(size=16, held_out=180).data()


def as_rows(images):
    return {image.numpy().tobytes() for image in images.flatten(1)}


def drawn(data, n):
    return torch.stack([item["real"] for item, _ in zip(data, range(n), strict=False)])


# data


def test_each_channel_is_a_digit_of_its_part(digits, data):
    train, held_out = as_rows(digits.train["real"]), as_rows(digits.held_out["real"])
    pictures = drawn(StackedDigits(size=16, held_out=180).data(), 3000)
    assert data.shape == pictures.shape[1:] == (3, 16, 16)
    assert (data.main.low, data.main.high, data.size, len(data.held_out["real"])) == (-1, 1, None, 2000)
    assert as_rows(pictures.flatten(0, 1)) <= train
    assert len(as_rows(pictures.flatten(0, 1))) > 0.98 * len(train)  # 9,000 draws from 1,617 leave about 1,617 e^−5.6 = 6 out
    assert as_rows(data.held_out["real"].flatten(0, 1)) == held_out
    assert as_rows(data.further_held_out(500, 7).flatten(0, 1)) <= held_out
    assert not as_rows(data.further_held_out(500, 7)) & as_rows(data.held_out["real"])


def test_classes_are_even_and_channels_independent(digits, data):
    """Though sevens are 7 % of the 180 held-out digits and ones 13 %: a χ² test of 9 and of 81 degrees of freedom."""
    label = {image.numpy().tobytes(): int(shown) for image, shown in zip(*digits.held_out.values(), strict=True)}
    n = 10_000
    pictures = data.further_held_out(n, 1)
    shown = torch.tensor([[label[channel.numpy().tobytes()] for channel in picture] for picture in pictures])
    for channel in range(3):
        counts = shown[:, channel].bincount(minlength=10).double()
        assert float(((counts - n / 10).square() / (n / 10)).sum()) < 27.9  # p = .001
        pairs = (shown[:, channel] * 10 + shown[:, (channel + 1) % 3]).bincount(minlength=100).double()
        assert float(((pairs - n / 100).square() / (n / 100)).sum()) < 149.4  # 99 degrees of freedom, p = .0008


def test_the_sequence_follows_from_the_seed_and_goes_on():
    def made(seed):
        return StackedDigits(size=8, seed=seed).data()

    first = made(0)
    pictures = drawn(first, 600)
    assert torch.equal(drawn(made(0), 600), pictures)
    assert not torch.equal(drawn(made(1), 600), pictures)
    assert len(as_rows(pictures)) == 600
    assert first.fingerprint() == made(0).fingerprint()
    assert len({first.fingerprint(), made(1).fingerprint(), StackedDigits(size=8, held_out=100).data().fingerprint()}) == 3
    feeds = [feed(made(0), 50) for _ in range(2)]
    feeds[0].draw(7)
    feeds[1].load_state(feeds[0].state())
    assert torch.equal(*(one.draw(2)["real"] for one in feeds))


@pytest.mark.parametrize("held_out", [2, 1790])
def test_a_class_without_digits(held_out):
    with pytest.raises(GanflowError, match=f"held_out: {held_out} leaves a class without digits"):
        StackedDigits(held_out=held_out).data()


# metric


class Player:
    """A game that makes the given pictures, again and again."""

    def __init__(self, pictures):
        self.pictures, self.asked = pictures, []

    def samples(self, n, seed):
        self.asked.append((n, seed))
        return self.pictures[torch.arange(n) % len(self.pictures)]


def of_classes(digits, classes):
    """Pictures of these three-digit numbers, of training digits."""
    first = [int((digits.train["label"] == digit).nonzero()[5]) for digit in range(10)]
    numbers = torch.tensor(classes)
    rows = torch.tensor(first)[torch.stack([numbers // 100, numbers // 10 % 10, numbers % 10], 1)]
    return digits.train["real"][rows, 0]


def test_known_classes_give_known_counts(digits, data):
    metric = ganflow_metrics.StackedModes(samples=20, seed=3, repeats=2).metric(data)
    game = Player(of_classes(digits, [7] * 10 + [70] * 6 + [707, 123, 999, 0]))
    scores = metric.evaluate(game)
    assert game.asked == [(20, 3), (20, 4)]
    assert tuple(scores) == tuple(metric.names)
    assert scores["stacked_modes_20"] == 6
    assert scores["stacked_kl_20"] == pytest.approx(entropy([0.5, 0.3, 0.05, 0.05, 0.05, 0.05]) * -1 + math.log(1000))
    assert scores["stacked_legible_20"] == 1
    assert (scores["stacked_modes_20_error"], scores["stacked_kl_20_error"]) == (0, 0)
    assert metric.goal == "max"
    assert {key: metric.protocol[key] for key in ("samples", "seed", "repeats", "classes", "kl", "floor")} == {
        "samples": 20, "seed": 3, "repeats": 2, "classes": 1000, "kl": "found ‖ uniform", "floor": "3 × 20 held-out pictures",
    }  # fmt: skip


def test_all_classes_alike_and_a_generator_that_drops_digits(digits, data):
    def scores(classes):
        metric = ganflow_metrics.StackedModes(samples=len(classes), repeats=1).metric(data)
        found = metric.evaluate(Player(of_classes(digits, classes)))
        return [found[f"stacked_{name}_{len(classes)}"] for name in ("modes", "kl")]

    assert scores(list(range(1000)) * 2) == [1000, pytest.approx(0, abs=1e-12)]
    assert scores([number for number in range(1000) if number % 10 < 5] * 2) == [500, pytest.approx(math.log(2))]


def test_the_floor_is_that_of_even_draws(data):
    """The number X of n draws in one of K classes is binomial: E modes = K P(X > 0), E KL = log K + K E[X / n log(X / n)], which
    for n ≫ K is (K − 1) / 2n. The classifier's errors add to it."""

    def expected(n, k=1000):
        x = torch.arange(1, n + 1).double()
        p = torch.from_numpy(binom.pmf(x.numpy(), n, 1 / k))
        return k * float(p.sum()), math.log(k) + k * float((p * (x / n) * (x / n).log()).sum())

    assert expected(26_000) == (pytest.approx(1000, abs=1e-6), pytest.approx(999 / 52_000, rel=0.01))
    n = 4000
    metric = ganflow_metrics.StackedModes(samples=n, repeats=1).metric(data)
    modes, kl, legible = metric.floor(0)
    assert modes == pytest.approx(expected(n)[0], abs=10)  # 982 ± 4
    assert expected(n)[1] < kl < expected(n)[1] + 0.02
    assert 0.7 < legible < 0.85
    drawn = torch.randint(10, (26_000, 3), generator=torch.Generator().manual_seed(0))
    shares = shares_of_stacks(torch.nn.functional.one_hot(drawn, 10).double())
    assert entropy(shares.numpy(), [1 / 1000] * 1000) == pytest.approx(999 / 52_000, rel=0.15)
    assert (shares > 0).all()


def test_small_pictures_are_read_as_well_as_large_ones():
    """Of 8 × 8 pixels, digits have no margin; enlarged as data digits enlarges them, they are the classifier's own."""
    metrics = [ganflow_metrics.StackedModes(samples=500).metric(StackedDigits(size=size).data()) for size in (8, 16)]
    small, large = (metric.floor(0) for metric in metrics)
    assert small == pytest.approx(large, abs=1e-3)


def test_the_number_of_a_class_is_read_like_a_number():
    answers = torch.nn.functional.one_hot(torch.tensor([[1, 2, 3], [9, 0, 9]]), 10).double()
    assert shares_of_stacks(answers).nonzero().flatten().tolist() == [123, 909]


def test_pictures_that_are_not_finite_or_illegible(digits, data):
    metric = ganflow_metrics.StackedModes(samples=8, repeats=1).metric(data)
    pictures = of_classes(digits, list(range(8)))
    pictures[3, 1, 2, 2] = math.nan
    assert all(math.isnan(value) for name, value in metric.evaluate(Player(pictures)).items() if "_floor" not in name)
    grey = Player(torch.zeros(8, 3, 16, 16))
    assert metric.evaluate(grey)["stacked_legible_8"] == 0


def test_other_pictures_of_digits_have_a_floor_where_there_are_enough(digits):
    pictures = of_classes(digits, list(range(0, 1000, 20)))
    of_two = TensorData("pairs", {"real": pictures[:, :2]}, {"real": pictures[:20, :2]})
    metric = ganflow_metrics.StackedModes(samples=20, repeats=1).metric(of_two)
    assert metric.protocol["classes"] == 100
    assert metric.evaluate(Player(pictures[:, :2]))["stacked_modes_20_floor"] == 20  # 00, 02, 04, …, 38
    assert "stacked_modes_20_floor_error" not in metric.names  # of 20 pictures there is one sample
    without = ganflow_metrics.StackedModes(samples=21, repeats=1).metric(of_two)
    assert list(without.names) == ["stacked_modes_21", "stacked_kl_21", "stacked_legible_21"]
    assert list(without.evaluate(Player(pictures[:, :2]))) == list(without.names)


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (lambda: ganflow_data.Gaussians(samples=64).data(), "data gaussians .* are none: use data stacked_digits"),
        (lambda: TensorData("noise", {"real": torch.zeros(9, 3, 16, 16)}), "data noise has 0; raise data.held_out of a new run"),
        (
            lambda: TensorData("grey", {"real": torch.zeros(9, 3, 16, 16)}, {"real": torch.zeros(20, 3, 16, 16)}),
            "of data grey the classifier recognises 0%: use data stacked_digits",
        ),
    ],
)
def test_data_that_are_no_digits(other, says):
    with pytest.raises(GanflowError, match=says):
        ganflow_metrics.StackedModes().metric(other())
