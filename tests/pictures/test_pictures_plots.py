"""Curves, and points beside the truth. What is drawn is read back from the pixels."""

import math
import sys
import threading
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from ganflow.contract.data import StreamData, TensorData
from ganflow.pictures import density, image_grid, loss_curves, sample_picture, ways
from ganflow.pictures.curves import panels_of, smooth
from ganflow.pictures.samples import real_examples

BLUE, ORANGE = (0x3B, 0x6F, 0xD4), (0xE8, 0x83, 0x3A)


@dataclass
class Entry:
    round: int
    values: dict[str, float] = field(default_factory=dict)


class Known(TensorData):
    """A normal distribution around (3, 0), σ = 0.2."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        super().__init__("known", {"real": torch.tensor([3.0, 0.0]) + 0.2 * torch.randn(3000, 2, generator=generator)})

    def log_density(self, x):
        return -((x - torch.tensor([3.0, 0.0])) ** 2).sum(-1) / (2 * 0.04) - math.log(2 * math.pi * 0.04)


def pixels(image):
    return np.asarray(image).astype(int)


def near(picture, colour, within=60):
    return np.abs(picture - colour).sum(axis=2) < within


def reports(n=100):
    return [Entry(10 * i, {"critic/w": -1.0 / i, "generator/w": 0.1 * i, "w_estimate": 1.0 / i, "lr/critic": 0.1,
                           "rounds_per_second": 5.0}) for i in range(1, n + 1)]  # fmt: skip


def test_terms_estimates_and_metrics_have_panels_and_nothing_else_has():
    entries = [*reports(), Entry(500, {"frechet": 80.0, "precision": 0.4, "recall": 0.5}), Entry(1000, {"frechet": 20.0})]
    panels = panels_of(entries)
    assert [(title, list(curves)) for title, curves in panels] == [
        ("critic's terms", ["w"]),
        ("generator's terms", ["w"]),
        ("estimates", ["w_estimate"]),
        ("metrics: frechet", ["frechet"]),
        ("metrics: precision, …", ["precision", "recall"]),
    ]
    rounds, values = panels[3][1]["frechet"]
    assert (rounds.tolist(), values.tolist()) == ([500, 1000], [80, 20])


def test_panels_without_curves_are_left_out():
    assert [title for title, _ in panels_of([Entry(1, {"generator/l1": 1.0})])] == ["generator's terms"]
    assert panels_of([]) == []


def test_the_last_value_of_a_round_counts_and_no_number_is_left_out():
    entries = [Entry(round, {"critic/w": value}) for round, value in ((2, 1.0), (1, 5.0), (2, 7.0), (3, math.nan))]
    rounds, values = panels_of(entries)[0][1]["w"]
    assert (rounds.tolist(), values.tolist()) == ([1, 2], [5, 7])


def test_smoothing_keeps_a_line_and_flattens_noise():
    rounds = np.arange(1.0, 1001.0)
    line = smooth(rounds, 3 * rounds)
    assert np.allclose(line[50:-50], 3 * rounds[50:-50]), "no lag"
    noise = np.random.default_rng(0).normal(size=1000)
    # a window of 51 independent values divides the deviation by √51 ≈ 7.1
    assert smooth(rounds, noise)[50:-50].std() == pytest.approx(1 / math.sqrt(51), rel=0.35)
    assert smooth(rounds[:1], noise[:1]) == noise[:1]


def test_curves_are_drawn_and_the_same_bytes_every_time(tmp_path):
    loss_curves(iter(reports()), tmp_path / "a.png")
    loss_curves(reports(), tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    from PIL import Image

    with Image.open(tmp_path / "a.png") as image:
        picture = pixels(image.convert("RGB"))
    panels = [picture[:300, :520], picture[:300, 520:], picture[300:, :520], picture[300:, 520:]]
    assert [near(p, BLUE).sum() > 100 for p in panels] == [True, True, True, False]


@pytest.mark.parametrize("entries", [[], [Entry(0, {"critic/w": 0.0})], [Entry(i, {"generator/w": 2.0}) for i in range(100)]])
def test_nothing_a_single_point_and_a_constant_can_be_drawn(tmp_path, entries):
    loss_curves(entries, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_a_spike_does_not_flatten_the_rest(tmp_path):
    entries = reports()
    entries[50].values["critic/w"] = -1e6
    (_, curves), *_ = panels_of(entries)
    loss_curves(entries, tmp_path / "a.png")
    from PIL import Image

    with Image.open(tmp_path / "a.png") as image:
        strong = near(pixels(image.convert("RGB"))[40:250, 70:440], BLUE, 30)
    heights = np.nonzero(strong)[0]
    assert heights.max() - heights.min() > 80, "the curve from −1 to −0.01 fills its panel"
    assert curves["w"][1].min() == -1e6


def test_truth_left_and_samples_right_on_the_same_axes():
    data, samples = Known(), torch.tensor([[3.0, 0.0]]).repeat(50, 1)
    picture = pixels(density(data, samples, round=7))
    left, right = picture[46:446, 46:446], picture[46:446, 492:892]
    dark = np.argwhere(left.sum(axis=2) < left.sum(axis=2).min() + 60).mean(axis=0)
    orange = np.argwhere(near(right, ORANGE, 120)).mean(axis=0)
    assert np.abs(dark - orange).max() < 6, "the mode and the points on it are at the same place"


def test_axes_depend_on_the_data_alone():
    data = Known()
    one, two = density(data, torch.randn(100, 2)), density(data, 100 * torch.randn(100, 2))
    assert np.array_equal(pixels(one)[:, :446], pixels(two)[:, :446])
    assert np.array_equal(pixels(one)[450:], pixels(two)[450:]), "tick labels"


def test_density_without_a_formula_without_data_and_with_no_numbers(tmp_path):
    samples = torch.randn(200, 2)
    samples[0] = math.nan
    plain = TensorData("plain", {"real": torch.randn(500, 2)})
    density(plain, samples, tmp_path / "a.png")
    assert (tmp_path / "a.png").exists()
    assert density(None, samples).width < density(plain, samples).width
    density(None, torch.full((5, 2), math.nan))


def test_held_out_examples_come_before_training_ones():
    held_out = torch.full((10, 2), 5.0)
    assert (real_examples(TensorData("d", {"real": torch.zeros(20, 2)}, {"real": held_out})) == 5).all()
    assert real_examples(TensorData("d", {"real": torch.zeros(20, 2)})).shape == (20, 2)
    assert real_examples(None) is None


def test_streamed_examples_are_loaded_and_bad_ones_left_out():
    class Stream(StreamData):
        name, size, held_out, fields = "stream", 20, {}, {"real": None}

        def fingerprint(self):
            return ""

        def load(self, index, rng):
            return {"real": torch.full((2,), float(index))} if index % 2 else None

    assert sorted(real_examples(Stream())[:, 0].tolist()) == list(range(1, 20, 2))


def test_the_picture_suits_the_shape():
    data = Known()
    images = torch.rand(4, 1, 8, 8)
    assert np.array_equal(pixels(sample_picture(data, images).convert("RGB")), pixels(image_grid(images).convert("RGB")))
    points = torch.randn(10, 2)
    assert np.array_equal(pixels(sample_picture(data, points, 3)), pixels(density(data, points, round=3)))
    for width in (1, 5):
        vectors = TensorData("v", {"real": torch.randn(100, width)})
        with_truth, without = sample_picture(vectors, torch.randn(30, width)), sample_picture(None, torch.randn(30, width))
        assert near(pixels(with_truth), ORANGE, 150).any()
        assert near(pixels(without), ORANGE, 150).any()
    assert sample_picture(data, torch.zeros(4, 3, 3)) is None


def test_ways_begin_and_end_where_they_do():
    way = torch.stack((torch.linspace(2.6, 3.4, 10), torch.zeros(10)), dim=1)[None]
    right = pixels(ways(Known(), way))[46:446, 492:892]
    blue = np.argwhere(near(right, BLUE, 90))
    x = blue[:, 1]
    assert x.max() - x.min() > 150
    assert np.ptp(blue[:, 0]) < 15, "it is level"


def test_threads_draw_the_same_as_one(tmp_path):
    before = "matplotlib.pyplot" in sys.modules
    data, samples = Known(), torch.randn(100, 2, generator=torch.Generator().manual_seed(1))
    alone = pixels(density(data, samples))
    drawn = []
    draw = lambda: drawn.append(pixels(density(data, samples)))  # noqa: E731
    threads = [threading.Thread(target=draw, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(drawn) == 4
    assert all(np.array_equal(alone, picture) for picture in drawn)
    assert ("matplotlib.pyplot" in sys.modules) == before  # torchmetrics imports it in a process that compares with it
